//! Operator mode: logins by JWT, accounts by their JWTs in the configuration.

use natterjack_config::Options;
use natterjack_core::auth::{Method, OperatorConfig};
use natterjack_core::mapping::{Destination, Mappings};
use natterjack_jetstream::AccountLimits;

use crate::hub::Hub;
use crate::start::StartError;

/// The login method of operator mode.
pub(crate) fn method(options: &Options) -> Method {
    Method::Operator(OperatorConfig {
        operators: options.operators.iter().map(|operator| operator.value.clone()).collect(),
        trusted_keys: options.trusted_keys.clone(),
        system_account: options.system_account.clone(),
        resolver_preload: options
            .resolver_preload
            .iter()
            .map(|(id, jwt)| (id.clone(), jwt.value.clone()))
            .collect(),
        pinned_accounts: options.resolver_pinned_accounts.clone(),
        ..OperatorConfig::default()
    })
}

/// The accounts whose JWTs are preloaded, with the mappings that these carry.
pub(crate) fn accounts(hub: &Hub) -> Result<Vec<(String, Mappings)>, StartError> {
    let options = hub.options();
    if !options.is_operator_mode() {
        return Ok(Vec::new());
    }
    let authenticator = hub.authenticator();
    let mut accounts = Vec::new();
    for (id, _) in &options.resolver_preload {
        let Some(account) = authenticator.account(id) else { continue };
        let mut mappings = Mappings::default();
        for (source, destinations) in &account.mappings {
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
            mappings.add(source, &destinations).map_err(|error| {
                StartError::Mapping(format!("account {id}: mapping {source:?}: {error}"))
            })?;
        }
        accounts.push((id.clone(), mappings));
    }
    Ok(accounts)
}

/// The JetStream limits that an account's JWT sets; `None` without JetStream. One node has one tier, R1.
pub(crate) fn jetstream_limits(hub: &Hub, account: &str) -> Option<AccountLimits> {
    let authenticator = hub.authenticator();
    let claims = authenticator.account(account)?.jetstream.as_ref()?;
    let tier = claims.untiered.as_ref().or_else(|| claims.tiers.get("R1"))?;
    Some(AccountLimits {
        max_memory: tier.memory_bytes,
        max_file: tier.disk_bytes,
        max_streams: tier.streams,
        max_consumers: tier.consumers,
        max_ack_pending: tier.max_ack_pending,
        memory_max_stream_bytes: tier.memory_max_stream_bytes,
        file_max_stream_bytes: tier.disk_max_stream_bytes,
        max_bytes_required: tier.max_bytes_required,
    })
}
