//! What is done to the journal's files beside the commits.

use std::sync::{Arc, Mutex};

use super::file::{self, BEGIN, Header};
use super::journal::Half;
use super::{Journal, lock};
use crate::disk::{Disk, DiskError};

/// Work on a file of the journal that takes a while; see [`Journal::work`](super::Journal::work).
#[derive(Debug)]
pub struct Work {
    half: usize,
    path: Arc<str>,
    header: Header,
    kind: Kind,
    /// The file grows from this length to that one.
    grow: Option<(u64, u64)>,
}

#[derive(Debug)]
enum Kind {
    /// The file is made, this long.
    Make(u64),
    /// The files that its records write to are synced, and so they are void.
    Retire(Vec<Arc<str>>),
}

impl Work {
    pub(super) fn make(half: usize, path: Arc<str>, header: Header, len: u64) -> Work {
        Work { half, path, header, kind: Kind::Make(len), grow: None }
    }

    pub(super) fn reuse(half: usize, path: Arc<str>, header: Header) -> Work {
        Work { half, path, header, kind: Kind::Retire(Vec::new()), grow: None }
    }

    pub(super) fn retire(at: usize, path: Arc<str>, header: Header, half: &Half) -> Work {
        let mut files: Vec<Arc<str>> = half.files.keys().cloned().collect();
        files.sort_unstable();
        Work { half: at, path, header, kind: Kind::Retire(files), grow: None }
    }

    pub(super) fn growing(self, grow: Option<(u64, u64)>) -> Work {
        Work { grow, ..self }
    }

    pub(super) fn half(&self) -> usize {
        self.half
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// The length of the file, if this makes it.
    pub(super) fn made(&self) -> Option<u64> {
        match self.kind {
            Kind::Make(len) => Some(len),
            Kind::Retire(_) => None,
        }
    }

    /// The length of the file afterwards, if that changes.
    pub(super) fn len(&self) -> Option<u64> {
        self.made().or(self.grow.map(|(_, len)| len))
    }

    /// The files that have to be synced for it.
    pub(super) fn files(&self) -> &[Arc<str>] {
        match &self.kind {
            Kind::Make(_) => &[],
            Kind::Retire(files) => files,
        }
    }

    /// Does it. The journal is locked for moments only.
    ///
    /// # Errors
    /// What stopped the journal for as long as this process runs: what it holds is redone at the
    /// next start, and rounds sync their own files from now on.
    pub fn run(mut self, disk: &dyn Disk, journal: &Mutex<Journal>) -> Result<(), DiskError> {
        let mut result = match &self.kind {
            Kind::Make(len) => file::make(disk, &self.path, *len, self.header),
            Kind::Retire(files) => disk.sync_files(files),
        };
        if let Kind::Retire(_) = &self.kind
            && result.is_ok()
        {
            let mut locked = lock(journal);
            if !locked.may_void(&self) {
                locked.postpone(&self);
                return Ok(());
            }
            let scrub = locked.take_scrub(&self);
            drop(locked);
            if let Some((from, _)) = self.grow.filter(|_| self.enlarge(disk).is_err()) {
                // There is no room. What it has is enough.
                let _ = disk.truncate(&self.path, from);
                self.grow = None;
            }
            result = self.header.write(disk, &self.path).and_then(|()| self.scrub(disk, scrub));
        }
        lock(journal).worked(&self, result)
    }

    fn enlarge(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let Some((from, to)) = self.grow else { return Ok(()) };
        file::zero(disk, &self.path, from, to)?;
        disk.sync(&self.path)
    }

    /// Overwrites what is void with zeros.
    fn scrub(&self, disk: &dyn Disk, end: u64) -> Result<(), DiskError> {
        if end <= BEGIN {
            return Ok(());
        }
        file::zero(disk, &self.path, BEGIN, end)?;
        disk.sync(&self.path)
    }
}
