//! Records in memory: the newest as they were written, older ones in blocks read from disk.
//!
//! Blocks hold whole records and do not overlap. Who reads at random finds a record with its
//! neighbours, so that a few megabytes are soon all at hand; who reads on gets larger blocks, and
//! the next one is on its way before he has come to the end of this one.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

use super::round::Piece;
use super::{FileLog, Segment};
use crate::chunk::Chunk;
use crate::disk::{DiskOp, DiskRequest, DiskResult, RequestId};
use crate::record::Seal;

/// A reader that goes on gets this much at once …
const AHEAD: u32 = 256 << 10;
/// … and one that comes from elsewhere what lies in the same cell of this size.
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
    Held(Held),
    Pending,
    Damaged,
}

/// What holds a record, until the log changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The round that fills, with the segment.
    Round(u64),
    /// A piece of the tail.
    Tail(usize),
    /// A block.
    Block(usize),
}

#[derive(Debug)]
struct Block {
    segment: u64,
    generation: u32,
    start: u32,
    data: Bytes,
    /// When it was last used.
    used: u64,
    /// From where up to where it was read, and how many bytes of that: readers that go on read
    /// nearly all.
    read_from: u32,
    read_to: u32,
    read: u32,
    /// The block behind it was asked for.
    is_followed: bool,
}

impl Block {
    fn end(&self) -> u32 {
        self.start + self.data.len() as u32
    }

    fn holds(&self, segment: &Segment, offset: u32, len: u32) -> bool {
        (self.segment, self.generation) == (segment.id, segment.generation)
            && self.start <= offset
            && u64::from(offset) + u64::from(len) <= u64::from(self.end())
    }

    /// Notes that a record is read. True when it is time to ask for what follows.
    fn note_read(&mut self, offset: u32, len: u32) -> bool {
        if offset + len > self.read_to {
            self.read_from = if self.read == 0 { offset } else { self.read_from };
            self.read_to = offset + len;
            self.read += len;
        }
        let size = self.data.len() as u32;
        let is_half = self.read_to - self.start >= size / 2;
        // One record is no sign of a direction.
        let is_run = self.read > len && self.read >= size / 4;
        is_half && is_run && !self.is_followed && self.is_read_on()
    }

    fn is_read_on(&self) -> bool {
        self.read >= (self.read_to - self.read_from) / 2
    }
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
    /// The piece that was read last.
    tail_at: usize,
    /// By segment and start.
    blocks: Vec<Block>,
    /// The block that was read last.
    block_at: usize,
    block_bytes: usize,
    block_max: usize,
    uses: u64,
    reading: Vec<Reading>,
    requests: Vec<DiskRequest>,
    /// Places that could not be read, and how often that was tried. What lies in one of them is then read
    /// by itself: where a disk is bad, it is mostly so in one sector.
    failed: Vec<(Range, u8)>,
}

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    segment: u64,
    generation: u32,
    start: u32,
    len: u32,
}

impl Range {
    fn holds(&self, other: &Range) -> bool {
        (self.segment, self.generation) == (other.segment, other.generation)
            && self.start <= other.start
            && u64::from(other.start) + u64::from(other.len)
                <= u64::from(self.start) + u64::from(self.len)
    }
}

impl Cache {
    pub(super) fn new(tail_max: usize, block_max: usize) -> Cache {
        Cache {
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_max,
            tail_at: 0,
            blocks: Vec::new(),
            block_at: 0,
            block_bytes: 0,
            block_max,
            uses: 0,
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
            self.tail_at = self.tail_at.saturating_sub(1);
        }
        self.trim_blocks();
    }

    fn trim_blocks(&mut self) {
        while self.block_bytes > self.block_max && self.blocks.len() > READS {
            let oldest = self.blocks.iter().enumerate().min_by_key(|(_, block)| block.used);
            let Some((oldest, _)) = oldest else { break };
            self.block_bytes -= self.blocks.remove(oldest).data.len();
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
        self.failed.retain(|(range, _)| range.segment != segment);
    }

    fn in_tail(&mut self, segment: u64, offset: u32, len: u32) -> Option<usize> {
        let has = |piece: &Piece| {
            piece.segment == segment
                && piece.offset <= offset
                && (offset - piece.offset) as usize + len as usize <= piece.data.len()
        };
        // Who reads on finds the next record in the same piece or the next one.
        let near = self.tail_at..self.tail_at + 2;
        if let Some(at) = near.into_iter().find(|at| self.tail.get(*at).is_some_and(has)) {
            self.tail_at = at;
            return Some(at);
        }
        let after = self.tail.partition_point(|p| (p.segment, p.offset) <= (segment, offset));
        let at = after.checked_sub(1)?;
        self.tail_at = at;
        has(self.tail.get(at)?).then_some(at)
    }

    fn in_blocks(&mut self, segment: &Segment, offset: u32, len: u32) -> Option<usize> {
        let is_same = |block: &Block| block.holds(segment, offset, len);
        if !self.blocks.get(self.block_at).is_some_and(is_same) {
            self.block_at = self.before(segment.id, offset)?;
        }
        let block = self.blocks.get_mut(self.block_at).filter(|block| is_same(block))?;
        self.uses += 1;
        block.used = self.uses;
        Some(self.block_at)
    }

    /// The last block of a segment that begins at or before `offset`.
    fn before(&self, segment: u64, offset: u32) -> Option<usize> {
        let key = (segment, offset);
        let after = self.blocks.partition_point(|block| (block.segment, block.start) <= key);
        let at = after.checked_sub(1)?;
        (self.blocks[at].segment == segment).then_some(at)
    }

    /// Whether a reader at `offset` goes on from a block.
    fn goes_on(&self, segment: u64, offset: u32) -> bool {
        let before = self.before(segment, offset).and_then(|at| self.blocks.get(at));
        before.is_some_and(|block| {
            let is_near = offset < block.end().saturating_add(NEAR);
            is_near && block.read_to == block.end() && block.is_read_on()
        })
    }

    /// Asks for the bytes from `start` to `end`.
    fn request(&mut self, segment: &Segment, start: u32, end: u32, id: RequestId) {
        let (path, offset) = (Arc::clone(&segment.path), u64::from(start));
        let (segment, generation, len) = (segment.id, segment.generation, end - start);
        self.reading.push(Reading { id, segment, generation, start, len });
        let ops = vec![DiskOp::Read { path, offset, len }];
        self.requests.push(DiskRequest { id, ops });
    }

    /// Whether a request under way will bring these bytes.
    fn is_coming(&self, segment: &Segment, offset: u32, len: u32) -> bool {
        self.reading.iter().any(|reading| {
            (reading.segment, reading.generation) == (segment.id, segment.generation)
                && reading.start <= offset
                && u64::from(reading.start) + u64::from(reading.len)
                    >= u64::from(offset) + u64::from(len)
        })
    }

    fn insert(&mut self, segment: u64, generation: u32, start: u32, data: Bytes) {
        // What a compaction left behind, and what this one holds, too.
        let end = start + data.len() as u32;
        self.blocks.retain(|block| {
            block.segment != segment
                || (block.generation == generation && (block.start < start || block.end() > end))
        });
        let at =
            self.blocks.partition_point(|block| (block.segment, block.start) < (segment, start));
        self.uses += 1;
        let block = Block {
            segment,
            generation,
            start,
            data,
            used: self.uses,
            read_from: start,
            read_to: start,
            read: 0,
            is_followed: false,
        };
        self.blocks.insert(at, block);
        self.block_bytes = self.blocks.iter().map(|block| block.data.len()).sum();
        self.trim_blocks();
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
        let range = Range { segment, generation, start, len };
        match result {
            DiskResult::Read(data) => {
                if (data.len() as u32) < len {
                    self.note_failed(range, TRIES);
                }
                self.insert(segment, generation, start, data.clone());
            }
            _ => self.note_failed(range, 1),
        }
        true
    }

    fn note_failed(&mut self, place: Range, tries: u8) {
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
    pub(crate) fn fetch(
        &mut self,
        chunks: &VecDeque<Chunk>,
        at: usize,
        offset: u32,
        len: u32,
    ) -> Fetch {
        let Some(segment) = self.segments.get(at) else { return Fetch::Damaged };
        if self.round.find(segment.id, offset, len).is_some() {
            return Fetch::Held(Held::Round(segment.id));
        }
        if let Some(piece) = self.cache.in_tail(segment.id, offset, len) {
            return Fetch::Held(Held::Tail(piece));
        }
        if let Some(held) = self.cache.in_blocks(segment, offset, len) {
            let block = &mut self.cache.blocks[held];
            let record = &block.data[(offset - block.start) as usize..];
            let seal = Seal { salt: self.salt, segment: segment.id };
            if seal.check(offset, record) != Some(len as usize) {
                return Fetch::Damaged;
            }
            if block.note_read(offset, len) {
                block.is_followed = true;
                let end = block.end();
                self.read_ahead(chunks, at, end);
            }
            return Fetch::Held(Held::Block(held));
        }
        let (id, generation) = (segment.id, segment.generation);
        let place = Range { segment: id, generation, start: offset, len };
        let mut is_bad = false;
        for (failed, tries) in &self.cache.failed {
            if *failed == place && *tries >= TRIES {
                return Fetch::Damaged;
            }
            is_bad |= failed.holds(&place);
        }
        if self.cache.is_coming(segment, offset, len) || self.cache.reading.len() >= READS {
            return Fetch::Pending;
        }
        if is_bad {
            self.read(chunks, at, (offset, offset), offset + len);
            return Fetch::Pending;
        }
        let goes_on = self.cache.goes_on(segment.id, offset);
        let chunk = chunks.get(at);
        let from = |offset: u32| chunk.and_then(|chunk| chunk.record_from(offset));
        let (start, end) = if goes_on {
            (offset, offset.saturating_add(AHEAD))
        } else {
            (from(offset / COLD * COLD).unwrap_or(offset), (offset / COLD + 1) * COLD)
        };
        self.read(chunks, at, (start.min(offset), end), offset + len);
        Fetch::Pending
    }

    /// Asks for the records of a segment that begin in a range, and for all up to `needed`.
    fn read(&mut self, chunks: &VecDeque<Chunk>, at: usize, (start, end): (u32, u32), needed: u32) {
        let (Some(segment), Some(chunk)) = (self.segments.get(at), chunks.get(at)) else { return };
        // What is not durable yet may not be there to be read.
        let safe = self.durable.saturating_sub(segment.base).min(u64::from(segment.len)) as u32;
        let end = chunk.record_from(end).unwrap_or(u32::MAX).min(safe).max(needed);
        if start < end {
            let (segment, id) = (segment.clone(), self.request_id());
            self.cache.request(&segment, start, end, id);
        }
    }

    /// A reader has passed half of the block that ends at `end`.
    fn read_ahead(&mut self, chunks: &VecDeque<Chunk>, mut at: usize, mut end: u32) {
        if self.cache.reading.len() >= READS {
            return;
        }
        let next = |at: usize, from: u32| chunks.get(at).and_then(|chunk| chunk.record_from(from));
        let mut start = next(at, end);
        if start.is_none() {
            (at, end) = (at + 1, 0);
            start = next(at, end);
        }
        let (Some(start), Some(segment)) = (start, self.segments.get(at)) else { return };
        let is_there = |cache: &Cache| {
            let before = cache.before(segment.id, start).and_then(|at| cache.blocks.get(at));
            before.is_some_and(|block| block.end() > start)
        };
        let written = segment.base + u64::from(start) < self.durable;
        let in_tail = self
            .cache
            .tail
            .front()
            .is_some_and(|first| (first.segment, first.offset) <= (segment.id, start));
        if written && !in_tail && !is_there(&self.cache) && !self.cache.is_coming(segment, start, 1)
        {
            self.read(chunks, at, (start, start.saturating_add(AHEAD)), 0);
        }
    }

    /// The bytes of a record that [`FileLog::fetch`] found.
    pub(crate) fn held(&self, held: Held, offset: u32, len: u32) -> Option<&[u8]> {
        let (start, data) = match held {
            Held::Round(segment) => return self.round.find(segment, offset, len),
            Held::Tail(at) => {
                let piece = self.cache.tail.get(at)?;
                (piece.offset, &piece.data)
            }
            Held::Block(at) => {
                let block = self.cache.blocks.get(at)?;
                (block.start, &block.data)
            }
        };
        let start = offset.checked_sub(start)? as usize;
        data.get(start..start + len as usize)
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

#[cfg(test)]
mod tests;
