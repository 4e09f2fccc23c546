//! Logins that an authorization service decides about (core.md 3.9).
//!
//! [`Authenticator::callout`] tells whom to ask once the static rules have spoken, and
//! [`Authenticator::accept`] what an answer is worth. Sealing, sending and waiting are the server's.

use super::account::spec_of;
use super::authenticator::Logins;
use super::identity::Proof;
use super::operator::{account_id, authorize_in, check_connection};
use super::windows::window_end;
use super::{
    AccountInfo, AuthFailure, Authenticator, ConnInfo, Credentials, GLOBAL_ACCOUNT, Identity,
    UserLimits,
};
use crate::jwt::{
    AuthorizationResponse, Claims, JwtError, KeyKind, User, UserClaims, decode, key_kind,
};
use crate::permissions::{Permissions, PermissionsSpec};
use std::sync::Arc;
use thiserror::Error;

/// Where services take such requests. Nobody in their account may publish there.
pub const CALLOUT_SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// `authorization { auth_callout }`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalloutConfig {
    /// The public account key that signs answers.
    pub issuer: String,
    /// The account that the service is in.
    pub account: String,
    /// Users that log in without being asked about: the service itself.
    pub auth_users: Vec<String>,
    /// The curve key that requests are sealed for.
    pub xkey: Option<String>,
    /// Whose configured users are asked about as well; empty is all accounts.
    pub allowed_accounts: Vec<String>,
}

/// Whom to ask about a login.
#[derive(Clone, Debug)]
pub struct Callout {
    /// The account that the request is published in.
    pub account: Arc<str>,
    /// What the request is about: the key that shall sign.
    pub subject: String,
    /// The curve key that the request is sealed for.
    pub xkey: Option<String>,
    /// The account by its JWT, in operator mode.
    info: Option<Arc<AccountInfo>>,
    /// What the connection calls itself.
    presented: Option<Arc<str>>,
    /// The key of the trusted proxy that the connection came through.
    proxy: Option<Arc<str>>,
}

impl Callout {
    /// What the connection calls itself: the request shows it.
    pub fn presented(&self) -> Option<&str> {
        self.presented.as_deref()
    }
}

/// An answer, unsealed.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The token.
    pub token: &'a str,
    /// Whether it was sealed, which proves who wrote it.
    pub was_sealed: bool,
    /// The key that was made for the request.
    pub user_key: &'a str,
    /// The server that asked.
    pub server_id: &'a str,
}

/// Why an answer does not admit; the text is for the log, as nats-server 2.15 words it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalloutFailure {
    /// Nothing came back in it.
    #[error("Auth callout violation: \"no reason supplied\" on account {0:?}")]
    Empty(String),
    /// It is sealed, but not for us.
    #[error("Error decrypting auth callout response on account {0:?}")]
    Sealed(String),
    /// It is no such token.
    #[error("{0}")]
    Token(#[from] JwtError),
    /// It does not say what an answer says.
    #[error("Authorization response had validation errors: {0}")]
    Invalid(&'static str),
    /// It is about somebody else.
    #[error("Auth callout violation: auth callout response is not for expected user")]
    OtherUser,
    /// It is for another server.
    #[error("Auth callout violation: auth callout response is not for server")]
    OtherServer,
    /// The service refuses.
    #[error("Auth callout service returned an error: {0}")]
    Refused(String),
    /// Who signed it is not of the account.
    #[error("Auth callout signing key is unknown")]
    UnknownSigner,
    /// The user's token does not hold.
    #[error("Error validating user JWT: {0}")]
    UserToken(String),
    /// The user's token is about somebody else.
    #[error("Expected authorized user of {expected:?} but got {actual:?} on account {account:?}")]
    UserKey {
        /// The key made for the request.
        expected: String,
        /// The key in the token.
        actual: String,
        /// The account asked.
        account: String,
    },
    /// Only operators have accounts with signing keys.
    #[error("Error non operator mode account {0:?}: attempted to use issuer_account")]
    IssuerAccount(String),
    /// Somebody else signed the user's token.
    #[error(
        "Wrong issuer for auth callout response on account {account:?}, expected {expected:?} got \
         {actual:?}"
    )]
    WrongIssuer {
        /// The account asked.
        account: String,
        /// `issuer`
        expected: String,
        /// Who signed.
        actual: String,
    },
    /// The account may not place users there.
    #[error(
        "Account {target:?} not permitted as valid account option for auth callout for account \
         {account:?}"
    )]
    NotAllowed {
        /// Where the user would be.
        target: String,
        /// The account asked.
        account: String,
    },
    /// There is no such account.
    #[error(
        "No valid account {target:?} for auth callout response on account {account:?}: account missing"
    )]
    NoAccount {
        /// Where the user would be.
        target: String,
        /// The account asked.
        account: String,
    },
    /// The time is in none of the user's windows.
    #[error("Authorized user on account {0:?} outside of valid connect times")]
    OutsideTimes(String),
    /// The user's token does not fit the connection or the account.
    #[error("{0}")]
    User(#[from] AuthFailure),
}

impl Authenticator {
    /// Whom to ask about a login of which the static rules think `outcome`; `None` leaves it at that.
    pub fn callout(
        &self,
        credentials: &Credentials<'_>,
        outcome: &Result<Arc<Identity>, AuthFailure>,
    ) -> Option<Callout> {
        if let Logins::Operator(operator) = &self.logins {
            // Only one who belongs to an account brings its service into play.
            let identity = outcome.as_ref().ok()?;
            let info = operator.account(&identity.account).ok()?;
            let external = info.callout.as_ref()?;
            let user = identity.user.as_deref().unwrap_or_default();
            if external.auth_users.iter().any(|known| known == user) {
                return None;
            }
            return Some(Callout {
                account: info.id.clone(),
                subject: info.id.to_string(),
                xkey: Some(external.xkey.clone()).filter(|key| !key.is_empty()),
                presented: identity.user.clone(),
                proxy: identity.proxy.clone(),
                info: Some(info),
            });
        }
        let config = self.callout.as_ref()?;
        if matches!(outcome, Err(AuthFailure::ProxyNotTrusted | AuthFailure::ProxyRequired)) {
            return None;
        }
        // Whoever is found nowhere counts as one of `$G`, which is always asked about.
        if let Ok(identity) = outcome
            && *identity.account != *GLOBAL_ACCOUNT
            && !config.allowed_accounts.is_empty()
            && !config.allowed_accounts.iter().any(|name| **name == *identity.account)
        {
            return None;
        }
        let credentials = credentials.normalized();
        let found = outcome.as_ref().ok().and_then(|identity| identity.user.clone());
        let token = credentials.auth_token.map(|_| "[REDACTED]");
        let named = credentials.nkey.or(credentials.user).map(Arc::from);
        let presented = named.or(found).or(token.map(Arc::from));
        if presented.as_deref().is_some_and(|user| config.auth_users.iter().any(|it| it == user)) {
            return None;
        }
        Some(Callout {
            account: config.account.as_str().into(),
            subject: config.issuer.clone(),
            xkey: config.xkey.clone(),
            info: None,
            presented,
            proxy: outcome.as_ref().ok().and_then(|identity| identity.proxy.clone()),
        })
    }

    /// Who a connection is by what the service answered.
    ///
    /// # Errors
    ///
    /// The reason for the log. The client reads `Authorization Violation` whatever it is.
    pub fn accept(
        &self,
        callout: &Callout,
        answer: Answer<'_>,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Arc<Identity>, CalloutFailure> {
        let account = || callout.account.to_string();
        if answer.token.is_empty() {
            return Err(CalloutFailure::Empty(account()));
        }
        let response = decode::<AuthorizationResponse>(answer.token)?;
        if let Some(fault) = fault(&response) {
            return Err(CalloutFailure::Invalid(fault));
        }
        if response.sub != answer.user_key {
            return Err(CalloutFailure::OtherUser);
        }
        if response.aud != answer.server_id {
            return Err(CalloutFailure::OtherServer);
        }
        if !response.nats.error.is_empty() {
            return Err(CalloutFailure::Refused(response.nats.error));
        }
        let signer = match response.nats.issuer_account.as_str() {
            "" => &response.iss,
            account => account,
        };
        let is_known = *signer == callout.subject
            || callout.info.as_ref().is_some_and(|info| info.signers.contains_key(signer));
        if !is_known && !answer.was_sealed {
            return Err(CalloutFailure::UnknownSigner);
        }
        let claims = decode::<User>(&response.nats.jwt)?;
        if claims.sub != answer.user_key {
            return Err(CalloutFailure::UserKey {
                expected: answer.user_key.to_owned(),
                actual: claims.sub,
                account: account(),
            });
        }
        self.place(callout, &Arc::new(claims), conn, now_unix).map(Arc::new)
    }

    /// Whether what a service decided still holds.
    pub(super) fn accept_again(
        &self,
        before: &Identity,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Identity, AuthFailure> {
        let Proof::Callout { claims, presented, issuer } = &before.proof else {
            return Err(AuthFailure::CalloutChanged);
        };
        let info = match &self.logins {
            Logins::Operator(operator) => Some(operator.account(issuer)?),
            _ => None,
        };
        let (account, xkey) = match (&self.callout, &info) {
            (_, Some(info)) if info.callout.is_some() => (info.id.clone(), None),
            (Some(config), None) if *config.issuer == **issuer => {
                (Arc::from(config.account.as_str()), config.xkey.clone())
            }
            _ => return Err(AuthFailure::CalloutChanged),
        };
        let callout = Callout {
            account,
            subject: issuer.to_string(),
            xkey,
            info,
            presented: presented.clone(),
            proxy: before.proxy.clone(),
        };
        self.place(&callout, claims, conn, now_unix).map_err(|failure| match failure {
            CalloutFailure::User(failure) => failure,
            CalloutFailure::OutsideTimes(_) => AuthFailure::OutsideTimes,
            _ => AuthFailure::CalloutChanged,
        })
    }

    /// Puts the user of the claims into its account.
    fn place(
        &self,
        callout: &Callout,
        claims: &Arc<UserClaims>,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Identity, CalloutFailure> {
        let account = || callout.account.to_string();
        if claims.exp != 0 && now_unix >= claims.exp {
            return Err(CalloutFailure::UserToken("claim is expired".to_owned()));
        }
        if claims.nbf != 0 && now_unix < claims.nbf {
            return Err(CalloutFailure::UserToken("claim is not yet valid".to_owned()));
        }
        let placed = match (&self.logins, &callout.info) {
            (Logins::Operator(operator), Some(asked)) => {
                let target = account_id(claims);
                if *target != *asked.id && !may_place(asked, target) {
                    let target = target.to_owned();
                    return Err(CalloutFailure::NotAllowed { target, account: account() });
                }
                let info = operator.account(target).map_err(|failure| match failure {
                    AuthFailure::AccountNotFound(target) => {
                        CalloutFailure::NoAccount { target, account: account() }
                    }
                    failure => failure.into(),
                })?;
                let by_proxy = callout.proxy.is_some();
                authorize_in(&info, claims, conn, by_proxy, &self.hooks, now_unix)
                    .map_err(CalloutFailure::from)
            }
            _ => self.place_configured(callout, claims, conn, now_unix),
        };
        let mut identity = placed.map_err(|failure| match failure {
            CalloutFailure::User(AuthFailure::OutsideTimes) => {
                CalloutFailure::OutsideTimes(account())
            }
            failure => failure,
        })?;
        // The name in the claims wins; the key was made for the request and says nothing.
        let name = Some(claims.name.as_str()).filter(|name| !name.is_empty()).map(Arc::from);
        identity.user = name.or_else(|| callout.presented.clone());
        identity.user_name = None;
        let user = identity.user.as_deref().unwrap_or_default();
        identity.label = format!("{}/user:{user}", identity.account);
        identity.is_bearer = false;
        identity.proxy.clone_from(&callout.proxy);
        if identity.account == callout.account {
            identity.permissions = Some(without_callout(identity.permissions.as_ref())?);
        }
        identity.proof = Proof::Callout {
            claims: claims.clone(),
            presented: callout.presented.clone(),
            issuer: callout.subject.as_str().into(),
        };
        Ok(identity)
    }

    /// As [`place`](Self::place), among the accounts of the configuration: what both say alike is said
    /// there.
    fn place_configured(
        &self,
        callout: &Callout,
        claims: &Arc<UserClaims>,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Identity, CalloutFailure> {
        let account = || callout.account.to_string();
        if !claims.nats.issuer_account.is_empty() {
            return Err(CalloutFailure::IssuerAccount(account()));
        }
        if claims.iss != callout.subject {
            return Err(CalloutFailure::WrongIssuer {
                account: account(),
                expected: callout.subject.clone(),
                actual: claims.iss.clone(),
            });
        }
        let target = claims.aud.as_str();
        let is_system = self.system_account.as_deref() == Some(target);
        let info = match self.accounts.get(target) {
            Some(info) => info.clone(),
            None if is_system => Arc::new(AccountInfo::named(target)),
            None => {
                let target = target.to_owned();
                return Err(CalloutFailure::NoAccount { target, account: account() });
            }
        };
        let own = &claims.nats.permissions;
        let window_end = window_end(own, &self.hooks, now_unix)?;
        check_connection(own, conn, callout.proxy.is_some())?;
        let spec = spec_of(own);
        // Default permissions of the configuration belong to configured users (nats-server 2.15.1).
        let permissions = match spec == PermissionsSpec::default() {
            true => None,
            false => Some(Arc::new(Permissions::compile(spec).map_err(AuthFailure::from)?)),
        };
        let expires = (claims.exp != 0).then_some(claims.exp);
        Ok(Identity {
            account: info.id.clone(),
            account_name: info.name.clone(),
            user: None,
            user_name: None,
            label: String::new(),
            permissions,
            limits: UserLimits::default(),
            expires_unix: expires.into_iter().chain(window_end).min(),
            account_expires_unix: None,
            issuer_key: Some(Arc::from(claims.iss.as_str())),
            tags: claims.nats.tags.clone().into(),
            is_bearer: false,
            proxy: None,
            proof: Proof::Open,
        })
    }

    /// The account that a callout of the configuration asks in.
    pub fn callout_account(&self) -> Option<&str> {
        self.callout.as_ref().map(|config| config.account.as_str())
    }

    /// Whether this is the account that a callout of the configuration asks in.
    pub(super) fn is_callout_account(&self, account: &str) -> bool {
        self.callout.as_ref().is_some_and(|config| config.account == account)
    }
}

/// Why a token is no answer; the first of what Go's library finds.
fn fault(response: &Claims<AuthorizationResponse>) -> Option<&'static str> {
    if key_kind(&response.aud) != Some(KeyKind::Server) {
        return Some("Audience must be a server public key");
    }
    match (response.nats.error.is_empty(), response.nats.jwt.is_empty()) {
        (true, true) => Some("Error or Jwt is required"),
        (false, false) => Some("Only Error or Jwt can be set"),
        _ => None,
    }
}

/// Whether an account's service may place users in another account.
fn may_place(asked: &AccountInfo, target: &str) -> bool {
    let allowed = asked.callout.as_ref().map(|it| it.allowed_accounts.as_slice());
    match allowed.unwrap_or_default() {
        [any] if any == "*" => true,
        allowed => allowed.iter().any(|account| account == target),
    }
}

/// The same permissions, without the right to publish where the service is asked.
pub(super) fn without_callout(
    permissions: Option<&Arc<Permissions>>,
) -> Result<Arc<Permissions>, AuthFailure> {
    let mut spec = permissions.map(|rights| rights.spec().clone()).unwrap_or_default();
    spec.publish.deny.push(CALLOUT_SUBJECT.to_owned());
    Ok(Arc::new(Permissions::compile(spec)?))
}
