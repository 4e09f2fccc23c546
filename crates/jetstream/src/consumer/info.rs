//! What a consumer says about itself (jetstream.md 3.3).

use serde::Serialize;

use super::Consumer;
use super::config::Config;
use super::state::Pair;
use crate::ctx::Ctx;
use crate::json::with::stamp;

/// A consumer sequence with a stream sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The consumer sequence.
    pub consumer_seq: u64,
    /// The stream sequence.
    pub stream_seq: u64,
    /// When it last moved, nanoseconds since 1970; 0 before anything happened.
    #[serde(with = "stamp", skip_serializing_if = "is_never")]
    pub last_active: i64,
}

impl Position {
    fn new(pair: Pair, last_active: i64) -> Self {
        Self { consumer_seq: pair.consumer, stream_seq: pair.stream, last_active }
    }
}

/// The answer to `CONSUMER.INFO`, in the order of the reference's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerInfo {
    /// The stream.
    pub stream_name: String,
    /// The consumer.
    pub name: String,
    /// When it was created, nanoseconds since 1970.
    #[serde(with = "stamp")]
    pub created: i64,
    /// Its configuration.
    pub config: Config,
    /// The last message delivered.
    pub delivered: Position,
    /// Everything at or below is settled.
    pub ack_floor: Position,
    /// Delivered and unsettled messages.
    pub num_ack_pending: usize,
    /// Messages delivered more than once and still open.
    pub num_redelivered: usize,
    /// Pull requests with batch left.
    pub num_waiting: usize,
    /// Matching messages not delivered once.
    pub num_pending: u64,
    /// Somebody listens on the deliver subject.
    #[serde(skip_serializing_if = "is_false")]
    pub push_bound: bool,
    /// Deliveries are held back.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// For how many nanoseconds more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_remaining: Option<i64>,
    /// The time of the answer, nanoseconds since 1970.
    #[serde(with = "stamp")]
    pub ts: i64,
    /// The first priority group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_groups: Option<[GroupInfo; 1]>,
}

/// A priority group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupInfo {
    /// Its name.
    pub group: String,
    /// The id of the client that is pinned; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    /// When a client was pinned, nanoseconds since 1970; 0 for none.
    #[serde(with = "stamp")]
    pub pinned_ts: i64,
}

fn is_never(time: &i64) -> bool {
    *time == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Consumer {
    /// The consumer's state. `server` is the API level and version that single answers show in the
    /// metadata; lists pass `None` and show the stored configuration.
    pub fn info(&mut self, ctx: &mut Ctx<'_>, server: Option<(u32, &str)>) -> ConsumerInfo {
        self.start(ctx);
        self.drop_uninterested(ctx);
        let state = &self.state;
        let mut delivered = state.delivered();
        if delivered == Pair::default() && self.is_memory(ctx) {
            // Of what it keeps nowhere nats-server 2.15.1 shows what it passed over, until it delivers.
            delivered.stream = state.next.saturating_sub(1);
        }
        let now = ctx.now.unix_ns;
        let remaining =
            self.config.pause_until.map(|until| until.saturating_sub(now)).filter(|ns| *ns > 0);
        ConsumerInfo {
            stream_name: ctx.scope.stream.to_string(),
            name: self.name.clone(),
            created: self.created,
            config: match server {
                Some((level, version)) => self.config.shown(level, version),
                None => self.config.clone(),
            },
            delivered: Position::new(delivered, state.last_delivered),
            ack_floor: Position::new(state.floor, state.last_acked),
            num_ack_pending: state.pending.len(),
            num_redelivered: state.redelivered(),
            num_waiting: self.requests.len(),
            num_pending: self.num_pending(ctx),
            push_bound: self.push.active,
            paused: remaining.is_some(),
            pause_remaining: remaining,
            ts: now,
            priority_groups: self.config.priority_groups.first().map(|group| {
                let pin = self.pin.as_deref();
                [GroupInfo {
                    group: group.clone(),
                    pinned_client_id: pin.map_or_else(String::new, |pin| pin.id().to_owned()),
                    pinned_ts: pin.map_or(0, |pin| pin.since),
                }]
            }),
        }
    }
}
