//! Checks of the whole, file and flags together: what nats-server finds only when it starts.

use super::Options;
use crate::duration;

/// Why options that were read without error cannot be run with. The texts are nats-server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidationError {
    /// One message would not fit what may wait for a client.
    #[error("max_payload ({max_payload}) cannot be higher than max_pending ({max_pending})")]
    PayloadAbovePending {
        /// `max_payload` in bytes.
        max_payload: u64,
        /// `max_pending` in bytes.
        max_pending: u64,
    },
    /// Lame duck mode would end before it closes clients.
    #[error(
        "lame duck grace period ({grace}) should be strictly lower than lame duck duration \
         ({duration})"
    )]
    GraceNotBelowDuration {
        /// The grace period, in Go's notation.
        grace: String,
        /// The duration, in Go's notation.
        duration: String,
    },
    /// A server name with a blank, from a flag.
    #[error("server name cannot contain spaces")]
    ServerNameBlank,
    /// A user or password beside a token.
    #[error("Cannot have a user/pass and token")]
    UserAndToken,
    /// A user or password, perhaps from a flag, beside `users`.
    #[error("Can not have a single user/pass and a users array")]
    UserAndUsers,
    /// A token, perhaps from a flag, beside `users`.
    #[error("Can not have a token and a users array")]
    TokenAndUsers,
    /// `no_auth_user` without any user.
    #[error("no_auth_user: {user:?} present, but users/nkeys are not defined")]
    NoAuthUserWithoutUsers {
        /// `no_auth_user`.
        user: String,
    },
    /// `no_auth_user` is not one of the users.
    #[error(
        "no_auth_user: {user:?} not present as user or nkey in authorization block or account \
         configuration"
    )]
    NoAuthUserUnknown {
        /// `no_auth_user`.
        user: String,
    },
    /// `no_auth_user` in operator mode.
    #[error("no_auth_user not compatible with Trusted Operator")]
    NoAuthUserWithOperator,
    /// `system_account` is not one of the accounts.
    #[error("error resolving system account: account missing")]
    SystemAccountMissing,
    /// In operator mode `system_account` is not an account's public key.
    #[error("error resolving system account: will only fetch valid account keys")]
    SystemAccountKey,
    /// Preloaded JWTs without the resolver that holds them.
    #[error("resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR")]
    PreloadWithoutResolver,
    /// Operator mode without a resolver.
    #[error("operators require an account resolver to be configured")]
    OperatorWithoutResolver,
    /// Operator mode with accounts from the file.
    #[error("operators do not allow Accounts to be configured directly")]
    OperatorWithAccounts,
    /// Operator mode with users from the file.
    #[error("operators do not allow users to be configured directly")]
    OperatorWithUsers,
    /// Operator mode with a callout from the file.
    #[error("operators do not allow authorization callouts to be configured directly")]
    OperatorWithCallout,
    /// A sentinel outside operator mode.
    #[error("default sentinel requires operators and accounts")]
    SentinelWithoutOperator,
    /// Both kinds of trust.
    #[error("conflicting options for 'TrustedKeys' and 'TrustedOperators'")]
    KeysAndOperators,
    /// A listener with TLS has no certificate.
    #[error("TLS Server certificate must be present and valid")]
    CertificateMissing,
    /// A monitoring port with TLS needs the certificates of the `tls` block.
    #[error("TLS cert and key required for HTTPS")]
    HttpsWithoutTls,
    /// A WebSocket listener says neither `tls` nor `no_tls`.
    #[error("websocket requires TLS configuration")]
    WebsocketWithoutTls,
    /// A cookie with a JWT outside operator mode.
    #[error(
        "trusted operators or trusted keys configuration is required for JWT authentication via \
         cookie {cookie:?}"
    )]
    CookieWithoutOperator {
        /// `jwt_cookie`.
        cookie: String,
    },
    /// An allowed origin is no `scheme://host[:port]`.
    #[error("unable to parse allowed origin: parse {origin:?}: invalid URI for request")]
    AllowedOrigin {
        /// The origin.
        origin: String,
    },
    /// A pinned account is not an account key.
    #[error("pinned account key {key:?} is not a valid public account nkey")]
    PinnedAccount {
        /// The key.
        key: String,
    },
}

impl Options {
    /// Checks the options as a whole, after flags were applied.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, in nats-server's words.
    ///
    /// # Examples
    ///
    /// ```
    /// use natterjack_config::{language::NoSource, Options};
    ///
    /// let options = Options::parse("max_payload: 2MB, max_pending: 1MB", "x", &NoSource).unwrap();
    /// assert_eq!(
    ///     options.validate().unwrap_err().to_string(),
    ///     "max_payload (2097152) cannot be higher than max_pending (1048576)"
    /// );
    /// ```
    pub fn validate(&self) -> Result<(), ValidationError> {
        let (max_payload, max_pending) = (self.max_payload, self.max_pending);
        if max_payload > max_pending {
            return Err(ValidationError::PayloadAbovePending { max_payload, max_pending });
        }
        if self.server_name.as_deref().is_some_and(|name| name.contains(' ')) {
            return Err(ValidationError::ServerNameBlank);
        }
        if self.lame_duck_grace_period >= self.lame_duck_duration {
            return Err(ValidationError::GraceNotBelowDuration {
                grace: duration::format(self.lame_duck_grace_period),
                duration: duration::format(self.lame_duck_duration),
            });
        }
        self.validate_single_login()?;
        self.validate_operator()?;
        self.validate_no_auth_user(self.no_auth_user.as_deref())?;
        self.validate_transports()?;
        self.validate_system_account()
    }

    /// The file was checked for this, but flags may add a login.
    fn validate_single_login(&self) -> Result<(), ValidationError> {
        let auth = &self.authorization;
        let single = auth.user.is_some() || auth.password.is_some();
        match (single, auth.token.is_some(), !auth.users.is_empty()) {
            (true, true, _) => Err(ValidationError::UserAndToken),
            (true, _, true) => Err(ValidationError::UserAndUsers),
            (_, true, true) => Err(ValidationError::TokenAndUsers),
            _ => Ok(()),
        }
    }

    /// Trusted keys alone ask for none of this, as in nats-server.
    fn validate_operator(&self) -> Result<(), ValidationError> {
        if self.operators.is_empty() {
            return match self.default_sentinel {
                Some(_) => Err(ValidationError::SentinelWithoutOperator),
                None => Ok(()),
            };
        }
        if self.resolver.is_none() {
            return Err(if self.resolver_preload.is_empty() {
                ValidationError::OperatorWithoutResolver
            } else {
                ValidationError::PreloadWithoutResolver
            });
        }
        let is_url = matches!(self.resolver, Some(super::Resolver::Url(_)));
        if is_url && !self.resolver_preload.is_empty() {
            return Err(ValidationError::PreloadWithoutResolver);
        }
        if !self.accounts.is_empty() {
            return Err(ValidationError::OperatorWithAccounts);
        }
        if !self.authorization.users.is_empty() {
            return Err(ValidationError::OperatorWithUsers);
        }
        if !self.trusted_keys.is_empty() {
            return Err(ValidationError::KeysAndOperators);
        }
        let mut pinned = self.resolver_pinned_accounts.iter();
        match pinned.find(|key| !crate::names::is_public_key(key, 'A')) {
            Some(key) => Err(ValidationError::PinnedAccount { key: key.clone() }),
            None if self.authorization.callout.is_some() => {
                Err(ValidationError::OperatorWithCallout)
            }
            None => Ok(()),
        }
    }

    /// TLS and WebSocket listeners.
    fn validate_transports(&self) -> Result<(), ValidationError> {
        let lacks_certificate =
            |tls: &Option<super::Tls>| tls.as_ref().is_some_and(|tls| tls.certificates.is_empty());
        if lacks_certificate(&self.tls) {
            return Err(ValidationError::CertificateMissing);
        }
        if self.https_port.is_some() && self.tls.is_none() {
            return Err(ValidationError::HttpsWithoutTls);
        }
        let Some(ws) = self.websocket.as_ref().filter(|ws| ws.port.is_some()) else {
            return Ok(());
        };
        if ws.tls.is_none() && !ws.no_tls {
            return Err(ValidationError::WebsocketWithoutTls);
        }
        if lacks_certificate(&ws.tls) {
            return Err(ValidationError::CertificateMissing);
        }
        let is_origin = |origin: &&String| {
            origin.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.is_empty() && !host.contains([' ', '/', '?', '#'])
            })
        };
        if let Some(origin) = ws.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(ValidationError::AllowedOrigin { origin: origin.clone() });
        }
        self.validate_no_auth_user(ws.no_auth_user.as_deref())?;
        match &ws.jwt_cookie {
            Some(cookie) if !self.is_operator_mode() => {
                Err(ValidationError::CookieWithoutOperator { cookie: cookie.clone() })
            }
            _ => Ok(()),
        }
    }

    fn validate_no_auth_user(&self, user: Option<&str>) -> Result<(), ValidationError> {
        let Some(user) = user.map(str::to_owned) else { return Ok(()) };
        if !self.operators.is_empty() {
            return Err(ValidationError::NoAuthUserWithOperator);
        }
        let global = self.authorization.users.iter();
        let mut users =
            self.accounts.iter().flat_map(|account| &account.users).chain(global).peekable();
        if users.peek().is_none() {
            return Err(ValidationError::NoAuthUserWithoutUsers { user });
        }
        if users.any(|known| known.name() == user) {
            Ok(())
        } else {
            Err(ValidationError::NoAuthUserUnknown { user })
        }
    }

    fn validate_system_account(&self) -> Result<(), ValidationError> {
        let Some(name) = &self.system_account else { return Ok(()) };
        let known = if !self.is_operator_mode() {
            name == "$SYS" || self.accounts.iter().any(|account| account.name == *name)
        } else if crate::names::is_public_key(name, 'A') {
            // What a directory or a web server holds is looked at when it is opened.
            matches!(self.resolver, Some(super::Resolver::Directory(_) | super::Resolver::Url(_)))
                || self.resolver_preload.iter().any(|(key, _)| key == name)
        } else {
            return Err(ValidationError::SystemAccountKey);
        };
        if known { Ok(()) } else { Err(ValidationError::SystemAccountMissing) }
    }
}
