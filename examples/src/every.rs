//! Something done again and again beside the program.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;

/// A task that ends with its handle.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Every(JoinHandle<()>);

impl Drop for Every {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls `what` with a clone of `with` each time `span` has passed, until the handle is dropped.
pub fn every<T, F, Fut>(span: Duration, with: T, what: F) -> Every
where
    T: Clone + Send + Sync + 'static,
    F: Fn(T) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Every(tokio::spawn(async move {
        loop {
            tokio::time::sleep(span).await;
            what(with.clone()).await;
        }
    }))
}
