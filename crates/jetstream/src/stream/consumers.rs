//! The consumers of a stream: how they come, what is asked of them, and how they leave.

use natterjack_store::{Log, SeqRange};

use super::Stream;
use super::drive::note;
use super::table::Entry;
use crate::ack_subject::AckToken;
use crate::advisory::{self, Event};
use crate::consumer::{self, Consumer, ConsumerInfo, Paused};
use crate::ctx::{AckReplies, Ctx, NOTE_CONSUMER, Scope};
use crate::engine::catalog::{Change, ConsumerRecord};
use crate::error::ApiError;
use crate::host::Host;
use crate::time::Now;

/// Bytes of a first note that the catalog takes; a longer one goes into the stream's log.
const START_MAX: usize = 128;

/// What a rate limit lets through at once: the largest message, by default that of a server
/// (nats-server 2.15.1).
pub(super) fn burst(config: &super::Config) -> usize {
    const MAX_PAYLOAD: usize = 1 << 20;
    usize::try_from(config.max_msg_size).ok().filter(|size| *size > 0).unwrap_or(MAX_PAYLOAD)
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
        // The ack counts, and who asked for an answer asks again. Where the next message is asked for,
        // that is the answer.
        let waits = !body.starts_with(b"+NXT");
        let reply = reply.filter(|_| !waits || !self.is_overloaded(0));
        self.call_named(host, now, name, |consumer, ctx| consumer.ack(ctx, token, body, reply))
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
        self.call_named(host, now, name, |consumer, ctx| consumer.pull(ctx, reply, body)).is_some()
    }

    /// Takes the answer to a flow-control request.
    pub(crate) fn flow_reply(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        token: &[u8],
        headers: &[u8],
    ) -> bool {
        let reply = |consumer: &mut Consumer, ctx: &mut Ctx<'_>| {
            consumer.flow_reply(ctx, token, headers);
        };
        self.call_named(host, now, name, reply).is_some()
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
        self.call_named(host, now, name, |consumer, ctx| consumer.info(ctx, server))
    }

    /// As [`consumer_info`](Self::consumer_info) for an answer that waits until all of it is
    /// durable: what is not written down yet is written.
    pub(crate) fn told_consumer_info(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
    ) -> Option<ConsumerInfo> {
        let info = self.consumer_info(host, now, name, false);
        self.write_note_of(name);
        self.settle(host, now);
        info
    }

    /// Pauses or resumes a consumer.
    pub(crate) fn pause_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        until: Option<i64>,
    ) -> Option<Paused> {
        self.call_named(host, now, name, |consumer, ctx| consumer.pause(ctx, until))
    }

    /// Says again that a consumer is paused, if it is.
    pub(crate) fn recall_pause(&mut self, host: &mut dyn Host, now: Now, name: &str) {
        self.call_named(host, now, name, |consumer, ctx| consumer.recall_pause(ctx));
    }

    /// Lets another client be pinned in a group of a consumer.
    pub(crate) fn unpin(&mut self, host: &mut dyn Host, now: Now, name: &str, group: &str) {
        self.call_named(host, now, name, |consumer, ctx| consumer.unpin(ctx, group));
    }

    /// Starts a consumer again elsewhere; the sequence that is next.
    pub(crate) fn reset_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        seq: u64,
    ) -> Option<Result<u64, ApiError>> {
        let slot = self.consumers.slot(name)?;
        let claimed = self.claims_of(slot);
        let next = self.call(host, now, slot, |consumer, ctx| consumer.reset(ctx, seq));
        self.release(&claimed);
        next
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
        let mut consumer = Consumer::new(&mut ctx, name, config);
        consumer.record_released(self.releases());
        self.consumers.insert(Entry::new(id, consumer, replies));
        self.watch(host, name, true);
        self.account.add_consumers(direct, 1);
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
        consumer.record_released(self.releases());
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
        let mut entry = Entry::new(id, consumer, replies);
        (entry.ready, entry.start) = (true, start.into());
        self.consumers.insert(entry);
        self.watch(host, name, true);
        self.account.add_consumers(direct, 1);
    }

    /// Lets the catalog keep where a new consumer starts, so that its creation is one record under
    /// one sync and a stream without messages needs no files for it.
    pub(crate) fn keep_start(&mut self, name: &str) {
        let slot = self.consumers.slot(name);
        let Some(entry) = slot.and_then(|slot| self.consumers.entry_mut(slot)) else { return };
        match entry.consumer.take_notes() {
            Some(start) if start.len() <= START_MAX => entry.start = start.into(),
            Some(notes) => drop(self.log.note(NOTE_CONSUMER, &note(entry.id, &notes))),
            None => {}
        }
    }

    /// What the catalog is to hold of a consumer; nothing of one in memory.
    pub(crate) fn consumer_change(&self, name: &str) -> Option<Change> {
        let entry = self.consumers.find(name).filter(|_| self.is_consumer_stored(name))?;
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
        let end = self.log.end();
        let Some(slot) = self.consumers.slot(name) else { return };
        if let Some(entry) = self.consumers.entry_mut(slot).filter(|entry| entry.id == id) {
            entry.starts_at = Some(end);
            self.consumers.starting.push(slot);
        }
    }

    /// Lets consumers deliver whose creation became durable. Their answers left before.
    pub(super) fn start_consumers(&mut self) {
        let durable = self.log.durable();
        let mut waiting = std::mem::take(&mut self.consumers.starting);
        waiting.retain(|slot| match self.consumers.entry_mut(*slot) {
            Some(entry) if entry.starts_at.is_some_and(|pos| pos > durable) => true,
            Some(entry) => {
                entry.starts_at = None;
                entry.ready = true;
                self.consumers.touch(*slot);
                false
            }
            None => false,
        });
        self.consumers.starting = waiting;
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
        let slot = self.consumers.slot(name).ok_or(ApiError::ConsumerNotFound)?;
        let claimed = self.claims_of(slot);
        self.watch(host, name, false);
        self.consumers.unindex(slot);
        let updated = self.call(host, now, slot, |consumer, ctx| consumer.update(ctx, config));
        self.consumers.index(slot);
        self.watch(host, name, true);
        self.release(&claimed);
        updated.unwrap_or(Err(ApiError::ConsumerNotFound))
    }

    /// Removes a consumer and says so. Its id if it was there, and what it waited for, which is to
    /// be [released](Self::release) once its removal is durable.
    pub(crate) fn remove_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
    ) -> Option<(u64, Vec<SeqRange>)> {
        let slot = self.consumers.slot(name)?;
        if self.releases() {
            // What it settled counts.
            self.write_note(slot);
        }
        let claimed = self.claims_of(slot);
        self.drop_consumer(host, now, name).map(|id| (id, claimed))
    }

    /// Removes a consumer and says so; its id if it was there.
    pub(super) fn drop_consumer(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
    ) -> Option<u64> {
        self.watch(host, name, false);
        let slot = self.consumers.slot(name)?;
        self.call(host, now, slot, Consumer::close);
        let mut entry = self.consumers.remove(slot)?;
        // Acks that it took count; their clients hear so when the stream's records are durable.
        let end = self.log.end();
        let answers = &mut self.answers;
        entry.replies.drain(|reply| answers.payload(end, reply, &[]));
        self.account.add_consumers(entry.consumer.config().direct, -1);
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
        if subject.is_empty() {
            return;
        }
        if self.consumers.delivering_to(subject.as_bytes()).len() == 1 {
            host.watch_interest(&self.scope.account, subject.as_bytes(), self.scope.stream_id, on);
        }
    }

    /// True when the consumer is in the catalog.
    pub(crate) fn is_consumer_stored(&self, name: &str) -> bool {
        !self.scope.memory
            && self.consumers.get(name).is_some_and(|consumer| !consumer.config().mem_storage)
    }
}
