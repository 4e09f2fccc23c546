//! A disk that fills up and fails when a test says so; the files are real.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use natterjack_store::{Disk, DiskError, DiskErrorKind};

use super::SharedDisk;

/// What goes wrong from now on, and what was done.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// No file can grow.
    pub(crate) full: AtomicBool,
    /// Whoever writes panics.
    pub(crate) panics: AtomicBool,
    /// No file can be opened: nothing is read, written or synced.
    pub(crate) no_files: AtomicBool,
    /// So many syncs of files below `streams/` succeed; later ones fail. The journal's fail as well.
    syncs_left: Mutex<Option<u64>>,
    held: Mutex<bool>,
    released: Condvar,
    /// Syncs that succeeded, those of the journal included.
    pub(crate) syncs: AtomicU64,
    /// Files of which a sync failed.
    pub(crate) failed: Mutex<Vec<String>>,
    /// Files that were written since somebody looked.
    written: Mutex<Vec<String>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// Lets all syncs of streams fail after so many, or none any more.
    pub(crate) fn fail_syncs_after(&self, count: Option<u64>) {
        *guard(&self.syncs_left) = count;
    }

    /// Lets syncs wait from now on, or go on.
    pub(crate) fn hold_syncs(&self, hold: bool) {
        *guard(&self.held) = hold;
        self.released.notify_all();
    }

    /// The files that were written since the last call.
    pub(crate) fn take_written(&self) -> Vec<String> {
        std::mem::take(&mut *guard(&self.written))
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        let held = guard(&self.held);
        drop(self.released.wait_while(held, |held| *held).unwrap_or_else(PoisonError::into_inner));
        let concerned = path.starts_with("streams/") || path.starts_with("journal/");
        let mut left = guard(&self.syncs_left);
        if concerned && let Some(left) = left.as_mut() {
            let Some(less) = left.checked_sub(1) else {
                guard(&self.failed).push(path.into());
                return Err(error("sync", path, DiskErrorKind::Other, "input/output error"));
            };
            *left = less;
        }
        drop(left);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn open(&self, op: &'static str, path: &str) -> Result<(), DiskError> {
        match self.no_files.load(Ordering::Relaxed) {
            true => Err(error(op, path, DiskErrorKind::NoFiles, "too many open files")),
            false => Ok(()),
        }
    }
}

fn error(op: &'static str, path: &str, kind: DiskErrorKind, message: &str) -> DiskError {
    DiskError { kind, op, path: path.into(), message: message.into() }
}

/// The disk with its faults.
pub(crate) struct FaultyDisk {
    pub(crate) disk: SharedDisk,
    pub(crate) faults: Arc<Faults>,
}

impl Disk for FaultyDisk {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }

    fn len(&self, path: &str) -> Result<u64, DiskError> {
        self.disk.len(path)
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.faults.open("read", path)?;
        self.disk.read_at(path, offset, len)
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        assert!(!self.faults.panics.load(Ordering::Relaxed), "thrown by the disk");
        self.faults.open("write", path)?;
        guard(&self.faults.written).push(path.into());
        let end = offset + data.len() as u64;
        if self.faults.full.load(Ordering::Relaxed) && self.disk.len(path).unwrap_or(0) < end {
            // As much as fitted.
            self.disk.write_at(path, offset, &data[..data.len() / 2])?;
            return Err(error("write", path, DiskErrorKind::NoRoom, "no space left on device"));
        }
        self.disk.write_at(path, offset, data)
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        self.faults.open("sync", path)?;
        self.faults.sync(path)?;
        self.disk.sync(path)
    }

    fn write_durable(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        assert!(!self.faults.panics.load(Ordering::Relaxed), "thrown by the disk");
        self.faults.open("write", path)?;
        self.faults.sync(path)?;
        self.disk.write_durable(path, offset, data)
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        self.faults.open("truncate", path)?;
        self.disk.truncate(path, len)
    }

    fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.disk.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.faults.open("sync", dir)?;
        self.disk.sync_dir(dir)
    }
}
