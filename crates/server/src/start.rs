//! From options to a running server, and back to silence.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use natterjack_config::flags::Overrides;
use natterjack_config::options::{ConfigError, HandshakeFirst, ValidationError};
use natterjack_core::auth::AuthConfigError;
use natterjack_proto::error::ClosedReason;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::builder::{Builder, Store};
use crate::clock::Clock;
use crate::connection::with_batch;
use crate::hub::{COMPATIBLE_VERSION, Hub, HubParts};
use crate::jetstream::{self, JetStreamGlue};
use crate::log::{Log, LogOptions};
use crate::ports::Ports;
use crate::program::Program;
use crate::resolver::{self, Resolver};
use crate::server::Server;
use crate::server_id::ServerId;
use crate::tasks::Tasks;
use crate::transport::tls::Transports;
use crate::transport::upgrade;
use crate::{deadlines, files, listener, logins, monitor, signals};
use crate::{log_error, log_info, log_warn};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The options contradict each other.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// The logins are wrong.
    #[error(transparent)]
    Logins(#[from] AuthConfigError),
    /// A subject mapping is wrong.
    #[error("{0}")]
    Mapping(String),
    /// Imports or exports of accounts do not hold.
    #[error("{0}")]
    Sharing(String),
    /// An account, operator or resolver setting is wrong.
    #[error("{0}")]
    Operator(String),
    /// The log file cannot be opened.
    #[error("error opening log file {path:?}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate, its key or an authority cannot be used.
    #[error("{0}")]
    Tls(String),
    /// A listener cannot be opened.
    #[error("Error listening on port: {address}, {source:?}")]
    Listen {
        /// What was asked for.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The host is no address and no name that resolves.
    #[error("host {host:?} does not resolve: {source}")]
    Host {
        /// What was asked for.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error("{0}")]
    Store(String),
    /// The process id or ports file cannot be written.
    #[error("could not write {path:?}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start threads: {0}")]
    Thread(std::io::Error),
    /// The starting thread ended early.
    #[error("the start was aborted")]
    Aborted,
}

/// How long clients may take to receive the last bytes when the server stops.
const LAST_FLUSH: Duration = Duration::from_millis(500);
/// How long the store may take to finish its last round.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// Starts a server; returns once it accepts clients.
pub(crate) fn start(builder: Builder) -> Result<Server, StartError> {
    let Builder { options, store, log, workers, program, program_logins, overrides } = builder;
    options.validate()?;
    let log = open_log(log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("natterjack")
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let outcome =
        start_on(&runtime, Plan { options, store, log, program, program_logins, overrides });
    match outcome {
        Ok((hub, stop, stopped)) => Ok(Server { hub, stop, stopped, runtime: Some(runtime) }),
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

fn open_log(options: Option<LogOptions>) -> Result<Arc<Log>, StartError> {
    let options = options.unwrap_or(LogOptions { off: true, ..LogOptions::default() });
    let path = options.file.clone().unwrap_or_default();
    Log::open(options).map(Arc::new).map_err(|source| StartError::Log { path, source })
}

type Running = (Arc<Hub>, watch::Sender<bool>, watch::Receiver<bool>);

struct Plan {
    options: natterjack_config::Options,
    store: Store,
    log: Arc<Log>,
    program: String,
    program_logins: Option<Program>,
    overrides: Option<Overrides>,
}

fn start_on(runtime: &Runtime, plan: Plan) -> Result<Running, StartError> {
    let Plan { options, store, log, program, program_logins, overrides } = plan;
    let authenticator = logins::authenticator(&options, program_logins.is_some())?;
    crate::sharing::check(&options)?;
    crate::operator::check(&options)?;
    let transports = Transports::load(&options).map_err(StartError::Tls)?;
    let id = ServerId::new(options.server_name.as_deref());
    log_info!(log, "Starting {program}");
    log_info!(log, "  Version:  {COMPATIBLE_VERSION}");
    log_info!(log, "  Git:      [natterjack-{}]", env!("CARGO_PKG_VERSION"));
    log_info!(log, "  Name:     {}", id.name);
    if options.jetstream.enabled {
        log_info!(log, "  Node:     {}", jetstream::node_name(&id.name));
    }
    log_info!(log, "  ID:       {}", id.public_key);
    for line in options.feature_notices() {
        log_info!(log, "{line}");
    }
    for warning in &options.warnings {
        log_warn!(log, "{warning}");
    }
    for notice in options.startup_notices() {
        log_warn!(log, "{notice}");
    }
    if let Some(file) = &options.config_file {
        log_info!(log, "Using configuration file: {file} ({})", options.config_digest);
    }
    let address = client_address(&options, &log)?;
    let client_socket = bind(address)?;
    let monitor = monitor_address(&options, address, options.http_port)?;
    let monitor_socket = monitor.map(bind).transpose()?;
    let secure_monitor = monitor_address(&options, address, options.https_port)?;
    let secure_monitor_socket = secure_monitor.map(bind).transpose()?;
    let websocket_socket = websocket_address(&options, address)?.map(bind).transpose()?;
    let clock = Clock::start();
    let resolver = Resolver::open(&options, &authenticator, &log, clock.unix_ns(), runtime)?;
    let engine = match options.jetstream.enabled {
        true => Some(jetstream::open(&options, &store, &id, &log)?),
        false => None,
    };
    let (stop, stop_seen) = watch::channel(false);
    let tasks = Tasks::new(runtime.handle().clone(), stop.clone(), log.clone());
    let hub = Hub::new(
        HubParts {
            id,
            clock,
            runtime: tasks.clone(),
            log,
            options,
            program,
            program_logins,
            overrides,
            authenticator,
            transports,
            resolver,
        },
        |hub| engine.map(|engine| JetStreamGlue::new(engine, hub, tasks)),
    );
    crate::tenants::set_up(&hub)?;
    let (stopped_sender, stopped) = watch::channel(false);
    let _guard = runtime.enter();
    let bound = |socket: &Option<std::net::TcpListener>| {
        socket.as_ref().and_then(|socket| socket.local_addr().ok())
    };
    let ports = Ports {
        client: client_socket.local_addr().ok(),
        monitor: bound(&monitor_socket),
        secure_monitor: bound(&secure_monitor_socket),
        websocket: bound(&websocket_socket),
    };
    hub.set_ports(ports.clone());
    if let Some(jetstream) = hub.jetstream() {
        jetstream.recover(&hub)?;
    }
    if let Some(socket) = monitor_socket {
        let listener = tokio::net::TcpListener::from_std(socket).map_err(StartError::Thread)?;
        if let Some(address) = ports.monitor {
            log_info!(hub.log(), "Starting http monitor on {address}");
        }
        hub.runtime().spawn(monitor::serve(hub.clone(), listener, false, stop_seen.clone()));
    }
    if let Some(socket) = secure_monitor_socket {
        let listener = tokio::net::TcpListener::from_std(socket).map_err(StartError::Thread)?;
        if let Some(address) = ports.secure_monitor {
            log_info!(hub.log(), "Starting https monitor on {address}");
        }
        hub.runtime().spawn(monitor::serve(hub.clone(), listener, true, stop_seen.clone()));
    }
    let mut listeners = Vec::new();
    if let Some(socket) = websocket_socket {
        let listener = tokio::net::TcpListener::from_std(socket).map_err(StartError::Thread)?;
        listeners.push((listener, upgrade::start as listener::Serve));
        let is_secure = hub.transports().websocket.is_some();
        if let Some(address) = ports.websocket {
            let scheme = if is_secure { "wss" } else { "ws" };
            log_info!(hub.log(), "Listening for websocket clients on {scheme}://{address}");
        }
        if !is_secure {
            log_warn!(hub.log(), "Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
        }
    }
    write_files(&hub)?;
    let listener = tokio::net::TcpListener::from_std(client_socket).map_err(StartError::Thread)?;
    listeners.push((listener, listener::client));
    if let Some(address) = ports.client {
        log_info!(hub.log(), "Listening for client connections on {address}");
    }
    if hub.options().proxy_protocol {
        log_info!(hub.log(), "PROXY protocol enabled for client connections");
    }
    if hub.transports().client.is_some() {
        log_info!(hub.log(), "TLS required for client connections");
        let options = hub.options();
        if options.tls.as_ref().is_some_and(|tls| tls.handshake_first != HandshakeFirst::No) {
            log_info!(
                hub.log(),
                "Clients that are not using \"TLS Handshake First\" option will fail to connect"
            );
        }
    }
    if hub.overrides().is_some() {
        // A process of its own, not embedded: before anybody is told that it is ready.
        signals::trap(&hub, &stop);
    }
    log_info!(hub.log(), "Server is ready");
    hub.runtime().spawn(run(hub.clone(), listeners, stop_seen, stopped_sender));
    Ok((hub, stop, stopped))
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    listener::bind(address)
        .map_err(|source| StartError::Listen { address: address.to_string(), source })
}

/// Safe by default: without a login and without an explicit host, only this machine may connect.
fn client_address(
    options: &natterjack_config::Options,
    log: &Log,
) -> Result<SocketAddr, StartError> {
    let ip = match options.host.as_deref() {
        Some(host) => resolve(host)?,
        None if options.requires_login() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => {
            log_info!(
                log,
                "No login is configured, so only this machine can connect; open the server with -a 0.0.0.0"
            );
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
    };
    Ok(SocketAddr::new(ip, options.port))
}

fn monitor_address(
    options: &natterjack_config::Options,
    client: SocketAddr,
    port: Option<u16>,
) -> Result<Option<SocketAddr>, StartError> {
    let Some(port) = port else { return Ok(None) };
    let ip = match options.http_host.as_deref().filter(|host| !host.is_empty()) {
        Some(host) => resolve(host)?,
        None => client.ip(),
    };
    Ok(Some(SocketAddr::new(ip, port)))
}

fn websocket_address(
    options: &natterjack_config::Options,
    client: SocketAddr,
) -> Result<Option<SocketAddr>, StartError> {
    let Some(websocket) = &options.websocket else { return Ok(None) };
    let Some(port) = websocket.port else { return Ok(None) };
    let ip = match websocket.host.as_deref() {
        Some(host) => resolve(host)?,
        None => client.ip(),
    };
    Ok(Some(SocketAddr::new(ip, port)))
}

fn resolve(host: &str) -> Result<IpAddr, StartError> {
    use std::net::ToSocketAddrs;
    let trimmed = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = trimmed.parse() {
        return Ok(ip);
    }
    let wrong = |source| StartError::Host { host: host.into(), source };
    (trimmed, 0)
        .to_socket_addrs()
        .map_err(wrong)?
        .next()
        .map(|address| address.ip())
        .ok_or_else(|| wrong(std::io::ErrorKind::NotFound.into()))
}

fn write_files(hub: &Hub) -> Result<(), StartError> {
    let options = hub.options();
    if let Some(path) = options.pid_file.as_deref().filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        files::write_pid(&path).map_err(|source| StartError::File { path, source })?;
    }
    hub.write_ports_file().map_err(|(path, source)| StartError::File { path, source })
}

/// The server's own task: accepts, and after the stop takes everything down in order.
async fn run(
    hub: Arc<Hub>,
    listeners: Vec<(tokio::net::TcpListener, listener::Serve)>,
    stop: watch::Receiver<bool>,
    stopped: watch::Sender<bool>,
) {
    let mut requested = stop.clone();
    let accept = |(listener, serve)| {
        hub.runtime().spawn(listener::accept(hub.clone(), listener, serve, stop.clone()))
    };
    let accepting: Vec<_> = listeners.into_iter().map(accept).collect();
    hub.runtime().spawn(deadlines::run(hub.clone(), stopped.subscribe()));
    hub.runtime().spawn(crate::sharing::run(hub.clone(), stopped.subscribe()));
    hub.runtime().spawn(crate::system::run(hub.clone(), stopped.subscribe()));
    hub.runtime().spawn(resolver::run(hub.clone(), stopped.subscribe()));
    if hub.jetstream().is_some() {
        hub.runtime().spawn(jetstream::run_timers(hub.clone(), stop.clone()));
        hub.runtime().spawn(jetstream::settle(hub.clone(), stop.clone()));
    }
    let _ = requested.wait_for(|stop| *stop).await;
    log_info!(hub.log(), "Initiating Shutdown...");
    // The listeners are dropped before clients are closed: none can slip in between.
    for accepting in accepting {
        let _ = accepting.await;
    }
    let rest = hub.runtime().spawn(come_to_rest(hub.clone()));
    let abort = rest.abort_handle();
    tokio::select! {
        biased;
        () = hub.runtime().panic() => {
            abort.abort();
            abandon(&hub).await;
        }
        _ = rest => {}
    }
    hub.remove_ports_file();
    log_info!(hub.log(), "Server Exiting..");
    let _ = stopped.send(true);
}

/// Lets everything be finished that was begun.
async fn come_to_rest(hub: Arc<Hub>) {
    // Nothing more is taken from clients, so that the store can come to rest; answers still leave.
    crate::system::shutting_down(&hub);
    hub.set_stopping();
    last_round(&hub).await;
    send_away(&hub).await;
    // What a connection was performing at the beginning of the stop.
    last_round(&hub).await;
    if let Some(jetstream) = hub.jetstream() {
        jetstream.release();
    }
}

/// Leaves everything as it is: the next start takes over what is on disk, as after a kill (D-0028).
async fn abandon(hub: &Arc<Hub>) {
    hub.set_stopping();
    if let Some(jetstream) = hub.jetstream() {
        for (account, stream) in jetstream.engine().half_changed() {
            log_error!(hub.log(), "stream \"{account} > {stream}\" was being changed");
        }
        jetstream.abandon();
    }
    send_away(hub).await;
}

async fn send_away(hub: &Hub) {
    for connection in hub.connections() {
        connection.client.close(ClosedReason::ServerShutdown);
        connection.reload();
    }
    let all_gone = async {
        while hub.connection_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = tokio::time::timeout(LAST_FLUSH, all_gone).await;
}

/// Lets the store sync everything and waits for it.
async fn last_round(hub: &Arc<Hub>) {
    let Some(jetstream) = hub.jetstream() else { return };
    with_batch(hub, |batch| jetstream.shut_down(hub, batch));
    if tokio::time::timeout(LAST_ROUND, jetstream.idle()).await.is_err() {
        log_error!(hub.log(), "The disk did not finish within {LAST_ROUND:?}");
    }
}

/// No new clients; after the grace period the present ones are closed one by one; then the server stops
/// (nats-server 2.15.1).
pub(crate) fn enter_lame_duck(hub: &Arc<Hub>, stop: watch::Sender<bool>) {
    if hub.is_lame_duck() {
        return;
    }
    hub.set_lame_duck();
    log_info!(hub.log(), "Entering lame duck mode, stop accepting new clients");
    crate::system::entering_lame_duck(hub);
    let hub = hub.clone();
    hub.clone().runtime().spawn(async move {
        lame_duck(&hub).await;
        let _ = stop.send(true);
    });
}

async fn lame_duck(hub: &Arc<Hub>) {
    for connection in hub.connections() {
        if connection.is_informed() {
            let mut line = Vec::new();
            natterjack_proto::encode::info(&mut line, &hub.post_connect_info(&connection));
            hub.send(&connection.client, line);
        }
    }
    if hub.connection_count() == 0 {
        return;
    }
    let options = hub.options();
    tokio::time::sleep(options.lame_duck_grace_period).await;
    log_info!(hub.log(), "Closing existing clients");
    let connections = hub.connections();
    let spread = options.lame_duck_duration.saturating_sub(options.lame_duck_grace_period);
    let gap = (spread / u32::try_from(connections.len().max(1)).unwrap_or(u32::MAX))
        .min(Duration::from_secs(1));
    for connection in connections {
        connection.client.close(ClosedReason::ServerShutdown);
        // At random within the second half of the gap, so that clients do not reconnect in step.
        let half = gap / 2;
        tokio::time::sleep(half + half.mul_f64(rand::random::<f64>())).await;
        if hub.connection_count() == 0 {
            return;
        }
    }
}
