//! How fast messages leave: the rate limit of push consumers and `replay_policy: original`
//! (jetstream.md 3.8).

use super::config::{Config, ReplayPolicy};
use super::deliver::Picked;
use crate::ctx::Ctx;

/// A limit in bytes per second, kept as the time at which all that was sent is paid for.
#[derive(Debug, Clone, Copy)]
struct Rate {
    bytes_per_second: u64,
    paid_at: u64,
}

impl Rate {
    fn cost(&self, size: usize) -> u64 {
        let ns = size as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// When a message of `size` may leave while `burst` bytes may leave at once; a message larger
    /// than that leaves alone.
    fn ready_at(&self, size: usize, burst: usize) -> u64 {
        let after = self.paid_at.saturating_add(self.cost(size));
        let earliest = after.saturating_sub(self.cost(burst));
        earliest.min(self.paid_at)
    }

    fn sent(&mut self, size: usize, now: u64) {
        self.paid_at = self.paid_at.max(now).saturating_add(self.cost(size));
    }
}

/// Holds messages back until their time has come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// Messages up to this sequence keep the gaps that they were stored with.
    replay_until: u64,
    /// Stored time and delivery time of the last replayed message.
    replayed: Option<(i64, u64)>,
    /// Monotonic time at which the next message may leave; 0 when it need not wait.
    ready_at: u64,
}

impl Pace {
    pub(super) fn new(config: &Config) -> Self {
        let mut pace = Self::default();
        pace.set_rate(config);
        pace
    }

    /// Takes over a changed limit; what was sent stays paid for.
    pub(super) fn set_rate(&mut self, config: &Config) {
        let bytes_per_second = (config.rate_limit_bps / 8).max(1);
        let paid_at = self.rate.map_or(0, |rate| rate.paid_at);
        self.rate = (config.rate_limit_bps > 0).then_some(Rate { bytes_per_second, paid_at });
    }

    /// Replays what is stored up to `last`, if the configuration asks for it.
    pub(super) fn replay(&mut self, config: &Config, last: u64) {
        let original = config.replay_policy == ReplayPolicy::Original;
        self.replay_until = if original { last } else { 0 };
    }

    fn is_replayed(&self, picked: &Picked) -> bool {
        picked.count == 0 && picked.message.seq() <= self.replay_until
    }

    /// True when this message may leave now; else [`deadline`](Self::deadline) says when.
    pub(super) fn allows(&mut self, picked: &Picked, size: usize, ctx: &Ctx<'_>) -> bool {
        let now = ctx.now.mono_ns;
        let rate = self.rate.map_or(0, |rate| rate.ready_at(size, ctx.burst));
        let replay = match self.replayed {
            Some((stored, sent)) if self.is_replayed(picked) => {
                let gap = picked.message.time().saturating_sub(stored).max(0);
                sent.saturating_add(gap.unsigned_abs())
            }
            _ => 0,
        };
        let ready_at = rate.max(replay);
        self.ready_at = if ready_at > now { ready_at } else { 0 };
        self.ready_at == 0
    }

    pub(super) fn sent(&mut self, picked: &Picked, size: usize, now: u64) {
        if let Some(rate) = &mut self.rate {
            rate.sent(size, now);
        }
        if self.is_replayed(picked) {
            self.replayed = Some((picked.message.time(), now));
        }
    }

    /// When the message that was held back may leave.
    pub(super) fn deadline(&self) -> Option<u64> {
        (self.ready_at > 0).then_some(self.ready_at)
    }

    /// The time of the message that was held back has come, or it is picked anew.
    pub(super) fn clear(&mut self) {
        self.ready_at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_allows_a_burst() {
        let mut rate = Rate { bytes_per_second: 2_000, paid_at: 0 };
        let mut now = 10_000_000_000;
        for _ in 0..10 {
            now = now.max(rate.ready_at(1_010, 2_000));
            rate.sent(1_010, now);
        }
        // Ten messages of 1010 bytes, 2000 of them at once, the rest at 2000 per second.
        assert_eq!(now - 10_000_000_000, 4_050_000_000);
        // Larger than the burst: as soon as all before is paid for.
        assert_eq!(rate.ready_at(1 << 20, 2_000), rate.paid_at);
    }
}
