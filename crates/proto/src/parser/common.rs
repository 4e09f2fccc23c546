//! The common form of a publish, in one pass: upper or lower case `PUB` or `HPUB`, single blanks,
//! CR LF, and the payload all there.
//!
//! Whatever looks different (tabs, several blanks, a bare line end, sizes out of bounds, bytes that
//! have not arrived) is left to the full parser, which also finds the errors. What is found here is
//! what that parser would find.

use super::{CR, LF, Limits, Publish};

/// One 0x01 per byte.
const ONES: u64 = u64::MAX / 0xff;
/// The bit that is set for letters of lower case.
const LOWER: u8 = 0x20;

/// A complete publish at the start of `buf`, and the number of bytes that it takes.
#[inline]
pub(super) fn publish<'a>(
    buf: &'a [u8],
    limits: &Limits,
    headers: bool,
) -> Option<(Publish<'a>, usize)> {
    let [p, u, b, blank, ..] = *buf else { return None };
    let verb = [p | LOWER, u | LOWER, b | LOWER, blank];
    if verb == *b"pub " {
        return plain(buf, limits);
    }
    if headers && verb == [b'h', b'p', b'u', blank] && (blank | LOWER, *buf.get(4)?) == (b'b', b' ')
    {
        return with_headers(buf, limits);
    }
    None
}

/// `PUB subject [reply] size`.
#[inline]
fn plain<'a>(buf: &'a [u8], limits: &Limits) -> Option<(Publish<'a>, usize)> {
    const ARG: usize = 4;
    let subject_end = word_end(buf, ARG)?;
    let mut from = subject_end + 1;
    let (mut size, mut end) = number(buf, from);
    let mut reply = None;
    if size.is_none() || *buf.get(end)? != CR {
        let reply_end = word_end(buf, from)?;
        reply = Some(buf.get(from..reply_end)?);
        from = reply_end + 1;
        (size, end) = number(buf, from);
    }
    let (size, start) = (size?, end + 2);
    let framed = framed(buf, limits, ARG, end, size)?;
    let publish = Publish {
        subject: buf.get(ARG..subject_end)?,
        reply,
        headers: &[],
        is_hpub: false,
        payload: framed,
    };
    Some((publish, start + size + 2))
}

/// `HPUB subject [reply] header_size total_size`.
fn with_headers<'a>(buf: &'a [u8], limits: &Limits) -> Option<(Publish<'a>, usize)> {
    const ARG: usize = 5;
    let subject_end = word_end(buf, ARG)?;
    let mut from = subject_end + 1;
    let (mut headers, mut end) = number(buf, from);
    let (mut size, mut last) = (None, end);
    if headers.is_some() && *buf.get(end)? == b' ' {
        (size, last) = number(buf, end + 1);
    }
    let mut reply = None;
    if size.is_none() || *buf.get(last)? != CR {
        let reply_end = word_end(buf, from)?;
        reply = Some(buf.get(from..reply_end)?);
        from = reply_end + 1;
        (headers, end) = number(buf, from);
        if *buf.get(end)? != b' ' {
            return None;
        }
        (size, last) = number(buf, end + 1);
    }
    let (headers, size, start) = (headers?, size?, last + 2);
    let framed = framed(buf, limits, ARG, last, size)?;
    if headers > size {
        return None;
    }
    let (headers, payload) = framed.split_at(headers);
    let subject = buf.get(ARG..subject_end)?;
    Some((Publish { subject, reply, headers, is_hpub: true, payload }, start + size + 2))
}

/// The `size` bytes after the line whose CR is at `cr`, if the limits and line ends are kept.
#[inline]
fn framed<'a>(
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
    let line_end = buf.get(cr..cr + 2)?;
    let framed = buf.get(cr + 2..cr + 2 + size + 2)?;
    let (payload, payload_end) = framed.split_at(size);
    (line_end == [CR, LF] && payload_end == [CR, LF]).then_some(payload)
}

/// The end of the word that starts at `from`, if a single blank follows. Looks at eight bytes at once,
/// so it finds none in the last few bytes of `buf`.
#[inline]
fn word_end(buf: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let word = u64::from_le_bytes(*buf.get(at..)?.first_chunk()?);
        // The high bit of each byte up to 0x20. Above the first one a borrow may tell wrongly.
        let low = word.wrapping_sub(ONES * 0x21) & !word & (ONES * 0x80);
        if low != 0 {
            at += low.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    (at > from && buf.get(at) == Some(&b' ')).then_some(at)
}

/// Up to nine digits at `from`, and where they end.
#[inline]
fn number(buf: &[u8], from: usize) -> (Option<usize>, usize) {
    let (mut number, mut at) = (0, from);
    while let Some(digit) = buf.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        if at - from == 9 {
            return (None, at);
        }
        number = number * 10 + usize::from(digit);
        at += 1;
    }
    ((at > from).then_some(number), at)
}
