//! Changes of interest that streams asked to hear of.
//!
//! A SUB is performed deep inside a batch, where no stream may be called. The change is noted here and
//! passed on when the batch is finished.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use natterjack_core::account::InterestWatcher;

/// What one note says: account and watched subject.
pub(crate) type Change = (Arc<str>, Box<[u8]>);

#[derive(Debug, Default)]
pub(crate) struct InterestNotes {
    noted: AtomicBool,
    changes: Mutex<HashSet<Change>>,
}

impl InterestWatcher for InterestNotes {
    fn changed(&self, account: &Arc<str>, subject: &[u8]) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.insert((account.clone(), subject.into()));
        self.noted.store(true, Ordering::Release);
    }
}

impl InterestNotes {
    /// Whether something was noted since the last [`InterestNotes::take`].
    pub(crate) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Acquire)
    }

    /// What was noted since the last call.
    pub(crate) fn take(&self) -> HashSet<Change> {
        if !self.noted.swap(false, Ordering::AcqRel) {
            return HashSet::new();
        }
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
