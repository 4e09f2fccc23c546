//! What survives a restart beside the messages: which streams and consumers there are.
//!
//! A change is a record of the store's catalog, which puts all that wait under one sync. What has to
//! follow once it is durable (the answer, the first delivery) waits here and runs without any
//! lock held.

use std::collections::VecDeque;

use natterjack_store::{Blocked, Catalog, DiskRequest, DiskResult, LogPos, RequestId};
use serde::{Deserialize, Serialize};

use super::{JetStream, Shared};
use crate::consumer;
use crate::error::ApiError;
use crate::host::Host;
use crate::json::with::stamp;
use crate::stream;
use crate::sync;
use crate::time::Now;

/// The owner of the catalog's disk requests.
pub(crate) const OWNER: u64 = 0;

/// Kinds of records; the numbers are on disk.
pub(super) const STREAM: u8 = 1;
pub(super) const CONSUMER: u8 = 2;
/// A deleted stream whose files may still be there.
pub(super) const DYING: u8 = 3;

/// How often a catalog that the disk refused is tried again, nanoseconds.
const PROBE_INTERVAL: u64 = 1_000_000_000;

/// What follows a durable change.
pub(crate) type Then = Box<dyn FnOnce(&JetStream, &mut dyn Host, Now) + Send>;

/// A stream in the catalog, under its id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamRecord {
    pub(crate) account: String,
    #[serde(with = "stamp")]
    pub(crate) created: i64,
    pub(crate) config: stream::Config,
}

/// A consumer in the catalog, under its id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumerRecord {
    pub(crate) stream: u64,
    /// The name, which a generated one's configuration does not show.
    pub(crate) name: String,
    #[serde(with = "stamp")]
    pub(crate) created: i64,
    pub(crate) config: consumer::Config,
    /// Its first note, which says where it starts; empty where that is in the stream's log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) start: Vec<u8>,
}

/// A change of the catalog.
#[derive(Debug)]
pub(crate) enum Change {
    PutStream(u64, Box<StreamRecord>),
    /// With its consumers.
    DeleteStream(u64, Vec<u64>),
    PutConsumer(u64, Box<ConsumerRecord>),
    DeleteConsumer(u64),
    /// Files of this id are to be removed at the next start, unless it becomes a stream.
    Restoring(u64),
    /// What was being restored is a stream, with its consumers.
    Restored(u64, Box<StreamRecord>, Vec<(u64, ConsumerRecord)>),
}

/// A change that was recorded, or was none: what follows it runs at once.
#[must_use]
pub(crate) enum Recorded {
    Waits,
    Done(Then),
}

/// The catalog and what waits for it.
#[derive(Default)]
pub(crate) struct Book {
    /// `None` before the recovery: nothing can be stored then.
    pub(super) catalog: Option<Catalog>,
    waiting: VecDeque<(LogPos, Then)>,
    requests: Vec<DiskRequest>,
    /// The operator knows that the disk takes no changes.
    blocked: bool,
    /// It takes none for want of room.
    disk_full: bool,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Book {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self { catalog: Some(catalog), ..Self::default() }
    }

    /// The position after which the change is safe.
    fn apply(&mut self, change: &Change) -> LogPos {
        let Some(catalog) = &mut self.catalog else { return LogPos::default() };
        // Configurations are strings, numbers and lists, which always serialize.
        match change {
            Change::PutStream(id, record) => {
                catalog.put(STREAM, *id, &serde_json::to_vec(record).unwrap_or_default())
            }
            Change::PutConsumer(id, record) => {
                catalog.put(CONSUMER, *id, &serde_json::to_vec(record).unwrap_or_default())
            }
            Change::DeleteConsumer(id) => catalog.delete(CONSUMER, *id),
            Change::Restoring(id) => catalog.put(DYING, *id, &[]),
            Change::Restored(id, record, consumers) => {
                // In this order: the stream's record is what counts, and it comes when all is there.
                for (consumer, record) in consumers {
                    catalog.put(
                        CONSUMER,
                        *consumer,
                        &serde_json::to_vec(record).unwrap_or_default(),
                    );
                }
                catalog.put(STREAM, *id, &serde_json::to_vec(record).unwrap_or_default());
                catalog.delete(DYING, *id)
            }
            Change::DeleteStream(id, consumers) => {
                // In this order: a crash between them leaves a stream without some consumers, or a
                // note about files that are still needed, which the stream's record overrules.
                for consumer in consumers {
                    catalog.delete(CONSUMER, *consumer);
                }
                catalog.put(DYING, *id, &[]);
                catalog.delete(STREAM, *id)
            }
        }
    }

    pub(super) fn send(&mut self, host: &mut dyn Host) {
        let Some(catalog) = &mut self.catalog else { return };
        catalog.take_requests(&mut self.requests);
        for request in self.requests.drain(..) {
            host.disk(OWNER, request);
        }
    }

    /// What may run now.
    fn ready(&mut self) -> Vec<Then> {
        let Some(catalog) = &mut self.catalog else { return Vec::new() };
        if let Some(upto) = catalog.refused().into_iter().map(|refused| refused.upto).max() {
            // What a failed disk did not take was appended again; its answers wait on.
            let end = catalog.end();
            for (pos, _) in &mut self.waiting {
                if *pos <= upto {
                    *pos = end;
                }
            }
        }
        let durable = catalog.durable();
        let mut ready = Vec::new();
        while self.waiting.front().is_some_and(|(pos, _)| *pos <= durable) {
            if let Some((_, then)) = self.waiting.pop_front() {
                ready.push(then);
            }
        }
        ready
    }
}

impl Shared {
    /// Records `change`; `then` runs with a later [`JetStream::run_ready`]. May be called with a
    /// stream locked, which is what keeps the order of changes of one consumer.
    pub(crate) fn record(
        &self,
        host: &mut dyn Host,
        change: Option<Change>,
        then: Then,
    ) -> Recorded {
        let Some(change) = change else { return Recorded::Done(then) };
        let mut book = sync::lock(&self.book);
        let pos = book.apply(&change);
        book.waiting.push_back((pos, then));
        book.send(host);
        Recorded::Waits
    }

    /// As [`record`](Self::record) of nothing new: `then` waits for what was recorded before.
    pub(crate) fn after_recorded(&self, then: Then) -> Recorded {
        let mut book = sync::lock(&self.book);
        match &book.catalog {
            Some(catalog) if catalog.durable() < catalog.end() => {
                let end = catalog.end();
                book.waiting.push_back((end, then));
                Recorded::Waits
            }
            _ => Recorded::Done(then),
        }
    }

    /// Takes a consumer that expired out of the catalog. Nobody waits for that: if it is lost,
    /// the consumer expires again after the restart.
    pub(crate) fn forget_consumer(&self, host: &mut dyn Host, id: u64) {
        let mut book = sync::lock(&self.book);
        book.apply(&Change::DeleteConsumer(id));
        book.send(host);
    }

    /// Refuses changes while the disk takes none.
    ///
    /// # Errors
    /// 10047 without a store, 10023 when the disk is full, 10077 with the disk's words otherwise.
    pub(crate) fn check_writable(&self) -> Result<(), ApiError> {
        let book = sync::lock(&self.book);
        let Some(catalog) = &book.catalog else {
            return Err(ApiError::StorageResourcesExceeded);
        };
        match catalog.blocked() {
            None => Ok(()),
            Some(Blocked::NoRoom(_)) => Err(ApiError::InsufficientResources),
            Some(blocked) => {
                Err(ApiError::StreamStoreFailed { err: blocked.error().to_string().into() })
            }
        }
    }
}

impl JetStream {
    /// Runs what follows a change, unless it waits for the disk. No stream may be locked.
    pub(crate) fn finish(&self, host: &mut dyn Host, now: Now, recorded: Recorded) {
        match recorded {
            Recorded::Done(then) => then(self, host, now),
            Recorded::Waits => self.run_ready(host, now),
        }
    }

    /// Takes the result of one of the catalog's disk requests.
    pub(super) fn catalog_completed(
        &self,
        host: &mut dyn Host,
        now: Now,
        id: RequestId,
        result: DiskResult,
    ) {
        let mut book = sync::lock(&self.shared.book);
        if let Some(catalog) = &mut book.catalog {
            catalog.completed(id, result);
        }
        book.send(host);
        drop(book);
        self.run_ready(host, now);
    }

    /// Tries a catalog that the disk refused again.
    pub(super) fn catalog_tick(&self, host: &mut dyn Host, now: Now) {
        let mut book = sync::lock(&self.shared.book);
        if let Some(catalog) = &mut book.catalog
            && catalog.blocked().is_some_and(Blocked::may_pass)
        {
            catalog.probe();
        }
        book.send(host);
        drop(book);
        self.run_ready(host, now);
    }

    /// Notes that the files of a deleted stream are gone.
    pub(super) fn stream_gone(&self, host: &mut dyn Host, id: u64) {
        let mut book = sync::lock(&self.shared.book);
        if let Some(catalog) = &mut book.catalog {
            catalog.delete(DYING, id);
        }
        book.send(host);
    }

    pub(crate) fn run_ready(&self, host: &mut dyn Host, now: Now) {
        let mut book = sync::lock(&self.shared.book);
        let ready = book.ready();
        let blocked = book.catalog.as_ref().and_then(Catalog::blocked).cloned();
        if blocked.is_some() {
            host.wake_at(OWNER, now.mono_ns.saturating_add(PROBE_INTERVAL));
        }
        let full = matches!(blocked, Some(Blocked::NoRoom(_)));
        let changed = full != std::mem::replace(&mut book.disk_full, full);
        if blocked.is_some() != book.blocked {
            book.blocked = blocked.is_some();
            host.blocked(None, blocked.as_ref());
        }
        drop(book);
        if changed && self.shared.load.disk_full(full) {
            self.shared.announce_out_of_storage(host, now, "");
        }
        for then in ready {
            then(self, host, now);
        }
    }

    /// True when no change waits for the disk.
    pub(super) fn catalog_is_idle(&self) -> bool {
        let book = sync::lock(&self.shared.book);
        let durable = |catalog: &Catalog| catalog.durable() >= catalog.end();
        book.waiting.is_empty() && book.catalog.as_ref().is_none_or(durable)
    }
}
