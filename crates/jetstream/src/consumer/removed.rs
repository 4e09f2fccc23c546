//! What a stream tells its consumers, all at once, of messages that limits, ages and deletes took.

use natterjack_store::SeqRange;

/// Runs that are kept room for; many more at once are rare.
const RUNS_KEPT: usize = 1024;

/// Sequences that went. A consumer asks of what it knows whether it is among them: what it costs to tell a
/// consumer goes by the shorter of both lists, however many gaps lie between the runs.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    runs: Vec<SeqRange>,
    /// How many sequences the runs up to each one have, once they are in order.
    sums: Vec<u64>,
}

impl Removed {
    /// Where runs are added. No sequence comes twice.
    pub(crate) fn runs_mut(&mut self) -> &mut Vec<SeqRange> {
        &mut self.runs
    }

    /// Puts the runs in order; all questions come after that.
    pub(crate) fn sort(&mut self) {
        if !self.runs.is_sorted_by_key(|run| run.first) {
            self.runs.sort_unstable_by_key(|run| run.first);
        }
        self.sums.clear();
        let mut sum = 0;
        self.sums.extend(self.runs.iter().map(|run| {
            sum += run.count();
            sum
        }));
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.sums.clear();
        self.runs.shrink_to(RUNS_KEPT);
        self.sums.shrink_to(RUNS_KEPT);
    }

    /// The runs in order.
    pub(crate) fn runs(&self) -> &[SeqRange] {
        &self.runs
    }

    /// The highest sequence.
    pub(crate) fn last(&self) -> Option<u64> {
        self.runs.last().map(|run| run.last)
    }

    /// Whether this one went.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        let behind = self.runs.partition_point(|run| run.first <= seq);
        behind.checked_sub(1).is_some_and(|at| self.runs[at].last >= seq)
    }

    /// How many went from `first` to `last`.
    pub(crate) fn count(&self, first: u64, last: u64) -> u64 {
        self.below(last.saturating_add(1)).saturating_sub(self.below(first))
    }

    /// How many went below `seq`.
    fn below(&self, seq: u64) -> u64 {
        let behind = self.runs.partition_point(|run| run.first < seq);
        let Some(at) = behind.checked_sub(1) else { return 0 };
        let beyond = self.runs[at].last.saturating_add(1).saturating_sub(seq);
        self.sums[at] - beyond
    }
}

#[cfg(test)]
impl Removed {
    pub(crate) fn of(runs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let runs = runs.into_iter().map(|(first, last)| SeqRange { first, last }).collect();
        let mut removed = Self { runs, sums: Vec::new() };
        removed.sort();
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            steps in prop::collection::vec((1..4_u64, 0..4_u64), 0..12),
            turn in any::<usize>(),
            (from, count) in (0..60_u64, 0..60_u64),
        ) {
            let mut runs = Vec::new();
            let mut next = 0;
            for (gap, more) in steps {
                runs.push((next + gap, next + gap + more));
                next += gap + more;
            }
            let model: BTreeSet<u64> = runs.iter().flat_map(|(a, b)| *a..=*b).collect();
            if !runs.is_empty() {
                let turn = turn % runs.len();
                runs.rotate_left(turn);
            }
            let removed = Removed::of(runs);
            for seq in 0..64 {
                prop_assert_eq!(removed.contains(seq), model.contains(&seq), "{}", seq);
            }
            let within = model.range(from..=from + count).count() as u64;
            prop_assert_eq!(removed.count(from, from + count), within);
            prop_assert_eq!(removed.count(5, 3), 0);
            prop_assert_eq!(removed.last(), model.last().copied());
        }
    }
}
