//! How long to wait between attempts.

use std::time::Duration;

use serde::Serialize;

/// Waits between attempts: fixed, or doubling up to a maximum, with jitter.
///
/// The first attempt after a loss never waits. Jitter shortens a wait by a random part of it, so that
/// many clients do not come back at once; the wait never exceeds what was asked for.
///
/// ```
/// use natterjack::{Backoff, millis, secs};
/// let backoff = Backoff::exponential(millis(100), secs(1)).jitter(0.0);
/// let waits: Vec<_> = (0..5).map(|n| backoff.wait(n, 0.5)).collect();
/// assert_eq!(waits, [millis(100), millis(200), millis(400), millis(800), secs(1)]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    jitter: f64,
}

impl Backoff {
    /// The part of a wait that jitter may take away unless [`jitter`](Self::jitter) says otherwise.
    pub const DEFAULT_JITTER: f64 = 0.2;

    /// The same wait each time.
    #[must_use]
    pub const fn fixed(wait: Duration) -> Self {
        Self { first: wait, max: wait, jitter: Self::DEFAULT_JITTER }
    }

    /// `first`, then twice as long each time, up to `max`.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self { first, max, jitter: Self::DEFAULT_JITTER }
    }

    /// The part of each wait, 0.0 to 1.0, that jitter may take away.
    #[must_use]
    pub const fn jitter(mut self, part: f64) -> Self {
        self.jitter = part.clamp(0.0, 1.0);
        self
    }

    /// The wait after failure number `nth` (from 0), with `random` in 0.0 to 1.0.
    #[must_use]
    pub fn wait(&self, nth: u32, random: f64) -> Duration {
        let full =
            self.first.saturating_mul(1_u32.checked_shl(nth).unwrap_or(u32::MAX)).min(self.max);
        full.mul_f64(1.0 - self.jitter * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows U-006.
    #[test]
    fn waits_grow_to_the_maximum_and_jitter_only_shortens() {
        let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60));
        for nth in 0..200 {
            let (low, high) = (backoff.wait(nth, 1.0), backoff.wait(nth, 0.0));
            assert!(high <= Duration::from_secs(60));
            assert_eq!(low, high.mul_f64(0.8), "{nth}");
        }
        assert_eq!(backoff.wait(31, 0.0), Duration::from_secs(60));
        assert_eq!(backoff.wait(40, 0.0), Duration::from_secs(60));
    }

    #[test]
    fn a_fixed_wait_stays() {
        let backoff = Backoff::fixed(Duration::from_secs(5));
        assert_eq!(backoff.wait(0, 0.0), backoff.wait(9, 0.0));
    }
}
