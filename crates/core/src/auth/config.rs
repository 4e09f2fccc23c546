//! What logins are configured, as plain data. The server fills it from its configuration file.

use super::credentials::ConnectionType;
use super::{AccountLimits, CalloutConfig, Secret};
use crate::jwt::JwtError;
use crate::permissions::{PermissionsError, PermissionsSpec};
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// How clients prove who they are. nats-server refuses configurations that mix these.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Method {
    /// Everybody may connect, to `$G`.
    #[default]
    Open,
    /// `authorization { token }`
    Token(Secret),
    /// `authorization { user, password }`
    SingleUser {
        /// The name.
        user: String,
        /// The password; empty lets the name alone pass.
        password: Secret,
    },
    /// `authorization { users }` and `accounts { NAME { users } }`
    Users(Vec<UserConfig>),
    /// `operator` or `trusted_keys`: users come with JWTs.
    Operator(OperatorConfig),
    /// The program that embeds the server decides, see [`Authenticator::admit`](super::Authenticator::admit).
    Program,
}

/// Operator mode with the memory resolver.
#[derive(Clone, Debug, Default)]
pub struct OperatorConfig {
    /// Operator JWTs.
    pub operators: Vec<String>,
    /// `trusted_keys`: operator public keys.
    pub trusted_keys: Vec<String>,
    /// Public key of the system account.
    pub system_account: Option<String>,
    /// `resolver_preload`: account JWTs by public key.
    pub resolver_preload: BTreeMap<String, String>,
    /// `resolver_pinned_accounts`: if there are any, users of other accounts are refused.
    pub pinned_accounts: Vec<String>,
    /// The user JWT of clients that present none.
    pub default_sentinel: Option<String>,
}

/// One entry of a `users` list.
#[derive(Clone, Debug)]
pub struct UserConfig {
    /// How this user proves who it is.
    pub credential: UserCredential,
    /// The account whose list it stands in; `None` is `$G`.
    pub account: Option<String>,
    /// Its own permissions; `None` takes the account's default.
    pub permissions: Option<PermissionsSpec>,
    /// Kinds of connection it may use; empty is all.
    pub allowed_connection_types: Vec<ConnectionType>,
    /// Whether it must come through a trusted proxy.
    pub proxy_required: bool,
}

impl UserConfig {
    /// A user of `$G` with a password.
    pub fn with_password(name: impl Into<String>, password: impl Into<Secret>) -> Self {
        UserConfig::new(UserCredential::Password { name: name.into(), password: password.into() })
    }

    /// A user of `$G` with a public nkey.
    pub fn with_nkey(key: impl Into<String>) -> Self {
        UserConfig::new(UserCredential::Nkey(key.into()))
    }

    fn new(credential: UserCredential) -> Self {
        UserConfig {
            credential,
            account: None,
            permissions: None,
            allowed_connection_types: Vec::new(),
            proxy_required: false,
        }
    }
}

/// What a configured user proves itself by.
#[derive(Clone, Debug)]
pub enum UserCredential {
    /// A name with a password, plain or bcrypt.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: Secret,
    },
    /// A public user key (`U…`); the client signs the nonce.
    Nkey(String),
}

/// One entry of `accounts`, as far as logins are concerned.
#[derive(Clone, Debug, Default)]
pub struct AccountConfig {
    /// The name.
    pub name: String,
    /// Permissions of its users that have none of their own.
    pub default_permissions: Option<PermissionsSpec>,
    /// Its limits.
    pub limits: AccountLimits,
}

/// All that decides logins.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// How clients prove who they are.
    pub method: Method,
    /// Accounts of the configuration. `$G` and the system account need no entry; an entry for `$G`
    /// carries `authorization { default_permissions }`.
    pub accounts: Vec<AccountConfig>,
    /// The system account; `None` is `$SYS`.
    pub system_account: Option<String>,
    /// The user (name or nkey) that connections without credentials act as.
    pub no_auth_user: Option<String>,
    /// The same for WebSocket connections, where it wins.
    pub websocket_no_auth_user: Option<String>,
    /// Let connections without credentials into `$G` although users are configured. nats-server does so
    /// when there is no `authorization` block and no account but `$G` and the system account; INFO says
    /// `auth_required` all the same (2.15.1, measured).
    pub open_global_account: bool,
    /// The service that decides about logins, by the configuration.
    pub callout: Option<CalloutConfig>,
    /// `proxies { trusted [{ key }] }`: public keys.
    pub trusted_proxies: Vec<String>,
    /// Whether the single user, or whoever has the token, must come through one of them.
    pub proxy_required: bool,
    /// How long a client may take until its CONNECT; `None` is 2 s.
    pub timeout: Option<Duration>,
}

/// A configuration that cannot decide logins. The texts are those of nats-server 2.15 where it has one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthConfigError {
    /// Two users of the same name, in whatever accounts.
    #[error("Duplicate user {0:?} detected")]
    DuplicateUser(String),
    /// Two users of the same nkey.
    #[error("Duplicate nkey {0:?} detected")]
    DuplicateNkey(String),
    /// Two accounts of the same name.
    #[error("Duplicate account {0:?} detected")]
    DuplicateAccount(String),
    /// The key of an nkey user is no public user key.
    #[error("Not a valid public nkey for a user")]
    InvalidUserNkey(String),
    /// The key of a trusted proxy is no public key.
    #[error("{0:?} is not a valid public nkey for a trusted proxy")]
    InvalidProxyKey(String),
    /// `no_auth_user` names nobody.
    #[error(
        "no_auth_user: {0:?} not present as user or nkey in authorization block or account configuration"
    )]
    NoAuthUserUnknown(String),
    /// `no_auth_user` without users.
    #[error("no_auth_user: {0:?} present, but users/nkeys are not defined")]
    NoAuthUserWithoutUsers(String),
    /// A permission entry that is no subject.
    #[error("permissions of {user:?}: {source}")]
    Permissions {
        /// The user, or the account of a default.
        user: String,
        /// The entry.
        source: PermissionsError,
    },
    /// An operator JWT that cannot be read or that is not signed by its own keys.
    #[error("operator JWT is not valid: {0}")]
    Operator(JwtError),
    /// A trusted key that is no public operator key.
    #[error("trusted key {0:?} is not a public operator key")]
    InvalidTrustedKey(String),
    /// Operator mode without any key to trust.
    #[error("operator mode without an operator or a trusted key")]
    NothingTrusted,
    /// A preloaded account JWT that cannot be read.
    #[error("preload account error for {account:?}: {source}")]
    Preload {
        /// The key it stands under.
        account: String,
        /// What is wrong.
        source: JwtError,
    },
}
