//! The table at the end, or an object for each pair.

use std::time::{Duration, Instant};

use serde_json::json;

use super::check::Checks;
use super::pairs::Pair;
use super::scene::Tally;
use super::show::{Show, write_line};
use crate::exit::{Failure, Outcome, status};

/// How a pair came out.
#[derive(Debug)]
pub(super) struct Row {
    pair: Pair,
    tally: Tally,
    checks: Checks,
    took: Duration,
    /// Why it could not be played to its end.
    pub(super) reason: Option<String>,
}

impl Row {
    /// A pair that was played, maybe until `reason` ended it.
    pub(super) fn played(
        pair: Pair,
        checks: Checks,
        tally: Tally,
        took: Duration,
        reason: Option<String>,
    ) -> Self {
        Self { pair, tally, checks, took, reason }
    }

    /// A pair that could not be played.
    pub(super) fn refused(pair: Pair, reason: &str) -> Self {
        let (checks, tally) = (Checks::default(), Tally::default());
        Self::played(pair, checks, tally, Duration::ZERO, Some(reason.to_owned()))
    }

    fn passed(&self) -> bool {
        let complete = self.checks.total() > 0 && self.checks.passed() == self.checks.total();
        complete && self.reason.is_none()
    }

    /// What did not hold.
    fn failures(&self) -> Vec<String> {
        let mut failures = self.checks.broken();
        failures.extend(self.reason.clone());
        failures
    }

    fn text(&self, show: &Show) -> String {
        let latency = |part| percentile(&self.tally.latencies, part).map_or("-".into(), in_ms);
        let mut text = format!(
            "{:>2}  {:<12}{:>4} {:>4}{:>8}   {:<8}{:<8}{:<7}",
            self.pair.id,
            self.pair.name,
            self.tally.sent,
            self.tally.received,
            format!("{}/{}", self.checks.passed(), self.checks.total()),
            latency(0.5),
            latency(0.99),
            format!("{:.1} s", self.took.as_secs_f64()),
        );
        text += &show.verdict(self.passed(), if self.passed() { "PASS" } else { "FAIL" });
        if !self.passed() {
            text += &format!("  {}", self.failures().join("; "));
        }
        text
    }

    fn object(&self) -> serde_json::Value {
        json!({
            "pair": self.pair.id,
            "name": self.pair.name,
            "sent": self.tally.sent,
            "received": self.tally.received,
            "asserts": {"passed": self.checks.passed(), "total": self.checks.total()},
            "p50_ms": percentile(&self.tally.latencies, 0.5),
            "p99_ms": percentile(&self.tally.latencies, 0.99),
            "time_s": (self.took.as_secs_f64() * 1e3).round() / 1e3,
            "result": if self.passed() { "PASS" } else { "FAIL" },
            "failures": self.failures(),
        })
    }
}

/// The rows so far.
pub(super) struct Report {
    show: Show,
    rows: Vec<Row>,
    began: Instant,
}

impl Report {
    pub(super) fn new(show: Show) -> Self {
        Self { show, rows: Vec::new(), began: show.began }
    }

    /// Adds a row; as JSON it is printed at once.
    pub(super) fn add(&mut self, row: Row) {
        if self.show.out.json {
            write_line(&row.object().to_string());
        }
        self.rows.push(row);
    }

    /// Prints the table.
    ///
    /// # Errors
    /// Exit code 1 if a pair failed.
    pub(super) fn finish(self) -> Outcome {
        let failed = self.rows.iter().filter(|row| !row.passed()).count();
        if !self.show.out.json {
            write_line("");
            write_line(" #  pair        sent recv  asserts  p50     p99     time   result");
            for row in &self.rows {
                write_line(&row.text(&self.show));
            }
            let (passed, took) = (self.rows.len() - failed, self.began.elapsed().as_secs_f64());
            write_line(&format!(" {passed} passed, {failed} failed in {took:.1} s"));
        }
        if failed == 0 {
            return Ok(());
        }
        let text = format!("{failed} of {} pairs failed", self.rows.len());
        Err(Failure::new(status::FAILED, "tour", text))
    }
}

/// The value that this part of them does not exceed (nearest rank); `None` without any.
fn percentile(values: &[f64], part: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// Milliseconds in at most seven characters.
fn in_ms(value: f64) -> String {
    match value {
        ms if ms < 99.995 => format!("{ms:.2}ms"),
        ms if ms < 10_000.0 => format!("{ms:.0}ms"),
        ms => format!("{:.0}s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Check;
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(50.0));
        assert_eq!(percentile(&values, 0.99), Some(99.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn one_broken_check_fails_the_pair_and_is_named() {
        let pair = Pair::all().next().expect("there are pairs");
        let row = |broken: Option<&str>, reason: Option<&str>| {
            let mut checks = Checks::default();
            checks.add(Check { claim: "one".into(), broken: None });
            checks.add(Check { claim: "two".into(), broken: broken.map(Into::into) });
            let reason = reason.map(str::to_owned);
            Row::played(pair, checks, Tally::default(), Duration::ZERO, reason)
        };
        for (row, passed, failures) in [
            (row(None, None), true, vec![]),
            (row(Some("9 of 10"), None), false, vec!["two: 9 of 10"]),
            (row(None, Some("it hangs")), false, vec!["it hangs"]),
            (Row::refused(pair, "no JetStream"), false, vec!["no JetStream"]),
        ] {
            assert_eq!(
                (row.passed(), row.failures()),
                (passed, failures.into_iter().map(str::to_owned).collect())
            );
        }
    }

    #[test]
    fn a_latency_fits_its_column() {
        for (value, text) in [
            (0.21, "0.21ms"),
            (99.99, "99.99ms"),
            (99.999, "100ms"),
            (250.4, "250ms"),
            (61_000.0, "61s"),
        ] {
            assert_eq!(in_ms(value), text);
        }
    }
}
