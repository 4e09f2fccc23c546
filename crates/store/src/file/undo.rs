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
}

impl Undo {
    pub(crate) fn push(&mut self, seq: u64, subject: &[u8], evicted: bool) {
        let before = self.gone.last().map(|gone| gone.name).unwrap_or_default();
        let name = match self.names.get(before..) {
            Some(last) if last == subject => before,
            _ => {
                self.names.extend_from_slice(subject);
                self.names.len() - subject.len()
            }
        };
        self.gone.push(Gone { seq, name, name_len: subject.len() as u32, evicted });
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

    /// Tells what limits removed for messages that are durable since the last call.
    pub(crate) fn take_evicted(&mut self, out: &mut Vec<SeqRange>) {
        out.append(&mut self.evicted);
    }

    /// Puts back what messages replaced that are refused; tells whether there was any.
    pub(super) fn put_back(&mut self, index: &mut Index, undo: &Undo) -> bool {
        let mut any = false;
        // What was not durable itself is refused as well.
        for gone in undo.gone.iter().filter(|gone| gone.seq <= self.durable_seq) {
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
