//! The INFO message: what the server tells a client about itself and about the connection.

use serde::{Deserialize, Serialize};

use crate::connect::SubjectPermission;

/// The JSON object of an `INFO` message, keys in the order in which the reference server writes them.
///
/// Fields that are empty, false or zero are left out unless their comment says *always*.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Public key of the server (`N…`), new at each start. Always.
    pub server_id: String,
    /// Configured name, else the same as `server_id`. Always.
    pub server_name: String,
    /// Version of nats-server whose behaviour clients may expect; they gate features on it. Always.
    pub version: String,
    /// Version of the client protocol, 1. Always.
    pub proto: i32,
    /// Build id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// Version of the toolchain, any text. Always.
    pub go: String,
    /// Host that clients reach, as listened on or advertised. Always.
    pub host: String,
    /// Port that clients reach. Always.
    pub port: u16,
    /// Whether HPUB and HMSG are supported. Always.
    pub headers: bool,
    /// Credentials are needed.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The client must start TLS now.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// The server checks client certificates.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// The client may start TLS now.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Largest publish in bytes, headers and body, effective for this connection. Always.
    pub max_payload: i64,
    /// JetStream is enabled.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// `host:port` of a leafnode or route listener; absent for clients.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Connection id.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Address of the peer; empty until a PROXY header told it, where one is expected.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// Text that nkey and JWT users sign.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// The cluster's name was generated.
    #[serde(skip_serializing_if = "is_false")]
    pub cluster_dynamic: bool,
    /// JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// `host:port` of the servers a client may connect to.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub connect_urls: Vec<String>,
    /// The same for WebSocket clients.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// The server is in lame duck mode: connect elsewhere.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// Compression mode of a leafnode or route listener.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// This INFO confirms the connection: CONNECT was accepted.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Name of the account that the connection is bound to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// That account is the system account.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// Level of the JetStream API, sent even with JetStream off.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u64,
    /// Leafnode: permissions of the peer to import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<SubjectPermission>,
    /// Leafnode: permissions of the peer to export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<SubjectPermission>,
    /// Leafnode: the server answers CONNECT with another INFO.
    #[serde(skip_serializing_if = "is_false")]
    pub info_on_connect: bool,
    /// Leafnode: `host:port` of the leafnode listeners.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub leafnode_urls: Vec<String>,
    /// The server's X25519 public key (`X…`), for authorization callouts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

impl Info {
    /// Parses the argument of an `INFO` line. Unknown keys are ignored.
    ///
    /// # Errors
    /// The bytes are no JSON object, or a value has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        // `null` is accepted as an empty object, as the reference server does.
        Ok(serde_json::from_slice::<Option<Self>>(json)?.unwrap_or_default())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The reference server writes an absent list as `null` in some places.
pub(crate) fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
