//! How a TLS connection begins: INFO and handshake in the order that the configuration asks for
//! (`spec/core.md`, 1.14).

use std::sync::Arc;

use natterjack_config::options::HandshakeFirst;
use natterjack_proto::error::ClosedReason;

use super::TlsFacts;
use super::certificate::{PeerCertificate, names};
use super::tls::{TlsListener, go_name};
use super::tunnel::Tunnel;

/// The first byte of a TLS record that begins a handshake.
const HANDSHAKE: u8 = 0x16;

/// Whether the client is to speak before INFO is sent, or does so in the time that it is given.
pub(crate) async fn speaks_first(tunnel: &Tunnel, tls: &TlsListener) -> bool {
    match tls.first() {
        HandshakeFirst::No => false,
        HandshakeFirst::Always => true,
        HandshakeFirst::Within(delay) => {
            matches!(tokio::time::timeout(delay, tunnel.first_byte()).await, Ok(Some(_)))
        }
    }
}

/// Whether the handshake is to come before INFO.
pub(crate) async fn is_first(tunnel: &Tunnel, tls: &TlsListener) -> bool {
    match tls.first() {
        HandshakeFirst::No => false,
        HandshakeFirst::Always => true,
        HandshakeFirst::Within(delay) => {
            matches!(tokio::time::timeout(delay, tunnel.first_byte()).await, Ok(Some(HANDSHAKE)))
        }
    }
}

/// Whether a client that need not use TLS does. One that says nothing in time does not.
pub(crate) async fn wants_tls(tunnel: &Tunnel, tls: &TlsListener) -> bool {
    let byte = tokio::time::timeout(tls.timeout(), tunnel.first_byte()).await;
    matches!(byte, Ok(Some(HANDSHAKE)))
}

/// Why there is no TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The peer did not come to it in time, went away, or speaks something else: for the debug log.
    Absent(String),
    /// The handshake failed.
    Failed(String),
}

impl Failure {
    /// The reason that monitoring shows.
    pub(crate) fn reason(&self) -> ClosedReason {
        ClosedReason::TlsHandshakeFailure
    }
}

/// Performs the handshake within the time that it may take, and judges the client's certificate.
pub(crate) async fn begin(
    tunnel: &Arc<Tunnel>,
    tls: &TlsListener,
    is_first: bool,
) -> Result<TlsFacts, Failure> {
    let handshake = async {
        match tunnel.first_byte().await {
            Some(HANDSHAKE) => tunnel.begin_tls(tls.config.clone()).await.map_err(Failure::Failed),
            // No alert: what it sent is no record of TLS, and so would be what it reads.
            Some(_) => {
                Err(Failure::Absent("first record does not look like a TLS handshake".into()))
            }
            None => Err(Failure::Absent("EOF".into())),
        }
    };
    tokio::time::timeout(tls.timeout(), handshake)
        .await
        .unwrap_or_else(|_| Err(Failure::Absent("timeout".into())))?;
    let facts = tunnel
        .with_tls(|session| {
            let version = match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            };
            let suite = session.negotiated_cipher_suite();
            let shown = session.peer_certificates().unwrap_or_default();
            TlsFacts {
                version,
                cipher_suite: suite.map(|suite| go_name(suite.suite())).unwrap_or_default(),
                is_first,
                peer: shown.iter().filter_map(|der| PeerCertificate::read(der)).collect(),
                names: match shown.first() {
                    Some(der) if tls.options.verify_and_map => Some(names(der)),
                    _ => None,
                },
            }
        })
        .ok_or_else(|| Failure::Failed("no session".into()))?;
    if !tls.admits_key(facts.peer.first().map(|peer| peer.spki_sha256.as_str())) {
        return Err(Failure::Failed("certificate not pinned".into()));
    }
    Ok(facts)
}
