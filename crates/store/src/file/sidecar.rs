//! A sidecar: the index of a segment in a file beside it, so that a start need not scan the segment.
//!
//! ```text
//!  0  8 bytes  "NJACKIDX"
//!  8  u32      version
//! 12  u32      crc32c of all that follows: its identity, too
//! 16  u64      salt of the log
//! 24  u64      segment id
//! 32  u32      generation of the segment file
//! 36  u32      length of the segment file
//! 40  u64      segment of the checkpoint for which it was made, by compaction, else 0 …
//! 48  u32      … and the crc32c of that checkpoint's body
//! 52  u32      count of runs of messages with the same flags, those without left out
//! 56           first sequence, last sequence, flags: u64, u64, u32 each run; the chunk
//! ```
//!
//! It is derived data: never synced, written once, and believed only if a checkpoint names it by its
//! checksum or is the one that it was made for. Then all that is dead in it is dead at the
//! checkpoint, and its subjects are numbered as in the checkpoint's table (D-0011).

use bytes::Bytes;

use crate::chunk::Chunk;
use crate::record::{fits, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"NJACKIDX";
/// The version that this code writes, and the only one that it reads.
const VERSION: u32 = 1;
const FIXED: usize = 56;
const RUN: usize = 20;

/// What is known of a segment's sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sidecar {
    /// There is none; one may be written once the segment is complete.
    #[default]
    Missing,
    /// It is written or on its way, with this checksum.
    Known(u32),
    /// The segment is to be scanned at the next start: it has damage, or a write to it failed.
    Never,
}

/// A checkpoint, by its segment and the checksum of its record's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Basis {
    pub(crate) segment: u64,
    pub(crate) crc: u32,
}

/// Messages of one segment that the owner gave flags, in runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Runs(pub(crate) Vec<(u64, u64, u8)>);

impl Runs {
    /// Adds a message; `before` is the message before it in the segment.
    pub(crate) fn push(&mut self, before: u64, seq: u64, flags: u8) {
        if flags == 0 {
            return;
        }
        match self.0.last_mut() {
            Some(run) if run.1 == before && run.2 == flags => run.1 = seq,
            _ => self.0.push((seq, seq, flags)),
        }
    }
}

/// Which segment a sidecar is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) salt: u64,
    pub(crate) segment: u64,
    pub(crate) generation: u32,
    /// The length of the segment's file.
    pub(crate) len: u32,
}

/// What a sidecar holds.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) crc: u32,
    pub(crate) basis: Option<Basis>,
    pub(crate) runs: Runs,
    pub(crate) chunk: Chunk,
}

/// The sidecar of a segment, and its checksum.
pub(crate) fn encode(
    owner: &Owner,
    basis: Option<Basis>,
    runs: &Runs,
    chunk: &Chunk,
) -> (Bytes, u32) {
    let mut out = Vec::with_capacity(FIXED + RUN * runs.0.len());
    out.extend_from_slice(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 4]);
    out.extend(owner.salt.to_le_bytes());
    out.extend(owner.segment.to_le_bytes());
    out.extend(owner.generation.to_le_bytes());
    out.extend(owner.len.to_le_bytes());
    out.extend(basis.map_or(0, |basis| basis.segment).to_le_bytes());
    out.extend(basis.map_or(0, |basis| basis.crc).to_le_bytes());
    out.extend((runs.0.len() as u32).to_le_bytes());
    for (first, last, flags) in &runs.0 {
        out.extend(first.to_le_bytes());
        out.extend(last.to_le_bytes());
        out.extend(u32::from(*flags).to_le_bytes());
    }
    chunk.save(&mut out);
    let crc = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    (out.into(), crc)
}

/// Whether the checksum fits. A crash may have left it in part: it is never synced.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
        && bytes.get(16..).is_some_and(|rest| fits(u32_at(bytes, 12), Some(crc32c::crc32c(rest))))
}

/// The inverse of [`encode`]; `None` if it is damaged, of another segment, or names a subject whose
/// id is not below `ids`.
pub(crate) fn decode(bytes: &[u8], owner: &Owner, ids: usize) -> Option<Loaded> {
    let (n32, n64) = (|at| u32_at(bytes, at), |at| u64_at(bytes, at));
    let crc = n32(12)?;
    let fits = bytes.starts_with(MAGIC)
        && n32(8)? == VERSION
        && fits(crc, crc32c::crc32c(bytes.get(16..)?))
        && n64(16)? == owner.salt
        && n64(24)? == owner.segment
        && n32(32)? == owner.generation
        && n32(36)? == owner.len;
    if !fits {
        return None;
    }
    let basis = Basis { segment: n64(40)?, crc: n32(48)? };
    let runs = (n32(52)? as usize).checked_mul(RUN)?;
    let (runs, columns) = bytes.get(FIXED..)?.split_at_checked(runs)?;
    let run = |run: &[u8; RUN]| Some((u64_at(run, 0)?, u64_at(run, 8)?, u32_at(run, 16)? as u8));
    Some(Loaded {
        crc,
        basis: (basis.segment > 0).then_some(basis),
        runs: Runs(runs.as_chunks().0.iter().map(run).collect::<Option<_>>()?),
        chunk: Chunk::load(owner.segment, columns, ids)?,
    })
}

/// The name of a segment's sidecar in its directory.
pub(crate) fn name(id: u64, generation: u32) -> String {
    format!("{id:016x}.{generation:x}.idx")
}

/// The inverse of [`name`].
pub(crate) fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (id, generation) = name.strip_suffix(".idx")?.split_once('.')?;
    let id = u64::from_str_radix(id, 16).ok()?;
    let generation = u32::from_str_radix(generation, 16).ok()?;
    (name == self::name(id, generation)).then_some((id, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Entry;

    const OWNER: Owner = Owner { salt: 5, segment: 7, generation: 1, len: 900 };

    #[test]
    fn it_comes_back_whole_or_not_at_all() {
        let mut chunk = Chunk::new(7, 1, 160, false);
        let mut runs = Runs::default();
        for seq in 4..14 {
            let offset = 160 + seq as u32 * 60;
            runs.push(chunk.last(), seq, [0, 1, 1, 2][seq as usize % 4]);
            let entry = Entry { seq, offset, len: 60, headers: false, subject: 2, time: 8 };
            chunk.push(entry);
        }
        assert_eq!(runs.0, [(5, 6, 1), (7, 7, 2), (9, 10, 1), (11, 11, 2), (13, 13, 1)]);
        let basis = Some(Basis { segment: 3, crc: 4 });
        let (bytes, crc) = encode(&OWNER, basis, &runs, &chunk);
        let loaded = decode(&bytes, &OWNER, 3).expect("it fits");
        assert_eq!((loaded.crc, loaded.basis, &loaded.runs), (crc, basis, &runs));
        assert_eq!(format!("{:?}", loaded.chunk), format!("{chunk:?}"));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, &OWNER, 3).is_none(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|len| decode(&bytes[..len], &OWNER, 3).is_none()));
        for other in [
            Owner { salt: 6, ..OWNER },
            Owner { segment: 8, ..OWNER },
            Owner { generation: 2, ..OWNER },
            Owner { len: 901, ..OWNER },
        ] {
            assert!(decode(&bytes, &other, 3).is_none());
        }
    }

    #[test]
    fn names_come_back() {
        assert_eq!(parse_name(&name(77, 3)), Some((77, 3)));
        assert_eq!(parse_name("4d.3.idx"), None);
    }
}
