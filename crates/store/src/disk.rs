//! What the log asks of a disk, as values.

use bytes::Bytes;
use std::sync::Arc;

/// Names a request of one log; the answer carries it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What kind of failure a disk reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskErrorKind {
    /// No room, or over a quota.
    NoRoom,
    /// No such file or directory.
    NotFound,
    /// The process or the system can open no more files now.
    NoFiles,
    /// Anything else.
    Other,
}

/// A failure that a disk reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op} {path}: {message}")]
pub struct DiskError {
    /// What kind of failure.
    pub kind: DiskErrorKind,
    /// What was tried: `write`, `sync`, …
    pub op: &'static str,
    /// On which file, relative to the store's directory.
    pub path: String,
    /// The system's words.
    pub message: String,
}

/// A disk as the store needs it. Paths are relative to the store's directory, with `/` between
/// their parts. Calls block until done; the simulated and the real disk implement them.
pub trait Disk {
    /// The names of the files and directories in a directory, in any order.
    ///
    /// # Errors
    /// `NotFound` if there is no such directory.
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError>;
    /// The length of a file in bytes.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    fn len(&self, path: &str) -> Result<u64, DiskError>;
    /// Reads `len` bytes at `offset`; fewer at the end of the file.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError>;
    /// Writes all of `data` at `offset`, creating the file if it is not there. After an error any
    /// part may have been written.
    ///
    /// # Errors
    /// `NoRoom` when the disk is full.
    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError>;
    /// Makes a file's content and length durable. After an error nothing is known of what was
    /// written since the last success, also when a later sync succeeds.
    ///
    /// # Errors
    /// As the system reports.
    fn sync(&self, path: &str) -> Result<(), DiskError>;
    /// As [`Disk::sync`] for several files, passing over those that are not there. A system that can
    /// sync all of them at once does so.
    ///
    /// # Errors
    /// Of whichever file; nothing is known of the others then.
    fn sync_files(&self, paths: &[Arc<str>]) -> Result<(), DiskError> {
        paths.iter().try_for_each(|path| match self.sync(path) {
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
            other => other,
        })
    }
    /// Writes all of `data` at `offset` of a file that is there and longer than that, and makes these
    /// bytes durable. After an error nothing is known of them. The commit journal is written so.
    ///
    /// # Errors
    /// As [`Disk::write_at`] and [`Disk::sync`].
    fn write_durable(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.write_at(path, offset, data)?;
        self.sync(path)
    }
    /// Cuts or extends a file, creating it if it is not there.
    ///
    /// # Errors
    /// As the system reports.
    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError>;
    /// Creates a directory and its parents; no error if it is there.
    ///
    /// # Errors
    /// As the system reports.
    fn create_dir(&self, path: &str) -> Result<(), DiskError>;
    /// Removes a file or an empty directory.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// Renames a file, replacing what has the new name.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Makes a directory's entries durable: files created, removed and renamed in it.
    ///
    /// # Errors
    /// As the system reports.
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError>;
}

/// One step of a [`DiskRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskOp {
    /// See [`Disk::create_dir`].
    CreateDir(Arc<str>),
    /// See [`Disk::write_at`].
    Write {
        /// The file.
        path: Arc<str>,
        /// Where in the file.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// See [`Disk::sync`].
    Sync(Arc<str>),
    /// See [`Disk::sync_dir`].
    SyncDir(Arc<str>),
    /// See [`Disk::truncate`].
    Truncate {
        /// The file.
        path: Arc<str>,
        /// Its new length.
        len: u64,
    },
    /// See [`Disk::remove`]. A file that is not there is no failure of the request.
    Remove(Arc<str>),
    /// See [`Disk::rename`].
    Rename {
        /// The old name.
        from: Arc<str>,
        /// The new name.
        to: Arc<str>,
    },
    /// See [`Disk::read_at`]; the only step of its request.
    Read {
        /// The file.
        path: Arc<str>,
        /// Where in the file.
        offset: u64,
        /// How much.
        len: u32,
    },
}

/// Work for a disk: steps that are performed in order up to the first failure.
///
/// Requests of one log are performed in the order in which they were taken, except that reads
/// may overtake and be overtaken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRequest {
    /// To be handed back with the result.
    pub id: RequestId,
    /// The steps.
    pub ops: Vec<DiskOp>,
}

/// How a [`DiskRequest`] went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskResult {
    /// All steps are done.
    Done,
    /// What a read found; short at the end of the file.
    Read(Bytes),
    /// A step failed; those after it were not tried.
    Failed {
        /// Which step, from 0.
        step: usize,
        /// Why.
        error: DiskError,
    },
}

impl DiskRequest {
    /// Whether it only reads, and so needs no place in the order of its log.
    pub fn is_read(&self) -> bool {
        self.ops.iter().all(|op| matches!(op, DiskOp::Read { .. }))
    }

    /// Performs the steps on `disk`.
    pub fn run(&self, disk: &dyn Disk) -> DiskResult {
        self.run_steps(disk, |_| true)
    }

    /// Performs the steps that `which` selects.
    pub(crate) fn run_steps(&self, disk: &dyn Disk, which: impl Fn(&DiskOp) -> bool) -> DiskResult {
        let mut result = DiskResult::Done;
        for (step, op) in self.ops.iter().enumerate().filter(|(_, op)| which(op)) {
            let done = match op {
                DiskOp::CreateDir(path) => disk.create_dir(path),
                DiskOp::Write { path, offset, data } => disk.write_at(path, *offset, data),
                DiskOp::Sync(path) => disk.sync(path),
                DiskOp::SyncDir(path) => disk.sync_dir(path),
                DiskOp::Truncate { path, len } => disk.truncate(path, *len),
                DiskOp::Remove(path) => match disk.remove(path) {
                    Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
                    other => other,
                },
                DiskOp::Rename { from, to } => disk.rename(from, to),
                DiskOp::Read { path, offset, len } => disk
                    .read_at(path, *offset, *len as usize)
                    .map(|data| result = DiskResult::Read(data)),
            };
            if let Err(error) = done {
                return DiskResult::Failed { step, error };
            }
        }
        result
    }
}
