//! Everything the server says before it closes a connection or refuses an operation.
//!
//! [`ServerError`] is the `-ERR` catalogue: one variant per text, typed parameters, exact bytes.
//! [`ClosedReason`] is what monitoring and disconnect events call the end of a connection. Callers
//! choose variants; nobody else in the workspace composes these texts.

mod closed;

pub use closed::ClosedReason;

use crate::quote::quote_into;

/// One `-ERR` of the catalogue. [`text`](Self::text) gives what stands between the quotes.
///
/// Client libraries recognise several texts by prefix and pick subjects out of others, so the texts
/// are part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerError {
    /// The bytes are no operation a client may send. Closes.
    UnknownProtocolOperation,
    /// Any failure to authenticate, whatever the inner reason. Closes.
    AuthorizationViolation,
    /// No valid CONNECT within `authorization.timeout`. Closes.
    AuthenticationTimeout,
    /// The expiry of the user's JWT or of an authorization callout's answer was reached. Closes.
    UserAuthenticationExpired,
    /// The expiry of the account's JWT was reached. Closes.
    AccountAuthenticationExpired,
    /// A revocation of the user arrived while it was connected. Closes.
    UserAuthenticationRevoked,
    /// The connection could not be bound to its account. Closes.
    FailedAccountRegistration,
    /// The server's `max_connections` is reached. Closes.
    MaximumConnectionsExceeded,
    /// The account's connection limit is reached. Closes.
    MaximumAccountConnectionsExceeded,
    /// A publish announced more bytes (headers and body) than `max_payload`. Closes.
    MaximumPayloadViolation,
    /// The argument of a control line is longer than `max_control_line`. Closes.
    MaximumControlLineExceeded,
    /// Too many PINGs went unanswered. Closes.
    StaleConnection,
    /// CONNECT asked for a `protocol` other than 0 and 1. Closes.
    InvalidClientProtocol,
    /// CONNECT asked for `no_responders` without `headers`. Closes.
    NoRespondersRequiresHeaders,
    /// The TLS `connection_rate_limit` is reached. Closes.
    ConnectionThrottling,
    /// A client's CONNECT reached the leafnode listener. Closes.
    AttemptedToConnectToLeafNodePort,
    /// TLS is required and the client did not start it. Closes.
    SecureConnectionTlsRequired,
    /// Publishing to `subject` (as it is after mapping) is not permitted; the message was dropped.
    PublishViolation {
        /// The subject after mapping.
        subject: Box<[u8]>,
    },
    /// The reply subject has a reserved prefix; the message was dropped.
    PublishReplyViolation {
        /// The reply subject.
        reply: Box<[u8]>,
    },
    /// Subscribing is not permitted, or the right was taken away by a reload (then with `sid`).
    SubscriptionViolation {
        /// The subject asked for.
        subject: Box<[u8]>,
        /// The queue group asked for.
        queue: Option<Box<[u8]>>,
        /// The sid of the subscription that a reload removed; absent when a SUB is refused.
        sid: Option<Box<[u8]>>,
    },
    /// The subject of a SUB has more tokens than `max_sub_tokens`.
    TooManyTokens {
        /// The subject asked for.
        subject: Box<[u8]>,
    },
    /// The subject of a SUB is malformed.
    InvalidSubject,
    /// Pedantic mode: the subject of a publish is no literal subject. The message is still routed.
    InvalidPublishSubject,
    /// The subscription limit of the connection is reached; the SUB had no effect.
    MaximumSubscriptionsExceeded,
}

impl ServerError {
    /// A publish to `subject` that permissions refuse.
    #[must_use]
    pub fn publish_violation(subject: &[u8]) -> Self {
        Self::PublishViolation { subject: subject.into() }
    }

    /// A publish whose reply subject is reserved.
    #[must_use]
    pub fn publish_reply_violation(reply: &[u8]) -> Self {
        Self::PublishReplyViolation { reply: reply.into() }
    }

    /// A SUB that permissions refuse.
    #[must_use]
    pub fn subscription_violation(subject: &[u8], queue: Option<&[u8]>) -> Self {
        Self::SubscriptionViolation {
            subject: subject.into(),
            queue: queue.map(Into::into),
            sid: None,
        }
    }

    /// A subscription that a reload removed because its right was taken away.
    #[must_use]
    pub fn subscription_removed(subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Self {
        Self::SubscriptionViolation {
            subject: subject.into(),
            queue: queue.map(Into::into),
            sid: Some(sid.into()),
        }
    }

    /// A SUB whose subject has too many tokens.
    #[must_use]
    pub fn too_many_tokens(subject: &[u8]) -> Self {
        Self::TooManyTokens { subject: subject.into() }
    }

    /// Whether the server closes the connection after sending this error.
    #[must_use]
    pub fn closes(&self) -> bool {
        match self {
            Self::UnknownProtocolOperation
            | Self::AuthorizationViolation
            | Self::AuthenticationTimeout
            | Self::UserAuthenticationExpired
            | Self::AccountAuthenticationExpired
            | Self::UserAuthenticationRevoked
            | Self::FailedAccountRegistration
            | Self::MaximumConnectionsExceeded
            | Self::MaximumAccountConnectionsExceeded
            | Self::MaximumPayloadViolation
            | Self::MaximumControlLineExceeded
            | Self::StaleConnection
            | Self::InvalidClientProtocol
            | Self::NoRespondersRequiresHeaders
            | Self::ConnectionThrottling
            | Self::AttemptedToConnectToLeafNodePort
            | Self::SecureConnectionTlsRequired => true,
            Self::PublishViolation { .. }
            | Self::PublishReplyViolation { .. }
            | Self::SubscriptionViolation { .. }
            | Self::TooManyTokens { .. }
            | Self::InvalidSubject
            | Self::InvalidPublishSubject
            | Self::MaximumSubscriptionsExceeded => false,
        }
    }

    /// The text between the single quotes of `-ERR '…'`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.write_text(&mut out);
        String::from_utf8(out).expect("fixed texts and quoted bytes are UTF-8")
    }

    /// Appends the text between the single quotes of `-ERR '…'`.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        let fixed: &[u8] = match self {
            Self::UnknownProtocolOperation => b"Unknown Protocol Operation",
            Self::AuthorizationViolation => b"Authorization Violation",
            Self::AuthenticationTimeout => b"Authentication Timeout",
            Self::UserAuthenticationExpired => b"User Authentication Expired",
            Self::AccountAuthenticationExpired => b"Account Authentication Expired",
            Self::UserAuthenticationRevoked => b"User Authentication Revoked",
            Self::FailedAccountRegistration => b"Failed Account Registration",
            Self::MaximumConnectionsExceeded => b"maximum connections exceeded",
            Self::MaximumAccountConnectionsExceeded => {
                b"maximum account active connections exceeded"
            }
            Self::MaximumPayloadViolation => b"Maximum Payload Violation",
            Self::MaximumControlLineExceeded => b"maximum control line exceeded",
            Self::StaleConnection => b"Stale Connection",
            Self::InvalidClientProtocol => b"invalid client protocol",
            Self::NoRespondersRequiresHeaders => b"no responders requires headers support",
            Self::ConnectionThrottling => {
                b"Connection throttling is active. Please try again later."
            }
            Self::AttemptedToConnectToLeafNodePort => b"attempted to connect to leaf node port",
            Self::SecureConnectionTlsRequired => b"Secure Connection - TLS Required",
            Self::InvalidSubject => b"Invalid Subject",
            Self::InvalidPublishSubject => b"Invalid Publish Subject",
            Self::MaximumSubscriptionsExceeded => b"maximum subscriptions exceeded",
            Self::PublishViolation { subject } => {
                out.extend_from_slice(b"Permissions Violation for Publish to ");
                return quote_into(out, subject);
            }
            Self::PublishReplyViolation { reply } => {
                out.extend_from_slice(b"Permissions Violation for Publish with Reply of ");
                return quote_into(out, reply);
            }
            Self::TooManyTokens { subject } => {
                out.extend_from_slice(b"Permissions Violation for Subscription to ");
                quote_into(out, subject);
                b", too many tokens"
            }
            Self::SubscriptionViolation { subject, queue, sid } => {
                out.extend_from_slice(b"Permissions Violation for Subscription to ");
                quote_into(out, subject);
                if let Some(queue) = queue {
                    out.extend_from_slice(b" using queue ");
                    quote_into(out, queue);
                }
                if let Some(sid) = sid {
                    out.extend_from_slice(b" (sid ");
                    quote_into(out, sid);
                    out.push(b')');
                }
                return;
            }
        };
        out.extend_from_slice(fixed);
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::ServerError as E;

    #[test]
    fn catalogue() {
        let closing = [
            (E::UnknownProtocolOperation, "Unknown Protocol Operation"),
            (E::AuthorizationViolation, "Authorization Violation"),
            (E::AuthenticationTimeout, "Authentication Timeout"),
            (E::UserAuthenticationExpired, "User Authentication Expired"),
            (E::AccountAuthenticationExpired, "Account Authentication Expired"),
            (E::UserAuthenticationRevoked, "User Authentication Revoked"),
            (E::FailedAccountRegistration, "Failed Account Registration"),
            (E::MaximumConnectionsExceeded, "maximum connections exceeded"),
            (E::MaximumAccountConnectionsExceeded, "maximum account active connections exceeded"),
            (E::MaximumPayloadViolation, "Maximum Payload Violation"),
            (E::MaximumControlLineExceeded, "maximum control line exceeded"),
            (E::StaleConnection, "Stale Connection"),
            (E::InvalidClientProtocol, "invalid client protocol"),
            (E::NoRespondersRequiresHeaders, "no responders requires headers support"),
            (E::ConnectionThrottling, "Connection throttling is active. Please try again later."),
            (E::AttemptedToConnectToLeafNodePort, "attempted to connect to leaf node port"),
            (E::SecureConnectionTlsRequired, "Secure Connection - TLS Required"),
        ];
        let open = [
            (E::publish_violation(b"$GR.x"), r#"Permissions Violation for Publish to "$GR.x""#),
            (
                E::publish_violation(b"$GR.a\"b\\\xff\xc3\xa9\x01"),
                "Permissions Violation for Publish to \"$GR.a\\\"b\\\\\\xff\u{e9}\\x01\"",
            ),
            (
                E::publish_reply_violation(b"$JS.ACK.x"),
                r#"Permissions Violation for Publish with Reply of "$JS.ACK.x""#,
            ),
            (
                E::subscription_violation(b"foo", None),
                r#"Permissions Violation for Subscription to "foo""#,
            ),
            (
                E::subscription_violation(b"foo", Some(b"_sys_")),
                r#"Permissions Violation for Subscription to "foo" using queue "_sys_""#,
            ),
            (
                E::subscription_removed(b"foo", None, b"1"),
                r#"Permissions Violation for Subscription to "foo" (sid "1")"#,
            ),
            (
                E::subscription_removed(b"foo", Some(b"q"), b"1"),
                r#"Permissions Violation for Subscription to "foo" using queue "q" (sid "1")"#,
            ),
            (
                E::too_many_tokens(b"a.b.c.d"),
                r#"Permissions Violation for Subscription to "a.b.c.d", too many tokens"#,
            ),
            (E::InvalidSubject, "Invalid Subject"),
            (E::InvalidPublishSubject, "Invalid Publish Subject"),
            (E::MaximumSubscriptionsExceeded, "maximum subscriptions exceeded"),
        ];
        let rows = closing.map(|(e, text)| (e, text, true)).into_iter();
        for (error, text, closes) in rows.chain(open.map(|(e, text)| (e, text, false))) {
            assert_eq!(error.text(), text);
            assert_eq!(error.to_string(), text);
            assert_eq!(error.closes(), closes, "{text}");
            let mut wire = b"before".to_vec();
            crate::encode::err(&mut wire, &error);
            assert_eq!(String::from_utf8(wire).unwrap(), format!("before-ERR '{text}'\r\n"));
        }
    }
}
