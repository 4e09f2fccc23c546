//! Segment files: names and headers.
//!
//! ```text
//!  0  8 bytes  "NJACKLOG"
//!  8  u32      format version
//! 12  u32      length of the header, both copies: where the first record begins
//! 16  u64      stream id
//! 24  u64      salt of the stream's markers and checksums
//! 32  u64      segment id
//! 40  u64      log position of the segment's first byte
//! 48  u64      log position up to which the records before this segment count
//! 56  u64      highest segment id whose records are in here (compaction merges neighbours)
//! 64  u32      generation: how often it was compacted
//! 68  u64      length of the file if it is complete (compaction), else 0
//! 76  u32      crc32c of the 76 bytes before
//! 80  the same again, for the case that one is damaged
//! ```
//!
//! Bytes 0 to 80 keep their meaning in all versions, so that a newer one is told from damage.

use bytes::{BufMut, BytesMut};
use std::sync::Arc;

use super::sidecar::Sidecar;
use crate::record::{fits, u32_at, u64_at};

/// The version that this code writes, and the highest that it reads.
pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"NJACKLOG";
const COPY: usize = 80;
const CRC: usize = COPY - 4;
/// No segment id or log position counts as far as this; what is further is damage, and can be added to.
const FAR: u64 = u64::MAX >> 1;
/// Where the first record begins.
pub(crate) const HEADER_LEN: u32 = 2 * COPY as u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) stream: u64,
    pub(crate) salt: u64,
    pub(crate) id: u64,
    pub(crate) base: u64,
    pub(crate) prev_end: u64,
    pub(crate) covers: u64,
    pub(crate) generation: u32,
    pub(crate) file_len: u64,
}

/// What the first bytes of a segment file are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Header(Header),
    Newer(u32),
    Damaged,
}

impl Header {
    pub(crate) fn put(&self, out: &mut BytesMut) {
        for _ in 0..2 {
            let start = out.len();
            out.put_slice(MAGIC);
            out.put_u32_le(VERSION);
            out.put_u32_le(HEADER_LEN);
            for field in [self.stream, self.salt, self.id, self.base, self.prev_end, self.covers] {
                out.put_u64_le(field);
            }
            out.put_u32_le(self.generation);
            out.put_u64_le(self.file_len);
            let crc = crc32c::crc32c(&out[start..]);
            out.put_u32_le(crc);
        }
    }

    pub(crate) fn find(bytes: &[u8]) -> Found {
        let copies = [bytes.get(..COPY), bytes.get(COPY..2 * COPY)];
        copies.into_iter().flatten().find_map(Header::parse).unwrap_or(Found::Damaged)
    }

    /// What stands where the salt does, for the case that both copies are damaged elsewhere.
    pub(crate) fn salts(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
        [24, COPY + 24].into_iter().filter_map(|at| u64_at(bytes, at))
    }

    fn parse(copy: &[u8]) -> Option<Found> {
        if !copy.starts_with(MAGIC) || !fits(u32_at(copy, CRC)?, crc32c::crc32c(&copy[..CRC])) {
            return None;
        }
        let version = u32_at(copy, 8)?;
        if version > VERSION {
            return Some(Found::Newer(version));
        }
        let header = Header {
            stream: u64_at(copy, 16)?,
            salt: u64_at(copy, 24)?,
            id: u64_at(copy, 32)?,
            base: u64_at(copy, 40)?,
            prev_end: u64_at(copy, 48)?,
            covers: u64_at(copy, 56)?,
            generation: u32_at(copy, 64)?,
            file_len: u64_at(copy, 68)?,
        };
        let Header { id, base, prev_end, covers, generation, .. } = header;
        let near = [id, base, prev_end, covers].into_iter().all(|count| count < FAR);
        (near && generation < u32::MAX).then_some(Found::Header(header))
    }
}

/// A segment that exists, on disk or about to.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) generation: u32,
    pub(crate) covers: u64,
    pub(crate) path: Arc<str>,
    /// Log position of its first byte.
    pub(crate) base: u64,
    /// Bytes of the file that hold records which count, those on their way included.
    pub(crate) len: u32,
    /// Compaction found damage in it: it stays as it is.
    pub(crate) frozen: bool,
    /// The file beside it that spares the next start a scan.
    pub(crate) sidecar: Sidecar,
}

/// The name of a segment file in its directory.
pub(crate) fn name(id: u64, generation: u32) -> String {
    format!("{id:016x}.{generation:x}.seg")
}

/// The inverse of [`name`].
pub(crate) fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (id, generation) = name.strip_suffix(".seg")?.split_once('.')?;
    let id = u64::from_str_radix(id, 16).ok()?;
    let generation = u32::from_str_radix(generation, 16).ok()?;
    (id < FAR && name == self::name(id, generation)).then_some((id, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> (Header, Vec<u8>) {
        let header = Header {
            stream: 1,
            salt: 2,
            id: 3,
            base: 4,
            prev_end: 5,
            covers: 6,
            generation: 7,
            file_len: 8,
        };
        let mut out = BytesMut::new();
        header.put(&mut out);
        assert_eq!(out.len(), HEADER_LEN as usize);
        (header, out.to_vec())
    }

    #[test]
    fn one_copy_of_the_header_is_enough() {
        let (header, bytes) = header();
        for bad in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bad] ^= 0x10;
            assert_eq!(Header::find(&bytes), Found::Header(header));
            bytes[(bad + COPY) % (2 * COPY)] ^= 0x10;
            assert_eq!(Header::find(&bytes), Found::Damaged);
        }
    }

    #[test]
    fn a_newer_version_is_not_damage() {
        let (_, mut bytes) = header();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..CRC]);
        bytes[CRC..COPY].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::find(&bytes), Found::Newer(2));
    }

    #[test]
    fn what_cannot_be_counted_on_from_is_damage() {
        let (header, _) = header();
        for far in [
            Header { covers: u64::MAX, ..header },
            Header { base: u64::MAX, ..header },
            Header { prev_end: FAR, ..header },
            Header { generation: u32::MAX, ..header },
        ] {
            let mut out = BytesMut::new();
            far.put(&mut out);
            assert_eq!(Header::find(&out), Found::Damaged, "{far:?}");
        }
    }

    #[test]
    fn names_come_back() {
        assert_eq!(parse_name(&name(FAR - 1, 17)), Some((FAR - 1, 17)));
        assert_eq!(parse_name(&name(FAR, 17)), None, "no next id");
        assert_eq!(parse_name("1.0.seg"), None);
        assert_eq!(parse_name("compact.tmp"), None);
    }
}
