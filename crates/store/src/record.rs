//! The bytes of a record.
//!
//! ```text
//!  0  u16  marker, so that records are found again behind damage
//!  2  u8   kind
//!  3  u8   flags (a message: the owner's)
//!  4  u32  length of what follows byte 12
//!  8  u32  crc32c, seeded by the segment's salt and the record's offset in the file,
//!          over bytes 0 to 8 and what follows byte 12
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
//! All integers are little endian. A payload may hold bytes that look like a record; they carry
//! the checksum of another salt and offset, so that nobody can plant a record behind damage.

use bytes::{BufMut, Bytes};

use crate::{NewMessage, Stored};

pub(crate) const MARKER: u16 = 0xB7A4;
pub(crate) const HEAD: usize = 12;
const MESSAGE_FIXED: usize = 24;
/// Bytes of a message's record that are not content.
pub(crate) const OVERHEAD: usize = HEAD + MESSAGE_FIXED + 2;

/// Kinds are part of the format: never renumbered.
pub(crate) mod kind {
    pub(crate) const MESSAGE: u8 = 1;
}

/// The length of the record of a message.
pub(crate) fn message_len(m: &NewMessage<'_>) -> usize {
    OVERHEAD + m.subject.len() + m.headers.len() + m.payload.len()
}

/// Writes the record of a message; the checksum is left 0.
pub(crate) fn put_message(out: &mut impl BufMut, seq: u64, m: &NewMessage<'_>) {
    out.put_u16_le(MARKER);
    out.put_u8(kind::MESSAGE);
    out.put_u8(m.flags);
    out.put_u32_le((message_len(m) - HEAD) as u32);
    out.put_u32_le(0);
    out.put_u64_le(seq);
    out.put_i64_le(m.time);
    out.put_u32_le(m.subject.len() as u32);
    out.put_u32_le(m.headers.len() as u32);
    out.put_slice(m.subject);
    out.put_slice(m.headers);
    out.put_slice(m.payload);
    out.put_slice(b"\r\n");
}

/// The message in a whole record of a message, without looking at the checksum.
pub(crate) fn parse_message(record: &Bytes) -> Option<Stored> {
    let (seq, time) = (u64_at(record, HEAD)?, u64_at(record, HEAD + 8)? as i64);
    let subject_len = u32_at(record, HEAD + 16)? as usize;
    let headers_len = u32_at(record, HEAD + 20)? as usize;
    let subject = HEAD + MESSAGE_FIXED;
    let headers = subject.checked_add(subject_len)?;
    let payload = headers.checked_add(headers_len)?;
    let end = record.len().checked_sub(2)?;
    if payload > end || record[2] != kind::MESSAGE {
        return None;
    }
    Some(Stored {
        seq,
        time,
        flags: record[3],
        subject: record.slice(subject..headers),
        headers: record.slice(headers..payload),
        payload: record.slice(payload..end),
        wire: record.slice(headers..),
    })
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
