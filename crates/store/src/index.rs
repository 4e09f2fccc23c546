//! Which messages a stream holds: sequences, subjects, counters and limits.
//!
//! Everything here is a function of the operations applied, in their order. Appending, recovery
//! and both kinds of log go through the same calls, which is why a replay ends in the same state.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::chunk::{Chunk, Entry};
use crate::query::Memo;
use crate::subjects::{LISTED, Subjects};
use crate::{Filter, Limits, Purge, SEQ_MAX, SeqRange, State, SubjectState};

/// Bytes of a record that are neither subject, headers nor payload.
pub(crate) const RECORD_OVERHEAD: usize = crate::record::OVERHEAD;

#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) chunks: VecDeque<Chunk>,
    pub(crate) subjects: Subjects,
    pub(crate) state: State,
    pub(crate) limits: Limits,
    pub(crate) memo: Memo,
    memory: bool,
    /// Where a message was found last.
    hint: AtomicUsize,
}

/// A message on its way into the index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) seq: u64,
    pub(crate) time: i64,
    pub(crate) subject: &'a [u8],
    pub(crate) headers: bool,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Index {
    pub(crate) fn new(first_seq: u64, limits: Limits, memory: bool) -> Index {
        let first_seq = first_seq.clamp(1, SEQ_MAX);
        let state = State { first_seq, last_seq: first_seq - 1, ..State::default() };
        Index {
            chunks: VecDeque::new(),
            subjects: Subjects::default(),
            state,
            limits,
            memo: Memo::default(),
            memory,
            hint: AtomicUsize::new(0),
        }
    }

    /// nats-server's accounting of a message whose record has `len` bytes (jetstream.md 5.2).
    pub(crate) fn accounted(&self, len: u32, headers: bool) -> u64 {
        self.account_for(1, u64::from(len), u64::from(headers))
    }

    /// As [`Index::accounted`], for the live messages of a chunk together.
    pub(crate) fn accounted_in(&self, chunk: &Chunk) -> u64 {
        self.account_for(u64::from(chunk.live()), chunk.live_len(), chunk.live_headers() as u64)
    }

    #[inline]
    fn account_for(&self, messages: u64, len: u64, with_headers: u64) -> u64 {
        let content = len - messages * RECORD_OVERHEAD as u64;
        let (each, headers) = if self.memory { (16, 0) } else { (30, 4) };
        messages * each + content + with_headers * headers
    }

    /// Opens a chunk behind all others. Its records start at `offset`.
    pub(crate) fn open_chunk(&mut self, id: u64, offset: u32) {
        self.chunks.push_back(Chunk::new(id, self.state.last_seq + 1, offset, self.memory));
    }

    /// Adds a message to the last chunk; its sequence is above all earlier ones. Returns the id of
    /// its subject.
    pub(crate) fn push(&mut self, m: Incoming<'_>) -> u32 {
        let list = self.list();
        let (subject, new) = self.subjects.add(m.subject, m.seq, list);
        if new {
            self.memo.forget(subject);
        }
        let entry = Entry {
            seq: m.seq,
            offset: m.offset,
            len: m.len,
            headers: m.headers,
            subject,
            time: m.time,
        };
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(entry);
        }
        let bytes = self.accounted(m.len, m.headers);
        let state = &mut self.state;
        if state.messages == 0 {
            (state.first_seq, state.first_time) = (m.seq, m.time);
        }
        state.messages += 1;
        state.bytes += bytes;
        (state.last_seq, state.last_time) = (m.seq, m.time);
        subject
    }

    /// How many sequences each subject keeps.
    fn list(&self) -> usize {
        let listed = self.limits.max_msgs_per_subject.filter(|&max| max <= LISTED as u64);
        listed.map_or(0, |max| max as usize)
    }

    /// Brings a message back that was removed and whose record is still there; tells its chunk.
    pub(crate) fn put_back(&mut self, seq: u64, subject: &[u8]) -> Option<usize> {
        let at = self.chunk_at(seq);
        let place = self.chunks.get(at)?.find_any(seq)?;
        if self.chunks[at].is_live(place) {
            return None;
        }
        let list = self.list();
        let (id, new) = self.subjects.put_back(subject, seq, list);
        if new {
            self.memo.forget(id);
        }
        let (_, len, headers) = self.chunks[at].revive(place, id);
        let (bytes, time) = (self.accounted(len, headers), self.chunks[at].time(place));
        let state = &mut self.state;
        if state.messages == 0 || seq < state.first_seq {
            (state.first_seq, state.first_time) = (seq, time);
        }
        state.messages += 1;
        state.bytes += bytes;
        Some(at)
    }

    /// Uses up sequences to `upto` without messages.
    pub(crate) fn skip(&mut self, upto: u64, time: Option<i64>) {
        if upto > self.state.last_seq {
            self.state.last_seq = upto;
            if self.state.messages == 0 {
                self.state.first_seq = upto + 1;
            }
        }
        if let Some(time) = time {
            self.state.last_time = time;
        }
    }

    /// Forgets that sequences behind `seq` were handed out; their messages are removed.
    pub(crate) fn rewind(&mut self, seq: u64) {
        if seq >= self.state.last_seq {
            return;
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.cut_behind(seq);
        }
        self.state.last_seq = seq;
        if self.state.messages == 0 {
            self.state.first_seq = seq + 1;
        }
    }

    /// Removes what the limits do not allow after a message on a subject was added. `gone` is told
    /// of each with its subject.
    pub(crate) fn enforce_after(&mut self, subject: u32, gone: &mut impl FnMut(u64, &[u8])) {
        if let Some(max) = self.limits.max_msgs_per_subject {
            self.enforce_subject(subject, max, gone);
        }
        self.enforce_stream(gone);
    }

    /// Removes what the limits do not allow.
    pub(crate) fn enforce_all(&mut self, gone: &mut impl FnMut(u64, &[u8])) {
        if let Some(max) = self.limits.max_msgs_per_subject {
            for id in 0..self.subjects.ids() as u32 {
                self.enforce_subject(id, max, gone);
            }
        }
        self.enforce_stream(gone);
    }

    fn enforce_subject(&mut self, id: u32, max: u64, gone: &mut impl FnMut(u64, &[u8])) {
        let over = self.subjects.state(id).count.saturating_sub(max);
        for _ in 0..over {
            let first = self.subject_state(id).first;
            self.subjects.set_first(id, first);
            gone(first, self.subjects.name(id));
            self.remove(first);
        }
    }

    fn enforce_stream(&mut self, gone: &mut impl FnMut(u64, &[u8])) {
        let Limits { max_msgs, max_bytes, .. } = self.limits;
        while self.state.messages > 0
            && (max_msgs.is_some_and(|max| self.state.messages > max)
                || max_bytes.is_some_and(|max| self.state.bytes > max))
        {
            let first = self.state.first_seq;
            let Some((chunk, at)) = self.find(first) else { return };
            gone(first, self.subjects.name(self.chunks[chunk].subject(at)));
            self.remove_at(first, chunk, at);
        }
    }

    /// The chunk that has or would have `seq`: the first that ends at or after it.
    pub(crate) fn chunk_at(&self, seq: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.last() < seq)
    }

    /// Chunk and place of a live message.
    pub(crate) fn find(&self, seq: u64) -> Option<(usize, usize)> {
        // Mostly it is in the chunk of the one before.
        let hint = self.hint.load(Ordering::Relaxed);
        if let Some(at) = self.chunks.get(hint).and_then(|chunk| chunk.find(seq)) {
            return Some((hint, at));
        }
        let chunk = self.chunk_at(seq);
        let at = self.chunks.get(chunk)?.find(seq)?;
        self.hint.store(chunk, Ordering::Relaxed);
        Some((chunk, at))
    }

    /// Removes a message. False if there is none.
    pub(crate) fn remove(&mut self, seq: u64) -> bool {
        let Some((chunk, at)) = self.find(seq) else { return false };
        self.remove_at(seq, chunk, at);
        true
    }

    fn remove_at(&mut self, seq: u64, chunk: usize, at: usize) {
        let subject = self.chunks[chunk].subject(at);
        let (_, len, headers) = self.chunks[chunk].kill(at);
        self.state.messages -= 1;
        self.state.bytes -= self.accounted(len, headers);
        if seq == self.state.first_seq {
            self.find_first(seq + 1);
        }
        if self.subjects.remove(subject, seq)
            && let Some(last) = self.prev_on(subject, seq)
        {
            self.subjects.set_last(subject, last);
        }
        if self.memory {
            self.tidy(chunk);
        }
    }

    /// What is stored on a subject, exactly.
    pub(crate) fn subject_state(&self, id: u32) -> SubjectState {
        let state = *self.subjects.state(id);
        let found = self.subjects.is_stale(id).then(|| self.next_on(id, state.first)).flatten();
        SubjectState { first: found.unwrap_or(state.first), ..state }
    }

    fn find_first(&mut self, from: u64) {
        let found = if self.state.messages == 0 { None } else { self.next_live(from) };
        let state = &mut self.state;
        (state.first_seq, state.first_time) = match found {
            Some(seq) => (seq, 0),
            None => (state.last_seq + 1, 0),
        };
        if let Some((chunk, at)) = found.and_then(|seq| self.find(seq)) {
            self.state.first_time = self.chunks[chunk].time(at);
        }
    }

    /// Frees the room of a memory chunk that is mostly dead.
    fn tidy(&mut self, at: usize) {
        let last = at + 1 == self.chunks.len();
        let chunk = &mut self.chunks[at];
        if chunk.live() == 0 && !last {
            self.chunks.remove(at);
        } else if chunk.len() >= 256 && (chunk.live() as usize) < chunk.len() / 2 {
            chunk.compact();
        }
    }

    /// Removes what `purge` asks for, calls `gone` for each with its subject, unless it is all, and
    /// counts them.
    pub(crate) fn purge(&mut self, purge: &Purge<'_>, gone: &mut impl FnMut(u64, &[u8])) -> u64 {
        let filter = purge.filter.map(Filter::new).filter(|filter| !filter.is_all());
        let below = purge.below_seq.unwrap_or(u64::MAX);
        if filter.is_none() && purge.keep.unwrap_or(0) == 0 && below > self.state.last_seq {
            return self.purge_all(purge.below_seq.unwrap_or(0));
        }
        let filters: Vec<Filter> = filter.into_iter().collect();
        let mut left = match purge.keep {
            Some(keep) => self.num_pending(&filters, 0).saturating_sub(keep),
            None => u64::MAX,
        };
        let (mut count, mut from) = (0, 0);
        while left > 0
            && let Some(seq) = self.next_match(&filters, from)
            && seq < below
        {
            if let Some((chunk, at)) = self.find(seq) {
                gone(seq, self.subjects.name(self.chunks[chunk].subject(at)));
                self.remove_at(seq, chunk, at);
            }
            (count, left, from) = (count + 1, left - 1, seq + 1);
        }
        count
    }

    fn purge_all(&mut self, next_seq: u64) -> u64 {
        let count = self.state.messages;
        if self.memory {
            self.chunks.clear();
            self.open_chunk(0, 0);
        } else {
            self.chunks.iter_mut().for_each(Chunk::kill_all);
        }
        self.subjects.clear();
        self.memo.clear();
        let state = &mut self.state;
        state.last_seq = state.last_seq.max(next_seq.saturating_sub(1));
        (state.messages, state.bytes) = (0, 0);
        (state.first_seq, state.first_time) = (state.last_seq + 1, 0);
        count
    }

    /// Adds to the sequences known to be lost. False if they were.
    pub(crate) fn lose(&mut self, range: SeqRange) -> bool {
        let lost = &mut self.state.lost;
        let at = lost.partition_point(|other| other.last < range.first);
        if lost.get(at).is_some_and(|o| o.first <= range.first && range.last <= o.last) {
            return false;
        }
        match at.checked_sub(1).map(|before| &mut lost[before]) {
            Some(before) if before.last + 1 == range.first => before.last = range.last,
            _ => lost.insert(at, range),
        }
        true
    }
}
