//! What is stored on each subject.
//!
//! A subject that has messages owns a small number (its id), which the index keeps per message.
//! A subject with few messages also knows their sequences, so that the next one after a removal
//! is found without a search: that is every key of a Key/Value bucket (at most 64 revisions).

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use crate::{Filter, SubjectState};

/// No subject: the message is gone.
pub(crate) const NO_SUBJECT: u32 = u32::MAX;
/// Sequences that are kept per subject between its first and last.
const LISTED: usize = 128;

#[derive(Debug, Default)]
struct Slot {
    name: Box<[u8]>,
    state: SubjectState,
    /// The sequences strictly between first and last, sorted, if `listed`.
    #[allow(clippy::box_collection, reason = "most subjects have none: 8 bytes, not 24")]
    interior: Option<Box<Vec<u64>>>,
    listed: bool,
}

/// What the index must look up itself after a removal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Nothing,
    First,
    Last,
}

#[derive(Debug, Default)]
pub(crate) struct Subjects {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
}

impl Subjects {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// One above the highest id in use.
    pub(crate) fn ids(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |&id| *self.slots[id as usize].name == *name).copied()
    }

    pub(crate) fn name(&self, id: u32) -> &[u8] {
        &self.slots[id as usize].name
    }

    pub(crate) fn state(&self, id: u32) -> &SubjectState {
        &self.slots[id as usize].state
    }

    /// Counts message `seq`, which is above all earlier ones, and tells the subject's id and
    /// whether that id is new.
    pub(crate) fn add(&mut self, name: &[u8], seq: u64) -> (u32, bool) {
        if let Some(id) = self.find(name) {
            let slot = &mut self.slots[id as usize];
            let before = slot.state;
            slot.state.last = seq;
            slot.state.count += 1;
            if slot.listed && before.count > 1 {
                let interior = slot.interior.get_or_insert_default();
                if interior.len() < LISTED {
                    interior.push(before.last);
                } else {
                    slot.interior = None;
                    slot.listed = false;
                }
            }
            return (id, false);
        }
        let state = SubjectState { first: seq, last: seq, count: 1 };
        let slot = Slot { name: name.into(), state, interior: None, listed: true };
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
        let hash = self.hasher.hash_one(name);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table.insert_unique(hash, id, |&id| hasher.hash_one(&*slots[id as usize].name));
        (id, true)
    }

    /// Forgets message `seq`. If the new first or last is unknown here, the caller finds it and
    /// sets it by [`Subjects::set_first`] or [`Subjects::set_last`].
    pub(crate) fn remove(&mut self, id: u32, seq: u64) -> Unknown {
        let slot = &mut self.slots[id as usize];
        slot.state.count -= 1;
        if slot.state.count == 0 {
            self.forget(id);
            return Unknown::Nothing;
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
            return Unknown::Nothing;
        }
        if seq == slot.state.first {
            Unknown::First
        } else if seq == slot.state.last {
            Unknown::Last
        } else {
            self.relist(id);
            Unknown::Nothing
        }
    }

    pub(crate) fn set_first(&mut self, id: u32, seq: u64) {
        self.slots[id as usize].state.first = seq;
        self.relist(id);
    }

    pub(crate) fn set_last(&mut self, id: u32, seq: u64) {
        self.slots[id as usize].state.last = seq;
        self.relist(id);
    }

    /// The sequences of the subject in order, if they are known without a search.
    pub(crate) fn listed(&self, id: u32) -> Option<impl DoubleEndedIterator<Item = u64> + '_> {
        let slot = &self.slots[id as usize];
        let last = (slot.state.count > 1).then_some(slot.state.last);
        let interior = slot.interior.iter().flat_map(|list| list.iter().copied());
        slot.listed.then(|| std::iter::once(slot.state.first).chain(interior).chain(last))
    }

    /// Calls `f` for each subject that `filter` selects.
    pub(crate) fn matching(&self, filter: &Filter, mut f: impl FnMut(u32, &[u8], &SubjectState)) {
        if filter.is_literal() {
            if let Some(id) = self.find(filter.subject()) {
                f(id, filter.subject(), self.state(id));
            }
            return;
        }
        for (id, slot) in self.slots.iter().enumerate() {
            if slot.state.count > 0 && filter.matches(&slot.name) {
                f(id as u32, &slot.name, &slot.state);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Subjects { hasher: self.hasher.clone(), ..Subjects::default() };
    }

    /// Two messages or fewer need no list.
    fn relist(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        slot.listed |= slot.state.count <= 2;
    }

    fn forget(&mut self, id: u32) {
        let hash = self.hasher.hash_one(&*self.slots[id as usize].name);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.slots[id as usize] = Slot::default();
        self.free.push(id);
    }
}
