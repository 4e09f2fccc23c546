//! What all connections of a server share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use hashbrown::HashMap;
use natterjack_config::Options;
use natterjack_config::flags::Overrides;
use natterjack_core::account::{Account, Matches};
use natterjack_core::auth::{
    AccountLimits, Authenticator, ConnInfo, ConnectionType, Credentials, Identity,
};
use natterjack_core::batch::Batch;
use natterjack_core::budget::Budget;
use natterjack_core::client::Client;
use natterjack_core::service::{Message, Origin};
use natterjack_core::session::SessionLimits;
use natterjack_proto::error::{ClosedReason, ServerError};
use natterjack_proto::info::Info;
use natterjack_proto::parser::Limits;
use tokio::sync::{Semaphore, watch};

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::connection_info::ConnectionInfo;
use crate::deadlines::Deadlines;
use crate::interest::InterestNotes;
use crate::jetstream::JetStreamGlue;
use crate::log::Log;
use crate::pace::Notice;
use crate::ports::Ports;
use crate::program::Program;
use crate::resolver::Resolver;
use crate::server_id::ServerId;
use crate::sharing::Lobby;
use crate::stats::Stats;
use crate::system::System;
use crate::tasks::Tasks;
use crate::transport::tls::Transports;
use crate::{files, log_debug, log_error, log_info, trace, traced};

/// The version of nats-server whose behaviour clients may expect; they gate features on it.
pub const COMPATIBLE_VERSION: &str = "2.15.1";
/// How many logins wait for an authorization service at a time.
const CALLOUTS: usize = 256;
/// The level of the JetStream API, shown in INFO also with JetStream off.
pub(crate) const API_LEVEL: u64 = 5;

/// The shared state. Each part has one owner here; locks are leaves.
pub(crate) struct Hub {
    id: ServerId,
    clock: Clock,
    runtime: Tasks,
    log: Arc<Log>,
    options: RwLock<Arc<Options>>,
    /// `no_fast_producer_stall`, for each batch.
    leaves_out: AtomicBool,
    overrides: Option<Overrides>,
    program_logins: Option<Program>,
    authenticator: RwLock<Arc<Authenticator>>,
    accounts: Accounts,
    interest: Arc<InterestNotes>,
    jetstream: Option<JetStreamGlue>,
    reception: Arc<Lobby>,
    stats: Stats,
    system: System,
    ports: RwLock<Ports>,
    /// The program's name, in the name of the ports file; and that file, while it is there.
    program: String,
    ports_file: Mutex<Option<PathBuf>>,
    /// When the options were read, in nanoseconds since 1970.
    configured_unix_ns: AtomicI64,
    transports: RwLock<Arc<Transports>>,
    connections: Mutex<HashMap<u64, Arc<ConnectionInfo>>>,
    /// How many of them are about to be sent away; changed under their lock.
    refused: AtomicUsize,
    /// When they want to be nudged.
    deadlines: Deadlines,
    closed: Mutex<crate::closed::ClosedRing>,
    /// Requests of the monitoring port by path.
    requests: Mutex<std::collections::BTreeMap<String, u64>>,
    /// Internal connections of the reference take the first numbers.
    next_cid: AtomicU64,
    /// Numbers the messages that the server itself publishes (`server.seq` of its replies).
    next_seq: AtomicU64,
    lame_duck: watch::Sender<bool>,
    stopping: AtomicBool,
    password_checks: Semaphore,
    /// Logins about which an authorization service is asked at a time.
    callouts: Semaphore,
    resolver: Resolver,
    /// Held while the configuration or an account changes.
    changes: Mutex<()>,
    /// What may wait for all clients together.
    budget: Arc<Budget>,
    start_unix_ns: i64,
    me: Weak<Hub>,
}

/// What a hub is made of.
pub(crate) struct HubParts {
    pub(crate) id: ServerId,
    pub(crate) clock: Clock,
    pub(crate) runtime: Tasks,
    pub(crate) log: Arc<Log>,
    pub(crate) options: Options,
    pub(crate) program: String,
    pub(crate) overrides: Option<Overrides>,
    pub(crate) program_logins: Option<Program>,
    pub(crate) authenticator: Authenticator,
    pub(crate) transports: Transports,
    pub(crate) resolver: Resolver,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(
        parts: HubParts,
        jetstream: impl FnOnce(&Weak<Hub>) -> Option<JetStreamGlue>,
    ) -> Arc<Self> {
        let interest = Arc::new(InterestNotes::default());
        Arc::new_cyclic(|me| Hub {
            accounts: Accounts::new(interest.clone()),
            start_unix_ns: parts.clock.unix_ns(),
            configured_unix_ns: AtomicI64::new(parts.clock.unix_ns()),
            closed: Mutex::new(crate::closed::ClosedRing::new(parts.options.max_closed_clients)),
            clock: parts.clock,
            runtime: parts.runtime,
            log: parts.log,
            leaves_out: AtomicBool::new(parts.options.no_fast_producer_stall),
            options: RwLock::new(Arc::new(parts.options)),
            overrides: parts.overrides,
            program_logins: parts.program_logins,
            authenticator: RwLock::new(Arc::new(parts.authenticator)),
            interest,
            jetstream: jetstream(me),
            reception: Arc::new(Lobby::new(me.clone(), parts.id.public_key.clone())),
            stats: Stats::default(),
            system: System::default(),
            ports: RwLock::default(),
            program: parts.program,
            ports_file: Mutex::default(),
            transports: RwLock::new(Arc::new(parts.transports)),
            connections: Mutex::default(),
            refused: AtomicUsize::new(0),
            deadlines: Deadlines::default(),
            requests: Mutex::default(),
            next_cid: AtomicU64::new(5),
            next_seq: AtomicU64::new(1),
            lame_duck: watch::Sender::new(false),
            stopping: AtomicBool::new(false),
            password_checks: Semaphore::new(2),
            callouts: Semaphore::new(CALLOUTS),
            resolver: parts.resolver,
            changes: Mutex::default(),
            budget: Arc::new(Budget::new(crate::process::memory_allowance())),
            me: me.clone(),
            id: parts.id,
        })
    }

    pub(crate) fn id(&self) -> &ServerId {
        &self.id
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn runtime(&self) -> &Tasks {
        &self.runtime
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn replace_log(&self, options: crate::log::LogOptions) -> std::io::Result<()> {
        self.log.replace(options)
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What serves the system account.
    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    /// Messages and bytes sent to clients since the start.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let closed = [&self.stats.out_msgs_closed, &self.stats.out_bytes_closed];
        let [mut msgs, mut bytes] = closed.map(|counter| counter.load(Ordering::Relaxed));
        for info in guard(&self.connections).values() {
            let [_, _, out_msgs, out_bytes] = info.client.traffic.counts();
            msgs += out_msgs;
            bytes += out_bytes;
        }
        (msgs, bytes)
    }

    pub(crate) fn start_unix_ns(&self) -> i64 {
        self.start_unix_ns
    }

    pub(crate) fn jetstream(&self) -> Option<&JetStreamGlue> {
        self.jetstream.as_ref()
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What services of accounts learn about clients.
    pub(crate) fn reception(&self) -> &Arc<Lobby> {
        &self.reception
    }

    pub(crate) fn weak(&self) -> Weak<Hub> {
        self.me.clone()
    }

    pub(crate) fn options(&self) -> Arc<Options> {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The flags of the command line.
    pub(crate) fn overrides(&self) -> Option<&Overrides> {
        self.overrides.as_ref()
    }

    /// What decides about logins, if that is the embedding program.
    pub(crate) fn program_logins(&self) -> Option<&Program> {
        self.program_logins.as_ref()
    }

    pub(crate) fn set_options(&self, options: Arc<Options>) {
        self.configured_unix_ns.store(self.clock.unix_ns(), Ordering::Relaxed);
        self.leaves_out.store(options.no_fast_producer_stall, Ordering::Relaxed);
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    pub(crate) fn authenticator(&self) -> Arc<Authenticator> {
        self.authenticator.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_authenticator(&self, authenticator: Authenticator) {
        *self.authenticator.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(authenticator);
    }

    pub(crate) fn ports(&self) -> Ports {
        self.ports.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_ports(&self, ports: Ports) {
        *self.ports.write().unwrap_or_else(PoisonError::into_inner) = ports;
    }

    /// When the options were read, in nanoseconds since 1970.
    pub(crate) fn configured_unix_ns(&self) -> i64 {
        self.configured_unix_ns.load(Ordering::Relaxed)
    }

    /// Puts the ports file where the options want it, and takes away the one before.
    pub(crate) fn write_ports_file(&self) -> Result<(), (PathBuf, std::io::Error)> {
        let options = self.options();
        let directory = options.ports_file_dir.as_deref().filter(|path| !path.is_empty());
        let path = directory.map(|directory| files::ports_path(directory.as_ref(), &self.program));
        let mut known = guard(&self.ports_file);
        if *known != path {
            known.take().map(std::fs::remove_file);
        }
        let Some(path) = path else { return Ok(()) };
        files::write_ports(&path, &self.ports()).map_err(|error| (path.clone(), error))?;
        *known = Some(path);
        Ok(())
    }

    /// The server ends, and with it the ports file.
    pub(crate) fn remove_ports_file(&self) {
        guard(&self.ports_file).take().map(std::fs::remove_file);
    }

    /// TLS of the listeners.
    pub(crate) fn transports(&self) -> Arc<Transports> {
        self.transports.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_transports(&self, transports: Transports) {
        *self.transports.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(transports);
    }

    pub(crate) fn next_cid(&self) -> u64 {
        self.next_cid.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn is_lame_duck(&self) -> bool {
        *self.lame_duck.borrow()
    }

    /// From now on nothing is read from clients.
    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn set_lame_duck(&self) {
        self.lame_duck.send_replace(true);
    }

    /// Turns true when lame duck mode begins.
    pub(crate) fn lame_duck(&self) -> watch::Receiver<bool> {
        self.lame_duck.subscribe()
    }

    // ---- connections -------------------------------------------------------------------------------

    pub(crate) fn register(&self, client: &Arc<Client>, peer: SocketAddr) -> Arc<ConnectionInfo> {
        self.stats.connections.fetch_add(1, Ordering::Relaxed);
        let max = self.options().max_connections;
        let start = self.clock.unix_ns();
        let mut connections = guard(&self.connections);
        // Those that are refused themselves take no place.
        let present = connections.len() - self.refused.load(Ordering::Relaxed);
        let admitted = max.is_none_or(|max| (present as u64) < max);
        if !admitted {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let info = Arc::new(ConnectionInfo::new(client.clone(), peer, start, admitted));
        connections.insert(client.cid, info.clone());
        info
    }

    pub(crate) fn unregister(&self, info: &Arc<ConnectionInfo>, reason: ClosedReason) {
        let mut connections = guard(&self.connections);
        if connections.remove(&info.client.cid).is_some() && !info.is_admitted() {
            self.refused.fetch_sub(1, Ordering::Relaxed);
        }
        drop(connections);
        let traffic = info.client.traffic.counts();
        self.stats.out_msgs_closed.fetch_add(traffic[2], Ordering::Relaxed);
        self.stats.out_bytes_closed.fetch_add(traffic[3], Ordering::Relaxed);
        self.system.ended(info, traffic, reason);
        match reason {
            ClosedReason::SlowConsumerPendingBytes => {
                self.stats.slow_consumers.fetch_add(1, Ordering::Relaxed);
                log_info!(
                    self.log,
                    "{} - Slow Consumer Detected: MaxPending of {} Exceeded",
                    info.prefix(),
                    info.client.outbox().max_pending()
                );
            }
            ClosedReason::SlowConsumerWriteDeadline => {
                self.stats.slow_consumers.fetch_add(1, Ordering::Relaxed);
                let deadline = self.options().write_deadline;
                log_info!(
                    self.log,
                    "{} - Slow Consumer Detected: WriteDeadline of {deadline:?} exceeded",
                    info.prefix()
                );
            }
            _ => {}
        }
        log_debug!(self.log, "{} - Client connection closed: {}", info.prefix(), reason.as_str());
        let entry = crate::closed::ClosedConnection::new(info, reason, self.clock.unix_ns());
        guard(&self.closed).push(entry);
    }

    /// A client reads too slowly, and stays.
    pub(crate) fn is_slow(&self, cid: u64, notice: Notice) {
        let Some(info) = self.connection(cid) else { return };
        let (prefix, deadline) = (info.prefix(), self.options().write_deadline);
        let what = match notice {
            Notice::Recovered => {
                log_info!(self.log, "{prefix} - Slow Consumer Recovered");
                return;
            }
            Notice::Slow => "Detected",
            Notice::StillSlow => "State",
        };
        self.stats.slow_consumers.fetch_add(1, Ordering::Relaxed);
        self.system.slow(&info);
        log_info!(
            self.log,
            "{prefix} - Slow Consumer {what}: WriteDeadline of {deadline:?} exceeded"
        );
    }

    /// All live connections.
    pub(crate) fn connections(&self) -> Vec<Arc<ConnectionInfo>> {
        guard(&self.connections).values().cloned().collect()
    }

    pub(crate) fn connection(&self, cid: u64) -> Option<Arc<ConnectionInfo>> {
        guard(&self.connections).get(&cid).cloned()
    }

    pub(crate) fn connection_count(&self) -> usize {
        guard(&self.connections).len()
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    pub(crate) fn closed_connections(&self) -> Vec<crate::closed::ClosedConnection> {
        guard(&self.closed).entries()
    }

    /// Counts a request of the monitoring port. Only known paths come here, so the table is bounded.
    pub(crate) fn count_request(&self, path: &str) {
        *guard(&self.requests).entry(path.to_owned()).or_insert(0) += 1;
    }

    pub(crate) fn request_counts(&self) -> std::collections::BTreeMap<String, u64> {
        guard(&self.requests).clone()
    }

    // ---- logins and limits -------------------------------------------------------------------------

    /// Who a connection to an open server is, before its CONNECT.
    pub(crate) fn open_identity(&self) -> Option<Arc<Identity>> {
        let (nobody, unknown) = (Credentials::default(), ConnInfo::default());
        self.authenticator().authenticate(&nobody, "", &unknown, 0).ok()
    }

    /// Bcrypt checks run two at a time: they cost CPU by design.
    pub(crate) fn password_checks(&self) -> &Semaphore {
        &self.password_checks
    }

    /// Questions to authorization services: so many wait at a time.
    pub(crate) fn callouts(&self) -> &Semaphore {
        &self.callouts
    }

    /// Where account JWTs come from.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Reloads and updates of accounts come one after the other: whoever changes something holds this.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        guard(&self.changes)
    }

    /// The account of an identity, if it may have one more connection.
    pub(crate) fn enter(
        &self,
        identity: &Identity,
    ) -> Result<Arc<Account>, (ServerError, ClosedReason)> {
        let Some(account) = self.accounts.find(&identity.account) else {
            log_error!(self.log, "account \"{}\" not found", identity.account);
            return Err((ServerError::AuthorizationViolation, ClosedReason::MissingAccount));
        };
        let connections = u64::try_from(account.connections.load(Ordering::Relaxed)).unwrap_or(0);
        if self.account_limits(identity).connections.is_some_and(|max| connections >= max) {
            return Err((
                ServerError::MaximumAccountConnectionsExceeded,
                ClosedReason::MaximumAccountConnectionsExceeded,
            ));
        }
        Ok(account)
    }

    fn account_limits(&self, identity: &Identity) -> AccountLimits {
        self.authenticator()
            .account(&identity.account)
            .map(|account| account.limits.clone())
            .unwrap_or_default()
    }

    pub(crate) fn session_limits(&self, identity: Option<&Identity>) -> SessionLimits {
        let options = self.options();
        let server = options.max_subscriptions;
        let user = identity.and_then(|identity| identity.limits.subscriptions);
        let account = identity.and_then(|identity| self.account_limits(identity).subscriptions);
        SessionLimits {
            max_subscriptions: [server, user, account]
                .into_iter()
                .flatten()
                .min()
                .map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
            max_subject_tokens: options.max_sub_tokens.map(usize::from),
            headers: !options.no_header_support,
        }
    }

    /// The largest publish of a connection in bytes: the smallest of all limits.
    pub(crate) fn max_payload(&self, identity: Option<&Identity>) -> i64 {
        let server = self.options().max_payload;
        let user = identity.and_then(|identity| identity.limits.payload_bytes);
        let account = identity.and_then(|identity| self.account_limits(identity).payload_bytes);
        let smallest = [user, account].into_iter().flatten().fold(server, u64::min);
        i64::try_from(smallest).unwrap_or(i64::MAX)
    }

    /// What the parser of a connection refuses by size.
    pub(crate) fn parser_limits(&self, identity: Option<&Identity>) -> Limits {
        // nats-server's limit is a 32-bit number too; here it keeps what a line tells below 2 GB.
        let line = self.options().max_control_line.min(i32::MAX as u64);
        Limits { max_control_line: line as usize, max_payload: self.max_payload(identity) }
    }

    // ---- INFO --------------------------------------------------------------------------------------

    fn base_info(&self, info: &ConnectionInfo) -> Info {
        let options = self.options();
        let ports = self.ports();
        let kind = info.connection_type();
        let transports = self.transports();
        let (tls, (host, port)) = match kind {
            ConnectionType::WebSocket => {
                (transports.websocket.as_deref(), ports.advertised_websocket(&options))
            }
            _ => (transports.client.as_deref(), ports.advertised(&options)),
        };
        // A WebSocket has its TLS already, and says both (nats-server 2.15.1).
        let is_open = kind != ConnectionType::WebSocket
            && (options.allow_non_tls || kind == ConnectionType::InProcess);
        Info {
            auth_required: self.authenticator().auth_required_of(kind),
            tls_required: tls.is_some() && !is_open,
            tls_available: tls.is_some() && (is_open || kind == ConnectionType::WebSocket),
            tls_verify: tls.is_some_and(|tls| tls.options.verify),
            server_id: self.id.public_key.clone(),
            server_name: self.id.name.clone(),
            version: COMPATIBLE_VERSION.into(),
            proto: 1,
            git_commit: concat!("natterjack-", env!("CARGO_PKG_VERSION")).into(),
            go: "rust".into(),
            host,
            port,
            headers: !options.no_header_support,
            max_payload: self.max_payload(None),
            jetstream: self.jetstream.is_some(),
            client_id: info.client.cid,
            client_ip: info.peer().ip().to_string(),
            domain: options.jetstream.domain.clone().unwrap_or_default(),
            ldm: self.is_lame_duck(),
            api_lvl: API_LEVEL,
            xkey: self.id.xkey.clone(),
            ..Info::default()
        }
    }

    /// The INFO of a new connection.
    pub(crate) fn info_for(
        &self,
        info: &ConnectionInfo,
        nonce: Option<&str>,
        awaits_header: bool,
    ) -> Info {
        let mut first = self.base_info(info);
        first.nonce = nonce.unwrap_or_default().into();
        if awaits_header {
            // Not to be told before a load balancer could say whom it speaks for.
            first.client_ip = String::new();
        }
        first
    }

    /// The INFO that follows the first PONG.
    pub(crate) fn post_connect_info(&self, info: &ConnectionInfo) -> Info {
        let identity = info.details().identity;
        let account =
            identity.as_ref().map(|identity| identity.account.to_string()).unwrap_or_default();
        Info {
            connect_info: true,
            acc_is_sys: self.accounts.is_system(&account),
            remote_account: account,
            max_payload: self.max_payload(identity.as_deref()),
            ..self.base_info(info)
        }
    }

    /// Publishes a message of the server itself. `subject` must be literal.
    pub(crate) fn publish(&self, batch: &mut Batch, account: &str, subject: &[u8], payload: &[u8]) {
        self.publish_with(batch, account, subject, &[], payload);
    }

    /// The same with a whole header block, or none.
    pub(crate) fn publish_with(
        &self,
        batch: &mut Batch,
        account: &str,
        subject: &[u8],
        headers: &[u8],
        payload: &[u8],
    ) {
        let Some(account) = self.accounts.find(account) else { return };
        let mut matches = Matches::default();
        account.find(subject, &mut matches);
        let message = Message { subject, reply: None, headers, payload };
        account.route(&matches, subject, &message, Origin::Internal, batch);
    }

    // ---- batches -----------------------------------------------------------------------------------

    /// Puts the time into a batch.
    pub(crate) fn stamp(&self, batch: &mut Batch) {
        batch.mono_ns = self.clock.mono_ns();
        batch.unix_ns = self.clock.unix_ns();
        batch.leaves_out = self.leaves_out.load(Ordering::Relaxed);
        if self.log.is_trace() != batch.tracer.is_some() {
            batch.tracer = self.log.is_trace().then(|| trace::tracer(&self.me));
        }
    }

    /// More waits for clients than the server may hold: the largest outbox goes, as a slow consumer.
    #[cold]
    fn close_largest(&self) {
        let connections = self.connections();
        let pending = |info: &&Arc<ConnectionInfo>| info.client.outbox().pending();
        // Where nothing waits, unfinished publishes hold the memory: those end themselves.
        if let Some(largest) =
            connections.iter().filter(|info| pending(info) > 0).max_by_key(pending)
        {
            log_error!(
                self.log,
                "{} - closed: the largest outbox while {} bytes wait for all clients",
                largest.prefix(),
                self.budget.used()
            );
            largest.client.close(ClosedReason::SlowConsumerPendingBytes);
        }
    }

    /// Sends what the server itself has to say to one client, outside any batch.
    pub(crate) fn send(&self, client: &Client, mut bytes: Vec<u8>) {
        if self.log.is_trace() {
            trace::outbound(self, client, &bytes);
        }
        client.send(&mut bytes);
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Writes what a batch holds that goes on.
    #[cold]
    pub(crate) fn relieve(&self, batch: &mut Batch) {
        traced::report(self, batch);
        batch.flush();
    }

    /// Ends a batch: passes changes of interest on, settles streams, writes.
    pub(crate) fn finish(&self, batch: &mut Batch) {
        if batch.has_reports() {
            traced::report(self, batch);
        }
        // Settling may change interest, and a change may give a stream something to send.
        for _ in 0..8 {
            let changes = self.interest.take();
            if let Some(jetstream) = &self.jetstream {
                for (account, subject) in &changes {
                    jetstream.interest_changed(self, batch, account, subject);
                }
            }
            batch.flush();
            // The last delivery of a subscription ends it in the flush.
            if !self.interest.is_noted() {
                break;
            }
        }
        if self.budget.is_exceeded() {
            self.close_largest();
        }
    }
}
