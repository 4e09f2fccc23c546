//! The journal while the server runs.

use hashbrown::HashMap;
use std::sync::Arc;

use super::file::{self, BEGIN, Header};
use super::options::JournalOptions;
use super::record::{BLOCK, Writer, entry_len, record_len};
use super::redo::{self, Redone};
use super::work::Work;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskOp, DiskRequest, DiskResult};
use crate::recover::RecoverError;

/// So many rounds of a journal that has no files yet are asked for before they are made: a store
/// that is written to now and then needs none.
const MAKE_AFTER: u32 = 32;
/// As many again after the disk had no room for them.
const RETRY_AFTER: u32 = 1 << 16;

/// A larger buffer for records is not kept.
const KEPT: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There is no file, or one that cannot be used as it is.
    Absent,
    /// The file is there, and its header says that there are no records.
    Empty,
    /// Records may be appended; there are none yet.
    Ready,
    /// There are records.
    Live,
    /// A [`Work`] is at it.
    Busy,
}

/// One of the two files.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) path: Arc<str>,
    pub(super) state: State,
    len: u64,
    epoch: u64,
    number: u64,
    /// Where the next record goes.
    pub(super) end: u64,
    /// The files that its records write to, and up to where.
    pub(super) files: HashMap<Arc<str>, u64>,
    /// Up to here there are bytes that were to be erased.
    scrub: u64,
}

impl Half {
    pub(super) fn new(half: usize, len: Option<u64>) -> Half {
        Half {
            path: file::path(half),
            state: if len.is_some() { State::Empty } else { State::Absent },
            len: len.unwrap_or(0),
            epoch: 0,
            number: 0,
            end: BEGIN,
            files: HashMap::new(),
            scrub: 0,
        }
    }

    /// Bytes that it holds are to be erased.
    fn soil(&mut self) {
        self.scrub = self.scrub.max(self.end);
    }

    fn room(&self) -> u64 {
        match self.state {
            State::Ready | State::Live => self.len.saturating_sub(self.end),
            _ => 0,
        }
    }
}

/// The commit journal of a store.
#[derive(Debug)]
pub struct Journal {
    options: JournalOptions,
    salt: u64,
    halves: [Half; 2],
    active: usize,
    /// The next epoch; the later one counts more.
    epoch: u64,
    /// Its files are too small.
    grow: bool,
    /// Rounds that wanted a journal while it had no files, up to where they are made.
    asked: u32,
    enough: u32,
    /// Files that somebody syncs on their own.
    syncing: HashMap<Arc<str>, u32>,
    /// What it holds can be neither voided nor added to before the next start.
    stuck: Option<DiskError>,
    record: Vec<u8>,
}

impl Journal {
    /// Does again what the journal of a store holds, if it has one. To be called before anything
    /// else of the store is opened. `salt` is random.
    ///
    /// # Errors
    /// [`RecoverError::Newer`] if a newer program wrote it; nothing is changed then.
    /// [`RecoverError::Disk`] if the disk fails; opening again is safe.
    pub fn open(
        disk: &dyn Disk,
        options: JournalOptions,
        salt: u64,
    ) -> Result<(Journal, Redone), RecoverError> {
        let (halves, epoch, redone) = redo::redo(disk, salt)?;
        let journal = Journal {
            options,
            salt,
            halves,
            active: 0,
            epoch,
            grow: false,
            asked: 0,
            enough: MAKE_AFTER,
            syncing: HashMap::new(),
            stuck: None,
            record: Vec::new(),
        };
        Ok((journal, redone))
    }

    /// The bytes that a request takes of [`JournalOptions::batch_bytes`].
    pub fn weight(request: &DiskRequest) -> usize {
        let entries = request.ops.iter().map(|op| match op {
            DiskOp::Write { path, data, .. } => entry_len(path, data.len()),
            _ => 0,
        });
        entries.sum()
    }

    /// Whether requests of this weight can be committed now. Otherwise they are better performed
    /// each with its own sync, side by side; and [`Journal::work`] may have something to do.
    pub fn has_room(&mut self, weight: usize) -> bool {
        if self.stuck.is_some() {
            return false;
        }
        let room = self.turn(record_len(weight) as u64).is_some();
        if !room {
            self.asked = self.asked.saturating_add(1);
            self.grow |= self.is_retiring();
        }
        room
    }

    /// Whether there will be room when a [`Work`] that is under way is done. That is the sooner the
    /// less is synced meanwhile.
    pub fn is_retiring(&self) -> bool {
        let busy = |half: &Half| half.state == State::Busy && !half.files.is_empty();
        self.stuck.is_none() && self.halves.iter().any(busy)
    }

    /// The file in turn for a record of so many bytes. What is in the one with the later epoch is
    /// redone later, so the one that was left takes no more.
    fn turn(&mut self, need: u64) -> Option<usize> {
        let other = 1 - self.active;
        let [active, next] = [&self.halves[self.active], &self.halves[other]];
        if active.room() < need {
            if next.state != State::Ready || next.epoch < active.epoch || next.room() < need {
                return None;
            }
            self.active = other;
        }
        Some(self.active)
    }

    /// Appends what requests wrote, durably. False if that cannot be done.
    pub(super) fn append(&mut self, disk: &dyn Disk, requests: &[&DiskRequest]) -> bool {
        let weight = requests.iter().map(|request| Journal::weight(request)).sum();
        let room = self.stuck.is_none() && self.turn(record_len(weight) as u64).is_some();
        room && self.append_at_turn(disk, requests)
    }

    fn append_at_turn(&mut self, disk: &dyn Disk, requests: &[&DiskRequest]) -> bool {
        let at = self.active;
        let writes = || {
            requests.iter().flat_map(|request| &request.ops).filter_map(|op| match op {
                DiskOp::Write { path, offset, data } => Some((path, *offset, data)),
                _ => None,
            })
        };
        for (path, offset, data) in writes() {
            // Records that were written once change only to be erased.
            let holds = |half: &&mut Half| half.files.get(path).is_some_and(|end| offset < *end);
            self.halves.iter_mut().filter(holds).for_each(Half::soil);
            let end = offset + data.len() as u64;
            let files = &mut self.halves[at].files;
            match files.get_mut(path) {
                Some(known) => *known = end.max(*known),
                None => drop(files.insert(path.clone(), end)),
            }
        }
        let written = self.write(disk, at, |record| {
            writes().for_each(|(path, offset, data)| record.bytes(path, offset, data));
        });
        written.is_ok()
    }

    fn write(
        &mut self,
        disk: &dyn Disk,
        at: usize,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), DiskError> {
        let half = &mut self.halves[at];
        let mut record = Writer::new(&mut self.record, half.epoch, half.number);
        fill(&mut record);
        record.finish(self.salt);
        half.state = State::Live;
        let written = disk.write_durable(&half.path, half.end, &self.record);
        half.number += 1;
        half.end += self.record.len() as u64;
        if written.is_err() {
            // Whatever is there of it, nothing comes behind it.
            half.end = half.len;
        }
        if self.record.capacity() > KEPT {
            self.record = Vec::new();
        }
        written
    }

    /// Whether a request, performed on its own, replaced bytes that the journal would bring back.
    /// Then [`Journal::replaced`] comes before the request counts as done.
    pub fn brings_back(&self, request: &DiskRequest) -> bool {
        !self.overwritten(request).is_empty()
    }

    fn overwritten(&self, request: &DiskRequest) -> Vec<Arc<str>> {
        let mut paths: Vec<Arc<str>> = Vec::new();
        for op in &request.ops {
            let DiskOp::Write { path, offset, .. } = op else { continue };
            let older = |half: &Half| half.files.get(path).is_some_and(|end| offset < end);
            if self.halves.iter().any(older)
                && request.ops.contains(&DiskOp::Sync(path.clone()))
                && !paths.contains(path)
            {
                paths.push(path.clone());
            }
        }
        paths
    }

    /// Notes durably that a request replaced bytes that the journal holds. `None` while it has no
    /// room for that: call again when [`Journal::work`] is done.
    pub fn replaced(
        &mut self,
        disk: &dyn Disk,
        request: &DiskRequest,
    ) -> Option<Result<(), DiskError>> {
        let paths = self.overwritten(request);
        if paths.is_empty() {
            return Some(Ok(()));
        }
        if let Some(error) = self.stuck.clone() {
            // What it holds of the file may be nowhere else: the new bytes go behind the old ones.
            let need = record_len(Journal::weight(request)) as u64;
            let done = self.turn(need).is_some() && self.append_at_turn(disk, &[request]);
            return Some(if done { Ok(()) } else { Err(error) });
        }
        let weight: usize = paths.iter().map(|path| entry_len(path, 0)).sum();
        let Some(at) = self.turn(record_len(weight) as u64) else {
            // What room is left does not count: `work` makes more.
            self.fill_up();
            return None;
        };
        let holds = |half: &&mut Half| paths.iter().any(|path| half.files.contains_key(path));
        self.halves.iter_mut().filter(holds).for_each(Half::soil);
        Some(self.write(disk, at, |record| paths.iter().for_each(|path| record.forget(path))))
    }

    /// Tells of a request that is about to be performed with its own syncs.
    pub fn begin(&mut self, request: &DiskRequest) {
        for path in self.held(request) {
            *self.syncing.entry(path).or_default() += 1;
        }
    }

    /// Tells how a request went that was performed with its own syncs.
    ///
    /// # Errors
    /// What stops the journal now, see [`Work::run`]: a sync that fails may drop bytes of a file for
    /// good that only the journal still has, although a later one succeeds.
    pub fn end(&mut self, request: &DiskRequest, result: &DiskResult) -> Result<(), DiskError> {
        for path in self.held(request) {
            if let Some(count) = self.syncing.get_mut(&path) {
                *count -= 1;
                if *count == 0 {
                    self.syncing.remove(&path);
                }
            }
        }
        match result {
            DiskResult::Failed { step, error } if self.stuck.is_none() => {
                let DiskOp::Sync(path) = &request.ops[*step] else { return Ok(()) };
                if self.halves.iter().any(|half| half.files.contains_key(path)) {
                    self.stuck = Some(error.clone());
                    return Err(error.clone());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The files that a request syncs and the journal has bytes of.
    fn held(&self, request: &DiskRequest) -> Vec<Arc<str>> {
        let known = |path: &Arc<str>| {
            self.syncing.contains_key(path)
                || self.halves.iter().any(|half| half.files.contains_key(path))
        };
        let mut held = Vec::new();
        for op in &request.ops {
            if let DiskOp::Sync(path) = op
                && known(path)
                && !held.contains(path)
            {
                held.push(path.clone());
            }
        }
        held
    }

    /// What is to be done beside: making files, and voiding one whose records are no longer needed.
    /// To be run by [`Work::run`], one at a time.
    pub fn work(&mut self) -> Option<Work> {
        if self.stuck.is_some() {
            return None;
        }
        let busy = self.halves.iter().any(|half| half.state == State::Busy);
        let other = 1 - self.active;
        let at = [self.active, other].into_iter().find(|&at| match self.halves[at].state {
            State::Absent => self.asked >= self.enough,
            State::Empty => self.asked > 0,
            // Its last record may be unknown, or the other one has taken over.
            State::Live => at == other || self.halves[at].room() == 0,
            // It was passed over and is too old to take over, or is still to be scrubbed.
            State::Ready => {
                let half = &self.halves[at];
                half.scrub > 0 || half.epoch < self.halves[self.active].epoch
            }
            State::Busy => false,
        });
        let at = at.filter(|_| !busy)?;
        let (salt, len) = (self.salt, self.options.file_bytes.max(BEGIN + BLOCK as u64));
        let header = Header { epoch: self.next_epoch(), salt, empty: false };
        let half = &mut self.halves[at];
        let state = std::mem::replace(&mut half.state, State::Busy);
        let path = half.path.clone();
        Some(match state {
            State::Live => {
                let grow = self.grow && half.len < self.options.file_bytes_max;
                let grown = (2 * half.len).min(self.options.file_bytes_max);
                let more = std::mem::take(&mut self.grow) && grow;
                Work::retire(at, path, header, half).growing(more.then_some((half.len, grown)))
            }
            State::Empty | State::Ready => Work::reuse(at, path, header),
            _ => Work::make(at, path, header, len),
        })
    }

    fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Whether what this work has synced is safe. A sync of somebody else that fails at the same time
    /// may have taken bytes with it, and its error.
    pub(super) fn may_void(&self, work: &Work) -> bool {
        self.stuck.is_none() && !work.files().iter().any(|path| self.syncing.contains_key(path))
    }

    /// Up to where zeros are to be written over what is void.
    pub(super) fn take_scrub(&mut self, work: &Work) -> u64 {
        std::mem::take(&mut self.halves[work.half()].scrub)
    }

    /// Takes work back that is to be done again.
    pub(super) fn postpone(&mut self, work: &Work) {
        self.halves[work.half()].state = State::Live;
    }

    pub(super) fn worked(
        &mut self,
        work: &Work,
        result: Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let half = &mut self.halves[work.half()];
        match result {
            Ok(()) => {
                half.state = if work.header().empty { State::Empty } else { State::Ready };
                half.epoch = work.header().epoch;
                half.len = work.len().unwrap_or(half.len);
                (half.number, half.end) = (0, BEGIN);
                half.files = HashMap::new();
                Ok(())
            }
            Err(_) if work.made().is_some() => {
                half.state = State::Absent;
                self.asked = 0;
                self.enough = RETRY_AFTER;
                Ok(())
            }
            Err(error) => {
                half.state = State::Live;
                self.stuck = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Whether there are records that [`Journal::rest`] could void.
    pub fn is_live(&self) -> bool {
        self.stuck.is_none() && self.halves.iter().any(|half| half.state == State::Live)
    }

    /// Lets [`Journal::work`] void all records, since nothing is committed for a while.
    pub fn rest(&mut self) {
        let [active, next] = [&self.halves[self.active], &self.halves[1 - self.active]];
        if active.state != State::Live {
            return;
        }
        if next.state == State::Ready && next.epoch > active.epoch {
            self.active = 1 - self.active;
        } else if next.state != State::Busy {
            self.fill_up();
        }
    }

    /// Makes the file in turn take no more, so that [`Journal::work`] retires it.
    fn fill_up(&mut self) {
        let half = &mut self.halves[self.active];
        if half.state == State::Live {
            half.end = half.len;
        }
    }

    /// The last work before the store is closed: afterwards a start has nothing to do.
    /// `None` when that is so already; ask again after [`Work::run`].
    pub fn close(&mut self) -> Option<Work> {
        if self.stuck.is_some() {
            return None;
        }
        let open = |half: &Half| matches!(half.state, State::Live | State::Ready);
        let at = self.halves.iter().position(open)?;
        let header = Header { epoch: self.next_epoch(), salt: self.salt, empty: true };
        let half = &mut self.halves[at];
        half.state = State::Busy;
        Some(Work::retire(at, half.path.clone(), header, half))
    }
}

/// What a disk says of a journal that cannot be read.
pub(super) fn unreadable(path: &str) -> DiskError {
    DiskError {
        kind: DiskErrorKind::Other,
        op: "read",
        path: path.into(),
        message: "the commit journal is damaged".into(),
    }
}
