//! The engine: accounts, streams and the API behind shared references, for any thread.
//!
//! Locks, outermost first: the API's (one change of streams at a time), then a stream's, then the
//! catalog's. Reads of the maps are leaves. Nothing of this is held while a disk works.

mod acks;
pub(crate) mod catalog;
pub(crate) mod load;
mod recover;
mod registry;
mod report;
pub(crate) mod restore;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hashbrown::HashMap;
use natterjack_store::{DiskResult, RequestId};

use crate::account::{Account, AccountLimits, AccountUsage, Usage};
use crate::host::Host;
use crate::options::{Options, ServerLimits};
use crate::snapshot::Transfers;
use crate::stream::{Held, Kept, StreamCell};
use crate::sync;
use crate::time::Now;
use catalog::Book;
use load::Load;
pub use recover::{OfflineStream, RecoveredStream, RecoveryReport};
pub use report::StreamReport;

/// What every part of the engine may need.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) usage: Usage,
    limits: RwLock<ServerLimits>,
    /// Bytes for memory and file streams of all accounts, `u64::MAX` for any number: asked for each message.
    bytes_max: [AtomicU64; 2],
    book: Mutex<Book>,
    next_id: AtomicU64,
    pub(crate) batches: Held,
    pub(crate) counters: Kept,
    /// Snapshots and restores that run.
    pub(crate) transfers: Transfers,
    pub(crate) load: Load,
}

impl Shared {
    /// An id for a stream or consumer: unique in this process and, for what is stored, beyond.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes for memory or file streams of all accounts.
    pub(crate) fn bytes_max(&self, memory: bool) -> u64 {
        self.bytes_max[usize::from(!memory)].load(Ordering::Relaxed)
    }

    /// The limits that hold now.
    pub(crate) fn limits(&self) -> ServerLimits {
        *sync::read(&self.limits)
    }
}

/// JetStream of one server. All methods take `&self` and may be called from any thread; effects
/// go to the [`Host`] that the caller passes.
#[derive(Debug)]
pub struct JetStream {
    pub(crate) shared: Arc<Shared>,
    accounts: RwLock<HashMap<Arc<str>, Arc<Account>>>,
    by_id: RwLock<HashMap<u64, Arc<StreamCell>>>,
    /// Held while streams are created, updated or deleted.
    api: Mutex<()>,
}

impl JetStream {
    /// An engine without accounts.
    pub fn new(options: Options) -> Self {
        let batches = Held::default();
        batches.bounds.set(&options.limits.batch);
        let bytes_max = [options.max_memory, options.max_file];
        Self {
            shared: Arc::new(Shared {
                limits: RwLock::new(options.limits),
                bytes_max: bytes_max.map(|max| AtomicU64::new(max.unwrap_or(u64::MAX))),
                options,
                usage: Usage::default(),
                book: Mutex::default(),
                next_id: AtomicU64::new(1),
                batches,
                counters: Kept::default(),
                transfers: Transfers::default(),
                load: Load::default(),
            }),
            accounts: RwLock::default(),
            by_id: RwLock::default(),
            api: Mutex::new(()),
        }
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Changes what the configuration allows. What is there stays as it is.
    pub fn set_limits(&self, limits: ServerLimits) {
        self.shared.batches.bounds.set(&limits.batch);
        *sync::write(&self.shared.limits) = limits;
    }

    /// Changes how many bytes memory and file streams of all accounts may hold; `None` leaves it.
    pub fn set_bytes_max(&self, memory: Option<u64>, file: Option<u64>) {
        for (known, max) in self.shared.bytes_max.iter().zip([memory, file]) {
            if let Some(max) = max {
                known.store(max, Ordering::Relaxed);
            }
        }
    }

    /// Gives `account` JetStream with these limits, changes them, or takes it away (`None`): its
    /// streams go on and its API answers 10039.
    pub fn set_account(&self, account: &str, limits: Option<AccountLimits>) {
        if let Some(known) = self.account(account) {
            known.enabled.store(limits.is_some(), Ordering::Relaxed);
            if let Some(limits) = limits {
                known.set_limits(limits);
            }
        } else if let Some(limits) = limits {
            let account = Arc::new(Account::new(account, limits));
            sync::write(&self.accounts).insert(Arc::clone(&account.name), account);
        }
    }

    /// Gives `account` JetStream with limits by tiers (`R1`, `R3`), or changes them. On one node those of
    /// `R1` hold; without them nothing can be stored.
    pub fn set_account_tiers(&self, account: &str, tiers: BTreeMap<String, AccountLimits>) {
        if let Some(known) = self.account(account) {
            known.set_tiers(tiers);
            known.enabled.store(true, Ordering::Relaxed);
        } else {
            let account = Arc::new(Account::new(account, AccountLimits::default()));
            account.set_tiers(tiers);
            sync::write(&self.accounts).insert(Arc::clone(&account.name), account);
        }
    }

    /// What `account` uses; `None` when it never had JetStream.
    pub fn account_usage(&self, account: &str) -> Option<AccountUsage> {
        self.account(account).map(|account| account.usage_now())
    }

    /// The accounts that have, or had, JetStream, by name.
    pub fn account_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = sync::read(&self.accounts).keys().cloned().collect();
        names.sort();
        names
    }

    /// Bytes in memory and in file streams of all accounts.
    pub fn bytes_in_use(&self) -> (u64, u64) {
        (self.shared.usage.get(true), self.shared.usage.get(false))
    }

    /// Messages in all streams.
    pub fn messages_stored(&self) -> u64 {
        self.every_stream().iter().map(|stream| stream.lock().log.state().messages).sum()
    }

    /// A stream by its name.
    pub fn stream(&self, account: &str, stream: &str) -> Option<Arc<StreamCell>> {
        self.account(account)?.stream(stream)
    }

    /// Takes the result of a disk request that [`Host::disk`] was given.
    pub fn completed(
        &self,
        host: &mut dyn Host,
        now: Now,
        owner: u64,
        id: RequestId,
        result: DiskResult,
    ) {
        if owner == catalog::OWNER {
            return self.catalog_completed(host, now, id, result);
        }
        if let Some(stream) = self.by_id(owner)
            && stream.completed(host, now, id, result)
        {
            // That was the removal of its files.
            sync::write(&self.by_id).remove(&owner);
            self.stream_gone(host, owner);
        }
    }

    /// What the timer set by [`Host::wake_at`] calls.
    pub fn tick(&self, host: &mut dyn Host, now: Now, owner: u64) {
        if owner == catalog::OWNER {
            self.catalog_tick(host, now);
        } else if let Some(stream) = self.by_id(owner) {
            stream.tick(host, now);
        }
    }

    /// Asks the disk for a last sync of everything. Publishers and API requests must have been
    /// stopped; go on handing in completions until [`is_idle`](Self::is_idle).
    pub fn shutdown(&self, host: &mut dyn Host, now: Now) {
        for stream in self.every_stream() {
            stream.shutdown(host, now);
        }
    }

    /// True when nothing waits for the disk: no answer, no record.
    pub fn is_idle(&self) -> bool {
        self.catalog_is_idle() && self.every_stream().iter().all(|stream| stream.is_idle())
    }

    /// The streams, by account and name, that were left half changed by a panic (D-0028).
    pub fn half_changed(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let streams = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let half = streams.values().filter(|stream| stream.is_half_changed());
        half.map(|stream| (stream.scope().account.clone(), stream.scope().stream.clone())).collect()
    }

    fn every_stream(&self) -> Vec<Arc<StreamCell>> {
        sync::read(&self.by_id).values().cloned().collect()
    }

    pub(crate) fn account(&self, name: &str) -> Option<Arc<Account>> {
        sync::read(&self.accounts).get(name).cloned()
    }

    /// A stream by its id.
    pub fn by_id(&self, id: u64) -> Option<Arc<StreamCell>> {
        sync::read(&self.by_id).get(&id).cloned()
    }
}

impl Drop for JetStream {
    /// An account and its streams hold each other: a server that stops within a process would keep them.
    fn drop(&mut self) {
        let accounts = self.accounts.get_mut().unwrap_or_else(PoisonError::into_inner);
        accounts.values().for_each(|account| account.forget_streams());
    }
}
