//! Creating, changing and deleting streams.

use std::sync::Arc;
use std::time::Duration;

use natterjack_store::directory::{RESERVE, stream_dir};
use natterjack_store::{FileOptions, Log, SyncPolicy};

use super::JetStream;
use super::catalog::{Change, Recorded, StreamRecord};
use crate::account::{Account, AccountLimits};
use crate::api;
use crate::ctx::Scope;
use crate::error::ApiError;
use crate::host::Host;
use crate::stream::config::{PersistMode, Storage};
use crate::stream::validate::Surroundings;
use crate::stream::{Config, Parts, StreamCell, log_limits, validate};
use crate::sync;
use crate::time::Now;

/// How long after they are written the messages of a stream with `persist_mode` async are synced:
/// nats-server's `sync_interval`.
const ASYNC_INTERVAL: Duration = Duration::from_secs(120);

impl JetStream {
    /// Creates a stream, or finds the one with the same configuration, and calls `done` once it
    /// is there for good.
    ///
    /// # Errors
    /// The refusals of jetstream.md 2.2 and 1.5.
    pub(crate) fn create_stream(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        config: Config,
        done: impl FnOnce(&Self, &mut dyn Host, Now, &Arc<StreamCell>) + Send + 'static,
    ) -> Result<(), ApiError> {
        validate::check_create(&config)?;
        let _changing = sync::lock(&self.api);
        let limits = account.limits();
        let others = account.stream_count() - u64::from(account.stream(&config.name).is_some());
        if limits.max_streams.is_some_and(|max| max > 0 && others >= max) {
            return Err(ApiError::MaximumStreamsLimit);
        }
        let config = self.complete(account, config)?;
        if let Some(known) = account.stream(&config.name) {
            if known.lock().config != config {
                return Err(ApiError::StreamNameExist);
            }
            let known_in_memory = known.scope().memory;
            // It may have been made a moment ago, by somebody who still waits for the disk.
            let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
                done(engine, host, now, &known);
            });
            let recorded = match known_in_memory {
                true => Recorded::Done(then),
                false => self.shared.after_recorded(then),
            };
            self.finish(host, now, recorded);
            return Ok(());
        }
        if let Some(reason) = account.offline_reason(&config.name) {
            return Err(ApiError::StreamOfflineReason { err: reason.into() });
        }
        account.check_tier()?;
        self.check_reservation(account, &config, None)?;
        validate::check_filters(&config)?;
        if account.is_taken(&config.subjects, None) {
            return Err(ApiError::StreamSubjectOverlap);
        }
        if config.storage == Storage::File {
            self.shared.check_writable()?;
        }
        let subjects = config.subjects.clone();
        let stream = self.new_stream(host, now, account, config);
        let change = stream_change(&stream);
        account.add_stream(&stream, &subjects);
        // Messages are taken once the stream cannot be forgotten any more.
        let owner = Arc::clone(account);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            engine.listen(host, &owner, &stream);
            // The answer tells of the stream as it was made, before it takes anything.
            stream.lock().know_feeds(host, now);
            done(engine, host, now, &stream);
            engine.start_sourcing(host, now, &owner, &stream);
            engine.stream_advisory(host, now, &owner.name, &stream.scope().stream, CREATED);
        });
        let recorded = self.shared.record(host, change, then);
        self.finish(host, now, recorded);
        Ok(())
    }

    /// Checks a configuration among the other streams of its account, and fills in defaults.
    pub(super) fn complete(&self, account: &Account, config: Config) -> Result<Config, ApiError> {
        let around = Surroundings {
            window_limit: self.shared.limits().duplicate_window,
            stream: &|name| Some(account.stream(name)?.lock().config.clone()),
            bytes: &|config| check_bytes(&account.limits(), config),
        };
        validate::complete(config, &around)
    }

    fn new_stream(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        config: Config,
    ) -> Arc<StreamCell> {
        self.stream_with_id(host, now, account, config, self.shared.next_id())
    }

    /// An empty stream that no account knows.
    pub(super) fn stream_with_id(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        config: Config,
        id: u64,
    ) -> Arc<StreamCell> {
        let limits = log_limits(&config);
        let log = match config.storage {
            Storage::Memory => Log::memory(config.first_seq, limits),
            Storage::File => {
                let options = self.log_options(id, host.random(), &config);
                Log::file(config.first_seq, limits, options)
            }
        };
        let stream = Arc::new(StreamCell::new(Parts {
            scope: self.scope(account, &config, id),
            shared: Arc::clone(&self.shared),
            account: Arc::clone(account),
            config,
            created: now.unix_ns,
            log,
            dedupe_key: [host.random(), host.random()],
        }));
        sync::write(&self.by_id).insert(id, Arc::clone(&stream));
        stream
    }

    pub(super) fn scope(&self, account: &Account, config: &Config, id: u64) -> Scope {
        Scope {
            account: Arc::clone(&account.name),
            stream: config.name.as_str().into(),
            stream_id: id,
            domain: self.shared.options.domain.clone(),
            server: Arc::clone(&self.shared.options.server_name),
            memory: config.storage == Storage::Memory,
        }
    }

    pub(super) fn log_options(&self, id: u64, salt: u64, config: &Config) -> FileOptions {
        let options = &self.shared.options;
        // A directory is named by its stream's id, so that a name may be used again at once.
        let mut log = FileOptions::new(&stream_dir(id), id, salt);
        log.reserve = Some(RESERVE.to_owned());
        // What the disk refused of a mirror is asked for again, and has its sequence already.
        log.reuse = config.mirror.is_some();
        log.sync = match (config.persist_mode, options.sync) {
            (PersistMode::Async, SyncPolicy::Always) => SyncPolicy::Interval(ASYNC_INTERVAL),
            (_, sync) => sync,
        };
        log.tail_bytes = options.tail_bytes;
        log.block_bytes = options.block_bytes;
        log
    }

    /// Lets a stream take messages, unless it was deleted meanwhile.
    pub(super) fn listen(&self, host: &mut dyn Host, account: &Account, stream: &Arc<StreamCell>) {
        let mut locked = stream.lock();
        if locked.start_listening() {
            for subject in &locked.config.subjects {
                host.subscribe(&account.name, subject.as_bytes(), stream);
            }
        }
    }

    /// A stream is there: it begins to take the messages of others, and others take its own.
    pub(super) fn start_sourcing(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Account,
        stream: &StreamCell,
    ) {
        stream.lock().start_feeds(host, now);
        Self::hurry_followers(host, now, account, &stream.scope().stream);
    }

    /// The stream of this name came or went, which concerns those that take its messages.
    fn hurry_followers(host: &mut dyn Host, now: Now, account: &Account, origin: &str) {
        for other in account.sourcing_streams() {
            let mut other = other.lock();
            if other.takes_from(origin) {
                other.hurry_feeds(host, now, origin);
            }
        }
    }

    /// Changes the configuration of the stream `name`; `done` as in
    /// [`create_stream`](Self::create_stream).
    ///
    /// # Errors
    /// The refusals of jetstream.md 2.3.
    pub(crate) fn update_stream(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        name: &str,
        config: Config,
        done: impl FnOnce(&Self, &mut dyn Host, Now, &Arc<StreamCell>) + Send + 'static,
    ) -> Result<(), ApiError> {
        let _changing = sync::lock(&self.api);
        let config = self.complete(account, config)?;
        if config.name != name {
            return Err(ApiError::StreamMismatch);
        }
        let stream = api::find(account, name)?;
        let old = stream.lock().config.clone();
        let config = validate::check_update(&old, config)?;
        self.check_reservation(account, &config, Some(&old))?;
        check_consumers(&stream, &old, &config)?;
        if account.is_taken(&config.subjects, Some(stream.id())) {
            return Err(ApiError::StreamSubjectOverlap);
        }
        if !stream.scope().memory {
            self.shared.check_writable()?;
        }
        account.move_subjects(stream.id(), &old.subjects, &config.subjects);
        let mut locked = stream.lock();
        if locked.is_listening() {
            for gone in old.subjects.iter().filter(|subject| !config.subjects.contains(subject)) {
                host.unsubscribe(&account.name, gone.as_bytes(), stream.id());
            }
            for new in config.subjects.iter().filter(|subject| !old.subjects.contains(subject)) {
                host.subscribe(&account.name, new.as_bytes(), &stream);
            }
        }
        stream.reserve(config.max_bytes);
        locked.update(config);
        locked.update_feeds(host, now);
        account.set_sourcing(stream.id(), locked.is_sourcing());
        locked.settle(host, now);
        drop(locked);
        let change = stream_change(&stream);
        let account = Arc::clone(account);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            done(engine, host, now, &stream);
            engine.stream_advisory(host, now, &account.name, &stream.scope().stream, UPDATED);
        });
        let recorded = self.shared.record(host, change, then);
        self.finish(host, now, recorded);
        Ok(())
    }

    /// Deletes a stream with its consumers.
    ///
    /// # Errors
    /// 10059.
    pub(crate) fn delete_stream(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        name: &str,
        done: impl FnOnce(&Self, &mut dyn Host, Now) + Send + 'static,
    ) -> Result<(), ApiError> {
        let _changing = sync::lock(&self.api);
        let stream = api::find(account, name)?;
        let memory = stream.scope().memory;
        if !memory {
            self.shared.check_writable()?;
        }
        let consumers = stream.close(host, now);
        let subjects = stream.lock().config.subjects.clone();
        for subject in &subjects {
            host.unsubscribe(&account.name, subject.as_bytes(), stream.id());
        }
        account.remove_stream(&stream, &subjects);
        Self::hurry_followers(host, now, account, name);
        let change = (!memory).then_some(Change::DeleteStream(stream.id(), consumers));
        let account = Arc::clone(account);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            if !stream.destroy(host) {
                sync::write(&engine.by_id).remove(&stream.id());
                if !memory {
                    engine.stream_gone(host, stream.id());
                }
            }
            engine.stream_advisory(host, now, &account.name, &stream.scope().stream, DELETED);
            done(engine, host, now);
        });
        let recorded = self.shared.record(host, change, then);
        self.finish(host, now, recorded);
        Ok(())
    }

    /// What the configuration reserves, against the limits of account and server. A stream without
    /// `max_bytes` needs room for a byte.
    pub(super) fn check_reservation(
        &self,
        account: &Account,
        config: &Config,
        old: Option<&Config>,
    ) -> Result<(), ApiError> {
        let limits = account.limits();
        let asked = u64::try_from(config.max_consumers).ok().filter(|asked| *asked > 0);
        if asked.zip(limits.max_consumers).is_some_and(|(asked, max)| asked > max) {
            return Err(ApiError::MaximumConsumersLimit);
        }
        let memory = config.storage == Storage::Memory;
        let bytes = |config: &Config| config.max_bytes.max(0).unsigned_abs();
        let (more, kept) = match old {
            None => (bytes(config).max(1), 0),
            Some(old) => {
                let more = bytes(config).saturating_sub(bytes(old));
                (more, bytes(config) - more)
            }
        };
        let usage = account.usage_now();
        let (reserved, max) = if memory {
            (usage.reserved_memory, limits.max_memory)
        } else {
            (usage.reserved_file, limits.max_file)
        };
        let server = Some(self.shared.bytes_max(memory));
        // Of its own only what it keeps counts.
        let others = reserved - old.map_or(0, bytes) + kept;
        let exceeds = |held: u64, max: Option<u64>| {
            max.is_some_and(|max| held.saturating_add(more) > max || held > max)
        };
        if exceeds(others, max) || exceeds(self.reserved(memory), server) {
            return Err(if memory {
                ApiError::MemoryResourcesExceeded
            } else {
                ApiError::StorageResourcesExceeded
            });
        }
        Ok(())
    }

    /// `max_bytes` of all streams of one kind.
    fn reserved(&self, memory: bool) -> u64 {
        let streams = sync::read(&self.by_id);
        let kind = streams.values().filter(|stream| stream.scope().memory == memory);
        kind.map(|stream| stream.reserved()).fold(0, u64::saturating_add)
    }
}

pub(super) const CREATED: (&str, &str) = ("CREATED", "create");
const UPDATED: (&str, &str) = ("UPDATED", "modify");
const DELETED: (&str, &str) = ("DELETED", "delete");

/// What the catalog is to hold of a stream; nothing of a memory stream.
fn stream_change(stream: &StreamCell) -> Option<Change> {
    if stream.scope().memory {
        return None;
    }
    let record = StreamRecord {
        account: stream.scope().account.to_string(),
        created: stream.created(),
        config: stream.lock().config.clone(),
    };
    Some(Change::PutStream(stream.id(), Box::new(record)))
}

/// The account's rules about `max_bytes`.
fn check_bytes(limits: &AccountLimits, config: &Config) -> Result<(), ApiError> {
    if limits.max_bytes_required && config.max_bytes <= 0 {
        return Err(ApiError::StreamMaxBytesRequired);
    }
    let each = match config.storage {
        Storage::Memory => limits.memory_max_stream_bytes,
        Storage::File => limits.file_max_stream_bytes,
    };
    // None, and zero, is any number.
    if each.is_some_and(|max| max > 0 && config.max_bytes.max(0).unsigned_abs() > max) {
        return Err(ApiError::StreamMaxStreamBytesExceeded);
    }
    Ok(())
}

/// 10069 when consumers exceed the limits that `new` would set anew.
fn check_consumers(stream: &StreamCell, old: &Config, new: &Config) -> Result<(), ApiError> {
    let limits = new.consumer_limits;
    if limits == old.consumer_limits {
        return Ok(());
    }
    let stream = stream.lock();
    let exceeds = |value: i64, max: i64| max > 0 && value > max;
    let violating: Vec<&str> = stream
        .consumers
        .configs()
        .filter(|(_, consumer)| {
            exceeds(consumer.max_ack_pending, limits.max_ack_pending)
                || exceeds(consumer.inactive_threshold, limits.inactive_threshold)
        })
        .map(|(name, _)| name)
        .collect();
    if violating.is_empty() {
        return Ok(());
    }
    let names = violating.join(", ");
    let err = format!("change to limits violates consumers: {names}").into();
    Err(ApiError::StreamUpdate { err })
}
