//! Making a stream from an archive (`STREAM.RESTORE`, jetstream.md 2.15).
//!
//! A [`Restore`] is what the API hands to the server, which feeds it what clients send. The stream grows
//! where nobody sees it: the catalog says that its files are to be removed until the one change of the
//! catalog that makes it a stream. So whatever breaks off, also the server, leaves nothing behind
//! (nats-server 2.15.1 leaves what it got).

use std::sync::Arc;
use std::task::Waker;

use serde::Deserialize;

use natterjack_store::SEQ_MAX;

use super::JetStream;
use super::catalog::{Change, ConsumerRecord, StreamRecord};
use super::registry::CREATED;
use crate::account::Account;
use crate::advisory::{self, Event};
use crate::api::Addressee;
use crate::archive::{ArchiveError, ArchiveReader, CONSUMERS, Entry, STATE};
use crate::consumer::{self, Archived, Limits};
use crate::error::ApiError;
use crate::host::Host;
use crate::json::{self, go_quote, int};
use crate::nuid;
use crate::snapshot::Transfer;
use crate::stream::backup::failed;
use crate::stream::config::{Retention, Storage};
use crate::stream::{Config, StreamCell, validate};
use crate::sync;
use crate::time::Now;

/// Bytes of messages after which others have their turn.
const STEP: usize = 512 << 10;

/// Bytes of the states of all consumers of one archive, in the form in which they are kept.
const CONSUMER_BYTES: usize = 64 << 20;

/// Characters of a name that the server makes up.
const NAME_LEN: usize = 8;

/// A restore that was accepted.
#[derive(Debug)]
pub struct Restore {
    pub(crate) account: Arc<Account>,
    pub(crate) _transfer: Transfer,
    pub(crate) config: Config,
    /// The id of the stream, whose files the catalog holds for removed.
    pub(crate) id: u64,
    /// Where chunks come in.
    pub(crate) deliver: String,
    /// Who asked, as JSON.
    pub(crate) client: Vec<u8>,
    pub(crate) began: i64,
    pub(crate) received: u64,
    pub(crate) archive: ArchiveReader,
    pub(crate) phase: Phase,
    pub(crate) cell: Option<Arc<StreamCell>>,
    pub(crate) state: State,
    pub(crate) consumers: Vec<Archived>,
}

/// Which entries of the archive come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    State,
    /// So many consumers.
    Consumers(i64),
    Messages,
    /// The end has come; what follows it does not count.
    Ended,
    /// It failed, and nothing is left of it.
    Failed,
}

/// `state.json`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, rename = "StreamState")]
pub(crate) struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    #[serde(with = "int")]
    consumer_count: i64,
    /// The last sequence of the messages so far.
    #[serde(skip)]
    seen: u64,
}

/// What a step of a restore came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All that came is used up.
    Idle,
    /// There is more to do.
    More,
    /// The disk has to write first; the waker is woken then.
    Waits,
}

impl Restore {
    /// The account.
    pub fn account(&self) -> &str {
        &self.account.name
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.config.name
    }

    /// The subject on which chunks come.
    pub fn deliver_subject(&self) -> &str {
        &self.deliver
    }

    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes bytes of the archive. Those before should be [used up](JetStream::restore_step).
    pub fn push(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        if !matches!(self.phase, Phase::Ended | Phase::Failed) {
            self.archive.push(bytes);
        }
    }

    /// Tells who listens that it began.
    pub(crate) fn announce(&self, host: &mut dyn Host, now: Now, domain: Option<&str>) {
        let name = &self.config.name;
        let subject = format!("{}STREAM.RESTORE_CREATE.{name}", advisory::ADVISORY);
        if advisory::wanted(host, &self.account.name, &subject) {
            Event::advisory(host, now, "restore_create")
                .text("stream", name)
                .raw("client", &self.client)
                .send(host, &self.account.name, domain, &subject);
        }
    }

    /// Tells who listens that it ended, well or not.
    fn ended(&self, host: &mut dyn Host, now: Now, domain: Option<&str>) {
        let name = &self.config.name;
        let subject = format!("{}STREAM.RESTORE_COMPLETE.{name}", advisory::ADVISORY);
        if advisory::wanted(host, &self.account.name, &subject) {
            Event::advisory(host, now, "restore_complete")
                .text("stream", name)
                .time("start", self.began)
                .time("end", now.unix_ns)
                .number("bytes", self.received)
                .raw("client", &self.client)
                .send(host, &self.account.name, domain, &subject);
        }
    }

    /// Takes one entry; the stream must be there, but for the first.
    fn take(
        &mut self,
        engine: &JetStream,
        host: &mut dyn Host,
        now: Now,
        max_payload: usize,
    ) -> Result<Option<usize>, ApiError> {
        if matches!(self.phase, Phase::Ended | Phase::Failed) {
            return Ok(None);
        }
        let wrong = |error: ArchiveError| failed(error.to_string());
        let Some(entry) = self.archive.next_entry().map_err(wrong)? else { return Ok(None) };
        let size = entry.headers.len() + entry.payload.len() + entry.name.len();
        match self.phase {
            Phase::State => {
                self.state = State::read(&entry)?;
                let cell = engine.restored_stream(host, now, self)?;
                self.cell = Some(cell);
                self.phase = match self.state.consumer_count {
                    0 => Phase::Messages,
                    count => Phase::Consumers(count),
                };
            }
            Phase::Consumers(left) => {
                let quoted = |name: &[u8]| go_quote(&String::from_utf8_lossy(name));
                let Some(name) = entry.name.strip_prefix(CONSUMERS) else {
                    return Err(failed(format!("expected consumer, found {}", quoted(entry.name))));
                };
                let name = String::from_utf8_lossy(name);
                let archived = Archived::read(&name, entry.payload, now).map_err(failed)?;
                let kept: usize = self.consumers.iter().map(|archived| archived.note.len()).sum();
                if kept + archived.note.len() > CONSUMER_BYTES {
                    return Err(failed("the states of the consumers are too large".to_owned()));
                }
                // The last of two with one name counts.
                self.consumers.retain(|other| other.name != archived.name);
                self.consumers.push(archived);
                self.phase = match left {
                    1 => Phase::Messages,
                    left => Phase::Consumers(left - 1),
                };
            }
            Phase::Messages if entry.is_end() => self.phase = Phase::Ended,
            Phase::Messages => {
                let seq = entry.seq;
                if seq == 0 || seq > SEQ_MAX {
                    return Err(failed("expected message sequence".to_owned()));
                }
                if seq <= self.state.seen {
                    return Err(failed(format!("message sequence {seq} out of order")));
                }
                self.state.seen = seq;
                if let Some(cell) = &self.cell {
                    cell.lock().store_archived(now, &entry, max_payload)?;
                }
            }
            Phase::Ended | Phase::Failed => return Ok(None),
        }
        Ok(Some(size))
    }
}

impl State {
    /// Reads the first entry.
    fn read(entry: &Entry<'_>) -> Result<Self, ApiError> {
        if entry.name != STATE {
            return Err(failed("expected state.json first".to_owned()));
        }
        let mut state: Self = json::decode(entry.payload, false)
            .map_err(|error| failed(format!("error in state.json: {error}")))?;
        let wrong = |what: &str| Err(failed(format!("invalid stream state: {what}")));
        let Self { messages, first_seq: first, last_seq: last, .. } = state;
        if state.consumer_count < 0 {
            return wrong("negative consumer count");
        }
        let empty = messages == 0 && ((first, last) == (0, 0) || first == last.wrapping_add(1));
        if last > SEQ_MAX || (!empty && (first == 0 || first > last)) {
            return wrong("inconsistent message count or sequence range");
        }
        if !empty && messages > last - first + 1 {
            return wrong("message count exceeds sequence range");
        }
        state.seen = first.saturating_sub(1);
        Ok(state)
    }
}

impl JetStream {
    /// Makes room for a stream that is to come, and hands it to the host; `done` hears the subject that
    /// chunks go to, once the catalog says that what comes of it is no stream yet.
    ///
    /// # Errors
    /// When there cannot be such a stream.
    #[allow(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    pub(crate) fn begin_restore(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        mut config: Config,
        transfer: Transfer,
        client: Vec<u8>,
        done: impl FnOnce(&Self, &mut dyn Host, Now, &str) + Send + 'static,
    ) -> Result<(), ApiError> {
        // That it is sealed is no reason: nobody ever publishes to it.
        let sealed = std::mem::take(&mut config.sealed);
        validate::check_create(&config)?;
        config.sealed = sealed;
        config = self.complete(account, config)?;
        validate::check_filters(&config)?;
        let memory = config.storage == Storage::Memory;
        if !memory {
            self.shared.check_writable()?;
        }
        let id = self.shared.next_id();
        let token = nuid::text(22, || host.random());
        let restore = Restore {
            account: Arc::clone(account),
            deliver: format!("$JS.SNAPSHOT.RESTORE.{}.{token}", config.name),
            config,
            id,
            client,
            began: now.unix_ns,
            received: 0,
            archive: ArchiveReader::default(),
            phase: Phase::State,
            cell: None,
            state: State::default(),
            consumers: Vec::new(),
            _transfer: transfer,
        };
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            restore.announce(host, now, engine.shared.options.domain.as_deref());
            let deliver = restore.deliver.clone();
            host.take_restore(restore);
            done(engine, host, now, &deliver);
        });
        let recorded = self.shared.record(host, (!memory).then_some(Change::Restoring(id)), then);
        self.finish(host, now, recorded);
        Ok(())
    }

    /// Uses some of what was [pushed](Restore::push). `max_payload` is what the server lets clients
    /// publish. After an error nothing is left of the stream, and what comes is ignored.
    ///
    /// # Errors
    /// What the last answer shall be.
    pub fn restore_step(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &mut Restore,
        waker: &Waker,
        max_payload: usize,
    ) -> Result<Step, ApiError> {
        let step = self.step(host, now, restore, waker, max_payload);
        if step.is_err() {
            self.drop_restored(host, now, restore);
        }
        step
    }

    fn step(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &mut Restore,
        waker: &Waker,
        max_payload: usize,
    ) -> Result<Step, ApiError> {
        if let Some(cell) = &restore.cell
            && !cell.is_written(None, waker)?
        {
            return Ok(Step::Waits);
        }
        let mut size = 0;
        let step = loop {
            match restore.take(self, host, now, max_payload)? {
                None => break Step::Idle,
                Some(taken) => size += taken,
            }
            if size >= STEP {
                break Step::More;
            }
        };
        if let Some(cell) = &restore.cell {
            cell.lock().settle(host, now);
        }
        Ok(step)
    }

    /// The stream that an archive begins to describe, known to nobody.
    fn restored_stream(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &Restore,
    ) -> Result<Arc<StreamCell>, ApiError> {
        let State { bytes, first_seq, .. } = restore.state;
        let config = restore.config.clone();
        self.check_restored(&restore.account, &config)?;
        let memory = config.storage == Storage::Memory;
        let (account, server) = (restore.account.usage.get(memory), self.shared.usage.get(memory));
        if account.saturating_add(bytes) > restore.account.bytes_max(memory) {
            return Err(ApiError::AccountResourcesExceeded);
        }
        if server.saturating_add(bytes) > self.shared.bytes_max(memory) {
            return Err(match memory {
                true => ApiError::MemoryResourcesExceeded,
                false => ApiError::StorageResourcesExceeded,
            });
        }
        if first_seq < config.first_seq {
            let why = "invalid stream state: it begins before the first sequence of the stream";
            return Err(failed(why.to_owned()));
        }
        let cell = self.stream_with_id(host, now, &restore.account, config, restore.id);
        if first_seq > 0 {
            cell.lock().log.skip_to(first_seq - 1);
        }
        Ok(cell)
    }

    /// What a create asks of the account, for a stream that is restored.
    fn check_restored(&self, account: &Account, config: &Config) -> Result<(), ApiError> {
        if account.stream(&config.name).is_some() || account.offline_reason(&config.name).is_some()
        {
            return Err(ApiError::StreamNameExistRestoreFailed);
        }
        if account.is_taken(&config.subjects, None) {
            let error = ApiError::StreamSubjectOverlap;
            let text = format!("error adding stream: {error} ({})", error.err_code());
            return Err(failed(text));
        }
        account.check_tier()?;
        self.check_reservation(account, config, None)?;
        if account.limits().max_streams.is_some_and(|max| max > 0 && account.stream_count() >= max)
        {
            return Err(ApiError::MaximumStreamsLimit);
        }
        Ok(())
    }

    /// All chunks have come: completes the stream where nobody sees it. Afterwards ask
    /// [`is_restored`](Self::is_restored) until it is on disk.
    ///
    /// # Errors
    /// What the last answer shall be; nothing is left of the stream then.
    pub fn complete_restore(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &mut Restore,
    ) -> Result<(), ApiError> {
        let completed = self.fill_restored(host, now, restore);
        if completed.is_err() {
            self.drop_restored(host, now, restore);
        }
        completed
    }

    fn fill_restored(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &mut Restore,
    ) -> Result<(), ApiError> {
        let Some(cell) = restore.cell.as_ref().filter(|_| restore.phase == Phase::Ended) else {
            return Err(failed(restore.archive.missing().to_string()));
        };
        let mut stream = cell.lock();
        stream.log.skip_to(restore.state.last_seq);
        let limits_of = restore.account.limits();
        for mut archived in std::mem::take(&mut restore.consumers) {
            let name = archived.name.clone();
            let refused = |error: ApiError| {
                let name = go_quote(&name);
                failed(format!("failed to add consumer {name}: {error} ({})", error.err_code()))
            };
            let account_max = limits_of.max_ack_pending.unwrap_or(0);
            let server = self.shared.limits();
            let limits = Limits {
                stream_subjects: &restore.config.subjects,
                inactive_threshold: restore.config.consumer_limits.inactive_threshold,
                stream_max_ack_pending: restore.config.consumer_limits.max_ack_pending,
                max_ack_pending: server.max_ack_pending.unwrap_or(0),
                account_max_ack_pending: i64::try_from(account_max).unwrap_or(i64::MAX),
                max_request_batch: server.max_request_batch.unwrap_or(0),
                queue: restore.config.retention == Retention::Workqueue,
            };
            let config = &mut archived.config;
            consumer::check_name(&archived.name).map_err(refused)?;
            consumer::check_name_length(&archived.name).map_err(refused)?;
            if config.is_durable() && config.durable_name != archived.name {
                return Err(refused(ApiError::ConsumerCreateDurableAndNameMismatch));
            }
            consumer::fill_defaults(config, &limits, false).map_err(refused)?;
            consumer::check(config, &limits).map_err(refused)?;
            consumer::fill_threshold(config, None);
            stream.check_queue("", config).map_err(refused)?;
            if archived.name.is_empty() {
                archived.name = nuid::text(NAME_LEN, || host.random());
            }
            let max = server.consumers_max(stream.config.max_consumers, limits_of.max_consumers);
            if max.is_some_and(|max| stream.consumers.limited() as u64 >= max) {
                return Err(refused(ApiError::MaximumConsumersLimit));
            }
            stream.add_archived(host, now, self.shared.next_id(), &archived);
        }
        stream.release_recovered(true);
        stream.log.sync_now();
        stream.settle(host, now);
        Ok(())
    }

    /// Whether all of a [completed](Self::complete_restore) stream is on disk; else `waker` is woken
    /// when that may have changed.
    ///
    /// # Errors
    /// What the last answer shall be; nothing is left of the stream then.
    pub fn is_restored(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &mut Restore,
        waker: &Waker,
    ) -> Result<bool, ApiError> {
        let Some(cell) = &restore.cell else { return Ok(true) };
        let end = cell.lock().log.end();
        let written = cell.is_written(Some(end), waker);
        if written.is_err() {
            self.drop_restored(host, now, restore);
        }
        written
    }

    /// Makes a stream that [is restored](Self::is_restored) one of its account, and answers `reply`
    /// once that is durable; `done` follows.
    ///
    /// # Errors
    /// What the last answer shall be; nothing is left of the stream then.
    pub fn publish_restored(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: Restore,
        reply: &[u8],
        done: impl FnOnce(Now) + Send + 'static,
    ) -> Result<(), (Box<Restore>, ApiError)> {
        let changing = sync::lock(&self.api);
        let checked = self.check_restored(&restore.account, &restore.config);
        let (Some(cell), Ok(())) = (restore.cell.clone(), &checked) else {
            let mut restore = Box::new(restore);
            self.drop_restored(host, now, &mut restore);
            let error = checked.err().unwrap_or(ApiError::StreamNotFound);
            return Err((restore, error));
        };
        let change = (!cell.scope().memory).then(|| restored_change(&cell));
        restore.account.add_stream(&cell, &restore.config.subjects);
        let reply = Addressee::to(&restore.account.name, reply);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            engine.listen(host, &restore.account, &cell);
            let mut stream = cell.lock();
            let entries = stream.consumers.entries();
            let ids: Vec<(u64, String)> =
                entries.map(|entry| (entry.id, entry.consumer.name().to_owned())).collect();
            for (id, name) in ids {
                stream.consumer_ready(&name, id);
                stream.consumer_advisory(host, now, &name, ("CREATED", "create"));
            }
            stream.settle(host, now);
            drop(stream);
            engine.stream_advisory(host, now, &restore.account.name, &cell.scope().stream, CREATED);
            // What came back, before it takes more.
            engine.answer_created(host, now, &reply, &cell);
            engine.start_sourcing(host, now, &restore.account, &cell);
            restore.ended(host, now, engine.shared.options.domain.as_deref());
            done(now);
        });
        let recorded = self.shared.record(host, change, then);
        drop(changing);
        self.finish(host, now, recorded);
        Ok(())
    }

    /// Answers `reply` with what a restore failed of.
    pub fn refuse_restored(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &Restore,
        reply: &[u8],
        error: &ApiError,
    ) {
        let reply = Addressee::to(&restore.account.name, reply);
        self.answer_not_created(host, now, &reply, error);
    }

    /// Ends a restore that does not become a stream: nothing is left of it. Of one whose sender went
    /// `silent` nobody is told (nats-server 2.15.1).
    pub fn abandon_restore(
        &self,
        host: &mut dyn Host,
        now: Now,
        restore: &mut Restore,
        silent: bool,
    ) {
        self.drop_restored(host, now, restore);
        if !silent {
            restore.ended(host, now, self.shared.options.domain.as_deref());
        }
    }

    /// Removes what there is of the stream. The catalog forgets its id when its files are gone.
    fn drop_restored(&self, host: &mut dyn Host, now: Now, restore: &mut Restore) {
        if std::mem::replace(&mut restore.phase, Phase::Failed) == Phase::Failed {
            return;
        }
        restore.archive = ArchiveReader::default();
        restore.consumers = Vec::new();
        let memory = restore.config.storage == Storage::Memory;
        let removing = restore.cell.take().is_some_and(|cell| {
            cell.close(host, now);
            let removing = cell.destroy(host);
            if !removing {
                sync::write(&self.by_id).remove(&restore.id);
            }
            removing
        });
        if !removing && !memory {
            self.stream_gone(host, restore.id);
        }
    }
}

/// The one change that makes it a stream.
fn restored_change(cell: &StreamCell) -> Change {
    let stream = cell.lock();
    let record = StreamRecord {
        account: cell.scope().account.to_string(),
        created: cell.created(),
        config: stream.config.clone(),
    };
    let stored = stream.consumers.entries().filter(|entry| entry.consumer.config().is_kept());
    let consumers = stored.map(|entry| {
        let record = ConsumerRecord {
            stream: cell.id(),
            name: entry.consumer.name().to_owned(),
            created: entry.consumer.created(),
            config: entry.consumer.config().clone(),
            start: Vec::new(),
        };
        (entry.id, record)
    });
    Change::Restored(cell.id(), Box::new(record), consumers.collect())
}
