//! Figures for the recorder of the [`metrics`] crate, by the feature `metrics`.
//!
//! Install a recorder (an exporter for Prometheus, for example) before connecting. Without one nothing is
//! counted.
//!
//! | Name | Kind | Labels | What |
//! |---|---|---|---|
//! | `natterjack_messages_total` | counter | `direction` `subject` | messages sent and received |
//! | `natterjack_bytes_total` | counter | `direction` `subject` | their bodies, in bytes |
//! | `natterjack_publish_seconds` | histogram | `subject` | publishing, with the acknowledgement if one is waited for |
//! | `natterjack_request_seconds` | histogram | `subject` | requests, from the question to the answer or the error; not those with several answers |
//! | `natterjack_handler_seconds` | histogram | `subject` | handlers of subscriptions, consumers and services |
//! | `natterjack_in_flight` | gauge | | handlers at work |
//! | `natterjack_settled_total` | counter | `verdict` | messages of consumers, by `ack`, `retry`, `reject` and `dead_letter` |
//! | `natterjack_redelivered_total` | counter | | messages of consumers that had been delivered before |
//! | `natterjack_dead_lettered_total` | counter | | copies that were kept on dead-letter subjects |
//! | `natterjack_dropped_total` | counter | `direction` | messages dropped: `in` for slow readers, `out` while there was no connection |
//! | `natterjack_reconnects_total` | counter | | connections made after the first |
//! | `natterjack_watch_lag` | histogram | | changes that a watch had still to tell when it told one |
//!
//! The `direction` is `in` or `out`. The `subject` is the first of
//! [`metrics_subjects`](crate::ConnectorBuilder::metrics_subjects) that matches, and `other` if none does:
//! there are never more values than the program has named, whatever subjects come.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::jetstream::Settled;

/// The label of subjects that the program has not named.
const OTHER: &str = "other";

/// The figures of a connection.
pub(crate) struct Meters {
    /// For each pattern, and last for what none matches.
    subjects: Vec<(String, Subject)>,
    other: Subject,
    acked: Counter,
    retried: Counter,
    rejected: Counter,
    set_aside: Counter,
    redelivered: Counter,
    dead_lettered: Counter,
    dropped_in: Counter,
    dropped_out: Counter,
    reconnects: Counter,
    in_flight: Gauge,
    watch_lag: Histogram,
}

struct Subject {
    received: (Counter, Counter),
    sent: (Counter, Counter),
    publish: Histogram,
    request: Histogram,
    handler: Histogram,
}

impl Subject {
    fn new(label: &str) -> Self {
        let both = |direction: &'static str| {
            (
                counter!("natterjack_messages_total", "direction" => direction, "subject" => label.to_owned()),
                counter!("natterjack_bytes_total", "direction" => direction, "subject" => label.to_owned()),
            )
        };
        Self {
            received: both("in"),
            sent: both("out"),
            publish: histogram!("natterjack_publish_seconds", "subject" => label.to_owned()),
            request: histogram!("natterjack_request_seconds", "subject" => label.to_owned()),
            handler: histogram!("natterjack_handler_seconds", "subject" => label.to_owned()),
        }
    }
}

/// Whether a pattern with wildcards matches a subject.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(there)) if wanted == there => {}
            _ => return false,
        }
    }
}

impl Meters {
    pub(crate) fn new(patterns: &[String]) -> Self {
        let settled =
            |verdict: &'static str| counter!("natterjack_settled_total", "verdict" => verdict);
        let dropped = |direction: &'static str| counter!("natterjack_dropped_total", "direction" => direction);
        Self {
            subjects: patterns.iter().map(|one| (one.clone(), Subject::new(one))).collect(),
            other: Subject::new(OTHER),
            acked: settled("ack"),
            retried: settled("retry"),
            rejected: settled("reject"),
            set_aside: settled("dead_letter"),
            redelivered: counter!("natterjack_redelivered_total"),
            dead_lettered: counter!("natterjack_dead_lettered_total"),
            dropped_in: dropped("in"),
            dropped_out: dropped("out"),
            reconnects: counter!("natterjack_reconnects_total"),
            in_flight: gauge!("natterjack_in_flight"),
            watch_lag: histogram!("natterjack_watch_lag"),
        }
    }

    fn of(&self, subject: &str) -> &Subject {
        let named = self.subjects.iter().find(|(pattern, _)| matches(pattern, subject));
        named.map_or(&self.other, |(_, meters)| meters)
    }

    pub(crate) fn received(&self, subject: &str, bytes: usize) {
        let (messages, size) = &self.of(subject).received;
        messages.increment(1);
        size.increment(bytes as u64);
    }

    pub(crate) fn sent(&self, subject: &str, bytes: usize) {
        let (messages, size) = &self.of(subject).sent;
        messages.increment(1);
        size.increment(bytes as u64);
    }

    pub(crate) fn published(&self, subject: &str, took: Duration) {
        self.of(subject).publish.record(took.as_secs_f64());
    }

    pub(crate) fn asked(&self, subject: &str, took: Duration) {
        self.of(subject).request.record(took.as_secs_f64());
    }

    /// A handler begins; it is at work until what this returns is dropped.
    pub(crate) fn handling(&self, subject: &str) -> Handling {
        self.in_flight.increment(1.0);
        let (in_flight, seconds) = (self.in_flight.clone(), self.of(subject).handler.clone());
        Handling { began: Instant::now(), in_flight, seconds }
    }

    pub(crate) fn settled(&self, how: Settled) {
        match how {
            Settled::Acked => self.acked.increment(1),
            Settled::Retried => self.retried.increment(1),
            Settled::Rejected => self.rejected.increment(1),
            Settled::DeadLettered => self.set_aside.increment(1),
        }
    }

    pub(crate) fn redelivered(&self) {
        self.redelivered.increment(1);
    }

    pub(crate) fn dead_lettered(&self) {
        self.dead_lettered.increment(1);
    }

    pub(crate) fn dropped_in(&self, messages: u64) {
        self.dropped_in.increment(messages);
    }

    pub(crate) fn dropped_out(&self) {
        self.dropped_out.increment(1);
    }

    pub(crate) fn reconnected(&self) {
        self.reconnects.increment(1);
    }

    pub(crate) fn watch_lag(&self, changes: u64) {
        self.watch_lag.record(changes as f64);
    }
}

/// A handler at work.
pub(crate) struct Handling {
    began: Instant,
    in_flight: Gauge,
    seconds: Histogram,
}

impl Handling {
    pub(crate) fn end(self) {}
}

/// Also of one that panics.
impl Drop for Handling {
    fn drop(&mut self) {
        self.in_flight.decrement(1.0);
        self.seconds.record(self.began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_subscriptions_do() {
        for (pattern, subject, want) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.>", "a.b.c", true),
            (">", "a", true),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a", false),
            ("*.b", "a.c", false),
        ] {
            assert_eq!(matches(pattern, subject), want, "{pattern} {subject}");
        }
    }
}
