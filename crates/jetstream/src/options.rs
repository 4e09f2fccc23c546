//! Settings of the whole engine.

use std::sync::Arc;

use jiff::tz::TimeZone;
use natterjack_store::SyncPolicy;

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
    /// The largest duplicate window, nanoseconds.
    pub duplicate_window: Option<i64>,
    /// The largest `max_ack_pending` of a consumer, and its default.
    pub max_ack_pending: Option<i64>,
    /// The largest `max_batch` of a pull consumer, and its default.
    pub max_request_batch: Option<i64>,
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
            duplicate_window: None,
            max_ack_pending: None,
            max_request_batch: None,
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
