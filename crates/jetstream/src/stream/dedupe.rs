//! Message ids seen within the duplicate window.
//!
//! An id is kept as 128 bits of a keyed hash with its sequence and time: 32 bytes and a table slot,
//! whatever its length. The oldest go first when the table reaches its bound in bytes; within one
//! run an id survives the removal of its message, after a restart it does not (nats-server 2.15.1).

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use hashbrown::HashTable;

/// Bytes that one table may take.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// An entry and its share of the table, which is between 7/16 and 7/8 full.
const ENTRY_BYTES: usize = size_of::<Entry>() + 20;

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: [u64; 2],
    seq: u64,
    time: i64,
}

/// The ids of one stream, in order of arrival.
#[derive(Debug)]
pub struct Dedupe {
    key: [u64; 2],
    entries: VecDeque<Entry>,
    /// How many entries left the front: an entry's number is its index plus this.
    gone: u64,
    table: HashTable<u64>,
    entries_max: usize,
}

impl Dedupe {
    /// An empty table. `key` is random, so that clients cannot make ids that collide.
    pub fn new(key: [u64; 2]) -> Self {
        Self {
            key,
            entries: VecDeque::new(),
            gone: 0,
            table: HashTable::new(),
            entries_max: BYTES_MAX / ENTRY_BYTES,
        }
    }

    fn hash(&self, id: &[u8]) -> [u64; 2] {
        self.key.map(|key| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(key);
            hasher.write(id);
            hasher.finish()
        })
    }

    /// The sequence that `id` got at or after `oldest`, if any. Forgets what is older.
    pub fn find(&mut self, id: &[u8], oldest: i64) -> Option<u64> {
        self.forget_before(oldest);
        let hash = self.hash(id);
        let (entries, gone) = (&self.entries, self.gone);
        let number = self.table.find(hash[0], |at| entries[(at - gone) as usize].hash == hash)?;
        Some(entries[(number - gone) as usize].seq)
    }

    /// Remembers `id` of the message `seq` stored at `time`.
    pub fn insert(&mut self, id: &[u8], seq: u64, time: i64) {
        if self.entries.len() >= self.entries_max {
            self.forget_first();
        }
        let hash = self.hash(id);
        let number = self.gone + self.entries.len() as u64;
        self.entries.push_back(Entry { hash, seq, time });
        let (entries, gone) = (&self.entries, self.gone);
        self.table.insert_unique(hash[0], number, |at| entries[(at - gone) as usize].hash[0]);
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets the ids stored before `oldest` and gives memory back when most is unused.
    pub fn forget_before(&mut self, oldest: i64) {
        while self.entries.front().is_some_and(|entry| entry.time < oldest) {
            self.forget_first();
        }
        if self.entries.capacity() > 1024 && self.entries.len() * 8 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
            let (entries, gone) = (&self.entries, self.gone);
            let wanted = entries.len() * 2;
            self.table.shrink_to(wanted, |at| entries[(at - gone) as usize].hash[0]);
        }
    }

    /// Forgets the ids of messages that were refused after all, so that they can be sent again.
    pub fn forget_seqs(&mut self, first: u64, last: u64) {
        for (index, entry) in self.entries.iter().enumerate().rev() {
            if entry.seq < first {
                break;
            }
            let number = self.gone + index as u64;
            if entry.seq <= last
                && let Ok(slot) = self.table.find_entry(entry.hash[0], |at| *at == number)
            {
                slot.remove();
            }
        }
    }

    fn forget_first(&mut self) {
        let Some(entry) = self.entries.front() else { return };
        let gone = self.gone;
        if let Ok(slot) = self.table.find_entry(entry.hash[0], |at| *at == gone) {
            slot.remove();
        }
        self.entries.pop_front();
        self.gone += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_live_for_the_window() {
        let mut dedupe = Dedupe::new([1, 2]);
        dedupe.insert(b"a", 1, 100);
        dedupe.insert(b"b", 2, 200);
        assert_eq!(dedupe.find(b"a", 0), Some(1));
        assert_eq!(dedupe.find(b"b", 100), Some(2));
        assert_eq!(dedupe.find(b"c", 100), None);
        assert_eq!(dedupe.find(b"a", 101), None);
        assert_eq!(dedupe.len(), 1);
        dedupe.insert(b"a", 3, 300);
        assert_eq!(dedupe.find(b"a", 0), Some(3));
    }

    #[test]
    fn refused_messages_leave_no_id() {
        let mut dedupe = Dedupe::new([1, 2]);
        for (seq, id) in [(1, b"a"), (2, b"b"), (3, b"c")] {
            dedupe.insert(id, seq, 0);
        }
        dedupe.forget_seqs(2, 3);
        assert_eq!(dedupe.find(b"a", 0), Some(1));
        assert_eq!(dedupe.find(b"b", 0), None);
        dedupe.insert(b"b", 4, 1);
        assert_eq!(dedupe.find(b"b", 1), Some(4));
        assert_eq!(dedupe.len(), 1);
    }

    #[test]
    fn the_oldest_go_when_the_bound_is_reached() {
        let mut dedupe = Dedupe::new([1, 2]);
        dedupe.entries_max = 100;
        for seq in 0..1000_u64 {
            dedupe.insert(&seq.to_be_bytes(), seq, 0);
        }
        assert_eq!(dedupe.len(), 100);
        assert_eq!(dedupe.find(&899_u64.to_be_bytes(), 0), None);
        assert_eq!(dedupe.find(&900_u64.to_be_bytes(), 0), Some(900));
        assert_eq!(dedupe.table.len(), 100);
        dedupe.forget_before(1);
        assert!(dedupe.is_empty() && dedupe.table.is_empty());
    }
}
