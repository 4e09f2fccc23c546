//! What a client measures, and the figures that are made of it.
//!
//! Memory does not grow with the number of messages: latencies go into a histogram, which keeps three
//! digits of each and takes some 70 KB for each client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// What a client measures while it runs.
pub(super) struct Meter {
    messages: u64,
    bytes: u64,
    started: Option<Instant>,
    ended: Option<Instant>,
    latencies: Option<Box<Latencies>>,
    /// The number of messages, for those who watch.
    seen: Arc<AtomicU64>,
}

impl Meter {
    pub(super) fn new(seen: Arc<AtomicU64>) -> Self {
        Self { messages: 0, bytes: 0, started: None, ended: None, latencies: None, seen }
    }

    /// Starts the clock, unless it runs.
    pub(super) fn start(&mut self) {
        if self.started.is_none() {
            self.started = Some(Instant::now());
        }
    }

    /// Counts a message with a body of `bytes`.
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.ended = None;
        self.seen.store(self.messages, Ordering::Relaxed);
    }

    /// Notes how long an operation took.
    pub(super) fn time(&mut self, took: Duration) {
        self.latencies.get_or_insert_with(Box::default).record(took);
    }

    /// Stops the clock, until the next message: there is nothing to do but to wait. If none comes, the
    /// waiting does not count.
    pub(super) fn rest(&mut self) {
        self.ended.get_or_insert_with(Instant::now);
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// What was measured so far.
    pub(super) fn finish(self) -> Sample {
        let span = self.started.map(|start| (start, self.ended.unwrap_or_else(Instant::now)));
        let Self { messages, bytes, latencies, .. } = self;
        Sample { messages, bytes, span, latencies }
    }
}

/// What a client has measured.
pub(super) struct Sample {
    pub(super) messages: u64,
    /// Bytes of the messages' bodies.
    pub(super) bytes: u64,
    /// From when to when; `None` if the clock was never started.
    span: Option<(Instant, Instant)>,
    latencies: Option<Box<Latencies>>,
}

impl Sample {
    pub(super) fn seconds(&self) -> f64 {
        self.span.map_or(0.0, |(start, end)| end.saturating_duration_since(start).as_secs_f64())
    }

    pub(super) fn message_rate(&self) -> f64 {
        rate(self.messages, self.seconds())
    }

    pub(super) fn byte_rate(&self) -> f64 {
        rate(self.bytes, self.seconds())
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        self.latencies.as_deref().and_then(Latencies::figures)
    }
}

/// Per second; 0 if there was no time at all, as with a single message.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// All clients as one: sums, from the first start to the last end.
pub(super) fn total(samples: &[Sample]) -> Sample {
    let spans = || samples.iter().filter_map(|sample| sample.span);
    let start = spans().map(|(start, _)| start).min();
    let end = spans().map(|(_, end)| end).max();
    let mut all: Option<Box<Latencies>> = None;
    for latencies in samples.iter().filter_map(|sample| sample.latencies.as_deref()) {
        all.get_or_insert_with(Box::default).merge(latencies);
    }
    Sample {
        messages: samples.iter().map(|sample| sample.messages).sum(),
        bytes: samples.iter().map(|sample| sample.bytes).sum(),
        span: start.zip(end),
        latencies: all,
    }
}

/// How the clients' message rates are spread, in messages per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) avg: f64,
    pub(super) max: f64,
    /// Of the population: the clients are all there are.
    pub(super) stddev: f64,
}

impl Spread {
    /// Of all 0 if there are no values.
    pub(super) fn of(values: &[f64]) -> Self {
        let Some(max) = values.iter().copied().reduce(f64::max) else {
            return Self { min: 0.0, avg: 0.0, max: 0.0, stddev: 0.0 };
        };
        let min = values.iter().copied().fold(max, f64::min);
        let number = values.len() as f64;
        let avg = values.iter().sum::<f64>() / number;
        let variance = values.iter().map(|value| (value - avg).powi(2)).sum::<f64>() / number;
        Self { min, avg, max, stddev: variance.sqrt() }
    }
}

/// The figures of latencies, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::verbs) struct Latency {
    pub(in crate::verbs) count: u64,
    pub(in crate::verbs) min: f64,
    pub(in crate::verbs) avg: f64,
    pub(in crate::verbs) max: f64,
    pub(in crate::verbs) stddev: f64,
    pub(in crate::verbs) p50: f64,
    pub(in crate::verbs) p90: f64,
    pub(in crate::verbs) p99: f64,
    pub(in crate::verbs) p999: f64,
}

/// What takes longer, in nanoseconds, counts as much among the percentiles; `max` shows it.
const LONGEST: u64 = 3_600_000_000_000;

/// Latencies of any number of operations.
pub(in crate::verbs) struct Latencies {
    /// Nanoseconds.
    histogram: Histogram<u32>,
    // The histogram rounds these.
    min: u64,
    max: u64,
    sum: u128,
}

impl Default for Latencies {
    fn default() -> Self {
        // Steps of 64 ns at the least; grows by itself above a second.
        let histogram = Histogram::new_with_bounds(64, 1_000_000_000, 3);
        let mut histogram =
            histogram.expect("64 is below half of the high bound, 3 digits below 6");
        histogram.auto(true);
        Self { histogram, min: u64::MAX, max: 0, sum: 0 }
    }
}

impl Latencies {
    pub(in crate::verbs) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Grows as far as that, which takes 120 KB.
        let _ = self.histogram.record(nanos.min(LONGEST));
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.sum += u128::from(nanos);
    }

    fn merge(&mut self, other: &Self) {
        // Grows as the other one has done.
        let _ = self.histogram.add(&other.histogram);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    /// What this part of them does not exceed, in microseconds; 0 if there are none.
    pub(in crate::verbs) fn at(&self, quantile: f64) -> f64 {
        if self.histogram.is_empty() {
            return 0.0;
        }
        // A step of the histogram may reach beyond the values in it.
        let nanos = self.histogram.value_at_quantile(quantile).clamp(self.min, self.max);
        nanos as f64 / 1e3
    }

    /// How many lie in each step from the least to the largest, steps of doubling size: the end of the
    /// step in nanoseconds, and the count.
    pub(in crate::verbs) fn steps(&self) -> Vec<(u64, u64)> {
        if self.histogram.is_empty() {
            return Vec::new();
        }
        let first = self.min.max(64).next_power_of_two();
        let steps = self.histogram.iter_log(first, 2.0);
        steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect()
    }

    pub(in crate::verbs) fn figures(&self) -> Option<Latency> {
        let count = self.histogram.len();
        if count == 0 {
            return None;
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| self.at(quantile);
        Some(Latency {
            count,
            min: micros(self.min),
            avg: self.sum as f64 / count as f64 / 1e3,
            max: micros(self.max),
            stddev: self.histogram.stdev() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A client that took `millis` for `messages` of ten bytes, each after one of `latencies`.
    pub(in super::super) fn sample(
        origin: Instant,
        (from, to): (u64, u64),
        messages: u64,
        latencies: &[u64],
    ) -> Sample {
        let mut all: Option<Box<Latencies>> = None;
        for micros in latencies {
            all.get_or_insert_with(Box::default).record(Duration::from_micros(*micros));
        }
        let at = |millis| origin + Duration::from_millis(millis);
        Sample { messages, bytes: messages * 10, span: Some((at(from), at(to))), latencies: all }
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= right.abs() / 1000.0
    }

    #[test]
    fn all_clients_together_last_from_the_first_start_to_the_last_end() {
        let origin = Instant::now();
        let samples = [sample(origin, (0, 500), 100, &[]), sample(origin, (250, 1000), 300, &[])];
        assert_eq!(samples[0].message_rate(), 200.0);
        assert_eq!(samples[1].message_rate(), 400.0);
        let all = total(&samples);
        assert_eq!((all.messages, all.bytes, all.seconds()), (400, 4000, 1.0));
        assert_eq!((all.message_rate(), all.byte_rate()), (400.0, 4000.0));
        assert!(all.latency().is_none());
    }

    #[test]
    fn a_client_that_never_began_counts_nothing_and_has_no_rate() {
        let idle = Meter::new(Arc::default()).finish();
        assert_eq!((idle.messages, idle.seconds(), idle.message_rate()), (0, 0.0, 0.0));
        let all = total(&[idle]);
        assert_eq!((all.seconds(), all.byte_rate()), (0.0, 0.0));
        assert_eq!(total(&[]).messages, 0);
    }

    #[test]
    fn waiting_for_a_message_that_does_not_come_is_not_counted() {
        let mut meter = Meter::new(Arc::default());
        meter.start();
        meter.add(1);
        meter.rest();
        let rested = meter.ended.unwrap();
        meter.rest();
        assert_eq!(meter.ended, Some(rested));
        meter.add(1);
        assert_eq!(meter.ended, None);
        meter.rest();
        let (started, rested) = (meter.started.unwrap(), meter.ended.unwrap());
        assert_eq!(meter.finish().span, Some((started, rested)));
    }

    #[test]
    fn a_meter_counts_tells_and_stops() {
        let seen = Arc::new(AtomicU64::new(0));
        let mut meter = Meter::new(seen.clone());
        meter.start();
        meter.add(5);
        meter.add(7);
        meter.time(Duration::from_micros(3));
        assert_eq!((meter.messages(), seen.load(Ordering::Relaxed)), (2, 2));
        meter.rest();
        let sample = meter.finish();
        assert_eq!((sample.messages, sample.bytes), (2, 12));
        assert_eq!(sample.latency().unwrap().count, 1);
    }

    #[test]
    fn a_spread_is_that_of_the_population() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(spread, Spread { min: 2.0, avg: 5.0, max: 9.0, stddev: 2.0 });
        assert_eq!(Spread::of(&[]).max, 0.0);
        assert_eq!(Spread::of(&[3.0]), Spread { min: 3.0, avg: 3.0, max: 3.0, stddev: 0.0 });
    }

    #[test]
    fn percentiles_are_the_values_that_so_many_operations_kept_below() {
        let mut latencies = Latencies::default();
        for micros in (1..=1000_u64).rev() {
            latencies.record(Duration::from_micros(micros));
        }
        let figures = latencies.figures().unwrap();
        assert_eq!((figures.count, figures.min, figures.max), (1000, 1.0, 1000.0));
        assert_eq!(figures.avg, 500.5);
        assert!(close(figures.p50, 500.0), "{figures:?}");
        assert!(close(figures.p90, 900.0), "{figures:?}");
        assert!(close(figures.p99, 990.0), "{figures:?}");
        assert!(close(figures.p999, 999.0), "{figures:?}");
        assert!(close(figures.stddev, 288.67), "{figures:?}");
    }

    #[test]
    fn one_latency_is_all_percentiles() {
        let mut latencies = Latencies::default();
        assert!(latencies.figures().is_none());
        latencies.record(Duration::from_nanos(1_234_567));
        let figures = latencies.figures().unwrap();
        for value in [figures.min, figures.avg, figures.max, figures.p50, figures.p999] {
            assert_eq!(value, 1234.567);
        }
    }

    #[test]
    fn the_shortest_and_the_longest_are_kept_apart_and_together() {
        let (mut left, mut right) = (Latencies::default(), Latencies::default());
        left.record(Duration::ZERO);
        right.record(Duration::from_secs(3600));
        right.record(Duration::MAX);
        left.merge(&right);
        let figures = left.figures().unwrap();
        assert_eq!((figures.count, figures.min), (3, 0.0));
        assert_eq!(figures.max, u64::MAX as f64 / 1e3);
        assert!(close(figures.p50, 3.6e9), "{figures:?}");
    }
}
