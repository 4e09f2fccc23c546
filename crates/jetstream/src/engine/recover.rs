//! Starting from what is on disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::tz::TimeZone;
use natterjack_store::{
    Catalog, Disk, DiskErrorKind, ID_MAX, Limits, Log, RecoverError, Recovery, Replay,
    ReplayedMessage, Together, directory::stream_dir,
};
use serde::Deserialize;

use super::JetStream;
use super::catalog::{Book, CONSUMER, ConsumerRecord, DYING, STREAM, StreamRecord};
use crate::account::{Account, AccountLimits};
use crate::ctx::{NOTE_BATCH, NOTE_CONSUMER, NOTE_SCHEDULE, NOTE_SOURCES};
use crate::host::Host;
use crate::json;
use crate::stream::meta;
use crate::stream::schedule::{self, Plan};
use crate::stream::ttl::{Expiry, Ttl};
use crate::stream::{
    Begun, FLAG_BATCH, FLAG_MARKER, FLAG_MSG_ID, FLAG_SCHEDULE, FLAG_SOURCED, FLAG_TTL, Parts,
    Places, StreamCell, headers, log_limits,
};
use crate::sync;
use crate::time::Now;

/// What a start found, for the log and the operator.
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    /// Streams that are there again.
    pub streams: Vec<RecoveredStream>,
    /// Streams that are recorded and cannot be served; their files stay as they are.
    pub offline: Vec<OfflineStream>,
    /// Directories that no record explains; they stay as they are.
    pub orphans: Vec<String>,
    /// How the catalog was.
    pub catalog: Recovery,
}

/// A stream that is there again.
#[derive(Debug, Clone)]
pub struct RecoveredStream {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Stored messages.
    pub messages: u64,
    /// Consumers.
    pub consumers: usize,
    /// How its log was.
    pub log: Recovery,
}

/// A stream that cannot be served.
#[derive(Debug, Clone)]
pub struct OfflineStream {
    /// Its account, if that could be read.
    pub account: String,
    /// Its name, or its id where the record could not be read.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What the engine remembers of a log beside its messages.
struct Memory {
    window: i64,
    now: i64,
    ids: VecDeque<(u64, i64, Box<[u8]>)>,
    last_id: Vec<u8>,
    expiry: Expiry,
    plan: Plan,
    /// The server's time zone.
    zone: TimeZone,
    /// When schedules are due that have fired.
    fired: Vec<(u64, i64)>,
    notes: Vec<(u64, Vec<u8>)>,
    /// The last batch that began, and `last_id` before it.
    batch: Option<Begun>,
    id_before: Vec<u8>,
    in_batch: bool,
    /// How far sources were taken.
    places: Places,
}

impl Replay for Memory {
    fn wants(&self, time: i64, flags: u8) -> bool {
        let recent = time >= self.now.saturating_sub(self.window);
        flags & (FLAG_TTL | FLAG_SCHEDULE) != 0 || (flags & FLAG_MSG_ID != 0 && recent)
    }

    fn message(&mut self, message: &ReplayedMessage<'_>) {
        let is_part = message.flags & FLAG_BATCH != 0;
        // Also where the note that announced it is lost.
        if is_part && !self.in_batch {
            self.id_before.clone_from(&self.last_id);
        }
        self.in_batch = is_part;
        if message.flags & FLAG_SOURCED != 0 {
            self.places.message(message.seq, message.headers);
        }
        self.last_id.clear();
        if message.flags & FLAG_MSG_ID != 0
            && let Some(id) = headers::get(message.headers, b"Nats-Msg-Id")
        {
            self.last_id.extend_from_slice(id);
            if message.time >= self.now.saturating_sub(self.window) {
                self.ids.push_back((message.seq, message.time, id.into()));
            }
        }
        if message.flags & FLAG_TTL != 0
            && let Some(ttl) = headers::get(message.headers, b"Nats-TTL").and_then(Ttl::parse)
        {
            self.expiry.add(message.seq, message.time, ttl);
            if message.flags & FLAG_MARKER != 0 {
                self.expiry.exempt_from_age(message.seq);
            }
        }
        if message.flags & FLAG_SCHEDULE != 0
            && let Some(due) = schedule::first_due(message.headers, message.time, &self.zone)
        {
            self.plan.add(message.seq, due);
        }
    }

    fn note(&mut self, kind: u8, body: &[u8]) {
        if kind == NOTE_CONSUMER
            && let Some((id, body)) = body.split_first_chunk::<8>()
        {
            self.notes.push((u64::from_le_bytes(*id), body.to_vec()));
        }
        if kind == NOTE_BATCH {
            self.batch = Begun::read(body);
            self.in_batch = self.batch.is_some();
            match self.batch {
                Some(_) => self.id_before.clone_from(&self.last_id),
                None => self.last_id = std::mem::take(&mut self.id_before),
            }
        }
        if kind == NOTE_SCHEDULE {
            self.fired.extend(schedule::read_note(body));
        }
        if kind == NOTE_SOURCES
            && let Some(places) = Places::read(body)
        {
            self.places = places;
        }
    }

    fn is_part(&self, flags: u8) -> bool {
        flags & FLAG_BATCH != 0
    }

    fn together(&self, kind: u8, body: &[u8]) -> Together {
        match Begun::read(body).filter(|_| kind == NOTE_BATCH) {
            Some(begun) => Together::Begin(begun.run()),
            None if kind == NOTE_BATCH => Together::End,
            None => Together::Unsaid,
        }
    }
}

impl JetStream {
    /// Reads what is under the root of the options and takes it over. To be called once, before
    /// anything else; accounts that the streams belong to may be set before or after.
    ///
    /// # Errors
    /// When the catalog cannot be opened. A stream that cannot is reported and left alone.
    pub fn recover(
        &self,
        disk: &dyn Disk,
        now: Now,
        host: &mut dyn Host,
    ) -> Result<RecoveryReport, RecoverError> {
        let (mut catalog, found) = Catalog::recover(disk, host.random())?;
        let mut report = RecoveryReport { catalog: found, ..RecoveryReport::default() };
        let mut consumers: BTreeMap<u64, Vec<(u64, ConsumerRecord)>> = BTreeMap::new();
        for (id, value) in catalog.iter(CONSUMER) {
            match json::decode::<ConsumerRecord>(value, true) {
                Ok(record) => consumers.entry(record.stream).or_default().push((id, record)),
                Err(error) => report.offline.push(OfflineStream {
                    account: String::new(),
                    name: format!("consumer {id}"),
                    reason: error.to_string(),
                }),
            }
        }
        // A delete that was cut off before the stream's own record went did not happen.
        let live = |id: &u64| catalog.get(STREAM, *id).is_some();
        let dying: Vec<u64> = catalog.iter(DYING).map(|(id, _)| id).collect();
        let (kept, gone): (Vec<u64>, Vec<u64>) = dying.into_iter().partition(live);
        for id in &gone {
            remove_dir(disk, &stream_dir(*id));
        }
        let on_disk = stream_ids(disk);
        let unknown = |id: &&u64| !live(id) && !gone.contains(id);
        report.orphans = on_disk.iter().filter(unknown).map(|id| stream_dir(*id)).collect();
        let last = on_disk.iter().max().copied().unwrap_or(0).max(catalog.last_id());
        self.shared.next_id.store(last.saturating_add(1), Ordering::Relaxed);
        let streams: Vec<(u64, Vec<u8>)> =
            catalog.iter(STREAM).map(|(id, value)| (id, value.to_vec())).collect();
        // What a restore had put there before its stream.
        for (id, _) in consumers.iter().filter(|(of, _)| gone.contains(of)).flat_map(|(_, all)| all)
        {
            catalog.delete(CONSUMER, *id);
        }
        for id in kept.into_iter().chain(gone.into_iter().filter(|id| is_gone(disk, *id))) {
            catalog.delete(DYING, id);
        }
        // Under one lock: what is sent may be done, and told, before this thread goes on.
        let mut book = sync::lock(&self.shared.book);
        *book = Book::new(catalog);
        book.send(host);
        drop(book);
        // One that cannot be read may be the one for whom a stream keeps messages.
        let complete = report.offline.is_empty();
        for (id, value) in streams {
            let consumers = consumers.remove(&id).unwrap_or_default();
            match json::decode::<StreamRecord>(&value, true) {
                Ok(record) if needs_more(&record.config) => {
                    let level = &record.config.metadata[meta::REQUIRED];
                    let known = meta::API_LEVEL;
                    let reason = format!(
                        "unsupported - required API level: {level}, current API level: {known}"
                    );
                    report.offline.push(self.set_aside(id, &value, reason));
                }
                Ok(record) => {
                    let name = record.config.name.clone();
                    let account = record.account.clone();
                    match self.recover_stream(disk, now, host, id, record, consumers, complete) {
                        Ok(stream) => report.streams.push(stream),
                        Err(error) => {
                            let reason = error.to_string();
                            self.known_account(&account).set_offline(&name, &reason);
                            report.offline.push(OfflineStream { account, name, reason });
                        }
                    }
                }
                // A newer version wrote it, or it is damaged in a way that its checksum allows.
                Err(error) => report.offline.push(self.set_aside(id, &value, error.to_string())),
            }
        }
        // Once all origins are there again.
        for cell in self.every_stream() {
            cell.lock().start_feeds(host, now);
        }
        Ok(report)
    }

    /// Keeps a stream offline whose record cannot be served, under its name if that can be read.
    fn set_aside(&self, id: u64, record: &[u8], reason: String) -> OfflineStream {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Named {
            account: String,
            config: Name,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Name {
            name: String,
        }
        let Named { account, config: Name { name } } =
            serde_json::from_slice(record).unwrap_or_default();
        if account.is_empty() || name.is_empty() {
            return OfflineStream { account: String::new(), name: id.to_string(), reason };
        }
        self.known_account(&account).set_offline(&name, &reason);
        OfflineStream { account, name, reason }
    }

    #[allow(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
    fn recover_stream(
        &self,
        disk: &dyn Disk,
        now: Now,
        host: &mut dyn Host,
        id: u64,
        record: StreamRecord,
        consumers: Vec<(u64, ConsumerRecord)>,
        complete: bool,
    ) -> Result<RecoveredStream, RecoverError> {
        let StreamRecord { account, created, config } = record;
        let account = self.known_account(&account);
        let mut memory = Memory {
            window: config.duplicate_window,
            now: now.unix_ns,
            ids: VecDeque::new(),
            last_id: Vec::new(),
            expiry: Expiry::default(),
            plan: Plan::default(),
            zone: self.shared.options.zone.clone(),
            fired: Vec::new(),
            notes: Vec::new(),
            batch: None,
            id_before: Vec::new(),
            in_batch: false,
            places: Places::default(),
        };
        let limits = log_limits(&config);
        let options = self.log_options(id, host.random(), &config);
        let (mut log, found) = Log::recover(disk, config.first_seq, limits, options, &mut memory)?;
        if *log.limits() != limits {
            log.set_limits(limits);
        }
        let scope = self.scope(&account, &config, id);
        let messages = log.state().messages;
        let (name, subjects) = (config.name.clone(), config.subjects.clone());
        let cell = Arc::new(StreamCell::new(Parts {
            scope,
            shared: Arc::clone(&self.shared),
            account: Arc::clone(&account),
            config,
            created,
            log,
            dedupe_key: [host.random(), host.random()],
        }));
        let mut stream = cell.lock();
        stream.finish_batch(memory.batch.as_ref(), found.taken_back);
        if found.taken_back.is_some() {
            memory.last_id = std::mem::take(&mut memory.id_before);
        }
        memory.plan.apply(&memory.fired);
        stream.restore_memory(memory.ids, memory.last_id, memory.expiry, memory.plan);
        stream.restore_places(memory.places);
        let mut blank = Log::memory(1, Limits::default());
        let count = consumers.len();
        for (consumer, record) in consumers {
            let ConsumerRecord { name, created, config, start, .. } = record;
            let notes = memory.notes.iter().filter(|(id, _)| *id == consumer);
            let notes = notes.map(|(_, body)| body.as_slice());
            stream.restore_consumer(
                host,
                now,
                &mut blank,
                (consumer, created),
                &name,
                config,
                start,
                notes,
            );
        }
        stream.release_recovered(complete);
        drop(stream);
        account.add_stream(&cell, &subjects);
        sync::write(&self.by_id).insert(id, Arc::clone(&cell));
        self.listen(host, &account, &cell);
        cell.tick(host, now);
        Ok(RecoveredStream {
            account: account.name.to_string(),
            name,
            messages,
            consumers: count,
            log: found,
        })
    }

    /// The account of a recorded stream; without JetStream until the server gives it some.
    fn known_account(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.account(name) {
            return account;
        }
        let account = Account::new(name, AccountLimits::default());
        account.enabled.store(false, Ordering::Relaxed);
        let account = Arc::new(account);
        sync::write(&self.accounts).insert(Arc::clone(&account.name), Arc::clone(&account));
        account
    }
}

/// Whether a configuration needs a higher API level than this server has (ADR-44).
fn needs_more(config: &crate::stream::Config) -> bool {
    let level = config.metadata.get(meta::REQUIRED).map(|level| level.parse::<u64>());
    level.is_some_and(|level| level.map_or(true, |level| level > meta::API_LEVEL))
}

/// The ids that have a directory.
fn stream_ids(disk: &dyn Disk) -> Vec<u64> {
    let names = disk.list("streams").unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).filter(|id| *id <= ID_MAX).collect()
}

/// Removes what is left of a deleted stream; what resists is tried again at the next start.
fn remove_dir(disk: &dyn Disk, dir: &str) {
    for name in disk.list(dir).unwrap_or_default() {
        let _ = disk.remove(&format!("{dir}/{name}"));
    }
    let _ = disk.remove(dir);
}

fn is_gone(disk: &dyn Disk, id: u64) -> bool {
    matches!(disk.list(&stream_dir(id)), Err(error) if error.kind == DiskErrorKind::NotFound)
}
