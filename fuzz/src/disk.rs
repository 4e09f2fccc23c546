//! A disk in memory whose copies share what they do not change, so that a target may begin with the
//! same files some thousand times a second. It never fails by itself and forgets nothing; the simulated
//! disk of `crates/sim` does, and the store's own tests use that.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use natterjack_store::{Disk, DiskError, DiskErrorKind};

/// Files do not grow beyond this: a damaged offset is an error, and no terabyte of zeros.
const LARGEST: u64 = 16 << 20;

/// Everything on a disk.
#[derive(Debug, Clone)]
pub struct Files {
    files: BTreeMap<Arc<str>, Bytes>,
    dirs: BTreeSet<Arc<str>>,
}

impl Default for Files {
    fn default() -> Self {
        Files { files: BTreeMap::new(), dirs: [Arc::from("")].into() }
    }
}

impl Files {
    /// The paths of all files, sorted.
    pub fn paths(&self) -> Vec<Arc<str>> {
        self.files.keys().cloned().collect()
    }
}

/// A disk.
#[derive(Debug, Default)]
pub struct MemDisk(RefCell<Files>);

impl From<Files> for MemDisk {
    fn from(files: Files) -> Self {
        MemDisk(RefCell::new(files))
    }
}

impl MemDisk {
    /// What is on it.
    pub fn files(&self) -> Files {
        self.0.borrow().clone()
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn error(kind: DiskErrorKind, op: &'static str, path: &str) -> DiskError {
    DiskError { kind, op, path: path.to_owned(), message: "simulated".to_owned() }
}

fn missing(op: &'static str, path: &str) -> DiskError {
    error(DiskErrorKind::NotFound, op, path)
}

/// Changes a file, which is made if it is not there, while nobody else sees its bytes.
fn change(
    disk: &MemDisk,
    op: &'static str,
    path: &str,
    end: Option<u64>,
    change: impl FnOnce(&mut BytesMut, usize),
) -> Result<(), DiskError> {
    let end = end.filter(|end| *end <= LARGEST);
    let end = end.ok_or_else(|| error(DiskErrorKind::NoRoom, op, path))? as usize;
    let Files { files, dirs } = &mut *disk.0.borrow_mut();
    if !dirs.contains(parent(path)) || dirs.contains(path) {
        return Err(missing(op, path));
    }
    if !files.contains_key(path) {
        files.insert(path.into(), Bytes::new());
    }
    if let Some(file) = files.get_mut(path) {
        let shared = std::mem::take(file);
        let mut content = shared.try_into_mut().unwrap_or_else(|shared| {
            let mut copy = BytesMut::with_capacity(shared.len().max(end));
            copy.extend_from_slice(&shared);
            copy
        });
        change(&mut content, end);
        *file = content.freeze();
    }
    Ok(())
}

impl Disk for MemDisk {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let Files { files, dirs } = &*self.0.borrow();
        if !dirs.contains(dir) {
            return Err(missing("list", dir));
        }
        let inside =
            files.keys().chain(dirs).filter(|path| !path.is_empty() && parent(path) == dir);
        Ok(inside.filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect())
    }

    fn len(&self, path: &str) -> Result<u64, DiskError> {
        let disk = self.0.borrow();
        disk.files.get(path).map(|file| file.len() as u64).ok_or_else(|| missing("len", path))
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let disk = self.0.borrow();
        let file = disk.files.get(path).ok_or_else(|| missing("read", path))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        Ok(file.slice(start..start.saturating_add(len).min(file.len())))
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let end = offset.checked_add(data.len() as u64);
        change(self, "write", path, end, |content, end| {
            if content.len() < end {
                content.resize(end, 0);
            }
            content[end - data.len()..end].copy_from_slice(data);
        })
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        self.len(path).map(drop).map_err(|_| missing("sync", path))
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        change(self, "truncate", path, Some(len), |content, len| content.resize(len, 0))
    }

    fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        let mut disk = self.0.borrow_mut();
        let mut at = path;
        while !disk.dirs.contains(at) {
            disk.dirs.insert(at.into());
            at = parent(at);
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let Files { files, dirs } = &mut *self.0.borrow_mut();
        if files.remove(path).is_some() {
            return Ok(());
        }
        if !dirs.contains(path) {
            return Err(missing("remove", path));
        }
        if files.keys().chain(dirs.iter()).any(|inside| parent(inside) == path) {
            return Err(error(DiskErrorKind::Other, "remove", path));
        }
        dirs.remove(path);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut disk = self.0.borrow_mut();
        let file = disk.files.remove(from).ok_or_else(|| missing("rename", from))?;
        disk.files.insert(to.into(), file);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        match self.0.borrow().dirs.contains(dir) {
            true => Ok(()),
            false => Err(missing("sync_dir", dir)),
        }
    }
}
