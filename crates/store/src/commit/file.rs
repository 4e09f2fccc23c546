//! Files of the journal: names, headers, and how one is made and voided.
//!
//! ```text
//!    0  8 bytes  "NJACKJNL"
//!    8  u32      format version
//!   12  u32      1: there are no records, although old ones may be seen
//!   16  u64      epoch: only its records count
//!   24  u64      salt of the records' checksums
//!   32  u32      crc32c of the 32 bytes before
//! 4096  the same again, for the case that one is damaged
//! 8192  the records
//! ```

use std::sync::Arc;

use super::record::BLOCK;
use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::record::{fits, u32_at, u64_at};

/// The journal's directory in the store.
pub(super) const DIR: &str = "journal";
/// Where the first record begins.
pub(super) const BEGIN: u64 = 2 * BLOCK as u64;
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"NJACKJNL";
const CRC: usize = 32;
/// Bytes of zeros written at once.
const ZEROS: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u64,
    pub(super) salt: u64,
    /// There are no records.
    pub(super) empty: bool,
}

/// What the first blocks of a journal file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Header(Header),
    Newer(u32),
    Damaged,
}

pub(super) fn path(half: usize) -> Arc<str> {
    format!("{DIR}/{half}").into()
}

/// No journal comes so far by counting.
const EPOCH_MAX: u64 = 1 << 62;

impl Header {
    fn block(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&u32::from(self.empty).to_le_bytes());
        block.extend_from_slice(&self.epoch.to_le_bytes());
        block.extend_from_slice(&self.salt.to_le_bytes());
        block.extend_from_slice(&crc32c::crc32c(&block).to_le_bytes());
        block.resize(BLOCK, 0);
        block
    }

    /// Puts this header in place of what is there, durably: one copy after the other, so that one is
    /// whole at any time.
    pub(super) fn write(&self, disk: &dyn Disk, path: &str) -> Result<(), DiskError> {
        let block = self.block();
        disk.write_durable(path, 0, &block)?;
        disk.write_durable(path, BLOCK as u64, &block)
    }

    /// The header that counts: the later of both copies.
    pub(super) fn find(bytes: &[u8]) -> Found {
        let copies = [0, BLOCK].map(|at| bytes.get(at..at + CRC + 4));
        let mut found = Found::Damaged;
        for copy in copies.into_iter().flatten() {
            let crc = Some(crc32c::crc32c(&copy[..CRC]));
            if !copy.starts_with(MAGIC) || !fits(u32_at(copy, CRC), crc) {
                continue;
            }
            let version = u32_at(copy, 8).unwrap_or(0);
            if version > VERSION {
                return Found::Newer(version);
            }
            let (epoch, salt) = (u64_at(copy, 16).unwrap_or(0), u64_at(copy, 24).unwrap_or(0));
            if epoch > EPOCH_MAX {
                continue;
            }
            let header = Header { epoch, salt, empty: u32_at(copy, 12) == Some(1) };
            match &found {
                Found::Header(other) if other.epoch >= epoch => {}
                _ => found = Found::Header(header),
            }
        }
        found
    }
}

/// Makes a journal file without records, with all of its space written.
pub(super) fn make(disk: &dyn Disk, path: &str, len: u64, header: Header) -> Result<(), DiskError> {
    let made = fill(disk, path, len, header);
    if made.is_err() {
        // It would take room, and has none of the records that count.
        let _ = disk.remove(path);
    }
    made
}

fn fill(disk: &dyn Disk, path: &str, len: u64, header: Header) -> Result<(), DiskError> {
    disk.create_dir(DIR)?;
    disk.sync_dir("")?;
    disk.truncate(path, 0)?;
    zero(disk, path, 0, len)?;
    disk.sync(path)?;
    header.write(disk, path)?;
    disk.sync_dir(DIR)
}

/// Overwrites a part of a file with zeros. Not durable before a sync.
pub(super) fn zero(disk: &dyn Disk, path: &str, from: u64, to: u64) -> Result<(), DiskError> {
    let zeros = vec![0; ZEROS.min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let len = zeros.len().min((to - at) as usize);
        disk.write_at(path, at, &zeros[..len])?;
        at += len as u64;
    }
    Ok(())
}

/// The length of a journal file; `None` if there is none.
pub(super) fn len(disk: &dyn Disk, path: &str) -> Result<Option<u64>, DiskError> {
    match disk.len(path) {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_whole_copy_counts() {
        let old = Header { epoch: 4, salt: 1, empty: false };
        let new = Header { epoch: 6, ..old };
        let both = [new.block(), old.block()].concat();
        assert_eq!(Header::find(&both), Found::Header(new));
        let mut torn = both.clone();
        torn[17] ^= 1;
        assert_eq!(Header::find(&torn), Found::Header(old));
        torn[BLOCK + 20] ^= 1;
        assert_eq!(Header::find(&torn), Found::Damaged);
        assert_eq!(Header::find(&both[..100]), Found::Header(new));
        // Nobody counts that far, and none would come after it.
        let last = Header { epoch: u64::MAX, ..new };
        assert_eq!(Header::find(&[last.block(), old.block()].concat()), Found::Header(old));
    }

    #[test]
    fn a_newer_version_is_not_damage() {
        let mut block = Header { epoch: 4, salt: 1, empty: true }.block();
        block[8] = 2;
        let crc = crc32c::crc32c(&block[..CRC]);
        block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::find(&block), Found::Newer(2));
    }
}
