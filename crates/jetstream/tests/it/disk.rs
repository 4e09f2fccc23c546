//! A disk in memory that forgets what was not synced.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use natterjack_store::{Disk, DiskError, DiskErrorKind};

#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    files: BTreeMap<String, Vec<u8>>,
    dirs: BTreeMap<String, ()>,
}

/// What is seen, and what a crash leaves: bytes of synced files whose names were synced.
#[derive(Debug, Default)]
pub(crate) struct MemDisk {
    now: Mutex<Content>,
    /// Synced bytes by file, and the names that directories hold for good.
    safe: Mutex<Content>,
    /// Writes and syncs fail with this kind.
    pub(crate) failing: Mutex<Option<DiskErrorKind>>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl MemDisk {
    /// The disk after the power went away.
    pub(crate) fn crash(&self) {
        let safe = self.safe.lock().unwrap().clone();
        *self.now.lock().unwrap() = safe;
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.now.lock().unwrap().files.keys().cloned().collect()
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn change(&self, path: &str, f: impl Fn(&mut [u8])) {
        for content in [&self.now, &self.safe] {
            if let Some(file) = content.lock().unwrap().files.get_mut(path) {
                f(file);
            }
        }
    }

    /// Makes a directory behind everybody's back.
    pub(crate) fn make_dir(&self, path: &str) {
        for content in [&self.now, &self.safe] {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            let dirs = parents.chain([path]).map(|dir| (dir.to_owned(), ()));
            content.lock().unwrap().dirs.extend(dirs);
        }
    }

    fn error(&self, kind: DiskErrorKind, op: &'static str, path: &str) -> DiskError {
        DiskError { kind, op, path: path.to_owned(), message: "simulated".to_owned() }
    }

    fn missing(&self, op: &'static str, path: &str) -> DiskError {
        self.error(DiskErrorKind::NotFound, op, path)
    }

    fn check(&self, op: &'static str, path: &str) -> Result<(), DiskError> {
        match *self.failing.lock().unwrap() {
            Some(kind) => Err(self.error(kind, op, path)),
            None => Ok(()),
        }
    }
}

impl Disk for MemDisk {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let now = self.now.lock().unwrap();
        if !now.dirs.contains_key(dir) {
            return Err(self.missing("list", dir));
        }
        let names = now.files.keys().chain(now.dirs.keys()).filter(|path| parent(path) == dir);
        Ok(names.filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect())
    }

    fn len(&self, path: &str) -> Result<u64, DiskError> {
        let now = self.now.lock().unwrap();
        now.files.get(path).map(|file| file.len() as u64).ok_or_else(|| self.missing("len", path))
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let now = self.now.lock().unwrap();
        let file = now.files.get(path).ok_or_else(|| self.missing("read", path))?;
        let start = file.len().min(offset as usize);
        Ok(Bytes::copy_from_slice(&file[start..file.len().min(start + len)]))
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.check("write", path)?;
        let mut now = self.now.lock().unwrap();
        let file = now.files.entry(path.to_owned()).or_default();
        let end = offset as usize + data.len();
        file.resize(file.len().max(end), 0);
        file[offset as usize..end].copy_from_slice(data);
        Ok(())
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        self.check("sync", path)?;
        let now = self.now.lock().unwrap();
        let file = now.files.get(path).ok_or_else(|| self.missing("sync", path))?;
        // Names are made durable with the directory; the tests of the store look closer.
        self.safe.lock().unwrap().files.insert(path.to_owned(), file.clone());
        Ok(())
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        self.check("truncate", path)?;
        self.now.lock().unwrap().files.entry(path.to_owned()).or_default().resize(len as usize, 0);
        Ok(())
    }

    fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        let mut at = path;
        while !at.is_empty() {
            self.now.lock().unwrap().dirs.insert(at.to_owned(), ());
            self.safe.lock().unwrap().dirs.insert(at.to_owned(), ());
            at = parent(at);
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        for content in [&self.now, &self.safe] {
            let mut content = content.lock().unwrap();
            if content.files.keys().any(|file| parent(file) == path) {
                return Err(self.error(DiskErrorKind::Other, "remove", path));
            }
            content.files.remove(path);
            content.dirs.remove(path);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        for content in [&self.now, &self.safe] {
            let mut content = content.lock().unwrap();
            if let Some(file) = content.files.remove(from) {
                content.files.insert(to.to_owned(), file);
            }
        }
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> Result<(), DiskError> {
        Ok(())
    }
}
