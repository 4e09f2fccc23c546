//! `$JS.API.INFO` (jetstream.md 1.5).

use serde::Serialize;

use super::respond::{Outcome, envelope};
use crate::account::Account;
use crate::engine::JetStream;
use crate::stream::meta;

#[derive(Serialize)]
struct AccountInfo {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    streams: u64,
    consumers: u64,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    api: Api,
}

/// -1 is unlimited.
#[derive(Serialize)]
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

fn shown(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

impl JetStream {
    pub(super) fn account_info(&self, account: &Account) -> Outcome {
        let usage = account.usage_now();
        let limits = account.limits();
        Outcome::Answer(envelope(
            "account_info_response",
            AccountInfo {
                memory: usage.memory,
                storage: usage.file,
                reserved_memory: usage.reserved_memory,
                reserved_storage: usage.reserved_file,
                streams: usage.streams,
                consumers: usage.consumers,
                limits: Limits {
                    max_memory: shown(limits.max_memory),
                    max_storage: shown(limits.max_file),
                    max_streams: shown(limits.max_streams),
                    max_consumers: shown(limits.max_consumers),
                    max_ack_pending: shown(limits.max_ack_pending),
                    memory_max_stream_bytes: shown(limits.memory_max_stream_bytes),
                    storage_max_stream_bytes: shown(limits.file_max_stream_bytes),
                    max_bytes_required: limits.max_bytes_required,
                },
                domain: self.shared.options.domain.as_deref().map(str::to_owned),
                api: Api {
                    level: meta::API_LEVEL,
                    total: usage.api_total,
                    errors: usage.api_errors,
                },
            },
        ))
    }
}
