//! The consumers of a stream: who is there, when they are driven, and how they leave.

use std::collections::BTreeMap;

use natterjack_store::{Log, LogPos, SeqRange};

use super::Stream;
use crate::ack_subject::AckToken;
use crate::advisory::{self, Event};
use crate::consumer::{self, Consumer, ConsumerInfo, Paused};
use crate::ctx::{AckReplies, Ctx, NOTE_CONSUMER, Scope};
use crate::engine::catalog::{Change, ConsumerRecord};
use crate::error::ApiError;
use crate::host::Host;
use crate::time::Now;

/// Rounds over all consumers in one settle; what is left after them waits for the timer, so that
/// a long backlog does not keep publishers from the lock.
const PUMP_ROUNDS: usize = 8;

/// Bytes of a first note that the catalog takes; a longer one goes into the stream's log.
const START_MAX: usize = 128;

/// A consumer with what the stream keeps about it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number in notes and in the catalog.
    pub(crate) id: u64,
    pub(crate) consumer: Consumer,
    /// False until its creation is durable: before that it delivers nothing.
    ready: bool,
    /// The catalog has it, and the log will up to here.
    starts_at: Option<LogPos>,
    /// Something happened since it was last driven.
    dirty: bool,
    /// Empty answers that wait for its next note.
    replies: AckReplies,
    /// Its first note, as the catalog has it; empty where it is in the log.
    start: Box<[u8]>,
}

/// The consumers by name.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    by_name: BTreeMap<Box<str>, Entry>,
    /// The last visible sequence when all of them were driven.
    driven_to: u64,
    /// Some wait for their start to become durable.
    starting: bool,
}

impl Consumers {
    /// How many count: those of mirrors and sources do not.
    pub(crate) fn counted(&self) -> usize {
        self.by_name.values().filter(|entry| !entry.consumer.config().direct).count()
    }

    pub(crate) fn id(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|entry| entry.id)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Consumer> {
        self.by_name.get(name).map(|entry| &entry.consumer)
    }

    /// The ones that lists show, by name.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &str> {
        let shown = self.by_name.iter().filter(|(_, entry)| !entry.consumer.config().direct);
        shown.map(|(name, _)| &**name)
    }

    pub(crate) fn configs(&self) -> impl Iterator<Item = (&str, &consumer::Config)> {
        self.by_name.iter().map(|(name, entry)| (&**name, entry.consumer.config()))
    }
}

/// What a rate limit lets through at once: the largest message, by default that of a server
/// (nats-server 2.15.1).
fn burst(config: &super::Config) -> usize {
    const MAX_PAYLOAD: usize = 1 << 20;
    usize::try_from(config.max_msg_size).ok().filter(|size| *size > 0).unwrap_or(MAX_PAYLOAD)
}

/// Runs `$call` with the consumer `$name` and its surroundings; `None` when there is none.
macro_rules! with_consumer {
    ($stream:expr, $host:expr, $now:expr, $name:expr, |$consumer:ident, $ctx:ident| $call:expr) => {{
        let stream: &mut Stream = $stream;
        match stream.consumers.by_name.get_mut($name) {
            None => None,
            Some(entry) => {
                entry.dirty = true;
                let burst = burst(&stream.config);
                let $consumer = &mut entry.consumer;
                let $ctx = &mut Ctx {
                    host: $host,
                    log: &mut stream.log,
                    now: $now,
                    scope: &stream.scope,
                    replies: &mut entry.replies,
                    burst,
                };
                Some($call)
            }
        }
    }};
}

impl Stream {
    /// Takes an ack; false when nobody is there to take it.
    pub(crate) fn ack(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        token: &AckToken,
        body: &[u8],
        reply: Option<&[u8]>,
    ) -> bool {
        with_consumer!(self, host, now, name, |consumer, ctx| consumer.ack(ctx, token, body, reply))
            .unwrap_or(false)
    }

    /// Takes a pull request; false when there is no such consumer.
    pub(crate) fn pull(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        reply: &[u8],
        body: &[u8],
    ) -> bool {
        with_consumer!(self, host, now, name, |consumer, ctx| consumer.pull(ctx, reply, body))
            .is_some()
    }

    /// Takes the answer to a flow-control request.
    pub(crate) fn flow_reply(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        token: &[u8],
    ) -> bool {
        with_consumer!(self, host, now, name, |consumer, ctx| consumer.flow_reply(ctx, token))
            .is_some()
    }

    /// The answer to `CONSUMER.INFO`; `listed` as lists show it.
    pub(crate) fn consumer_info(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        listed: bool,
    ) -> Option<ConsumerInfo> {
        let version = self.shared.options.server_version.clone();
        let level = u32::try_from(super::meta::API_LEVEL).unwrap_or(u32::MAX);
        let server = (!listed).then_some((level, &*version));
        with_consumer!(self, host, now, name, |consumer, ctx| consumer.info(ctx, server))
    }

    /// Pauses or resumes a consumer.
    pub(crate) fn pause_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        until: Option<i64>,
    ) -> Option<Paused> {
        with_consumer!(self, host, now, name, |consumer, ctx| consumer.pause(ctx, until))
    }

    /// Starts a consumer again elsewhere; the sequence that is next.
    pub(crate) fn reset_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        seq: u64,
    ) -> Option<Result<u64, ApiError>> {
        with_consumer!(self, host, now, name, |consumer, ctx| consumer.reset(ctx, seq))
    }

    /// Adds a consumer whose configuration is complete and checked.
    pub(crate) fn add_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        id: u64,
        config: consumer::Config,
    ) {
        let mut replies = AckReplies::default();
        let direct = config.direct;
        let mut ctx = Ctx {
            host: &mut *host,
            log: &mut self.log,
            now,
            scope: &self.scope,
            replies: &mut replies,
            burst: burst(&self.config),
        };
        let consumer = Consumer::new(&mut ctx, name, config);
        let start = Box::default();
        let entry =
            Entry { id, consumer, ready: false, starts_at: None, dirty: true, replies, start };
        self.consumers.by_name.insert(name.into(), entry);
        self.watch(host, name, true);
        if !direct {
            self.account.add_consumers(1);
        }
    }

    /// Takes over a consumer that the catalog holds, with what it noted.
    #[allow(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    pub(crate) fn restore_consumer<'a>(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        blank: &mut Log,
        (id, created): (u64, i64),
        name: &str,
        config: consumer::Config,
        start: Vec<u8>,
        notes: impl Iterator<Item = &'a [u8]>,
    ) {
        let mut replies = AckReplies::default();
        let direct = config.direct;
        let ctx = Ctx {
            host: &mut *host,
            log: blank,
            now,
            scope: &self.scope,
            replies: &mut replies,
            burst: burst(&self.config),
        };
        let mut consumer = Consumer::restore(&ctx, name, config, created);
        let end = self.log.state().last_seq;
        let mut notes = notes.peekable();
        if !start.is_empty() {
            // What a damaged note held comes again: it is delivered once more.
            let _ = consumer.apply_note(&start);
            if notes.peek().is_none() {
                consumer.check_start(end);
            }
        }
        for note in notes {
            let _ = consumer.apply_note(note);
        }
        let mut ctx = Ctx {
            host: &mut *host,
            log: &mut self.log,
            now,
            scope: &self.scope,
            replies: &mut replies,
            burst: burst(&self.config),
        };
        consumer.recovered(&mut ctx);
        let start = start.into();
        let entry =
            Entry { id, consumer, ready: true, starts_at: None, dirty: true, replies, start };
        self.consumers.by_name.insert(name.into(), entry);
        self.watch(host, name, true);
        if !direct {
            self.account.add_consumers(1);
        }
    }

    /// Lets the catalog keep where a new consumer starts, so that its creation is one record under
    /// one sync and a stream without messages needs no files for it.
    pub(crate) fn keep_start(&mut self, name: &str) {
        let Some(entry) = self.consumers.by_name.get_mut(name) else { return };
        match entry.consumer.take_notes() {
            Some(start) if start.len() <= START_MAX => entry.start = start.into(),
            Some(notes) => drop(self.log.note(NOTE_CONSUMER, &note(entry.id, &notes))),
            None => {}
        }
    }

    /// What the catalog is to hold of a consumer; nothing of one in memory.
    pub(crate) fn consumer_change(&self, name: &str) -> Option<Change> {
        let entry = self.consumers.by_name.get(name).filter(|_| self.is_consumer_stored(name))?;
        let record = ConsumerRecord {
            stream: self.scope.stream_id,
            name: name.to_owned(),
            created: entry.consumer.created(),
            config: entry.consumer.config().clone(),
            start: entry.start.to_vec(),
        };
        Some(Change::PutConsumer(entry.id, Box::new(record)))
    }

    /// The catalog holds the consumer for good; it delivers once the log has its start, too.
    pub(crate) fn consumer_ready(&mut self, name: &str, id: u64) {
        if let Some(entry) = self.consumers.by_name.get_mut(name)
            && entry.id == id
        {
            entry.starts_at = Some(self.log.end());
            self.consumers.starting = true;
        }
    }

    /// Lets consumers deliver whose creation became durable. Their answers left before.
    pub(super) fn start_consumers(&mut self) {
        if !self.consumers.starting {
            return;
        }
        let durable = self.log.durable();
        self.consumers.starting = false;
        for entry in self.consumers.by_name.values_mut() {
            match entry.starts_at {
                Some(pos) if pos <= durable => {
                    entry.starts_at = None;
                    entry.ready = true;
                    entry.dirty = true;
                }
                other => self.consumers.starting |= other.is_some(),
            }
        }
    }

    /// Changes a consumer.
    ///
    /// # Errors
    /// As [`Consumer::update`].
    pub(crate) fn update_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        config: consumer::Config,
    ) -> Result<(), ApiError> {
        self.watch(host, name, false);
        let updated = with_consumer!(self, &mut *host, now, name, |consumer, ctx| {
            consumer.update(ctx, config)
        });
        self.watch(host, name, true);
        updated.unwrap_or(Err(ApiError::ConsumerNotFound))
    }

    /// Removes a consumer and says so; its id if it was there.
    pub(crate) fn remove_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
    ) -> Option<u64> {
        self.watch(host, name, false);
        with_consumer!(self, &mut *host, now, name, |consumer, ctx| consumer.close(ctx))?;
        let mut entry = self.consumers.by_name.remove(name)?;
        // Acks that it took count; their clients hear so when the stream's records are durable.
        let end = self.log.end();
        let answers = &mut self.answers;
        entry.replies.drain(|reply| answers.payload(end, reply, &[]));
        if !entry.consumer.config().direct {
            self.account.add_consumers(-1);
        }
        self.consumer_advisory(host, now, name, ("DELETED", "delete"));
        Some(entry.id)
    }

    /// `CONSUMER.CREATED` and `.DELETED`.
    pub(crate) fn consumer_advisory(
        &self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        (event, action): (&str, &str),
    ) {
        let Scope { account, stream, domain, .. } = &self.scope;
        let subject = format!("{}CONSUMER.{event}.{stream}.{name}", advisory::ADVISORY);
        if advisory::wanted(host, account, &subject) {
            Event::advisory(host, now, "consumer_action")
                .text("stream", stream)
                .text("consumer", name)
                .text("action", action)
                .send(host, account, domain.as_deref(), &subject);
        }
    }

    /// Starts or ends watching the deliver subject of a push consumer, unless another needs it.
    fn watch(&self, host: &mut dyn Host, name: &str, on: bool) {
        let Some(consumer) = self.consumers.get(name) else { return };
        let subject = &consumer.config().deliver_subject;
        let shared = self.consumers.configs().filter(|(_, c)| c.deliver_subject == *subject);
        if !subject.is_empty() && shared.count() == 1 {
            host.watch_interest(&self.scope.account, subject.as_bytes(), self.scope.stream_id, on);
        }
    }

    /// Subscriptions on a deliver subject came or went.
    pub(super) fn interest_changed(&mut self, host: &mut dyn Host, now: Now, subject: &[u8]) {
        self.each(host, now, |entry, ctx| {
            if entry.consumer.config().deliver_subject.as_bytes() == subject {
                entry.consumer.interest_changed(ctx);
                *entry.dirty = true;
            }
        });
    }

    /// Targets that were congested take messages again.
    pub(super) fn resume(&mut self, host: &mut dyn Host, now: Now) {
        self.each(host, now, |entry, ctx| *entry.dirty |= entry.consumer.resume(ctx));
    }

    fn each(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        mut f: impl FnMut(&mut SplitEntry<'_>, &mut Ctx<'_>),
    ) {
        let burst = burst(&self.config);
        for entry in self.consumers.by_name.values_mut() {
            let Entry { consumer, dirty, replies, ready, .. } = entry;
            let mut split = SplitEntry { consumer, dirty, ready: *ready };
            let mut ctx = Ctx {
                host: &mut *host,
                log: &mut self.log,
                now,
                scope: &self.scope,
                replies,
                burst,
            };
            f(&mut split, &mut ctx);
        }
    }

    /// Tells consumers of messages that limits, ages and deletes took.
    pub(super) fn tell_removed(&mut self, host: &mut dyn Host, now: Now) {
        let ranges: Vec<SeqRange> = std::mem::take(&mut self.evicted);
        if ranges.is_empty() || self.consumers.by_name.is_empty() {
            return;
        }
        self.each(host, now, |entry, ctx| {
            for range in &ranges {
                entry.consumer.removed(ctx, *range);
            }
            *entry.dirty = true;
        });
    }

    /// Tells consumers of a purge.
    pub(super) fn tell_purged(&mut self, host: &mut dyn Host, now: Now) {
        self.each(host, now, |entry, ctx| {
            entry.consumer.purged(ctx);
            *entry.dirty = true;
        });
    }

    /// Runs the consumers' clocks and removes those nobody wants any more.
    pub(super) fn tick_consumers(&mut self, host: &mut dyn Host, now: Now) {
        let mut expired: Vec<String> = Vec::new();
        self.each(host, now, |entry, ctx| {
            if entry.consumer.next_deadline().is_some_and(|at| at <= ctx.now.mono_ns) {
                entry.consumer.tick(ctx);
                *entry.dirty = true;
                if entry.consumer.is_expired(ctx) {
                    expired.push(entry.consumer.name().to_owned());
                }
            }
        });
        for name in expired {
            let stored = self.is_consumer_stored(&name);
            if let Some(id) = self.remove_consumer(host, now, &name)
                && stored
            {
                self.shared.forget_consumer(host, id);
            }
        }
    }

    /// True when the consumer is in the catalog.
    pub(crate) fn is_consumer_stored(&self, name: &str) -> bool {
        !self.scope.memory
            && self.consumers.get(name).is_some_and(|consumer| !consumer.config().mem_storage)
    }

    /// Lets consumers deliver what there is. True when some have more to do.
    pub(super) fn pump(&mut self, host: &mut dyn Host, now: Now) -> bool {
        let visible = self.log.visible_last();
        let fresh = visible != self.consumers.driven_to;
        self.consumers.driven_to = visible;
        let mut more = false;
        for round in 0..PUMP_ROUNDS {
            more = false;
            self.each(host, now, |entry, ctx| {
                let waits = entry.consumer.is_reading();
                if entry.ready && (*entry.dirty || (round == 0 && (fresh || waits))) {
                    *entry.dirty = entry.consumer.pump(ctx);
                    more |= *entry.dirty;
                }
            });
            if !more {
                break;
            }
        }
        more
    }

    /// Writes what changed in the consumers as notes and queues the answers that wait for them.
    pub(crate) fn write_notes(&mut self) {
        for entry in self.consumers.by_name.values_mut() {
            let notes = if entry.consumer.has_notes() { entry.consumer.take_notes() } else { None };
            let pos = match notes {
                Some(notes) => self.log.note(NOTE_CONSUMER, &note(entry.id, &notes)),
                None if entry.replies.is_empty() => continue,
                None => self.log.end(),
            };
            let answers = &mut self.answers;
            entry.replies.drain(|reply| answers.payload(pos, reply, &[]));
        }
    }

    /// The state of all consumers, which makes their earlier notes obsolete.
    pub(super) fn checkpoint(&mut self) {
        let stored = self
            .consumers
            .by_name
            .values()
            .filter(|entry| !self.scope.memory && !entry.consumer.config().mem_storage);
        let notes: Vec<(u8, Vec<u8>)> = stored
            .map(|entry| (NOTE_CONSUMER, note(entry.id, &entry.consumer.checkpoint())))
            .collect();
        self.log.checkpoint(&notes);
    }

    /// When a consumer's clock asks for a tick.
    pub(super) fn next_consumer_deadline(&self) -> Option<u64> {
        let entries = self.consumers.by_name.values();
        entries.filter_map(|entry| entry.consumer.next_deadline()).min()
    }
}

/// An entry while its replies are lent to the surroundings of a call.
struct SplitEntry<'a> {
    consumer: &'a mut Consumer,
    dirty: &'a mut bool,
    ready: bool,
}

/// A note's body: the consumer's id, then what it says.
fn note(id: u64, body: &[u8]) -> Vec<u8> {
    let mut note = Vec::with_capacity(8 + body.len());
    note.extend_from_slice(&id.to_le_bytes());
    note.extend_from_slice(body);
    note
}
