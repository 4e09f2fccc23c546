//! Match results by subject, for one connection.
//!
//! Direct-mapped: a subject has one slot. A subject is admitted when its slot has seen it miss shortly
//! before, so that one-shot subjects (inboxes, acks) cost neither memory nor a useful entry. The table
//! grows when subjects in use meet in a slot; at its largest size the one that came first stays while
//! it is used, so that too many subjects do not push each other out in turn.
//!
//! The subject of the last hit is compared first, without a hash: most publishers have one subject.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::account::{Account, Bucket, Matches};

/// Slots of the first table, which are enough to see a thousand subjects return, and of the largest.
const SLOTS: usize = 256;
const MAX_SLOTS: usize = 1024;
const GROWTH: usize = 4;
/// Matched subscriptions kept in all entries together: a thousand publishers to subjects with a
/// thousand subscribers each must not take all memory. A single larger match is kept alone.
const MAX_KEPT: usize = 16 * 1024;

/// A cached verdict and match.
pub(crate) struct Hit {
    /// A number that no other entry of this cache had for long; 0 while it is not cached.
    pub(crate) id: u32,
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
    /// Parts of the hashes of the subjects that missed last.
    missed: [u32; 2],
    entry: Option<Box<Entry>>,
}

struct Entry {
    subject: Box<[u8]>,
    bucket: Bucket,
    generation: u64,
    /// Admitted or hit since another subject wanted its slot.
    used: bool,
    hit: Hit,
}

/// The cache; empty until the connection publishes.
#[derive(Default)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    /// The slot of the last hit.
    last: usize,
    hasher: DefaultHashBuilder,
    kept: usize,
    last_id: u32,
}

/// Where a match that is found now shall be kept.
pub(crate) struct Admission {
    hash: u64,
    bucket: Bucket,
    generation: u64,
}

/// What a look-up tells.
pub(crate) enum Lookup {
    /// Ask [`Cache::get`].
    Hit(usize),
    /// Not cached; with an admission if a match that is found now should be kept.
    Miss(Option<Admission>),
}

impl Cache {
    #[inline]
    pub(crate) fn look(&mut self, subject: &[u8], account: &Account) -> Lookup {
        if let Some(entry) = self.slots.get_mut(self.last).and_then(|slot| slot.entry.as_mut())
            && *entry.subject == *subject
            && entry.generation == account.generation(entry.bucket)
        {
            entry.used = true;
            return Lookup::Hit(self.last);
        }
        self.search(subject, account)
    }

    fn search(&mut self, subject: &[u8], account: &Account) -> Lookup {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let hash = self.hash(subject);
        let index = self.index(hash);
        let slot = &mut self.slots[index];
        let mark = (hash >> 32) as u32;
        let mut is_wanted = slot.missed.contains(&mark);
        if let Some(entry) = &mut slot.entry {
            let is_fresh = entry.generation == account.generation(entry.bucket);
            if *entry.subject == *subject {
                entry.used = true;
                if is_fresh {
                    self.last = index;
                    return Lookup::Hit(index);
                }
                is_wanted = true;
            } else if is_wanted && is_fresh && std::mem::take(&mut entry.used) {
                // Both are in use. Whoever came first stays, unless there can be room for both.
                is_wanted = self.slots.len() < MAX_SLOTS;
                if is_wanted {
                    self.grow();
                }
            }
        }
        if !is_wanted {
            let slot = &mut self.slots[index];
            slot.missed = [mark, slot.missed[0]];
            return Lookup::Miss(None);
        }
        // Read before the match is found: a change meanwhile makes the entry old.
        let bucket = Account::bucket(subject);
        let generation = account.generation(bucket);
        Lookup::Miss(Some(Admission { hash, bucket, generation }))
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&Hit> {
        Some(&self.slots.get(index)?.entry.as_ref()?.hit)
    }

    /// Keeps a match; returns where.
    pub(crate) fn admit(&mut self, admission: &Admission, subject: &[u8], mut hit: Hit) -> usize {
        let Admission { hash, bucket, generation } = *admission;
        let index = self.index(hash);
        let more = hit.size();
        self.kept -= self.slots[index].entry.take().map_or(0, |entry| entry.hit.size());
        if self.kept + more > MAX_KEPT {
            self.slots.iter_mut().for_each(|slot| slot.entry = None);
            self.kept = 0;
        }
        self.kept += more;
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        hit.id = self.last_id;
        let entry = Entry { subject: subject.into(), bucket, generation, used: true, hit };
        self.slots[index].entry = Some(Box::new(entry));
        self.last = index;
        index
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
        self.kept = 0;
    }

    fn hash(&self, subject: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject);
        hasher.finish()
    }

    fn index(&self, hash: u64) -> usize {
        hash as usize % self.slots.len()
    }

    #[cold]
    fn grow(&mut self) {
        let larger = self.slots.len() * GROWTH;
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(larger, Slot::default);
        for mut slot in old {
            let Some(entry) = slot.entry.take() else { continue };
            // Two in different slots stay in different ones.
            let index = self.index(self.hash(&entry.subject));
            self.slots[index] = Slot { missed: slot.missed, entry: Some(entry) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::InterestWatcher;
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

    /// Looks `subject` up as a session does; true for a hit.
    fn ask(cache: &mut Cache, account: &Account, subject: &str) -> bool {
        match cache.look(subject.as_bytes(), account) {
            Lookup::Hit(index) => {
                assert!(cache.get(index).is_some());
                true
            }
            Lookup::Miss(None) => false,
            Lookup::Miss(Some(admission)) => {
                let mut hit = Hit { id: 0, matches: Matches::default(), allowed: true };
                account.find(subject.as_bytes(), &mut hit.matches);
                cache.admit(&admission, subject.as_bytes(), hit);
                false
            }
        }
    }

    fn account() -> Arc<Account> {
        Account::new("$G", 1, Arc::new(Nobody))
    }

    #[test]
    fn what_many_subjects_match_is_not_all_kept() {
        let account = account();
        for _ in 0..MAX_KEPT / 4 {
            account.subscribe_service(b">", Arc::new(Nobody));
        }
        let mut cache = Cache::default();
        for number in 0..40 {
            for _ in 0..2 {
                ask(&mut cache, &account, &format!("subject.{number}"));
            }
        }
        let kept = |cache: &Cache| -> usize {
            cache.slots.iter().flat_map(|slot| &slot.entry).map(|entry| entry.hit.size()).sum()
        };
        assert_eq!(kept(&cache), cache.kept);
        assert!((1..=MAX_KEPT).contains(&cache.kept), "{} kept", cache.kept);
        assert!(ask(&mut cache, &account, "subject.39"));
    }

    #[test]
    fn a_subject_is_kept_from_its_second_miss_on_until_interest_changes() {
        let (account, mut cache) = (account(), Cache::default());
        let asked: Vec<bool> = (0..4).map(|_| ask(&mut cache, &account, "a.b")).collect();
        assert_eq!(asked, [false, false, true, true]);
        account.subscribe_service(b"b.c", Arc::new(Nobody));
        assert!(ask(&mut cache, &account, "a.b"));
        for subject in [&b"a.b"[..], b">"] {
            account.subscribe_service(subject, Arc::new(Nobody));
            assert!(!ask(&mut cache, &account, "a.b"));
            assert!(ask(&mut cache, &account, "a.b"));
        }
    }

    #[test]
    fn the_table_grows_for_subjects_in_use_and_not_for_those_that_come_once() {
        let (account, mut cache) = (account(), Cache::default());
        for number in 0..10_000 {
            assert!(!ask(&mut cache, &account, &format!("once.{number}")));
        }
        assert_eq!((cache.slots.len(), cache.kept), (SLOTS, 0));
        let subjects: Vec<String> = (0..200).map(|number| format!("often.{number}")).collect();
        for subject in subjects.iter().cycle().take(200 * 20) {
            ask(&mut cache, &account, subject);
        }
        let hits = subjects.iter().filter(|subject| ask(&mut cache, &account, subject)).count();
        assert!(hits > 150, "{hits} of 200");
    }

    #[test]
    fn too_many_subjects_do_not_push_each_other_out() {
        let (account, mut cache) = (account(), Cache::default());
        let subjects: Vec<String> = (0..2 * MAX_SLOTS).map(|n| format!("often.{n}")).collect();
        for subject in subjects.iter().cycle().take(20 * subjects.len()) {
            ask(&mut cache, &account, subject);
        }
        assert_eq!(cache.slots.len(), MAX_SLOTS);
        let hits = subjects.iter().filter(|subject| ask(&mut cache, &account, subject)).count();
        assert!(hits > MAX_SLOTS / 2, "{hits} of {}", subjects.len());
    }
}
