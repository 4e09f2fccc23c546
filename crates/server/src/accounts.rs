//! The accounts of a running server.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use natterjack_core::account::{Account, InterestWatcher};
use natterjack_core::auth::GLOBAL_ACCOUNT;

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
