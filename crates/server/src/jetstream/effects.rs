//! The effects of the engine, performed on one batch.

use std::sync::Arc;

use natterjack_core::account::{Account, Matches};
use natterjack_core::batch::Batch;
use natterjack_core::client::Client;
use natterjack_core::service::{Message, Origin};
use natterjack_core::subscription::Target;
use natterjack_jetstream::{Delivered, Host, Outgoing, StreamCell};
use natterjack_store::DiskRequest;

use super::services::Ingest;
use super::{JetStreamGlue, guard};
use crate::hub::Hub;

/// Encoded bytes after which the pressure of the targets is looked at.
const LOOK_AT_PRESSURE: usize = 64 * 1024;

/// The engine's host for the time of one call. It remembers the last route: a consumer delivers many
/// messages to one inbox.
pub(crate) struct Effects<'a> {
    hub: &'a Hub,
    batch: &'a mut Batch,
    account: Option<Arc<Account>>,
    route: Vec<u8>,
    generation: u64,
    matches: Matches,
    /// Targets that are filling up; the stream goes on when they have room.
    congested: Vec<Arc<Client>>,
}

impl<'a> Effects<'a> {
    pub(crate) fn new(hub: &'a Hub, batch: &'a mut Batch) -> Self {
        Effects {
            hub,
            batch,
            account: None,
            route: Vec::new(),
            generation: 0,
            matches: Matches::default(),
            congested: Vec::new(),
        }
    }

    fn glue(&self) -> Option<&'a JetStreamGlue> {
        self.hub.jetstream()
    }

    fn account(&mut self, name: &str) -> Option<Arc<Account>> {
        if self.account.as_ref().is_none_or(|known| **known.name() != *name) {
            self.account = self.hub.accounts().find(name);
            self.route.clear();
        }
        self.account.clone()
    }

    /// Moves what is encoded to the outboxes; true when one of the receivers of the last route is
    /// filling up.
    fn is_congested(&mut self) -> bool {
        if self.batch.size() < LOOK_AT_PRESSURE {
            return false;
        }
        self.batch.seal();
        note_full(&self.matches, &mut self.congested)
    }
}

/// Whether a receiver's outbox is more than half full; the first such one is noted.
fn note_full(matches: &Matches, congested: &mut Vec<Arc<Client>>) -> bool {
    let groups = matches.queues.iter().flat_map(|(_, members)| members);
    for subscription in matches.plain.iter().chain(groups) {
        if let Target::Client(client) = subscription.target()
            && client.closed().is_none()
            && client.outbox().is_half_full()
        {
            if congested.iter().all(|known| known.cid != client.cid) {
                congested.push(client.clone());
            }
            return true;
        }
    }
    false
}

impl Host for Effects<'_> {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        let Some(account) = self.account(out.account) else { return Delivered::No };
        let generation = account.generation(Account::bucket(out.route));
        if self.route != out.route || self.generation != generation {
            account.find(out.route, &mut self.matches);
            self.route.clear();
            self.route.extend_from_slice(out.route);
            self.generation = generation;
        }
        let message = Message {
            subject: out.route,
            reply: out.reply,
            headers: out.headers,
            payload: out.payload,
        };
        let count = if out.queue.is_none() && out.subject == out.route {
            account.route(&self.matches, out.subject, &message, Origin::Internal, self.batch)
        } else {
            account.route_to_group(&self.matches, out.queue, out.subject, &message, self.batch)
        };
        match count {
            0 => Delivered::No,
            _ if self.is_congested() => Delivered::Congested,
            _ => Delivered::Yes,
        }
    }

    fn is_congested(&mut self, account: &str, route: &[u8]) -> bool {
        let Some(account) = self.account(account) else { return false };
        let mut matches = Matches::default();
        account.find(route, &mut matches);
        note_full(&matches, &mut self.congested)
    }

    fn has_interest(&mut self, account: &str, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.account(account).is_some_and(|account| account.has_interest(subject, queue))
    }

    fn disk(&mut self, owner: u64, request: DiskRequest) {
        if let Some(glue) = self.glue() {
            glue.io.submit(owner, request);
        }
    }

    fn wake_at(&mut self, owner: u64, mono_ns: u64) {
        if let Some(glue) = self.glue() {
            glue.timers.set(owner, mono_ns);
        }
    }

    fn subscribe(&mut self, account: &str, subject: &[u8], stream: &Arc<StreamCell>) {
        let (Some(glue), Some(target)) = (self.glue(), self.account(account)) else { return };
        let service = Ingest::new(self.hub.weak(), stream.clone());
        let subscription = target.subscribe_service(subject, service);
        guard(&glue.ingests).insert((account.into(), subject.into(), stream.id()), subscription);
    }

    fn unsubscribe(&mut self, account: &str, subject: &[u8], stream_id: u64) {
        let (Some(glue), Some(target)) = (self.glue(), self.account(account)) else { return };
        let key = (account.into(), subject.into(), stream_id);
        if let Some(subscription) = guard(&glue.ingests).remove(&key) {
            target.unsubscribe_service(&subscription);
        }
    }

    fn watch_interest(&mut self, account: &str, subject: &[u8], stream_id: u64, on: bool) {
        let (Some(glue), Some(target)) = (self.glue(), self.account(account)) else { return };
        let mut watches = guard(&glue.watches);
        let ids = watches.entry((account.into(), subject.into())).or_default();
        if on {
            ids.push(stream_id);
        } else if let Some(position) = ids.iter().position(|id| *id == stream_id) {
            ids.swap_remove(position);
        } else {
            return;
        }
        if ids.is_empty() {
            watches.remove(&(account.into(), subject.into()));
        }
        drop(watches);
        target.watch(subject, on);
    }

    fn random(&mut self) -> u64 {
        rand::random()
    }

    fn seal(&mut self, stream_id: u64) {
        self.batch.seal();
        let Some(glue) = self.glue() else { return };
        for client in self.congested.drain(..) {
            glue.resume_when_low(&self.hub.weak(), &client, stream_id);
        }
    }
}
