//! Records of the journal.
//!
//! ```text
//!  0  u32  crc32c of the salt and of all that follows
//!  4  u32  length of the record
//!  8  u64  epoch of the journal file
//! 16  u64  number of the record in its epoch, from 0
//! 24  u32  how many entries
//! 28  the entries:
//!      0  u8   1: bytes of a file; 2: what earlier records hold of the file is obsolete
//!      1  u8   0
//!      2  u16  length of the path
//!      4  u32  length of the bytes
//!      8  u64  where in the file
//!     16  the path, then the bytes
//! ```
//!
//! Records begin at multiples of [`BLOCK`], so that an unfinished write of one leaves others whole.

use std::sync::Arc;

use crate::record::{fits, u32_at, u64_at};

/// What records and headers are aligned to: the largest sector that disks have.
pub(super) const BLOCK: usize = 4096;
const HEAD: usize = 28;
const ENTRY: usize = 16;

/// One entry of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Arc<str>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// These bytes of the record belong at this offset of the file.
    Bytes { offset: u64, at: usize, len: usize },
    /// What earlier records hold of the file is obsolete.
    Forget,
}

/// A record that is being made.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    count: u32,
}

impl<'a> Writer<'a> {
    /// Begins a record in `out`, which is emptied.
    pub(super) fn new(out: &'a mut Vec<u8>, epoch: u64, number: u64) -> Writer<'a> {
        out.clear();
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Writer { out, count: 0 }
    }

    pub(super) fn bytes(&mut self, path: &str, offset: u64, data: &[u8]) {
        self.entry(1, path, offset, data);
    }

    pub(super) fn forget(&mut self, path: &str) {
        self.entry(2, path, 0, &[]);
    }

    fn entry(&mut self, kind: u8, path: &str, offset: u64, data: &[u8]) {
        self.count += 1;
        self.out.extend_from_slice(&[kind, 0]);
        self.out.extend_from_slice(&(path.len() as u16).to_le_bytes());
        self.out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&offset.to_le_bytes());
        self.out.extend_from_slice(path.as_bytes());
        self.out.extend_from_slice(data);
    }

    /// Seals the record and fills it up to whole blocks.
    pub(super) fn finish(self, salt: u64) {
        let len = self.out.len() as u32;
        self.out[24..28].copy_from_slice(&self.count.to_le_bytes());
        self.out[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = crc(salt, &self.out[4..]);
        self.out[..4].copy_from_slice(&crc.to_le_bytes());
        self.out.resize(self.out.len().next_multiple_of(BLOCK), 0);
    }
}

/// The bytes that an entry takes in a record.
pub(super) fn entry_len(path: &str, data: usize) -> usize {
    ENTRY + path.len() + data
}

/// The bytes that a record of entries that take `entries` bytes takes in the journal.
pub(super) fn record_len(entries: usize) -> usize {
    (HEAD + entries).next_multiple_of(BLOCK)
}

/// The length of the record of an epoch that may begin with `bytes`; `None` if certainly none does.
pub(super) fn frame(bytes: &[u8], epoch: u64) -> Option<usize> {
    let len = u32_at(bytes, 4)? as usize;
    (u64_at(bytes, 8)? == epoch && len >= HEAD).then_some(len)
}

/// The number of the whole record that `bytes` are.
pub(super) fn check(bytes: &[u8], salt: u64) -> Option<u64> {
    fits(u32_at(bytes, 0)?, crc(salt, &bytes[4..])).then(|| u64_at(bytes, 16))?
}

/// The entries of a record that [`check`] found whole.
pub(super) fn entries(record: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = HEAD;
    for _ in 0..u32_at(record, 24).unwrap_or(0) {
        let (Some(head), Some(len), Some(offset)) =
            (record.get(at..at + 4), u32_at(record, at + 4), u64_at(record, at + 8))
        else {
            break;
        };
        let (path, len) = (usize::from(u16::from_le_bytes([head[2], head[3]])), len as usize);
        let data = at + ENTRY + path;
        let Some(name) = record.get(at + ENTRY..data).filter(|_| data + len <= record.len()) else {
            break;
        };
        let kind = match head[0] {
            1 => Kind::Bytes { offset, at: data, len },
            _ => Kind::Forget,
        };
        if let Ok(path) = std::str::from_utf8(name) {
            entries.push(Entry { path: path.into(), kind });
        }
        at = data + len;
    }
    entries
}

fn crc(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut out = vec![9; 3];
        let mut writer = Writer::new(&mut out, 7, 3);
        writer.bytes("streams/1/a", 77, b"hello");
        writer.forget("catalog/b");
        writer.bytes("c", 0, b"");
        writer.finish(5);
        out
    }

    #[test]
    fn a_record_comes_back() {
        let out = record();
        assert_eq!(out.len(), BLOCK);
        let len = frame(&out, 7).unwrap();
        assert_eq!(
            record_len(entry_len("streams/1/a", 5) + entry_len("catalog/b", 0) + entry_len("c", 0)),
            BLOCK
        );
        let record = &out[..len];
        assert_eq!(check(record, 5), Some(3));
        let entries = entries(record);
        let paths: Vec<&str> = entries.iter().map(|entry| &*entry.path).collect();
        assert_eq!(paths, ["streams/1/a", "catalog/b", "c"]);
        let Kind::Bytes { offset: 77, at, len: 5 } = entries[0].kind else { panic!() };
        assert_eq!(&record[at..at + 5], b"hello");
        assert_eq!(entries[1].kind, Kind::Forget);
    }

    #[test]
    fn another_epoch_salt_or_bit_is_no_record() {
        let out = record();
        assert_eq!(frame(&out, 6), None);
        let len = frame(&out, 7).unwrap();
        assert_eq!(check(&out[..len], 6), None);
        for bit in 0..len * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = frame(&bad, 7).and_then(|len| check(bad.get(..len)?, 5));
            assert_eq!(found, None, "bit {bit}");
        }
    }
}
