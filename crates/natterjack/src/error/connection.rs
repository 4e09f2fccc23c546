//! Cases about reaching a server, logging in, and the state of the connection.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Cause, Explain, explain};
use crate::core::DrainReport;
use crate::event::{CloseReason, Operation};
use crate::units::{ByteSize, pretty};

/// A server address that cannot be used. The address is shown without user information.
#[derive(Debug, Clone, thiserror::Error)]
#[error("bad server address `{url}`: {why}")]
pub struct BadUrl {
    /// The address, without user information.
    pub url: String,
    /// What is wrong with it.
    pub why: String,
}

explain!(
    BadUrl,
    "connect.bad_url",
    retryable: false,
    exit: 2,
    "write addresses as nats://host:port, several separated by commas"
);

/// An option or environment variable that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("bad option {option}: {why}")]
pub struct BadOption {
    /// The option's or variable's name.
    pub option: String,
    /// What is wrong with it.
    pub why: String,
}

explain!(BadOption, "connect.bad_option", retryable: false, exit: 2, "");

/// One server that was tried, and why it did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// `host:port`.
    pub server: String,
    /// The reason, for example `connection refused`.
    pub why: String,
}

/// No server of the pool could be reached; each with its own reason.
#[derive(Debug, Clone)]
pub struct Unreachable {
    /// The servers in the order in which they were tried.
    pub tried: Vec<Tried>,
}

impl std::error::Error for Unreachable {}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot reach ")?;
        for (at, tried) in self.tried.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{} ({})", tried.server, tried.why)?;
        }
        Ok(())
    }
}

explain!(
    Unreachable,
    "connect.unreachable",
    retryable: true,
    exit: 3,
    "check the address, or start a server: natterjack serve -js"
);

/// The TLS set-up or handshake failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("TLS failed while {stage}: {detail}")]
pub struct TlsFailed {
    /// `reading the CA file`, `handshake`, ..
    pub stage: String,
    /// What happened.
    pub detail: String,
}

explain!(TlsFailed, "tls.failed", retryable: false, exit: 3, "check the CA, certificate and host name");

/// The server refused the login. Never holds the secret.
#[derive(Debug, Clone)]
pub struct AuthDenied {
    /// `host:port` of the server that refused.
    pub server: String,
    /// `token`, `user and password`, `credentials`, `nkey`, `jwt` or `no login`.
    pub method: String,
    /// The server's own words if they say more than "authorization violation".
    pub text: String,
}

impl std::error::Error for AuthDenied {}

impl fmt::Display for AuthDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method.as_str() {
            "no login" => write!(f, "server {} asks for a login and none was given", self.server)?,
            method => write!(f, "server refused the {method} ({})", self.server)?,
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

explain!(
    AuthDenied,
    "auth.denied",
    retryable: false,
    exit: 4,
    "check the login; it may be wrong, revoked or meant for another server"
);

/// The credentials file does not exist.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credentials file {} not found", .path.display())]
pub struct CredsMissing {
    /// The file.
    pub path: PathBuf,
}

explain!(
    CredsMissing,
    "auth.creds_missing",
    retryable: true,
    exit: 4,
    "make one with: natterjack auth quick DIR"
);

/// The credentials file exists and cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credentials file {} cannot be read", .path.display())]
pub struct CredsUnreadable {
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub error: Cause,
}

explain!(CredsUnreadable, "auth.creds_unreadable", retryable: true, exit: 4, "check the file's owner and mode");

/// The credentials are not of the expected form.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credentials in {source_name} are malformed: {what}")]
pub struct CredsMalformed {
    /// The file, or `the given text`.
    pub source_name: String,
    /// Which block is wrong, and how.
    pub what: String,
}

explain!(
    CredsMalformed,
    "auth.creds_malformed",
    retryable: true,
    exit: 4,
    "the file needs a NATS USER JWT block and then a USER NKEY SEED block"
);

/// The credentials have expired.
#[derive(Debug, Clone)]
pub struct CredsExpired {
    /// The file, or `the given text`.
    pub source_name: String,
    /// How long ago.
    pub since: Duration,
}

impl std::error::Error for CredsExpired {}

impl fmt::Display for CredsExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credentials in {} expired {} ago", self.source_name, pretty(self.since))
    }
}

explain!(CredsExpired, "auth.creds_expired", retryable: true, exit: 4, "ask for new credentials");

/// The seed in the credentials belongs to another user than the JWT.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "credentials in {source_name} do not fit together: the seed is not the one of the JWT's user"
)]
pub struct CredsMismatch {
    /// The file, or `the given text`.
    pub source_name: String,
}

explain!(CredsMismatch, "auth.creds_mismatch", retryable: true, exit: 4, "generate the file again");

/// A login function or file gave nothing to log in with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the {method} gave no login")]
pub struct AuthSource {
    /// `token function`, `token file`, `nkey file`, ..
    pub method: String,
    /// Its reason.
    #[source]
    pub error: Cause,
}

explain!(AuthSource, "auth.source", retryable: true, exit: 4, "");

/// The user may not publish to or subscribe to this subject.
#[derive(Debug, Clone)]
pub struct PermissionDenied {
    /// What was refused.
    pub op: Operation,
    /// On which subject.
    pub subject: String,
    /// In which queue group.
    pub queue: Option<String>,
}

impl std::error::Error for PermissionDenied {}

impl fmt::Display for PermissionDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "permission denied: {} {}", self.op, self.subject)?;
        self.queue.as_ref().map_or(Ok(()), |queue| write!(f, " in queue {queue}"))
    }
}

explain!(
    PermissionDenied,
    "auth.permission",
    retryable: false,
    exit: 4,
    "the user's permissions do not cover this subject"
);

/// The connection has ended, for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("connection closed: {reason}")]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
}

impl Explain for Closed {
    fn code(&self) -> &'static str {
        "conn.closed"
    }

    fn retryable(&self) -> bool {
        false
    }

    fn hint(&self) -> Cow<'static, str> {
        "connect again".into()
    }

    fn exit_code(&self) -> u8 {
        match self.reason {
            CloseReason::GaveUp { .. } => 3,
            CloseReason::AuthFailed => 4,
            CloseReason::Drained | CloseReason::Requested => 1,
        }
    }
}

/// The connection is draining and takes nothing new.
#[derive(Debug, Clone, thiserror::Error)]
#[error("connection is draining")]
pub struct Draining {}

explain!(Draining, "conn.draining", retryable: false, exit: 1, "");

/// There is no connection at the moment; the connector is trying to get one.
#[derive(Debug, Clone)]
pub struct Offline {
    /// For how long.
    pub since: Option<Duration>,
}

impl std::error::Error for Offline {}

impl fmt::Display for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not connected")?;
        self.since.map_or(Ok(()), |since| write!(f, " for {}", pretty(since)))
    }
}

explain!(Offline, "conn.offline", retryable: true, exit: 3, "wait for the connection to come back");

/// No answer in time.
#[derive(Debug, Clone)]
pub struct Timeout {
    /// What was waited for.
    pub what: Cow<'static, str>,
    /// How long.
    pub after: Duration,
}

impl std::error::Error for Timeout {}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timed out after {}", self.what, pretty(self.after))
    }
}

explain!(Timeout, "conn.timeout", retryable: true, exit: 6, "");

/// The drain reached its deadline with work left.
#[derive(Debug, Clone, thiserror::Error)]
#[error("drain ended at its deadline: {report}")]
pub struct DrainTimeout {
    /// What was done and what was left.
    pub report: DrainReport,
}

explain!(DrainTimeout, "conn.drain_timeout", retryable: false, exit: 6, "raise drain_timeout");

/// The outgoing buffer is full.
#[derive(Debug, Clone, thiserror::Error)]
#[error("outgoing buffer is full ({limit})")]
pub struct Backpressure {
    /// The limit that was reached.
    pub limit: ByteSize,
}

explain!(
    Backpressure,
    "publish.backpressure",
    retryable: true,
    exit: 1,
    "send slower, raise outbound_limit, or wait for the connection"
);
