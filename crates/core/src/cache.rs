//! Match results by subject, for one connection.
//!
//! What is found for a subject often does not depend on all of it: `_INBOX.me.17` goes where everything in
//! `_INBOX.me.*` goes. The sublist tells which tokens decided; an entry holds them and how many may
//! follow, so that subjects which are used once (inboxes, acks, keys) find it too.
//!
//! Direct-mapped: an entry has one slot. It is admitted when its slot has seen it miss shortly before, so
//! that what is asked for once costs neither memory nor a useful entry. The table grows when entries in
//! use meet in a slot; at its largest size the one that came first stays while it is used, so that too
//! many do not push each other out in turn.
//!
//! The entry of the last hit is tried first, without a hash: most publishers have one subject.

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
/// Entries that leave tokens open decide by fewer tokens than this.
const MAX_DECIDING: u32 = 16;

/// A cached verdict and match.
pub(crate) struct Hit {
    /// Stays the same while the entry is asked for the same subject, and differs for long from that of
    /// all others of this connection; 0 while it is not cached.
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
    /// Parts of the hashes of what missed last.
    missed: [u32; 2],
    entry: Option<Box<Entry>>,
}

/// The tokens that a subject begins with, and how many more it has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape<'a> {
    tokens: &'a [u8],
    open: u32,
}

struct Entry {
    /// The subject of the last hit. The first `decided` bytes are the tokens that decide.
    subject: Vec<u8>,
    decided: usize,
    open: u32,
    bucket: Bucket,
    generation: u64,
    /// Admitted or hit since another one wanted its slot.
    used: bool,
    hit: Hit,
}

impl Entry {
    fn shape(&self) -> Shape<'_> {
        Shape { tokens: &self.subject[..self.decided], open: self.open }
    }

    /// Whether the entry tells about this subject, which is then its last one.
    #[inline]
    fn covers(&mut self, subject: &[u8], ids: &mut u32) -> bool {
        *self.subject == *subject || (self.open > 0 && self.covers_other(subject, ids))
    }

    fn covers_other(&mut self, subject: &[u8], ids: &mut u32) -> bool {
        let Some(rest) = subject.strip_prefix(&self.subject[..self.decided]) else { return false };
        if open_tokens(rest) != Some(self.open) {
            return false;
        }
        self.subject.truncate(self.decided);
        self.subject.extend_from_slice(rest);
        self.hit.id = next_id(ids);
        true
    }

    fn is_fresh(&self, account: &Account) -> bool {
        self.generation == account.generation(self.bucket)
    }
}

fn next_id(ids: &mut u32) -> u32 {
    *ids = ids.checked_add(1).unwrap_or(1);
    *ids
}

/// How many tokens there are, each after a dot; `None` if one is empty or the first dot is missing.
fn open_tokens(rest: &[u8]) -> Option<u32> {
    let (mut count, mut last) = (0, b'x');
    for byte in rest {
        if *byte == b'.' {
            if last == b'.' {
                return None;
            }
            count += 1;
        }
        last = *byte;
    }
    (rest.first() == Some(&b'.') && last != b'.').then_some(count)
}

/// The cache; empty until the connection publishes.
#[derive(Default)]
pub(crate) struct Cache<S = DefaultHashBuilder> {
    slots: Vec<Slot>,
    /// The slot of the last hit.
    last: usize,
    /// By how many tokens entries decide that leave others open: a bit for each number.
    deciding: u32,
    hasher: S,
    kept: usize,
    /// The last one given to a match.
    ids: u32,
}

/// What a look-up tells.
pub(crate) enum Lookup {
    /// Ask [`Cache::get`].
    Hit(usize),
    /// Not cached; offer what is found to [`Cache::offer`].
    Miss(Miss),
}

/// What was read before the match is looked for: a change meanwhile makes it old.
pub(crate) struct Miss {
    bucket: Bucket,
    generation: u64,
}

impl<S: BuildHasher> Cache<S> {
    #[inline]
    pub(crate) fn look(&mut self, subject: &[u8], account: &Account) -> Lookup {
        if let Some(entry) = self.slots.get_mut(self.last).and_then(|slot| slot.entry.as_mut())
            && entry.covers(subject, &mut self.ids)
            && entry.is_fresh(account)
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
        if let Some(hit) = self.probe(Shape { tokens: subject, open: 0 }, subject, account) {
            return hit;
        }
        if self.deciding != 0
            && let Some(hit) = self.probe_open(subject, account)
        {
            return hit;
        }
        let bucket = Account::bucket(subject);
        Lookup::Miss(Miss { bucket, generation: account.generation(bucket) })
    }

    /// The entry of this shape, which is one of the subject.
    fn probe(&mut self, shape: Shape<'_>, subject: &[u8], account: &Account) -> Option<Lookup> {
        let index = self.index(self.hash(shape));
        let entry = self.slots[index].entry.as_mut()?;
        if entry.shape() != shape || !entry.is_fresh(account) {
            return None;
        }
        entry.covers(subject, &mut self.ids);
        entry.used = true;
        self.last = index;
        Some(Lookup::Hit(index))
    }

    fn probe_open(&mut self, subject: &[u8], account: &Account) -> Option<Lookup> {
        let mut deciding = 0;
        for dot in memchr::memchr_iter(b'.', subject) {
            deciding += 1;
            if deciding >= MAX_DECIDING || self.deciding >> deciding == 0 {
                return None;
            }
            if self.deciding >> deciding & 1 == 1 {
                let (tokens, rest) = subject.split_at(dot);
                let open = open_tokens(rest)?;
                if let Some(hit) = self.probe(Shape { tokens, open }, subject, account) {
                    return Some(hit);
                }
            }
        }
        None
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&Hit> {
        Some(&self.slots.get(index)?.entry.as_ref()?.hit)
    }

    /// Keeps what was found for `subject` if it is wanted again, and tells where. `decided` bytes of it
    /// decided, up to the end of a token.
    ///
    /// # Errors
    /// The match, if it is not kept.
    pub(crate) fn offer(
        &mut self,
        miss: &Miss,
        subject: &[u8],
        decided: usize,
        account: &Account,
        hit: Hit,
    ) -> Result<usize, Hit> {
        let shape = Self::shape(subject, decided);
        let hash = self.hash(shape);
        let index = self.index(hash);
        let mark = (hash >> 32) as u32;
        let slot = &mut self.slots[index];
        if !slot.missed.contains(&mark) {
            slot.missed = [mark, slot.missed[0]];
            return Err(hit);
        }
        if let Some(entry) = &mut slot.entry
            && entry.shape() != shape
            && entry.is_fresh(account)
            && std::mem::take(&mut entry.used)
        {
            // Both are in use. Whoever came first stays, unless there can be room for both.
            if self.slots.len() >= MAX_SLOTS {
                return Err(hit);
            }
            self.grow();
        }
        let (decided, open) = (shape.tokens.len(), shape.open);
        if open > 0 {
            self.deciding |= 1 << (1 + memchr::memchr_iter(b'.', shape.tokens).count());
        }
        let entry = Entry {
            subject: subject.into(),
            decided,
            open,
            bucket: miss.bucket,
            generation: miss.generation,
            used: true,
            hit: Hit { id: next_id(&mut self.ids), ..hit },
        };
        Ok(self.admit(self.index(hash), entry))
    }

    /// What decided, if that is not all.
    fn shape(subject: &[u8], decided: usize) -> Shape<'_> {
        let whole = Shape { tokens: subject, open: 0 };
        // The first token decides always: about reserved subjects and about the bucket.
        let first = memchr::memchr(b'.', subject).unwrap_or(subject.len());
        let (tokens, rest) = subject.split_at(decided.clamp(first, subject.len()));
        let deciding = 1 + memchr::memchr_iter(b'.', tokens).count();
        match open_tokens(rest) {
            Some(open) if deciding < MAX_DECIDING as usize => Shape { tokens, open },
            _ => whole,
        }
    }

    fn admit(&mut self, index: usize, entry: Entry) -> usize {
        let more = entry.hit.size();
        self.kept -= self.slots[index].entry.take().map_or(0, |entry| entry.hit.size());
        if self.kept + more > MAX_KEPT {
            self.slots.iter_mut().for_each(|slot| slot.entry = None);
            self.kept = 0;
        }
        self.kept += more;
        self.slots[index].entry = Some(Box::new(entry));
        self.last = index;
        index
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
        self.deciding = 0;
        self.kept = 0;
    }

    fn hash(&self, shape: Shape<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(shape.tokens);
        hasher.write_u32(shape.open);
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
            let index = self.index(self.hash(entry.shape()));
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
    use std::collections::HashMap;
    use std::hash::{BuildHasherDefault, DefaultHasher};
    use std::sync::Arc;

    /// Hashes the same in every run: which subjects meet in a slot decides what is kept.
    type Keyless = BuildHasherDefault<DefaultHasher>;

    struct Nobody;

    impl InterestWatcher for Nobody {
        fn changed(&self, _: &Arc<str>, _: &[u8]) {}
    }

    impl Service for Nobody {
        fn receive(&self, _: &str, _: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
            true
        }
    }

    /// A cache, and which subject each number of a match meant.
    #[derive(Default)]
    struct Asked {
        cache: Cache<Keyless>,
        ids: HashMap<u32, String>,
    }

    /// Looks `subject` up as a session does; true for a hit, which must be what a search finds.
    fn ask(asked: &mut Asked, account: &Account, subject: &str) -> bool {
        let Asked { cache, ids } = asked;
        match cache.look(subject.as_bytes(), account) {
            Lookup::Hit(index) => {
                let mut found = Matches::default();
                account.find(subject.as_bytes(), &mut found);
                let hit = cache.get(index).expect("it is a hit");
                // One number for one subject: what was encoded for the last one is repeated.
                let known = ids.insert(hit.id, subject.to_owned());
                assert!(known.is_none_or(|known| known == subject), "{subject}");
                let cached = &hit.matches;
                assert_eq!(cached.plain.len(), found.plain.len(), "{subject}");
                assert!(cached.plain.iter().zip(&found.plain).all(|(a, b)| Arc::ptr_eq(a, b)));
                true
            }
            Lookup::Miss(miss) => {
                let mut hit = Hit { id: 0, matches: Matches::default(), allowed: true };
                let decided = account.find(subject.as_bytes(), &mut hit.matches);
                let _ = cache.offer(&miss, subject.as_bytes(), decided, account, hit);
                false
            }
        }
    }

    /// Its subscriptions make the second token count.
    fn account() -> Arc<Account> {
        let account = Account::new("$G", 1, Arc::new(Nobody));
        for subject in ["a.x", "once.x", "often.x", "subject.x"] {
            account.subscribe_service(subject.as_bytes(), Arc::new(Nobody));
        }
        account
    }

    #[test]
    fn what_many_subjects_match_is_not_all_kept() {
        let account = account();
        for _ in 0..MAX_KEPT / 4 {
            account.subscribe_service(b">", Arc::new(Nobody));
        }
        let mut cache = Asked::default();
        for number in 0..40 {
            for _ in 0..2 {
                ask(&mut cache, &account, &format!("subject.{number}"));
            }
        }
        let kept = |cache: &Cache<Keyless>| -> usize {
            cache.slots.iter().flat_map(|slot| &slot.entry).map(|entry| entry.hit.size()).sum()
        };
        assert_eq!(kept(&cache.cache), cache.cache.kept);
        assert!((1..=MAX_KEPT).contains(&cache.cache.kept), "{} kept", cache.cache.kept);
        assert!(ask(&mut cache, &account, "subject.39"));
    }

    #[test]
    fn a_subject_is_kept_from_its_second_miss_on_until_interest_changes() {
        let (account, mut cache) = (account(), Asked::default());
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
    fn tokens_that_do_not_decide_may_be_any() {
        let (account, mut cache) = (account(), Asked::default());
        for subject in ["_INBOX.me.*", "_INBOX.you.*", "a.*.>"] {
            account.subscribe_service(subject.as_bytes(), Arc::new(Nobody));
        }
        for (subject, is_hit) in [
            ("_INBOX.me.1", false),
            ("_INBOX.me.2", false),
            ("_INBOX.me.3", true),
            ("_INBOX.me.*", true),
            ("_INBOX.me.3.4", false),
            ("_INBOX.me.", false),
            ("_INBOX.me", false),
            ("_INBOX.meander.3", false),
            ("_INBOX.you.3", false),
            ("_INBOX.me.3", true),
            ("_INBOX.you.4", false),
            ("_INBOX.you.5", true),
            ("_INBOX.me.4", true),
            ("nobody.hears.1", false),
            ("nobody.hears.2", false),
            ("nobody.cares.3", true),
            ("nobody..4", false),
            ("a.b.1", false),
            ("a.b.2", false),
            ("a.b.3", true),
            ("a.c.3", false),
        ] {
            assert_eq!(ask(&mut cache, &account, subject), is_hit, "{subject}");
        }
        account.subscribe_service(b"_INBOX.me.7", Arc::new(Nobody));
        for subject in ["_INBOX.me.6", "_INBOX.me.7", "_INBOX.me.8"] {
            assert!(!ask(&mut cache, &account, subject), "{subject}");
        }
    }

    #[test]
    fn the_table_grows_for_subjects_in_use_and_not_for_those_that_come_once() {
        let (account, mut cache) = (account(), Asked::default());
        for number in 0..10_000 {
            assert!(!ask(&mut cache, &account, &format!("once.{number}")));
        }
        assert_eq!((cache.cache.slots.len(), cache.cache.kept), (SLOTS, 0));
        let subjects: Vec<String> = (0..200).map(|number| format!("often.{number}")).collect();
        for subject in subjects.iter().cycle().take(200 * 20) {
            ask(&mut cache, &account, subject);
        }
        let hits = subjects.iter().filter(|subject| ask(&mut cache, &account, subject)).count();
        assert!(hits > 150, "{hits} of 200");
    }

    #[test]
    fn too_many_subjects_do_not_push_each_other_out() {
        let (account, mut cache) = (account(), Asked::default());
        let subjects: Vec<String> = (0..2 * MAX_SLOTS).map(|n| format!("often.{n}")).collect();
        for subject in subjects.iter().cycle().take(20 * subjects.len()) {
            ask(&mut cache, &account, subject);
        }
        assert_eq!(cache.cache.slots.len(), MAX_SLOTS);
        let hits = subjects.iter().filter(|subject| ask(&mut cache, &account, subject)).count();
        assert!(hits > MAX_SLOTS / 2, "{hits} of {}", subjects.len());
    }
}
