//! Pausing (jetstream.md 3.11): no deliveries before a time; requests wait, heartbeats go on.

use serde::Serialize;

use super::Consumer;
use crate::ctx::Ctx;
use crate::json::with::stamp;
use crate::time::Now;

/// The answer to a pause request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// Whether deliveries are held back.
    pub paused: bool,
    /// The time asked for, nanoseconds since 1970; 0 for none.
    #[serde(with = "stamp")]
    pub pause_until: i64,
    /// Nanoseconds until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_remaining: Option<i64>,
}

impl Consumer {
    /// Holds deliveries back until `until`; a time that has passed, or none, resumes. The stream
    /// stores the changed configuration, and calls [`pump`](Consumer::pump) afterwards.
    pub fn pause(&mut self, ctx: &mut Ctx<'_>, until: Option<i64>) -> Paused {
        // A time that has passed is kept and echoed, too (nats-server 2.15.1).
        let before = std::mem::replace(&mut self.config.pause_until, until);
        let remaining =
            until.map(|until| until.saturating_sub(ctx.now.unix_ns)).filter(|ns| *ns > 0);
        self.pausing = remaining.is_some();
        self.config.stamp_level();
        if until != before {
            self.advise_pause(ctx, self.pausing, until.unwrap_or(0));
        }
        Paused { paused: self.pausing, pause_until: until.unwrap_or(0), pause_remaining: remaining }
    }

    /// Says that it is paused, if it is: who creates or updates it cannot change that, and hears of it
    /// (nats-server 2.15.1).
    pub(crate) fn recall_pause(&self, ctx: &mut Ctx<'_>) {
        if let Some(until) = self.config.pause_until.filter(|until| *until > ctx.now.unix_ns) {
            self.advise_pause(ctx, true, until);
        }
    }

    /// When the pause ends, monotonic nanoseconds.
    pub(super) fn pause_ends(&self) -> Option<u64> {
        let until = self.config.pause_until.filter(|_| self.pausing)?;
        Some(self.state.mono(until).max(0).unsigned_abs())
    }

    /// Says that the pause is over, once.
    pub(super) fn end_pause(&mut self, ctx: &mut Ctx<'_>) {
        if self.pausing && !self.is_paused(ctx.now) {
            self.pausing = false;
            self.roused = true;
            self.advise_pause(ctx, false, self.config.pause_until.unwrap_or(0));
        }
    }

    pub(super) fn is_paused(&self, now: Now) -> bool {
        self.config.pause_until.is_some_and(|until| until > now.unix_ns)
    }
}
