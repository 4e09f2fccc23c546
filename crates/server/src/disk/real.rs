//! Files of the operating system, by the standard library alone.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hashbrown::HashMap;
use natterjack_store::{Disk, DiskError, DiskErrorKind};

use super::durable::Durables;
use super::file_system::FileSystem;
use crate::process;

/// Files kept open at most; the least recently used one is closed for the next. Fewer where the process
/// may open few: a quarter of them is the store's.
const OPEN_FILES: usize = 512;
/// Kept open however few the process may open.
const OPEN_FILES_MIN: usize = 8;
/// How often opening is tried while the process has no file to spare. Those that the store itself holds
/// are closed first; somebody else may take their place.
const OPEN_TRIES: usize = 5;

/// From so many files on the whole file system is synced instead.
const MANY_FILES: usize = 12;

/// The store's directory on a real disk.
pub(crate) struct RealDisk {
    root: PathBuf,
    open_max: usize,
    open: Mutex<OpenFiles>,
    /// The files of [`Disk::write_durable`].
    durable: Mutex<Durables>,
    file_system: FileSystem,
}

#[derive(Default)]
struct OpenFiles {
    files: HashMap<Box<str>, (Arc<File>, u64)>,
    clock: u64,
}

fn failed(op: &'static str, path: &str, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        ErrorKind::NotFound => DiskErrorKind::NotFound,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            DiskErrorKind::NoRoom
        }
        _ if process::is_out_of_files(error) => DiskErrorKind::NoFiles,
        _ => DiskErrorKind::Other,
    };
    DiskError { kind, op, path: path.into(), message: error.to_string() }
}

impl RealDisk {
    /// The disk below `root`, which is created if need be.
    pub(crate) fn new(root: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        let file_system = FileSystem::of(&root);
        let open_max = Self::open_files_of(process::file_limit());
        let (open, durable) = (Mutex::default(), Mutex::default());
        Ok(RealDisk { root, open_max, open, durable, file_system })
    }

    /// How many files a store keeps open in a process that may open so many.
    pub(crate) fn open_files_of(limit: Option<usize>) -> usize {
        limit.map_or(OPEN_FILES, |limit| (limit / 4).clamp(OPEN_FILES_MIN, OPEN_FILES))
    }

    /// Opens a file, for which others are closed if the process has none to spare.
    fn open(&self, open: &mut OpenFiles, path: &Path, create: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create);
        let mut opened = options.open(path);
        for _ in 1..OPEN_TRIES {
            if !matches!(&opened, Err(error) if process::is_out_of_files(error)) {
                break;
            }
            open.files.clear();
            opened = options.open(path);
        }
        opened
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn file(&self, op: &'static str, path: &str, create: bool) -> Result<Arc<File>, DiskError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let clock = open.clock;
        if let Some((file, used)) = open.files.get_mut(path) {
            *used = clock;
            return Ok(file.clone());
        }
        let file = self.open(&mut open, &self.path(path), create);
        let file = file.map_err(|error| failed(op, path, &error))?;
        self.file_system.note(&file);
        let file = Arc::new(file);
        if open.files.len() >= self.open_max
            && let Some(oldest) =
                open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone())
        {
            open.files.remove(&oldest);
        }
        open.files.insert(path.into(), (file.clone(), clock));
        Ok(file)
    }

    fn forget(&self, path: &str) {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).forget(path);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).files.remove(path);
    }
}

#[cfg(all(unix, not(natterjack_portable)))]
pub(super) fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(all(unix, not(natterjack_portable)))]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

/// Seeking moves one position per open file: a lock makes seek and transfer one step.
#[cfg(any(not(unix), natterjack_portable))]
static SEEK: Mutex<()> = Mutex::new(());

#[cfg(any(not(unix), natterjack_portable))]
pub(super) fn write_all_at(mut file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    let _guard = SEEK.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(data)
}

#[cfg(any(not(unix), natterjack_portable))]
fn read_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};
    let _guard = SEEK.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    file.read(buffer)
}

impl Disk for RealDisk {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let entries =
            std::fs::read_dir(self.path(dir)).map_err(|error| failed("list", dir, &error))?;
        entries
            .map(|entry| {
                let entry = entry.map_err(|error| failed("list", dir, &error))?;
                Ok(entry.file_name().to_string_lossy().into_owned())
            })
            .collect()
    }

    fn len(&self, path: &str) -> Result<u64, DiskError> {
        std::fs::metadata(self.path(path))
            .map(|metadata| metadata.len())
            .map_err(|error| failed("len", path, &error))
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let file = self.file("read", path, false)?;
        let mut buffer = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match read_at(&file, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", path, &error)),
            }
        }
        buffer.truncate(filled);
        Ok(buffer.into())
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let file = self.file("write", path, true)?;
        write_all_at(&file, data, offset).map_err(|error| failed("write", path, &error))
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        let file = self.file("sync", path, false)?;
        file.sync_data().map_err(|error| failed("sync", path, &error))
    }

    /// One sync of the whole file system costs little more than that of a file, since what takes the
    /// time is the device's flush of its cache: with many files it is far cheaper, as long as others
    /// do not have gigabytes to write.
    fn sync_files(&self, paths: &[Arc<str>]) -> Result<(), DiskError> {
        if paths.len() >= MANY_FILES
            && let Some(synced) = self.file_system.sync()
        {
            return synced.map_err(|error| failed("sync", "", &error));
        }
        paths.iter().try_for_each(|path| match self.sync(path) {
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
            other => other,
        })
    }

    fn write_durable(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable
            .write(path, &self.path(path), offset, data)
            .map_err(|error| failed("sync", path, &error))
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        let file = self.file("truncate", path, true)?;
        file.set_len(len).map_err(|error| failed("truncate", path, &error))
    }

    fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        std::fs::create_dir_all(self.path(path))
            .map_err(|error| failed("create directory", path, &error))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.forget(path);
        let full = self.path(path);
        let outcome =
            if full.is_dir() { std::fs::remove_dir(&full) } else { std::fs::remove_file(&full) };
        // Again: the thread for reads may have opened what was still there.
        self.forget(path);
        outcome.map_err(|error| failed("remove", path, &error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.forget(from);
        self.forget(to);
        let outcome = std::fs::rename(self.path(from), self.path(to));
        // Again: the thread for reads may have opened the file that was replaced. Kept open, it would
        // be read, and written, in place of the new one.
        self.forget(from);
        self.forget(to);
        outcome.map_err(|error| failed("rename", from, &error))
    }

    /// Windows has no such call; its file systems order directory changes themselves.
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        if cfg!(unix) {
            let opened = File::open(self.path(dir)).and_then(|dir| dir.sync_all());
            opened.map_err(|error| failed("sync", dir, &error))?;
        }
        Ok(())
    }
}

/// Takes the directory for this process, until the file is dropped.
///
/// # Errors
/// Another server uses it (`WouldBlock`), or it cannot be written.
pub(crate) fn lock_directory(directory: &Path) -> io::Result<File> {
    std::fs::create_dir_all(directory)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(directory.join("LOCK"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_behave_as_the_store_expects() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path().join("store")).unwrap();
        disk.create_dir("a/b").unwrap();
        disk.write_at("a/b/journal", 0, &[0; 16384]).unwrap();
        disk.write_durable("a/b/journal", 4096, &[1; 8192]).unwrap();
        disk.write_durable("a/b/journal", 5000, b"\x02").unwrap();
        let found = disk.read_at("a/b/journal", 4095, 906).unwrap();
        assert!(found[0] == 0 && found[1..905].iter().all(|byte| *byte == 1) && found[905] == 2);
        assert_eq!(disk.len("a/b/journal").unwrap(), 16384);
        disk.remove("a/b/journal").unwrap();
        let names: Vec<Arc<str>> = (0..20).map(|name| format!("a/{name}").into()).collect();
        for name in &names[..18] {
            disk.write_at(name, 0, b"x").unwrap();
        }
        disk.sync_files(&names).unwrap();
        disk.sync_files(&names[16..]).unwrap();
        names[..18].iter().for_each(|name| disk.remove(name).unwrap());
        disk.write_at("a/b/one", 2, b"xy").unwrap();
        disk.sync("a/b/one").unwrap();
        disk.sync_dir("a/b").unwrap();
        assert_eq!(disk.list("a").unwrap(), ["b"]);
        assert_eq!(&disk.read_at("a/b/one", 1, 9).unwrap()[..], b"\0xy");
        disk.rename("a/b/one", "a/b/two").unwrap();
        disk.truncate("a/b/two", 3).unwrap();
        assert_eq!(disk.len("a/b/two").unwrap(), 3);
        assert_eq!(disk.read_at("a/b/one", 0, 1).unwrap_err().kind, DiskErrorKind::NotFound);
        disk.remove("a/b/two").unwrap();
        disk.remove("a/b").unwrap();
        assert!(disk.list("a").unwrap().is_empty());
    }

    #[test]
    fn a_directory_belongs_to_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock_directory(folder.path()).unwrap();
        assert_eq!(lock_directory(folder.path()).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(lock);
        lock_directory(folder.path()).unwrap();
    }
}
