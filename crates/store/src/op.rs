//! The bodies of records other than messages.
//!
//! Numbers are unsigned LEB128 unless they are stamps (eight bytes, little endian). Runs of
//! sequences are written as the distance from the run before and the count less one.
//!
//! ```text
//! TOMBSTONE   runs
//! SECURE      sequence, segment, offset, length, headers (0 or 1), stamp, subject: a tombstone
//!             of a message whose bytes will be overwritten; tells enough to count the message
//!             if a crash tears that
//! SKIP        up to sequence, stamp     flags bit 0: the stamp counts
//! PURGE       below + 1 or 0, the filter (none with flags bit 0 clear)
//! LIMITS      max_msgs, max_bytes, max_msgs_per_subject, each + 1, 0 is unlimited
//! NOTE        kind (a byte), the owner's bytes
//! CHECKPOINT  last sequence, last stamp, limits, runs that are dead, runs that are lost,
//!             count of notes, each: kind (a byte), length, bytes
//! ROUND       the position that was durable when the round was begun, the first sequence then,
//!             the last sequence handed out (0 or missing: not known)
//! ```

use bytes::{BufMut, BytesMut};

use crate::record::kind;
use crate::{Limits, Purge, SEQ_END, SeqRange};

/// A record that is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Tombstone { ranges: Vec<SeqRange> },
    Secure(Secure<'a>),
    Skip { upto: u64, time: Option<i64> },
    Purge(Purge<'a>),
    Limits(Limits),
    Note { kind: u8, body: &'a [u8] },
    Checkpoint(Checkpoint<'a>),
    Round { durable: u64, first_seq: u64, last_seq: u64 },
}

/// A message that is removed and will be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secure<'a> {
    pub(crate) seq: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) headers: bool,
    pub(crate) time: i64,
    pub(crate) subject: &'a [u8],
}

/// The whole state at a segment's start, as far as live messages do not show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint<'a> {
    pub(crate) last_seq: u64,
    pub(crate) last_time: i64,
    pub(crate) limits: Limits,
    /// Sequences whose messages are gone although their records are still there. Sorted.
    pub(crate) dead: Vec<SeqRange>,
    pub(crate) lost: Vec<SeqRange>,
    pub(crate) notes: Vec<(u8, &'a [u8])>,
}

impl<'a> Op<'a> {
    pub(crate) fn kind(&self) -> (u8, u8) {
        match self {
            Op::Tombstone { .. } => (kind::TOMBSTONE, 0),
            Op::Secure(_) => (kind::SECURE, 0),
            Op::Skip { time, .. } => (kind::SKIP, u8::from(time.is_some())),
            Op::Purge(purge) => (kind::PURGE, u8::from(purge.filter.is_some())),
            Op::Limits(_) => (kind::LIMITS, 0),
            Op::Note { .. } => (kind::NOTE, 0),
            Op::Checkpoint(_) => (kind::CHECKPOINT, 0),
            Op::Round { .. } => (kind::ROUND, 0),
        }
    }

    pub(crate) fn put(&self, out: &mut BytesMut) {
        match self {
            Op::Tombstone { ranges } => put_ranges(out, ranges),
            Op::Secure(gone) => {
                let headers = u64::from(gone.headers);
                let place = [gone.segment, u64::from(gone.offset), u64::from(gone.len)];
                put_number(out, gone.seq);
                place.iter().chain([&headers]).for_each(|&n| put_number(out, n));
                out.put_i64_le(gone.time);
                out.put_slice(gone.subject);
            }
            Op::Skip { upto, time } => {
                put_number(out, *upto);
                out.put_i64_le(time.unwrap_or(0));
            }
            Op::Purge(purge) => {
                put_number(out, purge.below_seq.map_or(0, |n| n.saturating_add(1)));
                out.put_slice(purge.filter.unwrap_or_default());
            }
            Op::Limits(limits) => put_limits(out, limits),
            Op::Note { kind, body } => {
                out.put_u8(*kind);
                out.put_slice(body);
            }
            Op::Checkpoint(state) => {
                put_number(out, state.last_seq);
                out.put_i64_le(state.last_time);
                put_limits(out, &state.limits);
                put_ranges(out, &state.dead);
                put_ranges(out, &state.lost);
                put_number(out, state.notes.len() as u64);
                for (kind, body) in &state.notes {
                    out.put_u8(*kind);
                    put_number(out, body.len() as u64);
                    out.put_slice(body);
                }
            }
            Op::Round { durable, first_seq, last_seq } => {
                [durable, first_seq, last_seq].into_iter().for_each(|&n| put_number(out, n));
            }
        }
    }

    /// The inverse of [`Op::put`]; `None` if the body is malformed.
    pub(crate) fn parse(kind: u8, flags: u8, mut body: &'a [u8]) -> Option<Op<'a>> {
        let from = &mut body;
        Some(match kind {
            kind::TOMBSTONE => Op::Tombstone { ranges: take_ranges(from)? },
            kind::SECURE => {
                let (seq, segment) = (take_seq(from)?, take_number(from)?);
                let offset = u32::try_from(take_number(from)?).ok()?;
                let len = u32::try_from(take_number(from)?).ok()?;
                let headers = take_number(from)? != 0;
                let time = take_stamp(from)?;
                Op::Secure(Secure { seq, segment, offset, len, headers, time, subject: from })
            }
            kind::SKIP => {
                let (upto, time) = (take_seq(from)?, take_stamp(from)?);
                Op::Skip { upto, time: (flags & 1 != 0).then_some(time) }
            }
            kind::PURGE => {
                let below_seq = match take_number(from)? {
                    0 => None,
                    next => Some(next - 1).filter(|&below| below <= SEQ_END)?.into(),
                };
                Op::Purge(Purge {
                    filter: (flags & 1 != 0).then_some(*from),
                    below_seq,
                    keep: None,
                })
            }
            kind::LIMITS => Op::Limits(take_limits(from)?),
            kind::NOTE => {
                let (&kind, body) = from.split_first()?;
                Op::Note { kind, body }
            }
            kind::CHECKPOINT => {
                let (last_seq, last_time) = (take_seq(from)?, take_stamp(from)?);
                let limits = take_limits(from)?;
                let (dead, lost) = (take_ranges(from)?, take_ranges(from)?);
                let mut notes = Vec::new();
                for _ in 0..take_number(from)? {
                    let (&kind, rest) = from.split_first()?;
                    *from = rest;
                    let len = take_number(from)? as usize;
                    let (body, rest) = from.split_at_checked(len)?;
                    *from = rest;
                    notes.push((kind, body));
                }
                Op::Checkpoint(Checkpoint { last_seq, last_time, limits, dead, lost, notes })
            }
            kind::ROUND => {
                let (durable, first_seq) = (take_number(from)?, take_seq(from)?);
                let last_seq = if from.is_empty() { 0 } else { take_seq(from)? };
                Op::Round { durable, first_seq, last_seq }
            }
            _ => return None,
        })
    }
}

fn put_limits(out: &mut BytesMut, limits: &Limits) {
    for limit in [limits.max_msgs, limits.max_bytes, limits.max_msgs_per_subject] {
        put_number(out, limit.map_or(0, |n| n.saturating_add(1)));
    }
}

fn take_limits(from: &mut &[u8]) -> Option<Limits> {
    let mut limit = || take_number(from).map(|n| n.checked_sub(1));
    Some(Limits { max_msgs: limit()?, max_bytes: limit()?, max_msgs_per_subject: limit()? })
}

fn put_ranges(out: &mut BytesMut, ranges: &[SeqRange]) {
    put_number(out, ranges.len() as u64);
    let mut before = 0u64;
    for range in ranges {
        put_number(out, range.first.wrapping_sub(before));
        put_number(out, range.last - range.first);
        before = range.last;
    }
}

fn take_ranges(from: &mut &[u8]) -> Option<Vec<SeqRange>> {
    let count = take_number(from)?;
    let mut ranges = Vec::new();
    let mut before = 0u64;
    for _ in 0..count {
        let first = before.wrapping_add(take_number(from)?);
        let last = first.checked_add(take_number(from)?).filter(|&last| last <= SEQ_END)?;
        ranges.push(SeqRange { first, last });
        before = last;
    }
    Some(ranges)
}

pub(crate) fn put_number(out: &mut impl BufMut, mut n: u64) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

pub(crate) fn take_number(from: &mut &[u8]) -> Option<u64> {
    let (mut n, mut shift) = (0u64, 0);
    loop {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(n);
        }
        shift += 7;
    }
}

/// A sequence; `None` if no message can have it.
fn take_seq(from: &mut &[u8]) -> Option<u64> {
    take_number(from).filter(|&seq| seq <= SEQ_END)
}

pub(crate) fn take_stamp(from: &mut &[u8]) -> Option<i64> {
    let (stamp, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(i64::from_le_bytes(*stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_that_no_message_has_are_damage() {
        let round = |first_seq, last_seq| Op::Round { durable: 1, first_seq, last_seq };
        let range = |last| Op::Tombstone { ranges: vec![SeqRange { first: 9, last }] };
        let skip = |upto| Op::Skip { upto, time: None };
        let below = |seq| Op::Purge(Purge { below_seq: Some(seq), ..Purge::default() });
        let parses = |op: &Op<'_>| {
            let mut out = BytesMut::new();
            op.put(&mut out);
            let (kind, flags) = op.kind();
            Op::parse(kind, flags, &out).is_some()
        };
        for fine in [round(SEQ_END, SEQ_END), range(SEQ_END), skip(SEQ_END), below(SEQ_END)] {
            assert!(parses(&fine), "{fine:?}");
        }
        let far = SEQ_END + 1;
        for bad in [round(far, 1), round(1, far), range(far), skip(u64::MAX), below(far)] {
            assert!(!parses(&bad), "{bad:?}");
        }
    }

    #[test]
    fn every_operation_comes_back() {
        let range = |first, last| SeqRange { first, last };
        let limits =
            Limits { max_msgs: Some(0), max_bytes: None, max_msgs_per_subject: Some(1 << 40) };
        let ops = [
            Op::Tombstone { ranges: vec![range(9, 9), range(3, 5)] },
            Op::Secure(Secure {
                seq: 300,
                segment: 2,
                offset: 1000,
                len: 99,
                headers: true,
                time: -1,
                subject: b"a.b",
            }),
            Op::Skip { upto: 7, time: Some(-3) },
            Op::Skip { upto: 7, time: None },
            Op::Purge(Purge { filter: Some(b"a.*"), below_seq: None, keep: None }),
            Op::Purge(Purge { filter: None, below_seq: Some(0), keep: None }),
            Op::Limits(limits),
            Op::Note { kind: 3, body: b"acks" },
            Op::Checkpoint(Checkpoint {
                last_seq: 99,
                last_time: i64::MAX,
                limits,
                dead: vec![range(1, 4), range(8, 8)],
                lost: vec![range(6, 6)],
                notes: vec![(1, b"one"), (2, b"")],
            }),
            Op::Round { durable: 1 << 50, first_seq: 300, last_seq: 400 },
        ];
        for op in ops {
            let mut out = BytesMut::new();
            op.put(&mut out);
            let (kind, flags) = op.kind();
            assert_eq!(Op::parse(kind, flags, &out), Some(op.clone()));
            let open = matches!(op, Op::Note { .. } | Op::Purge(_) | Op::Secure(_));
            if !open && !matches!(op, Op::Round { .. }) {
                assert_eq!(Op::parse(kind, flags, &out[..out.len() - 1]), None);
            }
        }
    }
}
