//! Match results by subject, for one connection.
//!
//! Direct-mapped: a subject has one slot. A subject is admitted when it misses twice in a row in its
//! slot, so that one-shot subjects (inboxes, acks) cost neither memory nor a useful entry.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::account::Matches;

const SLOTS: usize = 256;
/// Matched subscriptions kept in all entries together: a thousand publishers to subjects with a
/// thousand subscribers each must not take all memory. A single larger match is kept alone.
const MAX_KEPT: usize = 16 * 1024;

/// A cached verdict and match.
pub(crate) struct Hit {
    pub(crate) matches: Matches,
    /// Whether the connection may publish there.
    pub(crate) allowed: bool,
}

impl Hit {
    fn size(&self) -> usize {
        let members = self.matches.queues.iter().map(|(_, members)| members.len());
        self.matches.plain.len() + members.sum::<usize>()
    }
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
    kept: usize,
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
        let more = hit.size();
        self.kept -= self.slots[index].entry.take().map_or(0, |entry| entry.hit.size());
        if self.kept + more > MAX_KEPT {
            self.slots.iter_mut().for_each(|slot| slot.entry = None);
            self.kept = 0;
        }
        self.kept += more;
        let entry = Box::new(Entry { subject: subject.into(), generation, hit });
        &self.slots[index].entry.insert(entry).hit
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
        self.kept = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, InterestWatcher};
    use crate::batch::Batch;
    use crate::service::{Message, Origin, Service};
    use std::sync::Arc;

    struct Nobody;

    impl InterestWatcher for Nobody {
        fn changed(&self, _: &Arc<str>, _: &[u8]) {}
    }

    impl Service for Nobody {
        fn receive(&self, _: &str, _: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
            true
        }
    }

    #[test]
    fn what_many_subjects_match_is_not_all_kept() {
        let account = Account::new("$G", 1, Arc::new(Nobody));
        for _ in 0..MAX_KEPT / 4 {
            account.subscribe_service(b">", Arc::new(Nobody));
        }
        let mut cache = Cache::default();
        for number in 0..40 {
            let subject = format!("subject.{number}");
            for _ in 0..2 {
                if let Lookup::Miss(Some(slot)) = cache.look(subject.as_bytes(), 0) {
                    let mut hit = Hit { matches: Matches::default(), allowed: true };
                    account.find(subject.as_bytes(), &mut hit.matches);
                    cache.admit(slot, subject.as_bytes(), 0, hit);
                }
            }
        }
        let kept = |cache: &Cache| -> usize {
            cache.slots.iter().flat_map(|slot| &slot.entry).map(|entry| entry.hit.size()).sum()
        };
        assert_eq!(kept(&cache), cache.kept);
        assert!((1..=MAX_KEPT).contains(&cache.kept), "{} kept", cache.kept);
        assert!(matches!(cache.look(b"subject.39", 0), Lookup::Hit(_)));
    }
}
