//! Accounts as JetStream sees them: limits, usage and counters of API calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use natterjack_subject::Sublist;

use crate::error::ApiError;
use crate::stream::{Held, Kept, StreamCell};
use crate::sync;

/// What an account may use. `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Bytes in memory streams.
    pub max_memory: Option<u64>,
    /// Bytes in file streams.
    pub max_file: Option<u64>,
    /// Streams.
    pub max_streams: Option<u64>,
    /// Consumers, of all streams together.
    pub max_consumers: Option<u64>,
    /// Unacknowledged messages of one consumer; also the default.
    pub max_ack_pending: Option<u64>,
    /// `max_bytes` of one memory stream.
    pub memory_max_stream_bytes: Option<u64>,
    /// `max_bytes` of one file stream.
    pub file_max_stream_bytes: Option<u64>,
    /// Every stream must set `max_bytes`.
    pub max_bytes_required: bool,
}

/// The tier of streams on one node. The limits of an account may be given by tiers, one for each number
/// of replicas.
pub(crate) const TIER: &str = "R1";

/// What an account uses, for `$JS.API.INFO` and monitoring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountUsage {
    /// Bytes in memory streams, by the accounting of `state.bytes`.
    pub memory: u64,
    /// Bytes in file streams.
    pub file: u64,
    /// `max_bytes` of the memory streams that set one.
    pub reserved_memory: u64,
    /// `max_bytes` of the file streams that set one.
    pub reserved_file: u64,
    /// Streams.
    pub streams: u64,
    /// Consumers, those of mirrors and sources too (nats-server 2.15.1).
    pub consumers: u64,
    /// Of these, the ones that are in no list.
    pub direct_consumers: u64,
    /// JSON API requests since the start, failed ones included.
    pub api_total: u64,
    /// Of these, the ones answered with an error.
    pub api_errors: u64,
}

/// Bytes in use, of an account or of the server.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    memory: AtomicI64,
    file: AtomicI64,
}

impl Usage {
    pub(crate) fn add(&self, memory: bool, delta: i64) {
        let counter = if memory { &self.memory } else { &self.file };
        counter.fetch_add(delta, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, memory: bool) -> u64 {
        let counter = if memory { &self.memory } else { &self.file };
        counter.load(Ordering::Relaxed).max(0).unsigned_abs()
    }
}

fn bytes_max(limits: &AccountLimits) -> [u64; 2] {
    [limits.max_memory, limits.max_file].map(|max| max.unwrap_or(u64::MAX))
}

/// One account with JetStream.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: Arc<str>,
    /// False once the account lost JetStream; its streams stay.
    pub(crate) enabled: AtomicBool,
    /// In force on this node.
    limits: RwLock<AccountLimits>,
    /// The limits by tiers, where that is how they are given.
    tiers: RwLock<Option<BTreeMap<String, AccountLimits>>>,
    /// Its limits of bytes in memory and in files, `u64::MAX` for none: asked for each message.
    bytes_max: [AtomicU64; 2],
    pub(crate) usage: Usage,
    /// What its open batches hold.
    pub(crate) batches: Held,
    /// What its counters keep in memory.
    pub(crate) counters: Kept,
    consumers: AtomicI64,
    /// Of these, those of mirrors and sources.
    direct: AtomicI64,
    api_total: AtomicU64,
    api_errors: AtomicU64,
    /// By name. Changed only under the API's lock, with `subjects`.
    streams: RwLock<BTreeMap<Arc<str>, Arc<StreamCell>>>,
    /// Which stream, by its id, listens where: so that a create need not ask each.
    subjects: RwLock<Sublist<u64>>,
    /// The ids of those that take the messages of others.
    sourcing: RwLock<BTreeSet<u64>>,
    /// Streams that are recorded and cannot be served, with the reason.
    offline: RwLock<BTreeMap<String, String>>,
}

impl Account {
    pub(crate) fn new(name: &str, limits: AccountLimits) -> Self {
        Self {
            name: name.into(),
            enabled: AtomicBool::new(true),
            limits: RwLock::new(limits),
            tiers: RwLock::default(),
            bytes_max: bytes_max(&limits).map(AtomicU64::new),
            usage: Usage::default(),
            batches: Held::default(),
            counters: Kept::default(),
            consumers: AtomicI64::new(0),
            direct: AtomicI64::new(0),
            api_total: AtomicU64::new(0),
            api_errors: AtomicU64::new(0),
            streams: RwLock::default(),
            subjects: RwLock::default(),
            sourcing: RwLock::default(),
            offline: RwLock::default(),
        }
    }

    pub(crate) fn limits(&self) -> AccountLimits {
        *sync::read(&self.limits)
    }

    pub(crate) fn set_limits(&self, limits: AccountLimits) {
        *sync::write(&self.tiers) = None;
        self.enforce(limits);
    }

    /// Replaces the limits by those of tiers.
    pub(crate) fn set_tiers(&self, tiers: BTreeMap<String, AccountLimits>) {
        // Without the tier of this node nothing may be stored.
        let nothing =
            AccountLimits { max_memory: Some(0), max_file: Some(0), ..AccountLimits::default() };
        let limits = tiers.get(TIER).copied().unwrap_or(nothing);
        *sync::write(&self.tiers) = Some(tiers);
        self.enforce(limits);
    }

    fn enforce(&self, limits: AccountLimits) {
        for (known, max) in self.bytes_max.iter().zip(bytes_max(&limits)) {
            known.store(max, Ordering::Relaxed);
        }
        *sync::write(&self.limits) = limits;
    }

    /// The limits by tiers, if there are any.
    pub(crate) fn tiers(&self) -> Option<BTreeMap<String, AccountLimits>> {
        sync::read(&self.tiers).clone()
    }

    /// Whether it may have streams on this node.
    ///
    /// # Errors
    /// 10120 where none of its tiers is that of one node.
    pub(crate) fn check_tier(&self) -> Result<(), ApiError> {
        let tiers = sync::read(&self.tiers);
        let known = tiers.as_ref().is_none_or(|tiers| tiers.contains_key(TIER));
        if known { Ok(()) } else { Err(ApiError::NoLimits) }
    }

    /// How many bytes its memory or file streams may hold; `u64::MAX` for any number.
    pub(crate) fn bytes_max(&self, memory: bool) -> u64 {
        self.bytes_max[usize::from(!memory)].load(Ordering::Relaxed)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Counts consumers more or less; `direct` are those of mirrors and sources.
    pub(crate) fn add_consumers(&self, direct: bool, delta: i64) {
        self.consumers.fetch_add(delta, Ordering::Relaxed);
        if direct {
            self.direct.fetch_add(delta, Ordering::Relaxed);
        }
    }

    /// Counts an API request.
    pub(crate) fn count_api(&self, failed: bool) {
        self.api_total.fetch_add(1, Ordering::Relaxed);
        self.api_errors.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    pub(crate) fn set_offline(&self, stream: &str, reason: &str) {
        sync::write(&self.offline).insert(stream.to_owned(), reason.to_owned());
    }

    /// Why a stream that is recorded is not served.
    pub(crate) fn offline_reason(&self, stream: &str) -> Option<String> {
        sync::read(&self.offline).get(stream).cloned()
    }

    pub(crate) fn stream(&self, name: &str) -> Option<Arc<StreamCell>> {
        sync::read(&self.streams).get(name).cloned()
    }

    /// Adds a stream that listens to `subjects`.
    pub(crate) fn add_stream(&self, stream: &Arc<StreamCell>, subjects: &[String]) {
        let name = Arc::clone(&stream.scope().stream);
        sync::write(&self.streams).insert(name, Arc::clone(stream));
        self.set_sourcing(stream.id(), stream.lock().is_sourcing());
        self.move_subjects(stream.id(), &[], subjects);
    }

    /// Takes a stream out that listens to `subjects`.
    pub(crate) fn remove_stream(&self, stream: &StreamCell, subjects: &[String]) {
        sync::write(&self.streams).remove(&*stream.scope().stream);
        self.set_sourcing(stream.id(), false);
        self.move_subjects(stream.id(), subjects, &[]);
    }

    /// Notes whether a stream takes the messages of others.
    pub(crate) fn set_sourcing(&self, id: u64, sourcing: bool) {
        let mut known = sync::write(&self.sourcing);
        match sourcing {
            true => known.insert(id),
            false => known.remove(&id),
        };
    }

    /// The streams that take the messages of others.
    pub(crate) fn sourcing_streams(&self) -> Vec<Arc<StreamCell>> {
        let known = sync::read(&self.sourcing);
        if known.is_empty() {
            return Vec::new();
        }
        let streams = sync::read(&self.streams);
        streams.values().filter(|stream| known.contains(&stream.id())).cloned().collect()
    }

    /// Lets go of all streams, which hold the account; for the end.
    pub(crate) fn forget_streams(&self) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let streams = std::mem::take(&mut *streams);
        drop(streams);
    }

    /// A stream listens to `new` in place of `old`.
    pub(crate) fn move_subjects(&self, id: u64, old: &[String], new: &[String]) {
        let mut subjects = sync::write(&self.subjects);
        for gone in old {
            subjects.remove(gone.as_bytes(), None, |other| *other == id);
        }
        for more in new {
            subjects.insert(more.as_bytes(), None, id);
        }
    }

    /// True when a stream other than `but` listens to a part of `subjects`.
    pub(crate) fn is_taken(&self, subjects: &[String], but: Option<u64>) -> bool {
        let known = sync::read(&self.subjects);
        let mut taken = false;
        for subject in subjects {
            known.overlapping(subject.as_bytes(), |_, _, id| taken |= Some(*id) != but);
        }
        taken
    }

    pub(crate) fn stream_count(&self) -> u64 {
        sync::read(&self.streams).len() as u64
    }

    /// The streams in the order of their names.
    pub(crate) fn all_streams(&self) -> Vec<Arc<StreamCell>> {
        sync::read(&self.streams).values().cloned().collect()
    }

    pub(crate) fn usage_now(&self) -> AccountUsage {
        let count = |counter: &AtomicI64| counter.load(Ordering::Relaxed).max(0).unsigned_abs();
        let mut usage = AccountUsage {
            memory: self.usage.get(true),
            file: self.usage.get(false),
            consumers: count(&self.consumers),
            direct_consumers: count(&self.direct),
            api_total: self.api_total.load(Ordering::Relaxed),
            api_errors: self.api_errors.load(Ordering::Relaxed),
            ..AccountUsage::default()
        };
        for stream in sync::read(&self.streams).values() {
            usage.streams += 1;
            let reserved = stream.reserved();
            if stream.scope().memory {
                usage.reserved_memory += reserved;
            } else {
                usage.reserved_file += reserved;
            }
        }
        usage
    }
}
