//! The effects of the engine, performed on one batch.

use std::cell::Cell;
use std::sync::Arc;

use natterjack_core::account::{Account, Bucket, Matches};
use natterjack_core::batch::Batch;
use natterjack_core::client::Client;
use natterjack_core::service::{Message, Origin};
use natterjack_jetstream::{Delivered, Host, Outgoing, Restore, Snapshot, StreamCell};
use natterjack_store::{Blocked, Damage, DiskRequest};

use super::services::{Feed, Ingest};
use super::{JetStreamGlue, guard};
use crate::hub::Hub;

/// Encoded bytes after which the pressure of the targets is looked at.
const LOOK_AT_PRESSURE: usize = 64 * 1024;

/// Matches kept for the next call on the same thread.
const KEPT: usize = 1024;

/// Where the last message went. A consumer delivers many messages to one inbox, and the answers to one
/// client go to subjects that differ in the last token only.
#[derive(Default)]
struct Route {
    account: Option<Arc<Account>>,
    subject: Vec<u8>,
    /// Bytes of the subject without its last token, where that makes no difference; else 0.
    siblings: usize,
    bucket: Option<Bucket>,
    generation: u64,
    matches: Matches,
}

thread_local! {
    static ROUTE: Cell<Option<Box<Route>>> = const { Cell::new(None) };
}

impl Route {
    fn set_account(&mut self, account: Option<Arc<Account>>) {
        let is_same = match (&self.account, &account) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if !is_same {
            self.account = account;
            self.bucket = None;
            self.matches.clear();
        }
    }

    fn leads_to(&self, account: &Account, subject: &[u8]) -> bool {
        self.bucket.is_some_and(|bucket| account.generation(bucket) == self.generation)
            && (self.subject == subject || self.is_sibling(subject))
    }

    fn is_sibling(&self, subject: &[u8]) -> bool {
        let same = self.subject.get(..self.siblings).filter(|same| !same.is_empty());
        let last = same.and_then(|same| subject.strip_prefix(same)).unwrap_or_default();
        !last.is_empty() && !last.contains(&b'.')
    }

    /// Finds who receives `subject`. False without an account.
    fn find(&mut self, subject: &[u8]) -> bool {
        let Some(account) = &self.account else { return false };
        if !self.leads_to(account, subject) {
            let bucket = Account::bucket(subject);
            self.bucket = Some(bucket);
            self.generation = account.generation(bucket);
            let alike = account.find_siblings(subject, &mut self.matches);
            let last = subject.iter().rposition(|byte| *byte == b'.').filter(|_| alike);
            self.siblings = last.map_or(0, |last| last + 1);
            self.subject.clear();
            self.subject.extend_from_slice(subject);
        }
        true
    }
}

/// The engine's host for the time of one call.
pub(crate) struct Effects<'a> {
    hub: &'a Hub,
    batch: &'a mut Batch,
    /// From the first delivery on; its account is that of the calls so far.
    route: Option<Box<Route>>,
    /// Targets that are filling up; the stream goes on when they have room.
    congested: Vec<Arc<Client>>,
}

impl Drop for Effects<'_> {
    fn drop(&mut self) {
        if let Some(route) = self.route.take()
            && route.matches.plain.len() <= KEPT
            && route.matches.queues.len() <= KEPT
        {
            ROUTE.set(Some(route));
        }
    }
}

impl<'a> Effects<'a> {
    pub(crate) fn new(hub: &'a Hub, batch: &'a mut Batch) -> Self {
        Effects { hub, batch, route: None, congested: Vec::new() }
    }

    /// Bytes of headers and payload that a client may publish.
    pub(crate) fn max_payload(&self) -> usize {
        usize::try_from(self.hub.options().max_payload).unwrap_or(usize::MAX)
    }

    fn glue(&self) -> Option<&'a JetStreamGlue> {
        self.hub.jetstream()
    }

    /// The last route, in the account of this name.
    fn route_in(&mut self, name: &str) -> &mut Route {
        let hub = self.hub;
        let is_known =
            |route: &Route| route.account.as_ref().is_some_and(|known| **known.name() == *name);
        if self.route.as_deref().is_none_or(|route| !is_known(route)) {
            // One that another call left may be of an account that was replaced since.
            let route = self.route.get_or_insert_with(|| ROUTE.take().unwrap_or_default());
            route.set_account(hub.accounts().find(name));
        }
        self.route.get_or_insert_default()
    }

    fn account(&mut self, name: &str) -> Option<Arc<Account>> {
        self.route_in(name).account.clone()
    }

    /// Moves what is encoded to the outboxes; true when one of the receivers of the last route is
    /// filling up.
    fn is_congested(&mut self) -> bool {
        if self.batch.size() < LOOK_AT_PRESSURE {
            return false;
        }
        self.batch.seal();
        let Some(route) = &self.route else { return false };
        note_full(&route.matches, &mut self.congested)
    }
}

/// Whether a receiver's outbox is more than half full; the first such one is noted.
fn note_full(matches: &Matches, congested: &mut Vec<Arc<Client>>) -> bool {
    let groups = matches.queues.iter().flat_map(|(_, members)| members);
    for subscription in matches.plain.iter().chain(groups) {
        if let Some(client) = subscription.client()
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
        if !self.route_in(out.account).find(out.route) {
            return Delivered::No;
        }
        let Some(Route { account: Some(account), matches, .. }) = self.route.as_deref() else {
            return Delivered::No;
        };
        let message = Message {
            subject: out.route,
            reply: out.reply,
            headers: out.headers,
            payload: out.payload,
        };
        match account.route(matches, out.subject, &message, Origin::Internal, self.batch) {
            0 => Delivered::No,
            _ if self.is_congested() => Delivered::Congested,
            _ => Delivered::Yes,
        }
    }

    fn is_congested(&mut self, account: &str, route: &[u8]) -> bool {
        let route_is_known = self.route_in(account).find(route);
        let Some(found) = self.route.as_deref().filter(|_| route_is_known) else { return false };
        note_full(&found.matches, &mut self.congested)
    }

    fn has_interest(&mut self, account: &str, subject: &[u8]) -> bool {
        self.account(account).is_some_and(|account| account.has_interest(subject))
    }

    fn is_subscribed(&mut self, account: &str, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.account(account).is_some_and(|account| account.is_subscribed(subject, queue))
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
        let Some(glue) = self.glue() else { return };
        // An account whose JWT is not known yet has its streams all the same.
        let is_claimed = || self.hub.options().is_operator_mode();
        let added = || is_claimed().then(|| self.hub.accounts().add(account).0);
        let Some(target) = self.account(account).or_else(added) else { return };
        let service = Ingest::new(self.hub.weak(), stream.clone());
        let subscription = target.subscribe_stream(subject, service);
        guard(&glue.ingests).insert((account.into(), subject.into(), stream.id()), subscription);
    }

    fn unsubscribe(&mut self, account: &str, subject: &[u8], stream_id: u64) {
        let (Some(glue), Some(target)) = (self.glue(), self.account(account)) else { return };
        let key = (account.into(), subject.into(), stream_id);
        if let Some(subscription) = guard(&glue.ingests).remove(&key) {
            target.unsubscribe_service(&subscription);
        }
    }

    fn open_inlet(&mut self, account: &str, subject: &[u8], stream_id: u64, token: u64) {
        let (Some(glue), Some(target)) = (self.glue(), self.account(account)) else { return };
        let Some(cell) = glue.engine.by_id(stream_id) else { return };
        let feed = Feed::new(self.hub.weak(), cell, token);
        let subscription = target.subscribe_inlet(subject, Arc::new(feed));
        guard(&glue.ingests).insert((account.into(), subject.into(), stream_id), subscription);
    }

    fn close_inlet(&mut self, account: &str, subject: &[u8], stream_id: u64) {
        self.unsubscribe(account, subject, stream_id);
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

    fn system_account(&mut self) -> Option<Arc<str>> {
        Some(self.hub.accounts().system()?.name().clone())
    }

    fn random(&mut self) -> u64 {
        rand::random()
    }

    fn send_snapshot(&mut self, snapshot: Snapshot) {
        super::transfers::send_snapshot(self.hub, snapshot);
    }

    fn take_restore(&mut self, restore: Restore) {
        super::transfers::take_restore(self.hub, restore);
    }

    fn damaged(&mut self, account: &str, stream: &str, damage: &Damage) {
        let name = format!("stream \"{account} > {stream}\"");
        super::open::damaged(self.hub.log(), &name, damage);
    }

    fn blocked(&mut self, stream: Option<(&str, &str)>, reason: Option<&Blocked>) {
        let name = stream.map_or_else(
            || "the catalog of streams and consumers".to_owned(),
            |(account, stream)| format!("stream \"{account} > {stream}\""),
        );
        super::open::blocked(self.hub.log(), &name, reason);
    }

    fn seal(&mut self, stream_id: u64) {
        self.batch.seal();
        let Some(glue) = self.glue() else { return };
        for client in self.congested.drain(..) {
            glue.resume_when_low(&self.hub.weak(), &client, stream_id);
        }
    }
}
