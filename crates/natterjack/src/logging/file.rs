//! A log file that rotates as Python's `RotatingFileHandler(maxBytes, backupCount)` does.
//!
//! Before a record is written: if the file's size and the record's come to `max_bytes` or more, `.N-1`
//! becomes `.N` (the oldest goes), the file becomes `.1`, and a new one is begun. Records are never
//! split; what a file held before a restart counts. `max_bytes` 0 means never to rotate. `backups` 0
//! means never to rotate either, where Python opens the same file again. What is no regular file is
//! never rotated. Sizes are in bytes; Python counts the record in characters, which is the same for
//! ASCII.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logroller::{LogRollerBuilder, Rotation, RotationSize};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::units::{ByteSize, mib};

/// A log file and its rotation.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
    max_bytes: ByteSize,
    backups: u32,
}

impl LogFile {
    /// A file that rotates at 1 MiB and keeps 10 older ones. Missing directories are made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_bytes: mib(1), backups: 10 }
    }

    /// The size that a file stays below; 0 means never to rotate.
    #[must_use]
    pub fn max_bytes(mut self, size: ByteSize) -> Self {
        self.max_bytes = size;
        self
    }

    /// How many older files are kept; 0 means never to rotate.
    #[must_use]
    pub fn backups(mut self, files: u32) -> Self {
        self.backups = files;
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file and starts the thread that writes to it.
    pub(super) fn open(&self, waiting_lines: usize) -> io::Result<(NonBlocking, Writing)> {
        let failed = Arc::new(AtomicU64::new(0));
        let writer = Counting { inner: self.writer()?, failed: failed.clone() };
        let (lines, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(waiting_lines)
            .lossy(true)
            .thread_name("natterjack-log")
            .finish(writer);
        let lost = Lost { path: self.path.clone(), failed, dropped: lines.error_counter() };
        Ok((lines, Writing { guard, lost }))
    }

    fn writer(&self) -> io::Result<Box<dyn Write + Send>> {
        let name = self.path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(directory)?;
        // Opened here in any case, for the system's own reason if it cannot be.
        let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        let regular = file.metadata()?.is_file();
        if self.max_bytes.bytes() == 0 || self.backups == 0 || !regular {
            return Ok(Box::new(file));
        }
        let roller = LogRollerBuilder::new(directory, Path::new(name))
            .rotation(Rotation::SizeBased(RotationSize::Bytes(self.max_bytes.bytes())))
            .max_keep_files(u64::from(self.backups))
            // With each flush all renames are done; without it they trail behind in a thread.
            .graceful_shutdown(true)
            .build()
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Box::new(roller))
    }
}

/// A file that is being written to.
pub(super) struct Writing {
    guard: WorkerGuard,
    lost: Lost,
}

impl Writing {
    pub(super) fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Writes what is left.
    pub(super) fn finish(self) -> Lost {
        drop(self.guard);
        self.lost
    }
}

/// What could not be written to a file.
pub(super) struct Lost {
    path: PathBuf,
    failed: Arc<AtomicU64>,
    dropped: ErrorCounter,
}

impl Lost {
    pub(super) fn lines(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.dropped.dropped_lines() as u64
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Counts lines that cannot be written, and goes on with the next: a full disk must not end logging.
struct Counting {
    inner: Box<dyn Write + Send>,
    failed: Arc<AtomicU64>,
}

impl Write for Counting {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.inner.write_all(line).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Lines that are still in a buffer do not exist: files are written to directly.
        let _ = self.inner.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the file and of its backups, in order.
    fn sizes(path: &Path) -> Vec<u64> {
        let size = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.len());
        let numbered = (1..).map(|n| size(&PathBuf::from(format!("{}.{n}", path.display()))));
        std::iter::once(size(path)).chain(numbered).map_while(|size| size).collect()
    }

    fn write(file: &LogFile, records: usize, size: usize) {
        let mut writer = file.writer().unwrap();
        for n in 0..records {
            let mut record = format!("{n:0width$}", width = size - 1);
            record.push('\n');
            writer.write_all(record.as_bytes()).unwrap();
            writer.flush().unwrap();
        }
    }

    // Shows U-113.
    #[test]
    fn rotation_equals_pythons_also_for_random_settings() {
        let recorded = include_str!("../../tests/python_rotation.tsv");
        let rows: Vec<Vec<u64>> = recorded
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').map(|number| number.parse().unwrap()).collect())
            .collect();
        assert_eq!(rows.len(), 200);
        for row in rows {
            let [limit, backups, records, shortest, longest] = row[..5] else { panic!("{row:?}") };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.log");
            let backups = u32::try_from(backups).unwrap();
            let file = LogFile::new(&path).max_bytes(ByteSize::new(limit)).backups(backups);
            let mut writer = file.writer().unwrap();
            for n in 0..records {
                let length =
                    usize::try_from(shortest + (7 * n) % (longest - shortest + 1)).unwrap();
                writer.write_all(format!("{}\n", "x".repeat(length - 1)).as_bytes()).unwrap();
                writer.flush().unwrap();
            }
            assert_eq!(sizes(&path), row[5..], "{row:?}");
        }
    }

    // Shows U-113.
    #[test]
    fn rotation_equals_pythons() {
        // What logging.handlers.RotatingFileHandler(maxBytes=1050, backupCount=3) leaves of 47 records
        // of 100 bytes.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let file = LogFile::new(&path).max_bytes(ByteSize::new(1050)).backups(3);
        write(&file, 47, 100);
        assert_eq!(sizes(&path), [700, 1000, 1000, 1000]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("46\n"));
        let oldest = std::fs::read_to_string(dir.path().join("a.log.3")).unwrap();
        assert!(oldest.lines().next().unwrap().ends_with("10"));
    }

    // Shows U-114.
    #[test]
    fn what_a_file_held_before_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let file = LogFile::new(&path).max_bytes(ByteSize::new(1050)).backups(3);
        write(&file, 4, 100);
        write(&file, 7, 100);
        assert_eq!(sizes(&path), [100, 1000]);
    }

    // Shows U-114.
    #[test]
    fn zero_means_never() {
        let dir = tempfile::tempdir().unwrap();
        for (name, max_bytes, backups) in [("a", 0, 3), ("b", 1050, 0)] {
            let path = dir.path().join(name);
            let file = LogFile::new(&path).max_bytes(ByteSize::new(max_bytes)).backups(backups);
            write(&file, 47, 100);
            assert_eq!(sizes(&path), [4700], "{name}");
        }
    }

    // Shows U-114.
    #[cfg(unix)]
    #[test]
    fn a_device_is_not_rotated() {
        let file = LogFile::new("/dev/null").max_bytes(ByteSize::new(10));
        let mut writer = file.writer().unwrap();
        writer.write_all(&[b'x'; 100]).unwrap();
        assert!(!Path::new("/dev/null.1").exists());
    }

    // Shows U-115.
    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failed = Arc::new(AtomicU64::new(0));
        let mut writer = Counting { inner: Box::new(Full), failed: failed.clone() };
        for _ in 0..3 {
            writer.write_all(b"line\n").unwrap();
        }
        assert_eq!(failed.load(Ordering::Relaxed), 3);
    }
}
