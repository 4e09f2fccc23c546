//! What a server asks an authorization service, and what that answers (core.md 3.9).

use super::lenient::null_is_default;
use super::token::{ClaimBody, KeyKind};
use serde::{Deserialize, Serialize};

/// The type of an answer; Go's library names it so.
const RESPONSE: &str = "authorization_response";
const VERSION: i64 = 2;

/// Body of a request: who wants to log in, and with what. Signed by the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationRequest {
    /// The server that asks.
    pub server_id: ServerClaims,
    /// A key made for this request, which the answer is about.
    pub user_nkey: String,
    /// The connection.
    pub client_info: ClientClaims,
    /// Its CONNECT.
    pub connect_opts: ConnectClaims,
    /// Its TLS session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<TlsClaims>,
    /// `authorization_request`.
    #[serde(rename = "type")]
    pub kind: String,
    /// 2.
    pub version: i64,
}

impl ClaimBody for AuthorizationRequest {
    const TYPE: &'static str = "authorization_request";
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Server];
    const SUBJECT: Option<KeyKind> = None;

    fn header(&self) -> (&str, i64) {
        (&self.kind, self.version)
    }

    fn set_header(&mut self) {
        Self::TYPE.clone_into(&mut self.kind);
        self.version = VERSION;
    }
}

/// The server that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerClaims {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its public key.
    pub id: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its curve key, if the request is sealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

/// The connection that wants to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientClaims {
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Its number.
    pub id: u64,
    /// The user, by whatever it names itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tags of the user's JWT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The name in the user's JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    /// `Client`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// `nats` or `websocket`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub client_type: String,
    /// What it had to sign, if it signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

/// What CONNECT said.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectClaims {
    /// The user's JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// The public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// The signed nonce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// The connection's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The library's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The library's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The protocol.
    pub protocol: i64,
}

impl std::fmt::Debug for ConnectClaims {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectClaims").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The TLS session of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsClaims {
    /// Such as `1.3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Such as `TLS_AES_128_GCM_SHA256`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cipher: String,
    /// The client's certificates as PEM, where they were not verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certs: Vec<String>,
    /// The same where they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified_chains: Vec<Vec<String>>,
}

/// Body of an answer: a user's JWT, or why there is none. Signed by the account that answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationResponse {
    /// The user's JWT.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub jwt: String,
    /// Why the login is refused.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub error: String,
    /// The account, if a signing key of it signed.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub issuer_account: String,
    /// `authorization_response`.
    #[serde(rename = "type")]
    pub kind: String,
    /// 2.
    pub version: i64,
}

impl ClaimBody for AuthorizationResponse {
    const TYPE: &'static str = RESPONSE;
    const ISSUERS: &'static [KeyKind] = &[KeyKind::Account];
    const SUBJECT: Option<KeyKind> = Some(KeyKind::User);

    fn header(&self) -> (&str, i64) {
        (&self.kind, self.version)
    }

    fn set_header(&mut self) {
        RESPONSE.clone_into(&mut self.kind);
        self.version = VERSION;
    }
}
