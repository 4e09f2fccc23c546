//! Asks the configured methods, in the order of nats-server: trusted proxy, operator mode, nkeys, users,
//! token, single user, open.

use super::callout::without_callout;
use super::config::Method;
use super::identity::Proof;
use super::operator::Operator;
use super::proxies::TrustedProxies;
use super::secret::PasswordDigest;
use super::shared::Shared;
use super::users::{self, Users};
use super::{
    AccountInfo, AuthConfig, AuthConfigError, AuthFailure, CalloutConfig, ConnInfo, ConnectionType,
    Credentials, DEFAULT_SYSTEM_ACCOUNT, GLOBAL_ACCOUNT, Identity, Secret, UserLimits,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use hashbrown::HashMap;
use nkeys::KeyPair;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether a password fits a bcrypt hash: `(hash, password)`. It costs CPU time by design.
pub type PasswordCheck = dyn Fn(&str, &[u8]) -> bool + Send + Sync;

/// Seconds east of UTC of a time zone (IANA name; empty is the server's own) at a Unix time in seconds;
/// `None` if the zone is not known, which refuses the users that name it.
pub type ZoneOffset = dyn Fn(&str, i64) -> Option<i32> + Send + Sync;

/// What logins need from outside this pure crate.
#[derive(Clone)]
pub struct Hooks {
    /// Compares a password with a bcrypt hash.
    pub password_check: Arc<PasswordCheck>,
    /// Knows time zones, for users that may connect at certain times only.
    pub zone_offset: Arc<ZoneOffset>,
}

impl Hooks {
    /// Hooks with this bcrypt comparison, and UTC as the only time zone.
    pub fn new(password_check: impl Fn(&str, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        Hooks {
            password_check: Arc::new(password_check),
            zone_offset: Arc::new(|zone, _| matches!(zone, "" | "UTC").then_some(0)),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

/// Decides logins. A reload builds a new one; only the accounts of operator mode change in between, as
/// their JWTs do.
#[derive(Debug)]
pub struct Authenticator {
    pub(super) hooks: Hooks,
    pub(super) logins: Logins,
    pub(super) accounts: HashMap<Arc<str>, Arc<AccountInfo>>,
    pub(super) system_account: Option<Arc<str>>,
    pub(super) callout: Option<CalloutConfig>,
    no_auth_user: Option<String>,
    websocket_no_auth_user: Option<String>,
    open_global_account: bool,
    trusted_proxies: TrustedProxies,
    proxy_required: bool,
    timeout: Duration,
    shared: Shared,
}

#[derive(Debug)]
pub(super) enum Logins {
    Open,
    Token(Secret),
    SingleUser { user: Arc<str>, password: Secret },
    Users(Users),
    Operator(Operator),
    Program,
}

impl Authenticator {
    /// Prepares logins as configured.
    ///
    /// # Errors
    ///
    /// See [`AuthConfigError`]; the server does not start with such a configuration.
    pub fn new(config: AuthConfig, hooks: Hooks) -> Result<Self, AuthConfigError> {
        let trusted_proxies = TrustedProxies::new(&config.trusted_proxies)?;
        let system_account = config.system_account.as_deref().unwrap_or(DEFAULT_SYSTEM_ACCOUNT);
        let mut system_account = Some(Arc::from(system_account));
        let mut accounts = users::accounts(&config.accounts)?;
        let logins = match config.method {
            Method::Open => Logins::Open,
            Method::Token(token) => Logins::Token(token),
            Method::SingleUser { user, password } => {
                Logins::SingleUser { user: user.into(), password }
            }
            Method::Users(list) => Logins::Users(Users::new(list, &mut accounts)?),
            Method::Program => Logins::Program,
            Method::Operator(operator) => {
                system_account = operator.system_account.as_deref().map(Arc::from);
                Logins::Operator(Operator::new(operator)?)
            }
        };
        let anonymous = [&config.no_auth_user, &config.websocket_no_auth_user];
        for name in anonymous.into_iter().flatten() {
            let Logins::Users(users) = &logins else {
                return Err(AuthConfigError::NoAuthUserWithoutUsers(name.clone()));
            };
            if users.anonymous(name).is_none() {
                return Err(AuthConfigError::NoAuthUserUnknown(name.clone()));
            }
        }
        Ok(Authenticator {
            hooks,
            logins,
            accounts,
            system_account,
            callout: config.callout,
            no_auth_user: config.no_auth_user,
            websocket_no_auth_user: config.websocket_no_auth_user,
            open_global_account: config.open_global_account,
            trusted_proxies,
            proxy_required: config.proxy_required,
            timeout: config.timeout.unwrap_or(Duration::from_secs(2)),
            shared: Shared::default(),
        })
    }

    /// Whether anybody has to log in, if only as the user whom nobody names.
    pub fn requires_login(&self) -> bool {
        !matches!(self.logins, Logins::Open) || self.callout.is_some()
    }

    /// What INFO says as `auth_required` to clients of the plain listener.
    pub fn auth_required(&self) -> bool {
        self.auth_required_of(ConnectionType::Standard)
    }

    /// What INFO says as `auth_required` to a connection of this kind. To a WebSocket it does not count
    /// that a `no_auth_user` would admit it (nats-server 2.15.1, measured).
    pub fn auth_required_of(&self, kind: ConnectionType) -> bool {
        let is_waived = kind != ConnectionType::WebSocket && self.no_auth_user.is_some();
        self.requires_login() && !is_waived
    }

    /// Who a connection of this kind is that presents nothing.
    fn no_auth_user_of(&self, kind: ConnectionType) -> Option<&str> {
        let own = match kind {
            ConnectionType::WebSocket => self.websocket_no_auth_user.as_deref(),
            _ => None,
        };
        own.or(self.no_auth_user.as_deref())
    }

    /// Whether a CONNECT without credentials is accepted from a connection of this kind.
    pub fn admits_anonymous(&self, kind: ConnectionType) -> bool {
        (matches!(self.logins, Logins::Open) && self.callout.is_none())
            || self.no_auth_user_of(kind).is_some()
            || self.open_global_account
    }

    /// Whether an operation before any CONNECT is accepted, after a login with empty [`Credentials`]. A
    /// `no_auth_user` that is an nkey needs the CONNECT (nats-server 2.15.1, measured).
    pub fn admits_before_connect(&self, kind: ConnectionType) -> bool {
        if self.callout.is_some() {
            return false;
        }
        match (&self.logins, self.no_auth_user_of(kind)) {
            (Logins::Users(users), Some(name)) => users.by_nkey(name).is_none(),
            _ => self.admits_anonymous(kind),
        }
    }

    /// Whether INFO carries a nonce: some login needs a signature.
    pub fn needs_nonce(&self) -> bool {
        let signs = match &self.logins {
            Logins::Users(users) => users.has_nkeys(),
            // The program may want a signature.
            Logins::Operator(_) | Logins::Program => true,
            _ => false,
        };
        signs || !self.trusted_proxies.is_empty()
    }

    /// How long a client may take until its CONNECT.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The name or public key of the system account; `None` if operator mode names none.
    pub fn system_account(&self) -> Option<&str> {
        self.system_account.as_deref()
    }

    /// What is configured of an account, or what its JWT says. `None` if it is not known: in operator
    /// mode also if its JWT is not by a trusted operator.
    pub fn account(&self, id: &str) -> Option<Arc<AccountInfo>> {
        match &self.logins {
            Logins::Operator(operator) => operator.account(id).ok(),
            _ => self.accounts.get(id).cloned(),
        }
    }

    /// The accounts of operator mode whose JWTs can be used, by key.
    pub fn claimed_accounts(&self) -> Vec<Arc<str>> {
        self.operator().map(Operator::ids).unwrap_or_default()
    }

    /// Takes the JWT of an account over, in operator mode.
    ///
    /// # Errors
    ///
    /// It cannot be used; what was known of the account stays.
    pub fn learn(&self, id: &str, token: &str) -> Result<Arc<AccountInfo>, String> {
        match self.operator() {
            Some(operator) => operator.learn(id, token),
            None => Err("no operator is trusted".to_owned()),
        }
    }

    /// The JWT of an account was deleted: its users have to go.
    pub fn forget(&self, id: &str) {
        if let Some(operator) = self.operator() {
            operator.forget(id);
        }
    }

    /// Takes over what another one has learned since it was made.
    pub fn inherit(&self, old: &Authenticator) {
        if let (Some(operator), Some(old)) = (self.operator(), old.operator()) {
            operator.inherit(old);
        }
    }

    /// Whether an operator key may not sign accounts, since its operator demands a signing key.
    pub fn demands_signing_key(&self, issuer: &str) -> bool {
        self.operator().is_some_and(|operator| operator.demands_signing_key(issuer))
    }

    /// Whether an operator key is trusted.
    pub fn trusts(&self, key: &str) -> bool {
        self.operator().is_some_and(|operator| operator.is_trusted(key))
    }

    fn operator(&self) -> Option<&Operator> {
        match &self.logins {
            Logins::Operator(operator) => Some(operator),
            _ => None,
        }
    }

    /// Whether a password of the configuration is plain text, which deserves a warning at startup
    /// (`Plaintext passwords detected, use nkeys or bcrypt`). Tokens do not count (2.15.1, measured).
    pub fn has_plaintext_passwords(&self) -> bool {
        let plain = |secret: &Secret| !secret.is_empty() && !secret.is_bcrypt();
        match &self.logins {
            Logins::SingleUser { password, .. } => plain(password),
            Logins::Users(users) => users.passwords().any(plain),
            _ => false,
        }
    }

    /// Whether [`authenticate`](Self::authenticate) would compute a bcrypt hash for these credentials
    /// (some 100 ms at the usual cost), so that the server moves it off the connection's thread.
    pub fn costs_cpu(&self, credentials: &Credentials<'_>) -> bool {
        let credentials = credentials.normalized();
        match &self.logins {
            Logins::Token(token) => credentials.auth_token.is_some() && token.is_bcrypt(),
            Logins::SingleUser { user, password } => {
                credentials.user == Some(user) && password.is_bcrypt()
            }
            Logins::Users(_) if credentials.certificate.is_some() => false,
            Logins::Users(users) => credentials
                .user
                .and_then(|name| users.by_name(name))
                .is_some_and(|(_, user)| user.password.is_bcrypt()),
            Logins::Open | Logins::Operator(_) | Logins::Program => false,
        }
    }

    /// Decides a CONNECT at `now_unix` (seconds). `nonce` is the text that INFO carried to this
    /// connection, or empty. Connections that log in alike share what is returned.
    ///
    /// # Errors
    ///
    /// The reason for the log. The client reads `Authorization Violation` whatever it is.
    pub fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        nonce: &str,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Arc<Identity>, AuthFailure> {
        let credentials = credentials.normalized();
        let proxy = self.trusted_proxies.check(credentials.proxy_sig, nonce)?;
        let mut identity = self.prove(&credentials, nonce, conn, proxy.is_some(), now_unix)?;
        identity.proxy = proxy;
        self.keep_from_callout(&mut identity)?;
        Ok(self.shared.intern(identity))
    }

    /// The one that others share who logged in alike.
    pub(super) fn intern(&self, identity: Identity) -> Arc<Identity> {
        self.shared.intern(identity)
    }

    /// Takes the right to ask the authorization service away from those in its account.
    fn keep_from_callout(&self, identity: &mut Identity) -> Result<(), AuthFailure> {
        let is_asked = match &self.logins {
            Logins::Operator(operator) => {
                operator.account(&identity.account).is_ok_and(|info| info.callout.is_some())
            }
            _ => self.is_callout_account(&identity.account),
        };
        if is_asked {
            identity.permissions = Some(without_callout(identity.permissions.as_ref())?);
        }
        Ok(())
    }

    fn prove(
        &self,
        credentials: &Credentials<'_>,
        nonce: &str,
        conn: &ConnInfo,
        by_proxy: bool,
        now_unix: i64,
    ) -> Result<Identity, AuthFailure> {
        match &self.logins {
            Logins::Open => Ok(self.open(credentials)),
            Logins::Program => Err(AuthFailure::NoCredentials),
            Logins::Token(_) | Logins::SingleUser { .. } if self.proxy_required && !by_proxy => {
                Err(AuthFailure::ProxyRequired)
            }
            Logins::Token(token) => {
                let presented = credentials.auth_token.ok_or(AuthFailure::NoCredentials)?;
                if !self.fits(token, presented.as_bytes()) {
                    return Err(AuthFailure::WrongToken);
                }
                Ok(self.by_token(presented, credentials.user))
            }
            Logins::SingleUser { user, password } => {
                let name = credentials.user.ok_or(AuthFailure::NoCredentials)?;
                if name != user.as_ref() {
                    return Err(AuthFailure::UnknownUser);
                }
                let presented = credentials.pass.unwrap_or_default();
                if !self.fits(password, presented.as_bytes()) {
                    return Err(AuthFailure::WrongPassword);
                }
                Ok(self.in_global(user.clone(), password_proof(user, password, presented)))
            }
            Logins::Users(users) => self.among_users(users, credentials, nonce, conn, by_proxy),
            Logins::Operator(operator) => {
                operator.authenticate(credentials, nonce, conn, by_proxy, &self.hooks, now_unix)
            }
        }
    }

    /// Decides again, after a reload or a change of an account, for a connection that is logged in. A
    /// password that was changed to a new bcrypt hash cannot be compared any more and ends the login.
    ///
    /// # Errors
    ///
    /// Why the login no longer holds; [`AuthFailure::closing_error`] is what the client reads.
    pub fn recheck(
        &self,
        identity: &Identity,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Arc<Identity>, AuthFailure> {
        let mut renewed = self.prove_again(identity, conn, now_unix)?;
        if !matches!(renewed.proof, Proof::Callout { .. }) {
            self.keep_from_callout(&mut renewed)?;
        }
        match renewed.account == identity.account {
            true => Ok(self.shared.intern(renewed)),
            false => Err(AuthFailure::AccountChanged),
        }
    }

    fn prove_again(
        &self,
        identity: &Identity,
        conn: &ConnInfo,
        now_unix: i64,
    ) -> Result<Identity, AuthFailure> {
        self.trusted_proxies.still_trusts(identity.proxy.as_deref())?;
        let by_proxy = identity.proxy.is_some();
        let mut renewed = match (&identity.proof, &self.logins) {
            (Proof::Callout { .. }, _) => self.accept_again(identity, conn, now_unix)?,
            (Proof::Program, Logins::Program) => self.admit_again(identity)?,
            (_, Logins::Open) => self.in_global_as(identity.user.clone(), Proof::Open),
            (Proof::Token { digest }, Logins::Token(token)) => {
                if token.is_bcrypt() || !token.digest().same(digest) {
                    return Err(AuthFailure::WrongToken);
                }
                self.in_global_as(identity.user.clone(), identity.proof.clone())
            }
            (Proof::Password { user, .. }, Logins::SingleUser { user: name, password }) => {
                if user != name {
                    return Err(AuthFailure::UnknownUser);
                }
                still_fits(&identity.proof, password)?;
                self.in_global(user.clone(), identity.proof.clone())
            }
            (Proof::Password { user: name, .. }, Logins::Users(users)) => {
                let (name, user) = users.by_name(name).ok_or(AuthFailure::UnknownUser)?;
                user.admits(conn.kind, by_proxy)?;
                still_fits(&identity.proof, &user.password)?;
                user.identity(name, identity.proof.clone())
            }
            (Proof::Certificate { user: name }, Logins::Users(users)) => {
                let (name, user) = users.by_name(name).ok_or(AuthFailure::UnknownUser)?;
                user.admits(conn.kind, by_proxy)?;
                user.identity(name, identity.proof.clone())
            }
            (Proof::Nkey { key }, Logins::Users(users)) => {
                let (key, user) = users.by_nkey(key).ok_or(AuthFailure::UnknownNkey)?;
                user.admits(conn.kind, by_proxy)?;
                user.identity(key, identity.proof.clone())
            }
            (Proof::Open | Proof::Anonymous, Logins::Users(users)) => {
                self.anonymous(users, conn, by_proxy)?
            }
            (Proof::Jwt { claims, account }, Logins::Operator(operator)) => {
                operator.authorize_again(claims, account, conn, by_proxy, &self.hooks, now_unix)?
            }
            _ => return Err(AuthFailure::NoCredentials),
        };
        renewed.proxy.clone_from(&identity.proxy);
        Ok(renewed)
    }

    fn among_users(
        &self,
        users: &Users,
        credentials: &Credentials<'_>,
        nonce: &str,
        conn: &ConnInfo,
        by_proxy: bool,
    ) -> Result<Identity, AuthFailure> {
        // Without nkey users an nkey is ignored; that of the `no_auth_user` needs no signature, and none is
        // looked at: it grants what presenting nothing grants (nats-server 2.15.1, measured).
        let asks_for = credentials.nkey.filter(|_| users.has_nkeys());
        let is_anonymous = match asks_for {
            Some(key) => self.no_auth_user_of(conn.kind) == Some(key),
            None => credentials.certificate.is_none() && credentials.is_anonymous(),
        };
        if is_anonymous {
            return self.anonymous(users, conn, by_proxy);
        }
        if let Some(key) = asks_for {
            let (key, user) = users.by_nkey(key).ok_or(AuthFailure::UnknownNkey)?;
            user.admits(conn.kind, by_proxy)?;
            verify_nonce(key, credentials.sig, nonce)?;
            return Ok(user.identity(key, Proof::Nkey { key: key.clone() }));
        }
        if let Some(certificate) = credentials.certificate {
            let (name, user) = users
                .by_certificate(certificate, conn.kind)
                .ok_or(AuthFailure::UnknownCertificate)?;
            user.admits(conn.kind, by_proxy)?;
            return Ok(user.identity(name, Proof::Certificate { user: name.clone() }));
        }
        let name = credentials.user.ok_or(AuthFailure::NoCredentials)?;
        let (name, user) = users.by_name(name).ok_or(AuthFailure::UnknownUser)?;
        user.admits(conn.kind, by_proxy)?;
        let presented = credentials.pass.unwrap_or_default();
        if !self.fits(&user.password, presented.as_bytes()) {
            return Err(AuthFailure::WrongPassword);
        }
        Ok(user.identity(name, password_proof(name, &user.password, presented)))
    }

    fn anonymous(
        &self,
        users: &Users,
        conn: &ConnInfo,
        by_proxy: bool,
    ) -> Result<Identity, AuthFailure> {
        match self.no_auth_user_of(conn.kind).and_then(|name| users.anonymous(name)) {
            Some((name, user)) => {
                user.admits(conn.kind, by_proxy)?;
                Ok(user.identity(name, Proof::Anonymous))
            }
            None if self.open_global_account => Ok(self.in_global_as(None, Proof::Anonymous)),
            None => Err(AuthFailure::NoCredentials),
        }
    }

    /// Compares a presented secret with a configured one.
    fn fits(&self, configured: &Secret, presented: &[u8]) -> bool {
        match configured.is_bcrypt() {
            true => (self.hooks.password_check)(configured.expose(), presented),
            false => configured.digest().same(&PasswordDigest::of(presented)),
        }
    }

    fn open(&self, credentials: &Credentials<'_>) -> Identity {
        let token = credentials.auth_token.map(|_| "[REDACTED]");
        let user = credentials.nkey.or(credentials.user).or(token);
        self.in_global_as(user.map(Arc::from), Proof::Open)
    }

    fn by_token(&self, presented: &str, user: Option<&str>) -> Identity {
        let proof = Proof::Token { digest: PasswordDigest::of(presented.as_bytes()) };
        self.in_global_as(Some(Arc::from(user.unwrap_or("[REDACTED]"))), proof)
    }

    fn in_global(&self, user: Arc<str>, proof: Proof) -> Identity {
        self.in_global_as(Some(user), proof)
    }

    pub(super) fn in_global_as(&self, user: Option<Arc<str>>, proof: Proof) -> Identity {
        let account: Arc<str> = Arc::from(GLOBAL_ACCOUNT);
        let label = match (user.as_deref(), &proof) {
            (None, _) => String::new(),
            (Some("[REDACTED]"), _) => format!("{GLOBAL_ACCOUNT}/token"),
            (Some(user), _) => format!("{GLOBAL_ACCOUNT}/user:{user}"),
        };
        Identity {
            account_name: account.clone(),
            account,
            user,
            user_name: None,
            label,
            permissions: None,
            limits: UserLimits::default(),
            expires_unix: None,
            account_expires_unix: None,
            issuer_key: None,
            tags: Arc::from([]),
            is_bearer: false,
            proxy: None,
            proof,
        }
    }
}

fn password_proof(user: &Arc<str>, configured: &Secret, presented: &str) -> Proof {
    Proof::Password {
        user: user.clone(),
        digest: PasswordDigest::of(presented.as_bytes()),
        configured: configured.digest(),
    }
}

/// Whether the password that was presented then fits what is configured now.
fn still_fits(proof: &Proof, now: &Secret) -> Result<(), AuthFailure> {
    let Proof::Password { digest, configured, .. } = proof else {
        return Err(AuthFailure::WrongPassword);
    };
    let is_unchanged = now.digest().same(configured);
    let is_same_text = !now.is_bcrypt() && now.digest().same(digest);
    (is_unchanged || is_same_text).then_some(()).ok_or(AuthFailure::WrongPassword)
}

pub(super) fn decode_signature(text: &str) -> Result<Vec<u8>, AuthFailure> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .or_else(|_| BASE64.decode(text.as_bytes()))
        .map_err(|_| AuthFailure::SignatureNotBase64)
}

/// Checks the signature of the nonce text by the public key.
pub(super) fn verify_nonce(
    key: &str,
    signature: Option<&str>,
    nonce: &str,
) -> Result<(), AuthFailure> {
    let signature = decode_signature(signature.ok_or(AuthFailure::SignatureMissing)?)?;
    // An empty nonce was never sent: a signature of it proves nothing.
    if nonce.is_empty() {
        return Err(AuthFailure::SignatureNotVerified);
    }
    KeyPair::from_public_key(key)
        .and_then(|key| key.verify(nonce.as_bytes(), &signature))
        .map_err(|_| AuthFailure::SignatureNotVerified)
}
