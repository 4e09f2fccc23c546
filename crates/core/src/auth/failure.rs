//! Why a login was refused, for the log; and what the client reads.

use crate::jwt::JwtError;
use crate::permissions::{PermissionsError, TemplateError};
use natterjack_proto::ServerError;
use natterjack_proto::error::ClosedReason;
use std::net::IpAddr;
use thiserror::Error;

/// The inner reason of a refused or withdrawn login. Its text is for the log; texts that nats-server 2.15
/// logs are the same here.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthFailure {
    /// Credentials are needed and none that the server looks for were presented.
    #[error("no credentials")]
    NoCredentials,
    /// No such user.
    #[error("unknown user")]
    UnknownUser,
    /// The password is wrong.
    #[error("wrong password")]
    WrongPassword,
    /// The token is wrong.
    #[error("wrong token")]
    WrongToken,
    /// No such nkey user.
    #[error("unknown nkey")]
    UnknownNkey,
    /// The client's certificate names no user that may use this kind of connection.
    #[error("certificate names no user")]
    UnknownCertificate,
    /// An nkey or a JWT came without a signature of the nonce.
    #[error("Signature missing")]
    SignatureMissing,
    /// The signature is not base64.
    #[error("Signature not valid base64")]
    SignatureNotBase64,
    /// The signature is not that of the nonce by the user's key.
    #[error("Signature not verified")]
    SignatureNotVerified,
    /// The user may not use this kind of connection.
    #[error("Connection type not allowed")]
    ConnectionTypeNotAllowed,
    /// The signature of the nonce is not by a trusted proxy.
    #[error("Proxy Not Trusted")]
    ProxyNotTrusted,
    /// The user must connect through a trusted proxy.
    #[error("Proxy Required")]
    ProxyRequired,
    /// The embedding program refused, for this reason.
    #[error("{0}")]
    Program(String),
    /// The server trusts operators and no JWT was presented.
    #[error("Authentication requires a user JWT")]
    JwtMissing,
    /// The JWT cannot be decoded, or its signature is wrong.
    #[error("User JWT not valid: {0}")]
    JwtInvalid(#[from] JwtError),
    /// The user's JWT has expired.
    #[error("User JWT no longer valid: claim is expired")]
    Expired,
    /// The user's JWT is not valid yet.
    #[error("User JWT no longer valid: claim is not yet valid")]
    NotYetValid,
    /// The account of the JWT is not among the pinned ones.
    #[error("Account {0} not listed as operator pinned account")]
    AccountNotPinned(String),
    /// The account of this key is not known (yet).
    #[error("Account JWT lookup error: account missing")]
    AccountNotFound(String),
    /// The account's own JWT is not by a trusted operator, or does not hold.
    #[error("Account JWT lookup error: {0}")]
    AccountInvalid(String),
    /// The JWT of the account with this key has expired, or was deleted.
    #[error("Account JWT has expired")]
    AccountExpired(String),
    /// The signer of the user's JWT is neither the account nor one of its signing keys.
    #[error("User JWT issuer is not known")]
    IssuerUnknown,
    /// A user by a scoped signing key has limits or permissions of its own.
    #[error("User JWT is not valid: scoped users require no permissions or limits set")]
    ScopedWithOwnPermissions,
    /// The template of the scoped signing key cannot be applied.
    #[error("User JWT generated invalid permissions: {0}")]
    Template(#[from] TemplateError),
    /// A permission entry of the JWT is no subject.
    #[error("User JWT is not valid: {0}")]
    Permissions(#[from] PermissionsError),
    /// The account does not allow bearer tokens.
    #[error("Account disallows bearer tokens")]
    BearerNotAllowed,
    /// The account revoked the user.
    #[error("User authentication revoked")]
    Revoked,
    /// The address is in none of the user's networks.
    #[error("Bad src Ip {}", .0.map_or_else(String::new, |ip| ip.to_string()))]
    BadSource(Option<IpAddr>),
    /// The time is in none of the user's windows.
    #[error("Outside connect times")]
    OutsideTimes,
    /// The scope of the key that signed the user's JWT is another one now.
    #[error("User JWT issuer changed")]
    SignerChanged,
    /// An authorization service decided about this login, and none is configured any more, or another.
    #[error("auth callout changed")]
    CalloutChanged,
    /// A reload moved the user to another account: it has to connect anew.
    #[error("account changed")]
    AccountChanged,
}

impl AuthFailure {
    /// What a *live* connection reads before it is closed, when [`recheck`] fails. A login that is
    /// refused always reads `Authorization Violation`. Nothing where nats-server 2.15.1 just closes:
    /// the key that signed the user is none of the account's any more.
    ///
    /// [`recheck`]: super::Authenticator::recheck
    pub fn closing_error(&self) -> Option<ServerError> {
        Some(match self {
            AuthFailure::IssuerUnknown | AuthFailure::SignerChanged => return None,
            AuthFailure::Expired | AuthFailure::OutsideTimes => {
                ServerError::UserAuthenticationExpired
            }
            AuthFailure::AccountExpired(_) => ServerError::AccountAuthenticationExpired,
            AuthFailure::Revoked => ServerError::UserAuthenticationRevoked,
            _ => ServerError::AuthorizationViolation,
        })
    }

    /// How the end of such a connection, or of one that is refused, is recorded.
    pub fn closed_reason(&self) -> ClosedReason {
        match self {
            AuthFailure::Expired | AuthFailure::OutsideTimes | AuthFailure::AccountExpired(_) => {
                ClosedReason::AuthenticationExpired
            }
            AuthFailure::Revoked => ClosedReason::CredentialsRevoked,
            AuthFailure::ProxyNotTrusted => ClosedReason::ProxyNotTrusted,
            AuthFailure::ProxyRequired => ClosedReason::ProxyRequired,
            _ => ClosedReason::AuthenticationFailure,
        }
    }
}
