//! Finding messages: by position, subject and time.

use crate::index::Index;
use crate::{Filter, SeqRange, SubjectState};

/// Literal subjects up to this many are looked up one by one; more are found by walking.
const LOOKUPS: usize = 64;
/// Filters whose answers per subject are remembered.
const FILTERS: usize = 16;
/// Beyond this many subjects answers are not remembered: a byte each per filter is too much.
const SUBJECTS: usize = 1 << 20;

/// Which subjects match the filters that were asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    known: Vec<(Vec<Filter>, Vec<Answer>)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Unknown,
    Yes,
    No,
}

impl Memo {
    /// The id stands for another subject now.
    pub(crate) fn forget(&mut self, id: u32) {
        for (_, answers) in &mut self.known {
            if let Some(answer) = answers.get_mut(id as usize) {
                *answer = Answer::Unknown;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }

    /// Brings the answers for `filters` to the end of the list, where they are used.
    fn select(&mut self, filters: &[Filter], ids: usize) -> &mut Vec<Answer> {
        let at = self.known.iter().position(|(known, _)| known == filters);
        let mut entry = match at {
            Some(at) => self.known.remove(at),
            None => {
                if self.known.len() >= FILTERS {
                    self.known.remove(0);
                }
                (filters.to_vec(), Vec::new())
            }
        };
        entry.1.resize(ids.min(SUBJECTS), Answer::Unknown);
        self.known.push(entry);
        let last = self.known.len() - 1;
        &mut self.known[last].1
    }
}

impl Index {
    /// The first stored sequence at or after `from`.
    pub(crate) fn next_live(&self, from: u64) -> Option<u64> {
        let start = self.chunk_at(from);
        self.chunks
            .range(start.min(self.chunks.len())..)
            .find_map(|chunk| chunk.next_live(chunk.lower_bound(from)).map(|at| chunk.seq(at)))
    }

    /// The last stored sequence below `end`.
    pub(crate) fn prev_live(&self, end: u64) -> Option<u64> {
        let stop = (self.chunk_at(end) + 1).min(self.chunks.len());
        self.chunks
            .range(..stop)
            .rev()
            .find_map(|chunk| chunk.prev_live(chunk.lower_bound(end)).map(|at| chunk.seq(at)))
    }

    /// The first message on a subject at or after `from`.
    pub(crate) fn next_on(&self, subject: u32, from: u64) -> Option<u64> {
        let start = self.chunk_at(from);
        self.chunks.range(start.min(self.chunks.len())..).find_map(|chunk| {
            chunk.next_on(subject, chunk.lower_bound(from)).map(|at| chunk.seq(at))
        })
    }

    /// The last message on a subject below `end`.
    pub(crate) fn prev_on(&self, subject: u32, end: u64) -> Option<u64> {
        let stop = (self.chunk_at(end) + 1).min(self.chunks.len());
        self.chunks.range(..stop).rev().find_map(|chunk| {
            chunk.prev_on(subject, chunk.lower_bound(end)).map(|at| chunk.seq(at))
        })
    }

    /// As [`Index::next_on`], from the subject's own list where it has one.
    fn subject_next(&self, id: u32, from: u64) -> Option<u64> {
        let state = self.subjects.state(id);
        if from <= state.first && !self.subjects.is_stale(id) {
            return Some(state.first);
        }
        if from > state.last {
            return None;
        }
        match self.subjects.listed(id) {
            Some(mut seqs) => seqs.find(|&seq| seq >= from),
            None => self.next_on(id, from.max(state.first)),
        }
    }

    /// The last message on a subject at or below `upto`.
    fn subject_prev(&self, id: u32, upto: u64) -> Option<u64> {
        let state = self.subjects.state(id);
        if upto >= state.last {
            return Some(state.last);
        }
        if upto < state.first {
            return None;
        }
        match self.subjects.listed(id) {
            Some(seqs) => seqs.rev().find(|&seq| seq <= upto),
            None => self.prev_on(id, upto + 1),
        }
    }

    /// The ids that the filters select, if they can be told without asking each subject.
    fn few(&self, filters: &[Filter]) -> Option<Vec<u32>> {
        let literal = filters.len() <= LOOKUPS && filters.iter().all(Filter::is_literal);
        literal.then(|| filters.iter().filter_map(|f| self.subjects.find(f.subject())).collect())
    }

    /// The first message at or after `from` that one of `filters` selects; all if there is none.
    pub(crate) fn next_match(&mut self, filters: &[Filter], from: u64) -> Option<u64> {
        if selects_all(filters) {
            return self.next_live(from);
        }
        if let Some(ids) = self.few(filters) {
            return ids.into_iter().filter_map(|id| self.subject_next(id, from)).min();
        }
        let mut found = None;
        self.walk(filters, from, u64::MAX, |seq| {
            found = Some(seq);
            false
        });
        found
    }

    /// Calls `f` with the selected sequences in `from..=upto` until it says false.
    fn walk(&mut self, filters: &[Filter], from: u64, upto: u64, mut f: impl FnMut(u64) -> bool) {
        let start = self.chunk_at(from).min(self.chunks.len());
        let Index { chunks, subjects, memo, .. } = self;
        let answers = memo.select(filters, subjects.ids());
        let all = selects_all(filters);
        for chunk in chunks.range(start..) {
            if chunk.live() == 0 {
                continue;
            }
            for at in chunk.iter_live(chunk.lower_bound(from)) {
                let (seq, id) = (chunk.seq(at), chunk.subject(at));
                if seq > upto {
                    return;
                }
                let ask = || filters.iter().any(|filter| filter.matches(subjects.name(id)));
                let yes = all
                    || match answers.get_mut(id as usize) {
                        None => ask(),
                        Some(answer) => {
                            if *answer == Answer::Unknown {
                                *answer = if ask() { Answer::Yes } else { Answer::No };
                            }
                            *answer == Answer::Yes
                        }
                    };
                if yes && !f(seq) {
                    return;
                }
            }
        }
    }

    /// The selected subjects, each once.
    fn select(&self, filters: &[Filter]) -> Vec<u32> {
        if let Some(mut ids) = self.few(filters).filter(|_| !filters.is_empty()) {
            ids.sort_unstable();
            ids.dedup();
            return ids;
        }
        let mut ids = Vec::new();
        let all = [Filter::new(b">")];
        for filter in if filters.is_empty() { &all } else { filters } {
            self.subjects.matching(filter, |id, _| ids.push(id));
        }
        if filters.len() > 1 {
            ids.sort_unstable();
            ids.dedup();
        }
        ids
    }

    /// How many selected messages there are from `from` on.
    pub(crate) fn num_pending(&mut self, filters: &[Filter], from: u64) -> u64 {
        if self.state.messages == 0 || from > self.state.last_seq {
            return 0;
        }
        let from = from.max(self.state.first_seq);
        if selects_all(filters) {
            let start = self.chunk_at(from).min(self.chunks.len());
            let count = |chunk: &crate::chunk::Chunk| chunk.live_from(chunk.lower_bound(from));
            return self.chunks.range(start..).map(count).sum();
        }
        let ids = self.select(filters);
        let total: u64 = ids.iter().map(|&id| self.subjects.state(id).count).sum();
        if from <= self.state.first_seq || total == 0 {
            return total;
        }
        if ids.len() <= LOOKUPS && ids.iter().all(|&id| self.subjects.listed(id).is_some()) {
            let seqs = ids.iter().filter_map(|&id| self.subjects.listed(id)).flatten();
            return seqs.filter(|&seq| seq >= from).count() as u64;
        }
        // Count on the shorter side of `from`.
        let mut count = 0;
        let mut tally = |_| {
            count += 1;
            true
        };
        if from - self.state.first_seq < self.state.last_seq - from {
            self.walk(filters, 0, from - 1, &mut tally);
            total - count
        } else {
            self.walk(filters, from, u64::MAX, &mut tally);
            count
        }
    }

    /// The last message of each selected subject at or below `upto`, sorted.
    pub(crate) fn last_per_subject(&self, filters: &[Filter], upto: u64) -> Vec<u64> {
        let ids = self.select(filters);
        let mut seqs: Vec<u64> =
            ids.into_iter().filter_map(|id| self.subject_prev(id, upto)).collect();
        seqs.sort_unstable();
        seqs
    }

    /// The last message that `filter` selects.
    pub(crate) fn last_on(&self, filter: &Filter) -> Option<u64> {
        if filter.is_all() {
            return self.prev_live(u64::MAX);
        }
        let mut last = None;
        self.subjects.matching(filter, |id, _| last = last.max(Some(self.subjects.state(id).last)));
        last
    }

    /// The first message stored at or after `time`.
    pub(crate) fn seq_at_time(&self, time: i64) -> Option<u64> {
        let late = self.chunks.iter().filter(|chunk| chunk.live() > 0 && chunk.time_max() >= time);
        late.flat_map(|chunk| chunk.iter_live(0).map(move |at| (chunk, at)))
            .find(|(chunk, at)| chunk.time(*at) >= time)
            .map(|(chunk, at)| chunk.seq(at))
    }

    /// The runs of missing sequences between the first and the last message handed out.
    pub(crate) fn deleted(&self) -> impl Iterator<Item = SeqRange> + '_ {
        let state = &self.state;
        let mut at = if state.num_deleted() == 0 { u64::MAX } else { state.first_seq };
        let last = state.last_seq;
        std::iter::from_fn(move || {
            while at <= last {
                let next = self.next_live(at).unwrap_or(last + 1);
                let gap = SeqRange { first: at, last: next.wrapping_sub(1) };
                at = next + 1;
                if gap.first < next {
                    return Some(gap);
                }
            }
            None
        })
    }

    pub(crate) fn subjects_matching(
        &self,
        filter: &Filter,
        mut f: impl FnMut(&[u8], &SubjectState),
    ) {
        self.subjects.matching(filter, |id, name| f(name, &self.subject_state(id)));
    }
}

fn selects_all(filters: &[Filter]) -> bool {
    filters.is_empty() || filters.iter().any(Filter::is_all)
}
