//! What a consumer has delivered and what is settled: the state that survives a restart.
//!
//! Each function here is one step of the state machine. It records itself as a note, and recovery
//! calls the same function, so that replay gives the same state.

use std::collections::{BTreeMap, VecDeque};

use super::claims::Released;
use super::config::AckPolicy;
use super::notes::Notes;
use super::pending::{Entry, Pending, Waits};
use super::removed::Removed;
use crate::time::Now;

/// A consumer sequence with a stream sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pair {
    pub consumer: u64,
    pub stream: u64,
}

/// What [`State::settle`] found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settled {
    /// It was delivered and open.
    Open(Entry),
    /// It had run out of deliveries; the ack came late.
    Exhausted,
    /// It was settled before.
    Before,
}

/// Positions, pending messages and the redelivery queue.
#[derive(Debug)]
pub(crate) struct State {
    pub policy: AckPolicy,
    /// The next stream sequence to consider.
    pub next: u64,
    /// The stream sequence of the last first delivery, or what is before the start.
    pub last: u64,
    /// The last consumer sequence given out.
    pub consumer_seq: u64,
    /// Everything at or below is settled.
    pub floor: Pair,
    pub pending: Pending,
    /// Messages that wait for redelivery, in order; entries that are settled meanwhile are stale.
    pub queue: VecDeque<u64>,
    /// Messages that left the pending table at `max_deliver`, with their deliveries.
    pub exhausted: BTreeMap<u64, u32>,
    /// What is left of the start list of `last_per_subject`, ascending.
    pub list: VecDeque<u64>,
    /// The stream's last sequence when the list was made; 0 without a list.
    pub list_end: u64,
    /// Wall clock of the last delivery and the last ack; 0 for none.
    pub last_delivered: i64,
    pub last_acked: i64,
    pub notes: Notes,
    /// What was settled and may be removed, where the stream asks for it.
    pub released: Released,
    /// Wall clock minus monotonic clock, as of the last input.
    offset: i64,
}

impl State {
    pub(crate) fn new(policy: AckPolicy, waits: Waits, now: Now) -> Self {
        let mut state = Self {
            policy,
            next: 1,
            last: 0,
            consumer_seq: 0,
            floor: Pair::default(),
            pending: Pending::new(waits),
            queue: VecDeque::new(),
            exhausted: BTreeMap::new(),
            list: VecDeque::new(),
            list_end: 0,
            last_delivered: 0,
            last_acked: 0,
            notes: Notes::default(),
            released: Released::default(),
            offset: 0,
        };
        state.clock(now);
        state
    }

    /// Tells the time of the input that is handled next.
    pub(crate) fn clock(&mut self, now: Now) {
        self.offset = now.unix_ns.saturating_sub(i64::try_from(now.mono_ns).unwrap_or(i64::MAX));
    }

    /// A monotonic time as wall clock.
    pub(crate) fn unix(&self, mono: i64) -> i64 {
        mono.saturating_add(self.offset)
    }

    /// A wall clock time as monotonic; negative before this process started.
    pub(crate) fn mono(&self, unix_ns: i64) -> i64 {
        unix_ns.saturating_sub(self.offset)
    }

    /// The last sequences delivered. What was skipped since does not count (nats-server 2.15.1).
    pub(crate) fn delivered(&self) -> Pair {
        Pair { consumer: self.consumer_seq, stream: self.last }
    }

    /// Messages that were delivered more than once and are still open.
    pub(crate) fn redelivered(&self) -> usize {
        self.pending.redelivered() + self.exhausted.values().filter(|count| **count > 1).count()
    }

    /// Delivers `seq` for the first time. Returns the consumer sequence.
    pub(crate) fn deliver(&mut self, seq: u64, unix_ns: i64) -> u64 {
        self.consumer_seq += 1;
        self.next = self.next.max(seq.saturating_add(1));
        self.last = self.last.max(seq);
        self.last_delivered = unix_ns;
        while self.list.front().is_some_and(|front| *front <= seq) {
            self.list.pop_front();
        }
        if self.policy == AckPolicy::None {
            self.floor = Pair { consumer: self.consumer_seq, stream: seq };
            self.released.push(seq, seq);
        } else {
            self.pending.add(seq, self.consumer_seq, self.mono(unix_ns), 1);
        }
        self.notes.delivered(seq, self.consumer_seq, unix_ns);
        self.consumer_seq
    }

    /// Delivers a queued message again.
    pub(crate) fn deliver_again(&mut self, seq: u64, unix_ns: i64) {
        self.consumer_seq += 1;
        self.last_delivered = unix_ns;
        self.pending.deliver_again(seq, self.mono(unix_ns));
        if self.queue.front() == Some(&seq) {
            self.queue.pop_front();
        }
        self.notes.again(seq, unix_ns);
    }

    /// Moves on without delivering. Not recorded: recovery searches the same stretch again.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Settles one message.
    pub(crate) fn settle(&mut self, seq: u64, unix_ns: i64) -> Settled {
        let lowest = self.pending.first().map(|first| first.seq);
        let settled = match self.pending.settle(seq) {
            Some(entry) => Settled::Open(entry),
            None if self.exhausted.remove(&seq).is_some() => Settled::Exhausted,
            None => return Settled::Before,
        };
        match self.pending.first() {
            None => self.floor = self.delivered(),
            Some(first) if lowest == Some(seq) => {
                self.raise_floor(first.cseq.saturating_sub(1), first.seq.saturating_sub(1));
            }
            Some(_) => {}
        }
        self.last_acked = unix_ns;
        self.notes.settled(seq, unix_ns);
        self.released.push(seq, seq);
        settled
    }

    fn raise_floor(&mut self, consumer: u64, stream: u64) {
        if stream > self.floor.stream {
            self.floor = Pair { consumer, stream };
        }
    }

    /// Settles `seq` and everything below. False when that was settled before.
    pub(crate) fn settle_through(&mut self, seq: u64, cseq: u64, unix_ns: i64) -> bool {
        if seq <= self.floor.stream {
            return false;
        }
        self.pending.settle_through(seq);
        self.exhausted = self.exhausted.split_off(&seq.saturating_add(1));
        self.released.push(self.floor.stream + 1, seq);
        self.raise_floor(cseq, seq);
        self.last_acked = unix_ns;
        self.notes.through(seq, cseq, unix_ns);
        true
    }

    /// Those of the messages that ran out of deliveries that went.
    pub(crate) fn exhausted_among(&self, gone: &Removed) -> Vec<u64> {
        if gone.runs().len() > self.exhausted.len() {
            return self.exhausted.keys().filter(|seq| gone.contains(**seq)).copied().collect();
        }
        let runs = gone.runs().iter();
        runs.flat_map(|run| self.exhausted.range(run.first..=run.last))
            .map(|(seq, _)| *seq)
            .collect()
    }

    /// Puts a pending message at the end of the redelivery queue; false when it is there.
    pub(crate) fn queue(&mut self, seq: u64) -> bool {
        let fresh = self.pending.queue(seq);
        if fresh {
            self.queue.push_back(seq);
            self.notes.queued(seq);
        }
        fresh
    }

    /// Starts the wait of a pending message at `unix_ns`.
    pub(crate) fn touch(&mut self, seq: u64, unix_ns: i64) -> bool {
        let touched = self.pending.touch(seq, self.mono(unix_ns));
        if touched {
            self.notes.touched(seq, unix_ns);
        }
        touched
    }

    /// The next message to deliver again, if any; settled ones are dropped from the queue.
    pub(crate) fn next_again(&mut self) -> Option<Entry> {
        while let Some(seq) = self.queue.front() {
            match self.pending.get(*seq) {
                Some(entry) if entry.is_queued() => return Some(*entry),
                _ => {
                    self.queue.pop_front();
                }
            }
        }
        None
    }

    /// Takes a message that may not be delivered again out of the pending table.
    pub(crate) fn exhaust(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.pending.settle(seq)?;
        self.exhausted.insert(seq, entry.count);
        self.notes.exhausted(seq);
        Some(entry)
    }

    /// The stream holds nothing below `first` any more.
    pub(crate) fn purge(&mut self, first: u64, unix_ns: i64) {
        self.exhausted = self.exhausted.split_off(&first);
        if self.pending.first().is_some_and(|entry| entry.seq < first) {
            self.last_acked = unix_ns;
        }
        self.pending.settle_through(first.saturating_sub(1));
        while self.list.front().is_some_and(|front| *front < first) {
            self.list.pop_front();
        }
        if self.next < first {
            self.next = first;
            self.last = first - 1;
        }
        match self.pending.first() {
            None => self.floor = self.delivered(),
            Some(entry) => {
                let (consumer, stream) =
                    (entry.cseq.saturating_sub(1), entry.seq.saturating_sub(1));
                self.raise_floor(consumer, stream);
            }
        }
        self.notes.purged(first, unix_ns);
    }

    /// The stream ends before what was delivered: what it lost is forgotten, and delivery goes on
    /// at `end`, its next sequence. Consumer sequences are not given out twice.
    pub(crate) fn rewind(&mut self, end: u64) {
        let consumer_seq = self.consumer_seq;
        let kept: Vec<Entry> =
            self.pending.iter().filter(|entry| entry.seq < end).copied().collect();
        let floor = self.floor;
        self.exhausted.split_off(&end);
        let exhausted = std::mem::take(&mut self.exhausted);
        self.reset(end);
        self.exhausted = exhausted;
        self.consumer_seq = consumer_seq;
        for entry in kept {
            self.pending.add(entry.seq, entry.cseq, entry.at, entry.count);
        }
        if floor.stream < end {
            self.floor = floor;
        }
        let mut notes = std::mem::take(&mut self.notes);
        notes.snapshot(self);
        self.notes = notes;
    }

    /// After notes of which some are lost the floor may be above what was delivered: what is between
    /// comes again.
    pub(crate) fn lower_floor(&mut self) {
        let delivered = self.delivered();
        self.floor.consumer = self.floor.consumer.min(delivered.consumer);
        self.floor.stream = self.floor.stream.min(delivered.stream);
    }

    /// Starts again at `next` with consumer sequence 1.
    pub(crate) fn reset(&mut self, next: u64) {
        self.next = next;
        self.last = next.saturating_sub(1);
        self.consumer_seq = 0;
        (self.last_delivered, self.last_acked) = (0, 0);
        self.floor = Pair { consumer: 0, stream: next.saturating_sub(1) };
        self.pending.clear();
        self.queue.clear();
        self.exhausted.clear();
        self.list.clear();
        self.list_end = 0;
        self.notes.reset(next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::notes::{apply, encode_snapshot};
    use super::*;

    const NOW: Now = Now { mono_ns: 5_000, unix_ns: 1_700_000_000_000_000_000 };

    fn state(policy: AckPolicy) -> State {
        let waits = Waits { ack_wait: 1_000_000, backoff: Vec::new() };
        let mut state = State::new(policy, waits, NOW);
        state.notes.on = true;
        state
    }

    #[derive(Debug, Clone)]
    enum Op {
        Deliver(u64),
        Settle(u64),
        Through(u64),
        Queue(u64),
        Again,
        Touch(u64),
        Exhaust(u64),
        Purge(u64),
        Reset(u64),
        Cut,
    }

    fn op() -> impl Strategy<Value = Op> {
        let seq = 1..30_u64;
        prop_oneof![
            8 => (0..3_u64).prop_map(Op::Deliver),
            6 => seq.clone().prop_map(Op::Settle),
            1 => seq.clone().prop_map(Op::Through),
            3 => seq.clone().prop_map(Op::Queue),
            3 => Just(Op::Again),
            1 => seq.clone().prop_map(Op::Touch),
            1 => seq.clone().prop_map(Op::Exhaust),
            1 => seq.clone().prop_map(Op::Purge),
            1 => seq.prop_map(Op::Reset),
            3 => Just(Op::Cut),
        ]
    }

    proptest! {
        /// Notes cut anywhere, and a snapshot at any point with the notes after it, give the state
        /// that made them.
        #[test]
        fn replay_gives_the_same_state(ops in prop::collection::vec(op(), 0..120), at in 0..120_usize) {
            let mut live = state(AckPolicy::Explicit);
            let mut notes = Vec::new();
            let mut snapshot = None;
            for (index, op) in ops.into_iter().enumerate() {
                let time = NOW.unix_ns + index as i64 * 1_000_000;
                match op {
                    Op::Deliver(gap) => { live.deliver(live.next + gap, time); }
                    Op::Settle(seq) => { live.settle(seq, time); }
                    Op::Through(seq) if seq < live.next => {
                        live.settle_through(seq, live.consumer_seq, time);
                    }
                    Op::Queue(seq) => { live.queue(seq); }
                    Op::Again => if let Some(entry) = live.next_again() {
                        live.deliver_again(entry.seq, time);
                    },
                    Op::Touch(seq) => { live.touch(seq, time); }
                    Op::Exhaust(seq) => { live.exhaust(seq); }
                    Op::Purge(first) => live.purge(first, time),
                    Op::Reset(next) => live.reset(next),
                    Op::Cut => notes.extend(live.notes.take()),
                    Op::Through(_) => {}
                }
                if index == at {
                    // Taken between notes, as the stream does.
                    notes.extend(live.notes.take());
                    snapshot = Some((notes.len(), encode_snapshot(&live)));
                }
            }
            notes.extend(live.notes.take());
            // Microseconds are kept, and a run keeps the time of its first delivery only.
            let timeless = |state: &State| {
                let pending: Vec<_> = state.pending.iter()
                    .map(|e| (e.seq, e.cseq, e.count, e.is_queued())).collect();
                (state.next, state.consumer_seq, state.floor, pending, state.exhausted.clone())
            };
            let mut replayed = state(AckPolicy::Explicit);
            replayed.notes.on = false;
            for note in &notes {
                apply(&mut replayed, note).unwrap();
            }
            prop_assert_eq!(timeless(&replayed), timeless(&live));
            if let Some((from, body)) = snapshot {
                let mut restored = state(AckPolicy::Explicit);
                restored.notes.on = false;
                apply(&mut restored, &body).unwrap();
                for note in &notes[from..] {
                    apply(&mut restored, note).unwrap();
                }
                prop_assert_eq!(timeless(&restored), timeless(&live));
            }
        }

        #[test]
        fn damage_is_an_error_and_no_panic(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut state = state(AckPolicy::Explicit);
            state.notes.on = false;
            let _ = apply(&mut state, &body);
        }
    }

    #[test]
    fn a_floor_without_its_deliveries_is_lowered() {
        let mut live = state(AckPolicy::All);
        for seq in 1..=3 {
            live.deliver(seq, NOW.unix_ns);
        }
        let mut replayed = state(AckPolicy::All);
        apply(&mut replayed, &live.notes.take().unwrap()).unwrap();
        for seq in 4..=9 {
            live.deliver(seq, NOW.unix_ns);
        }
        // This note is lost.
        live.notes.take();
        live.settle_through(9, 9, NOW.unix_ns);
        apply(&mut replayed, &live.notes.take().unwrap()).unwrap();
        replayed.lower_floor();
        assert_eq!((replayed.floor, replayed.next), (Pair { consumer: 3, stream: 3 }, 4));
    }

    #[test]
    fn what_was_not_delivered_does_not_lift_the_floor() {
        let mut live = state(AckPolicy::Explicit);
        live.deliver(1, NOW.unix_ns);
        live.pending.add(90, 70, 0, 1);
        let mut replayed = state(AckPolicy::Explicit);
        apply(&mut replayed, &encode_snapshot(&live)).unwrap();
        replayed.settle(1, NOW.unix_ns);
        assert_eq!(replayed.floor, Pair { consumer: 1, stream: 1 });
        assert_eq!(replayed.pending.len(), 0);
    }

    #[test]
    fn sequences_that_leave_no_room_for_more_are_damage() {
        let mut live = state(AckPolicy::Explicit);
        live.deliver(u64::MAX - 1, NOW.unix_ns);
        let mut replayed = state(AckPolicy::Explicit);
        assert!(apply(&mut replayed, &encode_snapshot(&live)).is_err());
        assert!(apply(&mut replayed, &live.notes.take().unwrap()).is_err());
    }

    #[test]
    fn interleaved_deliveries_and_acks_are_two_runs() {
        let mut live = state(AckPolicy::Explicit);
        for seq in 1..=100 {
            live.deliver(seq, NOW.unix_ns);
            live.settle(seq, NOW.unix_ns);
        }
        assert_eq!(live.floor, Pair { consumer: 100, stream: 100 });
        assert!(live.notes.take().unwrap().len() < 40);
    }

    #[test]
    fn acks_before_a_gap_stay_before_it() {
        let mut live = state(AckPolicy::Explicit);
        live.deliver(13, NOW.unix_ns);
        let mut notes: Vec<_> = live.notes.take().into_iter().collect();
        live.settle(13, NOW.unix_ns);
        live.deliver(15, NOW.unix_ns);
        notes.extend(live.notes.take());
        let mut replayed = state(AckPolicy::Explicit);
        notes.iter().for_each(|note| apply(&mut replayed, note).unwrap());
        assert_eq!(replayed.floor, live.floor);
    }

    #[test]
    fn the_floor_moves_over_settled_messages_only() {
        let mut live = state(AckPolicy::Explicit);
        for seq in [2, 5, 6] {
            live.deliver(seq, NOW.unix_ns);
        }
        live.settle(5, NOW.unix_ns);
        assert_eq!(live.floor.stream, 0);
        live.settle(2, NOW.unix_ns);
        assert_eq!(live.floor, Pair { consumer: 2, stream: 5 });
        live.settle(6, NOW.unix_ns);
        assert_eq!(live.floor, Pair { consumer: 3, stream: 6 });
    }
}
