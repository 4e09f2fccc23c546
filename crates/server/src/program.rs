//! Logins about which the program decides that embeds the server.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use natterjack_core::auth::{Admitted, ConnectionType};
use natterjack_core::permissions::PermissionsSpec;
use natterjack_proto::connect::Connect;

use crate::connection_info::ConnectionInfo;

/// What a client presents, for [`Builder::logins`](crate::Builder::logins). Nothing of it is checked yet.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoginAttempt {
    /// The user name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The token.
    pub token: Option<String>,
    /// The public nkey.
    pub nkey: Option<String>,
    /// The JWT.
    pub jwt: Option<String>,
    /// The signature of [`nonce`](Self::nonce) by the nkey, or by the key that the JWT is about; base64.
    pub signature: Option<String>,
    /// What the server gave the client to sign.
    pub nonce: String,
    /// What the connection calls itself.
    pub name: Option<String>,
    /// Where it comes from; port 0 of the loopback address for one within the process.
    pub address: SocketAddr,
    /// How it comes, by the names of `allowed_connection_types`: `STANDARD`, `WEBSOCKET`, `IN_PROCESS`.
    pub connection_type: &'static str,
    /// The subject of the certificate that it showed.
    pub certificate_subject: Option<String>,
}

// Without the secrets.
impl std::fmt::Debug for LoginAttempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginAttempt")
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .field("name", &self.name)
            .field("address", &self.address)
            .field("connection_type", &self.connection_type)
            .finish_non_exhaustive()
    }
}

impl LoginAttempt {
    pub(crate) fn new(connect: &Connect, info: &ConnectionInfo, nonce: &str) -> Self {
        let facts = info.facts();
        let shown = facts.as_ref().and_then(|facts| facts.tls.as_ref()?.peer.first());
        LoginAttempt {
            user: connect.user.clone(),
            password: connect.pass.clone(),
            token: connect.auth_token.clone(),
            nkey: connect.nkey.clone(),
            jwt: connect.jwt.clone(),
            signature: connect.sig.clone(),
            nonce: nonce.to_owned(),
            name: connect.name.clone(),
            address: info.peer(),
            connection_type: match info.connection_type() {
                ConnectionType::WebSocket => "WEBSOCKET",
                ConnectionType::InProcess => "IN_PROCESS",
                _ => "STANDARD",
            },
            certificate_subject: shown.map(|shown| shown.subject.clone()),
        }
    }
}

/// What a client that is let in may do, for [`Builder::logins`](crate::Builder::logins). Unless something is
/// allowed or denied, it may do what users of its account may by default.
#[derive(Clone, Debug, Default)]
pub struct LoginGrant {
    admitted: Admitted,
}

impl LoginGrant {
    /// Lets a user of this name in, to the account `$G`.
    pub fn user(name: impl Into<String>) -> Self {
        LoginGrant { admitted: Admitted { user: Some(name.into()), ..Admitted::default() } }
    }

    /// To this account of the configuration instead.
    #[must_use]
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.admitted.account = Some(name.into());
        self
    }

    fn permissions(&mut self) -> &mut PermissionsSpec {
        self.admitted.permissions.get_or_insert_default()
    }

    /// It may publish to these subjects only.
    #[must_use]
    pub fn allow_publish<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.permissions().publish.allow.extend(subjects.into_iter().map(Into::into));
        self
    }

    /// It may not publish to these subjects.
    #[must_use]
    pub fn deny_publish<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.permissions().publish.deny.extend(subjects.into_iter().map(Into::into));
        self
    }

    /// It may subscribe to these subjects only; `"subject queue"` allows members of a queue group.
    #[must_use]
    pub fn allow_subscribe<S: Into<String>>(
        mut self,
        subjects: impl IntoIterator<Item = S>,
    ) -> Self {
        self.permissions().subscribe.allow.extend(subjects.into_iter().map(Into::into));
        self
    }

    /// It may not subscribe to these subjects.
    #[must_use]
    pub fn deny_subscribe<S: Into<String>>(
        mut self,
        subjects: impl IntoIterator<Item = S>,
    ) -> Self {
        self.permissions().subscribe.deny.extend(subjects.into_iter().map(Into::into));
        self
    }

    /// Until then; the connection is closed with `User Authentication Expired`.
    #[must_use]
    pub fn expires(mut self, at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.admitted.expires_unix = Some(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        self
    }

    pub(crate) fn into_admitted(self) -> Admitted {
        self.admitted
    }
}

pub(crate) type Deciding = Pin<Box<dyn Future<Output = Result<LoginGrant, String>> + Send>>;

/// The program's decision about a login.
#[derive(Clone)]
pub(crate) struct Program(Arc<dyn Fn(LoginAttempt) -> Deciding + Send + Sync>);

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Program")
    }
}

impl Program {
    pub(crate) fn new<F, D>(decide: F) -> Self
    where
        F: Fn(LoginAttempt) -> D + Send + Sync + 'static,
        D: Future<Output = Result<LoginGrant, String>> + Send + 'static,
    {
        Program(Arc::new(move |attempt| Box::pin(decide(attempt))))
    }

    pub(crate) fn decide(&self, attempt: LoginAttempt) -> Deciding {
        (self.0)(attempt)
    }
}
