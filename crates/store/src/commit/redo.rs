//! Doing again what the journal holds.

use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{self, BEGIN, Found, Header};
use super::journal::{Half, unreadable};
use super::record::{self, BLOCK, Kind};
use crate::disk::{Disk, DiskError};
use crate::recover::RecoverError;

/// Bytes of the journal read at once.
const WINDOW: usize = 1 << 20;

/// What [`Journal::open`](super::Journal::open) found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redone {
    /// Records that were done again.
    pub records: usize,
    /// Files that they wrote to and that are still there.
    pub files: usize,
    /// Bytes written.
    pub bytes: u64,
    /// Where records are damaged that were whole once. What they held may be missing in segments,
    /// whose own recovery tells.
    pub damage: Vec<JournalDamage>,
}

/// A place in the journal where a record was and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalDamage {
    /// The file.
    pub path: String,
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// Where its bytes are kept.
    pub copy: String,
}

/// Redoes what both files hold and voids them. Tells the files, and the highest epoch in use.
pub(super) fn redo(disk: &dyn Disk, salt: u64) -> Result<([Half; 2], u64, Redone), RecoverError> {
    let mut redone = Redone::default();
    let mut live = Vec::new();
    let mut highest = 0;
    let mut lens = [None; 2];
    for (half, known) in lens.iter_mut().enumerate() {
        let path = file::path(half);
        let Some(len) = file::len(disk, &path)?.filter(|len| *len > BEGIN) else { continue };
        let head = disk.read_at(&path, 0, BEGIN as usize)?;
        let header = match Header::find(&head) {
            Found::Newer(version) => {
                return Err(RecoverError::Newer { path: path.to_string(), version });
            }
            Found::Header(header) => header,
            Found::Damaged => {
                // The second copy is written when the first is durable: without any, the file was
                // not finished. Otherwise it is damaged, and no record can be told without the salt.
                if head[BLOCK..].iter().any(|byte| *byte != 0) {
                    redone.damage.push(copy_aside(disk, &path, 0, len)?);
                }
                continue;
            }
        };
        *known = Some(len);
        highest = highest.max(header.epoch);
        if !header.empty {
            live.push((half, header, len));
        }
    }
    live.sort_by_key(|(_, header, _)| header.epoch);
    let mut records = Vec::new();
    for &(half, header, len) in &live {
        scan(disk, half, header, len, &mut records, &mut redone)?;
    }
    apply(disk, &records, &mut redone)?;
    for (half, ..) in live {
        highest += 1;
        Header { epoch: highest, salt, empty: true }.write(disk, &file::path(half))?;
    }
    let halves = [Half::new(0, lens[0]), Half::new(1, lens[1])];
    Ok((halves, highest, redone))
}

/// Collects the whole records of a file. Behind the last one there may be what is left of one that was
/// not finished; what is unreadable before others is damage.
fn scan(
    disk: &dyn Disk,
    half: usize,
    header: Header,
    len: u64,
    records: &mut Vec<Bytes>,
    redone: &mut Redone,
) -> Result<(), DiskError> {
    let path = file::path(half);
    let mut window = Bytes::new();
    let (mut at, mut begin) = (BEGIN, BEGIN);
    let (mut hole, mut next) = (None, 0);
    while at < len {
        let offset = (at - begin) as usize;
        if offset >= window.len() {
            (window, begin) = (disk.read_at(&path, at, WINDOW)?, at);
            if window.is_empty() {
                break;
            }
            continue;
        }
        let whole = match record::frame(&window[offset..], header.epoch) {
            Some(size) if offset + size <= window.len() => {
                Some(window.slice(offset..offset + size))
            }
            Some(size) if at + size as u64 <= len => Some(disk.read_at(&path, at, size)?),
            _ => None,
        };
        let number = whole.as_ref().and_then(|bytes| record::check(bytes, header.salt));
        match (whole, number.filter(|number| *number >= next)) {
            (Some(bytes), Some(number)) => {
                let from = hole.take().unwrap_or(at);
                if number > next {
                    redone.damage.push(copy_aside(disk, &path, from, at - from)?);
                }
                next = number + 1;
                at += bytes.len().next_multiple_of(BLOCK) as u64;
                records.push(bytes);
            }
            _ => {
                hole.get_or_insert(at);
                at += BLOCK as u64;
            }
        }
    }
    Ok(())
}

/// Writes what the records say into the files that are there, and syncs them.
fn apply(disk: &dyn Disk, records: &[Bytes], redone: &mut Redone) -> Result<(), DiskError> {
    let parsed: Vec<_> = records.iter().map(|bytes| record::entries(bytes)).collect();
    // Of each file only what was written since it was last forgotten.
    let mut since: HashMap<Arc<str>, usize> = HashMap::new();
    for (at, entries) in parsed.iter().enumerate() {
        for entry in entries.iter().filter(|entry| entry.kind == Kind::Forget) {
            since.insert(entry.path.clone(), at);
        }
    }
    let mut files: BTreeMap<Arc<str>, bool> = BTreeMap::new();
    for (at, (bytes, entries)) in records.iter().zip(parsed).enumerate() {
        for entry in entries {
            let Kind::Bytes { offset, at: data, len } = entry.kind else { continue };
            if since.get(&entry.path).is_some_and(|&since| at <= since) {
                continue;
            }
            let there = match files.get(&entry.path) {
                Some(there) => *there,
                None => {
                    let there = file::len(disk, &entry.path)?.is_some();
                    files.insert(entry.path.clone(), there);
                    there
                }
            };
            if there {
                disk.write_at(&entry.path, offset, &bytes[data..data + len])?;
                redone.bytes += len as u64;
            }
        }
        redone.records += 1;
    }
    let there = files.into_iter().filter(|(_, there)| *there);
    let there: Vec<Arc<str>> = there.map(|(path, _)| path).collect();
    redone.files = there.len();
    disk.sync_files(&there)
}

/// Keeps bytes of the journal that cannot be read.
fn copy_aside(disk: &dyn Disk, path: &str, at: u64, len: u64) -> Result<JournalDamage, DiskError> {
    let copy = format!("{path}.{at:x}.bad");
    disk.truncate(&copy, 0)?;
    let mut done = 0;
    while done < len {
        let bytes = disk.read_at(path, at + done, WINDOW.min((len - done) as usize))?;
        if bytes.is_empty() {
            return Err(unreadable(path));
        }
        disk.write_at(&copy, done, &bytes)?;
        done += bytes.len() as u64;
    }
    disk.sync(&copy)?;
    disk.sync_dir(file::DIR)?;
    Ok(JournalDamage { path: path.to_owned(), offset: at, len, copy })
}
