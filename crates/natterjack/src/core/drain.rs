//! Ending a connection without losing what is in hand.
//!
//! Order: stop taking in; let readers and handlers finish and settle; send what is left; have the server
//! confirm that it has seen it; close.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::queue::Queue;
use super::wait;
use crate::connect::Link;
use crate::error::{Closed, DrainTimeout, Error};
use crate::event::{CloseReason, ConnState};
use crate::units::pretty;

/// A subscription that a program reads by itself is given up when it has not been read for this long.
const UNREAD: Duration = Duration::from_millis(500);

/// How often progress of such subscriptions is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a drain did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DrainReport {
    /// Messages that were read or handled during the drain.
    pub handled: u64,
    /// Messages that were left unread, or in the hands of handlers that did not finish.
    pub abandoned: u64,
    /// Outgoing messages that could not be sent.
    pub unsent: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} handled, {} abandoned, {} unsent in {}",
            self.handled,
            self.abandoned,
            self.unsent,
            pretty(self.took)
        )
    }
}

/// # Errors
/// `DrainTimeout`, `Closed`.
pub(crate) async fn drain(link: &Arc<Link>) -> Result<DrainReport, Error> {
    let started = Instant::now();
    let limit = link.options.drain_timeout;
    let deadline = started + limit;
    if link.state() == ConnState::Draining || !link.begin_drain(limit) {
        let reason = match link.state() {
            ConnState::Closed { reason } => reason,
            _ => CloseReason::Drained,
        };
        return Err(Closed { reason }.into());
    }
    let queues = link.subscriptions.all();
    let taken_before: u64 = queues.iter().filter(|q| !q.served()).map(|q| q.taken()).sum();
    let handled_before = link.work.count();

    // What the server has sent up to now is in the queues once it answers.
    let _ = wait::barrier(link, left(deadline).min(link.options.request_timeout)).await;
    for queue in &queues {
        queue.stop_intake();
    }
    let (unread, ()) = tokio::join!(read_out(&queues, deadline), async {
        let _ = tokio::time::timeout(left(deadline), link.work.idle()).await;
    });
    let unfinished = link.work.running();
    let unsent = send_rest(link, left(deadline)).await;
    shut(link, CloseReason::Drained).await;

    let taken: u64 = queues.iter().filter(|q| !q.served()).map(|q| q.taken()).sum();
    let served_unread: usize = queues.iter().filter(|q| q.served()).map(|q| q.pending()).sum();
    let report = DrainReport {
        handled: taken - taken_before + link.work.count() - handled_before,
        abandoned: unread + unfinished + served_unread as u64,
        unsent,
        took: started.elapsed(),
    };
    if unfinished > 0 || unsent > 0 || (report.abandoned > 0 && started.elapsed() >= limit) {
        return Err(DrainTimeout { report }.into());
    }
    Ok(report)
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Waits for the readers of subscriptions to empty them; the number of messages that nobody read.
async fn read_out(queues: &[Arc<Queue>], deadline: Instant) -> u64 {
    let by_hand: Vec<_> = queues.iter().filter(|queue| !queue.served()).collect();
    let count = || by_hand.iter().map(|queue| queue.pending() as u64).sum::<u64>();
    let (mut waiting, mut since) = (count(), Instant::now());
    while waiting > 0 && since.elapsed() < UNREAD && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        let now = count();
        if now != waiting {
            (waiting, since) = (now, Instant::now());
        }
    }
    waiting
}

/// Sends what is left and has the server confirm it; the number of messages that are still here.
pub(crate) async fn send_rest(link: &Link, limit: Duration) -> u64 {
    let started = Instant::now();
    let over = matches!(link.state(), ConnState::Closed { .. });
    // Without a connection and with nothing to send there is nothing to wait for.
    let idle = !link.is_up() && link.outbox.len() == 0;
    if !over && !idle && wait::flush(link, limit).await.is_ok() {
        let _ = wait::barrier(link, limit.saturating_sub(started.elapsed())).await;
    }
    link.outbox.len()
}

/// Closes the socket, waits for async-nats to have done so, and reports the end.
pub(crate) async fn shut(link: &Arc<Link>, reason: CloseReason) {
    if link.is_up()
        && let Ok(client) = link.client()
    {
        let mut ended = link.ended.subscribe();
        let gone = async {
            if client.drain().await.is_ok() {
                // The sender lives in the link.
                let _ = ended.wait_for(|ended| *ended).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), gone).await;
    }
    link.finish(reason);
}
