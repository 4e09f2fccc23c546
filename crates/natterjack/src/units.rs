//! Sizes and spans of time, spelled so that the unit can be read at the call.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes.
///
/// ```
/// use natterjack::{ByteSize, kib, mib};
/// assert_eq!(kib(2).bytes(), 2048);
/// assert_eq!(mib(8).to_string(), "8 MiB");
/// assert_eq!(ByteSize::from(1500).to_string(), "1500 B");
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of exactly `bytes` bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size as a length in memory; what does not fit becomes the largest length.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// `n` times 1024 bytes.
#[must_use]
pub const fn kib(n: u64) -> ByteSize {
    ByteSize(n.saturating_mul(1 << 10))
}

/// `n` times 1024 × 1024 bytes.
#[must_use]
pub const fn mib(n: u64) -> ByteSize {
    ByteSize(n.saturating_mul(1 << 20))
}

/// `n` times 1024 × 1024 × 1024 bytes.
#[must_use]
pub const fn gib(n: u64) -> ByteSize {
    ByteSize(n.saturating_mul(1 << 30))
}

/// `n` thousandths of a second.
#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes of 60 seconds.
#[must_use]
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours of 3600 seconds.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3600))
}

/// `n` days of 24 hours.
#[must_use]
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(86_400))
}

/// A span in the form that log lines and error texts use: `0.4 ms`, `5 s`, `3 h`.
///
/// ```
/// use natterjack::{millis, secs, pretty};
/// assert_eq!(pretty(millis(5200)), "5.2 s");
/// assert_eq!(pretty(secs(10_800)), "3 h");
/// ```
#[must_use]
pub fn pretty(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (value, unit) = match seconds {
        s if s < 1.0 => (s * 1000.0, "ms"),
        s if s < 120.0 => (s, "s"),
        s if s < 7200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    let text = format!("{value:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_shown_in_the_unit_a_person_would_choose() {
        for (span, text) in [
            (Duration::from_micros(340), "0.3 ms"),
            (millis(12), "12 ms"),
            (secs(1), "1 s"),
            (millis(119_900), "119.9 s"),
            (minutes(3), "3 min"),
            (hours(3), "3 h"),
            (days(4), "4 d"),
        ] {
            assert_eq!(pretty(span), text);
        }
    }

    #[test]
    fn a_size_is_shown_in_whole_units_only() {
        assert_eq!(gib(1).to_string(), "1 GiB");
        assert_eq!(ByteSize::new(1025).to_string(), "1025 B");
        assert_eq!(ByteSize::new(0).to_string(), "0 B");
    }
}
