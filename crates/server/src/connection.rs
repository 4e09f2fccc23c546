//! One client connection: a task that reads, parses, lets `core` decide, and flushes.
//!
//! An idle connection holds no buffer. The bytes of a read live in the worker's buffer while they are
//! parsed; only an incomplete operation is copied out and kept. Everything between two awaits is
//! synchronous, so a worker's buffer and batch are borrowed from thread-local storage and given back
//! before the task can move to another thread.

mod begin;
mod behind_proxy;
mod entry;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use natterjack_core::auth::ConnectionType;
use natterjack_core::batch::Batch;
use natterjack_core::client::Client;
use natterjack_core::session::{Flow, Session, Violation};
use natterjack_proto::connect::Connect;
use natterjack_proto::encode;
use natterjack_proto::error::{ClosedReason, ServerError};
use natterjack_proto::parser::{Op, Parser, Step};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Instant;

use crate::connection_info::{ConnectionInfo, Nudges};
use crate::hub::Hub;
use crate::keep_alive::{Due, KeepAlive};
use crate::login::Login;
use crate::pace::Patience;
use crate::transport::Facts;
use crate::wire::{SharedWire, Sink, SocketWire};
use crate::{log_debug, log_error};
use crate::{system, trace};
pub(crate) use begin::{start, start_in_process, start_tls, start_tunnel};

/// The read buffer of a worker.
const READ_BYTES: usize = 64 * 1024;
/// Before login a connection may keep this much of an incomplete operation.
const BEFORE_LOGIN_BYTES: usize = 16 * 1024;
/// What is allocated for it. The used part is smaller: from this size on the system gives fresh pages,
/// which take memory only once they are read into.
const BUFFER_BYTES: usize = 128 * 1024;
const _: () = assert!(READ_BYTES + BEFORE_LOGIN_BYTES <= BUFFER_BYTES);
/// How long a connection with input reads on before other connections of the worker get their turn. A
/// full buffer takes longer, so a flooding client gives way after each; longer turns were no faster.
const TURN_NS: u64 = 20_000;
/// After a read of fewer bytes the clock is not read again.
const SMALL_READ: usize = 4 * 1024;
/// How long a producer waits for a nearly full target, and how long in all per read buffer.
const STALL: Duration = Duration::from_millis(2);
const STALL_MAX: Duration = Duration::from_millis(10);
/// How long the last flush of a closing connection may take.
const LAST_FLUSH: Duration = Duration::from_millis(100);

pub(crate) struct Worker {
    pub(crate) batch: Batch,
    buffer: Vec<u8>,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::new(Worker {
        batch: Batch::new(rand::random()),
        buffer: Vec::new(),
    });
}

/// Throws away what this thread's batch holds.
pub(crate) fn forget_batch() {
    WORKER.with(|worker| {
        if let Ok(mut worker) = worker.try_borrow_mut() {
            worker.batch = Batch::new(rand::random());
        }
    });
}

/// Runs `work` with this thread's batch, which carries the time of the call, and flushes it.
pub(crate) fn with_batch<R>(hub: &Hub, work: impl FnOnce(&mut Batch) -> R) -> R {
    WORKER.with_borrow_mut(|worker| {
        hub.stamp(&mut worker.batch);
        let result = work(&mut worker.batch);
        hub.finish(&mut worker.batch);
        // Nobody waits here: the producer is the server itself.
        drop(worker.batch.take_congested());
        result
    })
}

/// What the connection's task does next.
enum Next {
    /// Somebody wants its attention: a deadline came, or the configuration was reloaded.
    Nudged(Nudges),
    /// Wait for input.
    Read,
    /// Let others run, then go on.
    Yield,
    /// Wait for room at these targets, then go on.
    Stall(Vec<Arc<Client>>),
    Login(Box<Connect>),
    LoginFirst,
    Close(ClosedReason),
}

pub(crate) struct Connection {
    hub: Arc<Hub>,
    info: Arc<ConnectionInfo>,
    /// The socket's read side; `None` for a connection with a tunnel or a pipe, which the wire knows.
    read: Option<OwnedReadHalf>,
    wire: Arc<SocketWire>,
    session: Session,
    parser: Parser,
    /// Bytes read but not performed yet: an incomplete operation, or what followed a CONNECT.
    partial: Vec<u8>,
    /// How many bytes `partial` needs before parsing can make progress; 0 when it may at once.
    wanted: usize,
    /// Bytes of `partial` that are counted against the budget of the server.
    counted: usize,
    alive: KeepAlive,
    login: Login,
    /// The nearest deadline that the hub knows of this connection.
    armed_ns: u64,
    /// What [`ConnectionInfo`] was given to wake the task.
    waker: Option<Waker>,
    /// When it began to read without a pause; 0 while it waits for input.
    turn_ns: u64,
}

impl Connection {
    fn new(
        hub: Arc<Hub>,
        read: Option<OwnedReadHalf>,
        sink: Sink,
        peer: SocketAddr,
        facts: Option<Facts>,
    ) -> Self {
        let options = hub.options();
        let patience = Patience {
            hub: hub.weak(),
            deadline: options.write_deadline,
            policy: options.write_timeout,
        };
        let wire = SocketWire::new(sink, hub.runtime().clone(), patience);
        let cid = hub.next_cid();
        let max_pending = usize::try_from(options.max_pending).unwrap_or(usize::MAX);
        let client =
            Client::new(cid, Box::new(SharedWire(wire.clone())), max_pending, hub.budget().clone());
        wire.belongs_to(&client);
        let now = hub.clock().mono_ns();
        let info = hub.register(&client, peer);
        if let Some(tunnel) = wire.tunnel() {
            tunnel.belongs_to(&client);
        }
        if let Some(facts) = facts {
            info.set_facts(facts);
        }
        let kind = info.connection_type();
        let ping_interval = ping_interval(&options, kind);
        if hub.is_stopping() {
            // Accepted just before the stop: those who end the connections may have missed it.
            client.close(ClosedReason::ServerShutdown);
        }
        Connection {
            parser: Parser::new(hub.parser_limits(None)),
            session: Session::new(client, hub.session_limits(None)),
            alive: KeepAlive::new(
                ping_interval.as_nanos() as u64,
                u32::try_from(options.ping_max).unwrap_or(u32::MAX),
                now,
            ),
            login: Login::begin(&hub, kind, now),
            partial: Vec::new(),
            wanted: 0,
            counted: 0,
            armed_ns: u64::MAX,
            waker: None,
            turn_ns: 0,
            read,
            wire,
            info,
            hub,
        }
    }

    fn client(&self) -> &Arc<Client> {
        self.session.client()
    }

    async fn run(&mut self) -> ClosedReason {
        self.arm();
        loop {
            match poll_fn(|context| self.poll_next(context)).await {
                Next::Nudged(nudges) => {
                    if nudges.timer
                        && let Some(reason) = self.fire()
                    {
                        return reason;
                    }
                    if nudges.reload
                        && let Err(reason) = self.judge_again()
                    {
                        return reason;
                    }
                    self.arm();
                }
                Next::Read => {}
                Next::Yield => give_way().await,
                Next::Stall(targets) => Box::pin(self.stall(targets)).await,
                Next::Login(connect) => {
                    if let Err(reason) = Box::pin(self.log_in(Some(connect))).await {
                        return reason;
                    }
                    self.arm();
                }
                Next::LoginFirst => {
                    if let Err(reason) = Box::pin(self.log_in(None)).await {
                        return reason;
                    }
                    self.arm();
                }
                Next::Close(reason) => return self.client().closed().unwrap_or(reason),
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        // Before the look at what it wakes for, so that nothing falls between.
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
            self.info.wake_by(context.waker());
        }
        // A closed socket still yields what it received before: without this, a peer that
        // sends fast enough would be served for ever.
        if let Some(reason) = self.client().closed() {
            return Poll::Ready(Next::Close(reason));
        }
        match self.info.take_nudges() {
            Some(nudges) => Poll::Ready(Next::Nudged(nudges)),
            None => {
                let input = self.poll_input(context);
                if input.is_pending() {
                    self.turn_ns = 0;
                }
                input
            }
        }
    }

    /// What follows a read that began and ended at these times: the next one, or the turn of others.
    fn read_on(&mut self, began_ns: u64, ended_ns: u64) -> Next {
        if self.turn_ns == 0 {
            self.turn_ns = began_ns;
        }
        if ended_ns.saturating_sub(self.turn_ns) < TURN_NS {
            return Next::Read;
        }
        self.turn_ns = 0;
        Next::Yield
    }

    /// Tells the hub when this connection wants to be nudged, unless it is nudged before that anyway.
    fn arm(&mut self) {
        let next_ns = self.login.deadline_ns().unwrap_or(u64::MAX).min(self.alive.next_ns());
        if next_ns < self.armed_ns {
            self.armed_ns = next_ns;
            self.hub.deadlines().set(self.client().cid, next_ns);
        }
    }

    /// The timer fired: login timeout, expiry, or ping.
    fn fire(&mut self) -> Option<ClosedReason> {
        let now = self.hub.clock().mono_ns();
        if now >= self.armed_ns {
            self.armed_ns = u64::MAX;
        }
        if let Some((error, reason)) = self.login.fire(now, self.hub.clock().unix_ns()) {
            return Some(self.refuse(&error, reason));
        }
        if now < self.alive.next_ns() {
            return None;
        }
        if self.alive.is_silent(now) {
            self.session.rest();
        }
        match self.alive.fire(now) {
            Due::Nothing => None,
            Due::Ping => {
                let mut ping = Vec::new();
                encode::ping(&mut ping);
                self.hub.send(self.client(), ping);
                None
            }
            Due::Stale => {
                self.hub.stats().stale.fetch_add(1, Ordering::Relaxed);
                log_debug!(
                    self.hub.log(),
                    "{} - Stale Client Connection - Closing",
                    self.info.prefix()
                );
                Some(self.refuse(&ServerError::StaleConnection, ClosedReason::StaleConnection))
            }
        }
    }

    /// Sends a last error.
    fn refuse(&self, error: &ServerError, reason: ClosedReason) -> ClosedReason {
        let mut line = Vec::new();
        encode::err(&mut line, error);
        self.hub.send(self.client(), line);
        reason
    }

    /// Waits until the targets have room, a little at most.
    async fn stall(&self, targets: Vec<Arc<Client>>) {
        if self.hub.options().no_fast_producer_stall {
            return;
        }
        let begun = Instant::now();
        self.hub.stats().stalls.fetch_add(1, Ordering::Relaxed);
        for target in targets {
            if begun.elapsed() >= STALL_MAX {
                return;
            }
            let (room, has_room) = tokio::sync::oneshot::channel();
            let ticket = target.outbox().when_low(Box::new(move || {
                let _ = room.send(());
            }));
            if tokio::time::timeout(STALL, has_room).await.is_err()
                && let Some(ticket) = ticket
            {
                target.outbox().forget(ticket);
            }
        }
    }

    /// Performs what was kept, or reads and performs.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if self.hub.is_stopping() {
            // Answers to what was taken still leave; the end comes with a call of `reload`.
            return Poll::Pending;
        }
        if self.wanted == 0 && !self.partial.is_empty() {
            let bytes = std::mem::take(&mut self.partial);
            return Poll::Ready(WORKER.with_borrow_mut(|worker| {
                self.hub.stamp(&mut worker.batch);
                self.perform(&bytes, &mut worker.batch)
            }));
        }
        if self.wanted > READ_BYTES {
            return self.poll_large(context);
        }
        WORKER.with_borrow_mut(|worker| {
            let Worker { batch, buffer } = worker;
            if buffer.is_empty() {
                *buffer = vec![0; BUFFER_BYTES];
            }
            let kept = self.partial.len();
            let mut target = ReadBuf::new(&mut buffer[kept..READ_BYTES + BEFORE_LOGIN_BYTES]);
            match poll_read(&mut self.read, &self.wire, context, &mut target) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Close(ClosedReason::ReadError)),
                Poll::Ready(Ok(())) => {}
            }
            let filled = kept + target.filled().len();
            if filled == kept {
                return Poll::Ready(Next::Close(ClosedReason::ClientClosed));
            }
            buffer[..kept].copy_from_slice(&self.partial);
            self.partial.clear();
            self.hub.stamp(batch);
            let began_ns = batch.mono_ns;
            self.alive.input(began_ns);
            Poll::Ready(match self.perform(&buffer[..filled], batch) {
                Next::Read if filled < SMALL_READ => self.read_on(began_ns, began_ns),
                Next::Read => self.read_on(began_ns, self.hub.clock().mono_ns()),
                next => next,
            })
        })
    }

    /// Counts a large incomplete operation against the budget, or no longer.
    fn count_partial(&mut self) {
        let large = if self.partial.capacity() > READ_BYTES { self.partial.capacity() } else { 0 };
        self.hub.budget().exchange(self.counted, large);
        self.counted = large;
    }

    /// Reads the rest of a large payload straight to where it is kept.
    fn poll_large(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let have = self.partial.len();
        // Grown as bytes arrive, not by what the peer announced.
        let room = (self.wanted - have).min(READ_BYTES);
        self.partial.resize(have + room, 0);
        let mut target = ReadBuf::new(&mut self.partial[have..]);
        let outcome = poll_read(&mut self.read, &self.wire, context, &mut target);
        let filled = target.filled().len();
        self.partial.truncate(have + filled);
        self.count_partial();
        match outcome {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Next::Close(ClosedReason::ReadError)),
            Poll::Ready(Ok(())) if filled == 0 => {
                Poll::Ready(Next::Close(ClosedReason::ClientClosed))
            }
            // The bytes of many such peers together must not take all memory.
            Poll::Ready(Ok(())) if self.hub.budget().is_exceeded() => {
                Poll::Ready(Next::Close(ClosedReason::SlowConsumerPendingBytes))
            }
            Poll::Ready(Ok(())) => {
                let now_ns = self.hub.clock().mono_ns();
                self.alive.input(now_ns);
                if self.partial.len() >= self.wanted {
                    self.wanted = 0;
                }
                Poll::Ready(self.read_on(now_ns, now_ns))
            }
        }
    }

    /// Parses and performs `bytes`; what is left of them is kept.
    fn perform(&mut self, bytes: &[u8], batch: &mut Batch) -> Next {
        let mut at = 0;
        self.wanted = 0;
        let mut next = Next::Read;
        let is_traced = self.hub.log().is_trace();
        while at < bytes.len() {
            if !is_traced
                && let Some((publish, consumed)) = self.parser.next_publish(&bytes[at..])
                && let Flow::Continue = self.session.publish(&publish, batch)
            {
                at += consumed;
                if batch.is_large() {
                    self.hub.relieve(batch);
                }
                continue;
            }
            let (op, consumed) = match self.parser.next(&bytes[at..]) {
                Ok(Step::Op { op, consumed }) => (op, consumed),
                Ok(Step::Need { at_least }) => {
                    self.wanted = at_least;
                    if at_least > BEFORE_LOGIN_BYTES && self.session.account().is_none() {
                        next = Next::LoginFirst;
                        self.wanted = 0;
                    }
                    break;
                }
                Err(error) => {
                    log_error!(self.hub.log(), "{} - {}", self.info.prefix(), error.log_text());
                    if let Some(error) = error.server_error() {
                        encode::err(batch.buffer(self.session.client()), &error);
                    }
                    next = Next::Close(error.closed_reason());
                    break;
                }
            };
            if is_traced {
                trace::inbound(&self.hub, &self.info, &op);
            }
            let is_pong = matches!(op, Op::Pong);
            match self.session.handle(&op, batch) {
                Flow::Continue => {
                    if is_pong {
                        self.alive.pong(batch.mono_ns);
                        self.info.set_rtt(self.alive.rtt_ns());
                    }
                }
                Flow::FirstPing => {
                    let info = self.hub.post_connect_info(&self.info);
                    encode::info(batch.buffer(self.session.client()), &info);
                    self.info.set_informed();
                }
                Flow::Login(connect) => {
                    at += consumed;
                    next = Next::Login(connect);
                    break;
                }
                Flow::LoginFirst => {
                    // The operation is performed again after the login.
                    next = Next::LoginFirst;
                    break;
                }
                Flow::Close(reason) => {
                    if let Op::Err(text) = op {
                        log_error!(
                            self.hub.log(),
                            "{} - Client Error {}",
                            self.info.prefix(),
                            String::from_utf8_lossy(text)
                        );
                    }
                    next = Next::Close(reason);
                    break;
                }
            }
            at += consumed;
            if batch.is_large() {
                self.hub.relieve(batch);
            }
        }
        if at < bytes.len() && !matches!(next, Next::Close(_)) {
            self.partial.extend_from_slice(&bytes[at..]);
        }
        if self.partial.is_empty() && self.partial.capacity() > 0 {
            self.partial = Vec::new();
        }
        if self.counted > 0 {
            self.count_partial();
        }
        let (msgs, bytes) = self.session.end_batch();
        self.hub.stats().count_in(msgs, bytes);
        self.info.set_active(batch.unix_ns);
        self.log_violations();
        self.hub.finish(batch);
        let congested = batch.take_congested();
        if matches!(next, Next::Read) {
            if !congested.is_empty() {
                return Next::Stall(congested);
            }
            if batch.is_unsettled() {
                return Next::Yield;
            }
        }
        next
    }

    fn log_violations(&mut self) {
        for violation in self.session.take_violations() {
            let prefix = self.info.prefix();
            let log = self.hub.log();
            match violation {
                Violation::Publish(subject) => {
                    log_error!(
                        log,
                        "{prefix} - Publish Violation - Subject \"{}\"",
                        text(&subject)
                    );
                }
                Violation::Reply(reply) => {
                    log_error!(log, "{prefix} - Publish Violation - Reply \"{}\"", text(&reply));
                }
                Violation::Subscribe { subject, queue: None, sid } => {
                    log_error!(
                        log,
                        "{prefix} - Subscription Violation - Subject \"{}\", SID {}",
                        text(&subject),
                        text(&sid)
                    );
                }
                Violation::Subscribe { subject, queue: Some(queue), sid } => {
                    log_error!(
                        log,
                        "{prefix} - Subscription Violation - Subject \"{}\", Queue: \"{}\", SID {}",
                        text(&subject),
                        text(&queue),
                        text(&sid)
                    );
                }
            }
        }
    }

    /// Flushes what is owed, then closes.
    async fn end(&mut self, reason: ClosedReason) {
        self.info.forget_waker();
        self.partial = Vec::new();
        self.count_partial();
        self.session.leave();
        let client = self.client().clone();
        client.close(reason);
        let reason = client.closed().unwrap_or(reason);
        if client.outbox().pending() > 0 {
            let (sent, is_sent) = tokio::sync::oneshot::channel();
            client.outbox().when_empty(Box::new(move || {
                let _ = sent.send(());
            }));
            client.flush();
            let _ = tokio::time::timeout(LAST_FLUSH, is_sent).await;
        }
        if let Some(tunnel) = self.wire.tunnel() {
            tunnel.finish(reason).await;
        }
        self.wire.drop_socket();
        client.outbox().clear();
        self.hub.unregister(&self.info, reason);
        // Interest may have ended with this connection, also where nobody hears of its end.
        with_batch(&self.hub, |batch| system::disconnected(&self.hub, &self.info, reason, batch));
    }
}

impl Drop for Connection {
    /// Where it came to its end, that was done. After a panic the peer should not wait for what never comes.
    fn drop(&mut self) {
        self.wire.drop_socket();
    }
}

/// Reads from the socket, or from what the connection has instead.
#[inline]
fn poll_read(
    read: &mut Option<OwnedReadHalf>,
    wire: &SocketWire,
    context: &mut Context<'_>,
    target: &mut ReadBuf<'_>,
) -> Poll<std::io::Result<()>> {
    match read {
        Some(socket) => Pin::new(socket).poll_read(context, target),
        None => poll_layers(wire, context, target),
    }
}

#[cold]
fn poll_layers(
    wire: &SocketWire,
    context: &mut Context<'_>,
    target: &mut ReadBuf<'_>,
) -> Poll<std::io::Result<()>> {
    wire.poll_read(context, target)
}

fn ping_interval(options: &natterjack_config::Options, kind: ConnectionType) -> Duration {
    let own = match kind {
        ConnectionType::WebSocket => options.websocket.as_ref().and_then(|ws| ws.ping_interval),
        _ => None,
    };
    own.unwrap_or(options.ping_interval)
}

/// Lets all others of this worker run that can, also those whose sockets have just become ready.
async fn give_way() {
    // Looks at the sockets, then wakes this task last; but what was woken last runs first.
    tokio::task::yield_now().await;
    // A task that wakes itself goes behind the others.
    let mut is_behind = false;
    poll_fn(|context| {
        if is_behind {
            return Poll::Ready(());
        }
        is_behind = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
