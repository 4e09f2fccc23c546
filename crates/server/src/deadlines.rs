//! Deadlines of connections: pings, stale connections, the time to log in, expiries.
//!
//! One heap and one sleeping task for all. A timer in each connection's task would cost seven times the
//! memory, and a look at it whenever the socket has something.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::hub::Hub;

/// Up to this many entries nothing is tidied.
const FEW: usize = 1024;
/// A deadline further away than this is looked at in between: what a timer holds is limited.
const FAR_NS: u64 = 86_400_000_000_000;

/// When which connection wants to be nudged. A connection may be here several times; one that came too
/// early looks at its clock and goes on.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Mutex<BinaryHeap<Reverse<(u64, u64)>>>,
    changed: Notify,
}

impl Deadlines {
    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<(u64, u64)>>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nudges connection `cid` at `mono_ns`.
    pub(crate) fn set(&self, cid: u64, mono_ns: u64) {
        let mut heap = self.lock();
        let is_nearest = heap.peek().is_none_or(|Reverse((first, _))| mono_ns < *first);
        // Before the heap grows it is tidied: connections that ended have left their entries.
        let is_full = heap.len() >= FEW && heap.len() == heap.capacity();
        heap.push(Reverse((mono_ns, cid)));
        drop(heap);
        if is_nearest || is_full {
            self.changed.notify_one();
        }
    }

    /// The connections that are due, and the next deadline.
    fn due(&self, now_ns: u64) -> (Vec<u64>, Option<u64>) {
        let mut heap = self.lock();
        let mut due = Vec::new();
        while let Some(Reverse((at, cid))) = heap.peek().copied() {
            if at > now_ns {
                return (due, Some(at));
            }
            heap.pop();
            due.push(cid);
        }
        (due, None)
    }

    /// Drops the entries of connections that are gone, once they are the majority.
    fn tidy(&self, live: usize, is_live: impl Fn(u64) -> bool) {
        let mut heap = self.lock();
        if heap.len() <= FEW || heap.len() / 2 <= live {
            return;
        }
        heap.retain(|Reverse((_, cid))| is_live(*cid));
        let len = heap.len();
        heap.shrink_to(len * 2);
    }
}

/// Nudges connections when their deadlines come, until the server has stopped.
pub(crate) async fn run(hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    loop {
        let now_ns = hub.clock().mono_ns();
        let (due, next) = hub.deadlines().due(now_ns);
        for cid in due {
            if let Some(connection) = hub.connection(cid) {
                connection.expire();
            }
        }
        hub.deadlines().tidy(hub.connection_count(), |cid| hub.connection(cid).is_some());
        let sleep = async {
            match next {
                Some(next) => {
                    let next = hub.clock().instant(next.min(now_ns.saturating_add(FAR_NS)));
                    tokio::time::sleep_until(Instant::from_std(next)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = hub.deadlines().changed.notified() => {}
            // An error is the end as well: the server's own task is gone.
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first_and_each_entry_once() {
        let deadlines = Deadlines::default();
        deadlines.set(1, 100);
        deadlines.set(2, 50);
        deadlines.set(1, 60);
        assert_eq!(deadlines.due(60), (vec![2, 1], Some(100)));
        assert_eq!(deadlines.due(99), (vec![], Some(100)));
        assert_eq!(deadlines.due(100), (vec![1], None));
    }

    #[test]
    fn connections_that_are_gone_leave_nothing_behind() {
        let deadlines = Deadlines::default();
        for cid in 0..100_000 {
            deadlines.set(cid, 1_000 + cid);
        }
        deadlines.tidy(60_000, |_| unreachable!("most are alive"));
        deadlines.tidy(10, |cid| cid < 10);
        assert_eq!(deadlines.lock().len(), 10);
        assert!(deadlines.lock().capacity() < 100);
        assert_eq!(deadlines.due(2_000).0.len(), 10);
    }
}
