//! One bound for the bytes that wait for all clients together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use of a fixed allowance. Shared by all outboxes of a server.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// An allowance of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget { limit, used: AtomicUsize::new(0) }
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Replaces `before` bytes of one user by `after`.
    pub fn exchange(&self, before: usize, after: usize) {
        self.take(after);
        self.give_back(before);
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether more is in use than allowed: the largest user has to go.
    pub fn is_exceeded(&self) -> bool {
        self.used() > self.limit
    }
}
