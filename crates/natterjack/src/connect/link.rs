//! The life of one connection: its state, its events, and the choice of the next server.
//!
//! async-nats owns the socket and tells us three things: it wants a server to connect to
//! ([`Link::choose`]), it wants a login ([`Link::login`]), and something happened
//! ([`Link::on_event`]). All three change one [`Life`] under one lock, which also sends the events, so
//! that events are in the order of what they tell. On entry and on exit of each change, the watched
//! state equals the phase in `Life`.
//!
//! Absent on purpose: sockets, timers other than the wait before an attempt, and messages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{ReconnectToServer, Server, ServerAddr};
use tokio::sync::{broadcast, watch};

use super::options::{FirstConnect, Options, Reconnect};
use super::policy::{Policy, Step};
use super::rights::Rights;
use super::url::label;
use super::violations::Violations;
use crate::core::{Outbox, Registry, Work};
use crate::error::{Closed, Error, Offline, Timeout};
use crate::event::{CloseReason, ConnState, DisconnectReason, EVENT_BACKLOG, Event, EventStream};
use crate::meters::Meters;
use crate::signal::raised;

/// Chooses a server from the pool.
pub(crate) type ChooseServer = Arc<dyn Fn(&[String]) -> Option<usize> + Send + Sync>;

/// A cause that the server named counts for a loss that follows within this time.
const REASON_FRESH: Duration = Duration::from_secs(2);

pub(crate) struct Link {
    pub(crate) options: Options,
    choose_server: Option<ChooseServer>,
    client: OnceLock<async_nats::Client>,
    life: Mutex<Life>,
    state: watch::Sender<ConnState>,
    events: broadcast::Sender<Event>,
    stop: watch::Sender<bool>,
    /// Becomes true when async-nats has ended by itself.
    pub(crate) ended: watch::Sender<bool>,
    pub(crate) violations: Violations,
    pub(crate) rights: Rights,
    pub(crate) outbox: Outbox,
    pub(crate) subscriptions: Registry,
    pub(crate) work: Work,
    pub(crate) meters: Meters,
    pub(crate) reconnects: AtomicU64,
    /// How many connections were lost.
    losses: AtomicU64,
    /// Round trips that were sent and not answered yet.
    pub(crate) outstanding_pings: AtomicU64,
}

struct Life {
    policy: Policy,
    phase: Phase,
    /// While the first connect runs in the caller's task: the server to try.
    target: Option<ServerAddr>,
    /// The attempt that is under way, until it is known how it ended.
    trying: Option<Trying>,
    /// The server of the present or last connection.
    server: Option<ServerAddr>,
    /// Failed attempts since the loss (or since the start).
    failures: u64,
    /// Why the connection will be lost, as far as it is known before it is.
    reason: Option<(DisconnectReason, Instant)>,
    /// Why the last login could not be made; the typed form of what async-nats reports as text.
    login_error: Option<Error>,
    last_error: Option<String>,
    /// The pool as it was reported last.
    known: Vec<String>,
}

struct Trying {
    addr: ServerAddr,
    failed_before: usize,
    connects_before: u64,
    started: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first connect runs in the caller's task, which decides what its failures mean.
    Dialing,
    /// The first connect runs in the background.
    Waiting,
    /// Connected, but `Event::Connected` has not been sent: its round trip is being measured.
    Fresh,
    Up,
    Down,
    Draining,
    Over,
}

/// What to do in answer to async-nats asking for a server.
enum Choice {
    Target(ServerAddr),
    Wait { addr: ServerAddr, at: Instant },
    GiveUp { at: Instant },
    Stop,
}

impl Link {
    pub(crate) fn new(options: Options, choose_server: Option<ChooseServer>) -> Arc<Self> {
        let background = options.first_connect == FirstConnect::Background;
        // In the background, the first connect goes on until it works; the rule is for losses.
        let rule = if background { Reconnect::Forever } else { options.reconnect };
        let outbox = Outbox::new(options.outbound_limit, options.while_disconnected);
        let life = Life {
            policy: Policy::new(rule, options.backoff, options.server_order),
            phase: if background { Phase::Waiting } else { Phase::Dialing },
            target: None,
            trying: None,
            server: None,
            failures: 0,
            reason: None,
            login_error: None,
            last_error: None,
            known: options.servers.iter().map(|server| label(&server.addr)).collect(),
        };
        Arc::new(Self {
            meters: Meters::new(&options.metrics_subjects),
            options,
            choose_server,
            client: OnceLock::new(),
            life: Mutex::new(life),
            state: watch::Sender::new(ConnState::Connecting),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            stop: watch::Sender::new(false),
            ended: watch::Sender::new(false),
            violations: Violations::default(),
            rights: Rights::default(),
            outbox,
            subscriptions: Registry::default(),
            work: Work::default(),
            reconnects: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            outstanding_pings: AtomicU64::new(0),
        })
    }

    /// The lock holds plain data and its holders do not panic; a poisoned one is still whole.
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_client(&self, client: async_nats::Client) {
        // Set once, by the one first connect.
        let _ = self.client.set(client);
    }

    /// The client, once the first connect has begun to use it.
    pub(crate) fn client(&self) -> Result<&async_nats::Client, Error> {
        self.client.get().ok_or_else(|| Offline { since: None }.into())
    }

    pub(crate) fn state(&self) -> ConnState {
        self.state.borrow().clone()
    }

    pub(crate) fn watch_state(&self) -> watch::Receiver<ConnState> {
        self.state.subscribe()
    }

    /// Becomes true when the connection is over.
    pub(crate) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn events(&self) -> EventStream {
        let receiver = self.events.subscribe();
        if self.life().phase == Phase::Over {
            // Closed has been sent: a stream that begins now has nothing to wait for.
            return EventStream::new(broadcast::Sender::new(1).subscribe());
        }
        EventStream::new(receiver)
    }

    pub(crate) fn emit(&self, event: Event) {
        tracing::debug!(target: "natterjack::events", "{event}");
        // No receiver is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn server_label(&self) -> String {
        self.life().server.as_ref().map(label).unwrap_or_default()
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.life().last_error.clone()
    }

    /// An error that fits the state, if the state forbids sending.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match &*self.state.borrow() {
            ConnState::Closed { reason } => Err(Closed { reason: reason.clone() }.into()),
            _ => Ok(()),
        }
    }

    /// Whether there is a connection now; the state alone does not tell while draining.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.life().phase, Phase::Fresh | Phase::Up | Phase::Draining)
    }

    pub(crate) fn offline(&self) -> Error {
        let life = self.life();
        let since = (life.phase == Phase::Down).then(|| life.policy.outage(Instant::now()));
        Offline { since }.into()
    }

    /// Changes with each loss: what was asked under another generation will not be answered.
    pub(crate) fn generation(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// `Closed` if there will be none, `Timeout` at the deadline.
    pub(crate) async fn connected(&self, what: &'static str, limit: Duration) -> Result<(), Error> {
        let mut state = self.watch_state();
        let wait = state.wait_for(|state| {
            matches!(state, ConnState::Connected | ConnState::Draining | ConnState::Closed { .. })
        });
        // What `wait` yields keeps the state locked: it must be gone before the state is asked again,
        // or a change in between waits for this reader, and this reader for the change.
        let arrived = tokio::time::timeout(limit, wait).await.map(drop);
        match arrived {
            Ok(()) => self.check_open(),
            Err(_) => Err(Timeout { what: what.into(), after: limit }.into()),
        }
    }

    // ---- the first connect, in the caller's task -------------------------------------------------

    /// The server that the next call of [`choose`](Self::choose) has to return.
    pub(crate) fn aim(&self, addr: ServerAddr) {
        self.life().target = Some(addr);
    }

    /// The first connect succeeded: the loss of it is ours from now on.
    pub(crate) fn dialed(&self) {
        let mut life = self.life();
        if life.phase == Phase::Dialing {
            self.settle(&mut life);
        }
    }

    fn settle(&self, life: &mut Life) {
        life.server = life.trying.take().map(|trying| trying.addr);
        life.phase = Phase::Fresh;
        self.state.send_replace(ConnState::Connected);
    }

    /// Reports the first connection once its round trip is known. Does nothing if it has already
    /// been lost again, which reports it too.
    pub(crate) fn announce(&self, rtt: Duration) {
        let mut life = self.life();
        if life.phase == Phase::Fresh {
            self.announce_locked(&mut life, rtt);
        }
    }

    fn announce_locked(&self, life: &mut Life, rtt: Duration) {
        let server = life.server.as_ref().map(label).unwrap_or_default();
        life.phase = Phase::Up;
        life.policy.set_rule(self.options.reconnect);
        let attempt = std::mem::take(&mut life.failures) + 1;
        self.emit(Event::Connected { server, rtt, attempt });
    }

    /// Why there was no login to send, if that is why an attempt failed.
    pub(crate) fn take_login_error(&self) -> Option<Error> {
        self.life().login_error.take()
    }

    pub(crate) fn count_failure(&self) {
        self.life().failures += 1;
    }

    // ---- what async-nats asks ----------------------------------------------------------------------

    /// The login for the server that is being tried.
    pub(crate) async fn login(self: Arc<Self>, nonce: Vec<u8>) -> Result<async_nats::Auth, String> {
        let auth = {
            let life = self.life();
            let addr = life.trying.as_ref().map(|trying| &trying.addr);
            addr.map_or(&self.options.auth, |addr| self.options.auth_for(addr)).clone()
        };
        let answer = auth.answer(&nonce).await;
        answer.map_err(|error| {
            let text = error.to_string();
            self.life().login_error = Some(error);
            text
        })
    }

    /// The next server to try, after its wait; `None` ends the connection.
    pub(crate) async fn choose(self: Arc<Self>, pool: Vec<Server>) -> Option<ReconnectToServer> {
        // Let what the server said before it went be handled first: it may be the reason.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let mut stop = self.stop();
        loop {
            let choice = self.next_choice(&pool);
            let (addr, at) = match choice {
                Choice::Stop => return None,
                Choice::Target(addr) => (Some(addr), Instant::now()),
                Choice::Wait { addr, at } => (Some(addr), at),
                Choice::GiveUp { at } => (None, at),
            };
            if at > Instant::now() {
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    () = raised(&mut stop) => return None,
                }
            }
            match addr {
                Some(addr) if self.begin(&addr, &pool) => {
                    return Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) });
                }
                Some(_) => return None,
                None => {
                    let after = self.life().policy.outage(Instant::now());
                    self.finish(CloseReason::GaveUp { after });
                }
            }
        }
    }

    fn next_choice(&self, pool: &[Server]) -> Choice {
        let mut life = self.life();
        let now = Instant::now();
        if life.phase == Phase::Over {
            return Choice::Stop;
        }
        if let Some(target) = life.target.take() {
            return Choice::Target(target);
        }
        self.note_unseen_success(&mut life);
        if matches!(life.phase, Phase::Dialing | Phase::Fresh | Phase::Up | Phase::Draining) {
            self.lost(&mut life, now);
        }
        let failed = life.trying.take().map(|trying| self.failed(&mut life, &trying, pool, now));
        let names: Vec<String> = pool.iter().map(|server| label(&server.addr)).collect();
        let step = life.policy.next(&names, now, rand::random);
        if let Some((server, error)) = failed {
            let retry_in = match step {
                Step::Try { at, .. } => Some(at.saturating_duration_since(now)),
                Step::GiveUp { .. } | Step::AuthFailed => None,
            };
            let attempt = life.failures;
            self.emit(Event::ReconnectFailed { server, error, attempt, retry_in });
        }
        match step {
            Step::Try { index, at } => {
                let chosen = self.choose_server.as_ref().and_then(|choose| choose(&names));
                let index = chosen.filter(|index| *index < pool.len()).unwrap_or(index);
                Choice::Wait { addr: pool[index].addr.clone(), at }
            }
            Step::GiveUp { at } => Choice::GiveUp { at },
            Step::AuthFailed => {
                drop(life);
                self.finish(CloseReason::AuthFailed);
                Choice::Stop
            }
        }
    }

    /// An attempt is about to begin. False if the connection ended meanwhile.
    fn begin(&self, addr: &ServerAddr, pool: &[Server]) -> bool {
        let failed_before = pool
            .iter()
            .find(|server| server.addr == *addr)
            .map_or(0, |server| server.failed_attempts);
        let mut life = self.life();
        life.login_error = None;
        life.trying = Some(Trying {
            addr: addr.clone(),
            failed_before,
            connects_before: self.connects(),
            started: Instant::now(),
        });
        life.phase != Phase::Over
    }

    fn connects(&self) -> u64 {
        self.client.get().map_or(0, |client| client.statistics().connects.load(Ordering::Relaxed))
    }

    /// The attempt succeeded and was lost again before its event was handled.
    fn note_unseen_success(&self, life: &mut Life) {
        let before = life.trying.as_ref().map(|trying| trying.connects_before);
        if before.is_some_and(|before| self.connects() > before) {
            self.came_up(life);
        }
    }

    fn lost(&self, life: &mut Life, now: Instant) {
        if life.phase == Phase::Dialing {
            self.settle(life);
        }
        if life.phase == Phase::Fresh {
            self.announce_locked(life, Duration::ZERO);
        }
        let server = life.server.as_ref().map(label);
        life.policy.lost(server.clone(), now);
        life.failures = 0;
        let reason = match life.reason.take() {
            Some((reason, at)) if now.duration_since(at) < REASON_FRESH => reason,
            // async-nats has pings of its own, which may strike first.
            _ if self.outstanding_pings.load(Ordering::Relaxed)
                >= u64::from(self.options.max_outstanding_pings) =>
            {
                DisconnectReason::StalePing
            }
            _ => DisconnectReason::PeerClosed,
        };
        let draining = life.phase == Phase::Draining;
        self.losses.fetch_add(1, Ordering::Relaxed);
        life.phase = Phase::Down;
        if !draining {
            self.state.send_replace(ConnState::Reconnecting { failures: 0 });
        }
        self.outstanding_pings.store(0, Ordering::Relaxed);
        self.emit(Event::Disconnected { server: server.unwrap_or_default(), reason });
    }

    fn failed(
        &self,
        life: &mut Life,
        trying: &Trying,
        pool: &[Server],
        now: Instant,
    ) -> (String, String) {
        let name = label(&trying.addr);
        let entry = pool.iter().find(|server| server.addr == trying.addr);
        let text = match (life.login_error.take(), entry) {
            (Some(error), _) => error.to_string(),
            (None, Some(entry)) if entry.failed_attempts > trying.failed_before => {
                entry.last_error.clone().unwrap_or_default()
            }
            _ => "name resolution failed".to_owned(),
        };
        let error = super::reason::plain(&text);
        life.policy.failed(&name, super::reason::is_refusal(&text), now, rand::random());
        life.failures += 1;
        life.last_error = Some(format!("{name}: {error}"));
        if life.phase == Phase::Down {
            self.state.send_if_modified(|state| {
                let reconnecting = matches!(state, ConnState::Reconnecting { .. });
                if reconnecting {
                    *state = ConnState::Reconnecting { failures: life.failures };
                }
                reconnecting
            });
        }
        (name, error)
    }

    // ---- what async-nats reports -------------------------------------------------------------------

    pub(crate) fn on_connected(self: &Arc<Self>) {
        let mut life = self.life();
        if life.phase == Phase::Dialing || life.trying.is_none() {
            return;
        }
        let first = life.phase == Phase::Waiting;
        self.came_up(&mut life);
        drop(life);
        if first {
            tokio::spawn(super::dial::measure_and_announce(self.clone()));
        }
        tokio::spawn(super::hooks::report_pool(self.clone()));
    }

    fn came_up(&self, life: &mut Life) {
        let Some(trying) = life.trying.take() else { return };
        let now = Instant::now();
        let server = label(&trying.addr);
        life.server = Some(trying.addr);
        let outage = life.policy.outage(now);
        life.policy.connected();
        self.outstanding_pings.store(0, Ordering::Relaxed);
        self.rights.forget();
        if life.phase == Phase::Waiting {
            life.phase = Phase::Fresh;
            self.state.send_replace(ConnState::Connected);
            return;
        }
        let attempts = std::mem::take(&mut life.failures) + 1;
        life.phase = Phase::Up;
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        self.meters.reconnected();
        tracing::debug!(took = ?now.duration_since(trying.started), "reconnected");
        if *self.state.borrow() == ConnState::Draining {
            life.phase = Phase::Draining;
        } else {
            self.state.send_replace(ConnState::Connected);
        }
        self.emit(Event::Reconnected { server, outage, attempts });
    }

    /// async-nats is connected and its event was lost (its queue holds 128): heal the state.
    pub(crate) fn heal(self: &Arc<Self>) {
        let up = self.client.get().is_some_and(|client| {
            client.connection_state() == async_nats::connection::State::Connected
        });
        let missed = {
            let life = self.life();
            let before = life.trying.as_ref().map(|trying| trying.connects_before);
            up && before.is_some_and(|before| self.connects() > before)
        };
        if missed {
            self.on_connected();
        }
    }

    /// Remembers why the connection is about to go.
    pub(crate) fn expect_loss(&self, reason: DisconnectReason) {
        self.life().reason = Some((reason, Instant::now()));
    }

    pub(crate) fn note_error(&self, text: &str) {
        self.life().last_error = Some(text.to_owned());
    }

    /// The servers that are new and gone compared with the last call.
    pub(crate) fn compare_pool(&self, now: Vec<String>) -> Option<Event> {
        let mut life = self.life();
        let added: Vec<String> = now.iter().filter(|s| !life.known.contains(s)).cloned().collect();
        let removed: Vec<String> =
            life.known.iter().filter(|s| !now.contains(s)).cloned().collect();
        life.known = now;
        (!added.is_empty() || !removed.is_empty())
            .then_some(Event::ServersChanged { added, removed })
    }

    // ---- the end -----------------------------------------------------------------------------------

    /// Begins to drain. False if the connection is over already.
    pub(crate) fn begin_drain(&self, deadline: Duration) -> bool {
        let mut life = self.life();
        match life.phase {
            Phase::Over => return false,
            Phase::Up | Phase::Fresh => life.phase = Phase::Draining,
            _ => {}
        }
        self.state.send_replace(ConnState::Draining);
        self.emit(Event::Draining { deadline });
        true
    }

    /// Ends the connection, once: state, event, and the signal for all tasks.
    pub(crate) fn finish(&self, reason: CloseReason) {
        let mut life = self.life();
        if life.phase == Phase::Over {
            return;
        }
        if life.phase == Phase::Fresh {
            self.announce_locked(&mut life, Duration::ZERO);
        }
        life.phase = Phase::Over;
        self.state.send_replace(ConnState::Closed { reason: reason.clone() });
        self.emit(Event::Closed { reason });
        self.stop.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::builder::ConnectorBuilder;
    use super::*;

    #[test]
    fn whoever_waits_for_the_connection_holds_no_change_of_it_up() {
        const CHANGES: u64 = 20_000;
        let link = Link::new(ConnectorBuilder::default().resolve().unwrap(), None);
        let (told, done) = std::sync::mpsc::channel();
        let changed = link.clone();
        std::thread::spawn(move || {
            for _ in 0..CHANGES {
                changed.state.send_replace(ConnState::Connected);
            }
            told.send(()).unwrap();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waiter = std::thread::spawn(move || {
            runtime.block_on(async {
                for _ in 0..CHANGES {
                    link.connected("test", Duration::from_secs(60)).await.unwrap();
                }
            });
        });
        // Both threads hang in a lock for good if this fails.
        done.recv_timeout(Duration::from_secs(60)).expect("the state could not be changed");
        waiter.join().unwrap();
    }
}
