//! Answers of a service on their way back: who waits for which.
//!
//! A request that crosses from one account to another gets a reply subject of its own,
//! `_R_.<6 characters>.<6 characters>`, where the first part stands for the two accounts and the second
//! for the request. One subscription to the first part in the exporter's sublist takes all answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashMap;

use super::declared::{Responses, Service};
use super::latency::{self, Tracked, random_text};
use super::request::{Via, keeps_subject, requester};
use super::shares::answers_between;
use crate::account::{Account, Routed};
use crate::batch::Batch;
use crate::service::{Message, Origin};

/// What requests between two accounts that wait for an answer may take, in bytes: 256 Ki short ones.
pub(super) const MAX_WAITING: usize = if cfg!(test) { 64 * ENTRY_BYTES } else { 96 << 20 };

/// What a request takes besides its reply subject and what is kept to measure it.
pub(super) const ENTRY_BYTES: usize = 384;

const TOKEN: usize = 6;
type Token = [u8; TOKEN];

/// A request that waits.
pub(crate) struct Waiting {
    /// Where its answer is to be published.
    pub(super) subject: Vec<u8>,
    token: Token,
}

struct Entry {
    /// Where the requester listens.
    reply: Arc<[u8]>,
    requester: u64,
    responses: Responses,
    threshold_ns: u64,
    expires_ns: u64,
    tracked: Option<Box<Tracked>>,
    /// What it counts for.
    bytes: usize,
}

/// What an answer needs to know of its request.
struct Taken {
    reply: Arc<[u8]>,
    tracked: Option<Box<Tracked>>,
    responses: Responses,
    threshold_ns: u64,
    /// Whether it is the last one.
    is_over: bool,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Token, Entry>,
    expiries: BTreeSet<(u64, Token)>,
    /// What waits, in bytes, of all and of each requester.
    bytes: usize,
    shares: HashMap<u64, usize>,
}

impl Table {
    /// Whether a requester may let so much more wait: it takes no more than is left to others after it.
    /// One alone gets half, two a third each; nobody takes the last place, and no request that waits is
    /// given up for another.
    fn has_room(&self, requester: u64, bytes: usize) -> bool {
        let own = self.shares.get(&requester).copied().unwrap_or(0);
        own + self.bytes + 2 * bytes <= MAX_WAITING
    }

    fn insert(&mut self, token: Token, entry: Entry) {
        self.bytes += entry.bytes;
        *self.shares.entry(entry.requester).or_default() += entry.bytes;
        self.expiries.insert((entry.expires_ns, token));
        self.entries.insert(token, entry);
    }

    fn remove(&mut self, token: &Token) -> Option<Entry> {
        let entry = self.entries.remove(token)?;
        self.expiries.remove(&(entry.expires_ns, *token));
        self.bytes -= entry.bytes;
        if let Some(share) = self.shares.get_mut(&entry.requester) {
            *share -= entry.bytes;
            if *share == 0 {
                self.shares.remove(&entry.requester);
            }
        }
        Some(entry)
    }
}

/// Answers from one account to another.
pub(crate) struct Answers {
    prefix: Box<[u8]>,
    /// What follows the token of a request that is measured.
    suffix: Box<[u8]>,
    /// Whose requests these are.
    importer: Weak<Account>,
    /// Where they are answered.
    exporter: Weak<Account>,
    table: Mutex<Table>,
    me: Weak<Answers>,
}

impl Answers {
    pub(super) fn new(
        exporter: &Arc<Account>,
        importer: &Arc<Account>,
        batch: &mut Batch,
    ) -> Arc<Self> {
        let prefix = [b"_R_.", &random_text::<6>(batch)[..], b"."].concat();
        let suffix = [b".", &random_text::<8>(batch)[..], b".T"].concat();
        Arc::new_cyclic(|me| Answers {
            prefix: prefix.into(),
            suffix: suffix.into(),
            importer: Arc::downgrade(importer),
            exporter: Arc::downgrade(exporter),
            table: Mutex::default(),
            me: me.clone(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all its reply subjects match.
    pub(super) fn pattern(&self) -> Vec<u8> {
        [&self.prefix, &b">"[..]].concat()
    }

    /// A request of `requester` that is to be answered on `reply`. If too many wait, what was to be
    /// measured comes back.
    pub(super) fn expect(
        &self,
        reply: &[u8],
        requester: u64,
        service: &Service,
        tracked: Option<Box<Tracked>>,
        batch: &mut Batch,
    ) -> Result<Waiting, Option<Box<Tracked>>> {
        let Some(importer) = self.importer.upgrade() else { return Err(tracked) };
        let is_tracked = tracked.is_some();
        let bytes = ENTRY_BYTES + reply.len() + tracked.as_ref().map_or(0, |it| it.bytes());
        let reply: Arc<[u8]> = reply.into();
        let expires_ns = batch.mono_ns.saturating_add(service.threshold_ns);
        let entry = Entry {
            reply: reply.clone(),
            requester,
            responses: service.responses,
            threshold_ns: service.threshold_ns,
            expires_ns,
            tracked,
            bytes,
        };
        let (token, is_next) = {
            let mut table = self.table();
            if !table.has_room(requester, bytes) {
                return Err(entry.tracked);
            }
            let mut token: Token = random_text(batch);
            while table.entries.contains_key(&token) {
                token = random_text(batch);
            }
            let is_next = table.expiries.first().is_none_or(|(first, _)| expires_ns < *first);
            table.insert(token, entry);
            (token, is_next)
        };
        importer.shares().awaits(reply, (self.me.clone(), token));
        if is_next && let Some(reception) = importer.shares().reception() {
            reception.call_at(expires_ns);
        }
        Ok(Waiting { subject: self.subject(token, is_tracked), token })
    }

    /// Nobody took the request: nothing is to be expected. Returns what was measured.
    pub(super) fn forget(&self, waiting: &Waiting) -> Option<Box<Tracked>> {
        let entry = self.table().remove(&waiting.token)?;
        if let Some(importer) = self.importer.upgrade() {
            importer.shares().no_longer_awaits(&entry.reply, &(self.me.clone(), waiting.token));
        }
        entry.tracked
    }

    /// The requester is gone. Returns what was measured, and where that is reported.
    pub(super) fn requester_left(&self, token: Token) -> Option<(Box<Tracked>, Arc<Account>)> {
        let entry = self.table().remove(&token)?;
        let exporter = self.exporter.upgrade()?;
        self.is_over(&exporter, token, entry.tracked.is_some());
        Some((entry.tracked?, exporter))
    }

    /// Nobody waits for this answer any more: those who would give it are told, and those whom it was
    /// asked of in turn need not wait either.
    fn is_over(&self, exporter: &Account, token: Token, is_tracked: bool) {
        let subject = self.subject(token, is_tracked);
        exporter.shares().forget_reply(&subject);
        exporter.notify(&subject);
    }

    fn subject(&self, token: Token, is_tracked: bool) -> Vec<u8> {
        let suffix = if is_tracked { &self.suffix[..] } else { &[] };
        [&self.prefix, &token[..], suffix].concat()
    }

    /// Whether somebody waits for an answer on `subject`.
    pub(super) fn is_awaited(&self, subject: &[u8]) -> bool {
        self.token_of(subject).is_some_and(|token| self.table().entries.contains_key(&token))
    }

    /// Ends what has waited too long. Returns when the next one will have.
    pub(super) fn expire(&self, batch: &mut Batch) -> Option<u64> {
        loop {
            let (entry, token) = {
                let mut table = self.table();
                let (expires_ns, token) = *table.expiries.first()?;
                if expires_ns > batch.mono_ns {
                    return Some(expires_ns);
                }
                (table.remove(&token)?, token)
            };
            if let Some(importer) = self.importer.upgrade() {
                importer.shares().no_longer_awaits(&entry.reply, &(self.me.clone(), token));
            }
            let Some(exporter) = self.exporter.upgrade() else { continue };
            self.is_over(&exporter, token, entry.tracked.is_some());
            if let Some(tracked) = entry.tracked {
                latency::report_failure(&exporter, &tracked, latency::TIMEOUT, batch);
            }
        }
    }

    /// Takes an answer to the one who waits for it. False if nobody does.
    pub(super) fn pass(&self, out: Routed<'_>, batch: &mut Batch) -> bool {
        let message = out.message;
        let Some(token) = self.token_of(message.subject) else { return false };
        let (Some(importer), Some(exporter)) = (self.importer.upgrade(), self.exporter.upgrade())
        else {
            return false;
        };
        let is_end = message.payload.is_empty() && message.headers.is_empty();
        let Some(taken) = self.take(&token, is_end, batch.mono_ns) else { return false };
        let Taken { reply, tracked, responses, threshold_ns, is_over } = taken;
        if is_over {
            importer.shares().no_longer_awaits(&reply, &(self.me.clone(), token));
            exporter.notify(message.subject);
        }
        if !batch.enter_relay() {
            return false;
        }
        // The requester may answer in turn.
        let back = message.reply.filter(|reply| !keeps_subject(reply)).and_then(|reply| {
            let service = Service { responses, threshold_ns, ..Service::default() };
            let answers = answers_between(&importer, &exporter, batch);
            answers.expect(reply, requester(out.origin), &service, None, batch).ok()
        });
        let inside = Message {
            subject: &reply,
            reply: back.as_ref().map(|back| &back.subject[..]).or(message.reply),
            ..*message
        };
        let via = Some(Via::Answer);
        // What a consumer delivers keeps the subject that it has in the stream.
        let shown = if out.shown == message.subject { &reply } else { out.shown };
        let out = Routed { shown, message: &inside, key: None, via, ..out };
        let is_received = importer.route_found(out, batch);
        batch.leave_relay();
        if let Some(tracked) = tracked {
            let responder = match out.origin {
                Origin::Client(client) => {
                    Some(tracked.reception.client_info(client.cid, exporter.name(), true))
                }
                Origin::Internal => None,
            };
            latency::report_answer(&exporter, &tracked, responder.as_ref(), batch);
        }
        is_received
    }

    fn token_of(&self, subject: &[u8]) -> Option<Token> {
        let rest = subject.strip_prefix(&self.prefix[..])?;
        rest.split(|byte| *byte == b'.').next()?.try_into().ok()
    }

    /// Takes a request out for its answer, unless more answers may follow.
    fn take(&self, token: &Token, is_end: bool, now_ns: u64) -> Option<Taken> {
        let mut guard = self.table();
        let table = &mut *guard;
        let entry = table.entries.get_mut(token)?;
        if entry.responses == Responses::Singleton || is_end {
            let Entry { reply, tracked, responses, threshold_ns, .. } = table.remove(token)?;
            return Some(Taken { reply, tracked, responses, threshold_ns, is_over: true });
        }
        // Each answer gives the next one as much time again (nats-server 2.15.1).
        table.expiries.remove(&(entry.expires_ns, *token));
        entry.expires_ns = now_ns.saturating_add(entry.threshold_ns);
        table.expiries.insert((entry.expires_ns, *token));
        let Entry { responses, threshold_ns, .. } = *entry;
        let reply = entry.reply.clone();
        Some(Taken { reply, tracked: None, responses, threshold_ns, is_over: false })
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table().entries.len()
    }
}

/// A request as the account of its requester knows it.
pub(super) type Awaited = (Weak<Answers>, Token);

/// Requests that wait on the same reply subject: hardly ever more than one, but a client may choose one
/// subject for all of its requests.
pub(super) enum Requests {
    One(Awaited),
    /// By the address of what awaits them, which lives as long as they are known here, and token.
    Many(HashMap<(usize, Token), Weak<Answers>>),
}

impl Requests {
    fn key((answers, token): &Awaited) -> (usize, Token) {
        (answers.as_ptr().addr(), *token)
    }

    pub(super) fn push(&mut self, more: Awaited) {
        if let Requests::One(first) = self {
            let first = (Requests::key(first), first.0.clone());
            *self = Requests::Many(HashMap::from_iter([first]));
        }
        if let Requests::Many(all) = self {
            all.insert(Requests::key(&more), more.0);
        }
    }

    /// Takes one out; true when none is left.
    pub(super) fn remove(&mut self, gone: &Awaited) -> bool {
        match self {
            Requests::One(only) => Requests::key(only) == Requests::key(gone),
            Requests::Many(all) => {
                all.remove(&Requests::key(gone));
                all.is_empty()
            }
        }
    }

    pub(super) fn into_all(self) -> Vec<Awaited> {
        match self {
            Requests::One(only) => vec![only],
            Requests::Many(all) => {
                all.into_iter().map(|((_, token), answers)| (answers, token)).collect()
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        match self {
            Requests::One(_) => 1,
            Requests::Many(all) => all.len(),
        }
    }
}
