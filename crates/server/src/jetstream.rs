//! JetStream inside the server: the engine of `natterjack-jetstream`, its effects, and the services that
//! bring messages to it.

mod effects;
mod open;
mod services;
mod transfers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::{HashMap, HashSet};
use natterjack_core::account::Account;
use natterjack_core::batch::Batch;
use natterjack_core::client::Client;
use natterjack_core::service::Service;
use natterjack_core::subscription::Subscription;
use natterjack_jetstream::{AccountLimits, JetStream, Now, StreamReport};
use tokio::sync::watch;

use crate::connection::with_batch;
use crate::disk::{IoPool, Waits};
use crate::hub::Hub;
use crate::start::StartError;
use crate::tasks::Tasks;
use crate::timers::Timers;
use effects::Effects;
pub(crate) use open::{Engine, open, settle};
use services::{Acks, Api};

/// Account, subject and stream id of a subscription.
type Subscribed = (Box<str>, Box<[u8]>, u64);
/// Account and subject whose interest is watched.
type Watched = (Box<str>, Box<[u8]>);

/// What an account may use of JetStream.
pub(crate) enum Share {
    Whole(AccountLimits),
    /// By replicas: `R1`, `R3`.
    Tiers(BTreeMap<String, AccountLimits>),
}

/// The engine and what surrounds it.
pub(crate) struct JetStreamGlue {
    engine: JetStream,
    store: open::OpenStore,
    io: IoPool,
    timers: Timers,
    /// The subscriptions of streams: account, subject, stream id.
    ingests: Mutex<HashMap<Subscribed, Arc<Subscription>>>,
    /// The streams that watch a subject.
    watches: Mutex<HashMap<Watched, Vec<u64>>>,
    /// Stream and client of each waiter for room, so that there is one of a kind.
    waits: Mutex<HashSet<(u64, u64)>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now(batch: &Batch) -> Now {
    Now { mono_ns: batch.mono_ns, unix_ns: batch.unix_ns }
}

/// The short id shown at start: the account hash of the server's name, as in nats-server.
pub(crate) fn node_name(name: &str) -> String {
    natterjack_jetstream::nuid::hash8(name.as_bytes())
        .iter()
        .map(|byte| char::from(*byte))
        .collect()
}

impl JetStreamGlue {
    pub(crate) fn new(engine: Engine, hub: &Weak<Hub>, tasks: Tasks) -> Self {
        let Engine { engine, store } = engine;
        let hub = hub.clone();
        let watch = move |work: &dyn Fn()| tasks.watch(work);
        let io = IoPool::start(store.disk(), watch, move |completions, told| {
            let Some(hub) = hub.upgrade() else { return };
            let Some(jetstream) = hub.jetstream() else { return };
            with_batch(&hub, |batch| {
                batch.as_service(|batch| {
                    let now = now(batch);
                    let mut effects = Effects::new(&hub, batch);
                    for (owner, id, result) in completions.drain(..) {
                        jetstream.engine.completed(&mut effects, now, owner, id, result);
                    }
                    // The disk goes on while the answers leave.
                    drop(told);
                });
            });
        });
        JetStreamGlue {
            engine,
            store,
            io,
            timers: Timers::default(),
            ingests: Mutex::default(),
            watches: Mutex::default(),
            waits: Mutex::default(),
        }
    }

    pub(crate) fn engine(&self) -> &JetStream {
        &self.engine
    }

    /// Reads that had to wait for a thread of the disk.
    pub(crate) fn disk_waits(&self) -> Waits {
        self.io.waits()
    }

    /// Where files are kept; empty for a store in memory.
    pub(crate) fn directory(&self) -> String {
        self.store.directory()
    }

    /// Reads what is stored. Called once, before clients are accepted.
    pub(crate) fn recover(&self, hub: &Arc<Hub>) -> Result<(), StartError> {
        open::recover(self, hub)
    }

    /// Gives accounts JetStream as configured, and the services that go with it.
    pub(crate) fn set_accounts(&self, hub: &Arc<Hub>) {
        let options = hub.options();
        self.engine.set_limits(open::server_limits(&options.jetstream.limits));
        self.engine.set_bytes_max(options.jetstream.max_memory, options.jetstream.max_store);
        for account in hub.accounts().all() {
            self.set_account(hub, &account);
        }
    }

    /// The same for one account.
    pub(crate) fn set_account(&self, hub: &Arc<Hub>, account: &Arc<Account>) {
        let limits = self.limits_of(hub, account.name());
        match limits {
            None => self.engine.set_account(account.name(), None),
            Some(Share::Whole(limits)) => self.engine.set_account(account.name(), Some(limits)),
            Some(Share::Tiers(tiers)) => self.engine.set_account_tiers(account.name(), tiers),
        }
        for subject in [&b"$JS.ACK.>"[..], b"$JS.FC.>"] {
            self.serve(account, subject, || Arc::new(Acks::new(hub.weak())));
        }
    }

    /// Lets accounts hear of the API. One without JetStream is told so (10039), unless a service that it
    /// imports answers who asks about the account: then nothing here does (nats-server 2.15.1).
    pub(crate) fn set_apis(&self, hub: &Arc<Hub>) {
        let domain =
            hub.options().jetstream.domain.as_ref().map(|name| format!("$JS.{name}.API.>"));
        for account in hub.accounts().all() {
            let wanted = self.is_enabled(hub, &account) || !account.imports_service(API_INFO);
            for subject in [Some(API), domain.as_ref().map(String::as_bytes)].into_iter().flatten()
            {
                if wanted {
                    self.serve(&account, subject, || Arc::new(Api::new(hub.weak())));
                    continue;
                }
                let key = (account.name().as_ref().into(), subject.into(), 0);
                let gone = guard(&self.ingests).remove(&key);
                gone.inspect(|subscription| account.unsubscribe_service(subscription));
            }
        }
    }

    /// Subscribes a service of an account, unless it is there.
    fn serve(
        &self,
        account: &Arc<Account>,
        subject: &[u8],
        service: impl FnOnce() -> Arc<dyn Service>,
    ) {
        let key = (account.name().as_ref().into(), subject.into(), 0);
        if guard(&self.ingests).contains_key(&key) {
            return;
        }
        let subscription = account.subscribe_service(subject, service());
        guard(&self.ingests).insert(key, subscription);
    }

    /// Whether an account has JetStream.
    pub(crate) fn is_enabled(&self, hub: &Hub, account: &Account) -> bool {
        self.limits_of(hub, account.name()).is_some()
    }

    /// The streams of an account, and with `consumers` what each has.
    pub(crate) fn reports(&self, hub: &Hub, account: &str, consumers: bool) -> Vec<StreamReport> {
        with_batch(hub, |batch| {
            let now = now(batch);
            self.engine.stream_reports(&mut Effects::new(hub, batch), now, account, consumers)
        })
    }

    fn limits_of(&self, hub: &Hub, account: &str) -> Option<Share> {
        let options = hub.options();
        if hub.accounts().is_system(account) {
            return None;
        }
        if options.is_operator_mode() {
            return crate::operator::jetstream_limits(hub, account);
        }
        let configured = options.accounts.iter().find(|known| known.name == account);
        match configured.and_then(|known| known.jetstream.as_ref()) {
            Some(share) if share.enabled => Some(Share::Whole(AccountLimits {
                max_memory: share.max_memory,
                max_file: share.max_store,
                max_streams: share.max_streams,
                max_consumers: share.max_consumers,
                max_ack_pending: share.max_ack_pending,
                memory_max_stream_bytes: share.memory_max_stream_bytes,
                file_max_stream_bytes: share.disk_max_stream_bytes,
                max_bytes_required: share.max_bytes_required,
            })),
            Some(_) => None,
            // The global account has JetStream unless accounts are configured to have it.
            None if account == natterjack_core::auth::GLOBAL_ACCOUNT
                && options.accounts.iter().all(|known| known.jetstream.is_none()) =>
            {
                Some(Share::Whole(AccountLimits::default()))
            }
            None => None,
        }
    }

    /// Tells the streams that watch `subject` that interest in it may have changed.
    pub(crate) fn interest_changed(
        &self,
        hub: &Hub,
        batch: &mut Batch,
        account: &Arc<str>,
        subject: &[u8],
    ) {
        let ids = guard(&self.watches)
            .get(&(account.as_ref().into(), subject.into()))
            .cloned()
            .unwrap_or_default();
        for cell in ids.into_iter().filter_map(|id| self.engine.by_id(id)) {
            batch.as_service(|batch| {
                let now = now(batch);
                cell.interest_changed(&mut Effects::new(hub, batch), now, subject);
            });
        }
    }

    /// A target that was congested has room again.
    fn resume(&self, hub: &Arc<Hub>, stream: u64) {
        let hub = hub.clone();
        hub.clone().runtime().spawn(async move {
            let cell = hub.jetstream().and_then(|jetstream| jetstream.engine.by_id(stream));
            let Some(cell) = cell else { return };
            with_batch(&hub, |batch| {
                batch.as_service(|batch| {
                    let now = now(batch);
                    cell.resume(&mut Effects::new(&hub, batch), now);
                });
            });
        });
    }

    /// The last round: nothing enters any more.
    pub(crate) fn shut_down(&self, hub: &Arc<Hub>, batch: &mut Batch) {
        batch.as_service(|batch| {
            let now = now(batch);
            let mut effects = Effects::new(hub, batch);
            self.engine.shutdown(&mut effects, now);
        });
    }

    /// Resolves when the disk has nothing left to do.
    pub(crate) async fn idle(&self) {
        while !self.engine.is_idle() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Ends the I/O threads and unlocks the store.
    pub(crate) fn release(&self) {
        self.io.stop();
        self.store.unlock();
    }

    /// Ends the I/O threads without another round, and unlocks the store (D-0028).
    pub(crate) fn abandon(&self) {
        self.io.abandon();
        self.store.unlock();
    }

    fn resume_when_low(&self, hub: &Weak<Hub>, client: &Client, stream: u64) {
        let key = (stream, client.cid);
        if !guard(&self.waits).insert(key) {
            return;
        }
        let hub = hub.clone();
        // Never forgotten: it is called at the latest when the connection ends.
        let _ = client.outbox().when_low(Box::new(move || {
            if let Some(hub) = hub.upgrade()
                && let Some(jetstream) = hub.jetstream()
            {
                guard(&jetstream.waits).remove(&key);
                jetstream.resume(&hub, stream);
            }
        }));
    }
}

const API: &[u8] = b"$JS.API.>";
const API_INFO: &[u8] = b"$JS.API.INFO";

/// Calls streams whose deadline came, until the server stops.
pub(crate) async fn run_timers(hub: Arc<Hub>, mut stop: watch::Receiver<bool>) {
    let Some(jetstream) = hub.jetstream() else { return };
    loop {
        let (due, next) = jetstream.timers.due(hub.clock().mono_ns());
        for owner in due {
            with_batch(&hub, |batch| {
                batch.as_service(|batch| {
                    let now = now(batch);
                    let mut effects = Effects::new(&hub, batch);
                    jetstream.engine.tick(&mut effects, now, owner);
                });
            });
        }
        let next = next.map(|next| tokio::time::Instant::from_std(hub.clock().instant(next)));
        let sleep = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = jetstream.timers.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
