//! Per-message TTLs: their form and the deadlines they make (ADR-43).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::time::parse_go_duration;

const SECOND: i64 = 1_000_000_000;

/// A message's own lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// This many seconds, at least 1.
    Seconds(i64),
    /// It also escapes `max_age`.
    Never,
}

impl Ttl {
    /// Reads a header value: seconds, a Go duration of at least one second, whose fraction is
    /// dropped, or `never` in any letter case. `None` is 10165.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        if text.eq_ignore_ascii_case("never") {
            return Some(Self::Never);
        }
        let seconds = match parse_go_duration(text) {
            Some(ns) => ns / SECOND,
            None => text.parse().ok()?,
        };
        // Beyond 64 bits of nanoseconds a deadline has no meaning; the reference refuses it.
        let fits = seconds >= 1 && seconds.checked_mul(SECOND).is_some();
        fits.then_some(Self::Seconds(seconds))
    }
}

/// When messages with a TTL end. Removed messages leave entries behind, which are skipped when due
/// and dropped when they become the majority.
#[derive(Debug, Default)]
pub struct Expiry {
    due: BinaryHeap<Reverse<(i64, u64)>>,
    /// What escapes `max_age`.
    never: BTreeSet<u64>,
}

impl Expiry {
    /// Records the TTL of the message at `seq`, stored at `time`.
    pub fn add(&mut self, seq: u64, time: i64, ttl: Ttl) {
        match ttl {
            Ttl::Seconds(seconds) => {
                let deadline = time.saturating_add(seconds.saturating_mul(SECOND));
                self.due.push(Reverse((deadline, seq)));
            }
            Ttl::Never => {
                self.never.insert(seq);
            }
        }
    }

    /// The message at `seq` escapes `max_age` and ends by its own TTL alone, as markers do.
    pub fn exempt_from_age(&mut self, seq: u64) {
        self.never.insert(seq);
    }

    /// The wall-clock time at which the next entry is due.
    pub fn next(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes one sequence that is due at `now`; it may have been removed already.
    pub fn pop(&mut self, now: i64) -> Option<u64> {
        let Reverse((deadline, _)) = self.due.peek()?;
        if *deadline > now {
            return None;
        }
        let Reverse((_, seq)) = self.due.pop()?;
        self.never.remove(&seq);
        Some(seq)
    }

    /// Puts a sequence back whose record could not be read yet.
    pub fn push_back(&mut self, seq: u64, deadline: i64) {
        self.due.push(Reverse((deadline, seq)));
    }

    /// True when the message at `seq` escapes `max_age`.
    pub fn never_ends(&self, seq: u64) -> bool {
        self.never.contains(&seq)
    }

    /// True when some message may escape `max_age`.
    pub fn has_endless(&self) -> bool {
        !self.never.is_empty()
    }

    /// Drops what refers to removed messages once that is most of it. `messages` is the stream's
    /// count, `stored` says whether a sequence is still there.
    pub fn compact(&mut self, messages: u64, stored: impl Fn(u64) -> bool) {
        let held = (self.due.len() + self.never.len()) as u64;
        if held > messages.saturating_mul(2).saturating_add(1024) {
            self.due.retain(|Reverse((_, seq))| stored(*seq));
            self.never.retain(|seq| stored(*seq));
        }
    }
}

#[cfg(test)]
impl Expiry {
    pub(in crate::stream) fn len(&self) -> usize {
        self.due.len().max(self.never.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_read_as_the_reference_reads_them() {
        for (value, expected) in [
            ("1", Some(Ttl::Seconds(1))),
            ("1s", Some(Ttl::Seconds(1))),
            ("1000ms", Some(Ttl::Seconds(1))),
            ("1.5s", Some(Ttl::Seconds(1))),
            ("1h30m", Some(Ttl::Seconds(5400))),
            ("86400", Some(Ttl::Seconds(86_400))),
            ("Never", Some(Ttl::Never)),
            ("500ms", None),
            ("0", None),
            ("-1", None),
            ("abc", None),
            ("9999999999999999999", None),
            ("9999999999999999", None),
        ] {
            assert_eq!(Ttl::parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn entries_come_due_in_order_and_dead_ones_go() {
        let mut expiry = Expiry::default();
        expiry.add(1, 0, Ttl::Seconds(5));
        expiry.add(2, 0, Ttl::Seconds(2));
        expiry.add(3, 0, Ttl::Never);
        assert_eq!(expiry.next(), Some(2 * SECOND));
        assert_eq!(expiry.pop(SECOND), None);
        assert_eq!(expiry.pop(9 * SECOND), Some(2));
        assert_eq!(expiry.pop(9 * SECOND), Some(1));
        assert!(expiry.never_ends(3));
        expiry.add(4, 0, Ttl::Seconds(1));
        expiry.exempt_from_age(4);
        assert!(expiry.never_ends(4));
        assert_eq!(expiry.pop(SECOND), Some(4));
        assert!(!expiry.never_ends(4));
        for seq in 10..5000 {
            expiry.add(seq, 0, Ttl::Seconds(9));
        }
        expiry.compact(1, |seq| seq == 4999);
        assert_eq!(expiry.pop(i64::MAX), Some(4999));
        assert_eq!(expiry.pop(i64::MAX), None);
        assert!(!expiry.has_endless());
    }
}
