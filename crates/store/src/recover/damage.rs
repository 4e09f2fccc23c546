//! Telling what damage took.
//!
//! Behind a hole the next record that has a sequence shows which are missing. Of these the ones
//! before the checkpoint may have been removed long ago; the heads of damaged records, as far as
//! they can still be read, tell which it was.

use super::Recovery;
use super::replay::Replayer;
use crate::SeqRange;
use crate::file::{Header, Segment};
use crate::record::{HEAD, OVERHEAD, kind, u32_at, u64_at};

/// A place in a segment where no record could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment file.
    pub path: String,
    /// Where it begins.
    pub offset: u64,
    /// Its length; 0 where the file ends too early.
    pub len: u64,
    /// Sequences that were there or may have been. Those among them that were acknowledged are
    /// also in [`State::lost`](crate::State::lost).
    pub seqs: Vec<SeqRange>,
    /// Whether the records were durable once. If not they were never acknowledged: a crash tore
    /// them.
    pub durable: bool,
}

#[derive(Debug, Default)]
pub(super) struct Damages {
    found: Vec<Hole>,
    /// How many of `found` wait for the sequence behind them.
    open: usize,
    /// What is known to have been durable.
    pub(super) durable: u64,
}

#[derive(Debug)]
struct Hole {
    path: String,
    segment: u64,
    offset: u32,
    len: u64,
    pos: u64,
    compacted: bool,
    after: u64,
    seqs: Vec<SeqRange>,
    read: Vec<u64>,
}

impl Damages {
    /// How much was found so far.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// A segment begins at `begin` where the one before ended at `end`: if that is too early,
    /// the file before is short.
    pub(super) fn expect(&mut self, begin: u64, end: u64, before: Option<&Segment>, after: u64) {
        let Some(before) = before.filter(|_| begin > end) else { return };
        self.found.push(Hole {
            path: before.path.to_string(),
            segment: before.id,
            offset: before.len,
            len: 0,
            pos: end,
            compacted: false,
            after,
            seqs: Vec::new(),
            read: Vec::new(),
        });
        self.open += 1;
    }

    /// A segment is gone whose messages counted at the checkpoint.
    pub(super) fn missing(&mut self, path: &str, segment: u64, after: u64) {
        let (path, seqs, read) = (path.to_owned(), Vec::new(), Vec::new());
        let (offset, len, pos, compacted) = (0, 0, 0, false);
        self.found.push(Hole { path, segment, offset, len, pos, compacted, after, seqs, read });
        self.open += 1;
    }

    /// A region that holds no whole record.
    pub(super) fn found(
        &mut self,
        header: &Header,
        path: &str,
        offset: u32,
        bytes: &[u8],
        after: u64,
    ) {
        self.found.push(Hole {
            path: path.to_owned(),
            segment: header.id,
            offset,
            len: bytes.len() as u64,
            pos: header.base + u64::from(offset),
            compacted: header.generation > 0,
            after,
            seqs: Vec::new(),
            read: readable_seqs(bytes, after),
        });
        self.open += 1;
    }

    /// The next sequence after the holes that are open is `next`.
    pub(super) fn behind(&mut self, next: u64) {
        if self.open == 0 {
            return;
        }
        let open = self.found.len() - self.open;
        self.open = 0;
        for hole in &mut self.found[open..] {
            let after = hole.after;
            hole.read.retain(|&seq| seq > after && seq < next);
            if !hole.read.is_empty() {
                hole.seqs =
                    hole.read.iter().map(|&seq| SeqRange { first: seq, last: seq }).collect();
            } else if after + 1 < next && (!hole.compacted || hole.len == 0 || next - after < 1000)
            {
                hole.seqs = vec![SeqRange { first: after + 1, last: next - 1 }];
            }
        }
    }

    /// Puts all that was found into the report and what was acknowledged into the state. Tells
    /// the segments in which damage lies that lost nothing, with its place in the report.
    pub(super) fn settle(
        mut self,
        replayer: &mut Replayer<'_>,
        report: &mut Recovery,
    ) -> Vec<(u64, usize)> {
        let mut torn = Vec::new();
        // Holes with no sequence behind them: what they held must not be handed out again.
        let open = self.found.len() - self.open;
        for hole in &self.found[open..] {
            let some = u64::from(hole.len >= OVERHEAD as u64);
            let held = hole.read.last().copied().unwrap_or(hole.after + some);
            replayer.reserve(held);
        }
        let last = replayer.last_seq();
        self.behind(last + 1);
        for hole in self.found {
            let mut seqs: Vec<SeqRange> = Vec::new();
            hole.seqs.iter().for_each(|&range| replayer.without_removed(range, &mut seqs));
            let durable = hole.pos < self.durable;
            if durable {
                seqs.iter().for_each(|&range| replayer.lose(range));
            }
            if !durable || seqs.is_empty() {
                torn.push((hole.segment, report.damage.len()));
            }
            report.damage.push(Damage {
                path: hole.path,
                offset: u64::from(hole.offset),
                len: hole.len,
                seqs,
                durable,
            });
        }
        torn
    }
}

/// Sequences in the heads of records of messages that can still be made out.
pub(super) fn readable_seqs(bytes: &[u8], after: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut at = 0;
    let mut last = after;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= OVERHEAD) {
        let len = u32_at(rest, 4).map_or(0, |len| len as usize + HEAD);
        let seq = u64_at(rest, HEAD).unwrap_or(0);
        let plausible = seq > last && seq - last < 1 << 20;
        if rest[2] != kind::MESSAGE || !plausible {
            break;
        }
        seqs.push(seq);
        last = seq;
        if len < OVERHEAD {
            break;
        }
        at += len;
    }
    seqs
}
