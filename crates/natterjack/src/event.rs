//! What happens to a connection, as typed events and as a state.
//!
//! Events are a broadcast: each [`EventStream`] sees all of them from the moment it was made, and one
//! that falls behind is told by [`Event::Lagged`] how many it missed. The state is kept apart, in a
//! watch channel, and is right whatever a reader of events does.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast;

use crate::error::Error;
use crate::units::pretty;

/// Events kept for a slow reader before it is told `Lagged`.
pub(crate) const EVENT_BACKLOG: usize = 1024;

/// Where a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnState {
    /// The first connection has not been made yet.
    Connecting,
    /// Connected to a server.
    Connected,
    /// The connection was lost; another is being made.
    Reconnecting {
        /// Attempts that failed since the loss.
        failures: u64,
    },
    /// `drain()` is at work: nothing new is taken.
    Draining,
    /// Over, for good.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a connection ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// `drain()` finished.
    Drained,
    /// The reconnect policy allows no further attempt.
    GaveUp {
        /// The length of the outage.
        after: Duration,
    },
    /// The server refused the login twice.
    AuthFailed,
    /// `close()` was called, or the last handle was dropped.
    Requested,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::GaveUp { after } if after.as_millis() == 0 => f.write_str("gave up"),
            Self::GaveUp { after } => write!(f, "gave up after {}", pretty(*after)),
            Self::AuthFailed => f.write_str("server refused the login"),
            Self::Requested => f.write_str("requested"),
        }
    }
}

/// Why a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server closed the connection or vanished.
    PeerClosed,
    /// The server stopped answering pings, or said so itself.
    StalePing,
    /// `reconnect_now()` was called.
    Forced,
    /// The server is shutting down and the connector moved.
    LameDuck,
    /// The login expired or was revoked.
    AuthRevoked,
    /// The server has too many connections.
    MaxConnections,
    /// The server closed the connection because this client broke a limit or read too slowly.
    Refused,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerClosed => "connection closed by the server",
            Self::StalePing => "server stopped answering",
            Self::Forced => "reconnect was asked for",
            Self::LameDuck => "server is shutting down",
            Self::AuthRevoked => "login expired or revoked",
            Self::MaxConnections => "server has too many connections",
            Self::Refused => "server closed the connection after an error",
        })
    }
}

/// What a permission covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Sending to a subject.
    Publish,
    /// Listening on a subject.
    Subscribe,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
        })
    }
}

/// Something that happened to the connection. Servers are shown as `host:port`, without secrets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The first connection stands.
    Connected {
        /// The server.
        server: String,
        /// The time of one round trip.
        rtt: Duration,
        /// How many attempts it took, this one included.
        attempt: u64,
    },
    /// The connection was lost.
    Disconnected {
        /// The server.
        server: String,
        /// Why.
        reason: DisconnectReason,
    },
    /// An attempt to reconnect failed.
    ReconnectFailed {
        /// The server that was tried.
        server: String,
        /// Why it failed.
        error: String,
        /// The number of the attempt since the loss, from 1.
        attempt: u64,
        /// How long until the next attempt, whichever server it goes to; `None` if it was the last.
        retry_in: Option<Duration>,
    },
    /// The connection is back.
    Reconnected {
        /// The server.
        server: String,
        /// How long there was none.
        outage: Duration,
        /// How many attempts it took, the last one included.
        attempts: u64,
    },
    /// `drain()` was called.
    Draining {
        /// When it ends at the latest, from now.
        deadline: Duration,
    },
    /// The connection ended for good. Comes exactly once, and last.
    Closed {
        /// Why.
        reason: CloseReason,
    },
    /// The server refused a publish or a subscription.
    PermissionDenied {
        /// What was refused.
        op: Operation,
        /// On which subject.
        subject: String,
        /// In which queue group.
        queue: Option<String>,
    },
    /// The login expired or was revoked while connected.
    AuthExpired {
        /// The server's words.
        text: String,
    },
    /// The server has too many connections.
    MaxConnections {
        /// The server's words.
        text: String,
    },
    /// Any other error that the server reported.
    ServerError {
        /// A stable name: the text in lower case with `_` for blanks.
        code: String,
        /// The server's words.
        text: String,
    },
    /// A subscription lost messages because its reader is too slow. At most once a second for each.
    SlowConsumer {
        /// The subscription's subject.
        subject: String,
        /// Its queue group.
        queue: Option<String>,
        /// All messages it has lost so far.
        dropped: u64,
        /// Messages that wait for it now.
        pending: usize,
    },
    /// The pool of servers changed. Seen after each (re)connect.
    ServersChanged {
        /// Servers that were learned.
        added: Vec<String>,
        /// Servers that are gone.
        removed: Vec<String>,
    },
    /// The server announced that it will shut down.
    LameDuck {
        /// The server.
        server: String,
    },
    /// An ordered consumer (a watch) was made anew after an interruption.
    ConsumerRecreated {
        /// Its stream.
        stream: String,
        /// The last stream sequence that was seen before.
        last_seq: u64,
        /// Why.
        reason: String,
    },
    /// Something went on in the background that failed without an operation to report it to.
    Background {
        /// What.
        error: Error,
    },
    /// This stream of events fell behind and lost some. Only ever sent to the one who lagged.
    Lagged(u64),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { server, rtt, .. } => {
                write!(f, "connected to {server} (rtt {})", pretty(*rtt))
            }
            Self::Disconnected { server, reason } => {
                write!(f, "disconnected from {server}: {reason}")
            }
            Self::ReconnectFailed { server, error, attempt, retry_in } => {
                write!(f, "attempt {attempt} to reach {server} failed ({error}), ")?;
                match retry_in {
                    None => f.write_str("giving up"),
                    Some(wait) if wait.is_zero() => f.write_str("trying again"),
                    Some(wait) => write!(f, "retrying in {}", pretty(*wait)),
                }
            }
            Self::Reconnected { server, outage, attempts } => {
                write!(f, "reconnected to {server} after {} ({attempts} attempts)", pretty(*outage))
            }
            Self::Draining { deadline } => write!(f, "draining, at most {}", pretty(*deadline)),
            Self::Closed { reason } => write!(f, "closed: {reason}"),
            Self::PermissionDenied { op, subject, queue } => {
                write!(f, "permission denied: {op} {subject}")?;
                queue.as_ref().map_or(Ok(()), |queue| write!(f, " in queue {queue}"))
            }
            Self::AuthExpired { text } | Self::MaxConnections { text } => f.write_str(text),
            Self::ServerError { text, .. } => write!(f, "server error: {text}"),
            Self::SlowConsumer { subject, dropped, pending, .. } => {
                write!(f, "slow consumer on {subject}: {dropped} dropped, {pending} waiting")
            }
            Self::ServersChanged { added, removed } => {
                write!(f, "servers changed: +[{}] -[{}]", added.join(" "), removed.join(" "))
            }
            Self::LameDuck { server } => write!(f, "{server} is shutting down"),
            Self::ConsumerRecreated { stream, last_seq, reason } => {
                write!(f, "consumer on {stream} made anew after sequence {last_seq}: {reason}")
            }
            Self::Background { error } => write!(f, "{error}"),
            Self::Lagged(n) => write!(f, "{n} events missed"),
        }
    }
}

/// Events as they come. Ends after [`Event::Closed`].
pub struct EventStream {
    inner: Pin<Box<dyn Stream<Item = Event> + Send + Sync>>,
}

impl EventStream {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        let inner = stream::unfold((receiver, false), |(mut receiver, done)| async move {
            if done {
                return None;
            }
            match receiver.recv().await {
                Ok(event) => {
                    let last = matches!(event, Event::Closed { .. });
                    Some((event, (receiver, last)))
                }
                Err(broadcast::error::RecvError::Lagged(n)) => {
                    Some((Event::Lagged(n), (receiver, false)))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        Self { inner: Box::pin(inner) }
    }

    /// The next event; `None` once the connection is closed.
    pub async fn next(&mut self) -> Option<Event> {
        self.inner.next().await
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}
