//! When a connection is pinged, and when it is stale (nats-server 2.15.1).
//!
//! The first PING comes soon after CONNECT, to measure the round trip. Later firings send one only when
//! nothing was received during the interval, or when the last measurement is old.

/// An hour: older round-trip times are measured again.
const RTT_VALID_NS: u64 = 3_600_000_000_000;
const FIRST_PING_NS: u64 = 2_000_000_000;

/// What a firing of the timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Stale,
}

#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval_ns: u64,
    max_outstanding: u32,
    outstanding: u32,
    last_input_ns: u64,
    sent_ns: u64,
    rtt: Option<(u64, u64)>,
    next_ns: u64,
}

impl KeepAlive {
    pub(crate) fn new(interval_ns: u64, max_outstanding: u32, now_ns: u64) -> Self {
        KeepAlive {
            interval_ns,
            max_outstanding,
            outstanding: 0,
            last_input_ns: now_ns,
            sent_ns: 0,
            rtt: None,
            next_ns: now_ns.saturating_add(interval_ns),
        }
    }

    /// CONNECT was accepted: the first PING comes after two seconds, or the interval if that is shorter,
    /// plus up to a fifth, so that a thousand clients that reconnect are not pinged at once.
    pub(crate) fn connected(&mut self, now_ns: u64, random: u64) {
        let base = self.interval_ns.min(FIRST_PING_NS);
        let jitter = random % (base / 5 + 1);
        self.next_ns = now_ns.saturating_add(base).saturating_add(jitter);
    }

    /// Other settings after a reload; the next firing is the first to follow them.
    pub(crate) fn set_limits(&mut self, interval_ns: u64, max_outstanding: u32) {
        self.interval_ns = interval_ns;
        self.max_outstanding = max_outstanding;
    }

    pub(crate) fn input(&mut self, now_ns: u64) {
        self.last_input_ns = now_ns;
    }

    pub(crate) fn pong(&mut self, now_ns: u64) {
        if self.outstanding > 0 {
            self.rtt = Some((now_ns.saturating_sub(self.sent_ns), now_ns));
        }
        self.outstanding = 0;
    }

    /// The last measured round trip in nanoseconds.
    pub(crate) fn rtt_ns(&self) -> Option<u64> {
        self.rtt.map(|(rtt, _)| rtt)
    }

    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Whether nothing was received during the last interval.
    pub(crate) fn is_silent(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.last_input_ns) >= self.interval_ns
    }

    pub(crate) fn fire(&mut self, now_ns: u64) -> Due {
        self.next_ns = now_ns.saturating_add(self.interval_ns);
        let active = !self.is_silent(now_ns);
        let measured = self.rtt.is_some_and(|(_, at)| now_ns.saturating_sub(at) < RTT_VALID_NS);
        if active && measured {
            return Due::Nothing;
        }
        if self.outstanding + 1 > self.max_outstanding {
            return Due::Stale;
        }
        self.outstanding += 1;
        self.sent_ns = now_ns;
        Due::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_silent_client_is_pinged_then_stale() {
        let mut alive = KeepAlive::new(SECOND, 1, 0);
        alive.connected(0, 0);
        assert_eq!(alive.next_ns(), SECOND);
        assert_eq!(alive.fire(SECOND), Due::Ping);
        assert_eq!(alive.fire(2 * SECOND), Due::Stale);
    }

    #[test]
    fn a_measured_and_busy_client_is_left_alone_for_an_hour() {
        let mut alive = KeepAlive::new(120 * SECOND, 2, 0);
        alive.connected(0, 0);
        assert_eq!(alive.next_ns(), 2 * SECOND);
        assert_eq!(alive.fire(2 * SECOND), Due::Ping);
        alive.pong(2 * SECOND + 5);
        assert_eq!(alive.rtt_ns(), Some(5));
        alive.input(100 * SECOND);
        assert!(!alive.is_silent(219 * SECOND) && alive.is_silent(220 * SECOND));
        assert_eq!(alive.fire(122 * SECOND), Due::Nothing);
        alive.input(3700 * SECOND);
        assert_eq!(alive.fire(3701 * SECOND), Due::Ping);
    }
}
