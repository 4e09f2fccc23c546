//! Accepting clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::connection;
use crate::disk::RealDisk;
use crate::hub::Hub;
use crate::log_error;
use crate::process;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// File descriptors that are neither the store's nor a connection's: the runtime's, logs, directories.
const SPARE_FILES: usize = 32;
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

/// How many connections leave enough files in a process that may open so many.
fn connections_max(files: Option<usize>) -> usize {
    let Some(files) = files else { return usize::MAX };
    let taken = RealDisk::open_files_of(Some(files)) + SPARE_FILES;
    // With a limit this small nothing is sure; one connection is better than none.
    files.saturating_sub(taken).max(1)
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
    let most = connections_max(process::file_limit());
    let mut is_full = false;
    loop {
        if hub.connection_count() >= most {
            // Who comes now waits in the backlog. The store needs files, too.
            if !is_full {
                log_error!(
                    hub.log(),
                    "{most} connections take all files that the process may open, but those of the store; \
                     accepting pauses until some end"
                );
            }
            is_full = true;
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => continue,
                _ = stop.wait_for(|stop| *stop) => return,
                _ = lame_duck.wait_for(|begun| *begun) => return,
            }
        }
        is_full = false;
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
