//! Counts the handlers that a drain has to wait for, and the messages they have dealt with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Handlers at work.
#[derive(Clone)]
pub(crate) struct Work {
    inner: Arc<Inner>,
}

struct Inner {
    running: watch::Sender<u64>,
    handled: AtomicU64,
}

impl Default for Work {
    fn default() -> Self {
        let inner = Inner { running: watch::Sender::new(0), handled: AtomicU64::new(0) };
        Self { inner: Arc::new(inner) }
    }
}

/// Exists while a handler (or a loop of them) is at work.
pub(crate) struct WorkGuard {
    work: Work,
}

impl Work {
    pub(crate) fn begin(&self) -> WorkGuard {
        self.inner.running.send_modify(|running| *running += 1);
        WorkGuard { work: self.clone() }
    }

    /// A message has been dealt with.
    pub(crate) fn handled(&self) {
        self.inner.handled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.inner.handled.load(Ordering::Relaxed)
    }

    pub(crate) fn running(&self) -> u64 {
        *self.inner.running.borrow()
    }

    /// Waits until nothing is at work.
    pub(crate) async fn idle(&self) {
        // The sender is in `self`, so the wait cannot fail.
        let _ = self.inner.running.subscribe().wait_for(|running| *running == 0).await;
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.work.inner.running.send_modify(|running| *running -= 1);
    }
}
