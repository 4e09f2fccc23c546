//! A disk in memory that crashes, tears, fills up, fails and rots.
//!
//! What is written is seen at once by readers. It survives a crash only if it was synced: a file's
//! content by [`Disk::sync`], its name by [`Disk::sync_dir`]. Of the rest any subset of sectors and
//! of directory changes survives. A sync that fails may have kept some of it; what it did not keep
//! is lost at the next crash even if a later sync succeeds, as on Linux.

use bytes::Bytes;
use natterjack_store::{Disk, DiskError, DiskErrorKind};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Rng;

const SECTOR: usize = 512;

/// A failure to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A write that finds no room; part of it may be done.
    NoRoom,
    /// A write that fails otherwise.
    Write,
    /// A sync of a file or directory that fails.
    Sync,
}

/// How much of what is not synced survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything, as when only the process is killed.
    Everything,
    /// Any part, in sectors.
    Sectors,
    /// Any part, in bytes.
    Bytes,
}

/// A simulated disk.
#[derive(Debug)]
pub struct SimDisk(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    rng: Rng,
    files: BTreeMap<u64, File>,
    next_file: u64,
    /// Names as they are seen, and as they are after a crash.
    names: BTreeMap<String, Entry>,
    durable_names: BTreeMap<String, Entry>,
    pending_names: Vec<NameChange>,
    capacity: u64,
    faults: Vec<(Fault, u64)>,
    syncs: u64,
    written: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Dir,
    File(u64),
}

#[derive(Debug, Default)]
struct File {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// Changes of one directory, each done or not done as a whole.
#[derive(Debug)]
struct NameChange {
    dir: String,
    gone: Vec<String>,
    new: Option<(String, Entry)>,
}

impl SimDisk {
    /// An empty disk without end; what survives its crashes depends on `seed`.
    pub fn new(seed: u64) -> SimDisk {
        let root: BTreeMap<String, Entry> = [(String::new(), Entry::Dir)].into();
        SimDisk(Mutex::new(Inner {
            rng: Rng::new(seed),
            files: BTreeMap::new(),
            next_file: 0,
            names: root.clone(),
            durable_names: root,
            pending_names: Vec::new(),
            capacity: u64::MAX,
            faults: Vec::new(),
            syncs: 0,
            written: 0,
        }))
    }

    /// A disk with the same content, all of it durable.
    pub fn copy(&self) -> SimDisk {
        let inner = self.inner();
        let copied = |file: &File| File {
            current: file.current.clone(),
            durable: file.current.clone(),
            pending: Vec::new(),
        };
        SimDisk(Mutex::new(Inner {
            rng: inner.rng.clone(),
            files: inner.files.iter().map(|(id, file)| (*id, copied(file))).collect(),
            next_file: inner.next_file,
            names: inner.names.clone(),
            durable_names: inner.names.clone(),
            pending_names: Vec::new(),
            capacity: u64::MAX,
            faults: Vec::new(),
            syncs: 0,
            written: 0,
        }))
    }

    /// What would be left, at least, if the power went now; this disk goes on.
    pub fn survivor(&self) -> SimDisk {
        let inner = self.inner();
        let left = |file: &File| File {
            current: file.durable.clone(),
            durable: file.durable.clone(),
            pending: Vec::new(),
        };
        SimDisk(Mutex::new(Inner {
            rng: inner.rng.clone(),
            files: inner.files.iter().map(|(id, file)| (*id, left(file))).collect(),
            next_file: inner.next_file,
            names: inner.durable_names.clone(),
            durable_names: inner.durable_names.clone(),
            pending_names: Vec::new(),
            capacity: u64::MAX,
            faults: Vec::new(),
            syncs: 0,
            written: 0,
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses what a power cut would; the disk can be used again at once.
    pub fn crash(&self, survival: Survival) {
        self.inner().crash(survival);
    }

    /// Bytes that fit on the disk; what is there already stays.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner().capacity = bytes;
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.inner().used()
    }

    /// Lets the `nth` operation of its kind from now on fail; 0 is the next.
    pub fn fail(&self, fault: Fault, nth: u64) {
        self.inner().faults.push((fault, nth));
    }

    /// Forgets failures to come.
    pub fn mend(&self) {
        let mut inner = self.inner();
        inner.faults.clear();
        inner.capacity = u64::MAX;
    }

    /// How many syncs of files succeeded.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.inner().written
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<String> {
        let inner = self.inner();
        let files = inner.names.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Flips one bit of a file, now and for good.
    pub fn flip(&self, path: &str, bit: u64) {
        let mut inner = self.inner();
        let Some(&Entry::File(id)) = inner.names.get(path) else { return };
        if let Some(file) = inner.files.get_mut(&id) {
            for content in [&mut file.current, &mut file.durable] {
                if let Some(byte) = content.get_mut((bit / 8) as usize) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// Cuts a file off, now and for good, as a broken file system might.
    pub fn shorten(&self, path: &str, len: usize) {
        let mut inner = self.inner();
        let Some(&Entry::File(id)) = inner.names.get(path) else { return };
        if let Some(file) = inner.files.get_mut(&id) {
            file.current.truncate(len);
            file.durable.truncate(len);
        }
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.current.len() as u64).sum()
    }

    fn crash(&mut self, survival: Survival) {
        let Inner { rng, files, .. } = self;
        for file in files.values_mut() {
            for change in std::mem::take(&mut file.pending) {
                survive(rng, survival, change, &mut file.durable);
            }
            // Sizes and data are written separately.
            let longer = file.current.len() > file.durable.len();
            if longer && survival != Survival::Nothing && rng.chance(1, 4) {
                file.durable.resize(file.current.len(), 0);
            }
            file.current.clone_from(&file.durable);
        }
        for change in std::mem::take(&mut self.pending_names) {
            let kept = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                _ => self.rng.chance(1, 2),
            };
            if kept {
                change.apply(&mut self.durable_names);
            }
        }
        // What lies in a directory that is not there is not there.
        let names = self.durable_names.clone();
        self.durable_names.retain(|path, _| {
            path.match_indices('/').all(|(at, _)| names.contains_key(&path[..at]))
        });
        self.names.clone_from(&self.durable_names);
        self.collect();
    }

    /// Frees files that have no name.
    fn collect(&mut self) {
        let (names, durable) = (&self.names, &self.durable_names);
        let entries = || names.values().chain(durable.values());
        self.files.retain(|id, _| entries().any(|entry| *entry == Entry::File(*id)));
    }

    fn fault(&mut self, kind: Fault) -> bool {
        let mut hit = false;
        self.faults.retain_mut(|(fault, nth)| {
            if *fault != kind {
                return true;
            }
            hit |= *nth == 0;
            *nth = nth.wrapping_sub(1);
            *nth != u64::MAX
        });
        hit
    }

    fn file(&mut self, path: &str, op: &'static str) -> Result<&mut File, DiskError> {
        match self.names.get(path) {
            Some(Entry::File(id)) => self.files.get_mut(id),
            _ => None,
        }
        .ok_or_else(|| error(DiskErrorKind::NotFound, op, path, "no such file"))
    }

    fn file_or_new(&mut self, path: &str, op: &'static str) -> Result<&mut File, DiskError> {
        if !self.names.contains_key(path) {
            let dir = parent(path);
            if self.names.get(dir) != Some(&Entry::Dir) {
                return Err(error(DiskErrorKind::NotFound, op, path, "no such directory"));
            }
            let id = self.next_file;
            self.next_file += 1;
            self.files.insert(id, File::default());
            self.change_names(dir, Vec::new(), Some((path.to_owned(), Entry::File(id))));
        }
        self.file(path, op)
    }

    fn change_names(&mut self, dir: &str, gone: Vec<String>, new: Option<(String, Entry)>) {
        let change = NameChange { dir: dir.to_owned(), gone, new };
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        for path in &self.gone {
            names.remove(path);
        }
        if let Some((path, entry)) = &self.new {
            names.insert(path.clone(), *entry);
        }
    }
}

/// Puts what survives of a change into `durable`.
fn survive(rng: &mut Rng, survival: Survival, change: Change, durable: &mut Vec<u8>) {
    match change {
        Change::Truncate(len) => {
            if survival == Survival::Everything || survival != Survival::Nothing && rng.chance(1, 2)
            {
                durable.resize(len, 0);
            }
        }
        Change::Write(offset, data) => {
            let (all, odds) = (survival == Survival::Everything, rng.below(5));
            let mut at = 0;
            while at < data.len() && survival != Survival::Nothing {
                let piece = match survival {
                    Survival::Bytes => 1 + rng.below(40) as usize,
                    _ => SECTOR - (offset + at) % SECTOR,
                };
                let end = (at + piece).min(data.len());
                if all || rng.chance(odds, 4) {
                    write(durable, offset + at, &data[at..end]);
                }
                at = end;
            }
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    content[offset..offset + data.len()].copy_from_slice(data);
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn error(kind: DiskErrorKind, op: &'static str, path: &str, message: &str) -> DiskError {
    DiskError { kind, op, path: path.to_owned(), message: message.to_owned() }
}

impl Disk for SimDisk {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let inner = self.inner();
        if inner.names.get(dir) != Some(&Entry::Dir) {
            return Err(error(DiskErrorKind::NotFound, "list", dir, "no such directory"));
        }
        let inside = |path: &&String| !path.is_empty() && parent(path) == dir;
        let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(inner.names.keys().filter(inside).map(name).collect())
    }

    fn len(&self, path: &str) -> Result<u64, DiskError> {
        Ok(self.inner().file(path, "len")?.current.len() as u64)
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let mut inner = self.inner();
        let content = &inner.file(path, "read")?.current;
        let start = (offset as usize).min(content.len());
        let end = start.saturating_add(len).min(content.len());
        Ok(Bytes::copy_from_slice(&content[start..end]))
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let mut inner = self.inner();
        let fails = inner.fault(Fault::Write);
        let full = inner.fault(Fault::NoRoom);
        let free = inner.capacity.saturating_sub(inner.used());
        let old = inner.file_or_new(path, "write")?.current.len() as u64;
        let grows = (offset + data.len() as u64).saturating_sub(old);
        let full = full || grows > free;
        let done = if full || fails {
            // As much as fits, or less.
            let part = inner.rng.below(data.len() as u64 + 1);
            part.min((old + free).saturating_sub(offset)) as usize
        } else {
            data.len()
        };
        inner.written += done as u64;
        let file = inner.file(path, "write")?;
        write(&mut file.current, offset as usize, &data[..done]);
        file.pending.push(Change::Write(offset as usize, data[..done].to_vec()));
        match (full, fails) {
            (true, _) => Err(error(DiskErrorKind::NoRoom, "write", path, "no space left")),
            (_, true) => Err(error(DiskErrorKind::Other, "write", path, "input/output error")),
            _ => Ok(()),
        }
    }

    fn sync(&self, path: &str) -> Result<(), DiskError> {
        let mut inner = self.inner();
        let fails = inner.fault(Fault::Sync);
        let mut rng = Rng::new(inner.rng.bits());
        let file = inner.file(path, "sync")?;
        let pending = std::mem::take(&mut file.pending);
        if fails {
            for change in pending {
                survive(&mut rng, Survival::Sectors, change, &mut file.durable);
            }
            return Err(error(DiskErrorKind::Other, "sync", path, "input/output error"));
        }
        for change in pending {
            survive(&mut rng, Survival::Everything, change, &mut file.durable);
        }
        inner.syncs += 1;
        Ok(())
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        let mut inner = self.inner();
        let file = inner.file_or_new(path, "truncate")?;
        file.current.resize(len as usize, 0);
        file.pending.push(Change::Truncate(len as usize));
        Ok(())
    }

    fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        let mut inner = self.inner();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let dir = &path[..end];
            if !inner.names.contains_key(dir) {
                inner.change_names(parent(dir), Vec::new(), Some((dir.to_owned(), Entry::Dir)));
            }
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let mut inner = self.inner();
        if !inner.names.contains_key(path) {
            return Err(error(DiskErrorKind::NotFound, "remove", path, "no such file"));
        }
        if inner.names.keys().any(|other| !other.is_empty() && parent(other) == path) {
            return Err(error(DiskErrorKind::Other, "remove", path, "directory not empty"));
        }
        inner.change_names(parent(path), vec![path.to_owned()], None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut inner = self.inner();
        let Some(&entry) = inner.names.get(from) else {
            return Err(error(DiskErrorKind::NotFound, "rename", from, "no such file"));
        };
        inner.change_names(parent(to), vec![from.to_owned()], Some((to.to_owned(), entry)));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let mut inner = self.inner();
        if inner.fault(Fault::Sync) {
            return Err(error(DiskErrorKind::Other, "sync_dir", dir, "input/output error"));
        }
        let pending = std::mem::take(&mut inner.pending_names);
        let (mine, others): (Vec<_>, Vec<_>) = pending.into_iter().partition(|c| c.dir == dir);
        mine.iter().for_each(|change| change.apply(&mut inner.durable_names));
        inner.pending_names = others;
        inner.collect();
        Ok(())
    }
}
