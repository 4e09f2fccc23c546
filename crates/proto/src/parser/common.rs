//! The common form of a publish, in one pass: upper or lower case `PUB` or `HPUB`, single blanks,
//! CR LF, and the payload all there.
//!
//! Whatever looks different (tabs, several blanks, a bare line end, sizes out of bounds, bytes that
//! have not arrived) is left to the full parser, which also finds the errors. What is found here is
//! what that parser would find.

use super::{CR, LF, Limits, Publish};

/// A one in each byte, in each two and in each four.
const ONES: u64 = u64::MAX / 0xff;
const ONES_16: u64 = u64::MAX / 0xffff;
const ONES_32: u64 = u64::MAX / 0xffff_ffff;
/// The high bit of each byte.
const HIGH: u64 = ONES * 0x80;
/// The bit that letters of lower case have, in three bytes and in four.
const LOWER_3: u32 = 0x0020_2020;
const LOWER_4: u32 = 0x2020_2020;

/// A complete publish at the start of `buf`, and the number of bytes that it takes.
#[inline]
pub(super) fn publish<'a>(
    buf: &'a [u8],
    limits: &Limits,
    headers: bool,
) -> Option<(Publish<'a>, usize)> {
    let verb = u32::from_le_bytes(*buf.first_chunk()?);
    // For letters, setting bit 5 is exactly lower case.
    if verb | LOWER_3 == u32::from_le_bytes(*b"pub ") {
        return plain(buf, limits);
    }
    if headers && verb | LOWER_4 == u32::from_le_bytes(*b"hpub") && buf.get(4) == Some(&b' ') {
        return with_headers(buf, limits);
    }
    None
}

/// `PUB subject [reply] size`.
#[inline]
fn plain<'a>(buf: &'a [u8], limits: &Limits) -> Option<(Publish<'a>, usize)> {
    const ARG: usize = 4;
    let subject_end = word_end(buf, ARG)?;
    let subject = buf.get(ARG..subject_end)?;
    let mut from = subject_end + 1;
    let mut size = number(buf, from).filter(|size| size.ends_line);
    let mut reply = None;
    if size.is_none() {
        let reply_end = word_end(buf, from)?;
        reply = Some(buf.get(from..reply_end)?);
        from = reply_end + 1;
        size = number(buf, from).filter(|size| size.ends_line);
    }
    let size = size?;
    let payload = payload(buf, limits, ARG, from + size.digits, size.value)?;
    let consumed = from + size.digits + 2 + size.value + 2;
    Some((Publish { subject, reply, headers: &[], is_hpub: false, payload }, consumed))
}

/// `HPUB subject [reply] header_size total_size`.
fn with_headers<'a>(buf: &'a [u8], limits: &Limits) -> Option<(Publish<'a>, usize)> {
    const ARG: usize = 5;
    let subject_end = word_end(buf, ARG)?;
    let subject = buf.get(ARG..subject_end)?;
    let mut from = subject_end + 1;
    let mut sizes = two_numbers(buf, from);
    let mut reply = None;
    if sizes.is_none() {
        let reply_end = word_end(buf, from)?;
        reply = Some(buf.get(from..reply_end)?);
        from = reply_end + 1;
        sizes = two_numbers(buf, from);
    }
    let (headers, size) = sizes?;
    let cr = from + headers.digits + 1 + size.digits;
    let all = payload(buf, limits, ARG, cr, size.value)?;
    let (headers, payload) = all.split_at_checked(headers.value)?;
    let consumed = cr + 2 + size.value + 2;
    Some((Publish { subject, reply, headers, is_hpub: true, payload }, consumed))
}

/// The `size` bytes after the line whose CR is at `cr`, if the limits are kept and a line end follows.
#[inline]
fn payload<'a>(
    buf: &'a [u8],
    limits: &Limits,
    arg: usize,
    cr: usize,
    size: usize,
) -> Option<&'a [u8]> {
    if cr - arg > limits.max_control_line
        || (limits.max_payload >= 0 && size as u64 > limits.max_payload.unsigned_abs())
    {
        return None;
    }
    let start = cr + 2;
    let (payload, end) = buf.get(start..start + size + 2)?.split_at_checked(size)?;
    (end == [CR, LF]).then_some(payload)
}

/// The end of the word that starts at `from`, if a single blank follows. Looks at eight bytes at once,
/// so it finds none in the last few bytes of `buf`.
#[inline]
fn word_end(buf: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let word = eight(buf, at)?;
        // The high bit of each byte up to 0x20. Above the first one a borrow may tell wrongly.
        let low = word.wrapping_sub(ONES * 0x21) & !word & HIGH;
        if low != 0 {
            let end = at + low.trailing_zeros() as usize / 8;
            return (end > from && buf.get(end) == Some(&b' ')).then_some(end);
        }
        at += 8;
    }
}

#[derive(Clone, Copy)]
struct Number {
    value: usize,
    digits: usize,
    /// CR LF follows.
    ends_line: bool,
}

/// One to six digits at `from`. Publishes with longer sizes are large or hold leading zeros: both cost more
/// than the full parser does.
#[inline]
fn number(buf: &[u8], from: usize) -> Option<Number> {
    let word = eight(buf, from)?;
    // A digit has 3 in its upper half and at most 9 in its lower one.
    let values = word ^ (ONES * 0x30);
    let others = (values.wrapping_add(ONES * 0x76) | values) & HIGH;
    let bits = others.trailing_zeros() & !7;
    if !(8..=48).contains(&bits) {
        return None;
    }
    // The digits as the upper bytes, so that the last one has the least weight: then pairs, fours, eight.
    let digits = values << (64 - bits);
    let pairs = (digits.wrapping_mul(10 * 256 + 1) >> 8) & (ONES_16 * 0xff);
    let fours = (pairs.wrapping_mul(100 * 65_536 + 1) >> 16) & (ONES_32 * 0xffff);
    let value = fours.wrapping_mul(10_000 * (1 << 32) + 1) >> 32;
    Some(Number {
        value: value as usize,
        digits: bits as usize / 8,
        ends_line: (word >> bits) as u16 == u16::from_le_bytes([CR, LF]),
    })
}

/// Two numbers with a blank between them and the line end after them.
fn two_numbers(buf: &[u8], from: usize) -> Option<(Number, Number)> {
    let first = number(buf, from)?;
    let blank = from + first.digits;
    if buf.get(blank) != Some(&b' ') {
        return None;
    }
    let second = number(buf, blank + 1)?;
    second.ends_line.then_some((first, second))
}

/// Eight bytes, the first one lowest.
#[inline]
fn eight(buf: &[u8], from: usize) -> Option<u64> {
    Some(u64::from_le_bytes(buf.get(from..from + 8)?.try_into().ok()?))
}
