//! Threads that perform disk requests and report each to its owner.
//!
//! Requests of one owner are performed one after the other, in the order of submission; those of
//! different owners side by side. Small rounds that want to be durable are taken together, whoever
//! they belong to, and committed under one sync of the commit journal (`natterjack_store::commit`):
//! while one thread does so, the next ones gather. All else, and everything while there is no
//! journal, is performed on its own. Reads go ahead of an owner's order on a thread of their own, so
//! that a consumer that catches up does not wait for a sync.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use natterjack_store::commit::{self, Journal, JournalOptions, Redone, Work};
use natterjack_store::{Disk, DiskError, DiskOp, DiskRequest, DiskResult, RecoverError, RequestId};
use natterjack_subject::whole;

use super::queue::{Queue, Waits};
use crate::tasks::Thrown;

/// A request that was performed: its owner, its id, how it went.
pub(crate) type Completion = (u64, RequestId, DiskResult);
type Done = dyn Fn(&mut Vec<Completion>, Told<'_>) + Send + Sync;
type Report = dyn Fn(&DiskError) + Send + Sync;
pub(crate) type SharedDisk = Arc<dyn Disk + Send + Sync>;

/// Threads for writes; syncs of several streams overlap on them.
const WRITERS: usize = 3;
/// Threads for reads.
const READERS: usize = 1;
/// Completions told at once: their answers share writes to sockets, and the first does not wait long.
const TOLD: usize = 64;
/// Without a commit for so long the journal's records are made superfluous.
const REST: Duration = Duration::from_secs(2);
/// Files of a journal.
const FILES: usize = 2;
/// How long a request waits at a time for the journal to have room.
const ROOM: Duration = Duration::from_millis(10);

/// Where both are held, the journal is locked before the queue.
struct Shared {
    queue: Mutex<Queue>,
    write: Condvar,
    read: Condvar,
    disk: SharedDisk,
    done: Box<Done>,
    journal: OnceLock<(JournalOptions, Mutex<Journal>)>,
    report: OnceLock<Box<Report>>,
}

/// To be dropped when the owners know what was performed, and before what follows from that, such as
/// answers to publishers: their next requests are begun then.
pub(crate) struct Told<'a> {
    shared: &'a Shared,
    owners: Vec<u64>,
    /// The next requests may be committed.
    commits: bool,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let options = self.shared.options();
        let mut queue = self.shared.lock();
        if self.commits {
            queue.committing = false;
        }
        self.owners.drain(..).for_each(|owner| queue.release(owner, options));
        let wanted = queue.wanted().min(queue.idle);
        drop(queue);
        (0..wanted).for_each(|_| self.shared.write.notify_one());
    }
}

/// The pool. Dropping it lets the threads end when nothing is left to do.
pub(crate) struct IoPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    whole(mutex.lock())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        guard(&self.queue)
    }

    /// Lets the threads end: when nothing is left to do, or with `abandon` when each is done with what it
    /// does now. Also where a panic left the queue.
    fn end(&self, abandon: bool) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.stopping = true;
        queue.abandoned |= abandon;
        drop(queue);
        self.write.notify_all();
        self.read.notify_all();
    }

    fn options(&self) -> Option<&JournalOptions> {
        self.journal.get().map(|(options, _)| options)
    }

    fn journal(&self) -> Option<&Mutex<Journal>> {
        self.journal.get().map(|(_, journal)| journal)
    }

    fn stopped(&self, error: &DiskError) {
        if let Some(report) = self.report.get() {
            report(error);
        }
    }

    fn write_loop(&self) {
        let mut queue = self.lock();
        loop {
            if queue.abandoned {
                return;
            }
            if queue.commit_is_due() {
                queue.committing = true;
                let batch = queue.take_batch(self.options().map_or(0, |it| it.batch_bytes));
                drop(queue);
                self.commit(batch);
                queue = self.lock();
            } else if let Some(work) = queue.work.take() {
                drop(queue);
                self.run_work(work);
                queue = self.lock();
            } else if let Some((owner, request)) = queue.alone.pop_front() {
                drop(queue);
                let Some(result) = self.perform(&request) else { return };
                // Told before the next one begins, so that results come in order too.
                let told = Told { shared: self, owners: vec![owner], commits: false };
                (self.done)(&mut vec![(owner, request.id, result)], told);
                queue = self.lock();
            } else if queue.stopping && !queue.full {
                drop(queue);
                // Others may have waited for what this one has done.
                self.write.notify_all();
                return;
            } else {
                queue = self.wait(queue);
                continue;
            }
            // This thread goes on with one of what there is.
            for _ in 1..queue.wanted().min(1 + queue.idle) {
                self.write.notify_one();
            }
        }
    }

    fn wait<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.idle += 1;
        let watches = !queue.watched && queue.committed.is_some();
        if !watches {
            queue = whole(self.write.wait(queue));
            queue.idle -= 1;
            return queue;
        }
        queue.watched = true;
        (queue, _) = whole(self.write.wait_timeout(queue, REST));
        queue.idle -= 1;
        queue.watched = false;
        let rested = queue.committed.is_some_and(|at| at.elapsed() >= REST);
        let Some(journal) = self.journal().filter(|_| rested && queue.work.is_none()) else {
            return queue;
        };
        drop(queue);
        let mut journal = guard(journal);
        journal.rest();
        let work = journal.work();
        let mut queue = self.lock();
        match work {
            Some(work) => queue.work = Some(work),
            None => queue.committed = queue.committed.filter(|_| journal.is_live()),
        }
        queue
    }

    /// Commits requests and tells their owners.
    fn commit(&self, batch: Vec<(u64, DiskRequest)>) {
        let Some(journal) = self.journal() else { return };
        let weight = batch.iter().map(|(_, request)| Journal::weight(request)).sum();
        let has_room = guard(journal).has_room(weight);
        let results = if has_room {
            let requests: Vec<&DiskRequest> = batch.iter().map(|(_, request)| request).collect();
            commit::commit(self.disk.as_ref(), journal, &requests)
        } else {
            Vec::new()
        };
        let mut locked = guard(journal);
        let work = locked.work();
        let mut queue = self.lock();
        if work.is_some() {
            queue.work = work;
        }
        if !has_room {
            if locked.is_retiring() {
                // That takes a sync per stream; so would this batch without the journal, and the next.
                queue.full = true;
                batch.into_iter().rev().for_each(|waits| queue.commits.push_front(waits));
            } else {
                queue.alone.extend(batch);
            }
            queue.committing = false;
            return;
        }
        queue.committed = Some(Instant::now());
        drop((queue, locked));
        let mut results = batch.iter().zip(results).peekable();
        let mut commits = true;
        while results.peek().is_some() {
            let part = results.by_ref().take(TOLD);
            let mut told: Vec<_> =
                part.map(|((owner, it), result)| (*owner, it.id, result)).collect();
            let owners = told.iter().map(|(owner, ..)| *owner).collect();
            (self.done)(&mut told, Told { shared: self, owners, commits });
            commits = false;
        }
    }

    /// Performs a request on its own; `None` when that cannot be finished any more.
    fn perform(&self, request: &DiskRequest) -> Option<DiskResult> {
        let disk = self.disk.as_ref();
        let syncs = || request.ops.iter().any(|op| matches!(op, DiskOp::Sync(_)));
        let Some(journal) = self.journal().filter(|_| syncs()) else {
            return Some(request.run(disk));
        };
        guard(journal).begin(request);
        let result = request.run(disk);
        if let Err(error) = guard(journal).end(request, &result) {
            self.stopped(&error);
        }
        if result != DiskResult::Done || !guard(journal).brings_back(request) {
            return Some(result);
        }
        loop {
            let replaced = guard(journal).replaced(disk, request);
            match replaced {
                Some(Ok(())) => return Some(result),
                Some(Err(error)) => {
                    let step = request.ops.len().saturating_sub(1);
                    return Some(DiskResult::Failed { step, error });
                }
                None => {
                    let mut queue = self.lock();
                    if queue.abandoned {
                        // Who would make room may be the one that panicked.
                        return None;
                    }
                    let mut work = queue.work.take();
                    drop(queue);
                    if work.is_none() {
                        work = guard(journal).work();
                    }
                    match work {
                        Some(work) => self.run_work(work),
                        None => std::thread::sleep(ROOM),
                    }
                }
            }
        }
    }

    fn run_work(&self, work: Work) {
        let Some(journal) = self.journal() else { return };
        if let Err(error) = work.run(self.disk.as_ref(), journal) {
            self.stopped(&error);
        }
        let next = guard(journal).work();
        let mut queue = self.lock();
        queue.full = false;
        if next.is_some() {
            queue.work = next;
        }
    }

    fn read_loop(&self) {
        let mut queue = self.lock();
        loop {
            if queue.abandoned {
                return;
            }
            if let Some((owner, request)) = queue.take_read() {
                drop(queue);
                let result = request.run(self.disk.as_ref());
                let told = Told { shared: self, owners: Vec::new(), commits: false };
                (self.done)(&mut vec![(owner, request.id, result)], told);
                queue = self.lock();
            } else if queue.stopping {
                return;
            } else {
                queue.idle_readers += 1;
                queue = whole(self.read.wait(queue));
                queue.idle_readers -= 1;
            }
        }
    }
}

impl IoPool {
    /// Starts the threads, each within `watch`, which answers with what it threw. `done` is called on them
    /// with what is performed, each request once, with no lock held; see [`Told`].
    pub(crate) fn start(
        disk: SharedDisk,
        watch: impl Fn(&dyn Fn()) -> Result<(), Thrown> + Clone + Send + 'static,
        done: impl Fn(&mut Vec<Completion>, Told<'_>) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            write: Condvar::new(),
            read: Condvar::new(),
            disk,
            done: Box::new(done),
            journal: OnceLock::new(),
            report: OnceLock::new(),
        });
        let spawn = |name: &str, work: fn(&Shared)| {
            let (shared, watch) = (shared.clone(), watch.clone());
            let thread = move || {
                if watch(&|| work(&shared)).is_err() {
                    // The others would wait for what it did.
                    shared.end(true);
                }
            };
            std::thread::Builder::new().name(name.into()).spawn(thread).ok()
        };
        let writers = (0..WRITERS).filter_map(|_| spawn("natterjack-write", Shared::write_loop));
        let readers = (0..READERS).filter_map(|_| spawn("natterjack-read", Shared::read_loop));
        let threads = Mutex::new(writers.chain(readers).collect());
        IoPool { shared, threads }
    }

    /// Does again what the store's commit journal holds, and uses it from now on. To be called before
    /// anything else of the store is opened. `report` hears of what stops the journal.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) fn open_journal(
        &self,
        options: JournalOptions,
        salt: u64,
        report: impl Fn(&DiskError) + Send + Sync + 'static,
    ) -> Result<Redone, RecoverError> {
        let (journal, redone) = Journal::open(self.shared.disk.as_ref(), options, salt)?;
        // Opened once: a second one would not be taken.
        let _ = self.shared.report.set(Box::new(report));
        let _ = self.shared.journal.set((options, Mutex::new(journal)));
        Ok(redone)
    }

    /// Queues a request. The owner bounds how many of its requests are outstanding.
    pub(crate) fn submit(&self, owner: u64, request: DiskRequest) {
        let shared = &self.shared;
        let mut queue = shared.lock();
        if request.is_read() {
            queue.read(owner, request);
            drop(queue);
            shared.read.notify_one();
            return;
        }
        if queue.busy.contains(&owner) {
            queue.behind.entry(owner).or_default().push_back(request);
            return;
        }
        queue.dispatch(owner, request, shared.options());
        let wake = queue.wanted() > 0 && queue.idle > 0;
        drop(queue);
        if wake {
            shared.write.notify_one();
        }
    }

    /// Reads that had to wait for a thread.
    pub(crate) fn waits(&self) -> Waits {
        let queue = self.shared.lock();
        let waiting = queue.reads.iter().filter(|(.., since)| since.is_some()).count();
        Waits { waiting, ..queue.waits }
    }

    /// Ends the threads; what is queued is not performed.
    pub(crate) fn abandon(&self) {
        self.shared.end(true);
        self.join();
    }

    fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = std::mem::take(&mut *threads);
        let own = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }

    /// Performs what is queued, then ends the threads.
    pub(crate) fn stop(&self) {
        self.shared.end(false);
        self.join();
        let Some(journal) = self.shared.journal() else { return };
        // The next start has nothing to do again.
        for _ in 0..FILES {
            let work = guard(journal).close();
            if let Some(Err(error)) = work.map(|work| work.run(self.shared.disk.as_ref(), journal))
            {
                self.shared.stopped(&error);
            }
        }
    }
}

impl Drop for IoPool {
    fn drop(&mut self) {
        self.shared.end(false);
    }
}

#[cfg(test)]
mod tests;
