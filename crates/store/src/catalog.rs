//! Which streams and consumers there are.
//!
//! The catalog is a log of its own that holds no messages: each change is a note, one sync covers
//! all changes that wait, and when most of it is obsolete a checkpoint begins it anew and the old
//! segment goes. Each change is written twice, side by side with the checkpoint's copy, so that one
//! damaged record forgets nothing (jetstream.md 6, numbers 2055 and 4195).

use bytes::Bytes;
use std::collections::BTreeMap;

use crate::disk::{Disk, DiskRequest, DiskResult, RequestId};
use crate::file::{Blocked, FileOptions, Refused};
use crate::recover::{RecoverError, Recovery, Replay};
use crate::{Limits, Log, LogPos};

/// The catalog's directory in the store.
const DIR: &str = "catalog";
/// Bytes after which the catalog begins a new segment, and worth a checkpoint: creates wait for both,
/// and a start reads twice this in milliseconds. Few for a fuzzer, which is to see it begun anew.
const SEGMENT: u32 = if cfg!(fuzzing) { 4 << 10 } else { 2 << 20 };

const PUT: u8 = 1;
const DELETE: u8 = 2;
const LAST_ID: u8 = 3;

/// Ids are counted from 1 and do not come this far, 2^63 - 1; others in a file are damage.
pub const ID_MAX: u64 = i64::MAX as u64;

/// Bytes kept under a kind and an id, which mean something to the owner: the configurations of
/// streams and consumers.
///
/// Changes count at once in [`Catalog::get`] and [`Catalog::iter`]; they are safe when
/// [`Catalog::durable`] has reached the position that the call returned.
#[derive(Debug)]
pub struct Catalog {
    log: Log,
    entries: Entries,
}

#[derive(Debug, Default)]
struct Entries {
    all: BTreeMap<(u8, u64), Bytes>,
    last_id: u64,
}

impl Catalog {
    /// Opens the catalog of a store, or begins one. `salt` is random.
    ///
    /// # Errors
    /// As [`Log::recover`].
    pub fn recover(disk: &dyn Disk, salt: u64) -> Result<(Catalog, Recovery), RecoverError> {
        let mut entries = Entries::default();
        let options = FileOptions {
            segment_bytes: SEGMENT,
            tail_bytes: 0,
            block_bytes: 0,
            ..FileOptions::new(DIR, 0, salt)
        };
        let (log, report) = Log::recover(disk, 1, Limits::default(), options, &mut entries)?;
        Ok((Catalog { log, entries }, report))
    }

    /// Sets what is kept under a kind and an id.
    pub fn put(&mut self, kind: u8, id: u64, body: &[u8]) -> LogPos {
        self.entries.put(kind, id, body);
        self.write(PUT, &note(kind, id, body))
    }

    /// Forgets what is kept under a kind and an id.
    pub fn delete(&mut self, kind: u8, id: u64) -> LogPos {
        self.entries.all.remove(&(kind, id));
        self.write(DELETE, &note(kind, id, b""))
    }

    fn write(&mut self, kind: u8, body: &[u8]) -> LogPos {
        self.log.note(kind, body);
        self.log.note(kind, body)
    }

    /// What is kept under a kind and an id.
    pub fn get(&self, kind: u8, id: u64) -> Option<&[u8]> {
        self.entries.all.get(&(kind, id)).map(|body| &body[..])
    }

    /// Everything of a kind, by id.
    pub fn iter(&self, kind: u8) -> impl Iterator<Item = (u64, &[u8])> + '_ {
        let range = (kind, 0)..=(kind, u64::MAX);
        self.entries.all.range(range).map(|((_, id), body)| (*id, &body[..]))
    }

    /// The highest id that was ever used, for whatever kind; 0 if none was.
    pub fn last_id(&self) -> u64 {
        self.entries.last_id
    }

    /// The position of the last change.
    pub fn end(&self) -> LogPos {
        self.log.end()
    }

    /// All changes up to here are safe, except those that [`Catalog::refused`] tells of.
    pub fn durable(&self) -> LogPos {
        self.log.durable()
    }

    /// Changes that could not be made durable. They still count here and are written again with
    /// the next probe; whoever waits for them should be told of the error.
    pub fn refused(&mut self) -> Vec<Refused> {
        self.log.refused()
    }

    /// Why nothing becomes durable now.
    pub fn blocked(&self) -> Option<&Blocked> {
        self.log.blocked()
    }

    /// As [`Log::probe`].
    pub fn probe(&mut self) {
        self.log.probe();
    }

    /// Moves the requests that are due to `out`. Call it after each batch of changes, and after
    /// each [`Catalog::completed`].
    pub fn take_requests(&mut self, out: &mut Vec<DiskRequest>) {
        self.log.take_requests(out);
        if self.log.wants_checkpoint() {
            self.checkpoint();
            self.log.take_requests(out);
        }
    }

    fn checkpoint(&mut self) {
        let mut notes = vec![(LAST_ID, self.entries.last_id.to_le_bytes().to_vec())];
        let all = self.entries.all.iter();
        notes.extend(all.map(|((kind, id), body)| (PUT, note(*kind, *id, body))));
        self.log.checkpoint(&notes);
    }

    /// Takes the result of a request.
    pub fn completed(&mut self, id: RequestId, result: DiskResult) {
        self.log.completed(id, result);
    }
}

impl Entries {
    fn put(&mut self, kind: u8, id: u64, body: &[u8]) {
        self.all.insert((kind, id), Bytes::copy_from_slice(body));
        self.last_id = self.last_id.max(id);
    }
}

impl Replay for Entries {
    fn wants(&self, _time: i64, _flags: u8) -> bool {
        false
    }

    fn note(&mut self, note: u8, body: &[u8]) {
        let Some((&kind, rest)) = body.split_first() else { return };
        let (id, rest) = match (note, rest.split_first_chunk()) {
            (LAST_ID, _) => (body.try_into().map_or(0, u64::from_le_bytes), rest),
            (_, Some((id, rest))) => (u64::from_le_bytes(*id), rest),
            (_, None) => return,
        };
        if !(1..=ID_MAX).contains(&id) {
            return;
        }
        self.last_id = self.last_id.max(id);
        match note {
            PUT => self.put(kind, id, rest),
            DELETE => drop(self.all.remove(&(kind, id))),
            _ => {}
        }
    }
}

fn note(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    [&[kind], &id.to_le_bytes()[..], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_nobody_counts_to_are_none() {
        let mut entries = Entries::default();
        for id in [3, 0, u64::MAX, ID_MAX + 1] {
            entries.note(PUT, &note(1, id, b"x"));
            entries.note(LAST_ID, &id.to_le_bytes());
        }
        assert_eq!(entries.all.keys().collect::<Vec<_>>(), [&(1, 3)]);
        assert_eq!(entries.last_id, 3);
        entries.note(LAST_ID, &9_u64.to_le_bytes());
        entries.note(DELETE, &note(1, 3, b""));
        assert_eq!((entries.all.len(), entries.last_id), (0, 9));
    }
}
