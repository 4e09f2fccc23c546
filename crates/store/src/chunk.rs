//! The index of one run of records: a segment of the file log, a slab of the memory log.
//!
//! Per message it keeps a word (offset of its record and two bits), the id of its subject and its
//! stamp in 2 to 4 bytes, so 10 to 12 bytes. The length of a record is the distance to the
//! next one; `others` holds where records begin that are no messages. While sequences are dense the
//! position in the arrays is the sequence; where many are missing (compaction, mirrors with gaps)
//! a sorted array of sequences is kept beside them.

mod columns;

use crate::SeqRange;
use crate::slab::{Fill, Slabs};
use crate::subjects::NO_SUBJECT;
use crate::times::Times;

const DEAD: u32 = 1 << 31;
const HEADERS: u32 = 1 << 30;
const OFFSET: u32 = HEADERS - 1;
/// Offsets, and so segments, end below this.
pub(crate) const OFFSET_MAX: u32 = OFFSET;
/// How far the last sequence may be from the first one.
pub(crate) const REACH: u64 = u32::MAX as u64;
/// A gap up to this is filled with dead entries; a wider one makes the chunk sparse.
const GAP_FILLED: u64 = 64;

/// A message as the index sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) headers: bool,
    pub(crate) subject: u32,
    pub(crate) time: i64,
}

#[derive(Debug)]
pub(crate) struct Chunk {
    /// The segment's number; 0, 1, 2 … in a memory log.
    pub(crate) id: u64,
    base: u64,
    seqs: Option<Vec<u32>>,
    words: Vec<u32>,
    subjects: Vec<u32>,
    times: Times,
    others: Vec<u32>,
    end: u32,
    live: u32,
    live_len: u64,
    /// The records themselves, in a memory log only.
    bodies: Option<Slabs>,
}

impl Chunk {
    /// An empty chunk whose first record will be at `offset`, with sequences from `base` on.
    pub(crate) fn new(id: u64, base: u64, offset: u32, bodies: bool) -> Chunk {
        Chunk {
            id,
            base,
            seqs: None,
            words: Vec::new(),
            subjects: Vec::new(),
            times: Times::default(),
            others: Vec::new(),
            end: offset,
            live: 0,
            live_len: 0,
            bodies: bodies.then(Slabs::default),
        }
    }

    /// The highest sequence that has an entry, or one below the base.
    pub(crate) fn last(&self) -> u64 {
        match (&self.seqs, self.words.len()) {
            (_, 0) => self.base.wrapping_sub(1),
            (Some(seqs), n) => self.base + u64::from(seqs[n - 1]),
            (None, n) => self.base + n as u64 - 1,
        }
    }

    /// Entries, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Bytes of the records of live messages.
    pub(crate) fn live_len(&self) -> u64 {
        self.live_len
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> u32 {
        self.end
    }

    /// Whether an entry for `seq`, which is behind all others, fits the chunk's arrays.
    pub(crate) fn takes(&self, seq: u64) -> bool {
        self.words.is_empty() || seq - self.base <= REACH
    }

    /// Adds a message; the record of one of a memory log is in [`Chunk::bodies`] already.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.words.is_empty() {
            self.base = entry.seq;
        }
        let gap = entry.seq - self.base - self.dense_len();
        if self.seqs.is_none() && gap > GAP_FILLED {
            self.seqs = Some((0..self.words.len() as u32).collect());
        }
        if let Some(seqs) = &mut self.seqs {
            seqs.push((entry.seq - self.base) as u32);
        } else {
            for _ in 0..gap {
                self.push_word(DEAD | entry.offset, NO_SUBJECT, entry.time);
            }
        }
        let headers = if entry.headers { HEADERS } else { 0 };
        self.push_word(entry.offset | headers, entry.subject, entry.time);
        self.end = entry.offset + entry.len;
        self.live += 1;
        self.live_len += u64::from(entry.len);
    }

    /// Adds a message that is removed already: its record is there, its message is not.
    pub(crate) fn push_dead(&mut self, entry: Entry) {
        self.push(Entry { subject: NO_SUBJECT, ..entry });
        self.kill(self.words.len() - 1);
    }

    /// Forgets the entries behind `seq`, which are dead, and where records were behind the first of them.
    pub(crate) fn cut_behind(&mut self, seq: u64) {
        let kept = self.lower_bound(seq.saturating_add(1));
        let Some(end) = self.words.get(kept).map(|word| word & OFFSET) else { return };
        let mut times = Times::default();
        self.times.iter().take(kept).for_each(|time| times.push(time));
        self.times = times;
        self.words.truncate(kept);
        self.subjects.truncate(kept);
        if let Some(seqs) = &mut self.seqs {
            seqs.truncate(kept);
        }
        self.others.retain(|&other| other < end);
        self.end = end;
    }

    /// Notes a record that is no message, or a region that is no record.
    pub(crate) fn push_other(&mut self, offset: u32, len: u32) {
        self.others.push(offset);
        self.end = offset + len;
    }

    fn dense_len(&self) -> u64 {
        if self.seqs.is_some() { 0 } else { self.words.len() as u64 }
    }

    fn push_word(&mut self, word: u32, subject: u32, time: i64) {
        self.words.push(word);
        self.subjects.push(subject);
        self.times.push(time);
    }

    /// The place of the first entry at or after `seq`.
    pub(crate) fn lower_bound(&self, seq: u64) -> usize {
        if seq <= self.base {
            return 0;
        }
        match &self.seqs {
            Some(seqs) => seqs.partition_point(|&rel| self.base + u64::from(rel) < seq),
            None => ((seq - self.base) as usize).min(self.words.len()),
        }
    }

    /// The place of `seq` if its message lives.
    pub(crate) fn find(&self, seq: u64) -> Option<usize> {
        let at = self.lower_bound(seq);
        (at < self.words.len() && self.seq(at) == seq && self.is_live(at)).then_some(at)
    }

    /// The place of `seq` if it has a record here, dead or not.
    pub(crate) fn find_any(&self, seq: u64) -> Option<usize> {
        let at = self.lower_bound(seq);
        (at < self.words.len() && self.seq(at) == seq).then_some(at)
    }

    pub(crate) fn seq(&self, at: usize) -> u64 {
        self.base
            + match &self.seqs {
                Some(seqs) => u64::from(seqs[at]),
                None => at as u64,
            }
    }

    pub(crate) fn is_live(&self, at: usize) -> bool {
        self.words[at] & DEAD == 0
    }

    pub(crate) fn subject(&self, at: usize) -> u32 {
        self.subjects[at]
    }

    pub(crate) fn time(&self, at: usize) -> i64 {
        self.times.get(at)
    }

    pub(crate) fn time_max(&self) -> i64 {
        self.times.max()
    }

    /// The records of a memory log's chunk.
    pub(crate) fn bodies(&self) -> Option<&Slabs> {
        self.bodies.as_ref()
    }

    /// How large a memory log is known to be.
    pub(crate) fn room(&self) -> usize {
        self.bodies.as_ref().map_or(0, Slabs::room)
    }

    /// Takes buffers at once that suit a memory log of about `room` bytes.
    pub(crate) fn follow(&mut self, room: usize) {
        if let Some(bodies) = &mut self.bodies {
            *bodies = Slabs::of(room);
        }
    }

    /// Stores the record of the message that is pushed next; nothing of a file log.
    pub(crate) fn store(&mut self, len: usize, fill: impl Fill) -> u32 {
        if let Some(bodies) = &mut self.bodies {
            bodies.append(self.end, len, fill);
        }
        self.end
    }

    /// Where the first message's record at or behind an offset begins: records lie in the order of
    /// their messages.
    pub(crate) fn record_from(&self, offset: u32) -> Option<u32> {
        let at = self.words.partition_point(|word| word & OFFSET < offset);
        self.words.get(at).map(|word| word & OFFSET)
    }

    /// Offset, length and headers bit of the record of a live entry.
    pub(crate) fn record(&self, at: usize) -> (u32, u32, bool) {
        let start = self.words[at] & OFFSET;
        let next = self.words.get(at + 1).map_or(self.end, |word| word & OFFSET);
        let other = self.others.partition_point(|&other| other <= start);
        let end = self.others.get(other).map_or(next, |&other| other.min(next));
        (start, end - start, self.words[at] & HEADERS != 0)
    }

    /// Marks a live entry dead and returns what [`Chunk::record`] said.
    pub(crate) fn kill(&mut self, at: usize) -> (u32, u32, bool) {
        let record = self.record(at);
        self.words[at] |= DEAD;
        self.subjects[at] = NO_SUBJECT;
        if let Some(bodies) = &mut self.bodies {
            bodies.kill(record.0, record.1);
        }
        self.live -= 1;
        self.live_len = self.live_len.saturating_sub(u64::from(record.1));
        record
    }

    /// Takes back [`Chunk::kill`] in a file log.
    pub(crate) fn revive(&mut self, at: usize, subject: u32) -> (u32, u32, bool) {
        let record = self.record(at);
        self.words[at] &= !DEAD;
        self.subjects[at] = subject;
        self.live += 1;
        self.live_len += u64::from(record.1);
        record
    }

    /// Says which subject a live message has.
    pub(crate) fn set_subject(&mut self, seq: u64, subject: u32) {
        if let Some(at) = self.find(seq) {
            self.subjects[at] = subject;
        }
    }

    /// Kills what lives from `first` to `last`.
    pub(crate) fn kill_range(&mut self, first: u64, last: u64) {
        let from = self.lower_bound(first);
        let to = if last >= self.last() { self.len() } else { self.lower_bound(last + 1) };
        if from == 0 && to == self.len() {
            self.kill_all();
            return;
        }
        for at in from..to {
            if self.is_live(at) {
                self.kill(at);
            }
        }
    }

    pub(crate) fn kill_all(&mut self) {
        self.words.iter_mut().for_each(|word| *word |= DEAD);
        self.subjects.fill(NO_SUBJECT);
        if let Some(bodies) = &mut self.bodies {
            bodies.clear();
        }
        self.live = 0;
        self.live_len = 0;
    }

    /// The place of the first live entry from `at` on.
    pub(crate) fn next_live(&self, at: usize) -> Option<usize> {
        if self.live == 0 {
            return None;
        }
        let rest = self.words.get(at..)?;
        rest.iter().position(|word| word & DEAD == 0).map(|n| at + n)
    }

    /// The place of the last live entry before `end`.
    pub(crate) fn prev_live(&self, end: usize) -> Option<usize> {
        if self.live == 0 {
            return None;
        }
        self.words[..end.min(self.words.len())].iter().rposition(|word| word & DEAD == 0)
    }

    /// The place of the first message on `subject` from `at` on.
    pub(crate) fn next_on(&self, subject: u32, at: usize) -> Option<usize> {
        if self.live == 0 {
            return None;
        }
        self.subjects.get(at..)?.iter().position(|&id| id == subject).map(|n| at + n)
    }

    /// The place of the last message on `subject` before `end`.
    pub(crate) fn prev_on(&self, subject: u32, end: usize) -> Option<usize> {
        if self.live == 0 {
            return None;
        }
        self.subjects[..end.min(self.words.len())].iter().rposition(|&id| id == subject)
    }

    /// Live messages with headers.
    pub(crate) fn live_headers(&self) -> usize {
        self.words.iter().filter(|&&word| word & (DEAD | HEADERS) == HEADERS).count()
    }

    /// Live entries from `at` on.
    pub(crate) fn live_from(&self, at: usize) -> u64 {
        if at == 0 {
            return u64::from(self.live);
        }
        self.words[at.min(self.words.len())..].iter().filter(|&&word| word & DEAD == 0).count()
            as u64
    }

    /// Adds the runs of entries that are dead to `out`, the last of which may be continued if
    /// `open` says so.
    pub(crate) fn dead(&self, out: &mut Vec<SeqRange>, open: &mut bool) {
        if self.live as usize == self.words.len() {
            // The usual case costs nothing, however many messages there are.
            *open &= self.words.is_empty();
            return;
        }
        if self.live == 0 {
            let (first, last) = (self.seq(0), self.last());
            match out.last_mut() {
                Some(run) if *open => run.last = last,
                _ => out.push(SeqRange { first, last }),
            }
            *open = true;
            return;
        }
        for at in 0..self.words.len() {
            if self.is_live(at) {
                *open = false;
                continue;
            }
            let seq = self.seq(at);
            match out.last_mut() {
                Some(run) if *open => run.last = seq,
                _ => out.push(SeqRange { first: seq, last: seq }),
            }
            *open = true;
        }
    }

    /// Live entries with their places.
    pub(crate) fn iter_live(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        (from..self.words.len()).filter(|&at| self.is_live(at))
    }

    /// Drops dead entries of a memory chunk.
    pub(crate) fn compact(&mut self) {
        let mut sparse = Chunk::new(self.id, self.base, 0, self.bodies.is_some());
        sparse.seqs = Some(Vec::with_capacity(self.live as usize));
        for (at, time) in self.times.iter().enumerate() {
            if !self.is_live(at) {
                continue;
            }
            let (start, len, headers) = self.record(at);
            let record = self.bodies.as_ref().and_then(|old| old.get(old.at(start), start, len));
            let offset = sparse.store(len as usize, record.unwrap_or_default());
            let (seq, subject) = (self.seq(at), self.subjects[at]);
            sparse.push(Entry { seq, offset, len, headers, subject, time });
        }
        sparse.shrink();
        *self = sparse;
    }

    /// Gives back spare room once nothing will be appended.
    pub(crate) fn shrink(&mut self) {
        self.words.shrink_to_fit();
        self.subjects.shrink_to_fit();
        self.others.shrink_to_fit();
        self.times.shrink();
    }
}
