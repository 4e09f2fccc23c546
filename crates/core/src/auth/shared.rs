//! Identities that many connections have in common: ten thousand that log in as one user hold one.

use super::identity::{Identity, Proof};
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Above this many users those that have left are forgotten, and beyond it no more are shared.
const USERS_MAX: usize = 1024;

/// The identities in use, by user; those of JWTs are not here, since each has its own.
#[derive(Debug, Default)]
pub(super) struct Shared {
    known: Mutex<HashMap<Option<Arc<str>>, Weak<Identity>>>,
}

impl Shared {
    /// The identity that equals this one, if a connection has it; else this one, for the next.
    pub(super) fn intern(&self, identity: Identity) -> Arc<Identity> {
        if matches!(identity.proof, Proof::Jwt { .. } | Proof::Callout { .. }) {
            return Arc::new(identity);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&identity.user).and_then(Weak::upgrade);
        if let Some(found) = found
            && found.is_same(&identity)
        {
            return found;
        }
        let identity = Arc::new(identity);
        if known.len() >= USERS_MAX {
            known.retain(|_, identity| identity.strong_count() > 0);
        }
        if known.len() < USERS_MAX {
            known.insert(identity.user.clone(), Arc::downgrade(&identity));
        }
        identity
    }
}
