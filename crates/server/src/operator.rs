//! Operator mode: logins by JWT, accounts by their JWTs in the configuration.

use natterjack_config::Options;
use natterjack_core::auth::{AccountInfo, JetStreamTier, Method, OperatorConfig};
use natterjack_core::jwt::{self, decode};
use natterjack_core::mapping::{Destination, Mappings};
use natterjack_jetstream::AccountLimits;

use crate::hub::Hub;
use crate::jetstream::Share;
use crate::start::StartError;

/// The login method of operator mode.
pub(crate) fn method(options: &Options) -> Method {
    Method::Operator(OperatorConfig {
        operators: options.operators.iter().map(|operator| operator.value.clone()).collect(),
        trusted_keys: options.trusted_keys.clone(),
        system_account: system_account(options),
        resolver_preload: options
            .resolver_preload
            .iter()
            .map(|(id, jwt)| (id.clone(), jwt.value.clone()))
            .collect(),
        pinned_accounts: options.resolver_pinned_accounts.clone(),
        default_sentinel: options.default_sentinel.as_ref().map(|jwt| jwt.value.clone()),
    })
}

/// The system account of the configuration, or else of the only operator.
fn system_account(options: &Options) -> Option<String> {
    let named = || match options.operators.as_slice() {
        [only] => {
            decode::<jwt::Operator>(&only.value).ok().map(|claims| claims.nats.system_account)
        }
        _ => None,
    };
    options.system_account.clone().or_else(named).filter(|key| !key.is_empty())
}

/// Checks what only JWTs tell.
///
/// # Errors
/// The sentinel is none, with nats-server's text.
pub(crate) fn check(options: &Options) -> Result<(), StartError> {
    let Some(sentinel) = &options.default_sentinel else { return Ok(()) };
    let refuse = |text: &str| Err(StartError::Operator(text.to_owned()));
    let Ok(claims) = decode::<jwt::User>(&sentinel.value) else {
        return refuse("default sentinel JWT not valid");
    };
    let user = &claims.nats;
    // One without anything of its own may get it, and the bearer's right, from a scope.
    let is_scoped = !user.issuer_account.is_empty() && user.permissions.is_blank();
    if !user.permissions.bearer_token && !is_scoped {
        return refuse("default sentinel must be a bearer token");
    }
    Ok(())
}

/// The mappings that an account's JWT carries.
pub(crate) fn mappings(info: &AccountInfo) -> Result<Mappings, String> {
    let mut mappings = Mappings::default();
    for (source, destinations) in &info.mappings {
        let destinations: Vec<Destination> = destinations
            .iter()
            .filter(|destination| destination.cluster.is_empty())
            .map(|destination| Destination {
                subject: destination.subject.clone(),
                // An absent weight of a JWT means all.
                weight: match destination.weight {
                    0 => 100,
                    weight => u8::try_from(weight.clamp(1, 100)).unwrap_or(100),
                },
            })
            .collect();
        mappings
            .add(source, &destinations)
            .map_err(|error| format!("account {}: mapping {source:?}: {error}", info.id))?;
    }
    Ok(mappings)
}

/// The JetStream limits that an account's JWT sets; `None` without JetStream.
pub(crate) fn jetstream_limits(hub: &Hub, account: &str) -> Option<Share> {
    let authenticator = hub.authenticator();
    let info = authenticator.account(account)?;
    let claims = info.jetstream.as_ref().filter(|claims| claims.is_enabled())?;
    Some(match &claims.untiered {
        Some(limits) => Share::Whole(tier_limits(limits)),
        None => {
            let tiers = claims.tiers.iter();
            Share::Tiers(tiers.map(|(name, tier)| (name.clone(), tier_limits(tier))).collect())
        }
    })
}

fn tier_limits(tier: &JetStreamTier) -> AccountLimits {
    AccountLimits {
        max_memory: tier.memory_bytes,
        max_file: tier.disk_bytes,
        max_streams: tier.streams,
        max_consumers: tier.consumers,
        max_ack_pending: tier.max_ack_pending,
        memory_max_stream_bytes: tier.memory_max_stream_bytes,
        file_max_stream_bytes: tier.disk_max_stream_bytes,
        max_bytes_required: tier.max_bytes_required,
    }
}
