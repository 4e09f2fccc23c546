//! Round trips.
//!
//! A round trip is a request to a fresh subject under the inbox prefix, where nobody listens: the
//! server answers "no responders" at once. It travels the same way as everything sent before it, so
//! the answer proves that the server has seen that. It also works with `no_echo`, and with users who
//! may not publish there: then the answer is the violation that names the subject.
//!
//! Somebody who subscribes to all subjects keeps the server from answering so. When nothing has come
//! for a moment, a question follows that the server answers itself.

use std::time::{Duration, Instant};

use async_nats::{Request, RequestErrorKind};

use super::request::new_inbox;
use crate::connect::Link;
use crate::error::{Error, Timeout};
use crate::event::{ConnState, Operation};

/// A token that no other program uses, so that violations about it can be told apart.
const PROBE: &str = "natterjack-probe";

/// The server answers here itself, whoever else listens (nats-server 2.10 and later).
const ANSWERED_BY_SERVER: &str = "$SYS.REQ.USER.INFO";

/// How long to wait for "no responders" before asking there.
const SILENCE: Duration = Duration::from_millis(50);

/// Whether a subject is one of our probes.
pub(crate) fn is_probe(subject: &str) -> bool {
    subject.split('.').any(|token| token == PROBE)
}

/// The time of one round trip.
///
/// # Errors
/// `Timeout`, `Closed`.
pub(crate) async fn round_trip(link: &Link, limit: Duration) -> Result<Duration, Error> {
    let give_up = || Error::from(Timeout { what: "round trip".into(), after: limit });
    match tokio::time::timeout(limit, try_round_trips(link, limit)).await {
        Ok(result) => result,
        Err(_) => Err(give_up()),
    }
}

/// Tries again after a loss: its answer is lost with the connection.
async fn try_round_trips(link: &Link, limit: Duration) -> Result<Duration, Error> {
    let mut state = link.watch_state();
    loop {
        link.connected("round trip", limit).await?;
        let client = link.client()?;
        let subject = format!("{}.{PROBE}.{}", link.options.inbox_prefix, new_inbox());
        let mark = link.violations.mark();
        let started = Instant::now();
        let request = Request::new().timeout(Some(limit));
        state.mark_unchanged();
        tokio::select! {
            answer = client.send_request(subject.clone(), request) => match answer {
                Err(error) if error.kind() == RequestErrorKind::TimedOut => {
                    return Err(Timeout { what: "round trip".into(), after: limit }.into());
                }
                Err(error) if error.kind() == RequestErrorKind::Other => {
                    link.check_open()?;
                    // The command queue of async-nats is gone: it is ending.
                    tokio::task::yield_now().await;
                }
                // "No responders", or somebody who answers anything: both came from the server.
                _ => return Ok(started.elapsed()),
            },
            _ = link.violations.wait(mark, Operation::Publish, &subject) => return Ok(started.elapsed()),
            Some(took) = answer_of_server(link, client, mark, limit) => return Ok(took),
            _ = lost(&mut state) => {}
        }
    }
}

/// After a moment of silence, the round trip of a question to the server itself; `None` if that got no
/// answer either.
async fn answer_of_server(
    link: &Link,
    client: &async_nats::Client,
    mark: u64,
    limit: Duration,
) -> Option<Duration> {
    tokio::time::sleep(SILENCE).await;
    let started = Instant::now();
    let request = Request::new().timeout(Some(limit));
    tokio::select! {
        answer = client.send_request(ANSWERED_BY_SERVER, request) => {
            answer.is_ok().then(|| started.elapsed())
        }
        _ = link.violations.wait(mark, Operation::Publish, ANSWERED_BY_SERVER) => {
            Some(started.elapsed())
        }
    }
}

async fn lost(state: &mut tokio::sync::watch::Receiver<ConnState>) {
    // Fails only when the link is gone; the caller's timeout ends the wait then.
    let _ = state.wait_for(|s| !matches!(s, ConnState::Connected | ConnState::Draining)).await;
}

/// Waits until the server has seen all that was sent before.
///
/// # Errors
/// `Timeout`, `Closed`.
pub(crate) async fn barrier(link: &Link, limit: Duration) -> Result<(), Error> {
    let started = Instant::now();
    let give_up = || Error::from(Timeout { what: "barrier".into(), after: limit });
    link.check_open()?;
    tokio::time::timeout(limit, link.outbox.emptied()).await.map_err(|_| give_up())?;
    match round_trip(link, limit.saturating_sub(started.elapsed())).await {
        Err(Error::Timeout(_)) => Err(give_up()),
        other => other.map(|_| ()),
    }
}

/// Waits until all that was published before is written to the socket.
///
/// # Errors
/// `Timeout`, `Closed`.
pub(crate) async fn flush(link: &Link, limit: Duration) -> Result<(), Error> {
    link.check_open()?;
    let flushed = async {
        link.connected("flush", limit).await?;
        link.outbox.emptied().await;
        link.client()?.flush().await.map_err(|_| link.check_open().err().unwrap_or(link.offline()))
    };
    match tokio::time::timeout(limit, flushed).await {
        Ok(result) => result,
        Err(_) => Err(Timeout { what: "flush".into(), after: limit }.into()),
    }
}
