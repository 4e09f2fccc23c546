//! Deliveries to a subject: interest, heartbeats, pace (jetstream.md 3.8).

use super::Consumer;
use super::config::{Config, ReplayPolicy};
use super::deliver::{Budget, Pick, Picked};
use super::flow::Flow;
use crate::ctx::Ctx;
use crate::host::{Delivered, Outgoing};
use crate::time::Now;

/// What the rate limit lets through at once, as time: a second's worth.
const BURST_NS: u64 = 1_000_000_000;

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

    /// When a message of `size` may leave; a message larger than the burst leaves alone.
    fn ready_at(&self, size: usize) -> u64 {
        let earliest = self.paid_at.saturating_add(self.cost(size)).saturating_sub(BURST_NS);
        earliest.min(self.paid_at)
    }

    fn sent(&mut self, size: usize, now: u64) {
        self.paid_at = self.paid_at.max(now).saturating_add(self.cost(size));
    }
}

/// The part of a consumer that only push consumers use.
#[derive(Debug)]
pub(super) struct Push {
    /// Somebody listens on the deliver subject, in the right group.
    pub(super) active: bool,
    /// Monotonic time of the next heartbeat.
    beat_at: u64,
    pub(super) flow: Flow,
    rate: Option<Rate>,
    /// Replay keeps the pace of messages up to this sequence.
    pub(super) replay_until: u64,
    /// Stored time and delivery time of the last replayed message.
    replayed: Option<(i64, u64)>,
    /// Monotonic time at which pace allows the next message; 0 when it allows it now.
    ready_at: u64,
}

impl Push {
    pub(super) fn new(config: &Config) -> Self {
        let mut push = Self {
            active: false,
            beat_at: 0,
            flow: Flow::new(config.flow_control),
            rate: None,
            replay_until: 0,
            replayed: None,
            ready_at: 0,
        };
        push.set_rate(config);
        push
    }

    pub(super) fn set_rate(&mut self, config: &Config) {
        let bytes_per_second = config.rate_limit_bps / 8;
        self.rate = match (config.rate_limit_bps, self.rate) {
            (0, _) => None,
            (_, Some(rate)) => Some(Rate { bytes_per_second: bytes_per_second.max(1), ..rate }),
            (_, None) => Some(Rate { bytes_per_second: bytes_per_second.max(1), paid_at: 0 }),
        };
    }

    /// Interest came or went. A new subscriber owes no answer to an old flow-control request.
    pub(super) fn activity(&mut self, active: bool, now: Now) {
        self.active = active;
        self.flow.restart();
        self.beat_at = now.mono_ns;
    }

    pub(super) fn next_deadline(&self, config: &Config, parked: bool) -> Option<u64> {
        if !self.active {
            return None;
        }
        let beat = (config.idle_heartbeat > 0).then(|| self.beat_due(config));
        let ready = (self.ready_at > 0 && !parked).then_some(self.ready_at);
        beat.into_iter().chain(ready).min()
    }

    fn beat_due(&self, config: &Config) -> u64 {
        self.beat_at.saturating_add(config.idle_heartbeat.max(0).unsigned_abs())
    }
}

impl Consumer {
    pub(super) fn pump_push(&mut self, ctx: &mut Ctx<'_>, budget: &mut Budget) -> bool {
        self.push.ready_at = 0;
        while self.push.active && !self.push.flow.is_stalled() {
            if budget.is_spent() {
                return true;
            }
            let Pick::Message(picked) = self.pick(ctx) else { return false };
            let size = self.prepare(ctx, &picked);
            let ready_at = self.pace(&picked, size);
            if ready_at > ctx.now.mono_ns {
                self.push.ready_at = ready_at;
                return false;
            }
            if self.emit(ctx, &picked, None) == Delivered::No {
                self.set_active(false, ctx.now);
                return false;
            }
            self.push_sent(ctx, &picked, size);
            budget.spend(size);
            if self.parked {
                return false;
            }
        }
        false
    }

    /// True for a message that is replayed at the pace at which it was stored.
    fn is_replayed(&self, picked: &Picked) -> bool {
        self.config.replay_policy == ReplayPolicy::Original
            && picked.count == 0
            && picked.message.seq <= self.push.replay_until
    }

    /// When pace allows this message.
    fn pace(&self, picked: &Picked, size: usize) -> u64 {
        let rate = self.push.rate.map_or(0, |rate| rate.ready_at(size));
        let replay = match self.push.replayed {
            Some((stored, sent)) if self.is_replayed(picked) => {
                let gap = picked.message.time.saturating_sub(stored).max(0);
                sent.saturating_add(gap.unsigned_abs())
            }
            _ => 0,
        };
        rate.max(replay)
    }

    fn push_sent(&mut self, ctx: &mut Ctx<'_>, picked: &Picked, size: usize) {
        let now = ctx.now.mono_ns;
        self.push.beat_at = now;
        if let Some(rate) = &mut self.push.rate {
            rate.sent(size, now);
        }
        if self.is_replayed(picked) {
            self.push.replayed = Some((picked.message.time, now));
        }
        self.push.flow.sent(size);
        self.ask_flow(ctx);
    }

    /// Sends the heartbeat when it is due.
    pub(super) fn tick_push(&mut self, ctx: &mut Ctx<'_>) {
        let due = self.config.idle_heartbeat > 0
            && self.push.active
            && self.push.beat_due(&self.config) <= ctx.now.mono_ns;
        if due {
            self.push.beat_at = ctx.now.mono_ns;
            let beat = self.heartbeat(self.stalled_subject().as_deref());
            if self.send_status(ctx, &beat, None) == Delivered::No {
                self.set_active(false, ctx.now);
            }
        }
    }

    /// Sends a header block to the deliver subject.
    pub(super) fn send_status(
        &mut self,
        ctx: &mut Ctx<'_>,
        headers: &[u8],
        reply: Option<&[u8]>,
    ) -> Delivered {
        let subject = self.config.deliver_subject.as_bytes();
        ctx.host.deliver(&Outgoing {
            account: &ctx.scope.account,
            route: subject,
            queue: self.group(),
            subject,
            reply,
            headers,
            payload: &[],
        })
    }

    /// A sign of life with the last sequences delivered or skipped, for a client to notice what it missed.
    pub(super) fn heartbeat(&self, stalled: Option<&str>) -> Vec<u8> {
        let (consumer, stream) = (self.state.consumer_seq, self.state.next.saturating_sub(1));
        let mut text = format!(
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {consumer}\r\nNats-Last-Stream: {stream}\r\n"
        );
        if let Some(subject) = stalled {
            text.push_str("Nats-Consumer-Stalled: ");
            text.push_str(subject);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_allows_a_burst_of_a_second() {
        let mut rate = Rate { bytes_per_second: 2_000, paid_at: 0 };
        let mut now = 10_000_000_000;
        for _ in 0..10 {
            now = now.max(rate.ready_at(1_010));
            rate.sent(1_010, now);
        }
        // Ten messages of 1010 bytes, 2000 of them at once, the rest at 2000 per second.
        assert_eq!(now - 10_000_000_000, 4_050_000_000);
        // Larger than the burst: as soon as all before is paid for.
        assert_eq!(rate.ready_at(1 << 20), rate.paid_at);
    }
}
