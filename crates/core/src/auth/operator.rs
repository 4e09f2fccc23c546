//! Operator mode: users prove themselves by JWTs that a chain of keys signs, operator to account to user.

use super::account::{limit, spec_of};
use super::authenticator::verify_nonce;
use super::config::OperatorConfig;
use super::identity::Proof;
use super::windows::{is_within, window_end};
use super::{
    AccountInfo, AuthConfigError, AuthFailure, ConnInfo, Credentials, Hooks, Identity, UserLimits,
};
use crate::jwt::{self, JwtError, KeyKind, UserClaims, UserPermissionLimits, decode, key_kind};
use crate::permissions::{Permissions, PermissionsSpec, TemplateValues, expand};
use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

/// What is known of an account.
#[derive(Clone, Debug)]
enum Known {
    Usable(Arc<AccountInfo>),
    /// Its JWT cannot be used, and why.
    Unusable(String),
    /// Its JWT was deleted: whoever is logged in has to go.
    Deleted,
}

/// The keys that are trusted and the accounts whose JWTs are known.
#[derive(Debug)]
pub(super) struct Operator {
    trusted: HashSet<String>,
    /// Signing keys of operators that demand signing keys of their accounts too.
    strict: HashSet<String>,
    /// Operator keys that may not sign, for the same reason.
    unsigning: HashSet<String>,
    /// Accounts by public key. They change while the server runs, one at a time.
    accounts: RwLock<HashMap<Arc<str>, Known>>,
    pinned: HashSet<String>,
    default_sentinel: Option<String>,
}

impl Operator {
    pub(super) fn new(config: OperatorConfig) -> Result<Self, AuthConfigError> {
        let mut operator = Operator {
            trusted: HashSet::new(),
            strict: HashSet::new(),
            unsigning: HashSet::new(),
            accounts: RwLock::default(),
            pinned: config.pinned_accounts.into_iter().collect(),
            default_sentinel: config.default_sentinel,
        };
        // Whoever administers the accounts can always connect (nats-server 2.15.1).
        if let Some(system) = config.system_account.filter(|_| !operator.pinned.is_empty()) {
            operator.pinned.insert(system);
        }
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
            self.unsigning.insert(claims.sub);
        } else {
            self.trusted.insert(claims.sub);
        }
        self.trusted.extend(claims.nats.signing_keys);
        Ok(())
    }

    fn preload(&self, id: &str, token: &str) -> Result<(), AuthConfigError> {
        let claims = decode::<jwt::Account>(token)
            .map_err(|source| AuthConfigError::Preload { account: id.to_owned(), source })?;
        // nats-server starts with accounts that it cannot use, and refuses their users.
        let known = match self.judge(id, claims, token) {
            Ok(info) => Known::Usable(Arc::new(info)),
            Err(reason) => Known::Unusable(reason),
        };
        self.set(id, known);
        Ok(())
    }

    fn judge(
        &self,
        id: &str,
        claims: jwt::AccountClaims,
        token: &str,
    ) -> Result<AccountInfo, String> {
        if claims.sub != id {
            return Err(format!("it is the JWT of {}", claims.sub));
        }
        if !self.trusted.contains(&claims.iss) {
            return Err("issuer is not trusted".to_owned());
        }
        let is_strict = self.strict.contains(&claims.iss);
        AccountInfo::from_claims(claims, token, is_strict)
    }

    fn set(&self, id: &str, known: Known) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(Arc::from(id), known);
    }

    /// Takes an account's JWT over. One that cannot be used leaves what was known.
    pub(super) fn learn(&self, id: &str, token: &str) -> Result<Arc<AccountInfo>, String> {
        let claims = decode::<jwt::Account>(token).map_err(|error| error.to_string())?;
        let info = Arc::new(self.judge(id, claims, token)?);
        self.set(id, Known::Usable(info.clone()));
        Ok(info)
    }

    /// The JWT of an account is gone.
    pub(super) fn forget(&self, id: &str) {
        self.set(id, Known::Deleted);
    }

    /// Takes over what another knows of accounts beyond those that this one was made with.
    pub(super) fn inherit(&self, old: &Operator) {
        let old = old.accounts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        for (id, known) in old {
            accounts.entry(id).or_insert(known);
        }
    }

    /// The accounts that can be used, by key.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let usable = accounts.iter().filter(|(_, known)| matches!(known, Known::Usable(_)));
        let mut ids: Vec<Arc<str>> = usable.map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Whether an operator key may not sign accounts, since its operator demands a signing key.
    pub(super) fn demands_signing_key(&self, issuer: &str) -> bool {
        self.unsigning.contains(issuer)
    }

    pub(super) fn is_trusted(&self, key: &str) -> bool {
        self.trusted.contains(key)
    }

    pub(super) fn account(&self, id: &str) -> Result<Arc<AccountInfo>, AuthFailure> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        match accounts.get(id) {
            None => Err(AuthFailure::AccountNotFound(id.to_owned())),
            Some(Known::Usable(info)) => Ok(info.clone()),
            Some(Known::Unusable(reason)) => Err(AuthFailure::AccountInvalid(reason.clone())),
            Some(Known::Deleted) => Err(AuthFailure::AccountExpired(id.to_owned())),
        }
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
        // What is no user's JWT counts as none where there is a sentinel (nats-server 2.15.1).
        let claims = match (credentials.jwt.map(decode::<jwt::User>), &self.default_sentinel) {
            (Some(Ok(claims)), _) => claims,
            (_, Some(sentinel)) => decode::<jwt::User>(sentinel)?,
            (Some(Err(error)), None) => return Err(error.into()),
            (None, None) => return Err(AuthFailure::JwtMissing),
        };
        let claims = Arc::new(claims);
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
        authorize_in(&account, claims, conn, by_proxy, hooks, now_unix)
    }

    fn account_of(&self, claims: &UserClaims) -> Result<Arc<AccountInfo>, AuthFailure> {
        let id = account_id(claims);
        if !self.pinned.is_empty() && !self.pinned.contains(id) {
            return Err(AuthFailure::AccountNotPinned(id.to_owned()));
        }
        self.account(id)
    }

    /// Judges a user that is logged in already, by the account as it is now.
    pub(super) fn authorize_again(
        &self,
        claims: &Arc<UserClaims>,
        before: &AccountInfo,
        conn: &ConnInfo,
        by_proxy: bool,
        hooks: &Hooks,
        now_unix: i64,
    ) -> Result<Identity, AuthFailure> {
        // Those of a key whose scope changed begin anew (nats-server 2.15.1).
        let account = self.account_of(claims)?;
        let signer = |info: &AccountInfo| info.signers.get(&claims.iss).cloned();
        if let (Some(old), Some(new)) = (signer(before), signer(&account))
            && old != new
        {
            return Err(AuthFailure::SignerChanged);
        }
        self.authorize(claims, conn, by_proxy, hooks, now_unix)
    }
}

/// The account that a user's JWT names.
pub(super) fn account_id(claims: &UserClaims) -> &str {
    match claims.nats.issuer_account.as_str() {
        "" => &claims.iss,
        id => id,
    }
}

/// Decides what a user of this account may do, by its JWT.
pub(super) fn authorize_in(
    account: &Arc<AccountInfo>,
    claims: &Arc<UserClaims>,
    conn: &ConnInfo,
    by_proxy: bool,
    hooks: &Hooks,
    now_unix: i64,
) -> Result<Identity, AuthFailure> {
    let (grants, permissions) = grants(claims, account)?;
    if account.not_before_unix.is_some_and(|start| now_unix < start) {
        return Err(AuthFailure::AccountInvalid("claim is not yet valid".to_owned()));
    }
    if account.expires_unix.is_some_and(|expires| now_unix >= expires) {
        return Err(AuthFailure::AccountExpired(account.id.to_string()));
    }
    if grants.bearer_token && account.disallow_bearer {
        return Err(AuthFailure::BearerNotAllowed);
    }
    check_kind(&grants, conn, by_proxy)?;
    if account.is_revoked(&claims.sub, claims.iat) {
        return Err(AuthFailure::Revoked);
    }
    check_source(&grants, conn)?;
    let window_end = window_end(&grants, hooks, now_unix)?;
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
        proxy: None,
        account_expires_unix: account.expires_unix,
        proof: Proof::Jwt { claims: claims.clone(), account: account.clone() },
    })
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

/// Whether the connection is of a kind, and comes from where, the user may use it.
pub(super) fn check_connection(
    grants: &UserPermissionLimits,
    conn: &ConnInfo,
    by_proxy: bool,
) -> Result<(), AuthFailure> {
    check_kind(grants, conn, by_proxy)?;
    check_source(grants, conn)
}

fn check_kind(
    grants: &UserPermissionLimits,
    conn: &ConnInfo,
    by_proxy: bool,
) -> Result<(), AuthFailure> {
    if grants.proxy_required && !by_proxy {
        return Err(AuthFailure::ProxyRequired);
    }
    let kinds = &grants.allowed_connection_types;
    let is_kind = |kind: &String| kind.eq_ignore_ascii_case(conn.kind.as_str());
    if !kinds.is_empty() && !kinds.iter().any(is_kind) {
        return Err(AuthFailure::ConnectionTypeNotAllowed);
    }
    Ok(())
}

fn check_source(grants: &UserPermissionLimits, conn: &ConnInfo) -> Result<(), AuthFailure> {
    if grants.src.is_empty() || is_within(&grants.src, conn.remote_ip) {
        return Ok(());
    }
    Err(AuthFailure::BadSource(conn.remote_ip))
}
