//! Records in memory: the newest as they were written, older ones in blocks read ahead.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

use super::round::Piece;
use super::{FileLog, Segment};
use crate::disk::{DiskOp, DiskRequest, DiskResult, RequestId};
use crate::record::Seal;

/// A reader that goes on where a block ended gets this much at once …
const AHEAD: u32 = 256 << 10;
/// … and one that comes from elsewhere this much.
const COLD: u32 = 16 << 10;
/// How far behind a block a reader may be to count as going on.
const NEAR: u32 = 64 << 10;
/// Reads under way at a time.
const READS: usize = 8;
/// What a piece costs beside its bytes.
const PIECE: usize = 96;
/// Places remembered as unreadable.
const FAILED: usize = 1024;
/// A read that the disk refuses is tried so often: it may be short of file handles only.
const TRIES: u8 = 3;

/// What became of a record that was asked for.
#[derive(Debug)]
pub(crate) enum Fetch {
    Record(Bytes),
    Pending,
    Damaged,
}

#[derive(Debug)]
struct Block {
    segment: u64,
    generation: u32,
    start: u32,
    data: Bytes,
}

#[derive(Debug)]
struct Reading {
    id: RequestId,
    segment: u64,
    generation: u32,
    start: u32,
    len: u32,
}

#[derive(Debug)]
pub(super) struct Cache {
    tail: VecDeque<Piece>,
    tail_bytes: usize,
    tail_max: usize,
    blocks: VecDeque<Block>,
    block_bytes: usize,
    block_max: usize,
    reading: Vec<Reading>,
    requests: Vec<DiskRequest>,
    /// Segment, generation and offset of records that could not be read, and how often that was
    /// tried.
    failed: Vec<((u64, u32, u32), u8)>,
}

impl Cache {
    pub(super) fn new(tail_max: usize, block_max: usize) -> Cache {
        Cache {
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_max,
            blocks: VecDeque::new(),
            block_bytes: 0,
            block_max,
            reading: Vec::new(),
            requests: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub(super) fn keep(&mut self, piece: Piece) {
        self.tail_bytes += piece.data.len() + PIECE;
        self.tail.push_back(piece);
    }

    /// Keeps to the bounds. What is not durable stays: it can be read nowhere else.
    pub(super) fn trim(&mut self, durable: u64) {
        let old = |piece: &Piece| piece.pos + piece.data.len() as u64 <= durable;
        while self.tail_bytes > self.tail_max && self.tail.front().is_some_and(old) {
            let gone = self.tail.pop_front().map_or(0, |piece| piece.data.len() + PIECE);
            self.tail_bytes -= gone;
        }
        while self.block_bytes > self.block_max && self.blocks.len() > READS {
            self.block_bytes -= self.blocks.pop_front().map_or(0, |block| block.data.len());
        }
    }

    pub(super) fn set_bounds(&mut self, tail: usize, blocks: usize) {
        (self.tail_max, self.block_max) = (tail, blocks);
    }

    pub(super) fn bytes(&self) -> usize {
        self.tail_bytes + self.block_bytes
    }

    pub(super) fn clear_blocks(&mut self) {
        self.blocks.clear();
        self.block_bytes = 0;
    }

    /// Drops pieces that begin at or behind a position.
    pub(super) fn forget_from(&mut self, pos: u64) {
        while self.tail.back().is_some_and(|piece| piece.pos >= pos) {
            let gone = self.tail.pop_back().map_or(0, |piece| piece.data.len() + PIECE);
            self.tail_bytes -= gone;
        }
    }

    pub(super) fn forget_segment(&mut self, segment: u64) {
        self.tail.retain(|piece| piece.segment != segment);
        self.tail_bytes = self.tail.iter().map(|piece| piece.data.len() + PIECE).sum();
        self.blocks.retain(|block| block.segment != segment);
        self.block_bytes = self.blocks.iter().map(|block| block.data.len()).sum();
        self.failed.retain(|failed| failed.0.0 != segment);
    }

    fn in_tail(&self, segment: u64, offset: u32, len: u32) -> Option<Bytes> {
        let after = self.tail.partition_point(|p| (p.segment, p.offset) <= (segment, offset));
        let piece = self.tail.get(after.checked_sub(1)?)?;
        let start = offset.checked_sub(piece.offset)? as usize;
        let end = start + len as usize;
        (piece.segment == segment && end <= piece.data.len()).then(|| piece.data.slice(start..end))
    }

    fn in_blocks(&mut self, segment: &Segment, offset: u32, len: u32) -> Option<Bytes> {
        let at = self.blocks.iter().rposition(|block| {
            (block.segment, block.generation) == (segment.id, segment.generation)
                && block.start <= offset
                && (offset - block.start) as usize + len as usize <= block.data.len()
        })?;
        if at + 1 < self.blocks.len()
            && let Some(block) = self.blocks.remove(at)
        {
            self.blocks.push_back(block);
        }
        let block = self.blocks.back()?;
        let start = (offset - block.start) as usize;
        Some(block.data.slice(start..start + len as usize))
    }

    /// Asks for the block that begins with a record.
    fn request(&mut self, segment: &Segment, offset: u32, len: u32, end: u32, id: RequestId) {
        let near = self.blocks.iter().any(|block| {
            let stop = block.start + block.data.len() as u32;
            block.segment == segment.id && (block.start..stop + NEAR).contains(&offset)
        });
        let want = len.max(if near { AHEAD } else { COLD });
        let len = want.min(end - offset);
        let (path, offset64) = (Arc::clone(&segment.path), u64::from(offset));
        let (segment, generation) = (segment.id, segment.generation);
        self.reading.push(Reading { id, segment, generation, start: offset, len });
        let ops = vec![DiskOp::Read { path, offset: offset64, len }];
        self.requests.push(DiskRequest { id, ops });
    }

    pub(super) fn take_reads(&mut self, out: &mut Vec<DiskRequest>) {
        out.append(&mut self.requests);
    }

    /// Takes the result of a read. False if it was not one of these.
    pub(super) fn completed(&mut self, id: RequestId, result: &DiskResult) -> bool {
        let Some(at) = self.reading.iter().position(|reading| reading.id == id) else {
            return false;
        };
        let reading = self.reading.swap_remove(at);
        let Reading { segment, generation, start, len, .. } = reading;
        match result {
            DiskResult::Read(data) => {
                if (data.len() as u32) < len {
                    self.note_failed((segment, generation, start), TRIES);
                }
                self.block_bytes += data.len();
                self.blocks.push_back(Block { segment, generation, start, data: data.clone() });
            }
            _ => self.note_failed((segment, generation, start), 1),
        }
        true
    }

    fn note_failed(&mut self, place: (u64, u32, u32), tries: u8) {
        if let Some(known) = self.failed.iter_mut().find(|failed| failed.0 == place) {
            known.1 = known.1.saturating_add(tries);
            return;
        }
        if self.failed.len() >= FAILED {
            self.failed.clear();
        }
        self.failed.push((place, tries));
    }
}

impl FileLog {
    /// The record at a place of the segment at `at` in the list.
    pub(crate) fn fetch(&mut self, at: usize, offset: u32, len: u32) -> Fetch {
        let Some(segment) = self.segments.get(at) else { return Fetch::Damaged };
        if let Some(record) = self.round.find(segment.id, offset, len) {
            return Fetch::Record(Bytes::copy_from_slice(record));
        }
        if let Some(record) = self.cache.in_tail(segment.id, offset, len) {
            return Fetch::Record(record);
        }
        if let Some(record) = self.cache.in_blocks(segment, offset, len) {
            let seal = Seal { salt: self.salt, segment: segment.id };
            return match seal.check(offset, &record) {
                Some(found) if found == len as usize => Fetch::Record(record),
                _ => Fetch::Damaged,
            };
        }
        let place = (segment.id, segment.generation, offset);
        let given_up = |failed: &((u64, u32, u32), u8)| failed.0 == place && failed.1 >= TRIES;
        if self.cache.failed.iter().any(given_up) {
            return Fetch::Damaged;
        }
        let covered = |reading: &Reading| {
            (reading.segment, reading.generation) == (place.0, place.1)
                && reading.start <= offset
                && u64::from(reading.start) + u64::from(reading.len)
                    >= u64::from(offset) + u64::from(len)
        };
        if self.cache.reading.iter().any(covered) || self.cache.reading.len() >= READS {
            return Fetch::Pending;
        }
        // What is not durable yet may not be there to be read.
        let safe = self.durable.saturating_sub(segment.base).min(u64::from(segment.len)) as u32;
        let end = safe.max(offset + len);
        let (segment, id) = (segment.clone(), self.request_id());
        self.cache.trim(self.durable);
        self.cache.request(&segment, offset, len, end, id);
        Fetch::Pending
    }

    /// Bytes that the caches hold.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Replaces the bounds of the caches and keeps to them at once.
    pub(crate) fn set_cache(&mut self, tail: usize, blocks: usize) {
        self.cache.set_bounds(tail, blocks);
        if blocks == 0 {
            self.cache.clear_blocks();
        }
        self.cache.trim(self.durable);
    }
}
