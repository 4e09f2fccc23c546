//! Operator mode: users prove themselves by JWTs that a chain of keys signs, operator to account to user.

use super::account::{limit, spec_of};
use super::authenticator::verify_nonce;
use super::config::OperatorConfig;
use super::identity::Proof;
use super::windows::{is_within, seconds_left};
use super::{
    AccountInfo, AuthConfigError, AuthFailure, ConnInfo, Credentials, Hooks, Identity, UserLimits,
};
use crate::jwt::{self, JwtError, KeyKind, UserClaims, UserPermissionLimits, decode, key_kind};
use crate::permissions::{Permissions, PermissionsSpec, TemplateValues, expand};
use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;
use std::sync::Arc;

/// The keys that are trusted and the accounts of the memory resolver.
#[derive(Debug)]
pub(super) struct Operator {
    trusted: HashSet<String>,
    /// Signing keys of operators that demand signing keys of their accounts too.
    strict: HashSet<String>,
    /// Accounts by public key; one whose JWT cannot be used keeps the reason.
    accounts: HashMap<Arc<str>, Result<Arc<AccountInfo>, String>>,
    pinned: HashSet<String>,
    default_sentinel: Option<String>,
}

impl Operator {
    pub(super) fn new(config: OperatorConfig) -> Result<Self, AuthConfigError> {
        let mut operator = Operator {
            trusted: HashSet::new(),
            strict: HashSet::new(),
            accounts: HashMap::new(),
            pinned: config.pinned_accounts.into_iter().collect(),
            default_sentinel: config.default_sentinel,
        };
        for token in &config.operators {
            operator.trust(token)?;
        }
        for key in config.trusted_keys {
            if key_kind(&key) != Some(KeyKind::Operator) {
                return Err(AuthConfigError::InvalidTrustedKey(key));
            }
            operator.trusted.insert(key);
        }
        if operator.trusted.is_empty() {
            return Err(AuthConfigError::NothingTrusted);
        }
        for (id, token) in &config.resolver_preload {
            operator.preload(id, token)?;
        }
        Ok(operator)
    }

    fn trust(&mut self, token: &str) -> Result<(), AuthConfigError> {
        let claims = decode::<jwt::Operator>(token).map_err(AuthConfigError::Operator)?;
        let is_own = claims.iss == claims.sub || claims.nats.signing_keys.contains(&claims.iss);
        if !is_own {
            return Err(AuthConfigError::Operator(JwtError::Issuer(claims.iss)));
        }
        if claims.nats.strict_signing_key_usage {
            self.strict.extend(claims.nats.signing_keys.iter().cloned());
        } else {
            self.trusted.insert(claims.sub);
        }
        self.trusted.extend(claims.nats.signing_keys);
        Ok(())
    }

    fn preload(&mut self, id: &str, token: &str) -> Result<(), AuthConfigError> {
        let claims = decode::<jwt::Account>(token)
            .map_err(|source| AuthConfigError::Preload { account: id.to_owned(), source })?;
        // nats-server starts with accounts that it cannot use, and refuses their users.
        let info = if claims.sub != id {
            Err(format!("it is the JWT of {}", claims.sub))
        } else if !self.trusted.contains(&claims.iss) {
            Err("issuer is not trusted".to_owned())
        } else {
            let is_strict = self.strict.contains(&claims.iss);
            AccountInfo::from_claims(claims, is_strict).map(Arc::new)
        };
        self.accounts.insert(Arc::from(id), info);
        Ok(())
    }

    pub(super) fn account(&self, id: &str) -> Result<&Arc<AccountInfo>, AuthFailure> {
        let found = self.accounts.get(id).ok_or(AuthFailure::AccountNotFound)?;
        found.as_ref().map_err(|reason| AuthFailure::AccountInvalid(reason.clone()))
    }

    pub(super) fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        nonce: &str,
        conn: &ConnInfo,
        by_proxy: bool,
        hooks: &Hooks,
        now_unix: i64,
    ) -> Result<Identity, AuthFailure> {
        let token = credentials.jwt.or(self.default_sentinel.as_deref());
        let claims = Arc::new(decode::<jwt::User>(token.ok_or(AuthFailure::JwtMissing)?)?);
        let identity = self.authorize(&claims, conn, by_proxy, hooks, now_unix)?;
        if !identity.is_bearer {
            verify_nonce(&claims.sub, credentials.sig, nonce)?;
        }
        Ok(identity)
    }

    /// Decides by the claims alone, whose signature is proven: at a login before the nonce's signature is
    /// checked, and again when the configuration or the account changed.
    pub(super) fn authorize(
        &self,
        claims: &Arc<UserClaims>,
        conn: &ConnInfo,
        by_proxy: bool,
        hooks: &Hooks,
        now_unix: i64,
    ) -> Result<Identity, AuthFailure> {
        if claims.exp != 0 && now_unix >= claims.exp {
            return Err(AuthFailure::Expired);
        }
        if claims.nbf != 0 && now_unix < claims.nbf {
            return Err(AuthFailure::NotYetValid);
        }
        let account = self.account_of(claims)?;
        let (grants, permissions) = grants(claims, account)?;
        if account.not_before_unix.is_some_and(|start| now_unix < start) {
            return Err(AuthFailure::AccountInvalid("claim is not yet valid".to_owned()));
        }
        if account.expires_unix.is_some_and(|expires| now_unix >= expires) {
            return Err(AuthFailure::AccountExpired);
        }
        if grants.bearer_token && account.disallow_bearer {
            return Err(AuthFailure::BearerNotAllowed);
        }
        if grants.proxy_required && !by_proxy {
            return Err(AuthFailure::ProxyRequired);
        }
        let kinds = &grants.allowed_connection_types;
        let is_kind = |kind: &String| kind.eq_ignore_ascii_case(conn.kind.as_str());
        if !kinds.is_empty() && !kinds.iter().any(is_kind) {
            return Err(AuthFailure::ConnectionTypeNotAllowed);
        }
        if account.is_revoked(&claims.sub, claims.iat) {
            return Err(AuthFailure::Revoked);
        }
        if !grants.src.is_empty() && !is_within(&grants.src, conn.remote_ip) {
            return Err(AuthFailure::BadSource(conn.remote_ip));
        }
        let window_end = match grants.times.is_empty() {
            true => None,
            false => {
                let offset = (hooks.zone_offset)(&grants.times_location, now_unix);
                let left = offset.and_then(|offset| seconds_left(&grants.times, offset, now_unix));
                Some(now_unix.saturating_add(left.ok_or(AuthFailure::OutsideTimes)?))
            }
        };
        let expires = (claims.exp != 0).then_some(claims.exp);
        Ok(Identity {
            account: account.id.clone(),
            account_name: account.name.clone(),
            user: Some(Arc::from(claims.sub.as_str())),
            user_name: (!claims.name.is_empty()).then(|| Arc::from(claims.name.as_str())),
            label: format!("{}/{}/jwt:{}", account.id, account.name, claims.sub),
            permissions,
            limits: UserLimits {
                subscriptions: limit(grants.subs),
                payload_bytes: limit(grants.payload),
                data_bytes: limit(grants.data),
            },
            expires_unix: expires.into_iter().chain(window_end).min(),
            issuer_key: Some(Arc::from(claims.iss.as_str())),
            tags: claims.nats.tags.clone().into(),
            is_bearer: grants.bearer_token,
            by_proxy,
            proof: Proof::Jwt { claims: claims.clone() },
        })
    }

    fn account_of(&self, claims: &UserClaims) -> Result<&Arc<AccountInfo>, AuthFailure> {
        let id = match claims.nats.issuer_account.as_str() {
            "" => &claims.iss,
            id => id,
        };
        if !self.pinned.is_empty() && !self.pinned.contains(id) {
            return Err(AuthFailure::AccountNotPinned(id.to_owned()));
        }
        self.account(id)
    }
}

/// What the user is granted: by its own token, or by the scope of the key that signed it.
fn grants<'a>(
    claims: &'a UserClaims,
    account: &'a AccountInfo,
) -> Result<(Cow<'a, UserPermissionLimits>, Option<Arc<Permissions>>), AuthFailure> {
    let scope = account.signers.get(&claims.iss).ok_or(AuthFailure::IssuerUnknown)?;
    let own = &claims.nats.permissions;
    let (grants, spec) = match scope {
        None => (own, spec_of(own)),
        Some(_) if !own.is_blank() => return Err(AuthFailure::ScopedWithOwnPermissions),
        Some(scope) => {
            let values = TemplateValues {
                user_name: &claims.name,
                user_key: &claims.sub,
                user_tags: &claims.nats.tags,
                account_name: &account.name,
                account_key: &account.id,
                account_tags: &account.tags,
            };
            (&scope.template, expand(&spec_of(&scope.template), &values)?)
        }
    };
    let permissions = match spec == PermissionsSpec::default() {
        true => account.default_permissions.clone(),
        false => Some(Arc::new(Permissions::compile(spec)?)),
    };
    Ok((Cow::Borrowed(grants), permissions))
}
