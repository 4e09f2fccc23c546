//! The one place where clocks are read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic side begins now.
    #[must_use]
    pub(crate) fn start() -> Self {
        Clock { origin: Instant::now() }
    }

    /// Nanoseconds since [`Clock::start`]; never goes back.
    #[must_use]
    pub(crate) fn mono_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// The instant of a monotonic reading.
    #[must_use]
    pub(crate) fn instant(&self, mono_ns: u64) -> Instant {
        self.origin + Duration::from_nanos(mono_ns)
    }

    /// Nanoseconds since 1970, UTC. A clock before 1970 reads as 0.
    #[must_use]
    pub(crate) fn unix_ns(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}
