//! Why parsing a connection's bytes ended.

use crate::error::{ClosedReason, ServerError};
use crate::quote::quote;

/// Bytes that break the grammar or one of its limits. The connection is to be closed with
/// [`closed_reason`](Self::closed_reason), after sending [`server_error`](Self::server_error) if there
/// is one. The text (`Display`) is the log line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.log)]
pub struct ParseError(Box<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    kind: ParseErrorKind,
    log: String,
}

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// No operation starts like this, or the payload does not end where it should.
    Protocol,
    /// PUB with too few or too many arguments.
    PubArguments,
    /// PUB whose size is no number of 1 to 9 digits.
    PubSize,
    /// HPUB with too few or too many arguments.
    HeaderPubArguments,
    /// HPUB whose header size is no number of 1 to 9 digits.
    HeaderSize,
    /// HPUB whose total size is no number of 1 to 9 digits.
    TotalSize,
    /// HPUB whose header size exceeds its total size.
    HeaderSizeAboveTotal,
    /// SUB with too few or too many arguments.
    SubArguments,
    /// UNSUB with too few or too many arguments.
    UnsubArguments,
    /// HPUB on a connection without headers, see [`Parser::allow_headers`](super::Parser::allow_headers).
    HeadersNotSupported,
    /// A publish larger than `max_payload`.
    MaxPayload,
    /// An argument longer than `max_control_line`.
    MaxControlLine,
}

/// Most bytes of the input that a log line shows.
const SNIPPET_MAX: usize = 32;

impl ParseError {
    /// Which rule was broken.
    #[must_use]
    pub fn kind(&self) -> ParseErrorKind {
        self.0.kind
    }

    /// The `-ERR` to send before closing; wrong arguments of a right verb get none.
    #[must_use]
    pub fn server_error(&self) -> Option<ServerError> {
        match self.0.kind {
            ParseErrorKind::Protocol => Some(ServerError::UnknownProtocolOperation),
            ParseErrorKind::MaxPayload => Some(ServerError::MaximumPayloadViolation),
            ParseErrorKind::MaxControlLine => Some(ServerError::MaximumControlLineExceeded),
            _ => None,
        }
    }

    /// What monitoring calls the end of the connection.
    #[must_use]
    pub fn closed_reason(&self) -> ClosedReason {
        match self.0.kind {
            ParseErrorKind::MaxPayload => ClosedReason::MaximumMessagePayloadExceeded,
            ParseErrorKind::MaxControlLine => ClosedReason::MaximumControlLineExceeded,
            _ => ClosedReason::ProtocolViolation,
        }
    }

    /// The log line; positions count from the start of the operation.
    #[must_use]
    pub fn log_text(&self) -> &str {
        &self.0.log
    }

    #[cold]
    fn new(kind: ParseErrorKind, log: String) -> Self {
        Self(Box::new(Inner { kind, log }))
    }

    /// The byte at `at` fits nowhere.
    #[cold]
    pub(super) fn protocol(state: u8, at: usize, buf: &[u8]) -> Self {
        // The reference server leaves the last byte of what it has read out of the snippet.
        let end = (at + SNIPPET_MAX).min(buf.len().saturating_sub(1));
        let snippet = quote(buf.get(at..end).unwrap_or_default());
        Self::new(
            ParseErrorKind::Protocol,
            format!("Client parser ERROR, state={state}, i={at}: proto='{snippet}...'"),
        )
    }

    /// A right verb with wrong arguments.
    #[cold]
    pub(super) fn argument(kind: ParseErrorKind, arg: &[u8]) -> Self {
        let what = match kind {
            ParseErrorKind::PubArguments => "processPub Parse Error",
            ParseErrorKind::PubSize => "processPub Bad or Missing Size",
            ParseErrorKind::HeaderPubArguments => "processHeaderPub Parse Error",
            ParseErrorKind::HeaderSize => "processHeaderPub Bad or Missing Header Size",
            ParseErrorKind::TotalSize => "processHeaderPub Bad or Missing Total Size",
            ParseErrorKind::HeaderSizeAboveTotal => {
                "processHeaderPub Header Size larger then TotalSize"
            }
            ParseErrorKind::UnsubArguments => "processUnsub Parse Error",
            _ => "processSub Parse Error",
        };
        Self::new(kind, format!("{what}: {}", quote(arg)))
    }

    #[cold]
    pub(super) fn headers_not_supported() -> Self {
        Self::new(ParseErrorKind::HeadersNotSupported, "message headers not supported".into())
    }

    #[cold]
    pub(super) fn max_payload(size: usize, max: i64) -> Self {
        Self::new(ParseErrorKind::MaxPayload, format!("maximum payload exceeded: {size} vs {max}"))
    }

    #[cold]
    pub(super) fn max_control_line() -> Self {
        Self::new(ParseErrorKind::MaxControlLine, "maximum control line exceeded".into())
    }
}
