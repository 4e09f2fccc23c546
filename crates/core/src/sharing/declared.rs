//! Exports and imports as they are declared, by the configuration or by an account's JWT.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::jwt::ActivationClaims;

/// What an account offers and uses.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// The account's name.
    pub account: Arc<str>,
    /// What it offers.
    pub exports: Vec<Export>,
    /// What it uses of others.
    pub imports: Vec<Import>,
}

impl Sharing {
    /// An account that shares nothing.
    #[must_use]
    pub fn nothing(account: &Arc<str>) -> Self {
        Sharing { account: account.clone(), exports: Vec::new(), imports: Vec::new() }
    }

    /// When the next activation of an import begins or ends to count after `now_unix`, in seconds of
    /// Unix time.
    #[must_use]
    pub fn changes_unix(&self, now_unix: i64) -> Option<i64> {
        let activations = self.imports.iter().filter_map(|import| import.activation.as_ref());
        activations.flat_map(|token| [token.nbf, token.exp]).filter(|at| *at > now_unix).min()
    }
}

/// What an account offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The subject, perhaps with wildcards.
    pub subject: String,
    /// Who may import it.
    pub importers: Importers,
    /// Stream or service.
    pub kind: ExportKind,
}

/// Who may import.
#[derive(Clone, Debug, PartialEq)]
pub enum Importers {
    /// Every account.
    All,
    /// These accounts.
    Only(Vec<String>),
    /// Every account, where this token of the subject (from 1) is its name.
    Named(usize),
    /// Accounts that show an activation token.
    Activated {
        /// Public keys that may sign activations: of the account, and its signing keys.
        issuers: Vec<String>,
        /// Accounts (or `*`) whose activations issued until then, in seconds of Unix time, are void.
        revocations: BTreeMap<String, i64>,
    },
}

/// Stream or service.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportKind {
    /// Messages to subscribe to.
    Stream,
    /// Requests to answer.
    Service(Service),
}

/// The terms of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How many answers a request gets.
    pub responses: Responses,
    /// How long an answer may take, in nanoseconds.
    pub threshold_ns: u64,
    /// Where latencies are reported.
    pub latency: Option<Latency>,
    /// Whether a message that is traced is followed into the exporting account.
    pub allow_trace: bool,
}

/// How long an answer may take where nothing else is declared.
pub(super) const DEFAULT_THRESHOLD_NS: u64 = 120_000_000_000;

impl Default for Service {
    fn default() -> Self {
        Service {
            responses: Responses::Singleton,
            threshold_ns: DEFAULT_THRESHOLD_NS,
            latency: None,
            allow_trace: false,
        }
    }
}

/// How many answers a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responses {
    /// One.
    Singleton,
    /// Any number, until one without headers and payload.
    Streamed,
    /// One in pieces, until one without headers and payload.
    Chunked,
}

/// Reports of a service's latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Percent of the requests measured; 0 measures those whose headers ask for it.
    pub sampling: u8,
    /// The subject, in the exporting account.
    pub subject: String,
}

/// What an account uses of another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Whether it is a service (else a stream).
    pub is_service: bool,
    /// The exporting account.
    pub account: String,
    /// The subject there.
    pub subject: String,
    /// The subject here; the same where it is empty. `$1` and `{{wildcard(1)}}` stand for the wildcards of
    /// `subject`, and so do plain ones in their order.
    pub local: String,
    /// Whether the service learns who asks.
    pub share: bool,
    /// The exporter's permission.
    pub activation: Option<ActivationClaims>,
    /// Whether a message of the stream that is traced is followed into this account.
    pub allow_trace: bool,
}

impl Import {
    /// The subject here, as it was declared.
    pub(super) fn local(&self) -> &str {
        if self.local.is_empty() { &self.subject } else { &self.local }
    }
}
