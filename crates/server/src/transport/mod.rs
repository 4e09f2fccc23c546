//! Connections that are more than TCP: TLS, WebSocket, or both.
//!
//! A plain connection never comes here. Any other has a [`Tunnel`](tunnel::Tunnel) instead of its socket:
//! what it reads was decrypted and unpacked, what it writes is packed and encrypted, and everything else
//! about it is the same code.

pub(crate) mod certificate;
mod deflate;
pub(crate) mod enter;
mod frames;
pub(crate) mod handshake;
pub(crate) mod pipe;
mod rate;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod upgrade;
pub(crate) mod websocket;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What monitoring, the log and logins know of a connection that is more than TCP, or has a user of more than
/// a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// It comes from within the process.
    pub(crate) is_in_process: bool,
    /// It is a WebSocket.
    pub(crate) is_websocket: bool,
    /// The one address of its `X-Forwarded-For`.
    pub(crate) forwarded_for: Option<IpAddr>,
    /// Whom the header of the PROXY protocol named.
    pub(crate) stands_for: Option<SocketAddr>,
    /// The JWT that its user logged in by.
    pub(crate) jwt: Option<Arc<str>>,
    /// Its TLS session, once there is one.
    pub(crate) tls: Option<Arc<TlsFacts>>,
}

/// A TLS session.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// `1.2` or `1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite by Go's name.
    pub(crate) cipher_suite: String,
    /// The handshake came before INFO.
    pub(crate) is_first: bool,
    /// What the client showed, its own certificate first.
    pub(crate) peer: Vec<certificate::PeerCertificate>,
    /// Whom the client's certificate names; absent unless it shall name the user.
    pub(crate) names: Option<natterjack_core::auth::CertificateNames>,
}
