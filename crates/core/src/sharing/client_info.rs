//! Who asks, and who answers: what services and reports of their latency are told about a client.

use serde::{Deserialize, Serialize};

/// A client, keys in nats-server's order; what is empty is left out (chapter 6.1 of the protocol notes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInfo {
    /// When it connected, as RFC 3339 text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start: String,
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The connection's id.
    #[serde(skip_serializing_if = "is_zero")]
    pub id: u64,
    /// Its account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub acc: String,
    /// The account that a request came through, if it came through several.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub svc: String,
    /// The user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The connection's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The client library's language.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// The client library's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ver: String,
    /// The round trip in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub rtt: u64,
    /// The server, by its public key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// The user's JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// The key that issued the user's JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_key: String,
    /// The name in the user's JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    /// Tags of the user's JWT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `Client`, or `JetStream` for what a stream or a consumer sends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// `nats`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_type: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl ClientInfo {
    /// What a service learns of a client that does not share more.
    #[must_use]
    pub fn brief(account: &str, rtt: u64) -> Self {
        ClientInfo { acc: account.into(), rtt, ..ClientInfo::default() }
    }

    /// What a service learns when a consumer's delivery or a republished message is the request; the
    /// server and the kind only where the import shares who asks (nats-server 2.15.1).
    #[must_use]
    pub fn internal(account: &str, shared_by: Option<&str>) -> Self {
        let brief = ClientInfo::brief(account, 0);
        match shared_by {
            Some(server) => ClientInfo { server: server.into(), kind: "JetStream".into(), ..brief },
            None => brief,
        }
    }
}
