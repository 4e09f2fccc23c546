//! How far a stream has taken each of its sources, and how that survives a restart.
//!
//! Each sourced message says in its header where it comes from, so the last one of a source tells how
//! far it was taken. Messages go, by limits and purges, and a log with a checkpoint is not read again
//! from its beginning; so a note tells the places of all sources at each checkpoint, and before what
//! was sourced is erased. After a restart messages behind the last note count.

use std::collections::BTreeMap;

use super::header;

/// Sources whose place is remembered, those that were configured once included.
const PLACES_MAX: usize = 4096;

/// How far one source was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last sequence of the origin.
    pub(super) seq: u64,
    /// Which stream of that name it was.
    pub(super) identity: String,
}

/// The places by the names of the sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    known: BTreeMap<String, Place>,
    /// What a note said holds for messages up to this one.
    upto: u64,
}

impl Places {
    pub(super) fn get(&self, index: &str) -> Option<&Place> {
        self.known.get(index)
    }

    pub(super) fn set(&mut self, index: &str, seq: u64, identity: &str) {
        if let Some(place) = self.known.get_mut(index) {
            place.seq = seq;
            if place.identity != identity {
                identity.clone_into(&mut place.identity);
            }
        } else if self.known.len() < PLACES_MAX {
            let place = Place { seq, identity: identity.to_owned() };
            self.known.insert(index.to_owned(), place);
        }
    }

    /// Recovery: a message that was sourced.
    pub(crate) fn message(&mut self, seq: u64, headers: &[u8]) {
        if seq > self.upto
            && let Some((index, origin, identity)) = header::origin(headers)
        {
            self.set(&index, origin, &identity);
        }
    }

    /// The note that tells them; the last message of the stream is `last`.
    pub(super) fn note(&self, last: u64) -> Vec<u8> {
        let mut note = last.to_le_bytes().to_vec();
        let text = |note: &mut Vec<u8>, text: &str| {
            // Configurations are far below this, and what is cut is a place that is not found.
            let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
            note.extend_from_slice(&len.to_le_bytes());
            note.extend_from_slice(&text.as_bytes()[..usize::from(len)]);
        };
        for (index, place) in &self.known {
            note.extend_from_slice(&place.seq.to_le_bytes());
            text(&mut note, index);
            text(&mut note, &place.identity);
        }
        note
    }

    /// Reads a [`note`](Self::note); `None` when it is damaged.
    pub(crate) fn read(note: &[u8]) -> Option<Self> {
        fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
            let (len, tail) = rest.split_first_chunk::<2>()?;
            let (text, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            *rest = tail;
            std::str::from_utf8(text).ok()
        }
        let (upto, mut rest) = note.split_first_chunk::<8>()?;
        let mut places = Self { upto: u64::from_le_bytes(*upto), ..Self::default() };
        while !rest.is_empty() {
            let (seq, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            let (index, identity) = (text(&mut rest)?, text(&mut rest)?);
            places.set(index, u64::from_le_bytes(*seq), identity);
        }
        Some(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_only_later_messages_count() {
        let mut places = Places::default();
        places.set("O > >", 9, "abc");
        places.set("P x.> >", 3, "");
        let note = places.note(20);
        let mut read = Places::read(&note).unwrap();
        assert_eq!((&read.known, read.upto), (&places.known, 20));
        let block = |seq: u64| header::with_origin(b"", "O > >", seq, b"o", "abc");
        read.message(20, &block(4));
        assert_eq!(read.get("O > >").unwrap().seq, 9);
        read.message(21, &block(10));
        assert_eq!(read.get("O > >").unwrap().seq, 10);
        for len in 0..note.len() {
            // Cut between two sources it is a shorter note.
            if let Some(short) = Places::read(&note[..len]) {
                assert!(short.known.len() < 2, "{len}");
            }
        }
        assert_eq!(Places::read(&[0xff; 40]), None);
    }
}
