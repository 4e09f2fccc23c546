//! Applying records to the index again.

use std::collections::BTreeSet;

use super::damage::{Damages, readable_seqs};
use super::together::Run;
use super::{Replay, ReplayedMessage, parse_checkpoint};
use crate::SeqRange;
use crate::chunk::{Chunk, Entry};
use crate::file::HEADER_LEN;
use crate::file::sidecar::Runs;
use crate::file::table::Table;
use crate::index::{Incoming, Index};
use crate::op::{Checkpoint, Op};
use crate::record::{HEAD, OVERHEAD, kind, layout, stamp};

/// A message by its sequence and subject.
pub(super) type Named = (u64, Box<[u8]>);

/// Up to so many sequences of a run are looked for one by one.
const SINGLY: u64 = 8;

/// What a record of the removal of a message says of it.
pub(super) struct Torn {
    pub(super) seq: u64,
    pub(super) segment: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
    headers: bool,
    time: i64,
    subject: Box<[u8]>,
}

impl Torn {
    pub(super) fn parse(record: &[u8]) -> Option<Torn> {
        match Op::parse(record[2], record[3], &record[HEAD..])? {
            Op::Secure(gone) => Some(Torn {
                seq: gone.seq,
                segment: gone.segment,
                offset: gone.offset,
                len: gone.len,
                headers: gone.headers,
                time: gone.time,
                subject: gone.subject.into(),
            }),
            _ => None,
        }
    }
}

pub(super) struct Replayer<'a> {
    pub(super) index: &'a mut Index,
    pub(super) owner: &'a mut dyn Replay,
    /// Where the log is replayed from. Before it only messages count, after it everything.
    pub(super) checkpoint: Option<Checkpoint<'a>>,
    /// What lives at the checkpoint, if its table tells; the subjects are in the index then, and
    /// the owner is told afterwards.
    pub(super) counted: Option<Counted>,
    /// A message before the checkpoint has a subject that the table does not know.
    pub(super) strange: bool,
    begun: bool,
    /// The highest sequence that a record was seen of.
    pub(super) seen: u64,
    /// Flags of the messages in the segment that is scanned.
    runs: Runs,
    lost: Vec<SeqRange>,
    /// Bytes of notes behind the checkpoint.
    pub(super) notes: u64,
    /// Sequences that may have been in a torn tail are handed out again.
    pub(super) reuse: bool,
    /// What was removed by name; that it is not there is no loss.
    removed: Vec<SeqRange>,
    /// Messages whose bytes must still be overwritten.
    erase: Vec<Named>,
    /// Messages whose bytes are overwritten already.
    erased: BTreeSet<u64>,
    /// Messages that count only together and are not all there yet.
    pub(super) run: Option<Run>,
    /// Which ones the last note about that named.
    pub(super) known: Option<SeqRange>,
    /// The log's position of the record that is replayed, and of the segment's first byte.
    pub(super) pos: u64,
    base: u64,
}

/// The counters at a checkpoint.
pub(super) struct Counted {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    first_time: i64,
}

impl<'a> Replayer<'a> {
    pub(super) fn new(
        index: &'a mut Index,
        owner: &'a mut dyn Replay,
        checkpoint: Option<&'a [u8]>,
        table: Option<Table>,
    ) -> Replayer<'a> {
        let checkpoint = checkpoint.and_then(parse_checkpoint);
        let begun = checkpoint.is_none();
        let counted = table.map(|table| {
            let Table { messages, bytes, first_seq, first_time, subjects, .. } = table;
            index.subjects = subjects;
            Counted { messages, bytes, first_seq, first_time }
        });
        Replayer {
            index,
            owner,
            checkpoint,
            counted,
            strange: false,
            begun,
            seen: 0,
            runs: Runs::default(),
            lost: Vec::new(),
            notes: 0,
            reuse: false,
            removed: Vec::new(),
            erase: Vec::new(),
            erased: BTreeSet::new(),
            run: None,
            known: None,
            pos: 0,
            base: 0,
        }
    }

    pub(super) fn last_seq(&self) -> u64 {
        if self.begun { self.seen.max(self.index.state.last_seq) } else { self.seen }
    }

    pub(super) fn lose(&mut self, range: SeqRange) {
        self.lost.push(range);
    }

    /// Adds the parts of `range` that were not removed to `out`.
    pub(super) fn without_removed(&self, range: SeqRange, out: &mut Vec<SeqRange>) {
        let dead = self.checkpoint.iter().flat_map(|state| &state.dead);
        let mut gone: Vec<&SeqRange> = dead
            .chain(&self.removed)
            .filter(|gone| gone.last >= range.first && gone.first <= range.last)
            .collect();
        gone.sort_unstable();
        let mut first = range.first;
        for gone in gone {
            if gone.first > first {
                out.push(SeqRange { first, last: gone.first - 1 });
            }
            first = first.max(gone.last.saturating_add(1));
        }
        if first <= range.last {
            out.push(SeqRange { first, last: range.last });
        }
    }

    /// A message whose overwriting was torn: it counts until the record that removes it. False if
    /// it does not fit in here.
    pub(super) fn torn_erasure(&mut self, damages: &mut Damages, gone: &Torn) -> bool {
        let Torn { seq, offset, len, headers, time, .. } = *gone;
        let fits = || self.index.chunks.back().is_some_and(|chunk| chunk.takes(seq));
        if seq <= self.last_seq() || !fits() {
            return false;
        }
        damages.behind(seq);
        self.seen = seq;
        let subject = &*gone.subject;
        let id = self.index.push(Incoming { seq, time, subject, headers, offset, len });
        self.enforce_after(id);
        self.passed(seq, seq);
        true
    }

    /// Sequences up to this one are not handed out again.
    pub(super) fn reserve(&mut self, seq: u64) {
        self.seen = self.seen.max(seq);
    }

    pub(super) fn open(&mut self, segment: u64, base: u64) {
        self.base = base;
        // Nothing comes to the chunk before.
        self.index.chunks.back_mut().into_iter().for_each(Chunk::shrink);
        let chunk = Chunk::new(segment, self.last_seq() + 1, HEADER_LEN, false);
        self.index.chunks.push_back(chunk);
    }

    /// Flags of the messages in the segment that was scanned.
    pub(super) fn take_runs(&mut self) -> Runs {
        std::mem::take(&mut self.runs)
    }

    /// All records from here on count.
    pub(super) fn begin(&mut self, damages: &mut Damages) {
        let Some(state) = &self.checkpoint else { return };
        damages.behind(state.last_seq + 1);
        self.begun = true;
        let held = self.index.state.last_seq;
        self.index.limits = state.limits;
        if let Some(counted) = &self.counted {
            let known = &mut self.index.state;
            (known.messages, known.bytes) = (counted.messages, counted.bytes);
            (known.first_seq, known.first_time) = (counted.first_seq, counted.first_time);
            known.last_seq = state.last_seq;
        }
        self.index.skip(state.last_seq.max(held), None);
        self.index.state.last_time = state.last_time;
        for range in &state.lost {
            self.index.lose(*range);
        }
        for (kind, body) in &state.notes {
            self.owner.note(*kind, body);
        }
    }

    /// Takes over what was found; tells which removed messages must still be overwritten, and which do
    /// not count because others that belong to them are missing.
    pub(super) fn finish(mut self, durable: u64) -> (Vec<Named>, Option<SeqRange>) {
        for range in std::mem::take(&mut self.lost) {
            self.index.lose(range);
        }
        self.index.skip(self.seen, None);
        let torn = self.take_back(durable);
        (self.erase, torn)
    }

    /// A region without records.
    pub(super) fn hole(&mut self, offset: u32, len: u32) {
        if let Some(chunk) = self.index.chunks.back_mut() {
            chunk.push_other(offset, len);
        }
    }

    /// The tail is cut off. Sequences that may have been in it are not handed out again: if it
    /// is damage and not a torn write, they were acknowledged.
    ///
    /// Tells up to which sequence they are, if there may be any.
    pub(super) fn torn(&mut self, bytes: &[u8]) -> Option<u64> {
        if self.reuse {
            return None;
        }
        let after = self.last_seq();
        let upto = match readable_seqs(bytes, after).last() {
            Some(&seq) => Some(seq),
            None if bytes.len() >= OVERHEAD && bytes.iter().any(|&byte| byte != 0) => {
                Some(after + 1)
            }
            None => None,
        };
        upto.into_iter().for_each(|seq| self.reserve(seq));
        upto
    }

    pub(super) fn record(&mut self, damages: &mut Damages, offset: u32, record: &[u8]) {
        self.pos = self.base + u64::from(offset);
        if matches!(record[2], kind::MESSAGE | kind::ERASED) {
            self.message(damages, offset, record);
            return;
        }
        self.hole(offset, record.len() as u32);
        let body = &record[HEAD..];
        let Some(op) = Op::parse(record[2], record[3], body) else { return };
        if let Op::Round { durable, last_seq, .. } = op {
            damages.durable = damages.durable.max(durable);
            if last_seq > 0 {
                damages.behind(last_seq + 1);
                self.reserve(last_seq);
            }
        }
        if self.begun {
            self.op(damages, &op);
        }
    }

    fn message(&mut self, damages: &mut Damages, offset: u32, record: &[u8]) {
        let (Some((seq, time)), Some([subject, headers, payload, _])) =
            (stamp(record), layout(record))
        else {
            self.hole(offset, record.len() as u32);
            return;
        };
        let is_void = self.reuse
            && !self.begun
            && self.checkpoint.as_ref().is_some_and(|state| seq > state.last_seq);
        let fits = || self.index.chunks.back().is_some_and(|chunk| chunk.takes(seq));
        if is_void || seq <= self.last_seq() || !fits() {
            // A sequence is stored once. What was refused before the checkpoint may come behind it.
            self.hole(offset, record.len() as u32);
            return;
        }
        damages.behind(seq);
        self.seen = seq;
        let len = record.len() as u32;
        let (has_headers, flags) = (payload > headers, record[3]);
        let erased = record[2] == kind::ERASED;
        let Some(chunk) = self.index.chunks.back_mut() else { return };
        if !erased {
            self.runs.push(chunk.last(), seq, flags);
        }
        let entry = Entry { seq, offset, len, headers: has_headers, subject: 0, time };
        if !self.begun && self.checkpoint.as_ref().is_some_and(|state| is_dead(state, seq)) {
            chunk.push_dead(entry);
            return;
        }
        let (subject, headers) = (&record[subject..headers], &record[headers..payload]);
        if erased {
            // The record that removes it comes later; until then it counts.
            self.erased.insert(seq);
        }
        if self.counted.is_some() && !self.begun {
            match self.index.subjects.find(subject) {
                Some(subject) => chunk.push(Entry { subject, ..entry }),
                None => self.strange = true,
            }
            return;
        }
        let incoming = Incoming { seq, time, subject, headers: has_headers, offset, len };
        if self.begun {
            self.comes(seq, self.owner.is_part(flags));
        }
        let id = self.index.push(incoming);
        if !erased {
            self.owner.message(&ReplayedMessage { seq, time, flags, subject, headers });
        }
        if self.begun {
            self.enforce_after(id);
            self.passed(seq, seq);
        }
    }

    fn op(&mut self, damages: &mut Damages, op: &Op<'_>) {
        match op {
            Op::Tombstone { ranges } => {
                for range in ranges {
                    self.remove(range);
                }
            }
            Op::Secure(gone) => {
                self.remove(&SeqRange { first: gone.seq, last: gone.seq });
                if !self.erased.contains(&gone.seq) {
                    self.erase.push((gone.seq, gone.subject.into()));
                }
            }
            Op::Skip { upto, time } => {
                damages.behind(*upto);
                if time.is_some() {
                    self.passed(self.index.state.last_seq + 1, *upto);
                }
                self.index.skip(*upto, *time);
            }
            Op::Purge(purge) => self.purge(purge),
            Op::Limits(limits) => {
                self.index.limits = *limits;
                self.enforce_all();
            }
            Op::Note { kind, body } => {
                self.notes += body.len() as u64;
                self.noted(self.owner.together(*kind, body));
                self.owner.note(*kind, body);
            }
            // The one that counts was taken over at the start; an older one is before it.
            Op::Checkpoint(_) => {}
            Op::Round { first_seq, last_seq, .. } => {
                self.index.skip(*last_seq, None);
                // Limits that count would spare one message more for each that damage took.
                if *first_seq > self.index.state.first_seq {
                    self.remove(&SeqRange { first: 0, last: first_seq - 1 });
                }
            }
        }
    }

    fn remove(&mut self, range: &SeqRange) {
        let mut from = range.first;
        if range.count() <= SINGLY {
            // Mostly one that is gone already: a search for what lives behind it would take long.
            (range.first..=range.last).for_each(|seq| {
                self.index.remove(seq);
            });
            from = range.last.saturating_add(1);
        }
        while let Some(seq) = self.index.next_live(from).filter(|&seq| seq <= range.last) {
            self.index.remove(seq);
            from = seq + 1;
        }
        self.removed.push(*range);
    }
}

/// The place of the first run that ends at or after `seq`.
pub(super) fn dead_at(dead: &[SeqRange], seq: u64) -> usize {
    dead.partition_point(|range| range.last < seq)
}

/// Whether a checkpoint says that a message before it is gone.
fn is_dead(state: &Checkpoint<'_>, seq: u64) -> bool {
    let run = state.dead.get(dead_at(&state.dead, seq));
    run.is_some_and(|range| range.first <= seq) || seq > state.last_seq
}
