//! What a consumer publishes about itself (jetstream.md 1.6).

use super::Consumer;
use super::pending::Entry;
use crate::ack_subject::AckToken;
use crate::advisory::{ADVISORY, Event, METRIC, wanted};
use crate::ctx::Ctx;

/// The two ends of a consumer's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// `CONSUMER.CREATED`
    Created,
    /// `CONSUMER.DELETED`
    Deleted,
}

impl Consumer {
    fn publish(
        &self,
        ctx: &mut Ctx<'_>,
        prefix: &str,
        event: &str,
        kind: &str,
        fill: impl FnOnce(Event) -> Event,
    ) {
        let scope = ctx.scope;
        let subject = format!("{prefix}CONSUMER.{event}.{}.{}", scope.stream, self.name);
        if !wanted(ctx.host, &scope.account, &subject) {
            return;
        }
        let head = if prefix == METRIC {
            Event::metric(ctx.host, ctx.now, kind)
        } else {
            Event::advisory(ctx.host, ctx.now, kind)
        };
        let head = head.text("stream", &scope.stream).text("consumer", &self.name);
        fill(head).send(ctx.host, &scope.account, scope.domain.as_deref(), &subject);
    }

    /// Announces that the consumer was made or removed.
    pub fn announce(&self, ctx: &mut Ctx<'_>, life: Life) {
        let (event, action) = match life {
            Life::Created => ("CREATED", "create"),
            Life::Deleted => ("DELETED", "delete"),
        };
        self.publish(ctx, ADVISORY, event, "consumer_action", |e| e.text("action", action));
    }

    /// A client was pinned.
    pub(super) fn advise_pinned(&self, ctx: &mut Ctx<'_>, group: &str, id: &str) {
        self.publish_pin(ctx, "PINNED", "consumer_group_pinned", group, ("pinned_id", id));
    }

    /// Nobody is pinned any more, and why.
    pub(super) fn advise_unpinned(&self, ctx: &mut Ctx<'_>, group: &str, reason: &str) {
        self.publish_pin(ctx, "UNPINNED", "consumer_group_unpinned", group, ("reason", reason));
    }

    fn publish_pin(
        &self,
        ctx: &mut Ctx<'_>,
        event: &str,
        kind: &str,
        group: &str,
        (key, value): (&str, &str),
    ) {
        let scope = ctx.scope;
        let subject = format!("{ADVISORY}CONSUMER.{event}.{}.{}", scope.stream, self.name);
        if wanted(ctx.host, &scope.account, &subject) {
            Event::advisory(ctx.host, ctx.now, kind)
                .text("account", &scope.account)
                .text("stream", &scope.stream)
                .text("consumer", &self.name)
                .text("group", group)
                .text(key, value)
                .send(ctx.host, &scope.account, scope.domain.as_deref(), &subject);
        }
    }

    pub(super) fn advise_max_deliver(&self, ctx: &mut Ctx<'_>, entry: &Entry) {
        self.publish(ctx, ADVISORY, "MAX_DELIVERIES", "max_deliver", |event| {
            event.number("stream_seq", entry.seq).number("deliveries", u64::from(entry.count))
        });
    }

    pub(super) fn advise_nak(&self, ctx: &mut Ctx<'_>, token: &AckToken) {
        self.publish(ctx, ADVISORY, "MSG_NAKED", "nak", |event| {
            event
                .number("consumer_seq", token.consumer_seq)
                .number("stream_seq", token.stream_seq)
                .number("deliveries", token.deliveries)
        });
    }

    pub(super) fn advise_terminated(&self, ctx: &mut Ctx<'_>, token: &AckToken, reason: &str) {
        self.publish(ctx, ADVISORY, "MSG_TERMINATED", "terminated", |event| {
            event
                .number("consumer_seq", token.consumer_seq)
                .number("stream_seq", token.stream_seq)
                .number("deliveries", token.deliveries)
                .text_if("reason", reason)
        });
    }

    pub(super) fn advise_deleted(&self, ctx: &mut Ctx<'_>, entry: &Entry) {
        let token = AckToken {
            deliveries: u64::from(entry.count),
            stream_seq: entry.seq,
            consumer_seq: entry.cseq,
            time_ns: 0,
            pending: 0,
        };
        self.advise_terminated(ctx, &token, "Unacknowledged message was deleted");
    }

    pub(super) fn advise_pause(&self, ctx: &mut Ctx<'_>, paused: bool, until: i64) {
        self.publish(ctx, ADVISORY, "PAUSE", "consumer_pause", |event| {
            event.flag("paused", paused).time("pause_until", until)
        });
    }

    /// The ack metric, for the sampled percentage of acks.
    pub(super) fn sample(&self, ctx: &mut Ctx<'_>, token: &AckToken, entry: &Entry) {
        if self.sample == 0 || ctx.host.random() % 100 >= u64::from(self.sample) {
            return;
        }
        let waited = self.state.mono(ctx.now.unix_ns).saturating_sub(entry.at).max(0);
        self.publish(ctx, METRIC, "ACK", "consumer_ack", |event| {
            event
                .number("consumer_seq", token.consumer_seq)
                .number("stream_seq", token.stream_seq)
                .number("ack_time", waited.unsigned_abs())
                .number("deliveries", token.deliveries)
        });
    }
}
