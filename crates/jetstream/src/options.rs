//! Settings of the whole engine.

use std::sync::Arc;

use jiff::tz::TimeZone;
use natterjack_store::SyncPolicy;

/// What bounds open batches, atomic ones and fast ones; `None` is the default of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchLimits {
    /// Open batches of one stream: 50 atomic ones, 1,000 fast ones.
    pub per_stream: Option<u64>,
    /// Open batches of the server: 1,000 atomic ones of one account, 50,000 fast ones.
    pub total: Option<u64>,
    /// Messages of an atomic batch: 1,000.
    pub messages: Option<u64>,
    /// How long a batch waits for its next message, nanoseconds: ten seconds.
    pub timeout_ns: Option<u64>,
}

/// What the configuration sets and a reload changes. `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// The largest duplicate window, nanoseconds.
    pub duplicate_window: Option<i64>,
    /// The largest `max_ack_pending` of a consumer, and its default.
    pub max_ack_pending: Option<i64>,
    /// The largest `max_batch` of a pull consumer, and its default.
    pub max_request_batch: Option<i64>,
    /// Consumers of a stream where neither it nor its account says how many: 0 is the default, 1,000, and
    /// a negative number any.
    pub default_max_consumers: i64,
    /// Open batches.
    pub batch: BatchLimits,
}

/// Consumers of a stream where nobody says how many (nats-server 2.15.1).
pub const DEFAULT_MAX_CONSUMERS: i64 = 1000;

impl ServerLimits {
    /// How many consumers a stream may have: the lower limit of its own and its account's (nats-server
    /// 2.15.1), or else the server's; `None` for any number.
    pub(crate) fn consumers_max(&self, own: i64, account: Option<u64>) -> Option<u64> {
        let own = u64::try_from(own).ok();
        let least = own.into_iter().chain(account).filter(|max| *max > 0).min();
        least.or_else(|| match self.default_max_consumers {
            0 => u64::try_from(DEFAULT_MAX_CONSUMERS).ok(),
            max => u64::try_from(max).ok(),
        })
    }
}

/// What the server's configuration says about JetStream. `None` is unlimited.
#[derive(Debug, Clone)]
pub struct Options {
    /// The domain, shown in answers and part of long ack subjects.
    pub domain: Option<Arc<str>>,
    /// The server's name.
    pub server_name: Arc<str>,
    /// The server's id, for advisories.
    pub server_id: Arc<str>,
    /// The version that clients see.
    pub server_version: Arc<str>,
    /// Bytes for memory streams of all accounts together.
    pub max_memory: Option<u64>,
    /// Bytes for file streams of all accounts together.
    pub max_file: Option<u64>,
    /// What a reload may change.
    pub limits: ServerLimits,
    /// The time zone of the server, which schedules know as `Local`.
    pub zone: TimeZone,
    /// Unknown fields in requests are errors (`strict`, on by default).
    pub strict: bool,
    /// Changes of streams and consumers that wait for the disk at a time (`request_queue_limit`).
    pub requests_max: usize,
    /// Reads that wait in one stream (`info_queue_limit`).
    pub reads_max: usize,
    /// Answers that wait in one stream for the disk (`max_buffered_msgs`).
    pub buffered_msgs: usize,
    /// Bytes of what is not on disk yet and of answers that wait for it, in one stream
    /// (`max_buffered_size`).
    pub buffered_bytes: usize,
    /// When what is stored is durable (`sync_interval`); by default before it is acknowledged.
    pub sync: SyncPolicy,
    /// Bytes of the newest records of each file stream that are kept in memory for reading.
    pub tail_bytes: usize,
    /// Bytes of older blocks of each file stream that are kept in memory for reading.
    pub block_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            domain: None,
            server_name: "natterjack".into(),
            server_id: "".into(),
            server_version: "2.15.1".into(),
            max_memory: None,
            max_file: None,
            limits: ServerLimits::default(),
            zone: TimeZone::UTC,
            strict: true,
            requests_max: 10_000,
            reads_max: 10_000,
            buffered_msgs: 100_000,
            buffered_bytes: 128 << 20,
            sync: SyncPolicy::Always,
            tail_bytes: 4 << 20,
            block_bytes: 2 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_says_how_many_consumers_where_nobody_else_does() {
        for (own, account, server, expected) in [
            (-1, None, 0, Some(1000)),
            (0, Some(0), 0, Some(1000)),
            (-1, None, -1, None),
            (-1, None, 3, Some(3)),
            (4, None, 3, Some(4)),
            (-1, Some(5), 3, Some(5)),
            (4, Some(5), 3, Some(4)),
            (6, Some(5), -1, Some(5)),
        ] {
            let limits = ServerLimits { default_max_consumers: server, ..ServerLimits::default() };
            assert_eq!(limits.consumers_max(own, account), expected, "{own} {account:?} {server}");
        }
    }
}
