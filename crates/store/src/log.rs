//! The log of one stream.

use bytes::BytesMut;

use crate::index::{Incoming, Index};
use crate::{
    Appended, DiskRequest, DiskResult, Filter, Get, Limits, LogPos, NewMessage, Next, Purge,
    Purged, RequestId, SeqRange, State, SubjectState, record,
};

/// Entries of one chunk of a memory log.
const MEMORY_CHUNK: usize = 16 * 1024;

/// The messages of one stream, in memory or in segments on disk, with the notes of its owner.
///
/// Calls never block: what needs the disk becomes a [`DiskRequest`], and the answer comes back
/// through [`Log::completed`]. All that is appended counts at once in [`Log::state`] and can be
/// read; who tells others of it waits until [`Log::durable`] has reached its position. The records
/// of a memory log are durable at once.
#[derive(Debug)]
pub struct Log {
    index: Index,
    evicted: Vec<SeqRange>,
    pos: u64,
}

impl Log {
    /// An empty log in memory. The first message gets sequence `first_seq` (0 means 1).
    pub fn memory(first_seq: u64, limits: Limits) -> Log {
        let mut index = Index::new(first_seq, limits, true);
        index.open_chunk(0, 0);
        Log { index, evicted: Vec::new(), pos: 0 }
    }

    /// Appends a message at the next sequence, then removes what the limits no longer allow.
    pub fn append(&mut self, m: NewMessage<'_>) -> Appended {
        self.append_at(self.index.state.last_seq + 1, m)
    }

    /// Appends a message at a given sequence, as mirrors do; the sequences between are gaps. A
    /// sequence that was handed out already is raised to the next one.
    pub fn append_at(&mut self, seq: u64, m: NewMessage<'_>) -> Appended {
        let seq = seq.max(self.index.state.last_seq + 1);
        let len = record::message_len(&m);
        let mut body = BytesMut::with_capacity(len);
        record::put_message(&mut body, seq, &m);
        self.roll_memory(seq, len);
        let offset = self.index.chunks.back().map_or(0, |chunk| chunk.end());
        let incoming = Incoming {
            seq,
            time: m.time,
            subject: m.subject,
            headers: !m.headers.is_empty(),
            offset,
            len: len as u32,
        };
        self.index.push(incoming, Some(body.freeze()));
        let evicted = &mut self.evicted;
        self.index.enforce_after(m.subject, &mut |seq| push_range(evicted, seq));
        Appended { seq, pos: self.advance(len) }
    }

    /// Uses up the next sequence without storing anything (interest retention without interest).
    pub fn skip(&mut self, time: i64) -> Appended {
        let seq = self.index.state.last_seq + 1;
        self.index.skip(seq, Some(time));
        Appended { seq, pos: self.advance(1) }
    }

    /// Removes a message; with `secure` its bytes are overwritten too. `None` if there is none.
    pub fn remove(&mut self, seq: u64, secure: bool) -> Option<LogPos> {
        let _ = secure; // The bytes of a memory log are freed.
        self.index.remove(seq).then(|| self.advance(1))
    }

    /// Removes messages as `STREAM.PURGE` does (jetstream.md 2.12).
    pub fn purge(&mut self, purge: &Purge<'_>) -> Purged {
        let count = self.index.purge(purge, &mut |_| {});
        Purged { count, pos: self.advance(1) }
    }

    /// Replaces the limits and removes what the new ones do not allow.
    pub fn set_limits(&mut self, limits: Limits) -> LogPos {
        self.index.limits = limits;
        let evicted = &mut self.evicted;
        self.index.enforce_all(&mut |seq| push_range(evicted, seq));
        self.advance(1)
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.index.limits
    }

    /// Appends a record of the owner, which recovery hands back. A memory log forgets it.
    pub fn note(&mut self, kind: u8, body: &[u8]) -> LogPos {
        let _ = (kind, body);
        self.advance(1)
    }

    /// Whether [`Log::checkpoint`] would free disk space worth the effort.
    pub fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Appends the owner's full state, which makes all its earlier notes obsolete.
    pub fn checkpoint(&mut self, notes: &[(u8, Vec<u8>)]) -> LogPos {
        let _ = notes;
        self.advance(1)
    }

    /// The position of the last appended record.
    pub fn end(&self) -> LogPos {
        LogPos(self.pos)
    }

    /// All records up to here are safe.
    pub fn durable(&self) -> LogPos {
        LogPos(self.pos)
    }

    /// The highest durable sequence: nothing above it may be shown to anybody.
    pub fn visible_last(&self) -> u64 {
        self.index.state.last_seq
    }

    /// Appends to `out` the sequences that limits have removed since the last call, in order of
    /// removal.
    pub fn take_evicted(&mut self, out: &mut Vec<u64>) {
        out.extend(self.evicted.drain(..).flat_map(|range| range.first..=range.last));
    }

    /// As [`Log::take_evicted`], in runs: a lowered limit may remove millions.
    pub fn take_evicted_ranges(&mut self, out: &mut Vec<SeqRange>) {
        out.append(&mut self.evicted);
    }

    /// The counters.
    pub fn state(&self) -> &State {
        &self.index.state
    }

    /// What [`State::bytes`] would grow by for a message of these lengths.
    pub fn message_bytes(&self, subject: usize, headers: usize, payload: usize) -> u64 {
        self.index.accounted((record::OVERHEAD + subject + headers + payload) as u32, headers > 0)
    }

    /// The runs of missing sequences between the first stored message and the last sequence.
    pub fn deleted(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.index.deleted()
    }

    /// Whether a message is stored at `seq`.
    pub fn contains(&self, seq: u64) -> bool {
        self.index.find(seq).is_some()
    }

    /// The message at `seq`.
    pub fn get(&mut self, seq: u64) -> Get {
        let Some((chunk, at)) = self.index.find(seq) else { return Get::Missing };
        match self.index.chunks[chunk].body(at).and_then(record::parse_message) {
            Some(stored) => Get::Found(stored),
            None => Get::Damaged,
        }
    }

    /// The first message at or after `from` that one of `filters` selects; an empty slice selects
    /// all.
    pub fn next_match(&mut self, filters: &[Filter], from: u64) -> Next {
        next(self.index.next_match(filters, from))
    }

    /// The first message stored at or after `time` (unix nanoseconds).
    pub fn seq_at_time(&mut self, time: i64) -> Next {
        next(self.index.seq_at_time(time))
    }

    /// The last message whose subject matches `filter`; wildcards are allowed.
    pub fn last_on(&mut self, filter: &[u8]) -> Next {
        next(self.index.last_on(&Filter::new(filter)))
    }

    /// Calls `f` for each subject with messages that `filter` matches, in no particular order.
    pub fn subjects_matching(&self, filter: &[u8], f: impl FnMut(&[u8], &SubjectState)) {
        self.index.subjects_matching(&Filter::new(filter), f);
    }

    /// What is stored on one literal subject.
    pub fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.index.subjects.find(subject).map(|id| *self.index.subjects.state(id))
    }

    /// How many subjects have messages.
    pub fn num_subjects(&self) -> usize {
        self.index.subjects.len()
    }

    /// How many messages at or after `from` the filters select, exactly.
    pub fn num_pending(&mut self, filters: &[Filter], from: u64) -> u64 {
        self.index.num_pending(filters, from)
    }

    /// The last message at or below `up_to` of each subject that the filters select, sorted.
    pub fn last_per_subject(&self, filters: &[Filter], up_to: u64) -> Vec<u64> {
        self.index.last_per_subject(filters, up_to)
    }

    /// Moves the requests that are due to `out`. Call it after each batch of calls.
    pub fn take_requests(&mut self, out: &mut Vec<DiskRequest>) {
        let _ = out;
    }

    /// Takes the result of a request.
    pub fn completed(&mut self, id: RequestId, result: DiskResult) {
        let _ = (id, result);
    }

    /// Bytes that are appended and not durable yet. The owner stops admitting messages when it is
    /// more than it wants to keep in memory.
    pub fn backlog_bytes(&self) -> usize {
        0
    }

    fn advance(&mut self, by: usize) -> LogPos {
        self.pos += by as u64;
        LogPos(self.pos)
    }

    fn roll_memory(&mut self, seq: u64, len: usize) {
        let full = self.index.chunks.back().is_none_or(|chunk| {
            let room = u64::from(crate::chunk::OFFSET_MAX - chunk.end());
            chunk.len() >= MEMORY_CHUNK || !chunk.takes(seq) || room < len as u64
        });
        if full {
            let id = self.index.chunks.back().map_or(0, |chunk| chunk.id + 1);
            self.index.open_chunk(id, 0);
        }
    }
}

fn next(found: Option<u64>) -> Next {
    found.map_or(Next::End, Next::Found)
}

/// Adds a removed sequence, extending the last run where it continues it.
fn push_range(ranges: &mut Vec<SeqRange>, seq: u64) {
    match ranges.last_mut() {
        Some(last) if last.last + 1 == seq => last.last = seq,
        _ => ranges.push(SeqRange { first: seq, last: seq }),
    }
}
