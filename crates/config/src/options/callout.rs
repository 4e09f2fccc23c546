//! `authorization { auth_callout }`: the service that decides about logins.

use super::Callout;
use super::decode::{Decoder, set_some};
use crate::language::{Entry, Kind, Map};
use crate::names;

pub(super) fn callout(d: &mut Decoder<'_>, entry: &Entry) -> Option<Callout> {
    let position = &entry.value.position;
    let Kind::Map(map) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        d.error(position, format!("Expected authorization callout to be a map/struct, got {noun}"));
        return None;
    };
    let mut callout = Callout { position: position.clone(), ..Callout::default() };
    let (mut issuer, mut account, errors) = (None, None, d.errors.len());
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "issuer" => {
                set_some(
                    &mut issuer,
                    public_key(d, item, 'A', "user to be a valid public account nkey"),
                );
            }
            "account" | "acc" => set_some(&mut account, d.string(item)),
            "auth_users" | "users" => callout.auth_users = list(d, item, "auth_users"),
            "xkey" | "key" => {
                set_some(
                    &mut callout.xkey,
                    public_key(d, item, 'X', "xkey to be a valid public xkey"),
                );
            }
            "allowed_accounts" => callout.allowed_accounts = list(d, item, "allowed accounts"),
            _ => {
                d.unknown_with(item, |key| {
                    format!("Unknown field {key} parsing authorization callout")
                });
            }
        }
    }
    callout.account = account.filter(|name| !name.is_empty()).unwrap_or_else(|| "$G".to_owned());
    callout.issuer = issuer.unwrap_or_default();
    if d.errors.len() > errors {
        return None;
    }
    if callout.issuer.is_empty() {
        d.error(position, "Authorization callouts require an issuer to be specified");
        return None;
    }
    if callout.auth_users.is_empty() {
        d.error(position, "Authorization callouts require authorized users to be specified");
        return None;
    }
    Some(callout)
}

fn public_key(d: &mut Decoder<'_>, entry: &Entry, prefix: char, wanted: &str) -> Option<String> {
    let key = d.string(entry)?;
    if names::is_public_key(&key, prefix) {
        return Some(key);
    }
    d.error(&entry.value.position, format!("Expected callout {wanted}, got {key:?}"));
    None
}

fn list(d: &mut Decoder<'_>, entry: &Entry, name: &str) -> Vec<String> {
    if let Kind::Array(_) = entry.value.kind {
        return d.strings(entry).unwrap_or_default();
    }
    let noun = entry.value.kind.noun();
    d.error(&entry.value.position, format!("Expected {name} field to be an array, got {noun}"));
    Vec::new()
}

/// Accounts that the callout names must be configured.
pub(super) fn check_accounts(d: &mut Decoder<'_>, o: &super::Options) {
    let Some(callout) = &o.authorization.callout else { return };
    for name in &callout.allowed_accounts {
        if !o.accounts.iter().any(|account| account.name == *name) {
            let text =
                format!("auth_callout allowed account {name:?} not found in configured accounts");
            d.error(&callout.position, text);
        }
    }
}
