//! The outcome of a login.

use super::AccountInfo;
use super::secret::PasswordDigest;
use crate::jwt::UserClaims;
use crate::permissions::Permissions;
use std::sync::Arc;

/// Limits of one user. `None` is unlimited; the account's and the server's own limits apply beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserLimits {
    /// Subscriptions of one connection.
    pub subscriptions: Option<u64>,
    /// Bytes of one message, headers and body.
    pub payload_bytes: Option<u64>,
    /// Bytes in all; carried by JWTs and enforced by no server so far.
    pub data_bytes: Option<u64>,
}

/// Who a connection is and what follows from that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// The account: its name in the configuration, `$G`, or its public key.
    pub account: Arc<str>,
    /// How people know the account: the name in its JWT; otherwise the same as `account`.
    pub account_name: Arc<str>,
    /// The user as monitoring and `$SYS.REQ.USER.INFO` show it: name, public nkey, `[REDACTED]` for a
    /// token, nothing on an open server.
    pub user: Option<Arc<str>>,
    /// The name in the user's JWT.
    pub user_name: Option<Arc<str>>,
    /// The user as log lines show it, between quotes: `$G/user:u`, `$G/nkey:U…`, `$G/token`,
    /// `<account id>/<account name>/jwt:U…`. Empty on an open server without a user name.
    pub label: String,
    /// What may be published and subscribed to; `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
    /// Limits of this user.
    pub limits: UserLimits,
    /// When the connection must close with `User Authentication Expired`, in seconds of Unix time: the
    /// expiry of the user's JWT or the end of its time window, whichever comes first.
    pub expires_unix: Option<i64>,
    /// When the connection must close with `Account Authentication Expired`: the expiry of the account's
    /// JWT.
    pub account_expires_unix: Option<i64>,
    /// The key that signed the user's JWT.
    pub issuer_key: Option<Arc<str>>,
    /// The tags of the user's JWT.
    pub tags: Arc<[String]>,
    /// Whether the user logged in by a bearer token, without a signature.
    pub is_bearer: bool,
    /// The public key of the trusted proxy that the connection came through.
    pub proxy: Option<Arc<str>>,
    pub(super) proof: Proof,
}

/// How the identity was proven, kept to prove it again after a reload. Holds no secret in clear.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// The server was open.
    Open,
    /// No credentials were needed: `no_auth_user`, or `$G` beside system users only.
    Anonymous,
    Token {
        digest: PasswordDigest,
    },
    Password {
        user: Arc<str>,
        digest: PasswordDigest,
        configured: PasswordDigest,
    },
    Nkey {
        key: Arc<str>,
    },
    /// The client's certificate names this user.
    Certificate {
        user: Arc<str>,
    },
    Jwt {
        claims: Arc<UserClaims>,
        /// The account as it was then.
        account: Arc<AccountInfo>,
    },
    /// The embedding program said so.
    Program,
    /// An authorization service issued these claims.
    Callout {
        claims: Arc<UserClaims>,
        /// What the connection called itself.
        presented: Option<Arc<str>>,
        /// Who decided.
        issuer: Arc<str>,
    },
}

impl Identity {
    /// Whether nothing tells the two apart.
    pub(super) fn is_same(&self, other: &Identity) -> bool {
        let Identity {
            account,
            account_name,
            user,
            user_name,
            label,
            permissions,
            limits,
            expires_unix,
            account_expires_unix,
            issuer_key,
            tags,
            is_bearer,
            proxy,
            proof,
        } = self;
        let same_permissions = match (permissions, &other.permissions) {
            (None, None) => true,
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            _ => false,
        };
        same_permissions
            && *account == other.account
            && *account_name == other.account_name
            && *user == other.user
            && *user_name == other.user_name
            && *label == other.label
            && *limits == other.limits
            && *expires_unix == other.expires_unix
            && *account_expires_unix == other.account_expires_unix
            && *issuer_key == other.issuer_key
            && *tags == other.tags
            && *is_bearer == other.is_bearer
            && *proxy == other.proxy
            && proof.is_same(&other.proof)
    }
}

impl Proof {
    fn is_same(&self, other: &Proof) -> bool {
        match (self, other) {
            (Proof::Open, Proof::Open)
            | (Proof::Anonymous, Proof::Anonymous)
            | (Proof::Program, Proof::Program) => true,
            (Proof::Token { digest }, Proof::Token { digest: others }) => digest.same(others),
            (
                Proof::Password { user, digest, configured },
                Proof::Password { user: name, digest: others, configured: theirs },
            ) => user == name && digest.same(others) && configured.same(theirs),
            (Proof::Nkey { key }, Proof::Nkey { key: others }) => key == others,
            (Proof::Certificate { user }, Proof::Certificate { user: name }) => user == name,
            _ => false,
        }
    }
}
