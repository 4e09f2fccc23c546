//! Bytes to operations.
//!
//! The caller keeps the bytes that it has read and has not used up, hands them to [`Parser::next`],
//! and drops `consumed` bytes after each operation. Operations borrow from the caller's buffer. While an
//! operation is incomplete the parser remembers how far it looked, so that bytes which trickle in one
//! by one cost no more than all at once.
//!
//! The parser knows the grammar and the two limits that the grammar itself enforces, nothing about
//! the session: whether a CONNECT was needed first, whether a subject is valid or permitted.
//!
//! Tolerances are those of nats-server 2.15.1. Two oddities are kept because they can be observed: the
//! first byte after the blanks that follow a verb belongs to the argument even if it is a line end, and
//! a wrong verb is refused at its first wrong byte, before the line is complete. One is not: what
//! follows `PING`, and blanks after a verb, count against `max_control_line`, since they are kept in
//! memory.

mod args;
mod common;
mod error;
mod verb;

pub use error::{ParseError, ParseErrorKind};

use args::Span;
use verb::Verb;

/// What a parser refuses by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest argument of a control line in bytes: after verb and blanks, before the line end.
    pub max_control_line: usize,
    /// Largest publish in bytes, headers and body; negative for no limit.
    pub max_payload: i64,
}

impl Default for Limits {
    /// 4096 and 1048576 bytes, the defaults of nats-server.
    fn default() -> Self {
        Self { max_control_line: 4096, max_payload: 1024 * 1024 }
    }
}

/// What [`Parser::next`] found at the start of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A complete operation.
    Op {
        /// The operation, borrowing from the buffer.
        op: Op<'a>,
        /// Number of bytes it took; drop them before the next call.
        consumed: usize,
    },
    /// The operation is incomplete; call again with the same bytes and more.
    Need {
        /// Total length of the buffer below which another call is pointless. Exact once the line of a
        /// PUB or HPUB is complete (the whole operation then has this length), else one byte more.
        at_least: usize,
    },
}

/// An operation that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// `CONNECT {json}`; see [`Connect::parse`](crate::Connect::parse).
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Pub(Publish<'a>),
    /// `SUB subject [queue] sid`.
    Sub {
        /// Subject, not validated.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
        /// The client's id of the subscription: any bytes without blanks.
        sid: &'a [u8],
    },
    /// `UNSUB sid [max]`.
    Unsub {
        /// The client's id of the subscription.
        sid: &'a [u8],
        /// Deliveries after which to unsubscribe; `None` (absent, 0 or no number) means at once.
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `INFO {json}`; a client's is checked by [`Info::parse`](crate::Info::parse) and ignored.
    Info(&'a [u8]),
    /// `+OK`; ignored.
    Ok,
    /// `-ERR text`: the client complains; the server logs `Client Error text` and closes with
    /// [`ClosedReason::ParseError`](crate::ClosedReason::ParseError).
    Err(&'a [u8]),
}

/// A message to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Subject, not validated.
    pub subject: &'a [u8],
    /// Reply subject, not validated.
    pub reply: Option<&'a [u8]>,
    /// Raw header block; empty for PUB and for an HPUB with a header size of 0. Not validated.
    pub headers: &'a [u8],
    /// Whether the verb was HPUB.
    pub is_hpub: bool,
    /// The body, without headers.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// Size in bytes as limits count it: headers and body.
    #[must_use]
    pub fn size(&self) -> usize {
        self.headers.len() + self.payload.len()
    }
}

/// An incremental parser of one connection's bytes. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    headers: bool,
    /// Where the argument of the incomplete line starts; 0 while unknown.
    arg: usize,
    /// Bytes of the incomplete line that are known to hold no end of what is looked for.
    scanned: usize,
    /// The line of a publish whose payload is still arriving.
    pending: Option<Head>,
}

/// The parsed line of a PUB or HPUB, as positions in the caller's buffer.
#[derive(Debug, Clone, Copy)]
struct Head {
    subject: Span,
    reply: Option<Span>,
    is_hpub: bool,
    /// Where the payload starts, headers first.
    start: usize,
    headers: usize,
    size: usize,
}

const CR: u8 = b'\r';
const LF: u8 = b'\n';

impl Parser {
    /// A parser at the start of a stream of operations.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, headers: true, arg: 0, scanned: 0, pending: None }
    }

    /// Changes the limits; lines that are complete already are not looked at again.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether HPUB is accepted (the default). When headers were not negotiated, refusing it here,
    /// before its payload, is what the reference server does.
    pub fn allow_headers(&mut self, allow: bool) {
        self.headers = allow;
    }

    /// Forgets an incomplete operation: the next call starts afresh at the start of its buffer.
    pub fn reset(&mut self) {
        self.arg = 0;
        self.scanned = 0;
        self.pending = None;
    }

    /// A publish of the common form at the start of `buf`, if it is all there, and the number of bytes
    /// it took: the short way for the operation that matters. `None` says nothing; ask
    /// [`next`](Self::next) then, which finds the same publish.
    #[inline]
    pub fn next_publish<'a>(&self, buf: &'a [u8]) -> Option<(Publish<'a>, usize)> {
        if self.pending.is_some() || self.scanned != 0 {
            return None;
        }
        common::publish(buf, &self.limits, self.headers)
    }

    /// Looks for one operation at the start of `buf`.
    ///
    /// After [`Step::Need`] the next `buf` must start with the same bytes, unless [`reset`](Self::reset)
    /// was called; after [`Step::Op`] it starts `consumed` bytes further.
    ///
    /// # Errors
    /// The bytes break the grammar or a limit. The connection is to be closed; see [`ParseError`].
    pub fn next<'a>(&mut self, buf: &'a [u8]) -> Result<Step<'a>, ParseError> {
        if let Some(head) = self.pending {
            return self.payload(head, buf);
        }
        let verb = match verb::recognize(buf) {
            verb::Found::Verb(verb) => verb,
            verb::Found::Partial => return Ok(Step::Need { at_least: buf.len() + 1 }),
            verb::Found::Wrong { state, at } => return Err(ParseError::protocol(state, at, buf)),
        };
        if let Verb::Ping | Verb::Pong | Verb::Ok = verb {
            return self.bare(verb, buf);
        }
        let Some(line) = self.line(verb, buf)? else {
            return Ok(Step::Need { at_least: buf.len() + 1 });
        };
        let arg = &buf[line.arg.start..line.arg.end];
        let op = match verb {
            Verb::Pub | Verb::Hpub => {
                let head = self.head(verb, buf, line)?;
                self.arg = 0;
                self.scanned = 0;
                return self.payload(head, buf);
            }
            Verb::Sub => args::sub(arg)?,
            Verb::Unsub => args::unsub(arg)?,
            Verb::Connect => Op::Connect(arg),
            Verb::Info => Op::Info(arg),
            Verb::Err => Op::Err(arg),
            Verb::Ping | Verb::Pong | Verb::Ok => return self.bare(verb, buf),
        };
        self.arg = 0;
        self.scanned = 0;
        Ok(Step::Op { op, consumed: line.next })
    }

    /// `PING`, `PONG` and `+OK`: whatever follows up to the line end is ignored.
    fn bare<'a>(&mut self, verb: Verb, buf: &'a [u8]) -> Result<Step<'a>, ParseError> {
        let start = verb.len();
        let from = self.scanned.clamp(start, buf.len());
        let found = memchr::memchr(LF, &buf[from..]);
        let end = found.map_or(buf.len(), |at| from + at);
        // One more than the limit, for the CR.
        if end - start > self.limits.max_control_line.saturating_add(1) {
            return Err(ParseError::max_control_line());
        }
        if found.is_none() {
            self.scanned = buf.len();
            return Ok(Step::Need { at_least: buf.len() + 1 });
        }
        self.scanned = 0;
        let op = match verb {
            Verb::Ping => Op::Ping,
            Verb::Pong => Op::Pong,
            _ => Op::Ok,
        };
        Ok(Step::Op { op, consumed: end + 1 })
    }

    /// Finds the argument of a control line, or remembers how far it has come.
    fn line(&mut self, verb: Verb, buf: &[u8]) -> Result<Option<Line>, ParseError> {
        if self.arg == 0 {
            let start = verb.len();
            let mut at = self.scanned.clamp(start, buf.len());
            while let Some(b' ' | b'\t') = buf.get(at) {
                at += 1;
            }
            if at - start > self.limits.max_control_line {
                return Err(ParseError::max_control_line());
            }
            if at == buf.len() {
                self.scanned = at;
                return Ok(None);
            }
            if at == start && verb.needs_blank() {
                return Err(ParseError::protocol(verb.end_state(), at, buf));
            }
            self.arg = at;
            // The first byte is never looked at: even a line end is part of the argument here.
            self.scanned = at + 1;
        }
        let start = self.arg;
        let from = self.scanned.min(buf.len());
        let found = memchr::memchr(LF, &buf[from..]);
        let next = found.map_or(buf.len(), |at| from + at);
        // A CR anywhere behind the first byte takes the last byte off (nats-server 2.15.1).
        let has_cr = |line: &[u8]| line.last() == Some(&CR) || line.contains(&CR);
        let end = if buf.get(start + 1..next).is_some_and(has_cr) { next - 1 } else { next };
        if end.saturating_sub(start) > self.limits.max_control_line {
            return Err(ParseError::max_control_line());
        }
        if found.is_none() {
            self.scanned = buf.len();
            return Ok(None);
        }
        Ok(Some(Line { arg: Span { start, end }, next: next + 1 }))
    }

    /// Parses the line of a publish and checks its size, before any payload is waited for.
    fn head(&self, verb: Verb, buf: &[u8], line: Line) -> Result<Head, ParseError> {
        let is_hpub = verb == Verb::Hpub;
        if is_hpub && !self.headers {
            return Err(ParseError::headers_not_supported());
        }
        let sizes = args::publish(is_hpub, buf, line.arg)?;
        let max = self.limits.max_payload;
        if max >= 0 && sizes.size as u64 > max.unsigned_abs() {
            return Err(ParseError::max_payload(sizes.size, max));
        }
        Ok(Head {
            subject: sizes.subject,
            reply: sizes.reply,
            is_hpub,
            start: line.next,
            headers: sizes.headers,
            size: sizes.size,
        })
    }

    /// Yields the publish when its payload and the line end after it are there.
    fn payload<'a>(&mut self, head: Head, buf: &'a [u8]) -> Result<Step<'a>, ParseError> {
        let end = head.start + head.size;
        match (buf.get(end), buf.get(end + 1)) {
            (Some(&CR), Some(&LF)) => {}
            (Some(&CR), Some(_)) => {
                return Err(ParseError::protocol(verb::STATE_PAYLOAD_LF, end + 1, buf));
            }
            (None | Some(&CR), None) => {
                self.pending = Some(head);
                return Ok(Step::Need { at_least: end + 2 });
            }
            _ => return Err(ParseError::protocol(verb::STATE_PAYLOAD_CR, end, buf)),
        }
        self.pending = None;
        let body = head.start + head.headers;
        let publish = Publish {
            subject: &buf[head.subject.start..head.subject.end],
            reply: head.reply.map(|reply| &buf[reply.start..reply.end]),
            headers: &buf[head.start..body],
            is_hpub: head.is_hpub,
            payload: &buf[body..end],
        };
        Ok(Step::Op { op: Op::Pub(publish), consumed: end + 2 })
    }
}

/// A complete control line.
#[derive(Debug, Clone, Copy)]
struct Line {
    arg: Span,
    /// Where the bytes after the line start.
    next: usize,
}
