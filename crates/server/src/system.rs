//! The system account: requests about servers and accounts, and events about clients (core.md 6).

mod events;
mod requests;
mod statsz;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use natterjack_core::subscription::Subscription;
use natterjack_proto::error::ClosedReason;
use tokio::sync::Semaphore;

use crate::connection_info::ConnectionInfo;
use crate::hub::Hub;
pub(crate) use events::{connected, disconnected, entering_lame_duck, run, shutting_down};

/// Requests that are answered at a time; what comes while so many wait gets no answer.
const REQUESTS: usize = 256;

/// What connections of an account that are closed by now have sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    /// Messages and bytes from clients, then to clients.
    pub traffic: [u64; 4],
    /// Connections closed because they did not read fast enough.
    pub slow_consumers: u64,
}

/// Whether the account was the system account, and what answers in it.
type Services = (bool, Vec<Arc<Subscription>>);

/// What serves the system account.
pub(crate) struct System {
    ended: Mutex<HashMap<Box<str>, Ended>>,
    /// By account.
    services: Mutex<HashMap<Box<str>, Services>>,
    places: Arc<Semaphore>,
}

impl Default for System {
    fn default() -> Self {
        System {
            ended: Mutex::default(),
            services: Mutex::default(),
            places: Arc::new(Semaphore::new(REQUESTS)),
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl System {
    /// Keeps what a connection did for the sums of its account.
    pub(crate) fn ended(&self, info: &ConnectionInfo, traffic: [u64; 4], reason: ClosedReason) {
        let Some(identity) = info.details().identity else { return };
        let mut ended = guard(&self.ended);
        let sums = ended.entry((*identity.account).into()).or_default();
        for (sum, more) in sums.traffic.iter_mut().zip(traffic) {
            *sum += more;
        }
        sums.slow_consumers += u64::from(matches!(
            reason,
            ClosedReason::SlowConsumerPendingBytes | ClosedReason::SlowConsumerWriteDeadline
        ));
    }

    /// What closed connections of an account did.
    pub(crate) fn ended_of(&self, account: &str) -> Ended {
        guard(&self.ended).get(account).copied().unwrap_or_default()
    }
}

/// Subscribes what answers requests: all of them in the system account, those about the own account in
/// the others.
pub(crate) fn set_up(hub: &Arc<Hub>) {
    let mut services = guard(&hub.system().services);
    for account in hub.accounts().all() {
        let is_system = hub.accounts().is_system(account.name());
        let known = services.get(&**account.name());
        if known.is_some_and(|(was_system, _)| *was_system == is_system) {
            continue;
        }
        for old in known.into_iter().flat_map(|(_, subscriptions)| subscriptions) {
            account.unsubscribe_service(old);
        }
        let new = requests::subscribe(hub, &account, is_system);
        services.insert((**account.name()).into(), (is_system, new));
    }
}
