//! The accounts of a running server.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use natterjack_core::account::{Account, InterestWatcher};
use natterjack_core::auth::GLOBAL_ACCOUNT;
use natterjack_proto::encode;
use natterjack_proto::error::{ClosedReason, ServerError};

use crate::hub::Hub;

/// All accounts by name. An account stays for the life of the process: its streams outlive the users
/// that a reload takes away.
pub(crate) struct Accounts {
    by_name: RwLock<HashMap<Box<str>, Arc<Account>>>,
    system: RwLock<Box<str>>,
    watcher: Arc<dyn InterestWatcher>,
}

impl Accounts {
    pub(crate) fn new(watcher: Arc<dyn InterestWatcher>) -> Self {
        let accounts = Accounts {
            by_name: RwLock::default(),
            system: RwLock::new(natterjack_core::auth::DEFAULT_SYSTEM_ACCOUNT.into()),
            watcher,
        };
        accounts.add(GLOBAL_ACCOUNT);
        accounts
    }

    /// The account of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The account of this name, and whether it is new.
    pub(crate) fn add(&self, name: &str) -> (Arc<Account>, bool) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_name.get(name) {
            return (known.clone(), false);
        }
        let account = Account::new(name, rand::random(), self.watcher.clone());
        by_name.insert(name.into(), account.clone());
        (account, true)
    }

    /// All accounts, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        let mut all: Vec<_> =
            self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    pub(crate) fn set_system(&self, name: &str) {
        *self.system.write().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    pub(crate) fn is_system(&self, name: &str) -> bool {
        **self.system.read().unwrap_or_else(PoisonError::into_inner) == *name
    }

    /// The system account; there may be none.
    pub(crate) fn system(&self) -> Option<Arc<Account>> {
        let name = self.system.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.find(&name)
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.all().iter().map(|account| account.subscription_count()).sum()
    }
}

/// Lets the connections of an account feel that it changed: those beyond its limit go, newest first, and the
/// others judge themselves.
pub(crate) fn judge_again(hub: &Hub, id: &str) {
    let mut connections = hub.connections();
    connections.retain(|connection| connection.is_of(id));
    connections.sort_by_key(|connection| connection.client.cid);
    let max = hub.authenticator().account(id).and_then(|info| info.limits.connections);
    let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let surplus = connections.split_off(max.min(connections.len()));
    for connection in surplus {
        let mut line = Vec::new();
        encode::err(&mut line, &ServerError::MaximumAccountConnectionsExceeded);
        hub.send(&connection.client, line);
        connection.client.close(ClosedReason::MaximumAccountConnectionsExceeded);
    }
    for connection in connections {
        connection.reload();
    }
}
