//! Group commit.

use bytes::{Bytes, BytesMut};
use std::sync::Arc;

use super::undo::Undo;
use super::{FileLog, Header, REPLACED_MAX, Segment, SyncPolicy};
use crate::SeqRange;
use crate::disk::{DiskOp, DiskRequest, DiskResult, RequestId};
use crate::index::Index;
use crate::record::Seal;

/// A part is closed when it has this many bytes, to keep buffers from growing without end.
const PART: usize = 1 << 20;

/// Bytes that belong together in one segment.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) segment: u64,
    path: Arc<str>,
    pub(super) base: u64,
    pub(super) offset: u32,
    pub(super) data: BytesMut,
    /// The segment's file begins with it.
    fresh: bool,
}

/// The records that wait for the next sync.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) parts: Vec<Part>,
    bytes: usize,
    /// It has its record of what is durable.
    pub(super) marked: bool,
    pub(super) removed: Vec<SeqRange>,
    /// What its messages replaced.
    pub(super) undo: Undo,
}

/// The round that is being written.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    end: u64,
    pub(super) last_seq: u64,
    bytes: usize,
    pub(super) pieces: Vec<Piece>,
    pub(super) removed: Vec<SeqRange>,
    pub(super) undo: Undo,
    paths: Vec<Arc<str>>,
    probe: bool,
    orphans: usize,
}

/// Records as they lie in a segment.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) segment: u64,
    pub(super) offset: u32,
    /// Log position of the first byte.
    pub(super) pos: u64,
    pub(super) data: Bytes,
}

impl Round {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn open(&mut self, segment: u64, path: &Arc<str>, header: &Header) {
        let mut data = BytesMut::with_capacity(1024);
        header.put(&mut data);
        self.bytes += data.len();
        let (path, base) = (path.clone(), header.base);
        self.parts.push(Part { segment, path, base, offset: 0, data, fresh: true });
    }

    pub(super) fn put(
        &mut self,
        segment: &Segment,
        seal: Seal,
        hint: usize,
        write: impl FnOnce(&mut BytesMut),
    ) -> (u32, u32) {
        let fits = |part: &Part| part.segment == segment.id && part.data.len() + hint <= PART;
        if !self.parts.last().is_some_and(fits) {
            self.parts.push(Part {
                segment: segment.id,
                path: segment.path.clone(),
                base: segment.base,
                offset: segment.len,
                data: BytesMut::with_capacity(hint.max(512)),
                fresh: false,
            });
        }
        let last = self.parts.len() - 1;
        let part = &mut self.parts[last];
        let start = part.data.len();
        write(&mut part.data);
        let offset = part.offset + start as u32;
        seal.seal(offset, &mut part.data[start..]);
        let len = part.data.len() - start;
        self.bytes += len;
        (offset, len as u32)
    }

    /// The bytes at a place, if they are in this round.
    pub(super) fn find(&self, segment: u64, offset: u32, len: u32) -> Option<&[u8]> {
        let part = self.parts.iter().rfind(|p| p.segment == segment && p.offset <= offset)?;
        let start = (offset - part.offset) as usize;
        part.data.get(start..start + len as usize)
    }
}

impl FileLog {
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.round.bytes + self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    pub(crate) fn is_idle(&self) -> bool {
        let syncing = self.syncing.is_some() || (self.sync_due && !self.dirty.is_empty());
        self.round.is_empty() && self.flight.is_none() && !syncing && self.derived_is_idle()
    }

    /// Sends the round off if none is in flight.
    pub(super) fn send_round(&mut self, index: &Index, out: &mut Vec<DiskRequest>) {
        let probe = self.health.probing();
        if self.flight.is_some() || self.health.stopped() || (self.round.is_empty() && !probe) {
            return;
        }
        let round = std::mem::take(&mut self.round);
        let mut ops = Vec::new();
        if !self.made_dir {
            ops.push(DiskOp::CreateDir(self.dir.clone()));
            let above = self.dir.rmatch_indices('/').map(|(at, _)| &self.dir[..at]);
            ops.extend(above.chain([""]).map(|dir| DiskOp::SyncDir(dir.into())));
        }
        self.probe_before(probe, &mut ops);
        let orphans = self.health.orphans.len();
        ops.extend(self.health.orphans.iter().cloned().map(DiskOp::Remove));
        let always = self.options.sync == SyncPolicy::Always;
        let mut paths: Vec<Arc<str>> = Vec::new();
        let mut opened = false;
        let mut pieces = Vec::with_capacity(round.parts.len());
        for part in round.parts {
            if part.fresh {
                // A later segment's existence says that the one before is there and whole.
                if let Some(before) = paths.last().filter(|_| always) {
                    ops.push(DiskOp::Sync(before.clone()));
                    ops.extend(opened.then(|| DiskOp::SyncDir(self.dir.clone())));
                }
                ops.push(DiskOp::Truncate { path: part.path.clone(), len: 0 });
                opened = true;
            }
            if paths.last() != Some(&part.path) {
                paths.push(part.path.clone());
            }
            let (offset, data) = (part.offset, part.data.freeze());
            ops.push(DiskOp::Write {
                path: part.path,
                offset: u64::from(offset),
                data: data.clone(),
            });
            let pos = part.base + u64::from(offset);
            pieces.push(Piece { segment: part.segment, offset, pos, data });
        }
        if always {
            ops.extend(paths.last().cloned().map(DiskOp::Sync));
        }
        if (always && opened) || orphans > 0 {
            ops.push(DiskOp::SyncDir(self.dir.clone()));
        }
        self.probe_after(probe, &mut ops);
        pieces.iter().for_each(|piece| self.cache.keep(piece.clone()));
        let id = self.request_id();
        self.flight = Some(Flight {
            id,
            end: self.end,
            last_seq: index.state.last_seq,
            bytes: round.bytes,
            pieces,
            removed: round.removed,
            undo: round.undo,
            paths,
            probe,
            orphans,
        });
        out.push(DiskRequest { id, ops });
    }

    pub(super) fn round_completed(&mut self, index: &mut Index, result: DiskResult) {
        let Some(flight) = self.flight.take() else { return };
        if let DiskResult::Failed { error, .. } = result {
            self.fail(index, flight, error);
            return;
        }
        let evicted = flight.undo.evicted();
        if !evicted.is_empty() {
            self.evicted.extend_from_slice(&evicted);
            // Counts of the whole stream are in each round's record.
            if index.limits.max_msgs_per_subject.is_some() {
                // With a relaxed policy they are safe only much later; the memory for that has an end.
                if self.replaced.len() >= REPLACED_MAX {
                    self.replaced.pop_front();
                }
                self.replaced.push_back((flight.end, evicted));
            }
        }
        self.made_dir = true;
        self.health.orphans.drain(..flight.orphans);
        (self.durable, self.durable_seq) = (flight.end, flight.last_seq);
        if self.options.sync == SyncPolicy::Always {
            self.synced = flight.end;
        } else {
            for path in flight.paths {
                if !self.dirty.contains(&path) {
                    self.dirty.push(path);
                }
            }
        }
        if flight.probe {
            self.health.recovered();
        }
        self.cache.trim(self.durable);
    }

    /// Tells the time of the monotonic clock, for a relaxed policy and the scrub.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        self.scrub.tick(now_ns);
        let SyncPolicy::Interval(interval) = self.options.sync else { return };
        if self.dirty.is_empty() {
            self.dirty_since = None;
            return;
        }
        let since = *self.dirty_since.get_or_insert(now_ns);
        self.sync_due |= now_ns.saturating_sub(since) as u128 >= interval.as_nanos();
    }

    /// When [`FileLog::tick`] is due: `Some(0)` means at once.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.sync_deadline().into_iter().chain(self.scrub.deadline()).min()
    }

    fn sync_deadline(&self) -> Option<u64> {
        let SyncPolicy::Interval(interval) = self.options.sync else { return None };
        if self.dirty.is_empty() || self.syncing.is_some() {
            return None;
        }
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Some(self.dirty_since.map_or(0, |since| since.saturating_add(interval)))
    }

    /// Syncs what a relaxed policy left behind, whatever the time.
    pub(crate) fn sync_now(&mut self) {
        self.sync_due = true;
    }

    pub(super) fn send_sync(&mut self, out: &mut Vec<DiskRequest>) {
        // A round in flight would leave files dirty that the sync does not name.
        if !self.sync_due || self.syncing.is_some() || self.flight.is_some() {
            return;
        }
        self.sync_due = false;
        self.dirty_since = None;
        if self.dirty.is_empty() {
            return;
        }
        let id = self.request_id();
        self.syncing = Some((id, self.durable));
        let mut ops: Vec<DiskOp> = self.dirty.drain(..).map(DiskOp::Sync).collect();
        ops.push(DiskOp::SyncDir(self.dir.clone()));
        out.push(DiskRequest { id, ops });
    }

    pub(super) fn sync_completed(&mut self, result: DiskResult) {
        let Some((_, upto)) = self.syncing.take() else { return };
        match result {
            DiskResult::Failed { error, .. } => {
                // Nothing is refused: it was durable by this policy. No more goes to these files.
                self.closed = true;
                self.health.block(error);
            }
            _ => self.synced = self.synced.max(upto),
        }
    }
}
