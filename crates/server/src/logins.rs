//! From configured options to what `core` needs to decide logins.

use std::sync::Arc;
use std::time::Duration;

use natterjack_config::Options;
use natterjack_config::options as config;
use natterjack_core::auth::{
    AccountConfig, AccountLimits, AuthConfig, Authenticator, CalloutConfig, ConnectionType,
    GLOBAL_ACCOUNT, Hooks, Method, Secret, UserConfig, UserCredential,
};
use natterjack_core::permissions::{AllowResponses, PermissionsSpec, SubjectRules};

use crate::start::StartError;

/// Builds the authenticator of these options, or one that leaves the decision to the embedding program.
pub(crate) fn authenticator(
    options: &Options,
    asks_program: bool,
) -> Result<Authenticator, StartError> {
    let mut config = auth_config(options);
    if asks_program {
        config.method = Method::Program;
    }
    Ok(Authenticator::new(config, hooks())?)
}

fn hooks() -> Hooks {
    let mut hooks = Hooks::new(|hash, password| bcrypt::verify(password, hash).unwrap_or(false));
    hooks.zone_offset = Arc::new(|zone, unix| {
        let zone = match zone {
            "" => crate::zone::local(),
            name => jiff::tz::TimeZone::get(name).ok()?,
        };
        let at = jiff::Timestamp::from_second(unix).ok()?;
        Some(zone.to_offset(at).seconds())
    });
    hooks
}

fn auth_config(options: &Options) -> AuthConfig {
    let authorization = &options.authorization;
    let account_users = options.accounts.iter().any(|account| !account.users.is_empty());
    let method = if options.is_operator_mode() {
        crate::operator::method(options)
    } else if !authorization.users.is_empty() || account_users {
        let users = authorization
            .users
            .iter()
            .chain(options.accounts.iter().flat_map(|account| &account.users))
            .map(user)
            .collect();
        Method::Users(users)
    } else if let Some(token) = &authorization.token {
        Method::Token(Secret::new(token.clone()))
    } else if let Some(user) = &authorization.user {
        Method::SingleUser {
            user: user.clone(),
            password: Secret::new(authorization.password.clone().unwrap_or_default()),
        }
    } else {
        Method::Open
    };
    let system = options.system_account.clone();
    let only_system_users = authorization.users.is_empty()
        && authorization.token.is_none()
        && authorization.user.is_none()
        && account_users
        && options.accounts.iter().all(|account| Some(&account.name) == system.as_ref());
    let mut accounts: Vec<AccountConfig> = options
        .accounts
        .iter()
        .map(|account| AccountConfig {
            name: account.name.clone(),
            default_permissions: account.default_permissions.as_ref().map(permissions),
            limits: AccountLimits {
                connections: account.limits.max_connections,
                leafnodes: account.limits.max_leafnodes,
                subscriptions: account.limits.max_subscriptions,
                payload_bytes: account.limits.max_payload,
                ..AccountLimits::default()
            },
        })
        .collect();
    if let Some(defaults) = &authorization.default_permissions {
        accounts.push(AccountConfig {
            name: GLOBAL_ACCOUNT.into(),
            default_permissions: Some(permissions(defaults)),
            ..AccountConfig::default()
        });
    }
    AuthConfig {
        method,
        accounts,
        system_account: system,
        no_auth_user: options.no_auth_user.clone(),
        websocket_no_auth_user: options
            .websocket
            .as_ref()
            .filter(|ws| ws.port.is_some())
            .and_then(|ws| ws.no_auth_user.clone()),
        open_global_account: only_system_users,
        callout: authorization.callout.as_ref().map(|callout| CalloutConfig {
            issuer: callout.issuer.clone(),
            account: callout.account.clone(),
            auth_users: callout.auth_users.clone(),
            xkey: callout.xkey.clone(),
            allowed_accounts: callout.allowed_accounts.clone(),
        }),
        trusted_proxies: options.trusted_proxies.clone(),
        proxy_required: authorization.proxy_required,
        // With TLS a second more than the handshake may take (nats-server 2.15.1).
        timeout: authorization
            .timeout
            .or(options.tls.as_ref().map(|tls| tls.timeout + Duration::from_secs(1))),
    }
}

fn user(user: &config::User) -> UserConfig {
    let credential = match &user.login {
        config::Login::Password { user, password } => {
            UserCredential::Password { name: user.clone(), password: Secret::new(password.clone()) }
        }
        config::Login::Nkey { public_key } => UserCredential::Nkey(public_key.clone()),
    };
    UserConfig {
        credential,
        account: user.account.clone(),
        permissions: user.permissions.as_ref().map(permissions),
        allowed_connection_types: user
            .connection_types
            .iter()
            .map(|kind| connection_type(*kind))
            .collect(),
        proxy_required: user.proxy_required,
    }
}

fn connection_type(kind: config::ConnectionType) -> ConnectionType {
    match kind {
        config::ConnectionType::Standard => ConnectionType::Standard,
        config::ConnectionType::Websocket => ConnectionType::WebSocket,
        config::ConnectionType::Leafnode => ConnectionType::Leafnode,
        config::ConnectionType::LeafnodeWs => ConnectionType::LeafnodeWs,
        config::ConnectionType::Mqtt => ConnectionType::Mqtt,
        config::ConnectionType::MqttWs => ConnectionType::MqttWs,
        config::ConnectionType::InProcess => ConnectionType::InProcess,
    }
}

fn permissions(configured: &config::Permissions) -> PermissionsSpec {
    let rules = |rules: &config::SubjectPermissions| SubjectRules {
        allow: rules.allow.clone().unwrap_or_default(),
        deny: rules.deny.clone(),
    };
    PermissionsSpec {
        publish: rules(&configured.publish),
        subscribe: rules(&configured.subscribe),
        allow_responses: configured.allow_responses.map(|responses| AllowResponses {
            max: responses.max_msgs.map_or(-1, i64::from),
            expires_ns: responses
                .expires
                .map_or(-1, |expires| i64::try_from(expires.as_nanos()).unwrap_or(i64::MAX)),
        }),
    }
}
