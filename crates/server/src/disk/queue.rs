//! What the threads of the pool are to do.

use std::collections::VecDeque;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use natterjack_store::DiskRequest;
use natterjack_store::commit::{Journal, JournalOptions, Work};

/// Reads that had to wait for a thread, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Those that wait now.
    pub(crate) waiting: usize,
    /// All that did.
    pub(crate) count: u64,
    /// How long together, and the longest one, in nanoseconds.
    pub(crate) total_ns: u64,
    /// See above.
    pub(crate) longest_ns: u64,
}

#[derive(Default)]
pub(super) struct Queue {
    /// To be committed through the journal.
    pub(super) commits: VecDeque<(u64, DiskRequest)>,
    /// To be performed on their own.
    pub(super) alone: VecDeque<(u64, DiskRequest)>,
    /// Work on the journal's files.
    pub(super) work: Option<Work>,
    /// Owners with a request in one of these or under way; what they submitted since.
    pub(super) busy: HashSet<u64>,
    pub(super) behind: HashMap<u64, VecDeque<DiskRequest>>,
    /// Since when it waits, for a read that found all threads busy.
    pub(super) reads: VecDeque<(u64, DiskRequest, Option<Instant>)>,
    pub(super) idle_readers: usize,
    pub(super) waits: Waits,
    /// A thread commits.
    pub(super) committing: bool,
    /// Commits wait for the work on the journal.
    pub(super) full: bool,
    pub(super) committed: Option<Instant>,
    /// Threads for writes that wait, and whether one of them looks at the clock.
    pub(super) idle: usize,
    pub(super) watched: bool,
    pub(super) stopping: bool,
    /// Nothing is performed any more.
    pub(super) abandoned: bool,
}

impl Queue {
    /// Puts a request where a thread takes it; its owner is busy from now on.
    pub(super) fn dispatch(
        &mut self,
        owner: u64,
        request: DiskRequest,
        options: Option<&JournalOptions>,
    ) {
        self.busy.insert(owner);
        if options.is_some_and(|options| options.takes(&request)) {
            self.commits.push_back((owner, request));
        } else {
            self.alone.push_back((owner, request));
        }
    }

    /// The owner's request is done: its next one may begin.
    pub(super) fn release(&mut self, owner: u64, options: Option<&JournalOptions>) {
        self.busy.remove(&owner);
        if let Some(behind) = self.behind.get_mut(&owner) {
            let next = behind.pop_front();
            if behind.is_empty() {
                self.behind.remove(&owner);
            }
            if let Some(next) = next {
                self.dispatch(owner, next, options);
            }
        }
    }

    /// Puts a read where a thread takes it. The clock is looked at only if none is free for it.
    pub(super) fn read(&mut self, owner: u64, request: DiskRequest) {
        let is_free = self.idle_readers > self.reads.len();
        self.reads.push_back((owner, request, (!is_free).then(Instant::now)));
    }

    /// The next read.
    pub(super) fn take_read(&mut self) -> Option<(u64, DiskRequest)> {
        let (owner, request, since) = self.reads.pop_front()?;
        if let Some(since) = since {
            let waited = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.waits.count += 1;
            self.waits.total_ns = self.waits.total_ns.saturating_add(waited);
            self.waits.longest_ns = self.waits.longest_ns.max(waited);
        }
        Some((owner, request))
    }

    pub(super) fn commit_is_due(&self) -> bool {
        !self.committing && !self.full && !self.commits.is_empty()
    }

    /// How many threads have something to do that nobody does.
    pub(super) fn wanted(&self) -> usize {
        usize::from(self.commit_is_due()) + self.alone.len() + usize::from(self.work.is_some())
    }

    /// The requests to commit next, of so many bytes at most.
    pub(super) fn take_batch(&mut self, most: usize) -> Vec<(u64, DiskRequest)> {
        let mut bytes = 0;
        let fits = |(_, request): &&(u64, DiskRequest)| {
            bytes += Journal::weight(request);
            bytes <= most
        };
        let count = self.commits.iter().take_while(fits).count().max(1);
        self.commits.drain(..count.min(self.commits.len())).collect()
    }
}
