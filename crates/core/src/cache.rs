//! Match results by subject, for one connection.
//!
//! Direct-mapped: a subject has one slot. A subject is admitted when it misses twice in a row in its
//! slot, so that one-shot subjects (inboxes, acks) cost neither memory nor a useful entry.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::account::Matches;

const SLOTS: usize = 256;

/// A cached verdict and match.
pub(crate) struct Hit {
    pub(crate) matches: Matches,
    /// Whether the connection may publish there.
    pub(crate) allowed: bool,
}

#[derive(Default)]
struct Slot {
    /// The hash of the subject that missed last.
    missed: u64,
    entry: Option<Box<Entry>>,
}

struct Entry {
    subject: Box<[u8]>,
    generation: u64,
    hit: Hit,
}

/// The cache; empty until the connection publishes.
#[derive(Default)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    hasher: DefaultHashBuilder,
}

/// What a look-up tells.
pub(crate) enum Lookup {
    Hit(usize),
    /// Not cached; `Some` slot if a match found now should be admitted there.
    Miss(Option<usize>),
}

impl Cache {
    pub(crate) fn look(&mut self, subject: &[u8], generation: u64) -> Lookup {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject);
        let hash = hasher.finish();
        let index = hash as usize % SLOTS;
        let slot = &mut self.slots[index];
        if let Some(entry) = &slot.entry
            && *entry.subject == *subject
        {
            if entry.generation == generation {
                return Lookup::Hit(index);
            }
            return Lookup::Miss(Some(index));
        }
        if slot.missed == hash {
            return Lookup::Miss(Some(index));
        }
        slot.missed = hash;
        Lookup::Miss(None)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Hit> {
        self.slots[index].entry.as_ref().map(|entry| &entry.hit)
    }

    pub(crate) fn admit(
        &mut self,
        index: usize,
        subject: &[u8],
        generation: u64,
        hit: Hit,
    ) -> &Hit {
        let entry = Box::new(Entry { subject: subject.into(), generation, hit });
        &self.slots[index].entry.insert(entry).hit
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
    }
}
