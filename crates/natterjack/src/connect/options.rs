//! What a connection was asked to be, and what that became.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::ClientConfig;
use serde::Serialize;

use super::backoff::Backoff;
use super::url::ServerUrl;
use crate::auth::Auth;
use crate::units::ByteSize;

/// Whether and how long to try after a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Reconnect {
    /// Not at all: the loss closes the connection.
    Never,
    /// Until it works.
    Forever,
    /// This many times *for each server* of the pool.
    Attempts(u32),
    /// For this long after the loss.
    For(Duration),
}

/// What to do when the first connection cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum FirstConnect {
    /// Try each server once and return the error.
    FailFast,
    /// Return at once and connect in the background; a refused login closes the connection.
    Background,
    /// Go on trying for this long, then return the error. A refused login returns at once.
    RetryFor(Duration),
}

/// What happens to a publish while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Offline {
    /// It is kept, up to `outbound_limit` bytes, and sent once connected; then `Backpressure`.
    Buffer,
    /// It fails with `Offline` at once.
    Fail,
    /// As `Buffer`, but what does not fit is dropped and counted.
    DropNewest,
}

/// The order in which servers are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ServerOrder {
    /// As they were given.
    AsGiven,
    /// In random order.
    Shuffled,
}

/// What to do when the server announces that it shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum OnLameDuck {
    /// Move to another server of the pool, if there is one.
    Migrate,
    /// Only report it.
    Notify,
}

/// Encryption. Files are checked when the connection is built.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) first: bool,
    pub(crate) required: bool,
    pub(crate) server_name: Option<String>,
    /// Set by [`named::prepare`](super::named::prepare) where there is a name of our own.
    pub(crate) config: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// TLS with the system's certificate authorities, required from every server.
    #[must_use]
    pub fn native() -> Self {
        Self { required: true, ..Self::default() }
    }

    /// A file of certificate authorities to trust instead of the system's.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// The client's certificate and key files.
    #[must_use]
    pub fn identity(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((cert.into(), key.into()));
        self
    }

    /// The name or address that must stand in the server's certificate, in place of the one that is dialed:
    /// for a server behind a tunnel, or one that is reached by an address its certificate lacks. It holds
    /// for all servers of the pool, and certificates are read once.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Whether to start TLS before the server's INFO (`handshake_first` on the server).
    #[must_use]
    pub fn first(mut self, first: bool) -> Self {
        self.first = first;
        self
    }
}

/// All options, resolved: what [`crate::ConnectorBuilder`] builds from.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) servers: Vec<ServerUrl>,
    pub(crate) auth: Auth,
    pub(crate) tls: Option<Tls>,
    pub(crate) name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) connect_deadline: Duration,
    pub(crate) first_connect: FirstConnect,
    pub(crate) reconnect: Reconnect,
    pub(crate) backoff: Backoff,
    pub(crate) ping_interval: Duration,
    pub(crate) max_outstanding_pings: u32,
    pub(crate) server_order: ServerOrder,
    pub(crate) discover: bool,
    pub(crate) on_lame_duck: OnLameDuck,
    pub(crate) echo: bool,
    pub(crate) inbox_prefix: String,
    pub(crate) request_timeout: Duration,
    pub(crate) publish_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) outbound_limit: ByteSize,
    pub(crate) while_disconnected: Offline,
    pub(crate) subscription_capacity: usize,
    pub(crate) subscription_bytes: ByteSize,
    pub(crate) js_domain: Option<String>,
    pub(crate) js_api_prefix: Option<String>,
    pub(crate) metrics_subjects: Vec<String>,
}

/// What each option became. Holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EffectiveOptions {
    /// The servers that were given, as `host:port`.
    pub servers: Vec<String>,
    /// The connection's name, as the server's monitoring shows it.
    pub name: String,
    /// The kind of login: `no login`, `token`, `user and password`, `credentials`, `jwt`, `nkey`.
    pub login: String,
    /// Whether TLS is required.
    pub tls: bool,
    /// Limit of one attempt to connect to one address.
    pub connect_timeout: Duration,
    /// Limit of the whole first connect.
    pub connect_deadline: Duration,
    /// What happens when the first connect fails.
    pub first_connect: FirstConnect,
    /// What happens when the connection is lost.
    pub reconnect: Reconnect,
    /// The waits between attempts to one server.
    pub backoff: Backoff,
    /// The time between the connector's own round trips.
    pub ping_interval: Duration,
    /// Unanswered round trips after which the connection counts as stale.
    pub max_outstanding_pings: u32,
    /// The time after which a silent server is given up: the interval times one more than the pings.
    pub stale_after: Duration,
    /// The order in which servers are tried.
    pub server_order: ServerOrder,
    /// Whether servers that the cluster announces join the pool.
    pub discover: bool,
    /// What happens when the server announces that it shuts down.
    pub on_lame_duck: OnLameDuck,
    /// Whether this connection receives what it publishes itself.
    pub echo: bool,
    /// The first tokens of reply subjects.
    pub inbox_prefix: String,
    /// Default limit of requests, JetStream calls and subscribes.
    pub request_timeout: Duration,
    /// Limit of one publish.
    pub publish_timeout: Duration,
    /// Limit of `drain()` and `close()`.
    pub drain_timeout: Duration,
    /// Bytes kept while there is no connection.
    pub outbound_limit: ByteSize,
    /// What happens to a publish while there is no connection.
    pub while_disconnected: Offline,
    /// Messages that a subscription keeps for a slow reader before it drops.
    pub subscription_capacity: usize,
    /// Bytes that a subscription keeps for a slow reader before it drops.
    pub subscription_bytes: ByteSize,
    /// The JetStream domain, if one was named.
    pub jetstream_domain: Option<String>,
    /// The first tokens of JetStream API subjects, if they are not `$JS.API`.
    pub jetstream_api_prefix: Option<String>,
}

impl Options {
    pub(crate) fn effective(&self) -> EffectiveOptions {
        EffectiveOptions {
            servers: self.servers.iter().map(|server| super::url::label(&server.addr)).collect(),
            name: self.name.clone(),
            login: self.login_method().to_owned(),
            tls: self.tls.as_ref().is_some_and(|tls| tls.required || tls.first),
            connect_timeout: self.connect_timeout,
            connect_deadline: self.connect_deadline,
            first_connect: self.first_connect,
            reconnect: self.reconnect,
            backoff: self.backoff,
            ping_interval: self.ping_interval,
            max_outstanding_pings: self.max_outstanding_pings,
            stale_after: self.stale_after(),
            server_order: self.server_order,
            discover: self.discover,
            on_lame_duck: self.on_lame_duck,
            echo: self.echo,
            inbox_prefix: self.inbox_prefix.clone(),
            request_timeout: self.request_timeout,
            publish_timeout: self.publish_timeout,
            drain_timeout: self.drain_timeout,
            outbound_limit: self.outbound_limit,
            while_disconnected: self.while_disconnected,
            subscription_capacity: self.subscription_capacity,
            subscription_bytes: self.subscription_bytes,
            jetstream_domain: self.js_domain.clone(),
            jetstream_api_prefix: self.js_api_prefix.clone(),
        }
    }

    /// A server that stays silent is stale when this time has passed since the last good round trip.
    pub(crate) fn stale_after(&self) -> Duration {
        self.ping_interval.saturating_mul(self.max_outstanding_pings.saturating_add(1))
    }

    /// The login for a server: the one in its address, or the common one.
    pub(crate) fn auth_for(&self, addr: &async_nats::ServerAddr) -> &Auth {
        let own = self.servers.iter().find(|server| server.addr == *addr);
        match own.and_then(|server| server.auth.as_ref()) {
            Some(auth) => auth,
            // A server that the cluster announced: the login of the server that was asked first.
            None if matches!(self.auth, Auth::None) => {
                self.servers.iter().find_map(|server| server.auth.as_ref()).unwrap_or(&self.auth)
            }
            None => &self.auth,
        }
    }

    fn login_method(&self) -> &'static str {
        self.servers
            .first()
            .map_or(self.auth.method(), |server| self.auth_for(&server.addr).method())
    }
}
