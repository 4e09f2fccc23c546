//! Giving disk space back.
//!
//! A checkpoint holds all that the records before it mean, except the live messages. Once it is
//! durable, segments before it that have no message that lived *at the checkpoint* are removed,
//! and of those that are mostly dead the messages that lived are written to a new file that takes
//! their place. Messages that died since stay until the next time: their records are what
//! the log after the checkpoint is replayed over, so the same limits remove the same messages.

use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;

use super::sidecar::{self, Basis, Owner, Runs, Sidecar};
use super::{FileLog, HEADER_LEN, Header, Segment, name};
use crate::chunk::{Chunk, Entry, REACH};
use crate::disk::{DiskOp, DiskRequest, DiskResult, RequestId};
use crate::index::Index;
use crate::op::{Op, Secure};
use crate::record::{self, Seal};

/// A segment smaller than this part of the usual size is merged with its neighbours.
const SMALL: u32 = 8;
/// The step of a rewrite from which on the new file may be there.
const RENAME: usize = 3;
/// Messages that one checkpoint plans to move at most.
const MOVED: u64 = 1 << 20;
/// Records overwritten by one request.
const ERASE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// Bytes of records removed since the last look at what could be given back.
    hint: u64,
    worthwhile: bool,
    /// Bytes of notes since the last checkpoint, all of which recovery hands to the owner.
    notes: u64,
    plan: Option<Plan>,
    work: Work,
    /// It is not known which files are there: nothing more is given back before a restart, since
    /// what a checkpoint calls dead must cover all files.
    broken: bool,
    /// Messages whose bytes are to be overwritten once a position is durable.
    erase: VecDeque<Erase>,
}

/// A message whose bytes are to go.
#[derive(Debug)]
pub(super) struct Erase {
    seq: u64,
    subject: Box<[u8]>,
    /// Not before this is durable.
    pos: u64,
}

#[derive(Debug)]
struct Plan {
    /// It holds once this is durable.
    pos: u64,
    /// The checkpoint that it was made for.
    checkpoint: Basis,
    drops: Vec<u64>,
    groups: VecDeque<Group>,
}

/// What is kept of a segment: its id, and place and subject of each message.
type Member = (u64, Vec<(u32, u32)>);

/// Neighbouring segments that become one.
#[derive(Debug)]
struct Group {
    members: VecDeque<Member>,
    covers: u64,
}

#[derive(Debug, Default)]
enum Work {
    #[default]
    Idle,
    Dropping(RequestId, Vec<u64>),
    Reading(RequestId, Rewrite),
    /// What was read is copied.
    Copied(Rewrite),
    Writing(RequestId, Rewrite),
    Erasing(RequestId, Vec<Erase>),
}

/// A group on its way into one new file.
#[derive(Debug)]
struct Rewrite {
    left: VecDeque<Member>,
    done: Vec<u64>,
    checkpoint: Basis,
    segment: Segment,
    data: BytesMut,
    entries: Vec<Entry>,
    runs: Runs,
}

impl Compaction {
    pub(super) fn rolled(&mut self) {
        self.hint = u64::MAX;
    }

    pub(super) fn planned_at(&mut self, pos: u64, checkpoint: Basis) {
        if let Some(plan) = self.plan.as_mut().filter(|plan| plan.pos == u64::MAX) {
            (plan.pos, plan.checkpoint) = (pos, checkpoint);
        }
    }

    /// It is not known which files are there.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Forgets a plan whose checkpoint will not become durable. Tells of which messages the removal will
    /// not, either: their bytes are still to be overwritten.
    pub(super) fn cancel(&mut self, durable: u64) -> Vec<Erase> {
        self.plan = self.plan.take().filter(|plan| plan.pos <= durable);
        let all = std::mem::take(&mut self.erase);
        let (kept, cancelled): (Vec<Erase>, Vec<Erase>) =
            all.into_iter().partition(|erase| erase.pos <= durable);
        self.erase = kept.into();
        cancelled
    }

    /// The file that is being written to take the place of others.
    pub(super) fn writing(&self) -> Option<&Arc<str>> {
        match &self.work {
            Work::Writing(_, rewrite) => Some(&rewrite.segment.path),
            _ => None,
        }
    }

    pub(super) fn busy_with(&self, id: u64) -> bool {
        match &self.work {
            Work::Reading(_, rewrite) | Work::Copied(rewrite) | Work::Writing(_, rewrite) => {
                rewrite.done.contains(&id) || rewrite.left.iter().any(|(left, _)| *left == id)
            }
            Work::Dropping(_, ids) => ids.contains(&id),
            _ => false,
        }
    }
}

impl FileLog {
    pub(crate) fn erase_later(&mut self, seq: u64, subject: &[u8]) {
        let erase = Erase { seq, subject: subject.into(), pos: self.end };
        self.compaction.erase.push_back(erase);
    }

    /// Tells that messages of about so many bytes were removed.
    pub(crate) fn freed(&mut self, bytes: u64) {
        self.compaction.hint = self.compaction.hint.saturating_add(bytes);
    }

    /// Tells that so many bytes of notes were appended or replayed.
    pub(crate) fn noted(&mut self, bytes: u64) {
        self.compaction.notes += bytes;
    }

    /// Looks whether a checkpoint would give back a segment's worth of space.
    pub(crate) fn weigh(&mut self, index: &Index) {
        // What a plan is about to give back would be counted once more, without end.
        let planned = self.compaction.plan.is_some();
        if planned || self.compaction.hint < u64::from(self.options.segment_bytes) / 4 {
            return;
        }
        self.compaction.hint = 0;
        let old = self.segments.len().saturating_sub(1);
        let gain = |(segment, chunk): (&Segment, &Chunk)| {
            let len = u64::from(segment.len - HEADER_LEN.min(segment.len));
            let mostly_dead = chunk.live_len() <= len / 2 && !segment.frozen;
            if mostly_dead { len - chunk.live_len() } else { 0 }
        };
        let pairs = self.segments.iter().zip(&index.chunks).take(old);
        let gain: u64 = pairs.map(gain).sum();
        self.compaction.worthwhile = gain >= self.checkpoint_worth();
    }

    /// A checkpoint is to spare at least so many bytes: a segment, or what it takes itself.
    fn checkpoint_worth(&self) -> u64 {
        u64::from(self.options.segment_bytes).max(self.derived.cost())
    }

    pub(crate) fn wants_checkpoint(&self) -> bool {
        let notes = self.compaction.notes >= self.checkpoint_worth();
        // Once it closes nothing is compacted any more, and a checkpoint would be worthwhile for ever.
        (self.compaction.worthwhile || notes || self.progressed())
            && !self.derived.closing
            && !self.compaction.broken
            && self.compaction.plan.is_none()
            && matches!(self.compaction.work, Work::Idle | Work::Erasing(..))
            && self.health.blocked.is_none()
            && (!self.options.reuse || self.round.is_empty())
    }

    /// Decides what a checkpoint that is written now makes obsolete.
    pub(super) fn plan_compaction(&mut self, index: &Index) {
        let (mut drops, mut groups) = (Vec::new(), VecDeque::new());
        // One that only shortens a later replay moves nothing.
        let rewrite = self.compaction.worthwhile || !self.progressed();
        let mut open: Option<(Group, u64, u64, bool)> = None;
        let mut moved = 0;
        for (segment, chunk) in self.segments.iter().zip(&index.chunks) {
            let len = u64::from(segment.len - HEADER_LEN.min(segment.len));
            let live = chunk.live_len();
            let sparse = live <= len / 2;
            let small = segment.len < self.options.segment_bytes / SMALL;
            if self.compaction.busy_with(segment.id) {
                // Only neighbours become one.
                groups.extend(open.take().filter(|open| open.3).map(|open| open.0));
                continue;
            }
            if chunk.live() == 0 {
                drops.push(segment.id);
                continue;
            }
            let place = |at| (at as u32, chunk.subject(at));
            let keep = || (segment.id, chunk.iter_live(0).map(place).collect());
            let candidate = rewrite && (sparse || small) && !segment.frozen && moved < MOVED;
            if candidate {
                moved += u64::from(chunk.live());
            }
            match &mut open {
                Some((group, first, size, gains))
                    if candidate
                        && *size + live <= u64::from(self.options.segment_bytes)
                        && chunk.last() - *first <= REACH =>
                {
                    group.members.push_back(keep());
                    group.covers = segment.covers;
                    (*size, *gains) = (*size + live, true);
                }
                _ => {
                    groups.extend(open.take().filter(|open| open.3).map(|open| open.0));
                    if candidate {
                        let members = VecDeque::from([keep()]);
                        let group = Group { members, covers: segment.covers };
                        open = Some((group, chunk.seq(0), live, sparse));
                    }
                }
            }
        }
        groups.extend(open.take().filter(|open| open.3).map(|open| open.0));
        self.compaction.worthwhile = false;
        self.compaction.notes = 0;
        if self.compaction.broken {
            return;
        }
        let checkpoint = Basis { segment: 0, crc: 0 };
        self.compaction.plan = Some(Plan { pos: u64::MAX, checkpoint, drops, groups });
    }

    pub(super) fn send_compaction(&mut self, index: &mut Index, out: &mut Vec<DiskRequest>) {
        if !self.derived.closing {
            self.continue_rewrite(out);
        }
        let idle = matches!(self.compaction.work, Work::Idle);
        if !idle || self.compaction.broken || self.health.blocked.is_some() {
            return;
        }
        if let Some((ops, erased)) = self.erasures(index) {
            let id = self.request_id();
            self.compaction.work = Work::Erasing(id, erased);
            out.push(DiskRequest { id, ops });
            return;
        }
        let durable = self.safe();
        let holds = |plan: &&mut Plan| plan.pos <= durable && !self.derived.closing;
        let Some(plan) = self.compaction.plan.as_mut().filter(holds) else { return };
        if !plan.drops.is_empty() {
            let drops = std::mem::take(&mut plan.drops);
            let gone = self.segments.iter().filter(|segment| drops.contains(&segment.id));
            let mut ops: Vec<DiskOp> = gone.map(|s| DiskOp::Remove(s.path.clone())).collect();
            ops.push(DiskOp::SyncDir(self.dir.clone()));
            self.remove_sidecars(&drops, &mut ops);
            let id = self.request_id();
            self.compaction.work = Work::Dropping(id, drops);
            out.push(DiskRequest { id, ops });
            return;
        }
        let Some(group) = plan.groups.pop_front() else {
            self.compaction.plan = None;
            return;
        };
        let checkpoint = plan.checkpoint;
        self.begin_rewrite(group, checkpoint, out);
    }

    /// Removes the sidecars of segments that are gone by then.
    fn remove_sidecars(&self, ids: &[u64], ops: &mut Vec<DiskOp>) {
        let gone = self.segments.iter().filter(|segment| ids.contains(&segment.id));
        let path = |gone: &Segment| self.sidecar_path(gone.id, gone.generation);
        ops.extend(gone.map(|gone| DiskOp::Remove(path(gone))));
    }

    fn begin_rewrite(&mut self, group: Group, checkpoint: Basis, out: &mut Vec<DiskRequest>) {
        let first = group.members.front().map(|member| member.0);
        let Some(old) = self.segments.iter().find(|segment| Some(segment.id) == first) else {
            return;
        };
        let generation = old.generation + 1;
        let path: Arc<str> = format!("{}/{}", self.dir, name(old.id, generation)).into();
        let (covers, sidecar) = (group.covers, Sidecar::Missing);
        let segment = Segment { generation, path, covers, sidecar, ..old.clone() };
        let mut data = BytesMut::new();
        data.put_bytes(0, HEADER_LEN as usize);
        let rewrite = Rewrite {
            left: group.members,
            done: Vec::new(),
            checkpoint,
            segment,
            data,
            entries: Vec::new(),
            runs: Runs::default(),
        };
        self.read_next(rewrite, out);
    }

    fn read_next(&mut self, rewrite: Rewrite, out: &mut Vec<DiskRequest>) {
        let id = self.request_id();
        let next = rewrite.left.front().map(|member| member.0);
        let ops = match self.segments.iter().find(|segment| Some(segment.id) == next) {
            Some(old) => {
                vec![DiskOp::Read { path: old.path.clone(), offset: 0, len: old.len }]
            }
            None => return,
        };
        self.compaction.work = Work::Reading(id, rewrite);
        out.push(DiskRequest { id, ops });
    }

    pub(super) fn compaction_completed(
        &mut self,
        index: &mut Index,
        id: RequestId,
        result: DiskResult,
    ) {
        match std::mem::take(&mut self.compaction.work) {
            Work::Dropping(request, ids) if request == id => {
                if result == DiskResult::Done {
                    self.forget_segments(index, &ids);
                } else {
                    // They stay between those that were to become neighbours.
                    self.compaction.plan = None;
                }
            }
            Work::Erasing(request, erased) if request == id => {
                if result != DiskResult::Done {
                    // Again when the disk has taken something.
                    let pos = self.durable + 1;
                    self.compaction.erase.extend(erased.into_iter().map(|e| Erase { pos, ..e }));
                }
            }
            Work::Reading(request, rewrite) if request == id => {
                let DiskResult::Read(data) = result else { return };
                self.take_read(index, rewrite, &data);
            }
            Work::Writing(request, rewrite) if request == id => match result {
                DiskResult::Failed { step, .. } if step < RENAME => {}
                // Behind that it is there for good, whatever became of the old ones.
                DiskResult::Failed { step, .. } if step <= RENAME + 1 => {
                    self.compaction.broken = true;
                }
                _ => self.replace(index, rewrite),
            },
            other => self.compaction.work = other,
        }
    }

    /// Copies the records that are kept out of an old segment.
    fn take_read(&mut self, index: &Index, mut rewrite: Rewrite, data: &Bytes) {
        let Some((id, keep)) = rewrite.left.pop_front() else { return };
        let old = Seal { salt: self.salt, segment: id };
        let new = Seal { salt: self.salt, segment: rewrite.segment.id };
        let Some(chunk) = index.chunks.iter().find(|chunk| chunk.id == id) else { return };
        for (at, subject) in keep {
            let (at, offset) = (at as usize, rewrite.data.len());
            let seq = chunk.seq(at);
            let (start, len, headers) = chunk.record(at);
            let bytes = data.get(start as usize..start as usize + len as usize);
            let fits = |bytes: &&[u8]| {
                let whole = old.check(start, bytes) == Some(len as usize);
                whole && record::stamp(bytes).is_some_and(|stamp| stamp.0 == seq)
            };
            let Some(bytes) = bytes.filter(fits) else {
                // Damage: reading will find it too. The file stays as it is, and is scanned.
                if let Some(bad) = self.segments.iter_mut().find(|segment| segment.id == id) {
                    bad.frozen = true;
                    bad.sidecar = Sidecar::Never;
                }
                return;
            };
            let before = rewrite.entries.last().map_or(0, |entry| entry.seq);
            rewrite.runs.push(before, seq, bytes[3]);
            rewrite.data.put_slice(bytes);
            new.seal(offset as u32, &mut rewrite.data[offset..]);
            let (offset, time) = (offset as u32, chunk.time(at));
            rewrite.entries.push(Entry { seq, offset, len, headers, subject, time });
        }
        rewrite.done.push(id);
        self.compaction.work = Work::Copied(rewrite);
    }

    /// Goes on with a rewrite whose read was taken.
    fn continue_rewrite(&mut self, out: &mut Vec<DiskRequest>) {
        let rewrite = match std::mem::take(&mut self.compaction.work) {
            Work::Copied(rewrite) => rewrite,
            other => {
                self.compaction.work = other;
                return;
            }
        };
        if !rewrite.left.is_empty() {
            self.read_next(rewrite, out);
            return;
        }
        self.write_new(rewrite, out);
    }

    fn write_new(&mut self, mut rewrite: Rewrite, out: &mut Vec<DiskRequest>) {
        let segment = &mut rewrite.segment;
        segment.len = rewrite.data.len() as u32;
        let header = Header {
            stream: self.options.stream_id,
            salt: self.salt,
            id: segment.id,
            base: segment.base,
            prev_end: segment.base,
            covers: segment.covers,
            generation: segment.generation,
            file_len: u64::from(segment.len),
        };
        let mut head = BytesMut::with_capacity(HEADER_LEN as usize);
        header.put(&mut head);
        rewrite.data[..head.len()].copy_from_slice(&head);
        let tmp: Arc<str> = format!("{}/compact.tmp", self.dir).into();
        let data = std::mem::take(&mut rewrite.data).freeze();
        let mut ops = vec![
            DiskOp::Truncate { path: tmp.clone(), len: 0 },
            DiskOp::Write { path: tmp.clone(), offset: 0, data },
            DiskOp::Sync(tmp.clone()),
            DiskOp::Rename { from: tmp, to: rewrite.segment.path.clone() },
            DiskOp::SyncDir(self.dir.clone()),
        ];
        let old = self.segments.iter().filter(|segment| rewrite.done.contains(&segment.id));
        ops.extend(old.map(|segment| DiskOp::Remove(segment.path.clone())));
        ops.push(DiskOp::SyncDir(self.dir.clone()));
        self.remove_sidecars(&rewrite.done, &mut ops);
        let id = self.request_id();
        self.compaction.work = Work::Writing(id, rewrite);
        out.push(DiskRequest { id, ops });
    }

    /// Puts the new file into the place of the old ones.
    fn replace(&mut self, index: &mut Index, rewrite: Rewrite) {
        let Some(first) = self.segments.iter().position(|s| rewrite.done.contains(&s.id)) else {
            return;
        };
        let base = rewrite.entries.first().map_or(1, |entry| entry.seq);
        let Segment { id, generation, len, .. } = rewrite.segment;
        let mut chunk = Chunk::new(id, base, HEADER_LEN, false);
        rewrite.entries.iter().for_each(|&entry| chunk.push(entry));
        // As it was at the checkpoint: a start may begin there.
        let owner = Owner { salt: self.salt, segment: id, generation, len };
        let (data, crc) = sidecar::encode(&owner, Some(rewrite.checkpoint), &rewrite.runs, &chunk);
        for entry in &rewrite.entries {
            match index.find(entry.seq) {
                None => chunk.kill_range(entry.seq, entry.seq),
                // It may have been gone in between, and its subject's number with it.
                Some((old, at)) => chunk.set_subject(entry.seq, index.chunks[old].subject(at)),
            }
        }
        chunk.shrink();
        self.forget_segments(index, &rewrite.done);
        self.segments.insert(first, Segment { sidecar: Sidecar::Known(crc), ..rewrite.segment });
        index.chunks.insert(first, chunk);
        self.wait(id, generation, 0, data);
    }

    fn forget_segments(&mut self, index: &mut Index, ids: &[u64]) {
        let chunks = &mut index.chunks;
        chunks.retain(|chunk| !ids.contains(&chunk.id));
        self.segments.retain(|segment| !ids.contains(&segment.id));
        ids.iter().for_each(|&id| self.cache.forget_segment(id));
        self.derived.forget(ids);
    }

    /// Appends again which messages are still to be overwritten: a checkpoint makes the records that
    /// say so obsolete.
    pub(super) fn repeat_erasures(&mut self, index: &mut Index) {
        for at in 0..self.compaction.erase.len() {
            let Erase { seq, subject, .. } = &self.compaction.erase[at];
            let (seq, subject) = (*seq, subject.clone());
            self.repeat_erasure(index, seq, &subject);
        }
    }

    /// Appends removals again that did not become durable, of messages that did.
    pub(super) fn erase_again(&mut self, index: &mut Index, cancelled: Vec<Erase>) {
        for Erase { seq, subject, .. } in cancelled {
            if seq <= self.durable_seq {
                self.repeat_erasure(index, seq, &subject);
                self.erase_later(seq, &subject);
            }
        }
    }

    fn repeat_erasure(&mut self, index: &mut Index, seq: u64, subject: &[u8]) {
        let chunk = index.chunks.get(index.chunk_at(seq));
        let gone = chunk.and_then(|chunk| {
            let place = chunk.find_any(seq)?;
            let (offset, len, headers) = chunk.record(place);
            let (segment, time) = (chunk.id, chunk.time(place));
            Some(Secure { seq, segment, offset, len, headers, time, subject })
        });
        if let Some(gone) = gone {
            self.append_op(index, &Op::Secure(gone));
        }
    }

    /// The writes that take the bytes of securely removed messages away.
    fn erasures(&mut self, index: &Index) -> Option<(Vec<DiskOp>, Vec<Erase>)> {
        let (mut ops, mut erased) = (Vec::new(), Vec::new());
        while ops.len() < ERASE
            && self.compaction.erase.front().is_some_and(|erase| erase.pos <= self.durable)
            && let Some(erase) = self.compaction.erase.pop_front()
        {
            let at = index.chunk_at(erase.seq);
            let place = index.chunks.get(at).and_then(|chunk| {
                let place = chunk.find_any(erase.seq).filter(|&place| !chunk.is_live(place))?;
                Some((chunk.record(place), chunk.time(place)))
            });
            let (Some(((offset, len, headers), time)), Some(segment)) =
                (place, self.segments.get(at))
            else {
                continue;
            };
            let least = record::OVERHEAD + erase.subject.len();
            if (len as usize) < least || offset + len > segment.len {
                continue;
            }
            let mut data = BytesMut::with_capacity(len as usize);
            let Erase { seq, subject, .. } = &erase;
            record::put_erased(&mut data, *seq, time, subject, headers, len as usize);
            Seal { salt: self.salt, segment: segment.id }.seal(offset, &mut data);
            let (path, offset) = (segment.path.clone(), u64::from(offset));
            ops.push(DiskOp::Write { path: path.clone(), offset, data: data.freeze() });
            if !ops.contains(&DiskOp::Sync(path.clone())) {
                ops.push(DiskOp::Sync(path));
            }
            erased.push(erase);
        }
        // Syncs behind all writes.
        ops.sort_by_key(|op| matches!(op, DiskOp::Sync(_)));
        (!ops.is_empty()).then_some((ops, erased))
    }
}
