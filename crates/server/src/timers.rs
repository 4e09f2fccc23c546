//! Deadlines of streams, for one task that sleeps until the nearest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use tokio::sync::Notify;

/// One deadline per owner; a later call replaces an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// What counts.
    deadlines: HashMap<u64, u64>,
    /// May hold outdated entries; they are skipped when they surface.
    heap: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Timers {
    /// Wakes `owner` at `mono_ns`; `u64::MAX` cancels.
    pub(crate) fn set(&self, owner: u64, mono_ns: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if mono_ns == u64::MAX {
            inner.deadlines.remove(&owner);
            return;
        }
        if inner.deadlines.insert(owner, mono_ns) == Some(mono_ns) {
            return;
        }
        let is_nearest = inner.heap.peek().is_none_or(|Reverse((first, _))| mono_ns < *first);
        inner.heap.push(Reverse((mono_ns, owner)));
        if inner.heap.len() > 64 && inner.heap.len() > inner.deadlines.len() * 4 {
            // Outdated entries are the majority: begin anew.
            inner.heap = inner.deadlines.iter().map(|(owner, at)| Reverse((*at, *owner))).collect();
        }
        drop(inner);
        if is_nearest {
            self.changed.notify_one();
        }
    }

    /// The owners that are due, and the next deadline.
    pub(crate) fn due(&self, now_ns: u64) -> (Vec<u64>, Option<u64>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while let Some(Reverse((at, owner))) = inner.heap.peek().copied() {
            if inner.deadlines.get(&owner) != Some(&at) {
                inner.heap.pop();
                continue;
            }
            if at > now_ns {
                return (due, Some(at));
            }
            inner.heap.pop();
            inner.deadlines.remove(&owner);
            due.push(owner);
        }
        (due, None)
    }

    /// Resolves when a deadline nearer than the known ones was set.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_replaces_an_earlier_one() {
        let timers = Timers::default();
        timers.set(1, 100);
        timers.set(2, 50);
        timers.set(1, 200);
        assert_eq!(timers.due(60), (vec![2], Some(200)));
        assert_eq!(timers.due(150), (vec![], Some(200)));
        timers.set(1, u64::MAX);
        assert_eq!(timers.due(999), (vec![], None));
    }
}
