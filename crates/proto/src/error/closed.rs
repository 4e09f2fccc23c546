//! Why a connection ended, in the words of monitoring.

/// Why a connection was closed, as `/connz?state=closed` and disconnect events name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClosedReason {
    /// The peer closed the connection.
    ClientClosed,
    /// No valid CONNECT came in time.
    AuthenticationTimeout,
    /// The credentials were refused.
    AuthenticationFailure,
    /// The TLS handshake failed or took too long.
    TlsHandshakeFailure,
    /// More than `max_pending` bytes were queued for the peer.
    SlowConsumerPendingBytes,
    /// A write to the peer exceeded `write_deadline`.
    SlowConsumerWriteDeadline,
    /// Writing to the socket failed.
    WriteError,
    /// Reading from the socket failed.
    ReadError,
    /// The peer sent `-ERR`.
    ParseError,
    /// Too many PINGs went unanswered.
    StaleConnection,
    /// The peer sent what is no operation, or a wrong argument.
    ProtocolViolation,
    /// CONNECT asked for an unknown `protocol`.
    BadClientProtocolVersion,
    /// A connection of the wrong kind for this listener.
    IncorrectPort,
    /// The server's connection limit was reached.
    MaximumConnectionsExceeded,
    /// The account's connection limit was reached.
    MaximumAccountConnectionsExceeded,
    /// A publish was larger than `max_payload`.
    MaximumMessagePayloadExceeded,
    /// An argument was longer than `max_control_line`.
    MaximumControlLineExceeded,
    /// The subscription limit was reached.
    MaximumSubscriptionsExceeded,
    /// A route to the same server exists already.
    DuplicateRoute,
    /// The route was removed by a reload.
    RouteRemoved,
    /// The server shut down.
    ServerShutdown,
    /// The credentials expired.
    AuthenticationExpired,
    /// A gateway of another name.
    WrongGateway,
    /// The account does not exist.
    MissingAccount,
    /// The credentials were revoked.
    CredentialsRevoked,
    /// An internal client of the server ended.
    InternalClient,
    /// Headers were sent where none are allowed.
    MessageHeaderViolation,
    /// CONNECT asked for `no_responders` without `headers`.
    NoRespondersRequiresHeaders,
    /// The peer's cluster name differs.
    ClusterNameConflict,
    /// The same remote leafnode is connected already.
    DuplicateRemoteLeafNodeConnection,
    /// An MQTT client took over the session.
    DuplicateClientId,
    /// A server of the same name is connected already.
    DuplicateServerName,
    /// The leafnode's version is below the minimum.
    MinimumVersionRequired,
    /// Both sides of the leafnode connection have the same cluster name.
    ClusterNamesIdentical,
    /// An operator closed the connection.
    Kicked,
    /// The connection came through a proxy that is not trusted.
    ProxyNotTrusted,
    /// The connection must come through a proxy.
    ProxyRequired,
}

impl ClosedReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 37] = [
        Self::ClientClosed,
        Self::AuthenticationTimeout,
        Self::AuthenticationFailure,
        Self::TlsHandshakeFailure,
        Self::SlowConsumerPendingBytes,
        Self::SlowConsumerWriteDeadline,
        Self::WriteError,
        Self::ReadError,
        Self::ParseError,
        Self::StaleConnection,
        Self::ProtocolViolation,
        Self::BadClientProtocolVersion,
        Self::IncorrectPort,
        Self::MaximumConnectionsExceeded,
        Self::MaximumAccountConnectionsExceeded,
        Self::MaximumMessagePayloadExceeded,
        Self::MaximumControlLineExceeded,
        Self::MaximumSubscriptionsExceeded,
        Self::DuplicateRoute,
        Self::RouteRemoved,
        Self::ServerShutdown,
        Self::AuthenticationExpired,
        Self::WrongGateway,
        Self::MissingAccount,
        Self::CredentialsRevoked,
        Self::InternalClient,
        Self::MessageHeaderViolation,
        Self::NoRespondersRequiresHeaders,
        Self::ClusterNameConflict,
        Self::DuplicateRemoteLeafNodeConnection,
        Self::DuplicateClientId,
        Self::DuplicateServerName,
        Self::MinimumVersionRequired,
        Self::ClusterNamesIdentical,
        Self::Kicked,
        Self::ProxyNotTrusted,
        Self::ProxyRequired,
    ];

    /// The text shown in monitoring and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "Client Closed",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationFailure => "Authentication Failure",
            Self::TlsHandshakeFailure => "TLS Handshake Failure",
            Self::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            Self::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            Self::WriteError => "Write Error",
            Self::ReadError => "Read Error",
            Self::ParseError => "Parse Error",
            Self::StaleConnection => "Stale Connection",
            Self::ProtocolViolation => "Protocol Violation",
            Self::BadClientProtocolVersion => "Bad Client Protocol Version",
            Self::IncorrectPort => "Incorrect Port",
            Self::MaximumConnectionsExceeded => "Maximum Connections Exceeded",
            Self::MaximumAccountConnectionsExceeded => "Maximum Account Connections Exceeded",
            Self::MaximumMessagePayloadExceeded => "Maximum Message Payload Exceeded",
            Self::MaximumControlLineExceeded => "Maximum Control Line Exceeded",
            Self::MaximumSubscriptionsExceeded => "Maximum Subscriptions Exceeded",
            Self::DuplicateRoute => "Duplicate Route",
            Self::RouteRemoved => "Route Removed",
            Self::ServerShutdown => "Server Shutdown",
            Self::AuthenticationExpired => "Authentication Expired",
            Self::WrongGateway => "Wrong Gateway",
            Self::MissingAccount => "Missing Account",
            Self::CredentialsRevoked => "Credentials Revoked",
            Self::InternalClient => "Internal Client",
            Self::MessageHeaderViolation => "Message Header Violation",
            Self::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            Self::ClusterNameConflict => "Cluster Name Conflict",
            Self::DuplicateRemoteLeafNodeConnection => "Duplicate Remote LeafNode Connection",
            Self::DuplicateClientId => "Duplicate Client ID",
            Self::DuplicateServerName => "Duplicate Server Name",
            Self::MinimumVersionRequired => "Minimum Version Required",
            Self::ClusterNamesIdentical => "Cluster Names Identical",
            Self::Kicked => "Kicked",
            Self::ProxyNotTrusted => "Proxy Not Trusted",
            Self::ProxyRequired => "Proxy Required",
        }
    }
}

impl std::fmt::Display for ClosedReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ClosedReason;

    #[test]
    fn texts() {
        let expected = [
            "Client Closed",
            "Authentication Timeout",
            "Authentication Failure",
            "TLS Handshake Failure",
            "Slow Consumer (Pending Bytes)",
            "Slow Consumer (Write Deadline)",
            "Write Error",
            "Read Error",
            "Parse Error",
            "Stale Connection",
            "Protocol Violation",
            "Bad Client Protocol Version",
            "Incorrect Port",
            "Maximum Connections Exceeded",
            "Maximum Account Connections Exceeded",
            "Maximum Message Payload Exceeded",
            "Maximum Control Line Exceeded",
            "Maximum Subscriptions Exceeded",
            "Duplicate Route",
            "Route Removed",
            "Server Shutdown",
            "Authentication Expired",
            "Wrong Gateway",
            "Missing Account",
            "Credentials Revoked",
            "Internal Client",
            "Message Header Violation",
            "No Responders Requires Headers",
            "Cluster Name Conflict",
            "Duplicate Remote LeafNode Connection",
            "Duplicate Client ID",
            "Duplicate Server Name",
            "Minimum Version Required",
            "Cluster Names Identical",
            "Kicked",
            "Proxy Not Trusted",
            "Proxy Required",
        ];
        assert_eq!(ClosedReason::ALL.map(ClosedReason::as_str), expected);
        assert_eq!(ClosedReason::Kicked.to_string(), "Kicked");
    }
}
