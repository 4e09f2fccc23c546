//! Making a connection and keeping it.

mod backoff;
mod builder;
mod dial;
mod env;
mod hooks;
mod link;
mod named;
mod options;
mod pings;
mod place;
mod policy;
mod reason;
mod rights;
mod url;
mod violations;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use backoff::Backoff;
pub use builder::ConnectorBuilder;
pub use options::{
    EffectiveOptions, FirstConnect, Offline, OnLameDuck, Reconnect, ServerOrder, Tls,
};

pub(crate) use link::Link;
pub(crate) use rights::violation;

use crate::core::{DrainReport, Health, Stats};
use crate::error::{ConnectError, DrainError, DrainTimeout, Error, WaitError};
use crate::event::{CloseReason, ConnState, DisconnectReason, Event, EventStream};

/// A connection to a NATS server or cluster. Cheap to clone; all clones are one connection.
///
/// End it with [`drain`](Self::drain) or [`close`](Self::close), which wait until all is sent; when the
/// last clone is dropped without either, what has not been sent yet may be lost.
///
/// ```no_run
/// # async fn demo() -> Result<(), natterjack::Error> {
/// use natterjack::Connector;
/// let connector = Connector::connect("nats://localhost:4222").await?;
/// let mut orders = connector.subscribe::<String>("orders").await?;
/// connector.publish("orders", "first").await?;
/// if let Some(Ok(order)) = orders.next().await {
///     println!("{} {}", order.subject, order.value());
/// }
/// connector.drain().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Connector {
    handle: Arc<Handle>,
}

/// Ends the connection with the last [`Connector`].
struct Handle {
    link: Arc<Link>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !matches!(self.link.state(), ConnState::Closed { .. }) {
            let unsent = self.link.outbox.len();
            if unsent > 0 {
                tracing::warn!(
                    unsent,
                    "connection dropped without drain() or close(); messages are lost"
                );
            }
            self.link.finish(CloseReason::Requested);
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.link().options.name)
            .field("server", &self.link().server_label())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The server of the present connection, from its INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerId {
    /// `host:port` as it was dialed.
    pub address: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its cluster, if it is in one.
    pub cluster: Option<String>,
    /// Whether it has JetStream.
    pub jetstream: bool,
    /// Its limit for headers and body together, in bytes.
    pub max_payload: usize,
}

impl Connector {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { handle: Arc::new(Handle { link }) }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.handle.link
    }

    /// Connects with defaults to a server, or to several separated by commas.
    ///
    /// # Errors
    /// See [`ConnectorBuilder::build`].
    pub async fn connect(servers: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder().server(servers).build().await
    }

    /// Options, then [`build`](ConnectorBuilder::build).
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder::default()
    }

    /// A builder that takes what is left open from `NATS_*` variables.
    pub fn from_env() -> ConnectorBuilder {
        Self::builder().from_env()
    }

    /// A builder that takes what is left open from a context of the `nats` tool.
    pub fn from_context(name: Option<&str>) -> ConnectorBuilder {
        Self::builder().from_context(name)
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> ConnState {
        self.link().state()
    }

    /// The state as a channel that can be waited on. Never misses the latest state.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<ConnState> {
        self.link().watch_state()
    }

    /// All events from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.link().events()
    }

    /// Calls an async function with each event from now on. To see the first `Connected` too, use
    /// [`ConnectorBuilder::on_event`].
    pub fn on_event<F, Fut>(&self, call: F)
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        builder::spawn_callback(self.events(), Arc::new(move |event| Box::pin(call(event))));
    }

    /// What each option became.
    #[must_use]
    pub fn effective_options(&self) -> EffectiveOptions {
        self.link().options.effective()
    }

    /// The server of the present (or last) connection; `None` before the first.
    #[must_use]
    pub fn server(&self) -> Option<ServerId> {
        let info = self.link().client().ok()?.try_server_info()?;
        Some(ServerId {
            address: self.link().server_label(),
            name: info.server_name,
            id: info.server_id,
            version: info.version,
            cluster: info.cluster,
            jetstream: info.jetstream,
            max_payload: info.max_payload,
        })
    }

    /// The async-nats client, for what this crate does not offer.
    ///
    /// # Errors
    /// `Offline` while a connection in the background has not begun.
    pub fn raw(&self) -> Result<async_nats::Client, Error> {
        self.link().client().cloned()
    }

    /// The time of one round trip to the server.
    ///
    /// # Errors
    /// `Timeout` after the request timeout, `Closed`.
    pub async fn rtt(&self) -> Result<Duration, WaitError> {
        Ok(crate::core::round_trip(self.link(), self.link().options.request_timeout).await?)
    }

    /// Waits until the server has seen all that was sent before. Works with `no_echo`.
    ///
    /// # Errors
    /// `Timeout` after `limit`, `Closed`.
    pub async fn barrier(&self, limit: Duration) -> Result<(), WaitError> {
        crate::core::barrier(self.link(), limit).await?;
        Ok(())
    }

    /// Waits until all that was published before is written to the socket.
    ///
    /// # Errors
    /// `Timeout` after `limit`, `Closed`.
    pub async fn flush(&self, limit: Duration) -> Result<(), WaitError> {
        crate::core::flush(self.link(), limit).await?;
        Ok(())
    }

    /// How well the connection is, within `limit`.
    pub async fn health(&self, limit: Duration) -> Health {
        crate::core::health(self.link(), limit).await
    }

    /// What went through so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        crate::core::stats(self.link())
    }

    /// Drops the connection and makes a new one, to another server of the pool if there is one.
    pub async fn reconnect_now(&self) {
        hooks::reconnect(self.link(), DisconnectReason::Forced).await;
    }

    /// Takes in no more, lets handlers finish and settle what they have, sends what is left, and
    /// closes; at most `drain_timeout`. Calling it again, or after `close()`, is an error.
    ///
    /// Messages that already wait in a [`Subscription`](crate::Subscription) can still be read while
    /// this runs; one that nobody reads is given up after half a second.
    ///
    /// # Errors
    /// `DrainTimeout` with the report if the deadline came first; `Closed` if it was over already.
    pub async fn drain(&self) -> Result<DrainReport, DrainError> {
        crate::core::drain(self.link()).await.map_err(|error| match error {
            Error::DrainTimeout(e) => DrainError::DrainTimeout(e),
            other => other.into(),
        })
    }

    /// Sends what is left, within `drain_timeout`, and closes. Closing twice is no error.
    ///
    /// # Errors
    /// `DrainTimeout` if not all could be sent; the connection is closed nevertheless.
    pub async fn close(&self) -> Result<(), DrainError> {
        let started = Instant::now();
        let left = crate::core::send_rest(self.link(), self.link().options.drain_timeout).await;
        crate::core::shut(self.link(), CloseReason::Requested).await;
        match left {
            0 => Ok(()),
            unsent => {
                let report =
                    DrainReport { unsent, took: started.elapsed(), ..DrainReport::default() };
                Err(DrainTimeout { report }.into())
            }
        }
    }
}
