//! Ctrl-C and SIGTERM: the first asks the verb to finish, the second ends the process with 130.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::exit::status;

/// Told of the first interruption.
#[derive(Clone)]
pub(crate) struct Interrupt {
    raised: watch::Receiver<bool>,
    graceful: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to listen for signals.
    pub(crate) fn listen() -> Self {
        let (raise, raised) = watch::channel(false);
        let graceful = Arc::new(AtomicBool::new(false));
        let interrupt = Self { raised, graceful: graceful.clone() };
        tokio::spawn(async move {
            signal().await;
            if !graceful.load(Ordering::Relaxed) {
                // Nothing was promised that has to be finished.
                std::process::exit(status::INTERRUPTED.into());
            }
            let _ = raise.send(true);
            signal().await;
            std::process::exit(status::INTERRUPTED.into());
        });
        interrupt
    }

    /// Says that from now on this verb ends by itself, with 0, when [`raised`](Self::raised) returns.
    pub(crate) fn finish_gracefully(&self) {
        self.graceful.store(true, Ordering::Relaxed);
    }

    /// Returns at the first interruption.
    pub(crate) async fn raised(&self) {
        let mut raised = self.raised.clone();
        if raised.wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { std::future::pending().await },
        _ = term.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
