//! A disk in memory, for embedded servers that shall leave nothing behind.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use natterjack_store::{Disk, DiskError, DiskErrorKind};

/// Files by path. A sync has nothing to do.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Mutex<BTreeMap<Box<str>, Vec<u8>>>,
}

fn error(op: &'static str, path: &str, kind: DiskErrorKind, message: &str) -> DiskError {
    DiskError { kind, op, path: path.into(), message: message.into() }
}

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let prefix =
            if dir.is_empty() { String::new() } else { format!("{}/", dir.trim_end_matches('/')) };
        let mut names: Vec<String> = self
            .files()
            .keys()
            .filter_map(|path| path.strip_prefix(prefix.as_str()))
            .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn len(&self, path: &str) -> Result<u64, DiskError> {
        self.files()
            .get(path)
            .map(|data| data.len() as u64)
            .ok_or_else(|| error("len", path, DiskErrorKind::NotFound, "no such file"))
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let files = self.files();
        let data = files
            .get(path)
            .ok_or_else(|| error("read", path, DiskErrorKind::NotFound, "no such file"))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let to = from.saturating_add(len).min(data.len());
        Ok(Bytes::copy_from_slice(&data[from..to]))
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let from = usize::try_from(offset)
            .map_err(|_| error("write", path, DiskErrorKind::NoRoom, "offset too large"))?;
        let mut files = self.files();
        let data = files.entry(path.into()).or_default();
        if data.len() < from + bytes.len() {
            data.resize(from + bytes.len(), 0);
        }
        data[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, _path: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        let len = usize::try_from(len)
            .map_err(|_| error("truncate", path, DiskErrorKind::NoRoom, "length too large"))?;
        self.files().entry(path.into()).or_default().resize(len, 0);
        Ok(())
    }

    fn create_dir(&self, _path: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.files().remove(path);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut files = self.files();
        let data = files
            .remove(from)
            .ok_or_else(|| error("rename", from, DiskErrorKind::NotFound, "no such file"))?;
        files.insert(to.into(), data);
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> Result<(), DiskError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_behave_as_on_a_disk() {
        let disk = MemoryDisk::default();
        disk.write_at("a/b/one", 2, b"xy").unwrap();
        disk.write_at("a/two", 0, b"z").unwrap();
        assert_eq!(disk.list("a").unwrap(), ["b", "two"]);
        assert_eq!(disk.list("").unwrap(), ["a"]);
        assert_eq!(&disk.read_at("a/b/one", 1, 9).unwrap()[..], b"\0xy");
        disk.rename("a/two", "a/three").unwrap();
        assert_eq!(disk.len("a/three").unwrap(), 1);
        assert_eq!(disk.len("a/two").unwrap_err().kind, DiskErrorKind::NotFound);
    }
}
