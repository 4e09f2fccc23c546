//! The options of a connection, and building it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Connector;
use super::backoff::Backoff;
use super::env::{self, Layer};
use super::link::{ChooseServer, Link};
use super::options::{FirstConnect, Offline, OnLameDuck, Options, Reconnect, ServerOrder, Tls};
use super::{dial, named, url};
use crate::auth::Auth;
use crate::error::{BadOption, ConnectError, Error, TlsFailed};
use crate::event::{Event, EventStream};
use crate::units::{ByteSize, mib, secs};

/// A callback for events.
pub(crate) type OnEvent =
    Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Collects options; [`build`](Self::build) connects.
///
/// ```no_run
/// # async fn demo() -> Result<(), natterjack::Error> {
/// use natterjack::{Backoff, Connector, Reconnect, secs};
/// let connector = Connector::builder()
///     .server("nats://localhost:4222")
///     .name("billing")
///     .ping_interval(secs(20))
///     .max_outstanding_pings(6)
///     .reconnect(Reconnect::Forever)
///     .backoff(Backoff::fixed(secs(5)))
///     .build()
///     .await?;
/// # connector.drain().await?; Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ConnectorBuilder {
    own: Layer,
    env: Layer,
    context: Layer,
    problem: Option<Error>,
    name: Option<String>,
    connect_timeout: Option<Duration>,
    connect_deadline: Duration,
    first_connect: FirstConnect,
    reconnect: Reconnect,
    backoff: Backoff,
    ping_interval: Duration,
    max_outstanding_pings: u32,
    server_order: ServerOrder,
    discover: bool,
    on_lame_duck: OnLameDuck,
    echo: bool,
    request_timeout: Option<Duration>,
    publish_timeout: Duration,
    drain_timeout: Duration,
    outbound_limit: ByteSize,
    while_disconnected: Offline,
    subscription_capacity: usize,
    subscription_bytes: ByteSize,
    metrics_subjects: Vec<String>,
    choose_server: Option<ChooseServer>,
    on_event: Vec<OnEvent>,
}

impl Default for ConnectorBuilder {
    fn default() -> Self {
        Self {
            own: Layer::default(),
            env: Layer::default(),
            context: Layer::default(),
            problem: None,
            name: None,
            connect_timeout: None,
            connect_deadline: secs(30),
            first_connect: FirstConnect::FailFast,
            reconnect: Reconnect::Forever,
            backoff: Backoff::exponential(Duration::from_millis(100), secs(5)),
            ping_interval: secs(60),
            max_outstanding_pings: 2,
            server_order: ServerOrder::Shuffled,
            discover: true,
            on_lame_duck: OnLameDuck::Migrate,
            echo: true,
            request_timeout: None,
            publish_timeout: secs(5),
            drain_timeout: secs(30),
            outbound_limit: mib(8),
            while_disconnected: Offline::Buffer,
            subscription_capacity: 65_536,
            subscription_bytes: mib(64),
            metrics_subjects: Vec::new(),
            choose_server: None,
            on_event: Vec::new(),
        }
    }
}

impl std::fmt::Debug for ConnectorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectorBuilder").field("auth", &self.own.auth).finish_non_exhaustive()
    }
}

#[allow(
    clippy::wrong_self_convention,
    reason = "`from_env` names the source of options, as on `Connector`"
)]
impl ConnectorBuilder {
    /// The servers, each `nats://host:port`, `tls://host:port` or `host`; default
    /// `nats://localhost:4222`. User information in an address is the login for that server.
    pub fn servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.own.servers = Some(servers.into_iter().map(Into::into).collect());
        self
    }

    /// One server, or several separated by commas.
    pub fn server(self, servers: impl Into<String>) -> Self {
        self.servers([servers.into()])
    }

    /// The login.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.own.auth = Some(auth);
        self
    }

    /// Encryption.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.own.tls = Some(tls);
        self
    }

    /// Takes what builder calls leave open from `NATS_URL`, `NATS_CREDS`, `NATS_TOKEN`,
    /// `NATS_USER`, `NATS_PASSWORD`, `NATS_NKEY` (a file), `NATS_JWT` and `NATS_SEED`, `NATS_CERT`,
    /// `NATS_KEY`, `NATS_CA`, `NATS_TIMEOUT`, and from the context that `NATS_CONTEXT` names.
    pub fn from_env(self) -> Self {
        self.from_vars(&|name| std::env::var(name).ok())
    }

    pub(crate) fn from_vars(mut self, var: &dyn Fn(&str) -> Option<String>) -> Self {
        match env::from_vars(var) {
            Ok(layer) => self.env = layer,
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// Takes what builder calls and variables leave open from a context of the `nats` tool
    /// (ADR-21): the named one, or the selected one.
    pub fn from_context(mut self, name: Option<&str>) -> Self {
        match env::from_context(name, &|name| std::env::var(name).ok()) {
            Ok(layer) => self.context = layer,
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// The connection's name in the server's monitoring; default `program@host#pid`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Limit of one attempt to connect to one address; default 5 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self
    }

    /// Limit of the whole first connect, however many servers there are; default 30 s.
    pub fn connect_deadline(mut self, limit: Duration) -> Self {
        self.connect_deadline = limit;
        self
    }

    /// What to do when the first connection cannot be made; default [`FirstConnect::FailFast`].
    pub fn first_connect(mut self, policy: FirstConnect) -> Self {
        self.first_connect = policy;
        self
    }

    /// What to do when the connection is lost; default [`Reconnect::Forever`].
    pub fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = policy;
        self
    }

    /// The waits between attempts to one server; default 0.1 s doubling to 5 s. The first attempt
    /// after a loss is immediate, and so is the first connect.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The time between round trips that show whether the server is alive; default 60 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Unanswered round trips that are borne; with the next one due, the connection is given up as
    /// stale. Default 2.
    pub fn max_outstanding_pings(mut self, pings: u32) -> Self {
        self.max_outstanding_pings = pings;
        self
    }

    /// The order in which servers are tried; default [`ServerOrder::Shuffled`].
    pub fn server_order(mut self, order: ServerOrder) -> Self {
        self.server_order = order;
        self
    }

    /// Whether servers that the cluster announces join the pool; default `true`.
    pub fn discover(mut self, discover: bool) -> Self {
        self.discover = discover;
        self
    }

    /// Chooses the server for each reconnect from the pool (as `host:port`); `None` leaves it to
    /// the order. Waits stay those of the backoff.
    pub fn choose_server(
        mut self,
        choose: impl Fn(&[String]) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        self.choose_server = Some(Arc::new(choose));
        self
    }

    /// What to do when the server announces that it shuts down; default [`OnLameDuck::Migrate`].
    pub fn on_lame_duck(mut self, policy: OnLameDuck) -> Self {
        self.on_lame_duck = policy;
        self
    }

    /// Whether this connection receives what it publishes itself; default `true`.
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Do not receive what this connection publishes itself.
    pub fn no_echo(self) -> Self {
        self.echo(false)
    }

    /// The first tokens of reply subjects; default `_INBOX`.
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.own.inbox_prefix = Some(prefix.into());
        self
    }

    /// Default limit of requests, JetStream calls and subscribes; default 10 s.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = Some(limit);
        self
    }

    /// Limit of one publish while the connection takes nothing; default 5 s.
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.publish_timeout = limit;
        self
    }

    /// Limit of `drain()` and `close()`; default 30 s.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Bytes that are kept while there is no connection; default 8 MiB.
    pub fn outbound_limit(mut self, limit: ByteSize) -> Self {
        self.outbound_limit = limit;
        self
    }

    /// What happens to a publish while there is no connection; default [`Offline::Buffer`].
    pub fn while_disconnected(mut self, policy: Offline) -> Self {
        self.while_disconnected = policy;
        self
    }

    /// Messages that a subscription keeps for a slow reader before it drops; default 65 536.
    pub fn subscription_capacity(mut self, messages: usize) -> Self {
        self.subscription_capacity = messages;
        self
    }

    /// Bytes that a subscription keeps for a slow reader before it drops; default 64 MiB. A message
    /// that nothing waits before is kept, however large it is.
    pub fn subscription_bytes(mut self, limit: ByteSize) -> Self {
        self.subscription_bytes = limit;
        self
    }

    /// The subjects, maybe with wildcards, that have figures of their own in
    /// [`meters`](crate::meters); those of all others are added up.
    #[cfg(feature = "metrics")]
    pub fn metrics_subjects<S: Into<String>>(
        mut self,
        subjects: impl IntoIterator<Item = S>,
    ) -> Self {
        self.metrics_subjects = subjects.into_iter().map(Into::into).collect();
        self
    }

    /// The JetStream domain for [`Connector::jetstream`] and buckets.
    pub fn jetstream_domain(mut self, domain: impl Into<String>) -> Self {
        self.own.js_domain = Some(domain.into());
        self
    }

    /// Calls an async function with each event, one after the other. A slow one misses events (and
    /// is told so by [`Event::Lagged`]), but delays nothing.
    pub fn on_event<F, Fut>(mut self, call: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_event.push(Arc::new(move |event| Box::pin(call(event))));
        self
    }

    /// Connects.
    ///
    /// Each server of the pool is tried; a server that refuses the login does not keep the others from
    /// being tried, but limits that to less than a second more.
    ///
    /// # Errors
    /// `BadUrl`, `BadOption`, `TlsFailed` for options that cannot work; `Creds*` and `AuthSource` if
    /// there is no login to send; `AuthDenied` if a server refused it; `Unreachable` with each
    /// server's own reason otherwise.
    pub async fn build(self) -> Result<Connector, ConnectError> {
        let choose_server = self.choose_server.clone();
        let on_event = self.on_event.clone();
        let mut options = self.resolve()?;
        check_tls(&options)?;
        if let Some(tls) = &mut options.tls {
            named::prepare(tls)?;
        }
        options.auth.check().await?;
        let link = Link::new(options, choose_server);
        for call in on_event {
            spawn_callback(link.events(), call);
        }
        dial::first_connect(&link).await?;
        Ok(Connector::new(link))
    }

    /// Merges the sources and checks what can be checked without a network.
    pub(super) fn resolve(self) -> Result<Options, Error> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let bad = |option: &str, why: &str| BadOption { option: option.into(), why: why.into() };
        let layer = self.own.over(self.env).over(self.context);
        let texts = layer.servers.unwrap_or_else(|| vec!["nats://localhost:4222".into()]);
        let servers = url::parse_list(&texts)?;
        if servers.is_empty() {
            return Err(bad("servers", "there is no address").into());
        }
        let inbox_prefix = layer.inbox_prefix.unwrap_or_else(|| "_INBOX".into());
        crate::error::check_subject(&inbox_prefix, false)
            .map_err(|error| bad("inbox_prefix", &error.to_string()))?;
        if self.ping_interval.is_zero() {
            return Err(bad("ping_interval", "it must be above zero").into());
        }
        if self.subscription_capacity == 0 {
            return Err(bad("subscription_capacity", "it must be above zero").into());
        }
        Ok(Options {
            servers,
            auth: layer.auth.unwrap_or_default(),
            tls: layer.tls,
            name: self.name.unwrap_or_else(default_name),
            connect_timeout: self.connect_timeout.or(layer.timeout).unwrap_or(secs(5)),
            connect_deadline: self.connect_deadline,
            first_connect: self.first_connect,
            reconnect: self.reconnect,
            backoff: self.backoff,
            ping_interval: self.ping_interval,
            max_outstanding_pings: self.max_outstanding_pings.max(1),
            server_order: self.server_order,
            discover: self.discover,
            on_lame_duck: self.on_lame_duck,
            echo: self.echo,
            inbox_prefix,
            request_timeout: self.request_timeout.or(layer.timeout).unwrap_or(secs(10)),
            publish_timeout: self.publish_timeout,
            drain_timeout: self.drain_timeout,
            outbound_limit: self.outbound_limit,
            while_disconnected: self.while_disconnected,
            subscription_capacity: self.subscription_capacity,
            subscription_bytes: self.subscription_bytes,
            js_domain: layer.js_domain,
            js_api_prefix: layer.js_api_prefix,
            metrics_subjects: self.metrics_subjects,
        })
    }
}

pub(crate) fn spawn_callback(mut events: EventStream, call: OnEvent) {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            call(event).await;
        }
    });
}

/// `program@host#pid`.
fn default_name() -> String {
    let program = std::env::current_exe().ok();
    let program =
        program.as_deref().and_then(|path| path.file_stem()).and_then(|name| name.to_str());
    let host = std::env::var("HOSTNAME")
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"))
        .unwrap_or_else(|_| "localhost".into());
    format!("{}@{}#{}", program.unwrap_or("natterjack"), host.trim(), std::process::id())
}

/// Opens the TLS files, so that a wrong path fails here and not at some reconnect.
fn check_tls(options: &Options) -> Result<(), Error> {
    let Some(tls) = &options.tls else { return Ok(()) };
    let identity = tls.identity.as_ref();
    let files = [
        ("the CA file", tls.ca.as_ref()),
        ("the certificate file", identity.map(|(cert, _)| cert)),
        ("the key file", identity.map(|(_, key)| key)),
    ];
    for (what, path) in files {
        let Some(path) = path else { continue };
        let failed = |detail: String| TlsFailed { stage: format!("reading {what}"), detail };
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(format!("{}: {error}", path.display())))?;
        if !text.contains("-----BEGIN ") {
            return Err(failed(format!("{}: no PEM block in it", path.display())).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows U-017.
    #[test]
    fn builder_calls_win_over_the_environment() {
        let var = |name: &str| match name {
            "NATS_URL" => Some("nats://env:1".into()),
            "NATS_TOKEN" => Some("envtoken".into()),
            "NATS_TIMEOUT" => Some("3s".into()),
            _ => None,
        };
        let env_only = ConnectorBuilder::default().from_vars(&var).resolve().unwrap().effective();
        assert_eq!(env_only.servers, ["env:1"]);
        assert_eq!(env_only.login, "token");
        assert_eq!((env_only.connect_timeout, env_only.request_timeout), (secs(3), secs(3)));
        let both = ConnectorBuilder::default()
            .server("own:2")
            .auth(Auth::user_password("u", "p"))
            .connect_timeout(secs(1))
            .from_vars(&var)
            .resolve()
            .unwrap()
            .effective();
        assert_eq!(both.servers, ["own:2"]);
        assert_eq!(both.login, "user and password");
        assert_eq!(both.connect_timeout, secs(1));
    }

    // Shows U-002.
    #[test]
    fn the_nine_options_of_the_first_example_are_shown_as_they_became() {
        let options = ConnectorBuilder::default()
            .servers(["nats://localhost:4222"])
            .name("NATS simple example publisher")
            .connect_timeout(secs(10))
            .ping_interval(secs(20))
            .max_outstanding_pings(6)
            .reconnect(Reconnect::Forever)
            .server_order(ServerOrder::Shuffled)
            .backoff(Backoff::fixed(secs(5)))
            .echo(true)
            .resolve()
            .unwrap()
            .effective();
        assert_eq!(options.servers, ["localhost:4222"]);
        assert_eq!(options.name, "NATS simple example publisher");
        assert_eq!(options.connect_timeout, secs(10));
        assert_eq!(options.ping_interval, secs(20));
        assert_eq!(options.max_outstanding_pings, 6);
        assert_eq!(options.stale_after, secs(140));
        assert_eq!(options.reconnect, Reconnect::Forever);
        assert_eq!(options.server_order, ServerOrder::Shuffled);
        assert_eq!(options.backoff, Backoff::fixed(secs(5)));
        assert!(options.echo);
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let code = |builder: ConnectorBuilder| builder.resolve().map(|_| ()).unwrap_err().code();
        let builder = ConnectorBuilder::default;
        assert_eq!(code(builder().servers(Vec::<String>::new())), "connect.bad_option");
        assert_eq!(code(builder().inbox_prefix("a b")), "connect.bad_option");
        assert_eq!(code(builder().ping_interval(Duration::ZERO)), "connect.bad_option");
        assert_eq!(code(builder().server("http://x")), "connect.bad_url");
    }
}
