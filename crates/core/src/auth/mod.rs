//! Logins: who a connection is, and what follows from that.
//!
//! The server builds one [`Authenticator`] from its configuration ([`AuthConfig`]) and asks it at each
//! CONNECT. The answer is an [`Identity`] (account, permissions, limits, expiry) or an [`AuthFailure`],
//! which the log names and the client does not: whatever the reason, a client reads
//! `Authorization Violation`. A reload builds a new `Authenticator` and asks it to
//! [`recheck`](Authenticator::recheck) the identities of live connections.
//!
//! Absent on purpose: password hashing and time zones ([`Hooks`], given by the server), the files and requests
//! that account JWTs come from, and the way to an authorization service. Certificates are read by the server; whom they name is decided
//! here ([`CertificateNames`]).

mod account;
mod authenticator;
mod callout;
mod certificate;
mod config;
mod credentials;
mod failure;
mod identity;
mod operator;
mod program;
mod proxies;
mod secret;
mod shared;
mod user_info;
mod users;
mod windows;

pub use account::{AccountInfo, AccountLimits, JetStreamLimits, JetStreamTier};
pub use authenticator::{Authenticator, Hooks, PasswordCheck, ZoneOffset};
pub use callout::{Answer, CALLOUT_SUBJECT, Callout, CalloutConfig, CalloutFailure};
pub use certificate::CertificateNames;
pub use config::{
    AccountConfig, AuthConfig, AuthConfigError, Method, OperatorConfig, UserConfig, UserCredential,
};
pub use credentials::{ConnInfo, ConnectionType, Credentials, UnknownConnectionType};
pub use failure::AuthFailure;
pub use identity::{Identity, UserLimits};
pub use program::Admitted;
pub use secret::Secret;
pub use user_info::user_info_response;
pub use windows::is_network;

/// The account of users that belong to none.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// The system account, if the configuration names no other.
pub const DEFAULT_SYSTEM_ACCOUNT: &str = "$SYS";

#[cfg(test)]
mod tests;
