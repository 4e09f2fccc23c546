//! How the connection is doing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::connect::Link;
use crate::event::ConnState;

/// How well a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthLevel {
    /// Connected, and the server answers.
    Up,
    /// Connected, and the server did not answer in time.
    Degraded,
    /// Not connected.
    Down,
}

/// The answer of [`Connector::health`](crate::Connector::health).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// The short answer.
    pub level: HealthLevel,
    /// Where the connection stands.
    pub state: ConnState,
    /// The time of a round trip just made.
    pub rtt: Option<Duration>,
    /// The server of the present or last connection.
    pub server: Option<String>,
    /// Whether the server has JetStream, as it said when the connection was made.
    pub jetstream: Option<bool>,
    /// The last error of an attempt or from the server.
    pub last_error: Option<String>,
}

/// Counts since the connector was built.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Messages received.
    pub in_msgs: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Messages sent.
    pub out_msgs: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Connections made after the first.
    pub reconnects: u64,
    /// Messages that wait for a connection.
    pub unsent: u64,
    /// Outgoing messages dropped for want of room.
    pub dropped_out: u64,
    /// Incoming messages dropped because a reader was too slow.
    pub dropped_in: u64,
    /// Each open subscription.
    pub subscriptions: Vec<SubscriptionStats>,
}

/// Counts of one subscription.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Its subject.
    pub subject: String,
    /// Its queue group.
    pub queue: Option<String>,
    /// Messages received, the dropped ones included.
    pub received: u64,
    /// Messages dropped because the reader was too slow.
    pub dropped: u64,
    /// Messages that wait for the reader.
    pub pending: usize,
}

pub(crate) async fn health(link: &Link, limit: Duration) -> Health {
    let connected = matches!(link.state(), ConnState::Connected | ConnState::Draining);
    let rtt = if connected { super::round_trip(link, limit).await.ok() } else { None };
    let state = link.state();
    let connected = matches!(state, ConnState::Connected | ConnState::Draining);
    let level = match rtt {
        Some(_) if connected => HealthLevel::Up,
        _ if connected => HealthLevel::Degraded,
        _ => HealthLevel::Down,
    };
    let server = link.server_label();
    Health {
        level,
        state,
        rtt,
        server: (!server.is_empty()).then_some(server),
        jetstream: link
            .client()
            .ok()
            .and_then(async_nats::Client::try_server_info)
            .map(|info| info.jetstream),
        last_error: link.last_error(),
    }
}

pub(crate) fn stats(link: &Link) -> Stats {
    let subscriptions = link.subscriptions.stats();
    let mut stats = Stats {
        reconnects: link.reconnects.load(Ordering::Relaxed),
        unsent: link.outbox.len(),
        dropped_out: link.outbox.dropped(),
        dropped_in: link.subscriptions.dropped(),
        subscriptions,
        ..Stats::default()
    };
    if let Ok(client) = link.client() {
        let counts = client.statistics();
        stats.in_msgs = counts.in_messages.load(Ordering::Relaxed);
        stats.in_bytes = counts.in_bytes.load(Ordering::Relaxed);
        stats.out_msgs = counts.out_messages.load(Ordering::Relaxed);
        stats.out_bytes = counts.out_bytes.load(Ordering::Relaxed);
    }
    stats
}
