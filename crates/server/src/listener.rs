//! Accepting clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::connection;
use crate::hub::Hub;
use crate::log_error;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long accepting pauses when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds a listening socket.
///
/// # Errors
/// The address is in use or not ours.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix this lets a restarted server take its port at once; on Windows it would let two servers
    // share one.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves an accepted socket in a task of its own.
pub(crate) type Serve = fn(&Arc<Hub>, TcpStream, SocketAddr);

/// A client that came to the plain port.
pub(crate) fn client(hub: &Arc<Hub>, socket: TcpStream, peer: SocketAddr) {
    match hub.transports().client.clone() {
        None => connection::start(hub, socket, peer),
        Some(tls) => connection::start_tls(hub, socket, peer, tls),
    }
}

/// Accepts until `stop` turns true or lame duck mode begins.
pub(crate) async fn accept(
    hub: Arc<Hub>,
    listener: TcpListener,
    serve: Serve,
    mut stop: watch::Receiver<bool>,
) {
    let mut lame_duck = hub.lame_duck();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
            _ = lame_duck.wait_for(|begun| *begun) => return,
        };
        match accepted {
            Ok((socket, peer)) => serve(&hub, socket, peer),
            Err(error) => {
                // Out of file descriptors, or a client that went away while it waited. Neither ends the
                // server; the first needs patience, or this loop would spin.
                if !matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) {
                    log_error!(hub.log(), "Client Accept Error: {error}; pausing for {PAUSE:?}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
