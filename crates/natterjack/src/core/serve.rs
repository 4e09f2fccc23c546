//! A subscription whose messages are handled by a function, several at once.

use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::{Semaphore, watch};

use super::message::Msg;
use super::queue::Reader;
use super::work::Work;
use crate::codec::Decoder;
use crate::otel::{Kind, Span};
use crate::signal::raised;

/// A handler loop that goes on by itself. Dropping this does not end it; [`stop`](Self::stop) does, and
/// so does the end of the connection.
#[must_use = "keep it to be able to stop the handlers"]
#[derive(Debug)]
pub struct Task {
    stop: watch::Sender<bool>,
    done: watch::Receiver<bool>,
}

impl Task {
    /// Takes in no more, and waits until all handlers are done.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // Fails only when the loop is gone, which is what is waited for.
        let _ = self.done.wait_for(|done| *done).await;
    }

    /// Waits until the loop has ended by itself.
    pub async fn wait(mut self) {
        let _ = self.done.wait_for(|done| *done).await;
    }
}

pub(crate) fn start<T, F, Fut>(
    mut reader: Reader,
    decoder: Decoder<T>,
    concurrency: usize,
    handle: F,
) -> Task
where
    T: Send + 'static,
    F: Fn(Msg<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Send> + Send + 'static,
{
    let (stop, mut stopped) = watch::channel(false);
    let (done, done_receiver) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)));
    let handle = Arc::new(handle);
    let own = Work::default();
    let loop_guard = reader.link.work.begin();
    tokio::spawn(async move {
        let _loop_guard = loop_guard;
        let queue = reader.queue.clone();
        let mut stopping = false;
        loop {
            // The semaphore is never closed.
            let Ok(permit) = permits.clone().acquire_owned().await else { break };
            let message = tokio::select! {
                message = reader.next() => message,
                () = raised(&mut stopped), if !stopping => {
                    stopping = true;
                    queue.stop_intake();
                    reader.next().await
                }
            };
            let Some(message) = message else { break };
            let link = reader.link.clone();
            match Msg::decode(message, decoder, &link) {
                Ok(message) => {
                    let guards = (permit, link.work.begin(), own.begin());
                    let handle = handle.clone();
                    tokio::spawn(async move {
                        let handling = link.meters.handling(&message.subject);
                        let (headers, asked) = (&message.headers, message.reply.is_some());
                        let kind = Kind::Handler { headers, asked };
                        let span =
                            Span::begin(&kind, &link, &message.subject, message.payload.len());
                        span.within(async { handle(message).await }).await;
                        span.end();
                        handling.end();
                        link.work.handled();
                        drop(guards);
                    });
                }
                Err(error) => tracing::warn!("{error}; skipped"),
            }
        }
        own.idle().await;
        done.send_replace(true);
    });
    Task { stop, done: done_receiver }
}
