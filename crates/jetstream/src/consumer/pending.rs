//! Delivered and unsettled messages, in stream order, with their ack waits.
//!
//! A message costs 40 bytes here and no timer. First deliveries enter in the order of time, so
//! with one ack wait for all the queue itself is ordered by deadline; only what left that order (a
//! redelivery, `+WPI`, a NAK with a delay) is in a second, ordered set.

use std::collections::{BTreeSet, VecDeque};

use super::removed::Removed;

/// Where an entry's deadline is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Settled; a hole until it reaches the front or the queue is compacted.
    Settled,
    /// Delivered once and untouched: ordered by time like its neighbours.
    Ordered,
    /// In `moved`.
    Moved,
    /// Waits for redelivery and has no deadline.
    Queued,
}

/// One delivered and unsettled message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The stream sequence.
    pub seq: u64,
    /// The consumer sequence of the first delivery; the ack floor moves by it.
    pub cseq: u64,
    /// When its wait began, monotonic nanoseconds; negative before this process started.
    pub at: i64,
    /// Deliveries so far.
    pub count: u32,
    place: Place,
}

impl Entry {
    /// True while it waits for redelivery.
    pub(crate) fn is_queued(&self) -> bool {
        self.place == Place::Queued
    }
}

/// How long a message may stay unsettled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits {
    /// The wait without a backoff, nanoseconds.
    pub ack_wait: i64,
    /// Waits by number of deliveries; the last repeats.
    pub backoff: Vec<i64>,
}

impl Waits {
    /// The wait after `count` deliveries.
    pub(crate) fn after(&self, count: u32) -> i64 {
        let index = (count.max(1) as usize - 1).min(self.backoff.len().saturating_sub(1));
        self.backoff.get(index).copied().unwrap_or(self.ack_wait)
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    entries: VecDeque<Entry>,
    live: usize,
    redelivered: usize,
    moved: BTreeSet<(i64, u64)>,
    /// No `Ordered` entry lies below this sequence.
    ordered_from: u64,
    /// The time of the last `Ordered` entry.
    ordered_last: i64,
    waits: Waits,
}

/// How many entries may expire in one call.
const EXPIRE_MAX: usize = 4096;

impl Pending {
    pub(crate) fn new(waits: Waits) -> Self {
        Self { waits, ordered_last: i64::MIN, ..Self::default() }
    }

    /// Unsettled messages.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// True when everything delivered is settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Unsettled messages delivered more than once.
    pub(crate) fn redelivered(&self) -> usize {
        self.redelivered
    }

    /// The unsettled message with the lowest sequence.
    pub(crate) fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// All unsettled messages in stream order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.place != Place::Settled)
    }

    /// The unsettled messages that went, in stream order.
    pub(crate) fn among(&self, gone: &Removed) -> Vec<Entry> {
        let open = |entry: &&Entry| entry.place != Place::Settled;
        if gone.runs().len() > self.live {
            return self.iter().filter(|entry| gone.contains(entry.seq)).copied().collect();
        }
        let runs = gone.runs().iter().flat_map(|run| {
            let start = self.entries.partition_point(|entry| entry.seq < run.first);
            self.entries.range(start..).take_while(|entry| entry.seq <= run.last)
        });
        runs.filter(open).copied().collect()
    }

    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Changes the waits; they apply to what is pending, too.
    pub(crate) fn set_waits(&mut self, waits: Waits) {
        self.waits = waits;
        self.moved.clear();
        for entry in &self.entries {
            if entry.place == Place::Moved {
                self.moved.insert((entry.at + self.waits.after(entry.count), entry.seq));
            }
        }
    }

    /// The entry of an unsettled message.
    pub(crate) fn get(&self, seq: u64) -> Option<&Entry> {
        self.find(seq).map(|index| &self.entries[index])
    }

    fn find(&self, seq: u64) -> Option<usize> {
        let front = self.entries.front()?.seq;
        // Without gaps the place follows from the sequence.
        let guess = usize::try_from(seq.checked_sub(front)?).unwrap_or(usize::MAX);
        let index = match self.entries.get(guess) {
            Some(entry) if entry.seq == seq => guess,
            _ => self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?,
        };
        (self.entries[index].place != Place::Settled).then_some(index)
    }

    /// Adds a message that was delivered for the first time (or is restored with its `count`).
    pub(crate) fn add(&mut self, seq: u64, cseq: u64, at: i64, count: u32) {
        let ordered = count == 1 && at >= self.ordered_last;
        let place = if ordered { Place::Ordered } else { Place::Moved };
        let entry = Entry { seq, cseq, at, count, place };
        match self.entries.back() {
            // Sequences grow; only a damaged record could say otherwise.
            Some(back) if back.seq >= seq => {
                match self.entries.binary_search_by_key(&seq, |entry| entry.seq) {
                    Ok(_) => return,
                    Err(index) => {
                        self.entries.insert(index, Entry { place: Place::Moved, ..entry });
                        self.moved.insert((at + self.waits.after(count), seq));
                    }
                }
            }
            _ => {
                self.entries.push_back(entry);
                if ordered {
                    self.ordered_last = at;
                } else {
                    self.moved.insert((at + self.waits.after(count), seq));
                }
            }
        }
        self.live += 1;
        self.redelivered += usize::from(count > 1);
    }

    /// Counts another delivery and starts a new wait. Returns the deliveries so far.
    pub(crate) fn deliver_again(&mut self, seq: u64, at: i64) -> Option<u32> {
        let index = self.find(seq)?;
        self.unplace(index);
        let entry = &mut self.entries[index];
        entry.count = entry.count.saturating_add(1);
        self.redelivered += usize::from(entry.count == 2);
        entry.at = at;
        entry.place = Place::Moved;
        self.moved.insert((at + self.waits.after(entry.count), seq));
        Some(entry.count)
    }

    /// Starts the wait of a message anew. One that waits for redelivery keeps waiting for that.
    pub(crate) fn touch(&mut self, seq: u64, at: i64) -> bool {
        let Some(index) = self.find(seq) else { return false };
        if self.entries[index].place == Place::Queued {
            return true;
        }
        self.unplace(index);
        let entry = &mut self.entries[index];
        entry.at = at;
        entry.place = Place::Moved;
        self.moved.insert((at + self.waits.after(entry.count), seq));
        true
    }

    /// Marks a message as waiting for redelivery; false when it already does or is settled.
    pub(crate) fn queue(&mut self, seq: u64) -> bool {
        let Some(index) = self.find(seq) else { return false };
        if self.entries[index].place == Place::Queued {
            return false;
        }
        self.unplace(index);
        self.entries[index].place = Place::Queued;
        true
    }

    /// Takes the entry at `index` out of the ordered set, if it is there.
    fn unplace(&mut self, index: usize) {
        let entry = &self.entries[index];
        if entry.place == Place::Moved {
            self.moved.remove(&(entry.at + self.waits.after(entry.count), entry.seq));
        }
    }

    /// Settles one message.
    pub(crate) fn settle(&mut self, seq: u64) -> Option<Entry> {
        let index = self.find(seq)?;
        let entry = self.entries[index];
        self.settle_at(index);
        self.trim();
        Some(entry)
    }

    fn settle_at(&mut self, index: usize) {
        self.unplace(index);
        let entry = &mut self.entries[index];
        entry.place = Place::Settled;
        self.live -= 1;
        self.redelivered -= usize::from(entry.count > 1);
    }

    /// Settles everything up to and including `seq`.
    pub(crate) fn settle_through(&mut self, seq: u64) {
        while self.entries.front().is_some_and(|front| front.seq <= seq) {
            if self.entries[0].place != Place::Settled {
                self.settle_at(0);
            }
            self.entries.pop_front();
        }
        self.trim();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(std::mem::take(&mut self.waits));
    }

    /// Drops settled entries from the front, and all of them when they are most of the queue.
    fn trim(&mut self) {
        while self.entries.front().is_some_and(|front| front.place == Place::Settled) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + 64 {
            self.entries.retain(|entry| entry.place != Place::Settled);
        }
        if self.entries.capacity() > 1024 && self.entries.len() * 8 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// The first entry whose deadline follows from its place in the queue.
    fn first_ordered(&self) -> Option<usize> {
        let mut index = self.entries.partition_point(|entry| entry.seq < self.ordered_from);
        while let Some(entry) = self.entries.get(index) {
            if entry.place == Place::Ordered {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    /// When the next wait ends.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let ordered = self
            .first_ordered()
            .map(|index| self.entries[index].at.saturating_add(self.waits.after(1)));
        let moved = self.moved.first().map(|(deadline, _)| *deadline);
        match (ordered, moved) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }

    /// Takes the messages whose wait ended at `now`, in stream order, and marks them as waiting
    /// for redelivery. At most a few thousand at a time; the rest comes with the next call.
    pub(crate) fn expire(&mut self, now: i64, out: &mut Vec<u64>) {
        let start = out.len();
        while out.len() - start < EXPIRE_MAX {
            let Some(index) = self.first_ordered() else {
                self.ordered_from = self.entries.back().map_or(0, |back| back.seq + 1);
                break;
            };
            let entry = &mut self.entries[index];
            self.ordered_from = entry.seq;
            if entry.at.saturating_add(self.waits.after(1)) > now {
                break;
            }
            entry.place = Place::Queued;
            self.ordered_from = entry.seq + 1;
            out.push(entry.seq);
        }
        while out.len() - start < EXPIRE_MAX {
            let Some((deadline, seq)) = self.moved.first().copied() else { break };
            if deadline > now {
                break;
            }
            self.moved.pop_first();
            let Ok(index) = self.entries.binary_search_by_key(&seq, |entry| entry.seq) else {
                continue;
            };
            self.entries[index].place = Place::Queued;
            out.push(seq);
        }
        out[start..].sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn table(backoff: &[i64]) -> Pending {
        Pending::new(Waits { ack_wait: 10, backoff: backoff.to_vec() })
    }

    fn expired(table: &mut Pending, now: i64) -> Vec<u64> {
        let mut out = Vec::new();
        table.expire(now, &mut out);
        out
    }

    #[test]
    fn waits_end_in_stream_order() {
        let mut table = table(&[]);
        for seq in 1..=4 {
            table.add(seq, seq, seq as i64, 1);
        }
        assert_eq!(table.next_deadline(), Some(11));
        assert!(expired(&mut table, 10).is_empty());
        table.touch(1, 5);
        assert_eq!(table.next_deadline(), Some(12));
        assert_eq!(expired(&mut table, 13), [2, 3]);
        assert_eq!(expired(&mut table, 15), [1, 4]);
        assert_eq!(table.next_deadline(), None);
        assert_eq!(table.deliver_again(2, 20), Some(2));
        assert_eq!(table.next_deadline(), Some(30));
        assert_eq!(table.redelivered(), 1);
        table.settle(2);
        assert_eq!((table.next_deadline(), table.redelivered(), table.len()), (None, 0, 3));
    }

    #[test]
    fn backoff_goes_by_deliveries_and_its_last_value_repeats() {
        let mut table = table(&[5, 20]);
        table.add(1, 1, 0, 1);
        assert_eq!(expired(&mut table, 5), [1]);
        for at in [100, 200] {
            table.deliver_again(1, at);
            assert_eq!(table.next_deadline(), Some(at + 20));
            assert_eq!(expired(&mut table, at + 20), [1]);
        }
    }

    #[test]
    fn settled_entries_do_not_pile_up_behind_an_open_one() {
        let mut table = table(&[]);
        table.add(1, 1, 0, 1);
        for seq in 2..10_000 {
            table.add(seq, seq, 0, 1);
            table.settle(seq);
        }
        assert_eq!(table.len(), 1);
        assert!(table.entries.len() < 100);
        assert_eq!(table.first().unwrap().seq, 1);
    }

    #[derive(Debug, Clone)]
    enum Op {
        Add,
        Settle(u64),
        Through(u64),
        Touch(u64, i64),
        Queue(u64),
        Again,
        Pass(i64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => Just(Op::Add),
            3 => (0..40_u64).prop_map(Op::Settle),
            1 => (0..40_u64).prop_map(Op::Through),
            2 => ((0..40_u64), -5..20_i64).prop_map(|(seq, ahead)| Op::Touch(seq, ahead)),
            1 => (0..40_u64).prop_map(Op::Queue),
            2 => Just(Op::Again),
            3 => (0..12_i64).prop_map(Op::Pass),
        ]
    }

    proptest! {
        /// Against a plain map from sequence to (deadline or queued, deliveries).
        #[test]
        fn it_is_a_map_with_deadlines(ops in prop::collection::vec(op(), 0..200)) {
            let mut table = table(&[10, 3, 7]);
            let waits = table.waits().clone();
            let mut model: BTreeMap<u64, (Option<i64>, u32)> = BTreeMap::new();
            let (mut next, mut now) = (1_u64, 0_i64);
            let mut queued = Vec::new();
            for op in ops {
                match op {
                    Op::Add => {
                        table.add(next, next, now, 1);
                        model.insert(next, (Some(now + waits.after(1)), 1));
                        next += 1 + next % 3;
                    }
                    Op::Settle(seq) => {
                        prop_assert_eq!(table.settle(seq).is_some(), model.remove(&seq).is_some());
                    }
                    Op::Through(seq) => {
                        table.settle_through(seq);
                        model.retain(|key, _| *key > seq);
                    }
                    Op::Touch(seq, ahead) => {
                        table.touch(seq, now + ahead);
                        if let Some((Some(deadline), count)) = model.get_mut(&seq) {
                            *deadline = now + ahead + waits.after(*count);
                        }
                    }
                    Op::Queue(seq) => {
                        let fresh = model.get(&seq).is_some_and(|(deadline, _)| deadline.is_some());
                        prop_assert_eq!(table.queue(seq), fresh);
                        if fresh {
                            model.get_mut(&seq).unwrap().0 = None;
                            queued.push(seq);
                        }
                    }
                    Op::Again => {
                        if let Some(seq) = queued.pop()
                            && let Some((deadline, count)) = model.get_mut(&seq)
                        {
                            *count += 1;
                            *deadline = Some(now + waits.after(*count));
                            prop_assert_eq!(table.deliver_again(seq, now), Some(*count));
                        }
                    }
                    Op::Pass(time) => {
                        now += time;
                        let mut due = Vec::new();
                        for (seq, (deadline, _)) in &mut model {
                            if deadline.is_some_and(|deadline| deadline <= now) {
                                *deadline = None;
                                due.push(*seq);
                            }
                        }
                        queued.extend(&due);
                        prop_assert_eq!(expired(&mut table, now), due);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.first().map(|entry| entry.seq), model.keys().next().copied());
                let next_deadline = model.values().filter_map(|(deadline, _)| *deadline).min();
                prop_assert_eq!(table.next_deadline(), next_deadline);
                let redelivered = model.values().filter(|(_, count)| *count > 1).count();
                prop_assert_eq!(table.redelivered(), redelivered);
            }
        }
    }
}
