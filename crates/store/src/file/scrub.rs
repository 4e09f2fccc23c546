//! Reading what was taken over unread.
//!
//! A start that believes the sidecar of a segment does not look at its messages. They are looked at
//! afterwards, a piece at a time and slowly, so that nobody notices but the disk that rots: a
//! message whose record does not fit is lost, is reported, and its segment is scanned by the next
//! start.

use std::collections::VecDeque;
use std::sync::Arc;

use super::FileLog;
use super::sidecar::Sidecar;
use crate::SeqRange;
use crate::disk::{DiskOp, DiskRequest, DiskResult, RequestId};
use crate::index::Index;
use crate::record::{self, Seal};
use crate::recover::Damage;

/// The first look is taken so long after the start …
const DELAY: u64 = 5_000_000_000;
/// … and the next so long after each, in nanoseconds. 12 MiB/s, of which one in two hundred
/// parts of a processor is busy.
const PACE: u64 = 40_000_000;
/// Bytes of records that are looked at in one go, if they are more than one.
const PIECE: u32 = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Scrub {
    /// Segments and generations; the first is being looked at.
    left: VecDeque<(u64, u32)>,
    /// The place in the first segment from which on nothing was looked at.
    at: usize,
    piece: u32,
    reading: Option<Reading>,
    due: Option<u64>,
    go: bool,
    pub(super) found: Vec<Damage>,
}

/// Places of the first segment's chunk, and where their records begin and end.
#[derive(Debug)]
struct Reading {
    id: RequestId,
    from: usize,
    to: usize,
    start: u32,
    end: u32,
}

impl Scrub {
    pub(super) fn new(left: Vec<(u64, u32)>) -> Scrub {
        Scrub { left: left.into(), piece: PIECE, ..Scrub::default() }
    }

    pub(super) fn tick(&mut self, now: u64) {
        if self.left.is_empty() {
            return;
        }
        if now >= *self.due.get_or_insert(now.saturating_add(DELAY)) {
            self.due = Some(now.saturating_add(PACE));
            self.go = true;
        }
    }

    /// When the next piece is due.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.due.filter(|_| !self.left.is_empty() && self.reading.is_none())
    }

    fn next_segment(&mut self) {
        self.left.pop_front();
        self.at = 0;
    }
}

impl FileLog {
    /// A message could not be read, as nobody knew before: it is reported like what is found by
    /// looking, and its segment scanned by the next start.
    pub(crate) fn found_unreadable(&mut self, at: usize, seq: u64, offset: u32, len: u32) {
        let Some(segment) = self.segments.get_mut(at) else { return };
        segment.sidecar = Sidecar::Never;
        let (path, id, generation) = (segment.path.to_string(), segment.id, segment.generation);
        let (offset, len) = (u64::from(offset), u64::from(len));
        let seqs = vec![SeqRange { first: seq, last: seq }];
        self.scrub.found.push(Damage { path, offset, len, seqs, durable: true });
        let sidecar = self.sidecar_path(id, generation);
        self.health.clean_up([DiskOp::Remove(sidecar)].into_iter());
    }

    /// Takes what was found since the last call.
    pub(crate) fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.scrub.found)
    }

    /// Whether all that recovery took over was looked at.
    pub(crate) fn is_verified(&self) -> bool {
        self.scrub.left.is_empty()
    }

    /// Asks for the next piece if it is due.
    pub(super) fn send_scrub(&mut self, index: &Index, out: &mut Vec<DiskRequest>) {
        if !std::mem::take(&mut self.scrub.go) || self.scrub.reading.is_some() {
            return;
        }
        while let Some(&(id, generation)) = self.scrub.left.front() {
            let at = self.scrubbed(id, generation);
            let piece = at.and_then(|at| {
                let chunk = index.chunks.get(at)?;
                let mut live = chunk.iter_live(self.scrub.at);
                let from = live.next()?;
                let (start, len, _) = chunk.record(from);
                let (mut to, mut end) = (from + 1, start + len);
                for place in live {
                    let (offset, len, _) = chunk.record(place);
                    if offset + len - start > self.scrub.piece {
                        break;
                    }
                    (to, end) = (place + 1, offset + len);
                }
                Some((Arc::clone(&self.segments[at].path), from, to, start, end))
            });
            let Some((path, from, to, start, end)) = piece else {
                self.scrub.next_segment();
                continue;
            };
            let id = self.request_id();
            self.scrub.reading = Some(Reading { id, from, to, start, end });
            let ops = vec![DiskOp::Read { path, offset: u64::from(start), len: end - start }];
            out.push(DiskRequest { id, ops });
            return;
        }
    }

    /// Where a segment is that was to be looked at; compaction may have put another in its place,
    /// having looked itself.
    fn scrubbed(&self, id: u64, generation: u32) -> Option<usize> {
        self.segments.iter().position(|s| (s.id, s.generation) == (id, generation))
    }

    /// Takes the result of a read. False if it was not one of these.
    pub(super) fn scrub_completed(
        &mut self,
        index: &mut Index,
        id: RequestId,
        result: &DiskResult,
    ) -> bool {
        let Some(reading) = self.scrub.reading.take_if(|reading| reading.id == id) else {
            return false;
        };
        let Some(&(id, generation)) = self.scrub.left.front() else { return true };
        let Some(at) = self.scrubbed(id, generation) else { return true };
        let Reading { from, to, start, end, .. } = reading;
        let data = match result {
            DiskResult::Read(data) => &data[..],
            _ if to - from > 1 => {
                // To know which of them it is.
                self.scrub.piece = (end - start) / 4;
                return true;
            }
            _ => &[],
        };
        (self.scrub.at, self.scrub.piece) = (to, PIECE);
        let seal = Seal { salt: self.salt, segment: id };
        let chunk = &index.chunks[at];
        let mut bad: Vec<Damage> = Vec::new();
        for place in chunk.iter_live(from).take_while(|&place| place < to) {
            let (offset, len, _) = chunk.record(place);
            let seq = chunk.seq(place);
            let record = data.get((offset - start) as usize..(offset - start + len) as usize);
            let fits = record.is_some_and(|record| {
                let whole = seal.check(offset, record) == Some(len as usize);
                whole && record::stamp(record).is_some_and(|stamp| stamp.0 == seq)
            });
            if fits {
                continue;
            }
            let seqs = SeqRange { first: seq, last: seq };
            let (offset, len) = (u64::from(offset), u64::from(len));
            match bad.last_mut() {
                Some(last) if last.offset + last.len == offset => {
                    last.len += len;
                    last.seqs.push(seqs);
                }
                _ => {
                    let path = self.segments[at].path.to_string();
                    bad.push(Damage { path, offset, len, seqs: vec![seqs], durable: true });
                }
            }
        }
        if !bad.is_empty() {
            self.segments[at].sidecar = Sidecar::Never;
            let path = self.sidecar_path(id, generation);
            self.health.clean_up([DiskOp::Remove(path)].into_iter());
            for range in bad.iter().flat_map(|damage| &damage.seqs) {
                index.lose(*range);
            }
            self.scrub.found.append(&mut bad);
        }
        true
    }
}
