//! The bytes of a record.
//!
//! ```text
//!  0  u16  marker: depends on salt, segment and offset, so that records are found again behind
//!          damage and nobody can plant one inside a payload
//!  2  u8   kind
//!  3  u8   flags (a message: the owner's)
//!  4  u32  length of what follows byte 12
//!  8  u32  crc32c over salt, segment and offset, bytes 0 to 8, and what follows byte 12
//! 12       body
//! ```
//!
//! The body of a message; headers, payload and CRLF lie together so that they can be delivered
//! in one piece:
//!
//! ```text
//! 12  u64  sequence
//! 20  i64  unix nanoseconds
//! 28  u32  length of the subject
//! 32  u32  length of the headers
//! 36       subject, headers, payload, CRLF
//! ```
//!
//! An erased message has its subject, headers of 1 byte if it had any, and zeros. The other bodies
//! are in `op`. All fixed integers are little endian. The records of a memory log
//! have the same form with marker and checksum 0.

use bytes::{BufMut, BytesMut};

use crate::{NewMessage, SEQ_END, Stored};

pub(crate) const HEAD: usize = 12;
const MESSAGE_FIXED: usize = 24;
/// Bytes of a message's record that are not content.
pub(crate) const OVERHEAD: usize = HEAD + MESSAGE_FIXED + 2;

/// Kinds are part of the format: never renumbered.
pub(crate) mod kind {
    pub(crate) const MESSAGE: u8 = 1;
    pub(crate) const TOMBSTONE: u8 = 2;
    pub(crate) const SKIP: u8 = 3;
    pub(crate) const PURGE: u8 = 4;
    pub(crate) const LIMITS: u8 = 5;
    pub(crate) const NOTE: u8 = 6;
    pub(crate) const CHECKPOINT: u8 = 7;
    pub(crate) const ROUND: u8 = 8;
    pub(crate) const ERASED: u8 = 9;
    /// Takes the place of a torn record that was never durable.
    pub(crate) const PAD: u8 = 10;
    pub(crate) const SECURE: u8 = 11;
    pub(crate) const LAST: u8 = SECURE;
}

/// Whether a checksum or marker is as it must be. Under the fuzzer any is, or it would never get to what
/// stands behind them: nothing that is read may rely on them for more than being what was written.
pub(crate) fn fits<T: PartialEq>(found: T, expected: T) -> bool {
    cfg!(fuzzing) || found == expected
}

/// Where a record lies, as far as its marker and checksum depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    pub(crate) salt: u64,
    pub(crate) segment: u64,
}

impl Seal {
    fn mix(self, offset: u32) -> u64 {
        let mut z = self.salt ^ self.segment.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ u64::from(offset)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 32)
    }

    /// Never 0, so that a hole of zeros holds no marker.
    fn marker(self, offset: u32) -> u16 {
        self.mix(offset) as u16 | 1
    }

    fn crc(self, offset: u32, head: &[u8; 8], body: &[u8]) -> u32 {
        // One call for what is short: each has a price of its own.
        let mut first = [0; 16];
        first[..8].copy_from_slice(&self.mix(offset).to_le_bytes());
        first[8..].copy_from_slice(head);
        crc32c::crc32c_append(crc32c::crc32c(&first), body)
    }

    /// Fills in marker, length and checksum of a whole record.
    pub(crate) fn seal(self, offset: u32, record: &mut [u8]) {
        let len = (record.len() - HEAD) as u32;
        record[0..2].copy_from_slice(&self.marker(offset).to_le_bytes());
        record[4..8].copy_from_slice(&len.to_le_bytes());
        let (head, body) = record.split_at(HEAD);
        let crc = head.first_chunk().map_or(0, |first| self.crc(offset, first, body));
        record[8..12].copy_from_slice(&crc.to_le_bytes());
    }

    /// The length of the whole record that begins at `bytes`, if there is one.
    pub(crate) fn check(self, offset: u32, bytes: &[u8]) -> Option<usize> {
        let len = self.frame(offset, bytes)?;
        let (head, body) = (bytes.first_chunk()?, bytes.get(HEAD..len)?);
        fits(self.crc(offset, head, body), u32_at(bytes, 8)?).then_some(len)
    }

    /// The length that a record at `bytes` claims to have, if it has the marker of its place.
    pub(crate) fn frame(self, offset: u32, bytes: &[u8]) -> Option<usize> {
        let marker = u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]);
        let known = (1..=kind::LAST).contains(bytes.get(2)?);
        let len = HEAD.checked_add(u32_at(bytes, 4)? as usize)?;
        (fits(marker, self.marker(offset)) && known).then_some(len)
    }

    /// The offset in `bytes` of the first whole record from `from` on. `bytes` begin at offset
    /// `start` of the segment.
    pub(crate) fn resync(self, start: u32, bytes: &[u8], from: usize) -> Option<usize> {
        (from..bytes.len().saturating_sub(HEAD - 1))
            .find(|&at| self.check(start + at as u32, &bytes[at..]).is_some())
    }
}

/// The length of the record of a message.
pub(crate) fn message_len(m: &NewMessage<'_>) -> usize {
    OVERHEAD + m.subject.len() + m.headers.len() + m.payload.len()
}

/// Begins a record: marker, length and checksum are filled in by [`Seal::seal`].
pub(crate) fn put_head(out: &mut impl BufMut, kind: u8, flags: u8) {
    out.put_slice(&[0, 0, kind, flags]);
    out.put_slice(&[0; HEAD - 4]);
}

/// Writes the record of a message, not sealed.
pub(crate) fn put_message(out: &mut impl BufMut, seq: u64, m: &NewMessage<'_>) {
    let mut fixed = [0; HEAD + MESSAGE_FIXED];
    (fixed[2], fixed[3]) = (kind::MESSAGE, m.flags);
    fixed[HEAD..HEAD + 8].copy_from_slice(&seq.to_le_bytes());
    fixed[HEAD + 8..HEAD + 16].copy_from_slice(&m.time.to_le_bytes());
    fixed[HEAD + 16..HEAD + 20].copy_from_slice(&(m.subject.len() as u32).to_le_bytes());
    fixed[HEAD + 20..].copy_from_slice(&(m.headers.len() as u32).to_le_bytes());
    out.put_slice(&fixed);
    out.put_slice(m.subject);
    if !m.headers.is_empty() {
        out.put_slice(m.headers);
    }
    out.put_slice(m.payload);
    out.put_slice(b"\r\n");
}

/// Writes the record of a message, `len` bytes long, whose headers and payload are overwritten.
/// Its subject and whether it had headers stay, so that a replay counts it as it was.
pub(crate) fn put_erased(
    out: &mut BytesMut,
    seq: u64,
    time: i64,
    subject: &[u8],
    headers: bool,
    len: usize,
) {
    put_head(out, kind::ERASED, 0);
    out.put_u64_le(seq);
    out.put_i64_le(time);
    out.put_u32_le(subject.len() as u32);
    out.put_u32_le(u32::from(headers));
    out.put_slice(subject);
    out.put_bytes(0, len.saturating_sub(out.len()));
}

/// Writes a record that means nothing, `len` bytes long, which is at least [`HEAD`].
pub(crate) fn put_pad(out: &mut BytesMut, len: usize) {
    put_head(out, kind::PAD, 0);
    out.put_bytes(0, len - HEAD);
}

/// Sequence and stamp of a message's or an erased message's record.
pub(crate) fn stamp(record: &[u8]) -> Option<(u64, i64)> {
    let seq = u64_at(record, HEAD).filter(|&seq| seq <= SEQ_END)?;
    Some((seq, u64_at(record, HEAD + 8)? as i64))
}

/// Where subject, headers, payload and CRLF of a message's whole record begin, an erased one's
/// too.
pub(crate) fn layout(record: &[u8]) -> Option<[usize; 4]> {
    let subject = HEAD + MESSAGE_FIXED;
    let headers = subject.checked_add(u32_at(record, HEAD + 16)? as usize)?;
    let payload = headers.checked_add(u32_at(record, HEAD + 20)? as usize)?;
    let end = record.len().checked_sub(2)?;
    let message = matches!(record[2], kind::MESSAGE | kind::ERASED);
    (payload <= end && message).then_some([subject, headers, payload, end])
}

/// What the record of a message says of it, and the lengths of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) seq: u64,
    pub(crate) time: i64,
    pub(crate) flags: u8,
    pub(crate) subject: u32,
    pub(crate) headers: u32,
    pub(crate) payload: u32,
}

impl Shape {
    /// Reads the head of a whole record of a message, without looking at the checksum.
    pub(crate) fn of(record: &[u8]) -> Option<Shape> {
        let fixed: &[u8; HEAD + MESSAGE_FIXED] = record.first_chunk()?;
        let word = |at: usize| {
            u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let (subject, headers) = (word(HEAD + 16), word(HEAD + 20));
        let content = u32::try_from(record.len() - fixed.len()).ok()?.checked_sub(2)?;
        let payload = content.checked_sub(subject)?.checked_sub(headers)?;
        let long = |at| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let (seq, time) = (long(HEAD), long(HEAD + 8) as i64);
        let shape = Shape { seq, time, flags: fixed[3], subject, headers, payload };
        (fixed[2] == kind::MESSAGE).then_some(shape)
    }

    /// The message in its record.
    pub(crate) fn split(self, record: &[u8]) -> Option<Stored<'_>> {
        let (subject, rest) =
            record.get(HEAD + MESSAGE_FIXED..)?.split_at_checked(self.subject as usize)?;
        let (headers, rest) = rest.split_at_checked(self.headers as usize)?;
        let payload = rest.get(..self.payload as usize)?;
        let Shape { seq, time, flags, .. } = self;
        Some(Stored { seq, time, flags, subject, headers, payload })
    }
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { salt: 77, segment: 3 };

    fn sealed(payload: &[u8], offset: u32) -> Vec<u8> {
        let mut out = BytesMut::new();
        let m = NewMessage { subject: b"a.b", headers: b"", payload, time: -5, flags: 9 };
        put_message(&mut out, 42, &m);
        SEAL.seal(offset, &mut out);
        out.to_vec()
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let record = sealed(b"hello", 100);
        assert_eq!(SEAL.check(100, &record), Some(record.len()));
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SEAL.check(100, &bad), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_counts_only_at_its_place() {
        let record = sealed(b"hello", 100);
        assert_eq!(SEAL.check(101, &record), None);
        assert_eq!(Seal { segment: 4, ..SEAL }.check(100, &record), None);
        assert_eq!(Seal { salt: 78, ..SEAL }.check(100, &record), None);
    }

    #[test]
    fn resync_finds_the_next_record_behind_damage() {
        let planted = sealed(b"planted", 5);
        let mut bytes = sealed(&planted, 0);
        let second = bytes.len();
        bytes.extend(sealed(b"second", second as u32));
        bytes[20] ^= 1;
        assert_eq!(SEAL.resync(0, &bytes, 1), Some(second));
    }
}
