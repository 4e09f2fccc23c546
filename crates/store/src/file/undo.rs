//! What messages that are not durable replaced, to be put back where the disk refuses them.
//!
//! A message that limits or a rollup remove is dead in the index at once, and its record stays where it
//! is until a checkpoint that calls it dead is durable. So its place and its subject are all that
//! is needed to bring it back.

use super::FileLog;
use super::sidecar::Sidecar;
use crate::index::Index;
use crate::types::push_range;
use crate::{Filter, SeqRange};

/// What the messages of one round replaced.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    gone: Vec<Gone>,
    /// Subjects, one behind the other; neighbours share theirs.
    names: Vec<u8>,
}

#[derive(Debug)]
struct Gone {
    seq: u64,
    name: usize,
    name_len: u32,
    /// Limits removed it for a new message, which is told when that is durable.
    evicted: bool,
    /// It comes back where the round in flight fails, and this one with it.
    with_flight: bool,
    /// It comes back where its own round fails, and the one before did not.
    alone: bool,
}

/// From which sequence on a purge keeps messages, by what becomes of those that are not durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeps {
    durable_seq: u64,
    flight_seq: u64,
    with_flight: u64,
    alone: u64,
}

impl Undo {
    pub(crate) fn push(&mut self, seq: u64, subject: &[u8], evicted: bool) {
        self.add(seq, subject, evicted, (true, true));
    }

    /// Adds a message that a purge removes which keeps some. False if it does not come back.
    pub(crate) fn push_purged(&mut self, seq: u64, subject: &[u8], keeps: &Keeps) -> bool {
        let with_flight = seq <= keeps.durable_seq && seq >= keeps.with_flight;
        let alone = seq <= keeps.flight_seq && seq >= keeps.alone;
        if with_flight || alone {
            self.add(seq, subject, false, (with_flight, alone));
        }
        with_flight || alone
    }

    fn add(&mut self, seq: u64, subject: &[u8], evicted: bool, back: (bool, bool)) {
        let before = self.gone.last().map(|gone| gone.name).unwrap_or_default();
        let name = match self.names.get(before..) {
            Some(last) if last == subject => before,
            _ => {
                self.names.extend_from_slice(subject);
                self.names.len() - subject.len()
            }
        };
        let name_len = subject.len() as u32;
        let (with_flight, alone) = back;
        self.gone.push(Gone { seq, name, name_len, evicted, with_flight, alone });
    }

    fn name(&self, gone: &Gone) -> &[u8] {
        &self.names[gone.name..gone.name + gone.name_len as usize]
    }

    /// What limits removed, in runs.
    pub(super) fn evicted(&self) -> Vec<SeqRange> {
        let mut ranges = Vec::new();
        self.gone.iter().filter(|gone| gone.evicted).for_each(|gone| {
            push_range(&mut ranges, gone.seq);
        });
        ranges
    }

    /// Forgets what a purge would have removed, were it there, and adds it to `removed`.
    fn purge(&mut self, filter: Option<&Filter>, below: u64, removed: &mut Vec<SeqRange>) {
        let mut all = std::mem::take(&mut self.gone);
        all.retain(|gone| {
            let purged =
                gone.seq < below && filter.is_none_or(|filter| filter.matches(self.name(gone)));
            if purged {
                push_range(removed, gone.seq);
            }
            !purged
        });
        self.gone = all;
    }

    /// A purge would have kept only these, were they there.
    fn keep_from(&mut self, filter: Option<&Filter>, with_flight: u64, alone: u64) {
        let mut all = std::mem::take(&mut self.gone);
        for gone in &mut all {
            if filter.is_none_or(|filter| filter.matches(self.name(gone))) {
                gone.with_flight &= gone.seq >= with_flight;
                gone.alone &= gone.seq >= alone;
            }
        }
        self.gone = all;
    }

    fn matching<'a>(&'a self, filter: Option<&'a Filter>) -> impl Iterator<Item = &'a Gone> {
        let matches = move |gone: &&Gone| filter.is_none_or(|f| f.matches(self.name(gone)));
        self.gone.iter().filter(matches)
    }
}

impl FileLog {
    /// A purge removes also what would come back, and its own record may not say so.
    pub(crate) fn purge_replaced(&mut self, filter: Option<&[u8]>, below: u64) {
        let flight = self.flight.as_mut().map(|flight| &mut flight.undo);
        let round = &mut self.round;
        if round.undo.gone.is_empty() && flight.as_ref().is_none_or(|undo| undo.gone.is_empty()) {
            return;
        }
        let filter = filter.map(Filter::new);
        for undo in flight.into_iter().chain([&mut round.undo]) {
            undo.purge(filter.as_ref(), below, &mut round.removed);
        }
    }

    /// A purge is to keep the last `keep` of the messages `live`, which ascend, and the disk may yet
    /// refuse some of them. Without these it keeps others, and of what would come back only those.
    pub(crate) fn keep_some(&mut self, filter: Option<&[u8]>, keep: u64, live: &[u64]) -> Keeps {
        let filter = filter.map(Filter::new);
        let filter = filter.as_ref();
        let durable_seq = self.durable_seq;
        let flight_seq = self.flight.as_ref().map_or(durable_seq, |flight| flight.last_seq);
        let upto = |last: u64| live.iter().copied().filter(move |seq| *seq <= last);
        let (mut first, mut alone) =
            (Vec::from_iter(upto(durable_seq)), Vec::from_iter(upto(flight_seq)));
        let flight = self.flight.iter().flat_map(|flight| flight.undo.matching(filter));
        first.extend(flight.filter(|gone| gone.alone).map(|gone| gone.seq));
        for gone in self.round.undo.matching(filter) {
            first.extend(gone.with_flight.then_some(gone.seq));
            alone.extend(gone.alone.then_some(gone.seq));
        }
        let bound = |mut seqs: Vec<u64>, last: u64| {
            seqs.retain(|seq| *seq <= last);
            seqs.sort_unstable();
            let above = seqs.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
            seqs.get(above).copied().unwrap_or(0)
        };
        let with_flight = bound(first, durable_seq);
        let alone = bound(alone, flight_seq);
        if let Some(flight) = &mut self.flight {
            flight.undo.keep_from(filter, 0, with_flight);
        }
        self.round.undo.keep_from(filter, with_flight, alone);
        Keeps { durable_seq, flight_seq, with_flight, alone }
    }

    /// Tells what limits removed for messages that are durable since the last call.
    pub(crate) fn take_evicted(&mut self, out: &mut Vec<SeqRange>) {
        out.append(&mut self.evicted);
    }

    /// Puts back what messages replaced that are refused; tells whether there was any. With `behind` they
    /// were appended behind the round that failed. What does not come back is added to `removed`.
    pub(super) fn put_back(
        &mut self,
        index: &mut Index,
        undo: &Undo,
        behind: bool,
        removed: &mut Vec<SeqRange>,
    ) -> bool {
        let mut any = false;
        // What was not durable itself is refused as well.
        for gone in undo.gone.iter().filter(|gone| gone.seq <= self.durable_seq) {
            if !(if behind { gone.with_flight } else { gone.alone }) {
                push_range(removed, gone.seq);
                continue;
            }
            let Some(at) = index.put_back(gone.seq, undo.name(gone)) else { continue };
            any = true;
            if let Some(segment) = self.segments.get_mut(at)
                && matches!(segment.sidecar, Sidecar::Known(_))
            {
                // It may call the message dead, and no checkpoint names it for that.
                segment.sidecar = Sidecar::Never;
            }
        }
        any
    }
}
