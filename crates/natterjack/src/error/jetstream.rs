//! Cases about streams, consumers and buckets.

use std::borrow::Cow;
use std::fmt;

use super::{Cause, Explain, exit_of, explain, is_passing};

/// A stream, consumer, bucket or message does not exist.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind} {name} not found")]
pub struct NotFound {
    /// `stream`, `consumer`, `bucket`, `object`, `message`.
    pub kind: Cow<'static, str>,
    /// Its name.
    pub name: String,
    /// The server's error code, 0 if there was none.
    pub err_code: u32,
}

explain!(NotFound, "js.not_found", retryable: false, exit: 5, "");

/// Where JetStream is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledScope {
    /// The server runs without JetStream.
    Server,
    /// The account has no JetStream.
    Account,
}

/// JetStream is not enabled.
#[derive(Debug, Clone)]
pub struct JetStreamDisabled {
    /// For the whole server, or for this account only.
    pub scope: DisabledScope,
}

impl std::error::Error for JetStreamDisabled {}

impl fmt::Display for JetStreamDisabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scope {
            DisabledScope::Server => "JetStream is not enabled on this server",
            DisabledScope::Account => "JetStream is not enabled for this account",
        })
    }
}

explain!(JetStreamDisabled, "js.disabled", retryable: false, exit: 5, "start the server with -js");

/// The server answered with an API error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{request}: {description} (code {code}, err_code {err_code})")]
pub struct Api {
    /// The class of the error, like an HTTP status.
    pub code: u16,
    /// The exact error (ADR-7).
    pub err_code: u32,
    /// The server's words.
    pub description: String,
    /// What was asked for.
    pub request: String,
}

impl Explain for Api {
    fn code(&self) -> &'static str {
        "js.api"
    }

    fn retryable(&self) -> bool {
        is_passing(self.code)
    }

    fn hint(&self) -> Cow<'static, str> {
        match self.err_code {
            10023 | 10028 | 10047 => {
                "storage or memory is used up: remove data or raise the limit".into()
            }
            10077 => "the stream is full: raise its limits or consume it".into(),
            _ => "".into(),
        }
    }

    fn exit_code(&self) -> u8 {
        exit_of(self.code)
    }
}

/// What exists differs from what is wanted, in a way that cannot be edited. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{object} exists with {field} {found}, wanted {wanted}")]
pub struct Drift {
    /// `stream NAME`, `consumer NAME` or `bucket NAME`.
    pub object: String,
    /// The field of the configuration, by the server's name.
    pub field: String,
    /// What the program asked for.
    pub wanted: String,
    /// What the server has.
    pub found: String,
}

explain!(Drift, "js.drift", retryable: false, exit: 7, "use another name, or remove the old one first");

/// Somebody else wrote first.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// The key or subject.
    pub key: String,
    /// The revision that the write was conditional on; 0 means "must not exist".
    pub expected: u64,
    /// The revision that is there, if known.
    pub actual: Option<u64>,
}

impl std::error::Error for Conflict {}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conflict on {}: expected {}", self.key, self.expected)?;
        self.actual.map_or(Ok(()), |actual| write!(f, ", current {actual}"))
    }
}

explain!(Conflict, "js.conflict", retryable: true, exit: 7, "read the current revision and decide again");

/// A name breaks the rules (ADR-6, ADR-8).
#[derive(Debug, Clone, thiserror::Error)]
#[error("bad {kind} name `{name}`: {why}")]
pub struct BadName {
    /// `stream`, `consumer`, `bucket`, `key`, `object`, `service`, `endpoint`, ..
    pub kind: Cow<'static, str>,
    /// The name.
    pub name: String,
    /// What is wrong, with the position (counted from 1).
    pub why: String,
}

explain!(BadName, "js.bad_name", retryable: false, exit: 2, "");

/// The server's answer could not be understood.
#[derive(Debug, Clone, thiserror::Error)]
#[error("answer to {request} could not be understood: {error}")]
pub struct BadReply {
    /// The request's subject.
    pub request: String,
    /// The parser's reason.
    #[source]
    pub error: Cause,
}

explain!(BadReply, "js.bad_reply", retryable: false, exit: 1, "is another program answering on this subject?");

/// A message lacks what JetStream puts on it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not a JetStream message: {what}")]
pub struct Protocol {
    /// What is missing.
    pub what: String,
}

explain!(Protocol, "js.protocol", retryable: false, exit: 1, "");

/// The pieces of an object are not what was put.
#[derive(Debug, Clone, thiserror::Error)]
#[error("object {name} is damaged: its digest is {found}, should be {wanted}")]
pub struct DigestMismatch {
    /// The object's name.
    pub name: String,
    /// The digest of what was put.
    pub wanted: String,
    /// The digest of what is there.
    pub found: String,
}

explain!(
    DigestMismatch,
    "object.digest_mismatch",
    retryable: false,
    exit: 1,
    "put the object again, and look for who else writes into the bucket's stream"
);

/// What an object is read from or written to failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {error}")]
pub struct Io {
    /// What was done.
    pub what: String,
    /// Why it failed.
    #[source]
    pub error: Cause,
}

explain!(Io, "object.io", retryable: false, exit: 1, "");
