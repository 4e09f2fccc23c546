//! When each schedule of a stream is due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use natterjack_store::LogPos;

/// Entries of one note.
const NOTE_ENTRIES: usize = 4096;

/// A schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Planned {
    due: i64,
    /// It has fired: what its message says is not when it is due.
    moved: bool,
}

/// The schedules of a stream by the sequences of their messages. What was removed stays until it is due, or
/// until it is the majority.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    due: BinaryHeap<Reverse<(i64, u64)>>,
    by_seq: BTreeMap<u64, Planned>,
    /// What fired with messages that are not durable yet: by whom, when it was due.
    fired: Vec<(LogPos, u64, i64)>,
}

impl Plan {
    /// A schedule at `seq` is due at a time.
    pub(crate) fn add(&mut self, seq: u64, due: i64) {
        self.put(seq, Planned { due, moved: false });
    }

    fn put(&mut self, seq: u64, planned: Planned) {
        self.by_seq.insert(seq, planned);
        self.due.push(Reverse((planned.due, seq)));
    }

    /// A schedule is due at another time than its message says.
    pub(crate) fn postpone(&mut self, seq: u64, due: i64) {
        if self.by_seq.contains_key(&seq) {
            self.put(seq, Planned { due, moved: true });
        }
    }

    /// There is no schedule at `seq` any more.
    pub(super) fn forget(&mut self, seq: u64) {
        self.by_seq.remove(&seq);
    }

    /// Whether the message at `seq` is a schedule.
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.by_seq.contains_key(&seq)
    }

    /// The schedule that is due first, with its time.
    pub(in crate::stream) fn first(&mut self) -> Option<(i64, u64)> {
        while let Some(Reverse((due, seq))) = self.due.peek() {
            if self.by_seq.get(seq).is_some_and(|planned| planned.due == *due) {
                return Some((*due, *seq));
            }
            self.due.pop();
        }
        None
    }

    /// A schedule fired that was due at a time: what it made is durable at `pos`.
    pub(super) fn fired(&mut self, durable: LogPos, pos: LogPos, seq: u64, due: i64) {
        self.fired.retain(|(pos, ..)| *pos > durable);
        self.fired.push((pos, seq, due));
    }

    /// The disk did not take what was appended behind `after`: what fired then is due as before. The
    /// note that says so, if anything did: what was noted then is appended again.
    pub(crate) fn rearm(&mut self, after: LogPos) -> Option<Vec<u8>> {
        let mut note = Vec::new();
        for (pos, seq, due) in std::mem::take(&mut self.fired) {
            if pos > after {
                self.put(seq, Planned { due, moved: true });
                note.extend(Self::note(seq, due));
            }
        }
        (!note.is_empty()).then_some(note)
    }

    #[cfg(test)]
    pub(in crate::stream) fn len(&self) -> usize {
        self.due.len().max(self.by_seq.len())
    }

    /// Drops what refers to removed messages once that is most of it. `messages` is the stream's
    /// count, `stored` says whether a sequence is still there.
    pub(crate) fn compact(&mut self, messages: u64, stored: impl Fn(u64) -> bool) {
        if self.due.len() as u64 > messages.saturating_mul(2).saturating_add(1024) {
            self.by_seq.retain(|seq, _| stored(*seq));
            let by_seq = &self.by_seq;
            self.due.retain(|Reverse((due, seq))| {
                by_seq.get(seq).is_some_and(|planned| planned.due == *due)
            });
        }
    }

    /// A note that a schedule is due at a time: sequence and time, 8 bytes each, little endian.
    pub(crate) fn note(seq: u64, due: i64) -> Vec<u8> {
        [seq.to_le_bytes(), due.to_le_bytes()].concat()
    }

    /// The notes that replace all before.
    pub(crate) fn notes(&self, stored: impl Fn(u64) -> bool) -> Vec<Vec<u8>> {
        let moved = self.by_seq.iter().filter(|(seq, planned)| planned.moved && stored(**seq));
        let bytes: Vec<u8> =
            moved.flat_map(|(seq, planned)| Self::note(*seq, planned.due)).collect();
        bytes.chunks(NOTE_ENTRIES * 16).map(<[u8]>::to_vec).collect()
    }

    /// Takes notes over, the oldest first.
    pub(crate) fn apply(&mut self, notes: &[(u64, i64)]) {
        for (seq, due) in notes {
            self.postpone(*seq, *due);
        }
    }
}

/// What a note says.
pub(crate) fn read_note(body: &[u8]) -> impl Iterator<Item = (u64, i64)> {
    let (entries, _) = body.as_chunks::<16>();
    entries.iter().map(|entry| {
        let (seq, due) = entry.split_at(8);
        let bytes = |half: &[u8]| half.try_into().unwrap_or_default();
        (u64::from_le_bytes(bytes(seq)), i64::from_le_bytes(bytes(due)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_what_moved_comes_later() {
        let mut plan = Plan::default();
        plan.add(1, 50);
        plan.add(2, 30);
        plan.add(3, 40);
        assert_eq!(plan.first(), Some((30, 2)));
        plan.postpone(2, 60);
        assert_eq!(plan.first(), Some((40, 3)));
        plan.forget(3);
        assert_eq!(plan.first(), Some((50, 1)));
        plan.forget(1);
        assert_eq!(plan.first(), Some((60, 2)));
        plan.postpone(9, 1);
        assert_eq!(plan.first(), Some((60, 2)));
    }

    #[test]
    fn what_the_disk_refused_is_due_again() {
        let mut plan = Plan::default();
        plan.add(1, 50);
        plan.add(2, 51);
        plan.forget(1);
        plan.fired(LogPos(0), LogPos(10), 1, 50);
        plan.postpone(2, 90);
        plan.fired(LogPos(0), LogPos(20), 2, 51);
        assert_eq!(plan.rearm(LogPos(15)), Some(Plan::note(2, 51)));
        assert_eq!(plan.first(), Some((51, 2)));
        assert!(!plan.contains(1));
    }

    #[test]
    fn notes_say_what_has_moved() {
        let mut plan = Plan::default();
        (1..=9000).for_each(|seq| plan.add(seq, 5));
        (1..=9000).for_each(|seq| plan.postpone(seq, 7));
        plan.add(9001, 5);
        let notes = plan.notes(|seq| seq != 3);
        assert_eq!(notes.len(), 3);
        let read: Vec<(u64, i64)> = notes.iter().flat_map(|note| read_note(note)).collect();
        assert_eq!(read.len(), 8999);
        assert!(read.iter().all(|(seq, due)| *seq != 3 && *due == 7));
        let mut other = Plan::default();
        (1..=9001).for_each(|seq| other.add(seq, 6));
        other.apply(&read);
        assert_eq!(other.first(), Some((6, 3)));
        other.forget(3);
        assert_eq!(other.first(), Some((6, 9001)));
    }

    #[test]
    fn what_is_removed_does_not_stay() {
        let mut plan = Plan::default();
        for seq in 1..5000 {
            plan.add(seq, 1_000_000);
            plan.compact(1, |stored| stored == seq);
        }
        assert!(plan.by_seq.len() < 1100 && plan.due.len() < 1100);
    }
}
