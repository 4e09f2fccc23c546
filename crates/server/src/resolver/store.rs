//! The directory of account JWTs: `<key>.jwt` each, as nats-server lays it out.
//!
//! A file appears whole or not at all, and is on disk before anybody hears of it. One that is no JWT of
//! the account in its name is reported, left alone, and counts as not there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use natterjack_config::options::{Deletion, DirectoryResolver};
use natterjack_core::jwt::{Generic, KeyKind, decode, key_kind};
use sha2::{Digest, Sha256};

const EXTENSION: &str = ".jwt";
/// What a file is called while it is written. Not `.jwt` at the end: nobody takes it for one.
const UNFINISHED: &str = ".jwt.new";
/// The largest token that Go's library takes.
const TOKEN_MAX: u64 = 1024 * 1024;

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: [u8; 32],
    /// When it goes by itself, in nanoseconds since 1970; `i64::MAX` is never.
    expires_ns: i64,
    /// When it was used last, in no unit: larger is later.
    used: u64,
}

/// The directory, and what is in it.
#[derive(Debug)]
pub(super) struct Store {
    options: DirectoryResolver,
    directory: PathBuf,
    /// In the order of names, as they are listed.
    entries: BTreeMap<String, Entry>,
    uses: u64,
}

/// Why a token was not stored; the text is part of the answer (nats-server 2.15.1).
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("invalid public key")]
    Key,
    #[error("jwt store is full")]
    Full,
    #[error("store is not set up to for delete")]
    NoDelete,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Store {
    /// Opens the directory, which is made if it is not there. `report` hears of files that cannot be used.
    pub(super) fn open(
        options: DirectoryResolver,
        now_ns: i64,
        report: &mut dyn FnMut(&Path, &str),
    ) -> io::Result<Self> {
        fs::create_dir_all(&options.dir)?;
        let directory = fs::canonicalize(&options.dir)?;
        let mut store = Store { options, directory, entries: BTreeMap::new(), uses: 0 };
        store.scan(now_ns, report)?;
        Ok(store)
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn options(&self) -> &DirectoryResolver {
        &self.options
    }

    /// Looks at all files again. Returns the accounts whose tokens are new or others.
    pub(super) fn scan(
        &mut self,
        now_ns: i64,
        report: &mut dyn FnMut(&Path, &str),
    ) -> io::Result<Vec<String>> {
        let old = std::mem::take(&mut self.entries);
        let mut changed = Vec::new();
        for file in fs::read_dir(&self.directory)? {
            let path = file?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(UNFINISHED) {
                // Left by a server that was stopped while it wrote.
                let _ = fs::remove_file(&path);
                continue;
            }
            let Some(key) = name.strip_suffix(EXTENSION).map(str::to_owned) else { continue };
            let token = match read(&path) {
                Ok(token) => token,
                Err(error) => {
                    report(&path, &error.to_string());
                    continue;
                }
            };
            let entry = match self.entry(&key, &token, now_ns) {
                Ok(entry) => entry,
                Err(why) => {
                    report(&path, &why);
                    continue;
                }
            };
            let before = old.get(&key);
            if before.is_none_or(|before| before.hash != entry.hash) {
                changed.push(key.clone());
            }
            let used = before.map_or(0, |before| before.used);
            self.entries.insert(key, Entry { used, ..entry });
        }
        Ok(changed)
    }

    fn entry(&mut self, key: &str, token: &str, now_ns: i64) -> Result<Entry, String> {
        if key_kind(key) != Some(KeyKind::Account) {
            return Err("its name is no account key".to_owned());
        }
        let claims = decode::<Generic>(token).map_err(|error| error.to_string())?;
        if claims.sub != key {
            return Err(format!("it is the JWT of {:?}", claims.sub));
        }
        let expires_ns = match (self.options.ttl, claims.exp) {
            (Some(ttl), _) => {
                now_ns.saturating_add(i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX))
            }
            (None, 0) => i64::MAX,
            (None, exp) => exp.saturating_mul(1_000_000_000),
        };
        self.uses += 1;
        Ok(Entry { hash: Sha256::digest(token).into(), expires_ns, used: self.uses })
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        // Nothing but a key becomes part of a path.
        key_kind(key).ok_or(StoreError::Key)?;
        Ok(self.directory.join(format!("{key}{EXTENSION}")))
    }

    /// The token of an account; `None` if there is none.
    pub(super) fn load(&mut self, key: &str, now_ns: i64) -> Result<Option<String>, StoreError> {
        let path = self.path(key)?;
        if !self.entries.contains_key(key) {
            return Ok(None);
        }
        self.touch(key, now_ns);
        match read(&path) {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An account was used: it is not the next to go.
    fn touch(&mut self, key: &str, now_ns: i64) {
        self.uses += 1;
        let (uses, ttl) = (self.uses, self.options.ttl);
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.used = uses;
        if let Some(ttl) = ttl {
            entry.expires_ns =
                now_ns.saturating_add(i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX));
        }
    }

    /// Stores a token that was found to be of this account. Returns whether it is another than before.
    pub(super) fn save(&mut self, key: &str, token: &str, now_ns: i64) -> Result<bool, StoreError> {
        let path = self.path(key)?;
        let entry = self
            .entry(key, token, now_ns)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        match self.entries.get(key) {
            Some(known) if known.hash == entry.hash => {
                self.touch(key, now_ns);
                return Ok(false);
            }
            Some(_) => {}
            None => self.make_room()?,
        }
        write(&path, token)?;
        self.entries.insert(key.to_owned(), entry);
        Ok(true)
    }

    /// A cache gives up what was not used for longest.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let limit = self.options.limit.unwrap_or(u64::MAX);
        while u64::try_from(self.entries.len()).unwrap_or(u64::MAX) >= limit {
            if !self.options.is_cache {
                return Err(StoreError::Full);
            }
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return Ok(()) };
            fs::remove_file(self.path(&oldest)?)?;
            self.entries.remove(&oldest);
        }
        Ok(())
    }

    /// Deletes an account. Returns whether there was one.
    pub(super) fn delete(&mut self, key: &str) -> Result<bool, StoreError> {
        let path = self.path(key)?;
        let outcome = match self.options.delete {
            Deletion::Never => return Err(StoreError::NoDelete),
            Deletion::Rename => {
                fs::rename(&path, self.directory.join(format!("{key}{EXTENSION}.deleted")))
            }
            Deletion::Remove => fs::remove_file(&path),
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        sync_directory(&self.directory)?;
        Ok(self.entries.remove(key).is_some())
    }

    /// Removes the files whose time is over.
    pub(super) fn expire(&mut self, now_ns: i64) {
        let due = self.entries.iter().filter(|(_, entry)| entry.expires_ns <= now_ns);
        let due: Vec<String> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            if self.path(&key).is_ok_and(|path| fs::remove_file(path).is_ok()) {
                self.entries.remove(&key);
            }
        }
    }

    /// The accounts that have a token, in the order of their keys.
    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Stands for all tokens, by which servers tell whether they have the same.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut sum = [0; 32];
        for entry in self.entries.values() {
            sum.iter_mut().zip(entry.hash).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let size = File::open(path)?.take(TOKEN_MAX + 1).read_to_string(&mut text)?;
    if size as u64 > TOKEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a JWT"));
    }
    Ok(text)
}

/// Writes a file so that it is there whole, or as it was, whatever happens.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED.trim_start_matches('.'));
    let mut file = create(&unfinished)?;
    let written = file.write_all(token.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, path)) {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_directory)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Directories cannot be synced there.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
