//! What a consumer still waits for: interest and work-queue streams keep that (jetstream.md 2.5).

use natterjack_store::{Log, Next, SeqRange};

use super::Consumer;

/// What was settled since the stream last looked, in the order of settling. Recorded only where
/// the stream removes settled messages.
#[derive(Debug, Default)]
pub(crate) struct Released {
    on: bool,
    runs: Vec<SeqRange>,
}

impl Released {
    /// Adds the sequences from `first` to `last`.
    pub(super) fn push(&mut self, first: u64, last: u64) {
        if !self.on || first > last {
            return;
        }
        match self.runs.last_mut() {
            Some(run) if run.last + 1 == first => run.last = last,
            _ => self.runs.push(SeqRange { first, last }),
        }
    }
}

impl Consumer {
    /// Whether settled messages are to be recorded for [`take_released`](Self::take_released).
    pub(crate) fn record_released(&mut self, on: bool) {
        self.state.released.on = on;
        if !on {
            self.state.released.runs.clear();
        }
    }

    /// True when [`take_released`](Self::take_released) would give something.
    pub(crate) fn has_released(&self) -> bool {
        !self.state.released.runs.is_empty()
    }

    /// What was settled since the last call. It may be removed once the note that says so is
    /// written, unless another consumer claims it.
    pub(crate) fn take_released(&mut self) -> Vec<SeqRange> {
        std::mem::take(&mut self.state.released.runs)
    }

    /// Whether the consumer waits for this message: it is delivered and not settled, or is still
    /// to be delivered. The consumers of mirrors and sources wait for nothing.
    pub(crate) fn claims(&self, log: &Log, seq: u64) -> bool {
        if self.config.direct {
            return false;
        }
        let state = &self.state;
        if seq < state.next && !self.unstarted {
            return state.pending.get(seq).is_some() || state.exhausted.contains_key(&seq);
        }
        if seq <= state.list_end && !self.unstarted {
            return state.list.binary_search(&seq).is_ok();
        }
        self.filters.is_empty()
            || log
                .subject_of(seq)
                .is_some_and(|subject| self.filters.iter().any(|filter| filter.matches(subject)))
    }

    /// All that it claims, each run once, in no particular order.
    pub(crate) fn claimed(&self, log: &mut Log) -> Vec<SeqRange> {
        let mut claimed = Released { on: true, runs: Vec::new() };
        if self.config.direct {
            return claimed.runs;
        }
        let state = &self.state;
        state.pending.iter().for_each(|entry| claimed.push(entry.seq, entry.seq));
        state.exhausted.keys().for_each(|seq| claimed.push(*seq, *seq));
        state.list.iter().for_each(|seq| claimed.push(*seq, *seq));
        let mut from = if self.unstarted { 0 } else { self.horizon() };
        while let Next::Found(seq) = log.next_match(&self.filters, from) {
            claimed.push(seq, seq);
            from = seq + 1;
        }
        claimed.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_and_nothing_is_kept_while_off() {
        let mut released = Released::default();
        released.push(1, 4);
        assert!(released.runs.is_empty());
        released.on = true;
        for (first, last) in [(1, 4), (5, 5), (9, 9), (8, 7), (3, 3)] {
            released.push(first, last);
        }
        let runs: Vec<_> = released.runs.iter().map(|run| (run.first, run.last)).collect();
        assert_eq!(runs, [(1, 5), (9, 9), (3, 3)]);
    }
}
