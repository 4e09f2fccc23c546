//! What a consumer writes into its stream's log, and how that is read back.
//!
//! A note is a run of operations in the order in which they happened, each an opcode and varints.
//! Recovery applies them through the same functions that made them, so replay gives the same state.
//! Deliveries and acks are runs of sequences; an ack commutes with later deliveries, so a batch of
//! interleaved deliveries and acks is two runs. Times are microseconds since 1970.

use natterjack_store::SEQ_END;

use super::state::{Pair, State};

/// Opcodes. Permanent: they are on disk.
mod op {
    /// The whole state: `next`, last delivered, consumer sequence, floor pair, times, pending, exhausted, list.
    pub(super) const SNAPSHOT: u8 = 1;
    /// First deliveries: stream seq, consumer seq, count, time.
    pub(super) const DELIVERED: u8 = 2;
    /// Settled one by one: stream seq, count, time.
    pub(super) const SETTLED: u8 = 3;
    /// A redelivery: stream seq, time.
    pub(super) const AGAIN: u8 = 4;
    /// Settled with everything below: stream seq, consumer seq, time.
    pub(super) const THROUGH: u8 = 5;
    /// Waits for redelivery: stream seq.
    pub(super) const QUEUED: u8 = 6;
    /// A wait began anew: stream seq, time.
    pub(super) const TOUCHED: u8 = 7;
    /// Ran out of deliveries: stream seq.
    pub(super) const EXHAUSTED: u8 = 8;
    /// Everything below is gone: stream seq of the new first message, time.
    pub(super) const PURGED: u8 = 9;
    /// Start again: next stream seq.
    pub(super) const RESET: u8 = 10;
}

/// The longest run; a longer one is damage.
const RUN_MAX: u64 = 1 << 16;

/// A note that this version cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("consumer state record is damaged or from a newer version")]
pub struct BadNote;

#[derive(Debug, Clone, Copy, Default)]
struct Run {
    seq: u64,
    cseq: u64,
    count: u64,
    at: u64,
}

/// The operations since the last note.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// False for memory consumers and during recovery: nothing is recorded.
    pub on: bool,
    /// The next note is the whole state: what happens until then need not be recorded.
    whole: bool,
    body: Vec<u8>,
    delivered: Run,
    settled: Run,
}

impl Notes {
    /// The record, if anything happened.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.flush();
        (!self.body.is_empty()).then(|| std::mem::take(&mut self.body))
    }

    /// Forgets what was recorded: the next note is to be the whole state. For as long as it cannot be
    /// written nothing more is kept here.
    pub(crate) fn condense(&mut self) {
        *self = Self { on: self.on, whole: self.on, ..Self::default() };
    }

    /// True when the next note is to be [the whole state](encode_snapshot); it is taken so.
    pub(crate) fn take_whole(&mut self) -> bool {
        std::mem::take(&mut self.whole)
    }

    /// True when there is a record to be taken.
    pub(crate) fn waiting(&self) -> bool {
        self.whole || !self.body.is_empty() || self.delivered.count > 0 || self.settled.count > 0
    }

    /// Bytes that wait, but for the open runs.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn delivered(&mut self, seq: u64, cseq: u64, unix_ns: i64) {
        if !self.on || self.whole {
            return;
        }
        let run = &mut self.delivered;
        let follows = run.seq + run.count == seq && run.cseq + run.count == cseq;
        if (1..RUN_MAX).contains(&run.count) && follows {
            run.count += 1;
            return;
        }
        // The floor after the open acks depends on what was delivered before them.
        self.flush();
        self.delivered = Run { seq, cseq, count: 1, at: micros(unix_ns) };
    }

    pub(crate) fn settled(&mut self, seq: u64, unix_ns: i64) {
        if !self.on || self.whole {
            return;
        }
        let at = micros(unix_ns);
        let run = &mut self.settled;
        let follows = run.seq + run.count == seq;
        if (1..RUN_MAX).contains(&run.count) && follows {
            run.count += 1;
            run.at = at;
            return;
        }
        if run.count > 0 {
            self.flush();
        }
        self.settled = Run { seq, cseq: 0, count: 1, at };
    }

    pub(crate) fn again(&mut self, seq: u64, unix_ns: i64) {
        self.plain(op::AGAIN, &[seq, micros(unix_ns)]);
    }

    pub(crate) fn through(&mut self, seq: u64, cseq: u64, unix_ns: i64) {
        self.plain(op::THROUGH, &[seq, cseq, micros(unix_ns)]);
    }

    pub(crate) fn queued(&mut self, seq: u64) {
        self.plain(op::QUEUED, &[seq]);
    }

    pub(crate) fn touched(&mut self, seq: u64, unix_ns: i64) {
        self.plain(op::TOUCHED, &[seq, micros(unix_ns)]);
    }

    pub(crate) fn exhausted(&mut self, seq: u64) {
        self.plain(op::EXHAUSTED, &[seq]);
    }

    pub(crate) fn purged(&mut self, first: u64, unix_ns: i64) {
        self.plain(op::PURGED, &[first, micros(unix_ns)]);
    }

    pub(crate) fn reset(&mut self, next: u64) {
        self.plain(op::RESET, &[next]);
    }

    /// Replaces whatever was recorded by the whole state.
    pub(crate) fn snapshot(&mut self, state: &State) {
        if self.on {
            *self = Self { on: true, body: encode_snapshot(state), ..Self::default() };
        }
    }

    fn plain(&mut self, op: u8, values: &[u64]) {
        if !self.on || self.whole {
            return;
        }
        self.flush();
        self.body.push(op);
        for value in values {
            varint(&mut self.body, *value);
        }
    }

    /// Writes the open runs. What was settled may have been delivered in the other run, which
    /// therefore goes first.
    fn flush(&mut self) {
        let run = std::mem::take(&mut self.delivered);
        if run.count > 0 {
            self.body.push(op::DELIVERED);
            for value in [run.seq, run.cseq, run.count, run.at] {
                varint(&mut self.body, value);
            }
        }
        let run = std::mem::take(&mut self.settled);
        if run.count > 0 {
            self.body.push(op::SETTLED);
            for value in [run.seq, run.count, run.at] {
                varint(&mut self.body, value);
            }
        }
    }
}

fn micros(unix_ns: i64) -> u64 {
    unix_ns.max(0).unsigned_abs() / 1_000
}

fn nanos(micros: u64) -> i64 {
    i64::try_from(micros.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads varints off a body.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, BadNote> {
        let (first, rest) = self.0.split_first().ok_or(BadNote)?;
        self.0 = rest;
        Ok(*first)
    }

    fn value(&mut self) -> Result<u64, BadNote> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(BadNote);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadNote)
    }

    fn array<const N: usize>(&mut self) -> Result<[u64; N], BadNote> {
        let mut values = [0; N];
        for value in &mut values {
            *value = self.value()?;
        }
        Ok(values)
    }

    /// A count of elements that take at least a byte each.
    fn count(&mut self) -> Result<u64, BadNote> {
        let count = self.value()?;
        if count > self.0.len() as u64 { Err(BadNote) } else { Ok(count) }
    }
}

/// The whole state as a note of its own.
pub(crate) fn encode_snapshot(state: &State) -> Vec<u8> {
    let mut out = vec![op::SNAPSHOT];
    // What was skipped since the last delivery is not kept: the filters may change meanwhile.
    for value in [
        state.last.saturating_add(1),
        state.last,
        state.consumer_seq,
        state.floor.consumer,
        state.floor.stream,
        micros(state.last_delivered),
        micros(state.last_acked),
        state.pending.len() as u64,
    ] {
        varint(&mut out, value);
    }
    let (mut seq, mut cseq) = (0, 0);
    for entry in state.pending.iter() {
        varint(&mut out, entry.seq - seq);
        // Consumer sequences grow with stream sequences; a damaged record may have broken that.
        varint(&mut out, entry.cseq.wrapping_sub(cseq));
        varint(&mut out, micros(state.unix(entry.at)));
        varint(&mut out, u64::from(entry.count) << 1 | u64::from(entry.is_queued()));
        (seq, cseq) = (entry.seq, entry.cseq);
    }
    varint(&mut out, state.exhausted.len() as u64);
    let mut seq = 0;
    for (exhausted, count) in &state.exhausted {
        varint(&mut out, exhausted - seq);
        varint(&mut out, u64::from(*count));
        seq = *exhausted;
    }
    varint(&mut out, state.list_end);
    varint(&mut out, state.list.len() as u64);
    let mut seq = 0;
    for listed in &state.list {
        varint(&mut out, listed - seq);
        seq = *listed;
    }
    out
}

/// Applies a note to `state`. On an error the state holds what came before the damage.
pub(crate) fn apply(state: &mut State, body: &[u8]) -> Result<(), BadNote> {
    let mut reader = Reader(body);
    while !reader.0.is_empty() {
        match reader.byte()? {
            op::SNAPSHOT => read_snapshot(state, &mut reader)?,
            op::DELIVERED => {
                let [seq, cseq, count, at] = reader.array()?;
                if count > RUN_MAX || seq.max(cseq) > SEQ_END {
                    return Err(BadNote);
                }
                state.consumer_seq = cseq.saturating_sub(1);
                for index in 0..count {
                    state.deliver(seq.saturating_add(index), nanos(at));
                }
            }
            op::SETTLED => {
                let [seq, count, at] = reader.array()?;
                if count > RUN_MAX {
                    return Err(BadNote);
                }
                for index in 0..count {
                    state.settle(seq.saturating_add(index), nanos(at));
                }
            }
            op::AGAIN => {
                let [seq, at] = reader.array()?;
                state.queue(seq);
                state.deliver_again(seq, nanos(at));
            }
            op::THROUGH => {
                let [seq, cseq, at] = reader.array()?;
                state.settle_through(seq, cseq, nanos(at));
            }
            op::QUEUED => {
                let [seq] = reader.array()?;
                state.queue(seq);
            }
            op::TOUCHED => {
                let [seq, at] = reader.array()?;
                state.touch(seq, nanos(at));
            }
            op::EXHAUSTED => {
                let [seq] = reader.array()?;
                state.exhaust(seq);
            }
            op::PURGED => {
                let [first, at] = reader.array()?;
                state.purge(first, nanos(at));
            }
            op::RESET => {
                let [next] = reader.array()?;
                if next > SEQ_END {
                    return Err(BadNote);
                }
                state.reset(next);
            }
            _ => return Err(BadNote),
        }
    }
    Ok(())
}

fn read_snapshot(state: &mut State, reader: &mut Reader<'_>) -> Result<(), BadNote> {
    let [next, last, consumer_seq, floor_consumer, floor_stream, delivered, acked] =
        reader.array()?;
    // What is handed out later must fit, too.
    if [next, last, consumer_seq, floor_consumer, floor_stream].iter().any(|seq| *seq > SEQ_END) {
        return Err(BadNote);
    }
    state.reset(next);
    state.last = last;
    state.consumer_seq = consumer_seq;
    state.floor = Pair { consumer: floor_consumer, stream: floor_stream };
    state.last_delivered = nanos(delivered);
    state.last_acked = nanos(acked);
    let (mut seq, mut cseq) = (0_u64, 0_u64);
    for _ in 0..reader.count()? {
        let [seq_step, cseq_step, at, count] = reader.array()?;
        seq = seq.checked_add(seq_step).ok_or(BadNote)?;
        cseq = cseq.wrapping_add(cseq_step);
        let at = state.mono(nanos(at));
        let deliveries = u32::try_from(count >> 1).map_err(|_| BadNote)?;
        // What was not delivered waits for no ack, and would lift the floor.
        if seq <= last {
            state.pending.add(seq, cseq.min(consumer_seq), at, deliveries);
            if count & 1 == 1 {
                state.queue(seq);
            }
        }
    }
    let mut seq = 0_u64;
    for _ in 0..reader.count()? {
        let [step, count] = reader.array()?;
        seq = seq.checked_add(step).ok_or(BadNote)?;
        state.exhausted.insert(seq, u32::try_from(count).map_err(|_| BadNote)?);
    }
    state.list_end = reader.value()?;
    let mut seq = 0_u64;
    for _ in 0..reader.count()? {
        seq = seq.checked_add(reader.value()?).ok_or(BadNote)?;
        state.list.push_back(seq);
    }
    Ok(())
}
