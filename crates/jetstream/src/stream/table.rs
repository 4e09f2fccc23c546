//! The consumers of a stream: by name, and by what can wake them.
//!
//! A consumer is driven when something happened to it, and when messages became visible that it
//! waits for. So that a publish costs nothing for those it does not concern, each consumer that has
//! nothing to do lies in the list of what wakes it: any new message, or one that its filters match.
//! One that could deliver nothing anyway (no request waits, its target is full, too much is
//! unsettled) is in no list: the request, the room, or the ack wakes it.

use std::collections::{BTreeMap, BTreeSet};

use natterjack_store::{Log, LogPos};
use natterjack_subject::{MatchSet, Sublist};

use crate::consumer::{self, Consumer, Idle};
use crate::ctx::AckReplies;

/// With up to this many waiting for what matches, all of them look at what is new.
const FEW: usize = 4;

/// A consumer with what the stream keeps about it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number in notes and in the catalog.
    pub(crate) id: u64,
    pub(crate) consumer: Consumer,
    /// False until its creation is durable: before that it delivers nothing.
    pub(super) ready: bool,
    /// The catalog has it, and the log will up to here.
    pub(super) starts_at: Option<LogPos>,
    /// Empty answers that wait for its next note.
    pub(super) replies: AckReplies,
    /// Its first note, as the catalog has it; empty where it is in the log.
    pub(super) start: Box<[u8]>,
    /// It is in `dirty`.
    dirty: bool,
    /// It is in `noted`.
    noted: bool,
    /// The list it is in, and where.
    idle: Idle,
    place: usize,
    /// Its entry in `deadlines`; `u64::MAX` for none.
    deadline: u64,
}

impl Entry {
    pub(super) fn new(id: u64, consumer: Consumer, replies: AckReplies) -> Self {
        Self {
            id,
            consumer,
            ready: false,
            starts_at: None,
            replies,
            start: Box::default(),
            dirty: false,
            noted: false,
            idle: Idle::Deaf,
            place: 0,
            deadline: u64::MAX,
        }
    }
}

/// The consumers.
#[derive(Debug)]
pub(crate) struct Consumers {
    slots: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    by_name: BTreeMap<Box<str>, u32>,
    /// The slot that was asked for last: most acks are for the same consumer.
    last: u32,
    /// The last visible sequence when all of them were driven.
    driven_to: u64,
    /// Those whose start is to become durable.
    pub(super) starting: Vec<u32>,
    /// Something happened to these since they were driven.
    dirty: Vec<u32>,
    /// They wait for the log to read.
    reading: Vec<u32>,
    /// Any new message wakes them.
    any: Vec<u32>,
    /// A new message that their filters match wakes them; none up to `driven_to` does.
    matching: Vec<u32>,
    /// The slots of consumers with filters.
    filters: Sublist<u32>,
    /// The slots of push consumers, by where they deliver.
    pushing: BTreeMap<Box<[u8]>, Vec<u32>>,
    /// How many have no filter and count as interest.
    unfiltered: usize,
    found: MatchSet<u32>,
    /// They have something to write down.
    noted: Vec<u32>,
    /// When clocks ask for a tick. It may be earlier than needed, never later.
    deadlines: BTreeSet<(u64, u32)>,
    /// By slot: the removal of a message below this does not concern the consumer.
    floors: Vec<u64>,
}

impl Consumers {
    /// None yet. `seed` is random: clients choose the filters.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_name: BTreeMap::new(),
            last: 0,
            driven_to: 0,
            starting: Vec::new(),
            dirty: Vec::new(),
            reading: Vec::new(),
            any: Vec::new(),
            matching: Vec::new(),
            filters: Sublist::with_seed(seed),
            pushing: BTreeMap::new(),
            unfiltered: 0,
            found: MatchSet::new(),
            noted: Vec::new(),
            deadlines: BTreeSet::new(),
            floors: Vec::new(),
        }
    }

    /// How many count: those of mirrors and sources do not.
    pub(crate) fn counted(&self) -> usize {
        self.configs().filter(|(_, config)| !config.direct).count()
    }

    /// How many count against limits: nobody asked for what mirrors and sources have (nats-server 2.15.1).
    pub(crate) fn limited(&self) -> usize {
        self.configs().filter(|(_, config)| !config.direct && !config.sourcing).count()
    }

    pub(crate) fn id(&self, name: &str) -> Option<u64> {
        self.find(name).map(|entry| entry.id)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Consumer> {
        self.find(name).map(|entry| &entry.consumer)
    }

    /// The ones that lists show, by name.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &str> {
        self.configs().filter(|(_, config)| !config.direct).map(|(name, _)| name)
    }

    pub(crate) fn configs(&self) -> impl Iterator<Item = (&str, &consumer::Config)> {
        self.entries().map(|entry| (entry.consumer.name(), entry.consumer.config()))
    }

    /// All of them, by name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.by_name.values().filter_map(|slot| self.entry(*slot))
    }

    /// The slots of all of them, by name.
    pub(super) fn all(&self) -> Vec<u32> {
        self.by_name.values().copied().collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).and_then(|slot| self.entry(*slot))
    }

    /// The slot of a consumer.
    pub(super) fn slot(&mut self, name: &str) -> Option<u32> {
        let same = |entry: &Entry| entry.consumer.name() == name;
        if !self.entry(self.last).is_some_and(same) {
            self.last = *self.by_name.get(name)?;
        }
        Some(self.last)
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let name = entry.consumer.name().into();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.floors.push(0);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(Box::new(entry));
        self.by_name.insert(name, slot);
        self.index(slot);
        self.touch(slot);
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Entry> {
        self.touch(slot);
        self.unindex(slot);
        let entry = self.slots[slot as usize].take()?;
        self.by_name.remove(entry.consumer.name());
        self.deadlines.remove(&(entry.deadline, slot));
        for list in [&mut self.dirty, &mut self.noted, &mut self.starting] {
            list.retain(|other| *other != slot);
        }
        self.floors[slot as usize] = u64::MAX;
        self.free.push(slot);
        Some(*entry)
    }

    /// Lets messages that the consumer's filters match find it.
    pub(super) fn index(&mut self, slot: u32) {
        let Some(Some(entry)) = self.slots.get(slot as usize) else { return };
        let config = entry.consumer.config();
        for filter in config.filters() {
            self.filters.insert(filter.as_bytes(), None, slot);
        }
        if !config.deliver_subject.is_empty() {
            self.pushing.entry(config.deliver_subject.as_bytes().into()).or_default().push(slot);
        }
        self.unfiltered += usize::from(!config.direct && config.filters().next().is_none());
    }

    /// Undoes [`index`](Self::index); the configuration must still be the same.
    pub(super) fn unindex(&mut self, slot: u32) {
        let Some(Some(entry)) = self.slots.get(slot as usize) else { return };
        let config = entry.consumer.config();
        for filter in config.filters() {
            self.filters.remove(filter.as_bytes(), None, |other| *other == slot);
        }
        self.unfiltered -= usize::from(!config.direct && config.filters().next().is_none());
        if let Some(slots) = self.pushing.get_mut(config.deliver_subject.as_bytes()) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.pushing.remove(config.deliver_subject.as_bytes());
            }
        }
    }

    /// The push consumers that deliver on a subject.
    pub(super) fn delivering_to(&self, subject: &[u8]) -> &[u32] {
        self.pushing.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Something happens to the consumer: it is driven with the next settle.
    pub(super) fn touch(&mut self, slot: u32) {
        self.unlist(slot);
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        self.floors[slot as usize] = 0;
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Takes a consumer out of the list in which it waits.
    fn unlist(&mut self, slot: u32) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let place = entry.place;
        let list = match std::mem::replace(&mut entry.idle, Idle::Deaf) {
            Idle::Deaf => return,
            Idle::Reading => &mut self.reading,
            Idle::Any => &mut self.any,
            Idle::Matching => {
                entry.consumer.passed(self.driven_to);
                &mut self.matching
            }
        };
        list.swap_remove(place);
        if let Some(&moved) = list.get(place)
            && let Some(Some(other)) = self.slots.get_mut(moved as usize)
        {
            other.place = place;
        }
    }

    /// Wakes whom what became visible up to `visible` may concern, and those who wait for a read.
    pub(super) fn wake(&mut self, log: &Log, visible: u64) {
        while let Some(slot) = self.reading.last().copied() {
            self.touch(slot);
        }
        let old = self.driven_to;
        if visible == old {
            return;
        }
        while let Some(slot) = self.any.last().copied() {
            self.touch(slot);
        }
        let waiting = self.matching.len();
        if waiting <= FEW || visible.saturating_sub(old) >= waiting as u64 {
            while let Some(slot) = self.matching.last().copied() {
                self.touch(slot);
            }
        } else {
            let mut found = std::mem::take(&mut self.found);
            for seq in old + 1..=visible {
                let Some(subject) = log.subject_of(seq) else { continue };
                self.filters.matches(subject, &mut found);
                for slot in found.plain.drain(..) {
                    if self.entry(slot).is_some_and(|entry| entry.idle == Idle::Matching) {
                        self.touch(slot);
                    }
                }
            }
            self.found = found;
        }
        self.driven_to = visible;
    }

    /// Whether a message on `subject` concerns anybody but mirrors and sources.
    pub(super) fn want(&mut self, subject: &[u8]) -> bool {
        if self.unfiltered > 0 {
            return true;
        }
        let mut found = std::mem::take(&mut self.found);
        self.filters.matches(subject, &mut found);
        let counts = |entry: &Entry| !entry.consumer.config().direct;
        let wanted = found.plain.iter().any(|slot| self.entry(*slot).is_some_and(counts));
        found.plain.clear();
        self.found = found;
        wanted
    }

    /// Whether any consumer waits for the message at `seq`.
    pub(super) fn claim(&self, log: &Log, seq: u64) -> bool {
        self.slots.iter().flatten().any(|entry| entry.consumer.claims(log, seq))
    }

    /// Those that settled something since they were driven.
    pub(super) fn releasing(&self) -> Vec<u32> {
        let waits = |slot: &&u32| self.entry(**slot).is_some_and(|e| e.consumer.has_released());
        self.dirty.iter().chain(&self.noted).filter(waits).copied().collect()
    }

    /// The next consumers to drive, in the order in which they were woken; empty when there is
    /// none. Give the list back with [`driven`](Self::driven).
    pub(super) fn take_dirty(&mut self) -> Vec<u32> {
        let dirty = std::mem::take(&mut self.dirty);
        for slot in &dirty {
            if let Some(Some(entry)) = self.slots.get_mut(*slot as usize) {
                entry.dirty = false;
            }
        }
        dirty
    }

    /// Puts a list of [`take_dirty`](Self::take_dirty) back. True when more is to be done.
    pub(super) fn driven(&mut self, mut list: Vec<u32>) -> bool {
        list.clear();
        if self.dirty.is_empty() {
            self.dirty = list;
            return false;
        }
        true
    }

    /// Files a consumer that was driven by what can wake it.
    pub(super) fn file(&mut self, slot: u32) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let consumer = &entry.consumer;
        if entry.idle == Idle::Deaf && !entry.dirty {
            entry.idle = consumer.idle();
            let list = match entry.idle {
                Idle::Deaf => None,
                Idle::Reading => Some(&mut self.reading),
                Idle::Any => Some(&mut self.any),
                Idle::Matching => Some(&mut self.matching),
            };
            if let Some(list) = list {
                entry.place = list.len();
                list.push(slot);
            }
            self.floors[slot as usize] = consumer.removal_floor();
        }
        let waits = consumer.has_notes() || !entry.replies.is_empty() || consumer.has_released();
        if !entry.noted && waits {
            entry.noted = true;
            self.noted.push(slot);
        }
        // A later one may stay: the tick finds nothing to do and looks again.
        if let Some(at) = consumer.next_deadline().filter(|at| *at < entry.deadline) {
            self.deadlines.remove(&(entry.deadline, slot));
            self.deadlines.insert((at, slot));
            entry.deadline = at;
        }
    }

    /// True when somebody has something to write down.
    pub(super) fn are_noted(&self) -> bool {
        !self.noted.is_empty()
    }

    /// True when somebody's client waits for what is to be written down, or the removal of what is
    /// settled does, or it is a lot.
    pub(super) fn notes_are_due(&self, bytes_max: usize) -> bool {
        let mut bytes = 0;
        self.noted.iter().filter_map(|slot| self.entry(*slot)).any(|entry| {
            bytes += entry.consumer.note_bytes();
            let waits = !entry.replies.is_empty() || entry.consumer.has_released();
            waits || bytes > bytes_max
        })
    }

    /// Of those that have more to write down than `bytes_max` the next note is the whole state.
    pub(super) fn condense(&mut self, bytes_max: usize) {
        for slot in &self.noted {
            if let Some(Some(entry)) = self.slots.get_mut(*slot as usize)
                && entry.consumer.note_bytes() > bytes_max
            {
                entry.consumer.condense_notes();
            }
        }
    }

    /// Who has something to write down.
    pub(super) fn take_noted(&mut self) -> Vec<u32> {
        let noted = std::mem::take(&mut self.noted);
        for slot in &noted {
            if let Some(Some(entry)) = self.slots.get_mut(*slot as usize) {
                entry.noted = false;
            }
        }
        noted
    }

    /// When a consumer's clock asks for a tick.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next consumer whose deadline has come.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<u32> {
        let (at, slot) = self.deadlines.first().copied()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(Some(entry)) = self.slots.get_mut(slot as usize) {
            entry.deadline = u64::MAX;
        }
        Some(slot)
    }

    /// The consumers whom the removal of messages up to `last` may concern.
    pub(super) fn concerned(&self, last: u64) -> Vec<u32> {
        let floors = self.floors.iter().enumerate().filter(|(_, floor)| **floor <= last);
        let slots = floors.map(|(slot, _)| slot as u32);
        slots.filter(|slot| self.entry(*slot).is_some()).collect()
    }
}
