//! Which accounts exist, what they map, and what they may use: set up at start, adjusted by a reload.

use std::sync::Arc;

use natterjack_config::Options;
use natterjack_config::options::Mapping;
use natterjack_core::auth::{AccountInfo, DEFAULT_SYSTEM_ACCOUNT, GLOBAL_ACCOUNT};
use natterjack_core::mapping::{Destination, Mappings};
use natterjack_core::trace::Standing;

use crate::hub::Hub;
use crate::log_error;
use crate::start::StartError;

/// Creates the accounts of the configuration and gives each what it needs.
///
/// # Errors
/// A mapping is no valid transform; nothing was changed then.
pub(crate) fn set_up(hub: &Arc<Hub>) -> Result<(), StartError> {
    let options = hub.options();
    let authenticator = hub.authenticator();
    let mut wanted: Vec<(String, Mappings, Option<Standing>)> =
        vec![(GLOBAL_ACCOUNT.to_owned(), mappings(&options.mappings)?, None)];
    for account in &options.accounts {
        let trace = account.trace.as_ref();
        let trace = trace.and_then(|it| Standing::new(&it.destination, it.sampling.into()));
        wanted.push((account.name.clone(), mappings(&account.mappings)?, trace));
    }
    for id in authenticator.claimed_accounts() {
        let Some(info) = authenticator.account(&id) else { continue };
        let mappings = crate::operator::mappings(&info).map_err(StartError::Mapping)?;
        wanted.push((id.to_string(), mappings, claimed_trace(&info)));
    }
    if !options.no_system_account {
        let system = authenticator.system_account().unwrap_or(DEFAULT_SYSTEM_ACCOUNT);
        hub.accounts().set_system(system);
        if !wanted.iter().any(|(name, ..)| name == system) {
            wanted.push((system.to_owned(), Mappings::default(), None));
        }
    }
    for (name, mappings, trace) in wanted {
        let (account, _) = hub.accounts().add(&name);
        account.set_mappings(Some(mappings));
        account.set_standing_trace(trace);
    }
    crate::system::set_up(hub);
    if let Some(jetstream) = hub.jetstream() {
        jetstream.set_accounts(hub);
    }
    crate::sharing::set_up(hub);
    Ok(())
}

/// Checks the mappings, imports and exports of a configuration without applying them.
///
/// # Errors
/// The first mapping that is no valid transform, or all imports and exports that do not hold.
pub(crate) fn check(options: &Options) -> Result<(), StartError> {
    crate::operator::check(options)?;
    mappings(&options.mappings)?;
    options.accounts.iter().try_for_each(|account| mappings(&account.mappings).map(drop))?;
    crate::sharing::check(options)
}

/// An account by its JWT is new, or another than before.
pub(crate) fn claimed(hub: &Arc<Hub>, info: &AccountInfo) {
    let mappings = crate::operator::mappings(info).unwrap_or_else(|error| {
        log_error!(hub.log(), "{error}");
        Mappings::default()
    });
    let (account, _) = hub.accounts().add(&info.id);
    account.set_mappings(Some(mappings));
    account.set_standing_trace(claimed_trace(info));
    crate::system::set_up_account(hub, &account);
    if let Some(jetstream) = hub.jetstream() {
        jetstream.set_account(hub, &account);
    }
    crate::sharing::set_up(hub);
}

/// The JWT of an account is gone: it keeps what it stored, and shares and uses nothing.
pub(crate) fn forgotten(hub: &Arc<Hub>, id: &str) {
    let Some(account) = hub.accounts().find(id) else { return };
    account.set_mappings(None);
    account.set_standing_trace(None);
    if let Some(jetstream) = hub.jetstream() {
        jetstream.set_account(hub, &account);
    }
    crate::sharing::set_up(hub);
}

fn claimed_trace(info: &AccountInfo) -> Option<Standing> {
    let trace = info.trace.as_ref()?;
    Standing::new(&trace.destination, trace.sampling)
}

fn mappings(configured: &[Mapping]) -> Result<Mappings, StartError> {
    let mut mappings = Mappings::default();
    for mapping in configured {
        let destinations: Vec<Destination> = mapping
            .destinations
            .iter()
            .filter(|destination| destination.cluster.is_empty())
            .map(|destination| Destination {
                subject: destination.destination.clone(),
                weight: destination.weight,
            })
            .collect();
        if destinations.is_empty() {
            continue;
        }
        mappings.add(&mapping.source, &destinations).map_err(|error| {
            let to = destinations.first().map(|first| first.subject.as_str()).unwrap_or_default();
            StartError::Mapping(format!(
                "{}: Error adding mapping for {:?} to {to:?} : {error}",
                mapping.position, mapping.source
            ))
        })?;
    }
    Ok(mappings)
}
