//! What spares the next start a scan: sidecars of segments and the tables of checkpoints.
//!
//! A segment's sidecar is made when the segment is sealed, so that the checkpoint which seals it
//! can name it, and written when the segment is safe. A segment without one (an older program wrote
//! it, or a start had to scan it) gets it when there is nothing else of this kind to write, and the
//! next checkpoint names it. None of this is synced, and a failure costs the next start a scan.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::sidecar::{self, Basis, Owner, Runs, Sidecar};
use super::{FileLog, SyncPolicy, table};
use crate::disk::{DiskOp, DiskRequest, DiskResult, RequestId};
use crate::index::Index;

/// Sidecars that wait for their segments take this much memory at most; others are made later.
const WAITING: usize = 16 << 20;
/// A checkpoint waits until this many times what the last one cost was appended …
const SHARE: u64 = 8;
/// … and for the last part of its segment, since it begins a new one: an eighth.
const ROLL: u32 = 8;
/// A clean shutdown spares the next start the replay of more than this.
const REPLAYED: u64 = 256 << 10;

#[derive(Debug, Default)]
pub(crate) struct Derived {
    /// Flags of the messages in segments that have no sidecar.
    pub(super) runs: BTreeMap<u64, Runs>,
    waiting: VecDeque<Made>,
    waiting_bytes: usize,
    /// At most two: the oldest that waits, and the newest.
    tables: VecDeque<(u64, Arc<str>, Bytes)>,
    /// Files of tables that are there.
    pub(super) on_disk: Vec<Arc<str>>,
    writing: Option<Writing>,
    /// What is behind this is to be read at the next start, or about as much.
    since: u64,
    /// Bytes that it took to write, and about as much for each dead message.
    cost: u64,
    /// The log is about to be closed: nothing is begun that only helps later.
    pub(super) closing: bool,
}

/// A sidecar that was made and is not written.
#[derive(Debug)]
struct Made {
    segment: u64,
    generation: u32,
    /// Not before this is safe.
    pos: u64,
    path: Arc<str>,
    data: Bytes,
}

/// What is being written.
#[derive(Debug)]
struct Writing {
    id: RequestId,
    segments: Vec<u64>,
    /// The last of the tables that are there.
    table: bool,
}

impl Derived {
    /// What recovery knows: flags of scanned segments, the table that it took, from where on it
    /// scanned and what its checkpoint cost.
    pub(super) fn recovered(
        runs: BTreeMap<u64, Runs>,
        tables: Vec<Arc<str>>,
        since: u64,
        cost: u64,
    ) -> Derived {
        Derived { runs, on_disk: tables, since, cost, ..Derived::default() }
    }

    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// Forgets what was made for a future that will not be.
    pub(super) fn cancel(&mut self, durable: u64) {
        self.waiting.retain(|made| made.pos <= durable);
        self.waiting_bytes = self.waiting.iter().map(|made| made.data.len()).sum();
        self.tables.retain(|table| table.0 <= durable);
    }

    pub(super) fn forget(&mut self, segments: &[u64]) {
        segments.iter().for_each(|id| drop(self.runs.remove(id)));
        self.waiting.retain(|made| !segments.contains(&made.segment));
        self.waiting_bytes = self.waiting.iter().map(|made| made.data.len()).sum();
    }

    fn idle(&self) -> bool {
        self.writing.is_none() && self.waiting.is_empty() && self.tables.is_empty()
    }
}

impl FileLog {
    /// All up to here is written and synced.
    pub(super) fn safe(&self) -> u64 {
        self.synced.min(self.durable)
    }

    fn path_of(&self, name: &str) -> Arc<str> {
        format!("{}/{name}", self.dir).into()
    }

    pub(super) fn sidecar_path(&self, segment: u64, generation: u32) -> Arc<str> {
        self.path_of(&sidecar::name(segment, generation))
    }

    /// Notes the flags of a message that is appended to the last segment.
    pub(super) fn note_flags(&mut self, index: &Index, seq: u64, flags: u8) {
        if flags != 0
            && let (Some(segment), Some(chunk)) = (self.segments.back(), index.chunks.back())
        {
            self.derived.runs.entry(segment.id).or_default().push(chunk.last(), seq, flags);
        }
    }

    /// Makes the sidecar of the last segment, which takes no more records.
    pub(super) fn seal(&mut self, index: &Index) {
        // With a relaxed policy the segment is safe only much later: it comes then.
        let soon = self.options.sync == SyncPolicy::Always && self.derived.waiting_bytes < WAITING;
        if let Some(last) = self.segments.len().checked_sub(1).filter(|_| soon) {
            self.make(index, last);
        }
    }

    /// Makes the sidecar of a segment from the index as it is now.
    fn make(&mut self, index: &Index, at: usize) {
        let (Some(segment), Some(chunk)) = (self.segments.get_mut(at), index.chunks.get(at)) else {
            return;
        };
        if segment.sidecar != Sidecar::Missing {
            return;
        }
        if chunk.end() != segment.len {
            segment.sidecar = Sidecar::Never;
            return;
        }
        let (id, generation, len) = (segment.id, segment.generation, segment.len);
        let owner = Owner { salt: self.salt, segment: id, generation, len };
        let runs = self.derived.runs.remove(&id).unwrap_or_default();
        let (data, crc) = sidecar::encode(&owner, None, &runs, chunk);
        segment.sidecar = Sidecar::Known(crc);
        let pos = segment.base + u64::from(len);
        self.wait(id, generation, pos, data);
    }

    /// Puts a sidecar among those that are to be written.
    pub(super) fn wait(&mut self, segment: u64, generation: u32, pos: u64, data: Bytes) {
        self.derived.waiting_bytes += data.len();
        let path = self.sidecar_path(segment, generation);
        self.derived.waiting.push_back(Made { segment, generation, pos, path, data });
    }

    /// Makes the table of the checkpoint that was just appended, whose record took `len` bytes.
    pub(super) fn make_table(&mut self, index: &Index, checkpoint: Basis, len: u32) {
        let known = |segment: &super::Segment| match segment.sidecar {
            Sidecar::Known(crc) => Some((segment.id, segment.generation, crc)),
            _ => None,
        };
        let named: Vec<table::Named> = self.segments.iter().filter_map(known).collect();
        let data = table::encode(self.salt, checkpoint, &index.state, &named, &index.subjects);
        let looked_at =
            index.chunks.iter().map(|chunk| chunk.len() as u64 - u64::from(chunk.live()));
        self.derived.since = self.end;
        self.derived.cost = data.len() as u64 + 2 * u64::from(len) + looked_at.sum::<u64>();
        self.derived.tables.truncate(1);
        let path = self.path_of(&table::name(checkpoint.segment));
        self.derived.tables.push_back((self.end, path, data));
    }

    /// Whether so much was appended since the last checkpoint, or had to be scanned at the start,
    /// that the next one should not have to read it, and the segment is nearly full.
    pub(super) fn progressed(&self) -> bool {
        let Some(last) = self.segments.back() else { return false };
        let full = self.options.segment_bytes - self.options.segment_bytes / ROLL;
        let least = u64::from(full).max(SHARE * self.derived.cost);
        let appended = self.end - self.derived.since;
        if appended < least || (last.len < full && appended < 2 * least) {
            return false;
        }
        // What has no sidecar yet would not be named.
        let mut old = self.segments.iter().take_while(|segment| segment.id != last.id);
        !old.any(|segment| segment.sidecar == Sidecar::Missing)
    }

    /// Begins nothing any more that only later helps. True if a last checkpoint is worth the
    /// effort.
    pub(crate) fn close(&mut self, index: &Index) -> bool {
        while self.derived.waiting_bytes < WAITING && self.make_missing(index, self.safe()) {}
        self.derived.closing = true;
        let least = REPLAYED.min(u64::from(self.options.segment_bytes) / 4);
        self.end - self.derived.since >= least.max(self.derived.cost / SHARE)
            && self.health.blocked.is_none()
            && !self.compaction.is_broken()
    }

    /// Whether all is written that the next start profits from.
    pub(super) fn derived_is_idle(&self) -> bool {
        !self.derived.closing || self.health.blocked.is_some() || self.derived.idle()
    }

    /// Asks for the writes whose segments are safe.
    pub(super) fn send_derived(&mut self, index: &Index, out: &mut Vec<DiskRequest>) {
        if self.derived.writing.is_some() || self.health.blocked.is_some() {
            return;
        }
        let safe = self.safe();
        let (mut ops, mut ids) = (Vec::new(), Vec::new());
        if self.derived.waiting.is_empty() && !self.derived.closing {
            self.make_missing(index, safe);
        }
        while self.derived.waiting.front().is_some_and(|made| made.pos <= safe)
            && let Some(made) = self.derived.waiting.pop_front()
        {
            self.derived.waiting_bytes -= made.data.len();
            let there = self
                .segments
                .iter()
                .any(|segment| (segment.id, segment.generation) == (made.segment, made.generation));
            // Segments go in the order of requests: a sidecar must not come after that.
            if there && !self.compaction.busy_with(made.segment) {
                ids.push(made.segment);
                write_whole(&mut ops, made.path, made.data);
            }
        }
        let ready = self.derived.tables.iter().take_while(|table| table.0 <= safe).count();
        let newest = self.derived.tables.drain(..ready).next_back();
        let table = newest.is_some();
        if let Some((_, path, data)) = newest {
            write_whole(&mut ops, path.clone(), data);
            ops.extend(self.derived.on_disk.iter().cloned().map(DiskOp::Remove));
            self.derived.on_disk.push(path);
        }
        if !ops.is_empty() {
            let id = self.request_id();
            self.derived.writing = Some(Writing { id, segments: ids, table });
            out.push(DiskRequest { id, ops });
        }
    }

    /// Makes a sidecar for a complete segment that has none. False if there is no such segment.
    fn make_missing(&mut self, index: &Index, safe: u64) -> bool {
        let old = self.segments.len().saturating_sub(1);
        let missing = self.segments.iter().take(old).position(|segment| {
            segment.sidecar == Sidecar::Missing
                && segment.base + u64::from(segment.len) <= safe
                && !self.compaction.busy_with(segment.id)
        });
        missing.into_iter().for_each(|at| self.make(index, at));
        missing.is_some()
    }

    /// Takes the result of a write. False if it was not one of these.
    pub(super) fn derived_completed(&mut self, id: RequestId, result: &DiskResult) -> bool {
        let Some(writing) = self.derived.writing.take_if(|writing| writing.id == id) else {
            return false;
        };
        let tables = &mut self.derived.on_disk;
        if *result == DiskResult::Done {
            let old = tables.len().saturating_sub(1);
            tables.drain(..if writing.table { old } else { 0 });
            return true;
        }
        // What is there in part takes room for nothing.
        let mut gone: Vec<Arc<str>> = Vec::new();
        gone.extend(tables.last().filter(|_| writing.table).cloned());
        for segment in &mut self.segments {
            if writing.segments.contains(&segment.id) {
                segment.sidecar = Sidecar::Never;
                let name = sidecar::name(segment.id, segment.generation);
                gone.push(format!("{}/{name}", self.dir).into());
            }
        }
        self.health.clean_up(gone.into_iter().map(DiskOp::Remove));
        true
    }
}

fn write_whole(ops: &mut Vec<DiskOp>, path: Arc<str>, data: Bytes) {
    ops.push(DiskOp::Truncate { path: path.clone(), len: 0 });
    ops.push(DiskOp::Write { path, offset: 0, data });
}
