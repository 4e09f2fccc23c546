//! What happens when a write or a sync fails.
//!
//! The file that failed takes no more records: after a failed sync the system may have dropped
//! what it was to write and report success the next time. Messages that were not durable are refused;
//! their sequences stay used, and what they replaced (by limits and rollups) comes back. Other removals and notes that were not durable are appended again, to a new
//! segment whose header voids what the failed one holds beyond the durable position. A probe
//! finds out when the disk works again.

use bytes::Bytes;
use std::sync::Arc;

use super::round::{Flight, Round};
use super::sidecar::Sidecar;
use super::{FileLog, HEADER_LEN, RUNS_MAX};
use crate::disk::{DiskError, DiskErrorKind, DiskOp, DiskRequest};
use crate::index::Index;
use crate::op::Op;
use crate::record::{HEAD, u32_at};
use crate::types::push_range;
use crate::{LogPos, SeqRange};

/// A probe writes this much before messages are taken again.
const PROBE: usize = 64 << 10;
/// The size of the reserve.
const RESERVE: usize = 1 << 20;

/// Why a log takes no messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// The disk is full. Removals and notes go on while the reserve lasts.
    NoRoom(DiskError),
    /// A sync failed. A probe opens a new segment.
    SyncFailed(DiskError),
    /// No file could be opened. A probe finds out when that has passed.
    NoFiles(DiskError),
    /// Another failure, which an operator should look at before a probe is made.
    Failed(DiskError),
}

impl Blocked {
    fn new(error: DiskError) -> Blocked {
        match (error.kind, error.op) {
            (DiskErrorKind::NoRoom, _) => Blocked::NoRoom(error),
            (DiskErrorKind::NoFiles, _) => Blocked::NoFiles(error),
            (_, "sync" | "sync_dir") => Blocked::SyncFailed(error),
            _ => Blocked::Failed(error),
        }
    }

    /// What the disk said.
    pub fn error(&self) -> &DiskError {
        match self {
            Blocked::NoRoom(error)
            | Blocked::SyncFailed(error)
            | Blocked::NoFiles(error)
            | Blocked::Failed(error) => error,
        }
    }

    /// Whether a probe may be made without asking an operator.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Blocked::Failed(_))
    }
}

/// Positions that will never become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// All positions above this one …
    pub after: LogPos,
    /// … and up to this one are refused, although [`Log::durable`](crate::Log::durable) may pass
    /// them later: removals and notes among them were appended again and are durable with
    /// the [`Log::end`](crate::Log::end) at this moment; messages are gone.
    pub upto: LogPos,
    /// The sequences of the messages that are gone; they are not handed out again, unless
    /// [`FileOptions::reuse`](crate::FileOptions::reuse) says so.
    pub seqs: Option<SeqRange>,
    /// Why.
    pub error: DiskError,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) blocked: Option<Blocked>,
    /// Nothing is sent before a probe.
    stopped: bool,
    probe: bool,
    /// The reserve was given up.
    spent: bool,
    /// Up to where the records before the next segment count.
    resume: Option<u64>,
    pub(super) refused: Vec<Refused>,
    cleanup: Vec<DiskOp>,
    /// The file whose refused tail must go before its sequences are used again, and where that begins.
    tail: Option<(Arc<str>, u64)>,
    /// Files of segments that never became durable; they go with the next round that does.
    pub(super) orphans: Vec<Arc<str>>,
}

impl Health {
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn probing(&self) -> bool {
        self.probe
    }

    /// Adds what is nice to have done.
    pub(super) fn clean_up(&mut self, ops: impl Iterator<Item = DiskOp>) {
        self.cleanup.extend(ops);
    }

    pub(super) fn take_resume(&mut self) -> Option<u64> {
        self.resume.take()
    }

    pub(super) fn block(&mut self, error: DiskError) {
        self.blocked = Some(Blocked::new(error));
        self.stopped = true;
        self.probe = false;
    }

    pub(super) fn recovered(&mut self) {
        self.blocked = None;
        self.probe = false;
        self.spent = false;
        self.tail = None;
    }
}

impl FileLog {
    pub(crate) fn blocked(&self) -> Option<&Blocked> {
        self.health.blocked.as_ref()
    }

    pub(crate) fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.health.refused)
    }

    /// Tries whether the disk works again.
    pub(crate) fn probe(&mut self) {
        if self.health.blocked.is_some() {
            self.health.stopped = false;
            self.health.probe = true;
        }
    }

    pub(super) fn probe_before(&mut self, probe: bool, ops: &mut Vec<DiskOp>) {
        if probe {
            let path: Arc<str> = format!("{}/probe", self.dir).into();
            let data = Bytes::from_static(&[0; PROBE]);
            ops.push(DiskOp::Write { path: path.clone(), offset: 0, data });
            ops.push(DiskOp::Sync(path.clone()));
            ops.push(DiskOp::Remove(path));
            if let Some((path, len)) = self.health.tail.clone() {
                ops.push(DiskOp::Truncate { path: path.clone(), len });
                ops.push(DiskOp::Sync(path));
            }
        } else if let (Some(Blocked::NoRoom(_)), Some(reserve), false) =
            (&self.health.blocked, &self.options.reserve, self.health.spent)
        {
            self.health.spent = true;
            ops.push(DiskOp::Truncate { path: reserve.as_str().into(), len: 0 });
        }
    }

    pub(super) fn probe_after(&mut self, probe: bool, ops: &mut Vec<DiskOp>) {
        if let (true, true, Some(reserve)) = (probe, self.health.spent, &self.options.reserve) {
            let path: Arc<str> = reserve.as_str().into();
            let data = Bytes::from_static(&[0; RESERVE]);
            ops.push(DiskOp::Write { path: path.clone(), offset: 0, data });
            ops.push(DiskOp::Sync(path));
        }
    }

    /// Sends off what is nice to have done; the result does not matter.
    pub(super) fn send_cleanup(&mut self, out: &mut Vec<DiskRequest>) {
        for op in std::mem::take(&mut self.health.cleanup) {
            let id = self.request_id();
            out.push(DiskRequest { id, ops: vec![op] });
        }
    }

    pub(super) fn fail(&mut self, index: &mut Index, flight: Flight, error: DiskError) {
        let round = std::mem::take(&mut self.round);
        let last_seq = index.state.last_seq;
        let unsafe_seqs =
            SeqRange { first: self.durable_seq + 1, last: last_seq.max(self.durable_seq) };
        self.health.refused.push(Refused {
            after: LogPos(self.durable),
            upto: LogPos(self.end),
            seqs: (last_seq > self.durable_seq).then_some(unsafe_seqs),
            error: error.clone(),
        });
        while let Some(seq) = index.next_live(self.durable_seq + 1) {
            index.remove(seq);
        }
        let first_failure = self.health.blocked.is_none();
        self.health.block(error);
        // With the reserve given up there may be room for what is appended again.
        let reserve = first_failure && self.options.reserve.is_some() && !self.health.spent;
        if reserve && matches!(self.health.blocked, Some(Blocked::NoRoom(_))) {
            self.health.stopped = false;
        }
        self.cut_back(index);
        if self.options.reuse {
            index.rewind(self.durable_seq);
        }
        let erase = self.compaction.cancel(self.durable);
        self.derived.cancel(self.durable);
        let removed = self.replaced_again(index, &flight, &round);
        self.append_again(index, &flight, &round, removed);
        self.erase_again(index, erase);
    }

    /// Puts back what the refused messages replaced. Tells all that is removed nevertheless.
    fn replaced_again(
        &mut self,
        index: &mut Index,
        flight: &Flight,
        round: &Round,
    ) -> Vec<SeqRange> {
        let mut removed = flight.removed.clone();
        removed.extend(&round.removed);
        let any = self.put_back(index, &flight.undo, false, &mut removed);
        if self.put_back(index, &round.undo, true, &mut removed) || any {
            // The limits may be others by now.
            let evicted = &mut self.evicted;
            index.enforce_all(&mut |seq, _| {
                push_range(evicted, seq);
                push_range(&mut removed, seq);
            });
        }
        removed
    }

    /// Forgets segments that have nothing durable and closes the last that has.
    fn cut_back(&mut self, index: &mut Index) {
        self.cache.forget_from(self.durable);
        while self.segments.back().is_some_and(|last| last.base >= self.durable) {
            index.chunks.pop_back();
            if let Some(orphan) = self.segments.pop_back() {
                self.derived.forget(&[orphan.id]);
                self.health.orphans.push(orphan.path);
            }
        }
        if let Some(last) = self.segments.back_mut() {
            last.len = (self.durable - last.base) as u32;
            last.sidecar = Sidecar::Never;
            if self.options.reuse {
                self.health.tail = Some((last.path.clone(), u64::from(last.len)));
            }
            if matches!(self.health.blocked, Some(Blocked::NoRoom(_))) && !self.closed {
                let (path, len) = (last.path.clone(), u64::from(last.len));
                self.health.cleanup.push(DiskOp::Truncate { path, len });
            }
        }
        self.closed = true;
        self.health.resume = Some(self.durable);
    }

    /// Appends what is not a message and was not durable to a new segment.
    fn append_again(
        &mut self,
        index: &mut Index,
        flight: &Flight,
        round: &Round,
        removed: Vec<SeqRange>,
    ) {
        let mut notes: Vec<(u8, Bytes)> = Vec::new();
        for piece in &flight.pieces {
            collect_notes(piece.offset, &piece.data, &mut notes);
        }
        for part in &round.parts {
            let data = Bytes::copy_from_slice(&part.data);
            collect_notes(part.offset, &data, &mut notes);
        }
        if !self.segments.is_empty() {
            let (limits, state) = (index.limits, &index.state);
            let (upto, time) = (state.last_seq, Some(state.last_time));
            self.append_op(index, &Op::Skip { upto, time });
            // Notes first: a message may be gone because of what one of them says.
            self.append_notes(index, &notes);
            for ranges in removed.chunks(RUNS_MAX) {
                self.append_op(index, &Op::Tombstone { ranges: ranges.to_vec() });
            }
            self.round.removed = removed;
            // Last: new limits take what the removals before them leave.
            self.append_op(index, &Op::Limits(limits));
        } else {
            self.append_notes(index, &notes);
        }
    }

    fn append_notes(&mut self, index: &mut Index, notes: &[(u8, Bytes)]) {
        for (kind, body) in notes {
            self.append_op(index, &Op::Note { kind: *kind, body });
        }
    }
}

/// Adds the notes among whole records, which begin at `offset` of a segment.
fn collect_notes(offset: u32, data: &Bytes, notes: &mut Vec<(u8, Bytes)>) {
    let mut at = if offset == 0 { HEADER_LEN as usize } else { 0 };
    while let Some(len) = u32_at(data, at + 4) {
        let end = at + HEAD + len as usize;
        let (Some(&kind), true) = (data.get(at + 2), end <= data.len()) else { return };
        let body = data.slice(at + HEAD..end);
        match Op::parse(kind, data[at + 3], &body) {
            Some(Op::Note { kind, body: note }) => notes.push((kind, body.slice_ref(note))),
            Some(Op::Checkpoint(state)) => {
                notes.extend(state.notes.iter().map(|(kind, note)| (*kind, body.slice_ref(note))));
            }
            _ => {}
        }
        at = end;
    }
}
