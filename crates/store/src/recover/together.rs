//! Messages that count only together (an atomic batch).
//!
//! Their owner says so in a note before the first of them and in the flags of each, and all of them are
//! written in one round. A crash may leave some, or some without the note: a disk writes the sectors of a
//! round in any order. Then none of them counts, and what the limits removed for them is there again: it
//! is not known to anybody that it went.

use super::replay::{Named, Replayer};
use crate::index::Index;
use crate::{Purge, SeqRange};

/// What a note says of the messages that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// Nothing: each counts by itself.
    Unsaid,
    /// Those with these sequences count only if all are there.
    Begin(SeqRange),
    /// The messages that an earlier note announced do not count, as far as they are there.
    End,
}

/// Messages that count only together and are not all there yet.
pub(super) struct Run {
    range: SeqRange,
    /// How many are there; `None` where the note is not, so that nobody knows how many belong together.
    found: Option<u64>,
    /// The log's position where it begins.
    pos: u64,
    /// What limits and rollups removed meanwhile.
    gone: Vec<Named>,
}

impl Run {
    /// Whether all were there once: what is missing was durable, and damage took it.
    fn is_lost_in_part(&self, durable: u64, lost: &[SeqRange]) -> bool {
        let Some(found) = self.found else { return self.pos < durable };
        let inside = |range: &SeqRange| {
            let (first, last) =
                (range.first.max(self.range.first), range.last.min(self.range.last));
            (last + 1).saturating_sub(first)
        };
        found + lost.iter().map(inside).sum::<u64>() >= self.range.count()
    }

    fn take_back(self, index: &mut Index) {
        for seq in self.range.first..=self.range.last.min(index.state.last_seq) {
            index.remove(seq);
        }
        for (seq, subject) in &self.gone {
            index.put_back(*seq, subject);
        }
        // They may have been lowered since.
        index.enforce_all(&mut |_, _| {});
    }
}

impl Replayer<'_> {
    /// A note was read.
    pub(super) fn noted(&mut self, said: Together) {
        let run = self.run.take();
        match said {
            Together::Begin(range) if range.last > self.last_seq() => {
                self.known = Some(range);
                self.run = Some(Run { range, found: Some(0), pos: self.pos, gone: Vec::new() });
            }
            Together::End => {
                self.known = None;
                if let Some(run) = run {
                    run.take_back(self.index);
                }
            }
            // Nothing else is written before the end of what a crash tore.
            Together::Begin(_) | Together::Unsaid => {}
        }
    }

    /// A message comes; with `part` its flags say that it counts only with others.
    pub(super) fn comes(&mut self, seq: u64, part: bool) {
        let inside = |range: &SeqRange| (range.first..=range.last).contains(&seq);
        if part && self.run.is_none() && !self.known.as_ref().is_some_and(inside) {
            let range = SeqRange { first: seq, last: u64::MAX - 1 };
            self.run = Some(Run { range, found: None, pos: self.pos, gone: Vec::new() });
        }
        if !part && self.run.as_ref().is_some_and(|run| run.found.is_none()) {
            self.run = None;
        }
    }

    /// Messages, or sequences that were used up, were read.
    pub(super) fn passed(&mut self, first: u64, last: u64) {
        let Some(run) = &mut self.run else { return };
        let inside = first.max(run.range.first)..=last.min(run.range.last);
        let more = (inside.end() + 1).saturating_sub(*inside.start());
        run.found = run.found.map(|found| found + more);
        let is_whole = run.found.is_some_and(|found| found >= run.range.count());
        if is_whole || last > run.range.last {
            self.run = None;
        }
    }

    /// Removes what the limits do not allow with a new message on a subject.
    pub(super) fn enforce_after(&mut self, subject: u32) {
        let Some(run) = &mut self.run else {
            return self.index.enforce_after(subject, &mut |_, _| {});
        };
        let (gone, first) = (&mut run.gone, run.range.first);
        self.index.enforce_after(subject, &mut |seq, subject| {
            if seq < first {
                gone.push((seq, subject.into()));
            }
        });
    }

    /// Removes what a purge does: it may be a rollup by one of the messages.
    pub(super) fn purge(&mut self, purge: &Purge<'_>) {
        let Some(run) = &mut self.run else {
            self.index.purge(purge, &mut |_, _| {});
            return;
        };
        let (gone, first) = (&mut run.gone, run.range.first);
        self.index.purge(purge, &mut |seq, subject| {
            if seq < first {
                gone.push((seq, subject.into()));
            }
        });
    }

    /// Removes what new limits do not allow.
    pub(super) fn enforce_all(&mut self) {
        let Some(run) = &mut self.run else {
            return self.index.enforce_all(&mut |_, _| {});
        };
        let (gone, first) = (&mut run.gone, run.range.first);
        self.index.enforce_all(&mut |seq, subject| {
            if seq < first {
                gone.push((seq, subject.into()));
            }
        });
    }

    /// The log ends; up to `durable` it is known to have been whole. The messages that do not count, if
    /// it ends within some.
    pub(super) fn take_back(&mut self, durable: u64) -> Option<SeqRange> {
        let run = self.run.take()?;
        if run.is_lost_in_part(durable, &self.index.state.lost) {
            return None;
        }
        let range = run.range;
        run.take_back(self.index);
        Some(range)
    }
}
