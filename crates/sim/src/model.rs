//! A plain model of a log: what it must hold, computed in the simplest way.

use natterjack_store::{Filter, Get, Limits, Log, Next, Purge, SeqRange, Stored};
use std::collections::{BTreeMap, BTreeSet};

/// A message of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Unix nanoseconds.
    pub time: i64,
    /// The owner's bits.
    pub flags: u8,
    /// The subject.
    pub subject: Vec<u8>,
    /// The header block.
    pub headers: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl From<Stored<'_>> for Message {
    fn from(stored: Stored<'_>) -> Message {
        Message {
            time: stored.time,
            flags: stored.flags,
            subject: stored.subject.to_vec(),
            headers: stored.headers.to_vec(),
            payload: stored.payload.to_vec(),
        }
    }
}

/// What a log must hold.
#[derive(Debug, Clone)]
pub struct Model {
    /// Stored messages by sequence.
    pub messages: BTreeMap<u64, Message>,
    /// The highest sequence handed out.
    pub last_seq: u64,
    /// The stamp of the last message or skip.
    pub last_time: i64,
    /// The limits in force.
    pub limits: Limits,
    memory: bool,
}

impl Model {
    /// An empty log that starts at `first_seq`, accounted as a memory or a file stream.
    pub fn new(first_seq: u64, limits: Limits, memory: bool) -> Model {
        let last_seq = first_seq.max(1) - 1;
        Model { messages: BTreeMap::new(), last_seq, last_time: 0, limits, memory }
    }

    /// Stores a message at `seq`; returns what the limits removed, sorted.
    pub fn append_at(&mut self, seq: u64, message: Message) -> Vec<u64> {
        (self.last_seq, self.last_time) = (seq, message.time);
        self.messages.insert(seq, message);
        self.enforce()
    }

    /// Uses up a sequence.
    pub fn skip(&mut self, time: i64) {
        self.last_seq += 1;
        self.last_time = time;
    }

    /// Replaces the limits; returns what they removed, sorted.
    pub fn set_limits(&mut self, limits: Limits) -> Vec<u64> {
        self.limits = limits;
        self.enforce()
    }

    fn enforce(&mut self) -> Vec<u64> {
        let mut gone = BTreeSet::new();
        if self.limits == Limits::default() {
            return Vec::new();
        }
        if let Some(max) = self.limits.max_msgs_per_subject {
            let mut by_subject: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
            for (&seq, message) in &self.messages {
                by_subject.entry(message.subject.clone()).or_default().push(seq);
            }
            for seqs in by_subject.values() {
                gone.extend(&seqs[..seqs.len().saturating_sub(max as usize)]);
            }
        }
        self.messages.retain(|seq, _| !gone.contains(seq));
        while self.limits.max_msgs.is_some_and(|max| self.messages.len() as u64 > max)
            || self.limits.max_bytes.is_some_and(|max| self.bytes() > max)
        {
            gone.extend(self.messages.pop_first().map(|(seq, _)| seq));
        }
        gone.into_iter().collect()
    }

    /// Purges; returns how many messages went.
    pub fn purge(&mut self, purge: &Purge<'_>) -> u64 {
        let filter = Filter::new(purge.filter.unwrap_or(b">"));
        let matching: Vec<u64> = self.matching(&[filter], 0);
        let kept = matching.len().saturating_sub(purge.keep.unwrap_or(0) as usize);
        let below = purge.below_seq.unwrap_or(u64::MAX);
        let gone: Vec<u64> = matching[..kept].iter().copied().filter(|&seq| seq < below).collect();
        gone.iter().for_each(|seq| drop(self.messages.remove(seq)));
        if purge.filter.is_none() && purge.keep.unwrap_or(0) == 0 && below != u64::MAX {
            self.last_seq = self.last_seq.max(below.saturating_sub(1));
        }
        gone.len() as u64
    }

    fn matching(&self, filters: &[Filter], from: u64) -> Vec<u64> {
        let all = self.messages.range(from..);
        let select =
            |m: &Message| filters.is_empty() || filters.iter().any(|f| f.matches(&m.subject));
        all.filter(|(_, m)| select(m)).map(|(&seq, _)| seq).collect()
    }

    fn bytes(&self) -> u64 {
        let size = |m: &Message| {
            let content = m.subject.len() + m.headers.len() + m.payload.len();
            let fixed = match (self.memory, m.headers.is_empty()) {
                (true, _) => 16,
                (false, true) => 30,
                (false, false) => 34,
            };
            (content + fixed) as u64
        };
        self.messages.values().map(size).sum()
    }

    /// Compares all that a log tells without its messages.
    ///
    /// # Panics
    /// If the log differs.
    pub fn check_index(&self, log: &mut Log, filters: &[Vec<Filter>], froms: &[u64]) {
        let state = log.state().clone();
        let first = self.messages.first_key_value();
        assert_eq!(state.messages, self.messages.len() as u64, "messages");
        assert_eq!(state.bytes, self.bytes(), "bytes");
        assert_eq!(state.last_seq, self.last_seq, "last_seq");
        assert_eq!(state.last_time, self.last_time, "last_time");
        assert_eq!(state.first_seq, first.map_or(self.last_seq + 1, |(&seq, _)| seq), "first_seq");
        assert_eq!(state.first_time, first.map_or(0, |(_, m)| m.time), "first_time");
        let mut gaps: Vec<SeqRange> = Vec::new();
        for seq in state.first_seq..=state.last_seq {
            if !self.messages.contains_key(&seq) {
                match gaps.last_mut() {
                    Some(gap) if gap.last + 1 == seq => gap.last = seq,
                    _ => gaps.push(SeqRange { first: seq, last: seq }),
                }
            }
        }
        let gaps = if self.messages.is_empty() { Vec::new() } else { gaps };
        assert_eq!(log.deleted().collect::<Vec<_>>(), gaps, "deleted");
        assert_eq!(state.num_deleted(), gaps.iter().map(SeqRange::count).sum::<u64>());

        let mut subjects: BTreeMap<Vec<u8>, (u64, u64, u64)> = BTreeMap::new();
        for (&seq, message) in &self.messages {
            let entry = subjects.entry(message.subject.clone()).or_insert((seq, seq, 0));
            (entry.1, entry.2) = (seq, entry.2 + 1);
        }
        assert_eq!(log.num_subjects(), subjects.len(), "num_subjects");
        for filters in filters {
            let mut found = BTreeMap::new();
            for filter in filters {
                log.subjects_matching(filter.subject(), |name, s| {
                    found.insert(name.to_vec(), (s.first, s.last, s.count));
                });
                let last = self.matching(std::slice::from_ref(filter), 0).last().copied();
                assert_eq!(log.last_on(filter.subject()), last.map_or(Next::End, Next::Found));
            }
            let select = |name: &Vec<u8>| filters.iter().any(|f| f.matches(name));
            let expected = subjects.clone().into_iter().filter(|(name, _)| select(name));
            assert_eq!(found, expected.collect(), "subjects of {filters:?}");
            for &from in froms {
                let pending = self.matching(filters, from);
                let next = pending.first().map_or(Next::End, |&seq| Next::Found(seq));
                assert_eq!(log.next_match(filters, from), next, "{filters:?} from {from}");
                assert_eq!(log.num_pending(filters, from), pending.len() as u64, "{filters:?}");
                let mut last: BTreeMap<&[u8], u64> = BTreeMap::new();
                for seq in self.matching(filters, 0).into_iter().filter(|&seq| seq <= from) {
                    last.insert(&self.messages[&seq].subject, seq);
                }
                let mut last: Vec<u64> = last.into_values().collect();
                last.sort_unstable();
                assert_eq!(log.last_per_subject(filters, from), last, "{filters:?} to {from}");
            }
        }
        for &from in froms {
            if let Some(message) = self.messages.get(&from) {
                let at = self.messages.iter().find(|(_, m)| m.time >= message.time);
                let at = at.map_or(Next::End, |(&seq, _)| Next::Found(seq));
                assert_eq!(log.seq_at_time(message.time), at, "seq_at_time");
            }
        }
    }

    /// Compares what `get` says of `seq`, unless it is pending.
    ///
    /// # Panics
    /// If the log differs.
    pub fn check_get(&self, seq: u64, got: &Get<'_>) {
        match (got, self.messages.get(&seq)) {
            (Get::Pending, _) | (Get::Missing, None) => {}
            (Get::Found(stored), Some(m)) => {
                assert_eq!((stored.seq, stored.time, stored.flags), (seq, m.time, m.flags));
                assert_eq!(stored.subject, m.subject);
                assert_eq!(stored.headers, m.headers);
                assert_eq!(stored.payload, m.payload);
            }
            (got, expected) => panic!("get {seq}: {got:?}, expected {expected:?}"),
        }
    }
}
