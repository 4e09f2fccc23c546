//! The log of one stream.

use bytes::{BufMut, BytesMut};

use crate::file::{Blocked, Fetch, FileLog, FileOptions, Keeps, RUNS_MAX, Refused};
use crate::index::{Incoming, Index};
use crate::op::{Op, Secure};
use crate::record::{self, Shape};
use crate::slab::Fill;
use crate::types::{Place, push_range};
use crate::{
    Appended, Damage, DiskRequest, DiskResult, Filter, Get, Limits, Locate, Located, LogPos,
    NewMessage, Next, Purge, Purged, RequestId, SeqRange, State, Stored, SubjectState,
};

/// Entries of one chunk of a memory log.
const MEMORY_CHUNK: usize = 16 * 1024;
/// Bytes of the records of one chunk of a memory log: half of them are copied at once when the other
/// half is dead.
const MEMORY_CHUNK_BYTES: usize = 8 << 20;

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
    /// The end of a memory log.
    pos: u64,
    /// Runs that are shown only together; those that are durable may still be here.
    held: Vec<SeqRange>,
    file: Option<Box<FileLog>>,
}

impl Log {
    /// An empty log in memory. The first message gets sequence `first_seq` (0 means 1).
    pub fn memory(first_seq: u64, limits: Limits) -> Log {
        let mut index = Index::new(first_seq, limits, true);
        index.open_chunk(0, 0);
        Log { index, evicted: Vec::new(), pos: 0, held: Vec::new(), file: None }
    }

    /// An empty log on disk, which makes its directory with the first record. There must be none
    /// yet: [`Log::recover`] opens what may exist.
    pub fn file(first_seq: u64, limits: Limits, options: FileOptions) -> Log {
        let index = Index::new(first_seq, limits, false);
        let file = FileLog::new(options, index.state.last_seq);
        Log::from_parts(index, file)
    }

    pub(crate) fn from_parts(index: Index, file: FileLog) -> Log {
        Log { index, evicted: Vec::new(), pos: 0, held: Vec::new(), file: Some(Box::new(file)) }
    }

    pub(crate) fn file_mut(&mut self) -> Option<&mut FileLog> {
        self.file.as_deref_mut()
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
        let headers = !m.headers.is_empty();
        let offset = match &mut self.file {
            Some(file) => {
                let write = |out: &mut BytesMut| record::put_message(out, seq, &m);
                file.append(&mut self.index, len, (seq, m.flags), write).0
            }
            None => {
                self.roll_memory(seq, len);
                let last = self.index.chunks.back_mut();
                last.map_or(0, |chunk| chunk.store(len, Record { seq, m }))
            }
        };
        let len = len as u32;
        let incoming = Incoming { seq, time: m.time, subject: m.subject, headers, offset, len };
        let subject = self.index.push(incoming);
        self.enforce_after(subject);
        Appended { seq, pos: self.advance(len) }
    }

    /// Uses up the next sequence without storing anything (interest retention without interest).
    pub fn skip(&mut self, time: i64) -> Appended {
        let seq = self.index.state.last_seq + 1;
        self.op(&Op::Skip { upto: seq, time: Some(time) });
        self.index.skip(seq, Some(time));
        Appended { seq, pos: self.advance(1) }
    }

    /// Uses up the sequences to `upto` without storing anything; nothing if they were handed out.
    pub fn skip_to(&mut self, upto: u64) -> LogPos {
        if upto > self.index.state.last_seq {
            self.op(&Op::Skip { upto, time: None });
            self.index.skip(upto, None);
        }
        self.advance(1)
    }

    /// Removes a message; with `secure` its bytes are overwritten on disk too, once the removal
    /// is durable. `None` if there is none.
    pub fn remove(&mut self, seq: u64, secure: bool) -> Option<LogPos> {
        let (at, place) = self.index.find(seq)?;
        let before = self.index.state.bytes;
        if let Some(file) = &mut self.file {
            if secure {
                let chunk = &self.index.chunks[at];
                let (offset, len, headers) = chunk.record(place);
                let (segment, time) = (chunk.id, chunk.time(place));
                let subject = self.index.subjects.name(chunk.subject(place)).to_vec();
                let subject = subject.as_slice();
                let gone = Secure { seq, segment, offset, len, headers, time, subject };
                file.append_op(&mut self.index, &Op::Secure(gone));
                file.erase_later(seq, subject);
            } else {
                let ranges = vec![SeqRange { first: seq, last: seq }];
                file.append_op(&mut self.index, &Op::Tombstone { ranges });
            }
            push_range(file.removed(), seq);
        }
        self.index.remove(seq);
        if let Some(file) = &mut self.file {
            file.freed(before - self.index.state.bytes);
        }
        Some(self.advance(1))
    }

    /// Removes the messages of `runs`, which ascend and do not touch, under as few records as
    /// possible; what is missing already is passed over. Nobody hears of them by
    /// [`Log::take_evicted`].
    pub fn remove_runs(&mut self, runs: &[SeqRange]) -> LogPos {
        for runs in runs.chunks(RUNS_MAX) {
            let before = self.index.state.bytes;
            self.op(&Op::Tombstone { ranges: runs.to_vec() });
            for seq in runs.iter().flat_map(|run| run.first..=run.last) {
                if self.index.remove(seq)
                    && let Some(file) = &mut self.file
                {
                    push_range(file.removed(), seq);
                }
            }
            if let Some(file) = &mut self.file {
                file.freed(before - self.index.state.bytes);
            }
            self.advance(1);
        }
        self.end()
    }

    /// Removes messages as `STREAM.PURGE` does (jetstream.md 2.12).
    pub fn purge(&mut self, purge: &Purge<'_>) -> Purged {
        self.purge_for(purge, false)
    }

    /// As [`Log::purge`], on behalf of messages that were appended since the last
    /// [`Log::take_requests`] and stay (a rollup): what goes comes back if the disk refuses them.
    pub fn replace(&mut self, purge: &Purge<'_>) -> Purged {
        self.purge_for(purge, true)
    }

    fn purge_for(&mut self, purge: &Purge<'_>, replaces: bool) -> Purged {
        if let Some(file) = &mut self.file {
            file.make_ready(&mut self.index, 64, false);
        }
        let before = (self.index.state.bytes, self.index.state.first_seq);
        let mut removed = Vec::new();
        let kept = purge.keep.filter(|&keep| keep > 0 && !replaces);
        let keeps = kept.and_then(|keep| self.keep_some(purge.filter, keep));
        let mut undo = self.file.as_mut().map(|file| file.undo());
        let mut last = None;
        let count = self.index.purge(purge, &mut |seq, subject| {
            last = Some(seq);
            let comes_back = match (&mut undo, &keeps) {
                (Some(undo), _) if replaces => {
                    undo.push(seq, subject, false);
                    true
                }
                (Some(undo), Some(keeps)) => undo.push_purged(seq, subject, keeps),
                _ => false,
            };
            if !comes_back {
                push_range(&mut removed, seq);
            }
        });
        // The record says up to where and does not count: a replay may miss damaged messages.
        let all =
            purge.filter.is_none_or(|filter| filter == b">") && purge.keep.is_none_or(|n| n == 0);
        let below = match last {
            Some(last) => Some(last + 1),
            None => {
                if all {
                    purge.below_seq
                } else {
                    Some(0)
                }
            }
        };
        self.op(&Op::Purge(Purge { filter: purge.filter, below_seq: below, keep: None }));
        if let Some(file) = &mut self.file {
            file.freed(before.0 - self.index.state.bytes);
            if !replaces && keeps.is_none() {
                let below = if kept.is_some() { below } else { purge.below_seq };
                file.purge_replaced(purge.filter, below.unwrap_or(u64::MAX));
            }
            if last.is_none() && count > 0 {
                // All of them: the index does not name each.
                removed.push(SeqRange { first: before.1, last: self.index.state.last_seq });
            }
            file.removed().append(&mut removed);
        }
        Purged { count, pos: self.advance(1) }
    }

    /// Replaces the limits and removes what the new ones do not allow.
    pub fn set_limits(&mut self, limits: Limits) -> LogPos {
        if self.file.as_ref().is_some_and(|file| !file.untouched()) {
            self.op(&Op::Limits(limits));
        }
        self.index.limits = limits;
        self.enforce_all();
        self.advance(1)
    }

    /// Removes what the limits do not allow with a new message on a subject, until the disk refuses
    /// that.
    fn enforce_after(&mut self, subject: u32) {
        let Log { index, evicted, file, .. } = self;
        let Some(file) = file else {
            index.enforce_after(subject, &mut |seq, _| push_range(evicted, seq));
            return;
        };
        let before = index.state.bytes;
        let undo = file.undo();
        index.enforce_after(subject, &mut |seq, subject| undo.push(seq, subject, true));
        let freed = before.saturating_sub(index.state.bytes);
        if freed > 0 {
            file.freed(freed);
        }
    }

    /// Which messages a purge keeps where the disk refuses some; `None` where it can refuse none.
    fn keep_some(&mut self, filter: Option<&[u8]>, keep: u64) -> Option<Keeps> {
        let file = self.file.as_mut()?;
        if self.index.state.last_seq <= file.durable_seq() {
            return None;
        }
        let filters: Vec<Filter> = filter.map(Filter::new).into_iter().collect();
        let (mut live, mut from) = (Vec::new(), 0);
        while let Some(seq) = self.index.next_match(&filters, from) {
            live.push(seq);
            from = seq + 1;
        }
        Some(file.keep_some(filter, keep, &live))
    }

    fn enforce_all(&mut self) {
        let Log { index, evicted, file, .. } = self;
        let before = index.state.bytes;
        // Messages that the disk may yet refuse took room: without them the limits are applied anew.
        let unsure = file.as_ref().is_some_and(|file| index.state.last_seq > file.durable_seq());
        let mut file_log = file.as_mut();
        index.enforce_all(&mut |seq, subject| {
            push_range(evicted, seq);
            match &mut file_log {
                Some(file) if unsure => file.undo().push(seq, subject, false),
                Some(file) => push_range(file.removed(), seq),
                None => {}
            }
        });
        if let Some(file) = file {
            file.freed(before - index.state.bytes);
        }
    }

    fn op(&mut self, op: &Op<'_>) {
        if let Some(file) = &mut self.file {
            file.append_op(&mut self.index, op);
        }
    }

    /// Says whether sequences of messages that the disk refuses are handed out again
    /// ([`FileOptions::reuse`]), from now on.
    pub fn set_reuse(&mut self, on: bool) {
        if let Some(file) = &mut self.file {
            file.set_reuse(on);
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.index.limits
    }

    /// Appends a record of the owner, which recovery hands back. A memory log forgets it.
    pub fn note(&mut self, kind: u8, body: &[u8]) -> LogPos {
        self.op(&Op::Note { kind, body });
        if let Some(file) = &mut self.file {
            file.noted(body.len() as u64);
        }
        self.advance(1)
    }

    /// Whether [`Log::checkpoint`] is worth the effort: it would free disk space, or spare the
    /// next recovery many notes. Asked after [`Log::take_requests`].
    pub fn wants_checkpoint(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.wants_checkpoint())
    }

    /// Appends the owner's full state, which makes all its earlier notes obsolete: recovery hands
    /// back these notes and later ones. Begins a new segment.
    pub fn checkpoint(&mut self, notes: &[(u8, Vec<u8>)]) -> LogPos {
        if let Some(file) = &mut self.file {
            file.checkpoint(&mut self.index, notes);
        }
        self.advance(1)
    }

    /// The position of the last appended record.
    pub fn end(&self) -> LogPos {
        self.file.as_ref().map_or(LogPos(self.pos), |file| file.end())
    }

    /// All records up to here are safe, except those that [`Log::refused`] tells of.
    pub fn durable(&self) -> LogPos {
        self.file.as_ref().map_or(LogPos(self.pos), |file| file.durable())
    }

    /// The highest sequence that may be shown to anybody: it is durable, and no part of a
    /// [held](Log::hold) run whose end is not.
    pub fn visible_last(&self) -> u64 {
        let Some(file) = &self.file else { return self.index.state.last_seq };
        let durable = file.durable_seq();
        if self.held.is_empty() {
            return durable;
        }
        let held = self.held.iter().find(|run| (run.first..run.last).contains(&durable));
        held.map_or(durable, |run| run.first - 1)
    }

    /// Shows the messages of `run`, which are appended next, only together.
    pub fn hold(&mut self, run: SeqRange) {
        if let Some(file) = &self.file {
            let durable = file.durable_seq();
            self.held.retain(|held| held.last > durable);
            self.held.push(run);
        }
    }

    /// Appends to `out` the sequences that limits have removed since the last call; those that new
    /// messages replaced, once these are durable.
    pub fn take_evicted(&mut self, out: &mut Vec<u64>) {
        let mut ranges = Vec::new();
        self.take_evicted_ranges(&mut ranges);
        out.extend(ranges.into_iter().flat_map(|range| range.first..=range.last));
    }

    /// As [`Log::take_evicted`], in runs: a lowered limit may remove millions.
    pub fn take_evicted_ranges(&mut self, out: &mut Vec<SeqRange>) {
        out.append(&mut self.evicted);
        if let Some(file) = &mut self.file {
            file.take_evicted(out);
        }
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

    /// What the message at `seq` counts in [`State::bytes`].
    pub fn stored_bytes(&self, seq: u64) -> Option<u64> {
        let (chunk, at) = self.index.find(seq)?;
        let (_, len, headers) = self.index.chunks[chunk].record(at);
        Some(self.index.accounted(len, headers))
    }

    /// When the message at `seq` was stored, without reading it.
    pub fn time_of(&self, seq: u64) -> Option<i64> {
        let (chunk, at) = self.index.find(seq)?;
        Some(self.index.chunks[chunk].time(at))
    }

    /// The subject of the message at `seq`, without reading it.
    pub fn subject_of(&self, seq: u64) -> Option<&[u8]> {
        let (chunk, at) = self.index.find(seq)?;
        Some(self.index.subjects.name(self.index.chunks[chunk].subject(at)))
    }

    /// The message at `seq`.
    pub fn get(&mut self, seq: u64) -> Get<'_> {
        match self.locate(seq) {
            Locate::Found(found) => self.message(&found).map_or(Get::Missing, Get::Found),
            Locate::Missing => Get::Missing,
            Locate::Pending => Get::Pending,
            Locate::Damaged => Get::Damaged,
        }
    }

    /// As [`Log::get`], for an owner that looks at other things before it uses the message.
    pub fn locate(&mut self, seq: u64) -> Locate {
        let Some((chunk, at)) = self.index.find(seq) else { return Locate::Missing };
        let (start, len, _) = self.index.chunks[chunk].record(at);
        let place = match &mut self.file {
            None => {
                let slab = self.index.chunks[chunk].bodies().map_or(0, |slabs| slabs.at(start));
                Some(Place::Memory { chunk, slab })
            }
            Some(file) => match file.fetch(&self.index.chunks, chunk, start, len) {
                Fetch::Pending => return Locate::Pending,
                Fetch::Damaged => None,
                Fetch::Held(held) => Some(Place::File(held)),
            },
        };
        let shape = place.and_then(|place| self.record(place, start, len)).and_then(Shape::of);
        match (place, shape.filter(|shape| shape.seq == seq)) {
            (Some(place), Some(shape)) => Locate::Found(Located { shape, place, start, len }),
            _ => {
                let is_new = self.index.lose(SeqRange { first: seq, last: seq });
                if let Some(file) = self.file.as_mut().filter(|_| is_new) {
                    file.found_unreadable(chunk, seq, start, len);
                }
                Locate::Damaged
            }
        }
    }

    /// The message that [`Log::locate`] found; `None` if the log has changed since so that it is
    /// not at hand any more.
    pub fn message(&self, found: &Located) -> Option<Stored<'_>> {
        found.shape.split(self.record(found.place, found.start, found.len)?)
    }

    fn record(&self, place: Place, start: u32, len: u32) -> Option<&[u8]> {
        match place {
            Place::Memory { chunk, slab } => {
                self.index.chunks.get(chunk)?.bodies()?.get(slab, start, len)
            }
            Place::File(held) => self.file.as_ref()?.held(held, start, len),
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
        // Without an early exit, so that the compiler compares many bytes at once.
        if !filter.iter().fold(false, |found, byte| found | (*byte == b'*') | (*byte == b'>')) {
            return next(
                self.index.subjects.find(filter).map(|id| self.index.subjects.state(id).last),
            );
        }
        next(self.index.last_on(&Filter::new(filter)))
    }

    /// Calls `f` for each subject with messages that `filter` matches, in no particular order.
    pub fn subjects_matching(&self, filter: &[u8], f: impl FnMut(&[u8], &SubjectState)) {
        self.index.subjects_matching(&Filter::new(filter), f);
    }

    /// What is stored on one literal subject.
    pub fn subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.index.subjects.find(subject).map(|id| self.index.subject_state(id))
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

    /// Moves the requests that are due to `out`. Call it after each batch of calls, and after
    /// each [`Log::completed`].
    pub fn take_requests(&mut self, out: &mut Vec<DiskRequest>) {
        if let Some(file) = &mut self.file {
            file.weigh(&self.index);
            file.take_requests(&mut self.index, out);
        }
    }

    /// Takes the result of a request. Afterwards look at [`Log::refused`], then at
    /// [`Log::durable`], and ask again for what was pending.
    pub fn completed(&mut self, id: RequestId, result: DiskResult) {
        if let Some(file) = &mut self.file {
            file.completed(&mut self.index, id, result);
        }
    }

    /// Positions that became known never to become durable since the last call.
    pub fn refused(&mut self) -> Vec<Refused> {
        self.file.as_mut().map_or_else(Vec::new, |file| file.take_refused())
    }

    /// Why no messages should be appended now. Removals and notes may be; they wait.
    pub fn blocked(&self) -> Option<&Blocked> {
        self.file.as_ref().and_then(|file| file.blocked())
    }

    /// Tries at the next [`Log::take_requests`] whether a blocked log works again. Call it every
    /// second or so while [`Log::blocked`], for [`Blocked::Failed`] when an operator says so.
    pub fn probe(&mut self) {
        if let Some(file) = &mut self.file {
            file.probe();
        }
    }

    /// Tells the time of the monotonic clock in nanoseconds, for [`SyncPolicy::Interval`] and for
    /// looking at what recovery took over unread.
    ///
    /// [`SyncPolicy::Interval`]: crate::SyncPolicy::Interval
    pub fn tick(&mut self, now_ns: u64) {
        if let Some(file) = &mut self.file {
            file.tick(now_ns);
        }
    }

    /// When [`Log::tick`] and [`Log::take_requests`] are due on the monotonic clock; a time that
    /// has passed means at once.
    pub fn next_deadline(&self) -> Option<u64> {
        self.file.as_ref().and_then(|file| file.next_deadline())
    }

    /// Syncs at the next [`Log::take_requests`] what a relaxed policy left to later, as a clean
    /// shutdown does.
    pub fn sync_now(&mut self) {
        if let Some(file) = &mut self.file {
            file.sync_now();
        }
    }

    /// Whether a clean shutdown should call [`Log::checkpoint`], so that the next start has little
    /// to replay; what is there to compact is left to later from now on. [`Log::is_idle`] then
    /// also waits for what the next start profits from.
    pub fn close(&mut self) -> bool {
        self.file.as_mut().is_some_and(|file| file.close(&self.index))
    }

    /// Damage that was found since the last call, by reading a message or by looking at what recovery
    /// took over unread ([`Recovery::taken_over`](crate::Recovery::taken_over)). Its messages are in
    /// [`State::lost`], and asking for them answers [`Get::Damaged`].
    pub fn take_damage(&mut self) -> Vec<Damage> {
        self.file.as_mut().map_or_else(Vec::new, |file| file.take_damage())
    }

    /// Whether all that recovery took over unread was looked at since.
    pub fn is_verified(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.is_verified())
    }

    /// Bytes that are appended and not durable yet. The owner stops admitting messages when it is
    /// more than it wants to keep in memory.
    pub fn backlog_bytes(&self) -> usize {
        self.file.as_ref().map_or(0, |file| file.backlog_bytes())
    }

    /// Whether all that was appended is written, and all is synced that [`Log::sync_now`] asked for.
    pub fn is_idle(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.is_idle())
    }

    /// Bytes that caches of records hold; 0 for a memory log.
    pub fn cache_bytes(&self) -> usize {
        self.file.as_ref().map_or(0, |file| file.cache_bytes())
    }

    /// Replaces the bounds of the caches: bytes of newest records, bytes of older blocks.
    pub fn set_cache(&mut self, tail_bytes: usize, block_bytes: usize) {
        if let Some(file) = &mut self.file {
            file.set_cache(tail_bytes, block_bytes);
        }
    }

    /// The position of what was appended last; a memory log moves on by `by`.
    fn advance(&mut self, by: u32) -> LogPos {
        match &self.file {
            Some(file) => file.end(),
            None => {
                self.pos += u64::from(by);
                LogPos(self.pos)
            }
        }
    }

    /// The stored messages whose records lie in a segment file from `offset` on or across it, for
    /// tools that look at damage.
    pub fn messages_in(&self, path: &str, offset: usize) -> Vec<u64> {
        let Some(file) = &self.file else { return Vec::new() };
        let Some(at) = file.segments.iter().position(|segment| *segment.path == *path) else {
            return Vec::new();
        };
        let chunk = &self.index.chunks[at];
        let behind = |&place: &usize| {
            let (start, len, _) = chunk.record(place);
            (start + len) as usize > offset
        };
        chunk.iter_live(0).filter(behind).map(|place| chunk.seq(place)).collect()
    }

    fn roll_memory(&mut self, seq: u64, len: usize) {
        let full = self.index.chunks.back().is_none_or(|chunk| {
            let room = u64::from(crate::chunk::OFFSET_MAX - chunk.end());
            let bytes = chunk.end() as usize;
            chunk.len() >= MEMORY_CHUNK
                || (bytes > 0 && bytes + len > MEMORY_CHUNK_BYTES)
                || !chunk.takes(seq)
                || room < len as u64
        });
        if full {
            let id = self.index.chunks.back().map_or(0, |chunk| chunk.id + 1);
            self.index.open_chunk(id, 0);
            let chunks = &mut self.index.chunks;
            let before = chunks.len().checked_sub(2).map_or(0, |at| chunks[at].room());
            if let Some(last) = chunks.back_mut() {
                last.follow(before);
            }
        }
    }
}

/// The record of a message that a memory log stores.
struct Record<'a> {
    seq: u64,
    m: NewMessage<'a>,
}

impl Fill for Record<'_> {
    fn fill(self, out: &mut impl BufMut) {
        record::put_message(out, self.seq, &self.m);
    }
}

fn next(found: Option<u64>) -> Next {
    found.map_or(Next::End, Next::Found)
}
