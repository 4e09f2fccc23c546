//! What is done to the journal's files beside the commits.

use hashbrown::HashMap;
use std::sync::{Arc, Mutex};

use super::file::{self, BEGIN, Header};
use super::{Journal, lock};
use crate::disk::{Disk, DiskError, DiskErrorKind};

/// Work on a file of the journal that takes a while; see [`Journal::work`](super::Journal::work).
#[derive(Debug)]
pub struct Work {
    half: usize,
    path: Arc<str>,
    header: Header,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The file is made, this long.
    Make(u64),
    /// The files that its records write to are synced, and so they are void. Up to where zeros are
    /// written over them afterwards.
    Retire(Vec<Arc<str>>, Option<u64>),
}

impl Work {
    pub(super) fn make(half: usize, path: Arc<str>, header: Header, len: u64) -> Work {
        Work { half, path, header, kind: Kind::Make(len) }
    }

    pub(super) fn reuse(half: usize, path: Arc<str>, header: Header) -> Work {
        Work { half, path, header, kind: Kind::Retire(Vec::new(), None) }
    }

    pub(super) fn retire(
        half: usize,
        path: Arc<str>,
        header: Header,
        files: &HashMap<Arc<str>, u64>,
        scrub: bool,
        end: u64,
    ) -> Work {
        let mut files: Vec<Arc<str>> = files.keys().cloned().collect();
        files.sort_unstable();
        Work { half, path, header, kind: Kind::Retire(files, scrub.then_some(end)) }
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
            Kind::Retire(..) => None,
        }
    }

    /// The files that have to be synced for it.
    pub(super) fn files(&self) -> &[Arc<str>] {
        match &self.kind {
            Kind::Make(_) => &[],
            Kind::Retire(files, _) => files,
        }
    }

    /// Does it. The journal is locked for moments only.
    ///
    /// # Errors
    /// What stopped the journal for as long as this process runs: what it holds is redone at the
    /// next start, and rounds sync their own files from now on.
    pub fn run(self, disk: &dyn Disk, journal: &Mutex<Journal>) -> Result<(), DiskError> {
        let mut result = match &self.kind {
            Kind::Make(len) => file::make(disk, &self.path, *len, self.header),
            Kind::Retire(files, _) => files.iter().try_for_each(|path| sync(disk, path)),
        };
        if let Kind::Retire(_, scrub) = &self.kind
            && result.is_ok()
        {
            let mut locked = lock(journal);
            if !locked.may_void(&self) {
                locked.postpone(&self);
                return Ok(());
            }
            drop(locked);
            result = self.header.write(disk, &self.path).and_then(|()| self.scrub(disk, *scrub));
        }
        lock(journal).worked(&self, result)
    }

    /// Overwrites what is void with zeros.
    fn scrub(&self, disk: &dyn Disk, end: Option<u64>) -> Result<(), DiskError> {
        let Some(end) = end else { return Ok(()) };
        file::zero(disk, &self.path, BEGIN, end)?;
        disk.sync(&self.path)
    }
}

/// Syncs a file, unless it was removed.
pub(super) fn sync(disk: &dyn Disk, path: &str) -> Result<(), DiskError> {
    match disk.sync(path) {
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        other => other,
    }
}
