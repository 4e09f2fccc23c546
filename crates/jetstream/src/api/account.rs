//! `$JS.API.INFO` (jetstream.md 1.5).

use std::collections::BTreeMap;

use serde::Serialize;

use super::respond::{Outcome, envelope};
use crate::account::{Account, AccountLimits, AccountUsage, TIER};
use crate::engine::JetStream;
use crate::stream::meta;

#[derive(Serialize)]
struct AccountInfo {
    #[serde(flatten)]
    total: Tier,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    api: Api,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tiers: BTreeMap<String, Tier>,
}

/// What is used of what is allowed, by the account or in one of its tiers.
#[derive(Default, Serialize)]
struct Tier {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    streams: u64,
    consumers: u64,
    limits: Limits,
}

/// -1 is unlimited.
#[derive(Default, Serialize)]
struct Limits {
    max_memory: i64,
    max_storage: i64,
    max_streams: i64,
    max_consumers: i64,
    max_ack_pending: i64,
    memory_max_stream_bytes: i64,
    storage_max_stream_bytes: i64,
    max_bytes_required: bool,
}

#[derive(Serialize)]
struct Api {
    level: u64,
    total: u64,
    errors: u64,
}

impl Tier {
    fn used(usage: &AccountUsage) -> Self {
        Self {
            memory: usage.memory,
            storage: usage.file,
            reserved_memory: usage.reserved_memory,
            reserved_storage: usage.reserved_file,
            streams: usage.streams,
            consumers: usage.consumers,
            limits: Limits::default(),
        }
    }
}

impl Limits {
    fn of(limits: &AccountLimits) -> Self {
        Self {
            max_memory: shown(limits.max_memory),
            max_storage: shown(limits.max_file),
            max_streams: shown(limits.max_streams),
            max_consumers: shown(limits.max_consumers),
            max_ack_pending: shown(limits.max_ack_pending),
            memory_max_stream_bytes: shown(limits.memory_max_stream_bytes),
            storage_max_stream_bytes: shown(limits.file_max_stream_bytes),
            max_bytes_required: limits.max_bytes_required,
        }
    }
}

fn shown(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

impl JetStream {
    pub(super) fn account_info(&self, account: &Account) -> Outcome {
        let usage = account.usage_now();
        let mut total = Tier::used(&usage);
        let mut shown = BTreeMap::new();
        match account.tiers() {
            None => total.limits = Limits::of(&account.limits()),
            Some(tiers) => {
                // All streams of one node are in one tier, which may have been taken away since.
                if usage.streams > 0 {
                    shown.insert(TIER.to_owned(), Tier::used(&usage));
                }
                for (name, limits) in &tiers {
                    let used = || match name.as_str() {
                        TIER => Tier::used(&usage),
                        _ => Tier::default(),
                    };
                    let tier = shown.entry(name.clone()).or_insert_with(used);
                    tier.limits = Limits::of(limits);
                }
            }
        }
        Outcome::Answer(envelope(
            "account_info_response",
            AccountInfo {
                total,
                domain: self.shared.options.domain.as_deref().map(str::to_owned),
                api: Api {
                    level: meta::API_LEVEL,
                    total: usage.api_total,
                    errors: usage.api_errors,
                },
                tiers: shown,
            },
        ))
    }
}
