//! A stream: its log, its consumers, and the lock around them.
//!
//! Publishes, acks, pulls and disk completions enter through [`StreamCell`], change the state
//! machine under its lock, and leave as calls of [`Host`]. [`StreamCell::settle`] is called once
//! per batch: it hands disk requests out, releases answers that are durable, lets consumers
//! deliver and sets the timer.

pub mod answers;
pub(crate) mod backup;
mod batch;
mod commit;
pub mod config;
pub(crate) mod consumers;
mod counter;
mod decimal;
pub mod dedupe;
mod drive;
mod expire;
mod fast;
pub mod headers;
mod info;
pub mod meta;
mod origins;
mod parked;
mod publish;
mod reads;
mod retention;
mod room;
mod rules;
pub(crate) mod schedule;
mod settle;
mod sourcing;
mod table;
pub mod ttl;
pub mod validate;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use natterjack_store::{
    DiskRequest, DiskResult, Limits, Log, LogPos, Purge, Purged, RequestId, SeqRange,
};

pub use config::Config;
pub(crate) use info::{Details, SubjectsPage};
pub use info::{ListState, StreamInfo, StreamState};
pub use publish::Inbound;
pub(crate) use publish::number;
pub(crate) use reads::{DirectRequest, GetRequest};
pub(crate) use sourcing::Places;
pub use sourcing::{SourceError, SourceInfo};

use crate::account::Account;
use crate::consumer::Removed;
use crate::ctx::Scope;
use crate::engine::Shared;
use crate::error::ApiError;
use crate::host::Host;
use crate::sync;
use crate::time::Now;
use answers::Answers;
pub(crate) use batch::Held;
use batch::{Batches, Holding};
pub(crate) use commit::Begun;
use config::{Discard, Storage};
pub(crate) use counter::Kept;
use counter::{Keeping, Totals};
use dedupe::Dedupe;
use drive::Pacing;
use fast::Fast;
use parked::Lot;
use publish::limit;
use rules::Rules;
use schedule::Plan;
use sourcing::{Arrivals, Sourcing};
use table::Consumers;
use ttl::Expiry;

/// The message has a TTL of its own.
pub(crate) const FLAG_TTL: u8 = 1;
/// The message is a delete marker and leaves none itself.
pub(crate) const FLAG_MARKER: u8 = 2;
/// The message has a message id.
pub(crate) const FLAG_MSG_ID: u8 = 4;
/// The message is a schedule.
pub(crate) const FLAG_SCHEDULE: u8 = 8;
/// The message is one of several that were published as one batch.
pub(crate) const FLAG_BATCH: u8 = 16;
/// The message comes from another stream, which its header names.
pub(crate) const FLAG_SOURCED: u8 = 32;

/// One stream behind its lock. The server keeps an `Arc` of it at each subject of the stream.
#[derive(Debug)]
pub struct StreamCell {
    id: u64,
    scope: Scope,
    created: i64,
    /// `max_bytes` where set, for the account's reservations.
    reserved: AtomicU64,
    /// What its origins sent, where it has some.
    arrivals: Arrivals,
    stream: Mutex<Stream>,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) scope: Scope,
    shared: Arc<Shared>,
    account: Arc<Account>,
    pub(crate) config: Config,
    pub(crate) log: Log,
    answers: Answers,
    pub(crate) consumers: Consumers,
    pacing: Pacing,
    dedupe: Dedupe,
    expiry: Expiry,
    plan: Plan,
    last_msg_id: Vec<u8>,
    waiting: reads::Waiting,
    rules: Rules,
    batches: Batches,
    fast: Fast,
    totals: Totals,
    /// Publishes that wait for a read.
    parked: Lot,
    /// The streams whose messages it takes.
    sourcing: Option<Box<Sourcing>>,
    /// Batches that were stored and are not durable yet, with the positions that cover them.
    committed: Vec<(LogPos, SeqRange)>,
    /// `state.bytes` as last added to the usage of account and server.
    reported_bytes: u64,
    /// Publishes refused because a queue was full.
    turned_away: u64,
    /// The disk has no room for the log.
    disk_full: bool,
    /// The timer as last set.
    wake: u64,
    requests: Vec<DiskRequest>,
    evicted: Removed,
    /// A purge that consumers have not heard of.
    purged: bool,
    /// It was purged of everything while it held nothing yet; shown until a restart.
    emptied: bool,
    /// The subjects of such, with the positions up to which what they removed may come back.
    narrowed: Vec<(LogPos, Box<[u8]>)>,
    /// Positions of the first and last rollup that consumers have not heard of: until they are durable
    /// what they removed may come back.
    rolled: Option<(LogPos, LogPos)>,
    /// What was settled and not there, with the position up to which it may come back.
    missed: Vec<(LogPos, Vec<SeqRange>)>,
    /// What markers replaced that are not durable yet, with their positions.
    expired: Vec<(LogPos, u64)>,
    /// `max_age` applies to no message before this one.
    mortal_from: u64,
    /// More messages are due to be removed than one tick may take.
    more_expired: bool,
    /// The stream is deleted; only answers that wait for the disk leave.
    closed: bool,
    /// It is subscribed to its subjects.
    listening: bool,
    /// Messages or acks came since the last settle.
    pub(crate) unsettled: bool,
    /// An expiry waits for a block from disk; the timer would come in vain.
    expiry_reads: bool,
    /// The operator knows that the disk refuses what is stored.
    blocked: bool,
    /// The request that removes its files.
    destroying: Option<RequestId>,
    /// Snapshots and restores that wait for the disk.
    readers: Vec<Waker>,
}

/// What a new stream is made of.
pub(crate) struct Parts {
    pub(crate) scope: Scope,
    pub(crate) shared: Arc<Shared>,
    pub(crate) account: Arc<Account>,
    pub(crate) config: Config,
    pub(crate) created: i64,
    pub(crate) log: Log,
    pub(crate) dedupe_key: [u64; 2],
}

impl StreamCell {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { scope, shared, account, config, created, log, dedupe_key } = parts;
        let stream = Stream {
            scope: scope.clone(),
            shared,
            account,
            answers: Answers::new(&scope.stream, scope.domain.as_deref()),
            log,
            consumers: Consumers::new(dedupe_key[0]),
            pacing: Pacing::default(),
            dedupe: Dedupe::new(dedupe_key),
            expiry: Expiry::default(),
            plan: Plan::default(),
            last_msg_id: Vec::new(),
            waiting: reads::Waiting::default(),
            rules: Rules::of(&config),
            batches: Batches::default(),
            fast: Fast::default(),
            totals: Totals::default(),
            parked: Lot::default(),
            sourcing: None,
            committed: Vec::new(),
            reported_bytes: 0,
            turned_away: 0,
            disk_full: false,
            wake: u64::MAX,
            requests: Vec::new(),
            evicted: Removed::default(),
            purged: false,
            emptied: false,
            narrowed: Vec::new(),
            rolled: None,
            missed: Vec::new(),
            expired: Vec::new(),
            mortal_from: 0,
            more_expired: false,
            closed: false,
            listening: false,
            unsettled: false,
            expiry_reads: false,
            blocked: false,
            destroying: None,
            readers: Vec::new(),
            config,
        };
        let reserved = AtomicU64::new(stream.config.max_bytes.max(0).unsigned_abs());
        Self {
            id: scope.stream_id,
            scope,
            created,
            reserved,
            arrivals: Arrivals::default(),
            stream: Mutex::new(stream),
        }
    }

    /// The stream's id, never 0: the `owner` of its disk requests and timers.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its names.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// When it was created, nanoseconds since 1970.
    pub fn created(&self) -> i64 {
        self.created
    }

    /// `max_bytes` if it is set.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Stream> {
        sync::lock(&self.stream)
    }

    /// Whether somebody panicked while changing it: nobody enters it any more.
    pub(crate) fn is_half_changed(&self) -> bool {
        self.stream.is_poisoned()
    }

    /// Admits a message or refuses it. The PubAck leaves with a later [`settle`](Self::settle),
    /// once the message is durable.
    pub fn publish(&self, host: &mut dyn Host, now: Now, msg: &Inbound<'_>) {
        let mut stream = self.lock();
        if !stream.closed {
            stream.unsettled = true;
            stream.publish(host, now, msg);
        }
    }

    /// Ends a batch of calls: hands out disk requests, releases answers, delivers, sets the timer.
    pub fn settle(&self, host: &mut dyn Host, now: Now) {
        let mut stream = self.lock();
        if self.arrivals.is_waiting() {
            stream.take_arrivals(host, now, &self.arrivals);
        }
        // Another request of the batch may have done it already.
        if stream.unsettled {
            stream.settle(host, now);
        }
    }

    /// Takes what came on a subject that was given to [`Host::open_inlet`] with this token: `subject` is
    /// the one that it has in its stream. Call [`settle`](Self::settle) afterwards.
    pub fn arrive(&self, token: u64, subject: &[u8], reply: &[u8], headers: &[u8], payload: &[u8]) {
        self.arrivals.push(token, subject, reply, headers, payload);
    }

    /// What the timer calls.
    pub fn tick(&self, host: &mut dyn Host, now: Now) {
        let mut stream = self.lock();
        stream.wake = u64::MAX;
        if !stream.closed {
            stream.tick(host, now);
        }
        stream.settle(host, now);
    }

    /// Takes the result of a disk request. True when it was the removal of its files.
    pub(crate) fn completed(
        &self,
        host: &mut dyn Host,
        now: Now,
        id: RequestId,
        result: DiskResult,
    ) -> bool {
        let mut stream = self.lock();
        if stream.destroying == Some(id) {
            return matches!(result, DiskResult::Done);
        }
        stream.log.completed(id, result);
        stream.wake_readers();
        if std::mem::take(&mut stream.expiry_reads) && !stream.closed {
            stream.tick(host, now);
        }
        if self.arrivals.is_waiting() && !stream.closed {
            stream.take_arrivals(host, now, &self.arrivals);
        }
        stream.settle(host, now);
        false
    }

    /// Asks for the removal of a deleted stream's files; false when there are none.
    pub(crate) fn destroy(&self, host: &mut dyn Host) -> bool {
        let mut stream = self.lock();
        let Some(request) = stream.log.destroy() else { return false };
        stream.destroying = Some(request.id);
        host.disk(self.id, request);
        true
    }

    /// Syncs what a relaxed policy left to later, and writes what the next start profits from.
    pub(crate) fn shutdown(&self, host: &mut dyn Host, now: Now) {
        let mut stream = self.lock();
        if !stream.closed && stream.log.close() {
            stream.write_notes();
            stream.checkpoint();
        }
        stream.log.sync_now();
        stream.pacing.off = true;
        stream.settle(host, now);
    }

    /// True when nothing waits for the disk.
    pub(crate) fn is_idle(&self) -> bool {
        let stream = self.lock();
        stream.answers.is_empty() && stream.log.is_idle()
    }

    /// Subscriptions on a deliver subject that was given to [`Host::watch_interest`] came or went.
    pub fn interest_changed(&self, host: &mut dyn Host, now: Now, subject: &[u8]) {
        let mut stream = self.lock();
        stream.interest_changed(host, now, subject);
        stream.settle(host, now);
    }

    /// A target that answered [`Delivered::Congested`](crate::Delivered) takes messages again.
    pub fn resume(&self, host: &mut dyn Host, now: Now) {
        let mut stream = self.lock();
        stream.resume(host, now);
        stream.settle(host, now);
    }

    /// Bytes that were appended and are not on disk yet.
    pub fn backlog_bytes(&self) -> usize {
        self.lock().log.backlog_bytes()
    }

    /// Publishes that were refused, or dropped where nobody waited, because a queue was full.
    pub fn turned_away(&self) -> u64 {
        self.lock().turned_away
    }

    /// Changes what the account reserves for it.
    pub(crate) fn reserve(&self, max_bytes: i64) {
        self.reserved.store(max_bytes.max(0).unsigned_abs(), Ordering::Relaxed);
    }

    /// Stops the stream: consumers close, waiting reads are dropped, usage is given back.
    /// Returns the ids of its consumers that the catalog holds.
    pub(crate) fn close(&self, host: &mut dyn Host, now: Now) -> Vec<u64> {
        let mut stream = self.lock();
        stream.close(host, now)
    }
}

/// What the log enforces by removing old messages; with discard new only the limit per subject.
pub(crate) fn log_limits(config: &Config) -> Limits {
    let old = config.discard == Discard::Old;
    Limits {
        max_msgs: limit(config.max_msgs).filter(|_| old),
        max_bytes: limit(config.max_bytes).filter(|_| old),
        max_msgs_per_subject: limit(config.max_msgs_per_subject)
            .filter(|_| !config.discard_new_per_subject),
    }
}

impl Stream {
    pub(crate) fn is_memory(&self) -> bool {
        self.config.storage == Storage::Memory
    }

    /// True where subscriptions are to be made: the stream is there for good and not deleted.
    pub(crate) fn start_listening(&mut self) -> bool {
        self.listening = !self.closed;
        self.listening
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Replaces the configuration; limits act at once.
    pub(crate) fn update(&mut self, config: Config) {
        let limits = log_limits(&config);
        let retained = self.config.retention != config.retention;
        self.rules = Rules::of(&config);
        if !config.allow_atomic {
            self.batches.clear(Holding::of(&self.shared, &self.account));
        }
        if !config.allow_batched {
            self.fast.clear(&self.shared.batches);
        }
        self.log.set_reuse(config.mirror.is_some());
        self.config = config;
        if retained {
            self.retention_changed();
        }
        if *self.log.limits() != limits {
            self.log.set_limits(limits);
        }
    }

    /// Removes one message; consumers hear of it with the next settle.
    fn remove_message(&mut self, seq: u64, secure: bool) -> bool {
        let removed = self.log.remove(seq, secure).is_some();
        if removed {
            self.evicted.runs_mut().push(SeqRange { first: seq, last: seq });
        }
        removed
    }

    fn purge_messages(&mut self, purge: &Purge<'_>) -> Purged {
        // What is kept may yet be refused, and what went come back.
        if purge.keep.is_some_and(|keep| keep > 0) && self.log.durable() < self.log.end() {
            let purged = self.log.purge(purge);
            self.tell_when_durable(purged.pos);
            return purged;
        }
        self.purged = true;
        self.log.purge(purge)
    }

    /// Removes what messages that were appended just now roll up. Consumers hear of it when that is
    /// durable; if the disk refuses the messages it comes back.
    fn roll_up(&mut self, purge: &Purge<'_>) -> LogPos {
        let pos = self.log.replace(purge).pos;
        self.tell_when_durable(pos);
        pos
    }

    fn tell_when_durable(&mut self, pos: LogPos) {
        self.rolled = Some((self.rolled.map_or(pos, |(first, _)| first), pos));
    }

    /// Whether consumers are to hear of a rollup now.
    fn take_rolled(&mut self) -> bool {
        let durable = self.log.durable();
        let Some((first, last)) = self.rolled else { return false };
        let due = first <= durable;
        if due {
            self.rolled = (last > durable).then_some((last, last));
        }
        due
    }

    /// `STREAM.MSG.DELETE`: the answer waits in the queue until the removal is durable.
    ///
    /// # Errors
    /// The refusals of jetstream.md 2.12.
    pub(crate) fn delete(
        &mut self,
        seq: u64,
        secure: bool,
        reply: Option<&[u8]>,
        answer: &[u8],
    ) -> Result<(), ApiError> {
        if self.config.sealed {
            return Err(ApiError::StreamSealed);
        }
        let failed = |err: &'static str| ApiError::StreamMsgDeleteFailed { err: err.into() };
        if self.config.deny_delete {
            return Err(failed("message delete not permitted"));
        }
        self.check_load()?;
        if secure && self.log.contains(seq) {
            // Its header may be the one that tells where its source goes on.
            self.note_places();
        }
        if !self.remove_message(seq, secure) {
            let state = self.log.state();
            return Err(if !self.is_memory() && seq > state.last_seq {
                failed("stream store EOF")
            } else if !self.is_memory() && (seq == 0 || seq < state.first_seq) {
                failed("no message found")
            } else {
                ApiError::SequenceNotFound { seq }
            });
        }
        if let Some(reply) = reply {
            self.answers.payload(self.log.end(), reply, answer);
        }
        Ok(())
    }

    /// `STREAM.PURGE`: returns how many messages went.
    ///
    /// # Errors
    /// 10109 on a sealed stream, 10110 where purging is denied.
    pub(crate) fn purge(&mut self, purge: &Purge<'_>) -> Result<u64, ApiError> {
        if self.config.sealed {
            return Err(ApiError::StreamSealed);
        }
        if self.config.deny_purge {
            return Err(ApiError::StreamPurgeFailed { err: "stream purge not permitted".into() });
        }
        self.check_load()?;
        let purged = self.purge_messages(purge);
        self.emptied |= (purge.filter, purge.below_seq, purge.keep) == (None, None, None);
        if let Some(filter) = purge.filter {
            let settled = self.log.durable();
            let pos = if self.purged { settled } else { purged.pos };
            self.narrowed.push((pos, filter.into()));
        }
        Ok(purged.count)
    }

    /// True when nothing that is appended waits for the disk.
    pub(crate) fn is_durable(&self) -> bool {
        self.log.durable() >= self.log.end() || self.log.blocked().is_some()
    }

    /// Queues an answer that leaves once everything appended so far is durable.
    pub(crate) fn answer(&mut self, reply: &[u8], payload: &[u8]) {
        let end = self.log.end();
        self.answers.payload(end, reply, payload);
    }

    /// As [`answer`](Self::answer), with headers.
    pub(crate) fn answer_with(&mut self, reply: &[u8], headers: &[u8], payload: &[u8]) {
        let end = self.log.end();
        self.answers.republish(end, 0, reply, headers, payload);
    }

    fn close(&mut self, host: &mut dyn Host, now: Now) -> Vec<u64> {
        let names: Vec<String> = self.consumers.configs().map(|(name, _)| name.into()).collect();
        let mut stored = Vec::new();
        for name in names {
            let kept = self.is_consumer_stored(&name);
            stored.extend(self.drop_consumer(host, now, &name).filter(|_| kept));
        }
        self.report_usage(0);
        self.set_disk_full(false);
        self.waiting.clear();
        self.batches.clear(Holding::of(&self.shared, &self.account));
        self.fast.clear(&self.shared.batches);
        self.parked.clear();
        self.totals.clear(Keeping::of(&self.shared, &self.account));
        self.stop_feeds(host);
        self.closed = true;
        self.wake_readers();
        host.wake_at(self.scope.stream_id, u64::MAX);
        stored
    }

    /// What recovery read beside the messages.
    pub(crate) fn restore_memory(
        &mut self,
        ids: VecDeque<(u64, i64, Box<[u8]>)>,
        last_id: Vec<u8>,
        expiry: Expiry,
        plan: Plan,
    ) {
        for (seq, time, id) in ids {
            // An id whose message is gone is forgotten by a restart (nats-server 2.15.1).
            if self.log.contains(seq) {
                self.dedupe.insert(&id, seq, time);
            }
        }
        self.last_msg_id = last_id;
        self.expiry = expiry;
        self.plan = plan;
    }

    fn report_usage(&mut self, bytes: u64) {
        let delta = bytes as i64 - self.reported_bytes as i64;
        if delta != 0 {
            self.account.usage.add(self.scope.memory, delta);
            self.shared.usage.add(self.scope.memory, delta);
            self.reported_bytes = bytes;
            if delta < 0 {
                let memory = self.scope.memory;
                self.shared.load.made_room(memory, self.shared.usage.get(memory));
            }
        }
    }
}
