//! One S2 block: Snappy's block format with copies that repeat the last offset, which libraries for
//! Snappy do not know. What is written here is plain Snappy, a subset of it.
//!
//! ```text
//! block    := uvarint length of the content, elements
//! element  := literal | copy, told apart by the two low bits of the first byte
//! 00       literal: length - 1 in six bits; 60..63: in 1..4 bytes that follow, little endian
//! 01       copy: length - 4 in three bits, offset in 11; offset 0 repeats the last offset, and
//!          lengths from 5 on say how many bytes of length follow
//! 10, 11   copy: length - 1 in six bits, offset in two or four bytes
//! ```

use super::ArchiveError;

/// The largest block of an S2 stream.
pub(super) const BLOCK_MAX: usize = 4 << 20;

/// The content of a block, at most [`BLOCK_MAX`] bytes, appended to `out`.
///
/// # Errors
/// When the block is malformed; what `out` got of it has no meaning then.
pub(super) fn decode(mut block: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
    let from = &mut block;
    let length = length(from)?;
    let start = out.len();
    let end = start + length;
    let mut last_offset = 0;
    while let Some((&tag, rest)) = from.split_first() {
        *from = rest;
        let high = usize::from(tag >> 2);
        let (offset, length) = match tag & 3 {
            0 => {
                let length = 1 + if high < 60 { high } else { number(from, high - 59)? };
                let literal = take(from, length)?;
                if length > end - out.len() {
                    return Err(ArchiveError::Corrupt);
                }
                out.extend_from_slice(literal);
                continue;
            }
            1 => match usize::from(tag >> 5) << 8 | number(from, 1)? {
                0 => (last_offset, repeated(from, high & 7)?),
                offset => (offset, 4 + (high & 7)),
            },
            2 => (number(from, 2)?, 1 + high),
            _ => (number(from, 4)?, 1 + high),
        };
        last_offset = offset;
        if offset == 0 || offset > out.len() - start || length > end - out.len() {
            return Err(ArchiveError::Corrupt);
        }
        copy(out, offset, length);
    }
    if out.len() == end { Ok(()) } else { Err(ArchiveError::Corrupt) }
}

/// The length of the content, which the block begins with.
fn length(from: &mut &[u8]) -> Result<usize, ArchiveError> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = number(from, 1)?;
        length |= (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if length <= BLOCK_MAX { Ok(length) } else { Err(ArchiveError::Corrupt) };
        }
    }
    Err(ArchiveError::Corrupt)
}

/// The length of a copy that repeats the last offset.
fn repeated(from: &mut &[u8], code: usize) -> Result<usize, ArchiveError> {
    Ok(match code {
        5 => 8 + number(from, 1)?,
        6 => 4 + (1 << 8) + number(from, 2)?,
        7 => 4 + (1 << 16) + number(from, 3)?,
        short => 4 + short,
    })
}

/// Appends `length` bytes that begin `offset` bytes before the end; they may overlap what is appended.
fn copy(out: &mut Vec<u8>, offset: usize, mut length: usize) {
    while length > 0 {
        let from = out.len() - offset;
        let step = length.min(offset);
        out.extend_from_within(from..from + step);
        length -= step;
    }
}

/// A number of `bytes` bytes, little endian.
fn number(from: &mut &[u8], bytes: usize) -> Result<usize, ArchiveError> {
    let bytes = take(from, bytes)?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Result<&'a [u8], ArchiveError> {
    let (taken, rest) = from.split_at_checked(len).ok_or(ArchiveError::Corrupt)?;
    *from = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(block: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        decode(block, &mut out).ok()?;
        Some(out.split_off(6))
    }

    #[test]
    fn literals_and_copies_make_the_content() {
        assert_eq!(decoded(&[0]).unwrap(), b"");
        assert_eq!(decoded(b"\x03\x08abc").unwrap(), b"abc");
        // A literal whose length stands behind.
        let mut long = vec![100, 60 << 2, 99];
        long.extend([7; 100]);
        assert_eq!(decoded(&long).unwrap(), [7; 100]);
        // Four bytes from two back, then the same offset again: four, eight and more.
        let short = b"\x06\x04ab\x01\x02";
        assert_eq!(decoded(short).unwrap(), b"ababab");
        let again = b"\x0a\x04ab\x01\x02\x01\x00";
        assert_eq!(decoded(again).unwrap(), b"ababababab");
        let eight = b"\x0e\x04ab\x01\x02\x15\x00\x00";
        assert_eq!(decoded(eight).unwrap(), b"ab".repeat(7));
        let mut more = b"\xc2\x02\x04ab".to_vec();
        more.extend(b"\x06\x02\x00\x01\x00\x19\x00\x36\x00");
        assert_eq!(decoded(&more).unwrap(), b"ab".repeat(161));
        let mut most = b"\x8a\x80\x04\x04ab\x01\x02".to_vec();
        most.extend(b"\x1d\x00\x00\x00\x00");
        assert_eq!(decoded(&most).unwrap(), b"ab".repeat(32_773));
        // Offsets of two and four bytes.
        assert_eq!(decoded(b"\x04\x04ab\x06\x02\x00").unwrap(), b"abab");
        assert_eq!(decoded(b"\x04\x04ab\x07\x02\x00\x00\x00").unwrap(), b"abab");
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for block in [
            &b""[..],
            b"\x80\x80\x80\x80\x01",
            // Longer than a block may be.
            b"\x81\x80\x80\x02",
            // Too short, too long.
            b"\x04\x08abc",
            b"\x02\x08abc",
            b"\x05\x08abc\x00",
            // Before the beginning, which is not that of the buffer.
            b"\x06\x04ab\x01\x03",
            // Nothing to repeat.
            b"\x06\x04ab\x01\x00",
            // Cut off.
            b"\x06\x04ab\x01",
            b"\x06\x04ab\x02\x02",
            b"\x06\x04ab\x15\x00",
            b"\x7f\xf0",
        ] {
            assert_eq!(decoded(block), None, "{block:?}");
        }
    }
}
