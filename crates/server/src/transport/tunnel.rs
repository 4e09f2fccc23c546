//! The bytes between a socket and a connection that is more than TCP: encryption, frames, or both.
//!
//! One lock holds both directions, as a TLS session does. It is a leaf; under it stands at most a write
//! or read of the tunnel's own socket that cannot block. What the socket does not take waits in the
//! tunnel, no more than one write of [`WRITE_BYTES`], and until it is gone nothing else is taken: what
//! waits then waits in the connection's outbox, under the outbox's limit.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use natterjack_core::client::Client;
use natterjack_proto::error::ClosedReason;
use rustls::server::{ServerConfig, ServerConnection};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::frames;
use super::websocket::{Cookies, Progress, Terms, Websocket};
use crate::tasks::Tasks;

/// The most that one write takes.
const WRITE_BYTES: usize = 64 * 1024;
/// The most that is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// How long the last bytes of a connection may take.
const LAST_FLUSH: Duration = Duration::from_millis(100);
/// A peer that reads nothing while it asks for more answers than this many bytes is closed.
const UNSENT_MAX: usize = 4 * WRITE_BYTES;
/// Reads without anything for the connection, after which others get their turn.
const IDLE_READS: u32 = 16;

/// A socket with its layers.
pub(crate) struct Tunnel {
    socket: TcpStream,
    layers: Mutex<Layers>,
    client: OnceLock<Weak<Client>>,
    runtime: Tasks,
    write_deadline: Duration,
}

/// From the socket inwards.
#[derive(Default)]
struct Layers {
    tls: Option<Box<ServerConnection>>,
    websocket: Option<Box<Websocket>>,
    /// Read from the socket and not taken yet.
    received: Vec<u8>,
    /// Decrypted and not unframed yet.
    clear: Vec<u8>,
    /// For the socket, and how much of it was sent.
    to_send: Vec<u8>,
    sent: usize,
    /// A task is sending it.
    is_draining: bool,
    /// Nothing more is to be read.
    ended: bool,
}

impl Tunnel {
    /// A tunnel without layers: what goes in comes out.
    pub(crate) fn new(socket: TcpStream, runtime: Tasks, write_deadline: Duration) -> Arc<Self> {
        Arc::new(Tunnel {
            socket,
            layers: Mutex::default(),
            client: OnceLock::new(),
            runtime,
            write_deadline,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Tells whom to close when the socket fails.
    pub(crate) fn belongs_to(&self, client: &Arc<Client>) {
        let _ = self.client.set(Arc::downgrade(client));
    }

    /// Puts back what was read and belongs to the layers that are still to come.
    pub(crate) fn put_back(&self, bytes: &[u8]) {
        self.lock().received.splice(0..0, bytes.iter().copied());
    }

    /// Waits for input and looks at its first byte; `None` at the end of it.
    pub(crate) async fn first_byte(&self) -> Option<u8> {
        if let Some(first) = self.lock().received.first() {
            return Some(*first);
        }
        let mut byte = [0];
        match self.socket.peek(&mut byte).await {
            Ok(1..) => Some(byte[0]),
            _ => None,
        }
    }

    /// Begins TLS and returns once it stands.
    ///
    /// # Errors
    /// The peer's fault or the socket's; an alert was sent if there was one to send.
    pub(crate) async fn begin_tls(&self, config: Arc<ServerConfig>) -> Result<(), String> {
        let mut session = ServerConnection::new(config).map_err(|error| error.to_string())?;
        session.set_buffer_limit(None);
        self.lock().tls = Some(Box::new(session));
        loop {
            match self.shake_hands()? {
                Need::Nothing => return Ok(()),
                Need::ToWrite => self.socket.writable().await.map_err(|error| error.to_string())?,
                Need::ToRead => {
                    self.socket.readable().await.map_err(|error| error.to_string())?;
                    let mut layers = self.lock();
                    match layers.fill(&self.socket) {
                        Ok(0) => return Err("EOF".into()),
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.to_string()),
                    }
                }
            }
        }
    }

    fn shake_hands(&self) -> Result<Need, String> {
        let mut layers = self.lock();
        let fed = layers.feed_tls();
        layers.encrypted();
        let flushed = layers.flush(&self.socket);
        fed.map_err(|error| error.to_string())?;
        flushed.map_err(|error| error.to_string())?;
        let shaking = layers.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
        Ok(match (layers.has_unsent(), shaking) {
            (true, _) => Need::ToWrite,
            (false, true) => Need::ToRead,
            (false, false) => Need::Nothing,
        })
    }

    /// Looks at the TLS session.
    pub(crate) fn with_tls<R>(&self, look: impl FnOnce(&ServerConnection) -> R) -> Option<R> {
        self.lock().tls.as_deref().map(look)
    }

    /// From now on frames are exchanged. `rest` was read already.
    pub(crate) fn begin_websocket(&self, terms: Terms, max_payload: u64, rest: &[u8]) {
        let mut layers = self.lock();
        layers.websocket = Some(Box::new(Websocket::new(terms, max_payload)));
        let pending = match layers.tls {
            Some(_) => &mut layers.clear,
            None => &mut layers.received,
        };
        // In front of what was not taken yet.
        pending.splice(0..0, rest.iter().copied());
    }

    /// Replaces the largest message that is inflated.
    pub(crate) fn set_max_payload(&self, max_payload: u64) {
        if let Some(websocket) = &mut self.lock().websocket {
            websocket.set_max_payload(max_payload);
        }
    }

    /// What cookies supply to CONNECT.
    pub(crate) fn cookies(&self) -> Cookies {
        self.lock().websocket.as_ref().map(|ws| ws.terms.cookies.clone()).unwrap_or_default()
    }

    /// Reads what the layers give; nothing at the end.
    ///
    /// # Errors
    /// The socket failed, or the peer broke a rule of TLS or WebSocket.
    pub(crate) fn poll_read(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut layers = self.lock();
        for _ in 0..IDLE_READS {
            if layers.to_send.len() - layers.sent > UNSENT_MAX {
                return Poll::Ready(Err(invalid("answers are not read")));
            }
            let outcome = layers.give(target.initialize_unfilled());
            // Answers to pings, alerts, key updates.
            let flushed = layers.flush(&self.socket);
            self.drain_if_needed(&mut layers);
            let given = outcome?;
            flushed?;
            if given > 0 {
                target.advance(given);
                return Poll::Ready(Ok(()));
            }
            if layers.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_read_ready(context))?;
            match layers.fill(&self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads into `target`; how many bytes, 0 at the end.
    pub(crate) async fn read(self: &Arc<Self>, target: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| {
            let mut buffer = ReadBuf::new(target);
            ready!(self.poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Takes bytes for the peer; how many.
    ///
    /// # Errors
    /// `WouldBlock` while earlier ones wait for the socket; or the socket failed.
    pub(crate) fn try_write(self: &Arc<Self>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut layers = self.lock();
        layers.flush(&self.socket)?;
        if layers.has_unsent() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = layers.take(slices)?;
        layers.flush(&self.socket)?;
        self.drain_if_needed(&mut layers);
        Ok(taken)
    }

    fn drain_if_needed(self: &Arc<Self>, layers: &mut Layers) {
        if layers.has_unsent() && !layers.is_draining {
            layers.is_draining = true;
            self.runtime.spawn(drain(self.clone()));
        }
    }

    /// One round of sending what waits; whether something is left.
    fn send_on(&self) -> io::Result<bool> {
        let mut layers = self.lock();
        layers.flush(&self.socket)?;
        Ok(layers.has_unsent())
    }

    /// The same by the task that drains, which ends when nothing is left.
    fn drain_on(&self) -> io::Result<bool> {
        let mut layers = self.lock();
        let outcome = layers.flush(&self.socket);
        layers.is_draining = outcome.is_ok() && layers.has_unsent();
        outcome.map(|()| layers.is_draining)
    }

    /// Says farewell: the close frame, the end of TLS. Waits a little for the socket to take it.
    pub(crate) async fn finish(&self, reason: ClosedReason) {
        self.lock().say_farewell(reason);
        self.send_rest().await;
    }

    /// Ends a connection that never became a WebSocket.
    pub(crate) async fn finish_plain(&self) {
        self.finish(ClosedReason::ClientClosed).await;
        let _ = socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
    }

    async fn send_rest(&self) {
        let all_sent = async {
            loop {
                if !self.send_on().unwrap_or(false) || self.socket.writable().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_FLUSH, all_sent).await;
    }
}

/// What a TLS handshake waits for.
enum Need {
    Nothing,
    ToRead,
    ToWrite,
}

/// Sends what waits in a tunnel as its socket takes it.
async fn drain(tunnel: Arc<Tunnel>) {
    let close = |reason| {
        if let Some(client) = tunnel.client.get().and_then(Weak::upgrade) {
            client.close(reason);
        }
    };
    loop {
        match tokio::time::timeout(tunnel.write_deadline, tunnel.socket.writable()).await {
            Err(_) => {
                tunnel.lock().is_draining = false;
                return close(ClosedReason::SlowConsumerWriteDeadline);
            }
            Ok(Err(_)) => {
                tunnel.lock().is_draining = false;
                return close(ClosedReason::WriteError);
            }
            Ok(Ok(())) => {}
        }
        match tunnel.drain_on() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return close(ClosedReason::WriteError),
        }
    }
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text.into())
}

impl Layers {
    fn has_unsent(&self) -> bool {
        self.sent < self.to_send.len()
    }

    /// Reads from the socket; 0 at its end.
    fn fill(&mut self, socket: &TcpStream) -> io::Result<usize> {
        self.received.reserve(READ_BYTES);
        let count = socket.try_read_buf(&mut self.received)?;
        self.ended |= count == 0;
        Ok(count)
    }

    /// Sends what waits, as far as the socket takes it.
    fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        while self.has_unsent() {
            match socket.try_write(&self.to_send[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // An idle connection holds no buffer.
        self.to_send = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Takes the output of TLS.
    fn encrypted(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        while tls.wants_write() {
            // A `Vec` takes everything.
            if tls.write_tls(&mut self.to_send).is_err() {
                return;
            }
        }
    }

    /// Feeds TLS with one piece of what was received. Its output is to be taken by
    /// [`encrypted`](Self::encrypted), also after an error: that is the alert.
    fn feed_tls(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut rest = &self.received[..];
        while !rest.is_empty() && tls.wants_read() {
            if tls.read_tls(&mut rest)? == 0 {
                break;
            }
            let state = tls.process_new_packets().map_err(|error| invalid(reason_of(&error)))?;
            self.ended |= state.peer_has_closed();
        }
        let taken = self.received.len() - rest.len();
        self.received.drain(..taken);
        if self.received.is_empty() {
            self.received = Vec::new();
        }
        Ok(())
    }

    /// Gives bytes of the NATS protocol out of what was received; 0 if more is needed.
    fn give(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match (self.tls.is_some(), self.websocket.is_some()) {
            (false, false) => {
                let count = target.len().min(self.received.len());
                target[..count].copy_from_slice(&self.received[..count]);
                self.received.drain(..count);
                Ok(count)
            }
            (true, false) => self.decrypt(target),
            (false, true) => {
                let mut input = std::mem::take(&mut self.received);
                let outcome = self.unframe(&mut input, target);
                self.received = input;
                outcome
            }
            (true, true) => loop {
                let mut input = std::mem::take(&mut self.clear);
                let outcome = self.unframe(&mut input, target);
                self.clear = input;
                match outcome {
                    Ok(0) => {}
                    outcome => return outcome,
                }
                let have = self.clear.len();
                let mut clear = std::mem::take(&mut self.clear);
                clear.resize(have + READ_BYTES, 0);
                let outcome = self.decrypt(&mut clear[have..]);
                clear.truncate(have + *outcome.as_ref().unwrap_or(&0));
                self.clear = clear;
                if outcome? == 0 {
                    if self.clear.is_empty() {
                        self.clear = Vec::new();
                    }
                    return Ok(0);
                }
            },
        }
    }

    fn decrypt(&mut self, target: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(tls) = &mut self.tls {
                match tls.reader().read(target) {
                    Ok(count) if count > 0 => return Ok(count),
                    // The peer ended its side in order.
                    Ok(_) => return Ok(0),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // It ended without saying so: no less an end, since the protocol has its own framing.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                    Err(error) => return Err(error),
                }
            }
            let before = self.received.len();
            if before == 0 {
                return Ok(0);
            }
            let fed = self.feed_tls();
            self.encrypted();
            fed?;
            if self.received.len() == before {
                return Ok(0);
            }
        }
    }

    /// Unframes `input`, whose used part is removed.
    fn unframe(&mut self, input: &mut Vec<u8>, target: &mut [u8]) -> io::Result<usize> {
        let Some(websocket) = &mut self.websocket else { return Ok(0) };
        let mut replies = Vec::new();
        let outcome = websocket.receive(input, target, &mut replies);
        self.ended |= websocket.ended;
        if !replies.is_empty() {
            self.pack(&replies)?;
        }
        let Progress { taken, given } = outcome.map_err(invalid)?;
        input.drain(..taken);
        if input.is_empty() {
            *input = Vec::new();
        }
        Ok(given)
    }

    /// Takes bytes for the peer, as many as one write takes.
    fn take(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        let mut gathered = Vec::new();
        for slice in slices {
            let piece = &slice[..slice.len().min(WRITE_BYTES - taken)];
            taken += piece.len();
            match (&mut self.tls, &self.websocket) {
                (Some(tls), None) => tls.writer().write_all(piece)?,
                _ => gathered.extend_from_slice(piece),
            }
            if taken == WRITE_BYTES {
                break;
            }
        }
        match &self.websocket {
            // After the close frame nothing may follow.
            Some(websocket) if websocket.close_sent => {}
            Some(websocket) => {
                let mut framed = Vec::with_capacity(gathered.len() + 16);
                let terms = &websocket.terms;
                frames::data(&mut framed, &gathered, terms.compression, terms.browser);
                self.pack(&framed)?;
            }
            None if self.tls.is_none() => self.to_send.extend_from_slice(&gathered),
            None => self.encrypted(),
        }
        Ok(taken)
    }

    /// Encrypts what shall be sent, if there is TLS.
    fn pack(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                self.encrypted();
            }
            None => self.to_send.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn say_farewell(&mut self, reason: ClosedReason) {
        if let Some(websocket) = &mut self.websocket
            && !websocket.close_sent
        {
            websocket.close_sent = true;
            let mut frame = Vec::new();
            frames::close(&mut frame, Some(frames::status(reason)), reason.as_str().as_bytes());
            // The session is over either way.
            let _ = self.pack(&frame);
        }
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.encrypted();
        }
    }
}

/// What went wrong, in Go's words where tools look for them.
fn reason_of(error: &rustls::Error) -> String {
    match error {
        rustls::Error::NoCertificatesPresented => "tls: client didn't provide a certificate".into(),
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        other => format!("tls: {other}"),
    }
}
