//! The connections that ended lately, for `/connz?state=closed`.

use std::collections::VecDeque;
use std::sync::Arc;

use natterjack_proto::error::ClosedReason;

use crate::connection_info::{ConnectionInfo, Details};

/// A connection that ended.
#[derive(Clone)]
pub(crate) struct ClosedConnection {
    /// Its id.
    pub cid: u64,
    /// Where it came from.
    pub peer: std::net::SocketAddr,
    /// When it came and when it ended, in nanoseconds since 1970.
    pub start_unix_ns: i64,
    /// See above.
    pub stop_unix_ns: i64,
    /// When it last sent something.
    pub active_unix_ns: i64,
    /// The last measured round trip in nanoseconds; 0 for none.
    pub rtt_ns: u64,
    /// Why it ended.
    pub reason: ClosedReason,
    /// Messages and bytes from and to the client.
    pub traffic: [u64; 4],
    /// What it told about itself.
    pub details: Details,
}

impl ClosedConnection {
    pub(crate) fn new(info: &Arc<ConnectionInfo>, reason: ClosedReason, now_unix_ns: i64) -> Self {
        ClosedConnection {
            cid: info.client.cid,
            peer: info.peer(),
            start_unix_ns: info.start_unix_ns,
            stop_unix_ns: now_unix_ns,
            reason,
            active_unix_ns: info.active_unix_ns(),
            rtt_ns: info.rtt_ns(),
            traffic: info.client.traffic.counts(),
            details: info.details(),
        }
    }
}

/// A bounded list, oldest first.
pub(crate) struct ClosedRing {
    max: usize,
    entries: VecDeque<ClosedConnection>,
}

impl ClosedRing {
    pub(crate) fn new(max: u64) -> Self {
        ClosedRing { max: usize::try_from(max).unwrap_or(0), entries: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, entry: ClosedConnection) {
        if self.max == 0 {
            return;
        }
        if self.entries.len() >= self.max {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<ClosedConnection> {
        self.entries.iter().cloned().collect()
    }
}
