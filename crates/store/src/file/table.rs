//! A checkpoint's table: what its record does not say and only a scan of all segments would tell.
//!
//! ```text
//!  0  8 bytes  "NJACKTAB"
//!  8  u32      version
//! 12  u32      crc32c of all that follows
//! 16  u64      salt of the log
//! 24  u64      segment of the checkpoint
//! 32  u32      crc32c of the checkpoint's body
//! 36           numbers as in `op`: messages, bytes, first sequence, first stamp (8 bytes), count
//!              of sidecars, each: segment, generation, checksum; the subjects
//! ```
//!
//! Like a sidecar it is derived data and never synced. It lies in a file of its own, named by the
//! checkpoint's segment; a program that does not know it does not see it (D-0011).

use bytes::{BufMut, Bytes};

use super::sidecar::Basis;
use crate::State;
use crate::op::{put_number, take_number, take_stamp};
use crate::record::{fits, u32_at, u64_at};
use crate::subjects::Subjects;

const MAGIC: &[u8; 8] = b"NJACKTAB";
/// The version that this code writes, and the only one that it reads.
const VERSION: u32 = 1;
const FIXED: usize = 36;

/// A sidecar that a checkpoint believes: segment, generation and checksum.
pub(crate) type Named = (u64, u32, u32);

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) checkpoint: Basis,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) first_seq: u64,
    pub(crate) first_time: i64,
    /// In the order of their segments.
    pub(crate) named: Vec<Named>,
    pub(crate) subjects: Subjects,
}

/// The table of a checkpoint that is written at this moment.
pub(crate) fn encode(
    salt: u64,
    checkpoint: Basis,
    state: &State,
    named: &[Named],
    subjects: &Subjects,
) -> Bytes {
    let mut out = Vec::with_capacity(FIXED + 20 * named.len() + 32 * subjects.len());
    out.extend_from_slice(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 4]);
    out.extend(salt.to_le_bytes());
    out.extend(checkpoint.segment.to_le_bytes());
    out.extend(checkpoint.crc.to_le_bytes());
    let counters = [state.messages, state.bytes, state.first_seq];
    counters.iter().for_each(|&n| put_number(&mut out, n));
    out.put_i64_le(state.first_time);
    put_number(&mut out, named.len() as u64);
    for &(segment, generation, crc) in named {
        let numbers = [segment, u64::from(generation), u64::from(crc)];
        numbers.iter().for_each(|&n| put_number(&mut out, n));
    }
    subjects.save(&mut out);
    let crc = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out.into()
}

/// Whether the checksum fits. A crash may have left it in part: it is never synced.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
        && bytes.get(16..).is_some_and(|rest| fits(u32_at(bytes, 12), Some(crc32c::crc32c(rest))))
}

/// The inverse of [`encode`], for a checkpoint that knows no sequence above `last_seq`; `None` if it is
/// damaged or of another log.
pub(crate) fn decode(bytes: &[u8], salt: u64, last_seq: u64) -> Option<Table> {
    let fits = bytes.starts_with(MAGIC)
        && u32_at(bytes, 8)? == VERSION
        && fits(u32_at(bytes, 12)?, crc32c::crc32c(bytes.get(16..)?))
        && u64_at(bytes, 16)? == salt;
    if !fits {
        return None;
    }
    let checkpoint = Basis { segment: u64_at(bytes, 24)?, crc: u32_at(bytes, 32)? };
    let from = &mut bytes.get(FIXED..)?;
    let (messages, bytes, first_seq) = (take_number(from)?, take_number(from)?, take_number(from)?);
    let first_time = take_stamp(from)?;
    let mut named = Vec::new();
    for _ in 0..take_number(from)? {
        let (segment, generation) = (take_number(from)?, take_number(from)?);
        let crc = u32::try_from(take_number(from)?).ok()?;
        named.push((segment, u32::try_from(generation).ok()?, crc));
    }
    let (subjects, counted) = Subjects::load(from, last_seq)?;
    let whole = from.is_empty() && counted == messages && first_seq <= last_seq.saturating_add(1);
    whole.then_some(Table { checkpoint, messages, bytes, first_seq, first_time, named, subjects })
}

/// The name of the table of the checkpoint in a segment.
pub(crate) fn name(segment: u64) -> String {
    format!("{segment:016x}.tab")
}

/// The inverse of [`name`].
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let segment = u64::from_str_radix(name.strip_suffix(".tab")?, 16).ok()?;
    (name == self::name(segment)).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_whole_or_not_at_all() {
        let mut subjects = Subjects::default();
        for seq in 1..9 {
            subjects.add(if seq < 4 { b"a" } else { b"b.c" }, seq, 8);
        }
        let checkpoint = Basis { segment: 9, crc: 77 };
        let state = State {
            messages: 8,
            bytes: 800,
            first_seq: 1,
            first_time: -3,
            last_seq: 8,
            ..State::default()
        };
        let named = [(3, 0, 5), (4, 2, u32::MAX)];
        let bytes = encode(6, checkpoint, &state, &named, &subjects);
        let table = decode(&bytes, 6, 8).expect("it fits");
        assert_eq!((table.checkpoint, &table.named[..]), (checkpoint, &named[..]));
        let counters = (table.messages, table.bytes, table.first_seq, table.first_time);
        assert_eq!(counters, (8, 800, 1, -3));
        assert_eq!(table.subjects.find(b"b.c"), subjects.find(b"b.c"));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, 6, 8).is_none(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|len| decode(&bytes[..len], 6, 8).is_none()));
        assert!(decode(&bytes, 7, 8).is_none());
        assert!(decode(&bytes, 6, 7).is_none(), "a message from behind the checkpoint");
        assert_eq!(parse_name(&name(0x4d)), Some(0x4d));
    }
}
