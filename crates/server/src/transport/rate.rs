//! `connection_rate_limit`: how many TLS handshakes may begin in one second.

use std::sync::{Mutex, PoisonError};

const SECOND_NS: u64 = 1_000_000_000;

/// Counts in windows of a second, as nats-server does.
#[derive(Debug)]
pub(super) struct Rate {
    limit: u64,
    /// When the window began, and how many came since.
    window: Mutex<(u64, u64)>,
}

impl Rate {
    pub(super) fn new(limit: u64) -> Self {
        Rate { limit, window: Mutex::new((0, 0)) }
    }

    /// Whether one more may begin at `now_ns`; it is counted then.
    pub(super) fn admits(&self, now_ns: u64) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ns.saturating_sub(window.0) >= SECOND_NS || window.1 == 0 {
            *window = (now_ns, 0);
        }
        if window.1 >= self.limit {
            return false;
        }
        window.1 += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_per_second() {
        let rate = Rate::new(2);
        let admitted = |times: [u64; 5]| times.map(|now| rate.admits(now));
        assert_eq!(
            admitted([5, 6, 7, SECOND_NS + 4, SECOND_NS + 5]),
            [true, true, false, false, true]
        );
    }
}
