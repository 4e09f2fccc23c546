//! Counts of messages by subject or subscription.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::output::Output;
use crate::table::Table;
use crate::units;

/// Subjects that are counted by name; what comes after them is counted together.
const NAMES_MAX: usize = 100_000;

/// Messages and bytes by name.
pub(super) struct Report {
    counts: HashMap<String, (u64, u64)>,
    others: (u64, u64),
    top: usize,
    shown: Instant,
}

impl Report {
    pub(super) fn new(top: usize) -> Self {
        Self { counts: HashMap::new(), others: (0, 0), top, shown: Instant::now() }
    }

    pub(super) fn add(&mut self, name: &str, bytes: usize) {
        let known = self.counts.contains_key(name) || self.counts.len() < NAMES_MAX;
        let counts = match known {
            true => self.counts.entry(name.to_owned()).or_default(),
            false => &mut self.others,
        };
        counts.0 += 1;
        counts.1 += bytes as u64;
    }

    /// Shows the sum so far, once a second, where chatter goes to a terminal.
    pub(super) fn refresh(&mut self, out: &Output) {
        if self.shown.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.shown = Instant::now();
        let (messages, bytes) = self.total();
        let text = format!(
            "{} messages, {} on {} subjects",
            units::count(messages),
            units::size(bytes),
            units::count(self.counts.len() as u64)
        );
        out.progress(&text, false);
    }

    fn total(&self) -> (u64, u64) {
        self.counts.values().fold(self.others, |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    }

    /// The largest counts.
    pub(super) fn print(&self, out: &Output) {
        out.progress("", false);
        let mut rows: Vec<_> = self.counts.iter().collect();
        rows.sort_by(|(name, counts), (other, more)| more.0.cmp(&counts.0).then(name.cmp(other)));
        rows.truncate(self.top);
        if out.json {
            for (name, (messages, bytes)) in rows {
                out.object(&json!({"subject": name, "messages": messages, "bytes": bytes}));
            }
            return;
        }
        let title = format!("Top {} of {} subjects", rows.len(), self.counts.len());
        let mut table = Table::new(title, &["Subject", "Messages", "Bytes"]).right(&[1, 2]);
        for (name, (messages, bytes)) in rows {
            table.row([name.clone(), units::count(*messages), units::size(*bytes)]);
        }
        table.print(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_apart() {
        let mut report = Report::new(10);
        for (name, bytes) in [("a", 1), ("b", 2), ("a", 3)] {
            report.add(name, bytes);
        }
        assert_eq!(report.counts["a"], (2, 4));
        assert_eq!(report.total(), (3, 6));
    }
}
