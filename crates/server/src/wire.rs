//! The socket of a client as `core` sees it: try to write, let a writer task take over, end.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, OnceLock, RwLock, Weak};
use std::task::{Context, Poll};

use natterjack_core::client::Client;
use natterjack_core::outbox::{Wire, slices};
use natterjack_proto::error::ClosedReason;
use socket2::SockRef;
use std::net::Shutdown;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

use crate::pace::{Pace, Patience};
use crate::tasks::Tasks;
use crate::transport::pipe::Pipe;
use crate::transport::tunnel::Tunnel;

/// Where a connection's bytes go.
pub(crate) enum Sink {
    /// The socket itself.
    Plain(OwnedWriteHalf),
    /// TLS, WebSocket, or both.
    Tunnel(Arc<Tunnel>),
    /// A client within the process.
    Pipe(Arc<Pipe>),
}

impl Sink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Sink::Plain(socket) => socket.try_write_vectored(slices),
            Sink::Tunnel(tunnel) => tunnel.try_write(slices),
            Sink::Pipe(pipe) => pipe.try_write(slices),
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Sink::Plain(socket) => socket.writable().await,
            Sink::Tunnel(tunnel) => tunnel.socket().writable().await,
            Sink::Pipe(pipe) => {
                pipe.writable().await;
                Ok(())
            }
        }
    }

    fn shut_down(&self, how: Shutdown) {
        let socket: &TcpStream = match self {
            Sink::Plain(socket) => socket.as_ref(),
            Sink::Tunnel(tunnel) => tunnel.socket(),
            Sink::Pipe(pipe) => return pipe.shut_down(how),
        };
        let _ = SockRef::from(socket).shutdown(how);
    }
}

/// The write side of a connection.
///
/// The socket is dropped with the connection's task, not with the last reference to the client: match
/// caches of other connections may hold a closed client for a while.
pub(crate) struct SocketWire {
    socket: RwLock<Option<Arc<Sink>>>,
    client: OnceLock<Weak<Client>>,
    runtime: Tasks,
    patience: Patience,
}

impl SocketWire {
    pub(crate) fn new(socket: Sink, runtime: Tasks, patience: Patience) -> Arc<Self> {
        Arc::new(SocketWire {
            socket: RwLock::new(Some(Arc::new(socket))),
            client: OnceLock::new(),
            runtime,
            patience,
        })
    }

    /// Tells the wire whose outbox its writer empties.
    pub(crate) fn belongs_to(&self, client: &Arc<Client>) {
        let _ = self.client.set(Arc::downgrade(client));
    }

    fn socket(&self) -> Option<Arc<Sink>> {
        self.socket.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Closes the socket for good.
    pub(crate) fn drop_socket(&self) {
        let socket = self.socket.write().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(socket) = socket {
            socket.shut_down(Shutdown::Both);
        }
    }

    /// Reads from what is no plain socket; its end where there is nothing.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.socket().as_deref() {
            Some(Sink::Tunnel(tunnel)) => tunnel.poll_read(context, target),
            Some(Sink::Pipe(pipe)) => pipe.poll_read(context, target),
            // The socket was dropped: the end.
            Some(Sink::Plain(_)) | None => Poll::Ready(Ok(())),
        }
    }

    /// The tunnel of a connection that has one.
    pub(crate) fn tunnel(&self) -> Option<Arc<Tunnel>> {
        match self.socket.read().unwrap_or_else(std::sync::PoisonError::into_inner).as_deref() {
            Some(Sink::Tunnel(tunnel)) => Some(tunnel.clone()),
            _ => None,
        }
    }
}

/// `Client` owns its wire as a box; the connection's task keeps the other handle.
pub(crate) struct SharedWire(pub(crate) Arc<SocketWire>);

impl Wire for SharedWire {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let guard = self.0.socket.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match guard.as_ref() {
            Some(socket) => socket.try_write(slices),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn spawn_writer(&self) {
        if let (Some(socket), Some(client)) =
            (self.0.socket(), self.0.client.get().and_then(Weak::upgrade))
        {
            self.0.runtime.spawn(write_out(socket, client, self.0.patience.clone()));
        }
    }

    fn shut(&self) {
        if let Some(socket) = self.0.socket() {
            // The connection's task reads the end of the stream and cleans up.
            socket.shut_down(Shutdown::Read);
        }
    }
}

/// Empties the outbox as the socket takes it; ends when nothing waits.
async fn write_out(socket: Arc<Sink>, client: Arc<Client>, patience: Patience) {
    let outbox = client.outbox();
    let mut pace = Pace::begin(&patience, outbox.pending(), Instant::now());
    while let Some((chunks, head)) = outbox.writer_take() {
        let (mut written, mut is_late) = (0, false);
        match tokio::time::timeout_at(pace.until(), socket.writable()).await {
            Err(_) => is_late = true,
            Ok(Err(_)) => client.close(ClosedReason::WriteError),
            Ok(Ok(())) => match socket.try_write(&slices(&chunks, head)) {
                Ok(count) => written = count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => client.close(ClosedReason::WriteError),
            },
        }
        outbox.writer_give_back(chunks, head, written);
        let (waiting, now) = (outbox.pending(), Instant::now());
        let outcome = match is_late {
            true => pace.late(waiting, now),
            false => pace.wrote(written, waiting, now),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(notice)) => {
                if let Some(hub) = patience.hub.upgrade() {
                    hub.is_slow(client.cid, notice);
                }
            }
            Err(reason) => client.close(reason),
        }
    }
}
