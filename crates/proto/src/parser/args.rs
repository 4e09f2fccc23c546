//! The arguments of control lines: split at blanks, counted, sizes read.

use super::error::ParseError;
use super::{Op, ParseErrorKind};

/// A range of the caller's buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The arguments of a PUB or HPUB line.
pub(super) struct PublishArgs {
    pub(super) subject: Span,
    pub(super) reply: Option<Span>,
    pub(super) headers: usize,
    pub(super) size: usize,
}

/// Most arguments any verb takes; a fifth one is counted and otherwise dropped.
const MAX: usize = 4;

/// `subject [reply] size` or `subject [reply] header_size total_size`.
#[inline]
pub(super) fn publish(is_hpub: bool, buf: &[u8], arg: Span) -> Result<PublishArgs, ParseError> {
    let (words, count) = split(buf, arg, ends_publish_word);
    let sizes = 1 + usize::from(is_hpub);
    let refuse = |kind| Err(ParseError::argument(kind, &buf[arg.start..arg.end]));
    let reply = match count.checked_sub(sizes) {
        Some(1) => None,
        Some(2) => Some(words[1]),
        _ if is_hpub => return refuse(ParseErrorKind::HeaderPubArguments),
        _ => return refuse(ParseErrorKind::PubArguments),
    };
    let word = |at: usize| &buf[words[at].start..words[at].end];
    let size = parse_size(word(count - 1));
    if !is_hpub {
        let Some(size) = size else { return refuse(ParseErrorKind::PubSize) };
        return Ok(PublishArgs { subject: words[0], reply, headers: 0, size });
    }
    let Some(headers) = parse_size(word(count - 2)) else {
        return refuse(ParseErrorKind::HeaderSize);
    };
    let Some(size) = size else { return refuse(ParseErrorKind::TotalSize) };
    if headers > size {
        return refuse(ParseErrorKind::HeaderSizeAboveTotal);
    }
    Ok(PublishArgs { subject: words[0], reply, headers, size })
}

/// `subject [queue] sid`.
pub(super) fn sub(arg: &[u8]) -> Result<Op<'_>, ParseError> {
    let (words, count) = split(arg, Span { start: 0, end: arg.len() }, is_blank);
    let word = |at: usize| &arg[words[at].start..words[at].end];
    match count {
        2 => Ok(Op::Sub { subject: word(0), queue: None, sid: word(1) }),
        3 => Ok(Op::Sub { subject: word(0), queue: Some(word(1)), sid: word(2) }),
        _ => Err(ParseError::argument(ParseErrorKind::SubArguments, arg)),
    }
}

/// `sid [max]`.
pub(super) fn unsub(arg: &[u8]) -> Result<Op<'_>, ParseError> {
    let (words, count) = split(arg, Span { start: 0, end: arg.len() }, is_blank);
    let word = |at: usize| &arg[words[at].start..words[at].end];
    match count {
        1 => Ok(Op::Unsub { sid: word(0), max: None }),
        2 => {
            let max = parse_size(word(1)).filter(|max| *max > 0).map(|max| max as u64);
            Ok(Op::Unsub { sid: word(0), max })
        }
        _ => Err(ParseError::argument(ParseErrorKind::UnsubArguments, arg)),
    }
}

/// Splits `buf[arg]` at blanks; the second value counts all words, up to `MAX + 1`.
#[inline]
fn split(buf: &[u8], arg: Span, is_blank: fn(u8) -> bool) -> ([Span; MAX], usize) {
    let mut words = [Span::default(); MAX];
    let mut count = 0;
    let mut at = arg.start;
    let line = &buf[..arg.end];
    loop {
        while line.get(at).is_some_and(|byte| is_blank(*byte)) {
            at += 1;
        }
        if at >= line.len() {
            return (words, count);
        }
        let start = at;
        while line.get(at).is_some_and(|byte| !is_blank(*byte)) {
            at += 1;
        }
        if count == MAX {
            return (words, count + 1);
        }
        words[count] = Span { start, end: at };
        count += 1;
    }
}

/// A CR belongs to the word of a publish (nats-server 2.15.1). A LF, which only the first byte of an
/// argument can be, does there, too; here it never gets into a subject, and so into other clients' lines.
#[inline]
fn ends_publish_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Reads 1 to 9 ASCII digits; anything else is no size. Leading zeros are legal.
#[inline]
fn parse_size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0, |size: usize, byte| {
        byte.is_ascii_digit().then(|| size * 10 + usize::from(byte - b'0'))
    })
}
