//! Flow control of push consumers (jetstream.md 3.8, nats-server 2.15.1).
//!
//! When the bytes sent since the last answered request pass half of the window, the subscriber is
//! asked to confirm that it took them; beyond the window delivery stops. Each answer takes off what
//! was counted when it was asked for, and doubles the window up to its limit.

use super::Consumer;
use super::config::AckPolicy;
use crate::ctx::Ctx;
use crate::nuid;
use crate::stream::{headers, number};

const WINDOW: u64 = 2 << 20;
const WINDOW_MAX: u64 = 32 << 20;
const TOKEN: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Flow {
    on: bool,
    window: u64,
    outstanding: u64,
    /// The subject of the open request and the bytes it stands for.
    asked: Option<(String, u64)>,
}

impl Flow {
    pub(super) fn new(on: bool) -> Self {
        Self { on, window: WINDOW, ..Self::default() }
    }

    /// Forgets what was sent: it was sent to somebody else.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.on);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        if self.on {
            self.outstanding += bytes as u64;
        }
    }

    /// True when nothing may be sent before an answer.
    pub(super) fn is_stalled(&self) -> bool {
        self.on && self.outstanding > self.window
    }

    fn wants_answer(&self, full: bool) -> bool {
        self.on && self.asked.is_none() && (full || self.outstanding > self.window / 2)
    }

    fn answered(&mut self, token: &[u8]) -> bool {
        let is_latest = |(subject, _): &mut (String, u64)| {
            subject.rsplit('.').next().is_some_and(|asked| asked.as_bytes() == token)
        };
        match self.asked.take_if(is_latest) {
            Some((_, bytes)) => {
                self.outstanding = self.outstanding.saturating_sub(bytes);
                self.window = (self.window * 2).min(WINDOW_MAX);
                true
            }
            None => false,
        }
    }
}

impl Consumer {
    /// Asks for an answer when half of the window is used, or when nothing more may be delivered before
    /// one that acknowledges.
    pub(super) fn ask_flow(&mut self, ctx: &mut Ctx<'_>) {
        let max = usize::try_from(self.config.max_ack_pending).unwrap_or(usize::MAX);
        let full = self.acks_by_flow() && self.state.pending.len() >= max;
        if self.push.flow.wants_answer(full) {
            self.ask(ctx);
        }
    }

    /// Asks for an acknowledgement of what is open when nothing else comes (ADR-60).
    pub(super) fn ask_flow_idle(&mut self, ctx: &mut Ctx<'_>) {
        let open = self.acks_by_flow() && !self.state.pending.is_empty();
        if open && self.push.flow.wants_answer(true) {
            self.ask(ctx);
        }
    }

    fn acks_by_flow(&self) -> bool {
        self.state.policy == AckPolicy::FlowControl
    }

    fn ask(&mut self, ctx: &mut Ctx<'_>) {
        let token = nuid::text(TOKEN, || ctx.host.random());
        let subject = format!("$JS.FC.{}.{}.{token}", ctx.scope.stream, self.name);
        let request = b"NATS/1.0 100 FlowControl Request\r\n\r\n";
        self.send_status(ctx, request, Some(subject.as_bytes()));
        let flow = &mut self.push.flow;
        flow.asked = Some((subject, flow.outstanding));
    }

    /// The subject that a stalled subscriber has to answer on.
    pub(super) fn stalled_subject(&self) -> Option<String> {
        let flow = &self.push.flow;
        flow.asked.as_ref().filter(|_| flow.is_stalled()).map(|(subject, _)| subject.clone())
    }

    /// Takes the answer on `$JS.FC.<stream>.<consumer>.<token>`. An answer to any but the latest
    /// request is ignored. Where acks travel so, its headers say up to where all is stored (ADR-60).
    /// Call [`pump`](Consumer::pump) afterwards.
    pub fn flow_reply(&mut self, ctx: &mut Ctx<'_>, token: &[u8], block: &[u8]) {
        if !self.push.flow.answered(token) {
            return;
        }
        self.roused = true;
        if !self.acks_by_flow() {
            return;
        }
        let said = |name: &[u8]| headers::get(block, name).and_then(number).unwrap_or(0);
        let (stream, consumer) = (said(b"Nats-Last-Stream"), said(b"Nats-Last-Consumer"));
        self.state.clock(ctx.now);
        let ahead = stream >= self.state.next || consumer > self.state.consumer_seq;
        if !ahead && consumer > self.state.floor.consumer {
            self.state.settle_through(stream, consumer, ctx.now.unix_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_answer_counts_and_the_window_grows_to_its_limit() {
        let mut flow = Flow::new(true);
        flow.sent(1 << 20);
        assert!(!flow.wants_answer(false));
        assert!(flow.wants_answer(true));
        flow.sent(1);
        assert!(flow.wants_answer(false));
        flow.asked = Some(("$JS.FC.S.C.abcd".into(), flow.outstanding));
        flow.sent(1 << 20);
        assert!(flow.is_stalled() && !flow.wants_answer(true));
        assert!(!flow.answered(b"zzzz"));
        assert!(flow.answered(b"abcd") && !flow.answered(b"abcd"));
        assert!(!flow.is_stalled());
        assert_eq!((flow.outstanding, flow.window), (1 << 20, 4 << 20));
        for _ in 0..9 {
            flow.asked = Some(("$JS.FC.S.C.abcd".into(), 0));
            flow.answered(b"abcd");
        }
        assert_eq!(flow.window, WINDOW_MAX);
    }

    #[test]
    fn without_flow_control_nothing_stalls() {
        let mut flow = Flow::new(false);
        flow.sent(1 << 30);
        assert!(!flow.is_stalled() && !flow.wants_answer(true));
    }
}
