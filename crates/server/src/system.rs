//! The system account: requests about servers and accounts, and events about clients (core.md 6).

mod events;
mod options;
mod packing;
mod profiles;
mod requests;
mod statsz;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use natterjack_core::account::Account;
use natterjack_core::subscription::Subscription;
use natterjack_proto::error::ClosedReason;

use crate::connection_info::ConnectionInfo;
use crate::hub::Hub;
use crate::resolver;
use crate::user_info::UserInfo;
pub(crate) use events::{connected, disconnected, entering_lame_duck, refused, run, shutting_down};
pub(crate) use packing::Packing;

/// What connections of an account that are closed by now have sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    /// Messages and bytes from clients, then to clients.
    pub traffic: [u64; 4],
    /// How often one did not read fast enough, whether it was closed for that or not.
    pub slow_consumers: u64,
}

/// Whether the account was the system account, and what answers in it.
type Services = (bool, Vec<Arc<Subscription>>);

/// What serves the system account.
#[derive(Default)]
pub(crate) struct System {
    ended: Mutex<HashMap<Box<str>, Ended>>,
    /// By account.
    services: Mutex<HashMap<Box<str>, Services>>,
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

    /// A connection is too slow, and stays.
    pub(crate) fn slow(&self, info: &ConnectionInfo) {
        let Some(identity) = info.details().identity else { return };
        guard(&self.ended).entry((*identity.account).into()).or_default().slow_consumers += 1;
    }

    /// What closed connections of an account did.
    pub(crate) fn ended_of(&self, account: &str) -> Ended {
        guard(&self.ended).get(account).copied().unwrap_or_default()
    }
}

/// Subscribes what answers requests: all of them in the system account, those about the own account in
/// the others.
pub(crate) fn set_up(hub: &Arc<Hub>) {
    for account in hub.accounts().all() {
        set_up_account(hub, &account);
    }
}

/// The same for one account.
pub(crate) fn set_up_account(hub: &Arc<Hub>, account: &Arc<Account>) {
    if hub.options().no_system_account {
        return;
    }
    let mut services = guard(&hub.system().services);
    let is_system = hub.accounts().is_system(account.name());
    let known = services.get(&**account.name());
    if known.is_some_and(|(was_system, _)| *was_system == is_system) {
        return;
    }
    for old in known.into_iter().flat_map(|(_, subscriptions)| subscriptions) {
        account.unsubscribe_service(old);
    }
    let mut new = requests::subscribe(hub, account, is_system);
    let user_info = Arc::new(UserInfo::new(hub.weak()));
    new.push(account.subscribe_service(b"$SYS.REQ.USER.INFO", user_info));
    if is_system {
        new.extend(resolver::subscribe(hub, account));
    }
    services.insert((**account.name()).into(), (is_system, new));
}
