//! Deliveries to a subject: interest and heartbeats (jetstream.md 3.8).

use super::Consumer;
use super::config::Config;
use super::deliver::{Budget, Lull, Pick};
use super::flow::Flow;
use crate::ctx::Ctx;
use crate::host::{Delivered, Outgoing};
use crate::time::Now;

/// The part of a consumer that only push consumers use.
#[derive(Debug)]
pub(super) struct Push {
    /// Somebody listens on the deliver subject, in the right group.
    pub(super) active: bool,
    /// Monotonic time of the next heartbeat.
    beat_at: u64,
    pub(super) flow: Flow,
}

impl Push {
    pub(super) fn new(config: &Config) -> Self {
        Self { active: false, beat_at: 0, flow: Flow::new(config.flow_control) }
    }

    /// Interest came or went. A new subscriber owes no answer to an old flow-control request.
    pub(super) fn activity(&mut self, active: bool, now: Now) {
        self.active = active;
        self.flow.restart();
        self.beat_at = now.mono_ns;
    }

    pub(super) fn next_deadline(&self, config: &Config) -> Option<u64> {
        (self.active && config.idle_heartbeat > 0).then(|| self.beat_due(config))
    }

    fn beat_due(&self, config: &Config) -> u64 {
        self.beat_at.saturating_add(config.idle_heartbeat.max(0).unsigned_abs())
    }
}

impl Consumer {
    pub(super) fn pump_push(&mut self, ctx: &mut Ctx<'_>, budget: &mut Budget) -> bool {
        while self.push.active && !self.push.flow.is_stalled() {
            if budget.is_spent() {
                return true;
            }
            let Pick::Message(picked) = self.pick(ctx) else { return false };
            let size = self.prepare(ctx, &picked);
            if !self.pace.allows(&picked, size, ctx) {
                self.lull = Lull::Held;
                return false;
            }
            let delivered = self.emit(ctx, &picked, size, None);
            if delivered == Delivered::No {
                self.set_active(false, ctx.now);
                return false;
            }
            self.parked = delivered == Delivered::Congested;
            self.push.beat_at = ctx.now.mono_ns;
            self.push.flow.sent(size);
            self.ask_flow(ctx);
            budget.spend(size);
            if self.parked {
                return false;
            }
        }
        false
    }

    /// Sends the heartbeat when it is due.
    pub(super) fn tick_push(&mut self, ctx: &mut Ctx<'_>) {
        let due = self.config.idle_heartbeat > 0
            && self.push.active
            && self.push.beat_due(&self.config) <= ctx.now.mono_ns;
        if due {
            self.push.beat_at = ctx.now.mono_ns;
            self.roused = true;
            let beat = self.heartbeat(self.stalled_subject().as_deref());
            if self.send_status(ctx, &beat, None) == Delivered::No {
                self.set_active(false, ctx.now);
                return;
            }
            self.ask_flow_idle(ctx);
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
