//! Acknowledgements (jetstream.md 3.5).

use serde::Deserialize;

use super::Consumer;
use super::config::AckPolicy;
use super::pending::Entry;
use super::state::Settled;
use crate::ack_subject::AckToken;
use crate::ctx::Ctx;
use crate::json::{decode, duration};
use crate::time::parse_go_duration;

/// What the body of an ack asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict<'a> {
    Ack,
    /// With what follows, a delay if it can be read as one.
    Nak(&'a [u8]),
    InProgress,
    /// With the reason.
    Term(&'a [u8]),
    /// Ack, and a pull request.
    Next(&'a [u8]),
    /// Ignored, but answered.
    Unknown,
}

impl<'a> Verdict<'a> {
    fn read(body: &'a [u8]) -> Self {
        match body {
            b"" | b"+ACK" | b"+OK" => return Self::Ack,
            b"+WPI" => return Self::InProgress,
            _ => {}
        }
        if let Some(rest) = body.strip_prefix(b"-NAK") {
            Self::Nak(rest)
        } else if let Some(rest) = body.strip_prefix(b"+TERM") {
            Self::Term(rest)
        } else if let Some(rest) = body.strip_prefix(b"+NXT") {
            Self::Next(rest.trim_ascii())
        } else {
            Self::Unknown
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "ConsumerNakOptions")]
struct NakOptions {
    #[serde(with = "duration")]
    delay: i64,
}

/// The delay of a NAK in nanoseconds; what cannot be read is no delay.
fn nak_delay(text: &[u8]) -> i64 {
    let text = text.trim_ascii();
    if text.first() == Some(&b'{') {
        return decode::<NakOptions>(text, false).map_or(0, |options| options.delay);
    }
    std::str::from_utf8(text).ok().and_then(parse_go_duration).unwrap_or(0)
}

impl Consumer {
    /// Takes an ack. Its answer, an empty message, is pushed to `ctx.replies` and leaves when the
    /// note that follows is durable. False when clients expect "no responders": this consumer takes
    /// no acks.
    pub fn ack(
        &mut self,
        ctx: &mut Ctx<'_>,
        token: &AckToken,
        body: &[u8],
        reply: Option<&[u8]>,
    ) -> bool {
        if matches!(self.state.policy, AckPolicy::None | AckPolicy::FlowControl) {
            return false;
        }
        self.state.clock(ctx.now);
        // After a reset consumer sequences begin anew: they do not decide (nats-server 2.15.1).
        let settles = (1..self.state.next).contains(&token.stream_seq);
        match Verdict::read(body) {
            // Not delivered yet: no answer.
            Verdict::Ack | Verdict::Term(_) if !settles => return true,
            Verdict::Ack => self.acked(ctx, token),
            Verdict::Nak(rest) => self.nak(ctx, token, rest),
            Verdict::InProgress => {
                self.state.touch(token.stream_seq, ctx.now.unix_ns);
            }
            Verdict::Term(reason) => self.term(ctx, token, reason),
            Verdict::Next(request) => {
                if settles {
                    self.acked(ctx, token);
                }
                if let Some(reply) = reply {
                    self.pull(ctx, reply, request);
                }
                // The answer is what the request gets.
                return true;
            }
            Verdict::Unknown => {}
        }
        if let Some(reply) = reply {
            ctx.replies.push(reply);
        }
        true
    }

    fn acked(&mut self, ctx: &mut Ctx<'_>, token: &AckToken) {
        if let Some(entry) = self.settle(ctx, token) {
            self.sample(ctx, token, &entry);
        }
    }

    /// Settles as the policy says. Gives the entry of a message that was open.
    fn settle(&mut self, ctx: &mut Ctx<'_>, token: &AckToken) -> Option<Entry> {
        let (seq, now) = (token.stream_seq, ctx.now.unix_ns);
        if self.state.policy == AckPolicy::All {
            let entry = self.state.pending.get(seq).copied();
            // What was passed over behind the last delivery is not acknowledged with it.
            let seq = seq.min(self.state.delivered().stream);
            let cseq = token.consumer_seq.min(self.state.consumer_seq);
            self.state.settle_through(seq, cseq, now);
            return entry;
        }
        match self.state.settle(seq, now) {
            Settled::Open(entry) => Some(entry),
            Settled::Exhausted | Settled::Before => None,
        }
    }

    fn nak(&mut self, ctx: &mut Ctx<'_>, token: &AckToken, rest: &[u8]) {
        let Some(entry) = self.state.pending.get(token.stream_seq).copied() else { return };
        self.advise_nak(ctx, token);
        let delay = nak_delay(rest);
        if delay <= 0 {
            self.state.queue(entry.seq);
            return;
        }
        // As if it had been delivered so that its wait ends after the delay.
        let wait = self.state.pending.waits().after(entry.count);
        let began = ctx.now.unix_ns.saturating_add(delay).saturating_sub(wait);
        self.state.touch(entry.seq, began);
        self.state.last_delivered = ctx.now.unix_ns;
    }

    fn term(&mut self, ctx: &mut Ctx<'_>, token: &AckToken, reason: &[u8]) {
        // A terminated message is no measure of processing time: no sample.
        if self.settle(ctx, token).is_some() {
            let reason = String::from_utf8_lossy(reason.trim_ascii());
            self.advise_terminated(ctx, token, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_the_reference_reads_them() {
        for (body, expected) in [
            ("", Verdict::Ack),
            ("+ACK", Verdict::Ack),
            ("+OK", Verdict::Ack),
            ("+ACK x", Verdict::Unknown),
            ("ACK", Verdict::Unknown),
            ("-NAK 3s", Verdict::Nak(b" 3s")),
            ("+WPI", Verdict::InProgress),
            ("+TERMfoo", Verdict::Term(b"foo")),
            ("+NXT 5", Verdict::Next(b"5")),
        ] {
            assert_eq!(Verdict::read(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_delay_that_cannot_be_read_is_none() {
        for (text, ns) in [
            (r#" {"delay":200000000}"#, 200_000_000),
            (r#"{"delay":5}"#, 5),
            (" 300ms", 300_000_000),
            ("", 0),
            (" x", 0),
            (r#"{"delay":"x"}"#, 0),
        ] {
            assert_eq!(nak_delay(text.as_bytes()), ns, "{text}");
        }
    }
}
