//! Totals of the server.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start. Each is added to at most once per read buffer.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Messages from clients.
    pub in_msgs: AtomicU64,
    /// Bytes (headers and payload) from clients.
    pub in_bytes: AtomicU64,
    /// Messages to clients that are closed by now; live ones keep their own.
    pub out_msgs_closed: AtomicU64,
    /// Bytes to clients that are closed by now.
    pub out_bytes_closed: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections closed because they did not read fast enough.
    pub slow_consumers: AtomicU64,
    /// Connections closed because they did not answer PINGs.
    pub stale: AtomicU64,
    /// Times a producer paused for a nearly full target.
    pub stalls: AtomicU64,
}

impl Stats {
    pub(crate) fn count_in(&self, msgs: u64, bytes: u64) {
        if msgs > 0 {
            self.in_msgs.fetch_add(msgs, Ordering::Relaxed);
            self.in_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}
