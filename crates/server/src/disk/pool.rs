//! Threads that perform disk requests and report each to its owner.
//!
//! Requests of one owner are performed one after the other, in the order of submission; those of
//! different owners in parallel. Reads go ahead of an owner's order on a thread of their own, so that a
//! consumer that catches up does not wait for a sync.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hashbrown::{HashMap, HashSet};
use natterjack_store::{Disk, DiskRequest, DiskResult, RequestId};

type Done = dyn Fn(u64, RequestId, DiskResult) + Send + Sync;
pub(crate) type SharedDisk = Arc<dyn Disk + Send + Sync>;

/// Threads for writes; syncs of several streams overlap on them.
const WRITERS: usize = 3;
/// Threads for reads.
const READERS: usize = 1;

#[derive(Default)]
struct Queue {
    /// Owners with something to do, none of whose requests is being performed.
    ready: VecDeque<u64>,
    waiting: HashMap<u64, VecDeque<DiskRequest>>,
    busy: HashSet<u64>,
    reads: VecDeque<(u64, DiskRequest)>,
    stopping: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    write: Condvar,
    read: Condvar,
    disk: SharedDisk,
    done: Box<Done>,
}

/// The pool. Dropping it lets the threads end when nothing is left to do.
pub(crate) struct IoPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_loop(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(owner) = queue.ready.pop_front() {
                let request = queue.waiting.get_mut(&owner).and_then(VecDeque::pop_front);
                let Some(request) = request else { continue };
                queue.busy.insert(owner);
                drop(queue);
                let result = request.run(self.disk.as_ref());
                // Told before the next one begins, so that results come in order too.
                (self.done)(owner, request.id, result);
                queue = self.lock();
                queue.busy.remove(&owner);
                if queue.waiting.get(&owner).is_some_and(|waiting| !waiting.is_empty()) {
                    queue.ready.push_back(owner);
                } else {
                    queue.waiting.remove(&owner);
                }
            } else if queue.stopping {
                return;
            } else {
                queue = self.write.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn read_loop(&self) {
        let mut queue = self.lock();
        loop {
            if let Some((owner, request)) = queue.reads.pop_front() {
                drop(queue);
                let result = request.run(self.disk.as_ref());
                (self.done)(owner, request.id, result);
                queue = self.lock();
            } else if queue.stopping {
                return;
            } else {
                queue = self.read.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl IoPool {
    /// Starts the threads. `done` is called on them, once per request, with no lock held.
    pub(crate) fn start(
        disk: SharedDisk,
        done: impl Fn(u64, RequestId, DiskResult) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            write: Condvar::new(),
            read: Condvar::new(),
            disk,
            done: Box::new(done),
        });
        let spawn = |name: &str, work: fn(&Shared)| {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || work(&shared)).ok()
        };
        let writers = (0..WRITERS).filter_map(|_| spawn("natterjack-write", Shared::write_loop));
        let readers = (0..READERS).filter_map(|_| spawn("natterjack-read", Shared::read_loop));
        let threads = Mutex::new(writers.chain(readers).collect());
        IoPool { shared, threads }
    }

    /// Queues a request. The owner bounds how many of its requests are outstanding.
    pub(crate) fn submit(&self, owner: u64, request: DiskRequest) {
        let mut queue = self.shared.lock();
        if request.is_read() {
            queue.reads.push_back((owner, request));
            drop(queue);
            self.shared.read.notify_one();
            return;
        }
        let waiting = queue.waiting.entry(owner).or_default();
        waiting.push_back(request);
        let is_first = waiting.len() == 1;
        if is_first && !queue.busy.contains(&owner) {
            queue.ready.push_back(owner);
            drop(queue);
            self.shared.write.notify_one();
        }
    }

    /// Performs what is queued, then ends the threads.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.write.notify_all();
        self.shared.read.notify_all();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let own = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for IoPool {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.write.notify_all();
        self.shared.read.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk_memory::MemoryDisk;
    use bytes::Bytes;
    use natterjack_store::DiskOp;
    use std::sync::mpsc;

    #[test]
    fn requests_of_one_owner_are_done_in_order_and_all_before_the_stop() {
        let (sender, done) = mpsc::channel();
        let pool = IoPool::start(Arc::new(MemoryDisk::default()), move |owner, id, result| {
            assert_eq!(result, DiskResult::Done);
            sender.send((owner, id)).unwrap();
        });
        for number in 0..300 {
            let op = DiskOp::Write {
                path: format!("{}", number % 3).into(),
                offset: number,
                data: Bytes::from_static(b"x"),
            };
            pool.submit(number % 3, DiskRequest { id: RequestId(number), ops: vec![op] });
        }
        pool.stop();
        drop(pool);
        let all: Vec<_> = done.iter().collect();
        assert_eq!(all.len(), 300);
        for owner in 0..3 {
            let ids: Vec<u64> =
                all.iter().filter(|(of, _)| *of == owner).map(|(_, id)| id.0).collect();
            assert!(ids.is_sorted(), "owner {owner}: {ids:?}");
        }
    }
}
