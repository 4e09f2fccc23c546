//! The part of a log that knows the disk: segments, rounds, caches.
//!
//! Records are appended to the buffer of the current *round*. While no round is in flight,
//! [`Log::take_requests`](crate::Log::take_requests) sends the current one off as a single request
//! that writes and syncs, and the next begins to fill; so one sync covers all that arrived during
//! the sync before. A record is durable when its round is.

mod cache;
mod compact;
mod derived;
mod destroy;
mod failure;
mod round;
mod scrub;
mod segment;
pub(crate) mod sidecar;
pub(crate) mod table;
mod undo;

pub(crate) use cache::{Fetch, Held};
pub use failure::{Blocked, Refused};
pub(crate) use segment::{Found, HEADER_LEN, Header, Segment, VERSION, name, parse_name};

use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{DiskRequest, DiskResult, RequestId};
use crate::index::Index;
use crate::op::{Checkpoint, Op};
use crate::record::{self, Seal};
use crate::{LogPos, SeqRange};
use cache::Cache;
use compact::Compaction;
use derived::Derived;
use failure::Health;
use round::{Flight, Round};
use scrub::Scrub;
use sidecar::{Basis, Runs, Sidecar};
pub(crate) use undo::Keeps;
use undo::Undo;

/// Runs of sequences in one record of removals.
pub(crate) const RUNS_MAX: usize = 4096;
/// Rounds whose replaced messages are remembered until they are safe.
const REPLACED_MAX: usize = 64;
/// Checkpoints up to this many bytes are written twice.
pub(crate) const COPIED: u32 = 1 << 20;

/// When appended records are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// After a sync of their own round: nothing acknowledged is ever lost.
    #[default]
    Always,
    /// When written; the files are synced this long after. A power cut loses up to that much.
    Interval(Duration),
    /// When written; syncing is left to the system.
    Never,
}

/// Bytes of a segment by default. A fuzzer does not write megabytes, and is to see segments end.
const SEGMENT: u32 = if cfg!(fuzzing) { 4 << 10 } else { 8 << 20 };

/// Where and how a file log is kept.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// The stream's directory, relative to the store's. Made with the first record.
    pub dir: String,
    /// The stream's id, kept in each segment.
    pub stream_id: u64,
    /// Random bits for the markers and checksums of a log that is new.
    pub salt: u64,
    /// When appended records are durable.
    pub sync: SyncPolicy,
    /// Bytes after which a new segment is begun; 8 MiB by default, below 1 GiB. A record larger
    /// than that has a segment of its own.
    pub segment_bytes: u32,
    /// Bytes of the newest records kept in memory for reading; 4 MiB by default.
    pub tail_bytes: usize,
    /// Bytes of older blocks kept in memory for reading; 2 MiB by default.
    pub block_bytes: usize,
    /// A file of the store that is given up when the disk is full, so that removals and notes
    /// still find room, and written again by the probe that finds room.
    pub reserve: Option<String>,
    /// Sequences of messages that never became durable are handed out again, for an owner who appends
    /// the same message at the same sequence then: a mirror.
    pub reuse: bool,
}

impl FileOptions {
    /// Options with the defaults.
    pub fn new(dir: &str, stream_id: u64, salt: u64) -> FileOptions {
        FileOptions {
            dir: dir.to_owned(),
            stream_id,
            salt,
            sync: SyncPolicy::Always,
            segment_bytes: SEGMENT,
            tail_bytes: 4 << 20,
            block_bytes: 2 << 20,
            reserve: None,
            reuse: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct FileLog {
    options: FileOptions,
    dir: Arc<str>,
    salt: u64,
    /// One per chunk of the index, in the same order.
    pub(crate) segments: VecDeque<Segment>,
    next_segment: u64,
    made_dir: bool,
    /// The last segment takes no more records.
    closed: bool,
    round: Round,
    flight: Option<Flight>,
    end: u64,
    durable: u64,
    durable_seq: u64,
    /// What is known to be synced; behind `durable` with a relaxed policy.
    synced: u64,
    dirty: Vec<Arc<str>>,
    dirty_since: Option<u64>,
    syncing: Option<(RequestId, u64)>,
    sync_due: bool,
    health: Health,
    cache: Cache,
    compaction: Compaction,
    derived: Derived,
    scrub: Scrub,
    next_request: u64,
    /// Files of the directory that hold what recovery put aside.
    leftovers: Vec<Arc<str>>,
    /// What newer messages on the same subjects replaced and no record says, with the positions that
    /// must be safe before one may.
    replaced: VecDeque<(u64, Vec<SeqRange>)>,
    /// What limits removed for messages that are durable, and nobody was told yet.
    evicted: Vec<SeqRange>,
}

/// What recovery knows of an existing log.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) salt: u64,
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) next_segment: u64,
    pub(crate) last_seq: u64,
    /// The last segment takes no more records.
    pub(crate) closed: bool,
    /// Removed messages whose bytes are still to be overwritten.
    pub(crate) erase: Vec<(u64, Box<[u8]>)>,
    /// Bytes of notes behind the last checkpoint.
    pub(crate) notes: u64,
    /// Files of the directory that hold what recovery put aside.
    pub(crate) leftovers: Vec<Arc<str>>,
    /// Flags of the messages in segments that were scanned.
    pub(crate) runs: BTreeMap<u64, Runs>,
    /// Segments whose sidecar was believed.
    pub(crate) taken_over: Vec<(u64, u32)>,
    /// Files of tables that are there.
    pub(crate) tables: Vec<Arc<str>>,
    /// Bytes that were scanned and need not be the next time.
    pub(crate) scanned: u64,
    /// Bytes of that checkpoint and of its table.
    pub(crate) cost: u64,
}

impl FileLog {
    pub(crate) fn new(options: FileOptions, last_seq: u64) -> FileLog {
        let salt = options.salt;
        let segments = VecDeque::new();
        let fresh = Recovered {
            salt,
            segments,
            next_segment: 1,
            last_seq,
            closed: false,
            erase: vec![],
            notes: 0,
            leftovers: Vec::new(),
            runs: BTreeMap::new(),
            taken_over: Vec::new(),
            tables: Vec::new(),
            scanned: 0,
            cost: 0,
        };
        FileLog::recovered(options, fresh)
    }

    pub(crate) fn recovered(mut options: FileOptions, found: Recovered) -> FileLog {
        // Offsets have 30 bits.
        options.segment_bytes = options.segment_bytes.min(1 << 29);
        let end = found.segments.back().map_or(0, |last| last.base + u64::from(last.len));
        let mut log = FileLog {
            dir: options.dir.as_str().into(),
            salt: found.salt,
            made_dir: !found.segments.is_empty(),
            segments: found.segments,
            next_segment: found.next_segment,
            closed: found.closed,
            round: Round::default(),
            flight: None,
            end,
            durable: end,
            durable_seq: found.last_seq,
            synced: end,
            dirty: Vec::new(),
            dirty_since: None,
            syncing: None,
            sync_due: false,
            health: Health::default(),
            cache: Cache::new(options.tail_bytes, options.block_bytes),
            compaction: Compaction::default(),
            derived: Derived::recovered(
                found.runs,
                found.tables,
                end.saturating_sub(found.scanned),
                found.cost,
            ),
            scrub: Scrub::new(found.taken_over),
            next_request: 1,
            leftovers: found.leftovers,
            replaced: VecDeque::new(),
            evicted: Vec::new(),
            options,
        };
        log.compaction.rolled();
        log.noted(found.notes);
        found.erase.iter().for_each(|(seq, subject)| log.erase_later(*seq, subject));
        log
    }

    /// Segment ids below this one are taken.
    pub(crate) fn begin_at_segment(&mut self, id: u64) {
        self.next_segment = id;
    }

    pub(crate) fn end(&self) -> LogPos {
        LogPos(self.end)
    }

    pub(crate) fn durable(&self) -> LogPos {
        LogPos(self.durable)
    }

    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    pub(crate) fn set_reuse(&mut self, on: bool) {
        self.options.reuse = on;
    }

    /// Whether nothing was ever written, so that there is no directory.
    pub(crate) fn untouched(&self) -> bool {
        self.segments.is_empty() && self.round.is_empty()
    }

    /// Sequences that the records of the current round remove, whatever becomes of its messages.
    pub(crate) fn removed(&mut self) -> &mut Vec<SeqRange> {
        &mut self.round.removed
    }

    /// What the messages of the current round replace.
    pub(crate) fn undo(&mut self) -> &mut Undo {
        &mut self.round.undo
    }

    /// Appends the record of a message of about `hint` bytes. The index must have applied all
    /// earlier records and not this one.
    pub(crate) fn append(
        &mut self,
        index: &mut Index,
        hint: usize,
        (seq, flags): (u64, u8),
        write: impl FnOnce(&mut BytesMut),
    ) -> (u32, u32) {
        // A purge, or a mirror's origin, may have left a gap that is too wide for one segment's index.
        let is_far = index.chunks.back().is_some_and(|chunk| !chunk.takes(seq));
        self.make_ready(index, hint, is_far);
        self.note_flags(index, seq, flags);
        self.put(hint, write)
    }

    /// Appends a record that is no message.
    pub(crate) fn append_op(&mut self, index: &mut Index, op: &Op<'_>) {
        self.make_ready(index, 64, false);
        self.put_op(index, op);
    }

    /// Begins a new segment with a record of the whole state.
    pub(crate) fn checkpoint(&mut self, index: &mut Index, notes: &[(u8, Vec<u8>)]) {
        if !self.segments.is_empty() && !self.derived.closing {
            self.plan_compaction(index);
        }
        self.open_segment(index);
        // The checkpoint says it.
        self.replaced.clear();
        let notes = notes.iter().map(|(kind, body)| (*kind, body.as_slice())).collect();
        let (checkpoint, len) = self.put_checkpoint(index, notes);
        self.compaction.planned_at(self.end, checkpoint);
        self.make_table(index, checkpoint, len);
        self.repeat_erasures(index);
    }

    /// Makes sure that a segment is open, another one if `other`, and the round begun.
    pub(crate) fn make_ready(&mut self, index: &mut Index, hint: usize, other: bool) {
        let full = match self.segments.back() {
            None => {
                self.open_segment(index);
                self.put_checkpoint(index, Vec::new());
                false
            }
            Some(last) => {
                let len = last.len as usize + hint;
                // A round that may be taken back lies in one segment.
                let is_open = self.options.reuse && !self.round.is_empty();
                self.closed
                    || other
                    || (last.len > HEADER_LEN
                        && len > self.options.segment_bytes as usize
                        && !is_open)
            }
        };
        if full {
            self.open_segment(index);
        }
        if full || !self.round.marked {
            self.round.marked = true;
            let (first_seq, last_seq) = (index.state.first_seq, index.state.last_seq);
            self.put_op(index, &Op::Round { durable: self.durable, first_seq, last_seq });
            self.put_replaced(index);
        }
    }

    /// Says what was replaced by messages that are safe since. A replay would find out by itself, but
    /// not where damage took the newer message: an older revision of a key would be back.
    fn put_replaced(&mut self, index: &mut Index) {
        let safe = self.safe();
        while self.replaced.front().is_some_and(|(pos, _)| *pos <= safe)
            && let Some((_, ranges)) = self.replaced.pop_front()
        {
            for ranges in ranges.chunks(RUNS_MAX) {
                self.put_op(index, &Op::Tombstone { ranges: ranges.to_vec() });
            }
        }
    }

    /// Tells what the checkpoint is known by, and the length of its record.
    fn put_checkpoint(&mut self, index: &mut Index, notes: Vec<(u8, &[u8])>) -> (Basis, u32) {
        let (mut dead, mut open) = (Vec::new(), false);
        for chunk in &index.chunks {
            chunk.dead(&mut dead, &mut open);
        }
        let op = Op::Checkpoint(Checkpoint {
            last_seq: index.state.last_seq,
            last_time: index.state.last_time,
            limits: index.limits,
            dead,
            lost: index.state.lost.clone(),
            notes,
        });
        let at = self.segments.back().map_or((0, 0), |last| (last.id, last.len));
        let len = self.put_op(index, &op);
        let body = self.round.find(at.0, at.1, len).and_then(|record| record.get(record::HEAD..));
        let checkpoint = Basis { segment: at.0, crc: body.map_or(0, crc32c::crc32c) };
        if len <= COPIED {
            // Twice, so that one damaged byte does not bring back what the log forgot.
            self.put_op(index, &op);
        }
        (checkpoint, len)
    }

    fn put_op(&mut self, index: &mut Index, op: &Op<'_>) -> u32 {
        let (kind, flags) = op.kind();
        let (offset, len) = self.put(64, |out| {
            record::put_head(out, kind, flags);
            op.put(out);
        });
        if let Some(chunk) = index.chunks.back_mut() {
            chunk.push_other(offset, len);
        }
        len
    }

    /// Writes and seals a record at the end of the open segment.
    fn put(&mut self, hint: usize, write: impl FnOnce(&mut BytesMut)) -> (u32, u32) {
        let Some(segment) = self.segments.back_mut() else { return (0, 0) };
        let seal = Seal { salt: self.salt, segment: segment.id };
        let (offset, len) = self.round.put(segment, seal, hint, write);
        segment.len = offset + len;
        self.end = segment.base + u64::from(segment.len);
        (offset, len)
    }

    fn open_segment(&mut self, index: &mut Index) {
        let id = self.next_segment;
        self.next_segment += 1;
        self.closed = false;
        let path: Arc<str> = format!("{}/{}", self.dir, name(id, 0)).into();
        let base = self.end;
        let header = Header {
            stream: self.options.stream_id,
            salt: self.salt,
            id,
            base,
            prev_end: self.health.take_resume().unwrap_or(base),
            covers: id,
            generation: 0,
            file_len: 0,
        };
        if let Some(chunk) = index.chunks.back_mut() {
            chunk.shrink();
        }
        self.seal(index);
        index.open_chunk(id, HEADER_LEN);
        self.round.open(id, &path, &header);
        let len = HEADER_LEN;
        let (frozen, sidecar) = (false, Sidecar::Missing);
        let segment = Segment { id, generation: 0, covers: id, path, base, len, frozen, sidecar };
        self.segments.push_back(segment);
        self.end = base + u64::from(len);
        self.compaction.rolled();
    }

    fn request_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        id
    }

    pub(crate) fn take_requests(&mut self, index: &mut Index, out: &mut Vec<DiskRequest>) {
        self.send_cleanup(out);
        self.send_round(index, out);
        self.send_sync(out);
        self.send_derived(index, out);
        self.send_compaction(index, out);
        self.cache.take_reads(out);
        self.send_scrub(index, out);
    }

    pub(crate) fn completed(&mut self, index: &mut Index, id: RequestId, result: DiskResult) {
        if self.flight.as_ref().is_some_and(|flight| flight.id == id) {
            self.round_completed(index, result);
        } else if self.syncing.is_some_and(|(syncing, _)| syncing == id) {
            self.sync_completed(result);
        } else if !self.cache.completed(id, &result)
            && !self.derived_completed(id, &result)
            && !self.scrub_completed(index, id, &result)
        {
            self.compaction_completed(index, id, result);
        }
    }
}
