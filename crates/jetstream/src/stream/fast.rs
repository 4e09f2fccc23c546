//! Fast batches: messages of one publisher that are stored as they come, acknowledged every so many
//! (ADR-50, jetstream.md 2.8.1).
//!
//! The reply subject steers: `PREFIX.ID.FLOW.GAP.SEQ.OP.$FI`. Of a batch only its counters are kept, and
//! there is a bound on the batches that are open. [`Fast`] keeps them; what is stored and answered is
//! decided in [`ingest`].

mod ingest;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::{Held, ID_MAX};
use super::publish::number;
use crate::error::ApiError;
use crate::json::write_u64;

/// What the reply subject of each message of a batch ends with.
const SUFFIX: &[u8] = b".$FI";
/// Open batches of one stream, unless configured.
const STREAM_MAX: usize = 1000;
/// Open batches of the server, unless configured.
const SERVER_MAX: usize = 50_000;
/// Messages between two acks at most, of all batches of a stream together.
const FLOW_MAX: u16 = 500;
/// … of a batch whose publisher does not say.
const FLOW: u16 = 10;

/// What a message of a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Start,
    Append,
    /// The last one, stored.
    Commit,
    /// The end after the one before.
    End,
    /// Asks how far it is.
    Ping,
}

/// What the reply subject of a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    id: &'a [u8],
    /// Messages between two acks at most.
    flow: u16,
    /// Messages that are missing do not end the batch.
    gaps: bool,
    seq: u64,
    op: Op,
}

/// Whether a reply subject is one of a fast batch.
pub(super) fn is_fast(reply: &[u8]) -> bool {
    reply.len() > SUFFIX.len() && reply.ends_with(SUFFIX)
}

impl<'a> Place<'a> {
    /// Reads a reply subject that [is one](is_fast).
    fn read(reply: &'a [u8]) -> Option<Self> {
        let mut tokens = reply.strip_suffix(SUFFIX)?.rsplit(|b| *b == b'.');
        let op = match number(tokens.next()?)? {
            0 => Op::Start,
            1 => Op::Append,
            2 => Op::Commit,
            3 => Op::End,
            4 => Op::Ping,
            _ => return None,
        };
        let seq = number(tokens.next()?).filter(|seq| (1..u64::MAX).contains(seq))?;
        let gaps = match tokens.next()? {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let flow = number(tokens.next()?).filter(|flow| *flow > 0);
        let flow = flow.map_or(FLOW, |flow| u16::try_from(flow).unwrap_or(u16::MAX));
        let id = tokens.next()?;
        // Something stands before the id, or nobody could listen.
        tokens.next()?;
        let fits = match op {
            Op::Start => seq == 1,
            Op::Append | Op::End => seq > 1,
            Op::Commit | Op::Ping => true,
        };
        fits.then_some(Self { id, flow, gaps, seq, op })
    }
}

/// A batch.
#[derive(Debug)]
struct Batch {
    /// The highest sequence of the batch so far, that of the stream with it.
    seq: u64,
    stored: u64,
    /// Up to where it was acknowledged, in whole intervals.
    told: u64,
    /// Messages between two acks, and how many its publisher wants at most.
    flow: u16,
    flow_max: u16,
    gaps: bool,
    /// Monotonic time at which it is dropped, unless another message comes.
    late: u64,
}

/// The open batches of one stream.
#[derive(Debug, Default)]
pub(super) struct Fast {
    open: HashMap<Box<[u8]>, Batch>,
    /// None is late before.
    next: Option<u64>,
}

/// An ack of a part of a batch: up to which sequence, how many to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    seq: u64,
    messages: u16,
}

impl Fast {
    /// Begins a batch.
    ///
    /// # Errors
    /// 10207, 10208 and 10211.
    fn enter(&mut self, held: &Held, now: u64, place: &Place<'_>) -> Result<&mut Batch, ApiError> {
        if place.id.len() > ID_MAX {
            return Err(ApiError::BatchPublishInvalidBatchId);
        }
        if !self.open.contains_key(place.id) {
            if place.seq != 1 || place.op == Op::Ping {
                return Err(ApiError::BatchPublishUnknownBatchId);
            }
            let crowded = self.open.len() >= held.bounds.per_stream(STREAM_MAX)
                || held.fast.get() >= held.bounds.total().unwrap_or(SERVER_MAX);
            if crowded {
                return Err(ApiError::BatchPublishTooManyInflight);
            }
            held.fast.add(1);
            let flow = if self.open.is_empty() { place.flow.min(FLOW_MAX) } else { 1 };
            let batch = Batch {
                seq: 0,
                stored: 0,
                told: 0,
                flow,
                flow_max: place.flow,
                gaps: place.gaps,
                late: 0,
            };
            self.open.insert(place.id.into(), batch);
        }
        let batch = self.open.get_mut(place.id).ok_or(ApiError::BatchPublishUnknownBatchId)?;
        batch.late = held.bounds.late(now);
        // A reload may have made the time shorter.
        self.next = Some(self.next.map_or(batch.late, |next| next.min(batch.late)));
        Ok(batch)
    }

    /// The ack that is due now, if one is; then the interval grows or shrinks.
    fn due(&mut self, id: &[u8]) -> Option<Flow> {
        let share = u16::try_from(usize::from(FLOW_MAX) / self.open.len().max(1)).unwrap_or(1);
        let batch = self.open.get_mut(id)?;
        let flow = u64::from(batch.flow);
        let steps = batch.seq.saturating_sub(batch.told) / flow;
        if steps == 0 {
            return None;
        }
        batch.told += steps * flow;
        let most = share.clamp(1, batch.flow_max);
        batch.flow = if batch.flow < most {
            batch.flow.saturating_mul(2).min(most)
        } else {
            (batch.flow / 2).max(most)
        };
        Some(Flow { seq: batch.told, messages: batch.flow })
    }

    fn close(&mut self, held: &Held, id: &[u8]) -> Option<Batch> {
        let batch = self.open.remove(id)?;
        held.fast.sub(1);
        Some(batch)
    }

    /// Drops all.
    pub(super) fn clear(&mut self, held: &Held) {
        held.fast.sub(self.open.len());
        *self = Self::default();
    }

    /// The disk did not take messages behind the sequence `before` of the stream: the batches that they
    /// belong to are over, as their publishers hear.
    pub(super) fn refuse(&mut self, held: &Held, before: u64) {
        let all = self.open.len();
        self.open.retain(|_, batch| batch.stored < before);
        held.fast.sub(all - self.open.len());
    }

    /// Drops those whose publishers are silent.
    pub(super) fn expire(&mut self, held: &Held, now: u64) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let all = self.open.len();
        self.open.retain(|_, batch| batch.late > now);
        held.fast.sub(all - self.open.len());
        self.next = self.open.values().map(|batch| batch.late).min();
    }

    /// When [`expire`](Self::expire) may have something to do.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.next
    }
}

/// How many batches are open in the server.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, more: usize) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn sub(&self, fewer: usize) {
        self.0.fetch_sub(fewer, Ordering::Relaxed);
    }
}

/// `{"type":"ack","seq":10,"msgs":10}`
fn ack_body(flow: Flow) -> Vec<u8> {
    let mut out = b"{\"type\":\"ack\",\"seq\":".to_vec();
    write_u64(&mut out, flow.seq);
    out.extend_from_slice(b",\"msgs\":");
    write_u64(&mut out, flow.messages.into());
    out.push(b'}');
    out
}

/// `{"type":"gap","last_seq":3,"seq":5}`: 3 was to come, and 5 came.
fn gap_body(expected: u64, seq: u64) -> Vec<u8> {
    let mut out = b"{\"type\":\"gap\",\"last_seq\":".to_vec();
    write_u64(&mut out, expected);
    out.extend_from_slice(b",\"seq\":");
    write_u64(&mut out, seq);
    out.push(b'}');
    out
}

/// `{"type":"err","seq":2,"error":{…}}`
fn error_body(seq: u64, error: &ApiError) -> Vec<u8> {
    let mut out = b"{\"type\":\"err\",\"seq\":".to_vec();
    write_u64(&mut out, seq);
    out.extend_from_slice(b",\"error\":");
    // Serializing into a Vec cannot fail.
    let _ = serde_json::to_writer(&mut out, error);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::super::batch::IDLE_MAX;
    use super::*;
    use crate::options::BatchLimits;

    #[test]
    fn reply_subjects_say_where_a_message_belongs() {
        let place = |id, flow, gaps, seq, op| Some(Place { id, flow, gaps, seq, op });
        for (reply, expected) in [
            ("_INBOX.a.b.10.ok.1.0.$FI", place(b"b", 10, true, 1, Op::Start)),
            ("_INBOX.a.b.100.fail.2.1.$FI", place(b"b", 100, false, 2, Op::Append)),
            ("p.b.99999.fail.1.2.$FI", place(b"b", u16::MAX, false, 1, Op::Commit)),
            ("p.b.0.ok.2.3.$FI", place(b"b", FLOW, true, 2, Op::End)),
            ("p.b.x.ok.7.4.$FI", place(b"b", FLOW, true, 7, Op::Ping)),
            ("p.b.1.ok.2.0.$FI", None),
            ("p.b.1.ok.1.1.$FI", None),
            ("p.b.1.ok.1.3.$FI", None),
            ("p.b.1.ok.0.4.$FI", None),
            ("p.b.1.ok.18446744073709551615.1.$FI", None),
            ("p.b.1.maybe.2.1.$FI", None),
            ("p.b.1.ok.2.5.$FI", None),
            ("p.b.1.ok.x.1.$FI", None),
            ("1.ok.2.1.$FI", None),
            ("x.$FI", None),
        ] {
            assert!(is_fast(reply.as_bytes()), "{reply}");
            assert_eq!(Place::read(reply.as_bytes()), expected, "{reply}");
        }
        assert!(!is_fast(b".$FI") && !is_fast(b"a.b") && !is_fast(b""));
    }

    fn start<'a>(id: &'a [u8], flow: u16) -> Place<'a> {
        Place { id, flow, gaps: true, seq: 1, op: Op::Start }
    }

    #[test]
    fn the_interval_follows_the_wish_and_the_number_of_batches() {
        let (mut fast, held) = (Fast::default(), Held::default());
        fast.enter(&held, 0, &start(b"a", 900)).unwrap();
        assert_eq!(fast.open[&b"a"[..]].flow, FLOW_MAX);
        fast.enter(&held, 0, &start(b"b", 7)).unwrap();
        let mut told = Vec::new();
        for seq in 1..=14 {
            fast.open.get_mut(&b"b"[..]).unwrap().seq = seq;
            told.extend(fast.due(b"b").map(|flow| (flow.seq, flow.messages)));
        }
        assert_eq!(told, [(1, 2), (3, 4), (7, 7), (14, 7)]);
        fast.open.get_mut(&b"a"[..]).unwrap().seq = 1100;
        assert_eq!(fast.due(b"a"), Some(Flow { seq: 1000, messages: 250 }));
        assert_eq!(fast.due(b"a"), None);
    }

    #[test]
    fn configured_limits_are_kept() {
        let (mut fast, mut other, held) = <(Fast, Fast, Held)>::default();
        let (per_stream, total, timeout_ns) = (Some(2), Some(3), Some(100));
        held.bounds.set(&BatchLimits { per_stream, total, messages: Some(1), timeout_ns });
        fast.enter(&held, 0, &start(b"a", 1)).unwrap();
        fast.enter(&held, 7, &start(b"b", 1)).unwrap();
        let crowded = ApiError::BatchPublishTooManyInflight;
        assert_eq!(fast.enter(&held, 7, &start(b"c", 1)).unwrap_err(), crowded);
        other.enter(&held, 7, &start(b"a", 1)).unwrap();
        assert_eq!(other.enter(&held, 7, &start(b"b", 1)).unwrap_err(), crowded);
        assert_eq!(fast.next_deadline(), Some(100));
        fast.expire(&held, 100);
        assert_eq!((fast.open.len(), fast.next_deadline()), (1, Some(107)));
        other.enter(&held, 8, &start(b"b", 1)).unwrap();
    }

    #[test]
    fn what_is_open_is_bounded_and_silence_ends_it() {
        let (mut fast, held) = (Fast::default(), Held::default());
        for at in 0..STREAM_MAX {
            fast.enter(&held, at as u64, &start(&at.to_le_bytes(), 1)).unwrap();
        }
        let refused = fast.enter(&held, 5, &start(b"more", 1)).unwrap_err();
        assert_eq!(refused, ApiError::BatchPublishTooManyInflight);
        let late = Place { seq: 2, op: Op::Append, ..start(b"other", 1) };
        assert_eq!(fast.enter(&held, 5, &late).unwrap_err(), ApiError::BatchPublishUnknownBatchId);
        fast.enter(&held, 2000, &start(&7_usize.to_le_bytes(), 1)).unwrap();
        assert_eq!(fast.next_deadline(), Some(IDLE_MAX));
        fast.expire(&held, IDLE_MAX + 499);
        assert_eq!((fast.open.len(), held.fast.get()), (501, 501));
        assert_eq!(fast.next_deadline(), Some(IDLE_MAX + 500));
        fast.clear(&held);
        assert_eq!(held.fast.get(), 0);
        fast.enter(&held, 0, &start(b"long", 1)).unwrap().stored = 9;
        fast.refuse(&held, 10);
        assert_eq!(held.fast.get(), 1);
        fast.refuse(&held, 9);
        assert_eq!(held.fast.get(), 0);
        let id = [b'x'; 65];
        let refused = fast.enter(&held, 0, &start(&id, 1)).unwrap_err();
        assert_eq!(refused, ApiError::BatchPublishInvalidBatchId);
    }
}
