//! Settings of the whole engine.

use std::sync::Arc;

use natterjack_store::SyncPolicy;

/// What the server's configuration says about JetStream. `None` is unlimited.
#[derive(Debug, Clone)]
pub struct Options {
    /// The domain, shown in answers and part of long ack subjects.
    pub domain: Option<Arc<str>>,
    /// The server's name.
    pub server_name: Arc<str>,
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
    /// Unknown fields in requests are errors (`strict`, on by default).
    pub strict: bool,
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
            server_version: "2.15.1".into(),
            max_memory: None,
            max_file: None,
            duplicate_window: None,
            max_ack_pending: None,
            max_request_batch: None,
            strict: true,
            sync: SyncPolicy::Always,
            tail_bytes: 4 << 20,
            block_bytes: 2 << 20,
        }
    }
}
