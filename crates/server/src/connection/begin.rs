//! How a connection begins: by what was accepted, in a task of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use super::Connection;
use crate::hub::Hub;
use crate::transport::Facts;
use crate::transport::pipe::{InProcess, Pipe};
use crate::transport::tls::TlsListener;
use crate::transport::tunnel::Tunnel;
use crate::wire::Sink;

/// Serves one accepted socket until it ends, in a task of its own.
///
/// All state is in one box: what an idle connection costs is that box and a task of a few words.
pub(crate) fn start(hub: &Arc<Hub>, socket: TcpStream, peer: SocketAddr) {
    let _ = socket.set_nodelay(true);
    let (read, write) = socket.into_split();
    let connection = Connection::new(hub.clone(), Some(read), Sink::Plain(write), peer, None);
    let awaits_header = hub.options().proxy_protocol;
    hub.runtime().spawn(serve(Box::new(connection), awaits_header));
}

/// Serves one accepted socket with TLS, as [`start`] does one without.
pub(crate) fn start_tls(
    hub: &Arc<Hub>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Arc<TlsListener>,
) {
    let _ = socket.set_nodelay(true);
    let tunnel = Tunnel::new(socket, hub.runtime().clone(), hub.options().write_deadline);
    let connection = Connection::new(hub.clone(), None, Sink::Tunnel(tunnel.clone()), peer, None);
    hub.runtime().spawn(serve_tls(Box::new(connection), tunnel, tls));
}

/// Serves a connection whose tunnel is complete.
pub(crate) fn start_tunnel(hub: &Arc<Hub>, tunnel: Arc<Tunnel>, peer: SocketAddr, facts: Facts) {
    let connection = Connection::new(hub.clone(), None, Sink::Tunnel(tunnel), peer, Some(facts));
    hub.runtime().spawn(serve(Box::new(connection), false));
}

/// Serves a client within the process; returns its end.
pub(crate) fn start_in_process(hub: &Arc<Hub>) -> InProcess {
    let (pipe, client) = Pipe::new();
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let facts = Facts { is_in_process: true, ..Facts::default() };
    let connection = Connection::new(hub.clone(), None, Sink::Pipe(pipe), peer, Some(facts));
    hub.runtime().spawn(serve(Box::new(connection), false));
    client
}

async fn serve(mut connection: Box<Connection>, awaits_header: bool) {
    let reason = match connection.enter(awaits_header).await {
        Ok(()) => connection.run().await,
        Err(reason) => reason,
    };
    // Boxed, as all that is waited for seldom: a task is as large as its largest wait.
    Box::pin(connection.end(reason)).await;
}

async fn serve_tls(mut connection: Box<Connection>, tunnel: Arc<Tunnel>, tls: Arc<TlsListener>) {
    let reason = match Box::pin(connection.enter_tls(&tunnel, &tls)).await {
        Ok(()) => {
            drop((tunnel, tls));
            connection.run().await
        }
        Err(reason) => reason,
    };
    Box::pin(connection.end(reason)).await;
}
