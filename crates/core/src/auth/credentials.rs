//! What a connection presents: the credentials of its CONNECT and where it comes from.

use super::CertificateNames;
use natterjack_proto::Connect;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// The credentials of a CONNECT. An empty text counts as absent, as in nats-server. `Debug` shows no
/// secrets.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// User name.
    pub user: Option<&'a str>,
    /// Password.
    pub pass: Option<&'a str>,
    /// Token.
    pub auth_token: Option<&'a str>,
    /// Public user nkey (`U…`).
    pub nkey: Option<&'a str>,
    /// Signature of the nonce text, base64 raw-URL or standard with padding.
    pub sig: Option<&'a str>,
    /// User JWT; discarded unless the server trusts operators.
    pub jwt: Option<&'a str>,
    /// Signature of the nonce text by a trusted proxy.
    pub proxy_sig: Option<&'a str>,
    /// The client's certificate, where it names the user (`verify_and_map`): names and passwords are not
    /// asked for then.
    pub certificate: Option<&'a CertificateNames>,
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl<'a> Credentials<'a> {
    pub(super) fn normalized(self) -> Self {
        Credentials {
            user: given(self.user),
            pass: given(self.pass),
            auth_token: given(self.auth_token),
            nkey: given(self.nkey),
            sig: given(self.sig),
            jwt: given(self.jwt),
            proxy_sig: given(self.proxy_sig),
            certificate: self.certificate,
        }
    }

    /// Whether neither name, password nor token is presented, so that `no_auth_user` may apply. A JWT and
    /// a lone signature do not count: clients with a credentials file always send them.
    pub(super) fn is_anonymous(&self) -> bool {
        [self.user, self.pass, self.auth_token].into_iter().all(|text| given(text).is_none())
    }

    /// What the log adds to `authentication error`: ` - User "x"`, ` - Nkey "U…"`,
    /// ` - Token "[REDACTED]"` or nothing (nats-server 2.15).
    pub fn log_suffix(&self) -> String {
        let shown = self.normalized();
        match (shown.nkey, shown.user, shown.auth_token) {
            (Some(nkey), _, _) => format!(" - Nkey {nkey:?}"),
            (None, Some(user), _) => format!(" - User {user:?}"),
            (None, None, Some(_)) => " - Token \"[REDACTED]\"".to_owned(),
            (None, None, None) => String::new(),
        }
    }
}

impl<'a> From<&'a Connect> for Credentials<'a> {
    fn from(connect: &'a Connect) -> Self {
        Credentials {
            user: connect.user.as_deref(),
            pass: connect.pass.as_deref(),
            auth_token: connect.auth_token.as_deref(),
            nkey: connect.nkey.as_deref(),
            sig: connect.sig.as_deref(),
            jwt: connect.jwt.as_deref(),
            proxy_sig: connect.proxy_sig.as_deref(),
            certificate: None,
        }
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: Option<&str>| secret.map(|_| "***");
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("pass", &hidden(self.pass))
            .field("auth_token", &hidden(self.auth_token))
            .field("nkey", &self.nkey)
            .field("sig", &hidden(self.sig))
            .field("jwt", &hidden(self.jwt))
            .field("proxy_sig", &hidden(self.proxy_sig))
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// The kind of a connection, as `allowed_connection_types` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionType {
    /// A client over TCP or TLS.
    #[default]
    Standard,
    /// A client over WebSocket.
    WebSocket,
    /// A leafnode over TCP or TLS.
    Leafnode,
    /// A leafnode over WebSocket.
    LeafnodeWs,
    /// An MQTT client over TCP or TLS.
    Mqtt,
    /// An MQTT client over WebSocket.
    MqttWs,
    /// A client in the server's own process.
    InProcess,
}

/// A text that names no connection type.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown connection type {0:?}")]
pub struct UnknownConnectionType(pub String);

impl ConnectionType {
    const ALL: [ConnectionType; 7] = [
        ConnectionType::Standard,
        ConnectionType::WebSocket,
        ConnectionType::Leafnode,
        ConnectionType::LeafnodeWs,
        ConnectionType::Mqtt,
        ConnectionType::MqttWs,
        ConnectionType::InProcess,
    ];

    /// The name in configurations and JWTs, such as `STANDARD`.
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionType::Standard => "STANDARD",
            ConnectionType::WebSocket => "WEBSOCKET",
            ConnectionType::Leafnode => "LEAFNODE",
            ConnectionType::LeafnodeWs => "LEAFNODE_WS",
            ConnectionType::Mqtt => "MQTT",
            ConnectionType::MqttWs => "MQTT_WS",
            ConnectionType::InProcess => "IN_PROCESS",
        }
    }
}

impl FromStr for ConnectionType {
    type Err = UnknownConnectionType;

    /// Reads a name in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ConnectionType::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownConnectionType(text.to_owned()))
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnInfo {
    /// The peer's address; `None` for a connection within the process.
    pub remote_ip: Option<IpAddr>,
    /// The kind of connection.
    pub kind: ConnectionType,
}
