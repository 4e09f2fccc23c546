//! The table of subjects as bytes, and back.
//!
//! ```text
//! count of ids, count of free ids, the free ids in the order of their release
//! each id that is not free: count of messages (not 0), flags (bit 0: listed, 1: stale), first,
//!     last less first, count of listed sequences between them, each as the distance to the one
//!     before, length of the name, name
//! ```
//!
//! Numbers are as in `op`; an id that is free has a count of 0 and nothing else.

use hashbrown::HashTable;

use super::{Slot, Subjects, spread};
use crate::SubjectState;
use crate::op::{put_number, take_number};

const LISTED: u64 = 1;
const STALE: u64 = 2;

impl Subjects {
    /// Appends all that is known of the subjects.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_number(out, self.slots.len() as u64);
        put_number(out, self.free.len() as u64);
        self.free.iter().for_each(|&id| put_number(out, u64::from(id)));
        for slot in &self.slots {
            let SubjectState { first, last, count } = slot.state;
            put_number(out, count);
            if count == 0 {
                continue;
            }
            put_number(out, u64::from(slot.listed) * LISTED + u64::from(slot.stale) * STALE);
            put_number(out, first);
            put_number(out, last - first);
            let interior = slot.interior.as_ref().map_or(&[][..], |list| list.as_slice());
            put_number(out, interior.len() as u64);
            let mut before = first;
            for &seq in interior {
                put_number(out, seq - before);
                before = seq;
            }
            put_number(out, slot.name.len() as u64);
            out.extend_from_slice(&slot.name);
        }
    }

    /// The inverse of [`Subjects::save`], and how many messages the subjects have; `None` if the
    /// bytes do not fit together, or speak of messages above `last_seq`.
    pub(crate) fn load(from: &mut &[u8], last_seq: u64) -> Option<(Subjects, u64)> {
        let (ids, free) = (take_number(from)?, take_number(from)?);
        // Each takes a byte at least: nobody can ask for memory that is not there.
        if ids.checked_add(free)? > from.len() as u64 || ids > u64::from(u32::MAX - 1) {
            return None;
        }
        let mut subjects = Subjects {
            table: HashTable::with_capacity((ids - free.min(ids)) as usize),
            slots: Vec::with_capacity(ids as usize),
            free: Vec::with_capacity(free as usize),
            ..Subjects::default()
        };
        for _ in 0..free {
            let id = take_number(from).filter(|&id| id < ids)?;
            subjects.free.push(id as u32);
        }
        let mut messages = 0u64;
        for id in 0..ids as u32 {
            let slot = take_slot(from).filter(|slot| slot.state.last <= last_seq)?;
            messages = messages.checked_add(slot.state.count)?;
            if slot.state.count > 0 {
                let hash = subjects.hash(&slot.name);
                let rehash = |&(hash, _): &(u32, u32)| spread(hash);
                subjects.table.insert_unique(spread(hash), (hash, id), rehash);
            }
            subjects.slots.push(slot);
        }
        let unused = |&&id: &&u32| subjects.slots[id as usize].state.count == 0;
        let fits = subjects.free.iter().filter(unused).count() as u64 == free
            && subjects.table.len() as u64 + free == ids;
        fits.then_some((subjects, messages))
    }
}

/// Of a number of messages: none was seen yet; each is known by its sequence.
const UNSEEN: u32 = 1 << 31;
const EACH: u32 = 1 << 30;
const COUNT: u32 = EACH - 1;

impl Subjects {
    /// Whether `live`, the id and sequence of each message in order, is what the subjects count. It takes
    /// four bytes a subject, and looks at most of them twice.
    pub(crate) fn are_those_of(&self, live: impl Iterator<Item = (u32, u64)>) -> bool {
        let mut open = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let Some(count) = u32::try_from(slot.state.count).ok().filter(|&n| n <= COUNT) else {
                return false;
            };
            open.push(count | UNSEEN | if slot.interior.is_some() { EACH } else { 0 });
        }
        for (id, seq) in live {
            let Some(left) = open.get_mut(id as usize) else { return false };
            let (count, unseen) = (*left & COUNT, *left & UNSEEN != 0);
            if count == 0 {
                return false;
            }
            let each = *left & EACH != 0;
            *left = (*left - 1) & !UNSEEN;
            if !unseen && !each && count > 1 {
                continue;
            }
            let slot = &self.slots[id as usize];
            let SubjectState { first, last, count: all } = slot.state;
            let fits = match all - u64::from(count) {
                0 => seq == first || (slot.stale && seq > first),
                _ if count == 1 => true,
                at => {
                    slot.interior.as_ref().and_then(|list| list.get(at as usize - 1)) == Some(&seq)
                }
            };
            if !fits || (count == 1 && seq != last) {
                return false;
            }
        }
        open.iter().all(|left| left & COUNT == 0)
    }
}

fn take_slot(from: &mut &[u8]) -> Option<Slot> {
    let count = take_number(from)?;
    if count == 0 {
        return Some(Slot::default());
    }
    let (flags, first) = (take_number(from)?, take_number(from)?);
    let last = first.checked_add(take_number(from)?)?;
    let listed = take_number(from)?;
    let mut interior = Vec::new();
    let mut before = first;
    for _ in 0..listed {
        before = before.checked_add(take_number(from)?)?;
        interior.push(before);
    }
    let len = usize::try_from(take_number(from)?).ok()?;
    let (name, rest) = from.split_at_checked(len)?;
    *from = rest;
    let listed_fits = flags & LISTED == 0 || interior.len() as u64 == count.saturating_sub(2);
    (listed_fits && before <= last).then(|| Slot {
        name: name.into(),
        state: SubjectState { first, last, count },
        interior: (!interior.is_empty()).then(|| Box::new(interior)),
        listed: flags & LISTED != 0,
        stale: flags & STALE != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_comes_back() {
        let mut subjects = Subjects::default();
        for seq in 1..500u64 {
            subjects.add(format!("k.{}", seq * seq % 97).as_bytes(), seq, 8);
        }
        for seq in 1..60u64 {
            let id =
                subjects.find(format!("k.{}", seq * seq % 97).as_bytes()).expect("it is there");
            if subjects.remove(id, seq) {
                subjects.set_last(id, seq);
            }
        }
        let mut bytes = Vec::new();
        subjects.save(&mut bytes);
        let (loaded, messages) = Subjects::load(&mut &bytes[..], 499).expect("it fits");
        assert_eq!(messages, subjects.slots.iter().map(|slot| slot.state.count).sum::<u64>());
        let id_of = |seq: u64| subjects.find(format!("k.{}", seq * seq % 97).as_bytes());
        let live: Vec<(u32, u64)> =
            (60..500).map(|seq| (id_of(seq).expect("it is there"), seq)).collect();
        assert!(loaded.are_those_of(live.iter().copied()));
        for at in 0..live.len() {
            let fits = |one: &[(u32, u64)]| {
                loaded.are_those_of([&live[..at], one, &live[at + 1..]].concat().into_iter())
            };
            let (id, seq) = live[at];
            assert!(fits(&[(id, seq)]));
            assert!(!fits(&[]), "without {seq}");
            assert!(!fits(&[(id, seq), (id, seq)]), "{seq} twice");
            assert!(!fits(&[((id + 1) % loaded.ids() as u32, seq)]), "{seq} on another subject");
        }
        assert_eq!(format!("{:?}", loaded.slots), format!("{:?}", subjects.slots));
        assert_eq!((loaded.len(), &loaded.free), (subjects.len(), &subjects.free));
        for id in 0..subjects.ids() as u32 {
            let used = subjects.state(id).count > 0;
            assert_eq!(loaded.find(subjects.name(id)), used.then_some(id));
        }
        assert!(Subjects::load(&mut &bytes[..], 498).is_none());
        assert!((0..bytes.len()).all(|len| Subjects::load(&mut &bytes[..len], 499).is_none()));
    }
}
