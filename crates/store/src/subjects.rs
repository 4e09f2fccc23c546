//! What is stored on each subject.
//!
//! A subject that has messages owns a small number (its id), which the index keeps per message.
//! Where a limit keeps subjects short (a Key/Value bucket: at most 64 revisions) each also knows the
//! sequences of its messages, so that the next one after a removal is found without a search.
//! Elsewhere the first sequence may be stale, which means that it is a lower bound: it is looked for
//! when somebody asks, not each time that limits remove a message.

mod saved;

use hashbrown::{DefaultHashBuilder, HashTable};
use natterjack_subject::SubjectMap;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{Filter, SubjectState};

/// No subject: the message is gone.
pub(crate) const NO_SUBJECT: u32 = u32::MAX;
/// The most sequences that are kept per subject between its first and last.
pub(crate) const LISTED: usize = 128;
/// With fewer subjects than this each is asked whether it matches a wildcard …
const TREE: usize = 4096;
/// … and also with more, until that has been done so often.
const QUERIES: u8 = 3;

#[derive(Debug, Default)]
struct Slot {
    name: Box<[u8]>,
    state: SubjectState,
    /// The sequences strictly between first and last, sorted, if `listed`.
    #[allow(clippy::box_collection, reason = "most subjects have none: 8 bytes, not 24")]
    interior: Option<Box<Vec<u64>>>,
    listed: bool,
    /// The first message is at `state.first` or behind it.
    stale: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Subjects {
    /// Half of the name's hash, and the id.
    table: HashTable<(u32, u32)>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
    /// Ids by name, once wildcards were asked for among many subjects.
    tree: Option<SubjectMap<u32>>,
    queries: AtomicU8,
}

impl Subjects {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// One above the highest id in use.
    pub(crate) fn ids(&self) -> usize {
        self.slots.len()
    }

    fn hash(&self, name: &[u8]) -> u32 {
        (self.hasher.hash_one(name) >> 16) as u32
    }

    fn find_hashed(&self, hash: u32, name: &[u8]) -> Option<u32> {
        let same =
            |&(other, id): &(u32, u32)| hash == other && *self.slots[id as usize].name == *name;
        self.table.find(spread(hash), same).map(|&(_, id)| id)
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.find_hashed(self.hash(name), name)
    }

    pub(crate) fn name(&self, id: u32) -> &[u8] {
        &self.slots[id as usize].name
    }

    /// Its first sequence may be stale.
    pub(crate) fn state(&self, id: u32) -> &SubjectState {
        &self.slots[id as usize].state
    }

    /// Whether the first sequence is only a lower bound.
    pub(crate) fn is_stale(&self, id: u32) -> bool {
        self.slots[id as usize].stale
    }

    /// Counts message `seq`, which is above all earlier ones, and tells the subject's id and
    /// whether that id is new. Up to `list` sequences are kept.
    pub(crate) fn add(&mut self, name: &[u8], seq: u64, list: usize) -> (u32, bool) {
        let hash = self.hash(name);
        if let Some(id) = self.find_hashed(hash, name) {
            let slot = &mut self.slots[id as usize];
            let before = slot.state;
            slot.state.last = seq;
            slot.state.count += 1;
            if slot.listed && before.count > 1 {
                if before.count < list as u64 + 2 {
                    slot.interior.get_or_insert_default().push(before.last);
                } else {
                    slot.interior = None;
                    slot.listed = false;
                }
            }
            return (id, false);
        }
        let state = SubjectState { first: seq, last: seq, count: 1 };
        let slot = Slot { name: name.into(), state, interior: None, listed: true, stale: false };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.table.insert_unique(spread(hash), (hash, id), |&(hash, _)| spread(hash));
        self.plant();
        if let Some(tree) = &mut self.tree {
            tree.insert(name, id);
        }
        (id, true)
    }

    /// Counts message `seq` again, which was removed; otherwise as [`Subjects::add`].
    pub(crate) fn put_back(&mut self, name: &[u8], seq: u64, list: usize) -> (u32, bool) {
        let found = self.find(name);
        let Some(id) = found else { return self.add(name, seq, list) };
        let slot = &mut self.slots[id as usize];
        let SubjectState { first, last, count } = slot.state;
        slot.state.count += 1;
        if slot.listed && count > 1 && count >= list as u64 + 2 {
            slot.interior = None;
            slot.listed = false;
        }
        // One of several is between the first and the last from now on.
        let between = if seq < first { first } else { seq.min(last) };
        if slot.listed && (count > 1 || (between != first && between != last)) {
            let interior = slot.interior.get_or_insert_default();
            let at = interior.partition_point(|&other| other < between);
            interior.insert(at, between);
        }
        if seq < first {
            (slot.state.first, slot.stale) = (seq, false);
        }
        slot.state.last = last.max(seq);
        (id, false)
    }

    /// Forgets message `seq`. True if it was the last of several and the caller has to find the
    /// new last one and say so by [`Subjects::set_last`].
    #[must_use]
    pub(crate) fn remove(&mut self, id: u32, seq: u64) -> bool {
        let slot = &mut self.slots[id as usize];
        slot.state.count -= 1;
        if slot.state.count == 0 {
            self.forget(id);
            return false;
        }
        if slot.listed {
            let interior = slot.interior.as_deref_mut();
            if seq == slot.state.first {
                slot.state.first = match interior {
                    Some(list) if !list.is_empty() => list.remove(0),
                    _ => slot.state.last,
                };
            } else if seq == slot.state.last {
                slot.state.last = interior.and_then(Vec::pop).unwrap_or(slot.state.first);
            } else if let Some(list) = interior
                && let Ok(at) = list.binary_search(&seq)
            {
                list.remove(at);
            }
            if slot.interior.as_ref().is_some_and(|list| list.is_empty()) {
                slot.interior = None;
            }
            return false;
        }
        if seq == slot.state.last {
            return true;
        }
        if slot.state.count == 1 {
            slot.state.first = slot.state.last;
            slot.stale = false;
            slot.listed = true;
        } else if seq == slot.state.first {
            slot.state.first += 1;
            slot.stale = true;
        }
        false
    }

    pub(crate) fn set_first(&mut self, id: u32, seq: u64) {
        let slot = &mut self.slots[id as usize];
        slot.state.first = seq;
        slot.stale = false;
    }

    pub(crate) fn set_last(&mut self, id: u32, seq: u64) {
        let slot = &mut self.slots[id as usize];
        slot.state.last = seq;
        if slot.state.count == 1 {
            slot.state.first = seq;
            slot.stale = false;
            slot.listed = true;
        }
    }

    /// The sequences of the subject in order, if they are known without a search.
    pub(crate) fn listed(&self, id: u32) -> Option<impl DoubleEndedIterator<Item = u64> + '_> {
        let slot = &self.slots[id as usize];
        let last = (slot.state.count > 1).then_some(slot.state.last);
        let interior = slot.interior.iter().flat_map(|list| list.iter().copied());
        slot.listed.then(|| std::iter::once(slot.state.first).chain(interior).chain(last))
    }

    /// Calls `f` for each subject that `filter` selects, with its id.
    pub(crate) fn matching(&self, filter: &Filter, mut f: impl FnMut(u32, &[u8])) {
        if filter.is_literal() {
            if let Some(id) = self.find(filter.subject()) {
                f(id, filter.subject());
            }
        } else if let Some(tree) = self.tree.as_ref().filter(|_| !filter.is_all()) {
            tree.for_each_matching(filter.subject(), |name, &id| {
                f(id, name);
                ControlFlow::Continue(())
            });
        } else {
            if !filter.is_all() && self.len() > TREE {
                let asked = self.queries.load(Ordering::Relaxed);
                self.queries.store(asked.saturating_add(1), Ordering::Relaxed);
            }
            for (id, slot) in self.slots.iter().enumerate() {
                if slot.state.count > 0 && filter.matches(&slot.name) {
                    f(id as u32, &slot.name);
                }
            }
        }
    }

    /// Builds the tree if it was missed.
    fn plant(&mut self) {
        if *self.queries.get_mut() < QUERIES || self.tree.is_some() {
            return;
        }
        let mut tree = SubjectMap::new();
        for (id, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.state.count > 0) {
            tree.insert(&slot.name, id as u32);
        }
        self.tree = Some(tree);
    }

    pub(crate) fn clear(&mut self) {
        *self = Subjects { hasher: self.hasher.clone(), ..Subjects::default() };
    }

    fn forget(&mut self, id: u32) {
        let name = std::mem::take(&mut self.slots[id as usize].name);
        let hash = self.hash(&name);
        if let Ok(entry) = self.table.find_entry(spread(hash), |&(_, other)| other == id) {
            entry.remove();
        }
        if let Some(tree) = &mut self.tree {
            tree.remove(&name);
        }
        self.slots[id as usize] = Slot::default();
        self.free.push(id);
    }
}

/// The table takes its tag from the top bits and its slot from the low ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_find_the_same_subjects_by_tree_and_by_walk() {
        let mut subjects = Subjects::default();
        let name = |n: usize| format!("{}.{}.{}", ["eu", "us", "e"][n % 3], n % 100, n);
        for n in 0..TREE + 500 {
            subjects.add(name(n).as_bytes(), n as u64 + 1, 0);
        }
        let filters = ["eu.*.>", "*.7.*", "us.99.*", "e.>", "*.*.4097", "none.*"];
        let ask = |subjects: &Subjects| {
            let mut all = Vec::new();
            for filter in filters {
                let mut found = Vec::new();
                let filter = Filter::new(filter.as_bytes());
                subjects.matching(&filter, |id, name| found.push((id, name.to_vec())));
                found.sort();
                all.push(found);
            }
            all
        };
        let walked = ask(&subjects);
        assert!(walked.iter().take(5).all(|found| !found.is_empty()));
        assert!(subjects.tree.is_none());
        // The tree is built with the next new subject, and follows from then on.
        subjects.add(b"eu.new", 9_000, 0);
        assert!(subjects.tree.is_some());
        assert_eq!(ask(&subjects), walked);
        let (id, _) = subjects.add(b"e.1.new", 9_001, 0);
        assert_eq!(ask(&subjects)[3].len(), walked[3].len() + 1);
        assert!(!subjects.remove(id, 9_001));
        assert_eq!(ask(&subjects), walked);
    }
}
