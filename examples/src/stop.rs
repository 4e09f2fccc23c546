//! Ctrl-C and SIGTERM.

use std::future::{Future, IntoFuture};
use std::io::Write;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A second Ctrl-C within this time ends the process at once.
const SECOND: Duration = Duration::from_secs(2);
/// After this time a person wonders why nothing happens.
const LONG: Duration = Duration::from_millis(500);
/// The exit code then, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// Tells a program that it should come to its end: take in nothing more, drain, print the summary.
#[derive(Clone, Debug)]
pub struct Stop {
    raised: watch::Receiver<bool>,
}

/// Asks a program to stop, in place of Ctrl-C.
#[derive(Clone, Debug)]
pub struct Stopper {
    raise: watch::Sender<bool>,
}

impl Stopper {
    /// As the first Ctrl-C.
    pub fn stop(&self) {
        self.raise.send_replace(true);
    }
}

impl Stop {
    /// A stop that is asked for by the returned handle only.
    pub fn by_hand() -> (Stopper, Self) {
        let (raise, raised) = watch::channel(false);
        (Stopper { raise }, Self { raised })
    }

    /// Listens for Ctrl-C and SIGTERM. The first raises it; a second within two seconds ends the
    /// process with exit code 130.
    pub(crate) fn by_signal() -> Self {
        let (stopper, stop) = Self::by_hand();
        tokio::spawn(async move {
            let mut last: Option<Instant> = None;
            loop {
                tokio::select! {
                    () = signal() => {
                        if last.is_some_and(|last| last.elapsed() < SECOND) {
                            std::process::exit(INTERRUPTED);
                        }
                        last = Some(Instant::now());
                        stopper.stop();
                    }
                    // Mostly the program has ended by now; else it should say what it waits for.
                    () = tokio::time::sleep(LONG), if last.is_some_and(|last| last.elapsed() < LONG) => {
                        let text = "sending what is left; press Ctrl-C twice to end at once\n";
                        let _ = std::io::stderr().write_all(text.as_bytes());
                    }
                }
            }
        });
        stop
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Returns when it is asked for.
    pub async fn raised(&self) {
        if self.raised.clone().wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits; false if the stop came meanwhile.
    pub async fn pause(&self, span: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(span) => !self.is_raised(),
            () = self.raised() => false,
        }
    }

    /// What the future gives; `None` if the stop came first, or was there before.
    pub async fn race<T>(&self, future: impl IntoFuture<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.raised() => None,
            value = future.into_future() => Some(value),
        }
    }

    /// The next item; `None` at its end, at the stop, or after `silence`.
    pub async fn or<T>(
        &self,
        next: impl Future<Output = Option<T>>,
        silence: Option<Duration>,
    ) -> Option<T> {
        let silent = async {
            match silence {
                Some(silence) => tokio::time::sleep(silence).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.raised() => None,
            item = next => item,
            () = silent => None,
        }
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return interrupt().await;
    };
    tokio::select! {
        () = interrupt() => {}
        _ = term.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    interrupt().await;
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
