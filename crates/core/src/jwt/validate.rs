//! What an account's token must not say, beyond what decoding it demands; texts are those of nats-server
//! 2.15.1 (its library jwt 2.8).

use super::{AccountClaims, KeyKind, key_kind};
use natterjack_subject::has_wildcard;
use serde_json::Value;
use std::collections::BTreeMap;

/// Beyond any weight that is allowed.
const TOO_MUCH: i64 = 101;

/// Why an account with these claims cannot be used; empty if it can.
pub fn account_faults(claims: &AccountClaims) -> Vec<String> {
    let mut faults = Vec::new();
    weights(claims, &mut faults);
    callout(claims, &mut faults);
    trace(claims, &mut faults);
    let limits = &claims.nats.limits;
    let exceeds = |count: usize, limit: i64| {
        u64::try_from(limit)
            .is_ok_and(|limit| u64::try_from(count).is_ok_and(|count| count > limit))
    };
    if exceeds(claims.nats.imports.len(), limits.imports) {
        // Looked at twice there, and named twice.
        let times = if *limits == Default::default() { 1 } else { 2 };
        let text = "the account contains more imports than allowed by the operator";
        faults.extend(std::iter::repeat_n(text.to_owned(), times));
    }
    if exceeds(claims.nats.exports.len(), limits.exports) {
        faults.push("the account contains more exports than allowed by the operator".into());
    }
    if limits.exports != -1 && !limits.wildcards {
        let subjects = claims.nats.exports.iter().filter_map(|it| it["subject"].as_str());
        for _ in subjects.filter(|subject| has_wildcard(subject.as_bytes())) {
            faults.push(
                "the account contains wildcard exports that are not allowed by the operator".into(),
            );
        }
    }
    if !matches!(
        claims.nats.extra.get("cluster_traffic").map(Value::as_str),
        None | Some(Some("" | "system" | "owner"))
    ) {
        faults.push(format!(
            "unknown cluster traffic option: {}",
            claims.nats.extra.get("cluster_traffic").unwrap_or(&Value::Null)
        ));
    }
    faults
}

fn weights(claims: &AccountClaims, faults: &mut Vec<String>) {
    for (source, destinations) in &claims.nats.mappings {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for destination in destinations {
            let weight = if destination.weight == 0 { 100 } else { destination.weight };
            let sum = sums.entry(&destination.cluster).or_default();
            *sum += weight.clamp(0, TOO_MUCH);
            if *sum > 100 && !destination.cluster.is_empty() {
                faults.push(format!(
                    "Mapping {source:?} in cluster {:?} exceeds 100% among all of it's weighted \
                     to mappings",
                    destination.cluster
                ));
            }
        }
        if sums.get("").is_some_and(|sum| *sum > 100) {
            faults.push(format!(
                "Mapping {source:?} exceeds 100% among all of it's weighted to mappings"
            ));
        }
    }
}

fn trace(claims: &AccountClaims, faults: &mut Vec<String>) {
    let Some(trace) = &claims.nats.trace else { return };
    let subject = trace.destination.as_str();
    let why = match subject {
        "" => Some("subject cannot be empty".to_owned()),
        _ if subject.contains(' ') => Some(format!("subject {subject:?} cannot have spaces")),
        _ if subject.starts_with('.') || subject.ends_with('.') => {
            Some(format!("subject {subject:?} cannot start or end with a `.`"))
        }
        _ if subject.contains("..") => {
            Some(format!("subject {subject:?} cannot contain consecutive `.`"))
        }
        _ => None,
    };
    faults.extend(why.map(|why| format!("the account Trace.Destination {why}")));
    if has_wildcard(subject.as_bytes()) {
        faults.push(format!(
            "the account Trace.Destination subject {subject:?} is not a valid publish subject"
        ));
    }
    if !(0..=100).contains(&trace.sampling) {
        faults.push(format!(
            "the account Trace.Sampling value '{}' is not valid, should be in the range [1..100]",
            trace.sampling
        ));
    }
}

fn callout(claims: &AccountClaims, faults: &mut Vec<String>) {
    let callout = &claims.nats.authorization;
    if !callout.allowed_accounts.is_empty() && callout.auth_users.is_empty() {
        faults
            .push("External authorization cannot have accounts without users specified".to_owned());
    }
    for user in &callout.auth_users {
        if key_kind(user) != Some(KeyKind::User) {
            faults.push(format!("AuthUser {user:?} is not a valid user public key"));
        }
    }
    for account in &callout.allowed_accounts {
        if account == "*" {
            if callout.allowed_accounts.len() > 1 {
                faults.push("AllowedAccounts can only be a list of accounts or \"*\"".to_owned());
            }
        } else if key_kind(account) != Some(KeyKind::Account) {
            faults.push(format!("Account {account:?} is not a valid account public key"));
        }
    }
    if !callout.xkey.is_empty() && key_kind(&callout.xkey) != Some(KeyKind::Curve) {
        faults.push(format!("XKey {:?} is not a valid public xkey", callout.xkey));
    }
}
