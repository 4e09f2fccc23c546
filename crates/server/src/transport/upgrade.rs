//! The WebSocket listener: from an accepted socket to a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::Facts;
use super::enter::{self, Failure};
use super::handshake::{self, HEAD_BYTES};
use super::tunnel::Tunnel;
use crate::hub::Hub;
use crate::{connection, log_debug, log_error};

/// Serves one accepted socket, in a task of its own.
pub(crate) fn start(hub: &Arc<Hub>, socket: TcpStream, peer: SocketAddr) {
    let hub = hub.clone();
    hub.clone().runtime().spawn(async move {
        let _ = socket.set_nodelay(true);
        let deadline = hub.options().write_deadline;
        let tunnel = Tunnel::new(socket, hub.runtime().clone(), deadline);
        // Boxed: what the handshake needs is not kept for the life of the connection.
        if let Some(facts) = Box::pin(upgrade(&hub, &tunnel, peer)).await {
            connection::start_tunnel(&hub, tunnel, peer, facts);
        }
    });
}

async fn upgrade(hub: &Arc<Hub>, tunnel: &Arc<Tunnel>, peer: SocketAddr) -> Option<Facts> {
    let options = hub.options();
    let websocket = options.websocket.as_ref()?;
    let tls = hub.transports().websocket.clone();
    let mut facts = Facts { is_websocket: true, ..Facts::default() };
    if let Some(tls) = &tls {
        match enter::begin(tunnel, tls, false).await {
            Ok(session) => facts.tls = Some(Arc::new(session)),
            Err(Failure::Absent(why)) => {
                log_debug!(hub.log(), "{peer} - TLS handshake error: {why}");
                return None;
            }
            Err(Failure::Failed(why)) => {
                log_error!(hub.log(), "{peer} - TLS handshake error: {why}");
                return None;
            }
        }
    }
    let read = read_head(tunnel);
    let head = match tokio::time::timeout(websocket.handshake_timeout, read).await {
        Ok(Some(head)) => head,
        // As HTTP servers do: nothing is said to those who do not ask.
        Ok(None) | Err(_) => return None,
    };
    let end = handshake::head_end(&head)?;
    match handshake::judge(&head[..end], websocket, tls.is_some()) {
        Ok(accepted) => {
            write(tunnel, &accepted.answer).await?;
            if accepted.is_leafnode {
                log_error!(hub.log(), "Not configured to accept leaf node connections");
                return None;
            }
            facts.forwarded_for = accepted.forwarded_for;
            let max_payload = u64::try_from(hub.max_payload(None)).unwrap_or(0);
            tunnel.begin_websocket(accepted.terms, max_payload, &head[end..]);
            Some(facts)
        }
        Err(refused) => {
            log_error!(hub.log(), "{peer} - websocket handshake error: {}", refused.why);
            write(tunnel, &refused.answer()).await?;
            tunnel.finish_plain().await;
            None
        }
    }
}

/// The bytes of a request up to the end of its head at least; `None` if they do not come.
async fn read_head(tunnel: &Arc<Tunnel>) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 2048];
    while handshake::head_end(&head).is_none() {
        let count = tunnel.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        if head.len() + count > HEAD_BYTES {
            return None;
        }
        head.extend_from_slice(&piece[..count]);
    }
    Some(head)
}

/// Writes an answer: so little that a new socket takes it, unless its peer is gone.
async fn write(tunnel: &Arc<Tunnel>, bytes: &[u8]) -> Option<()> {
    let taken = tunnel.try_write(&[std::io::IoSlice::new(bytes)]).ok()?;
    (taken == bytes.len()).then_some(())
}
