//! `/jsz`: JetStream in numbers.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::query::Query;
use super::{Answer, envelope};
use crate::hub::{API_LEVEL, Hub};

pub(super) fn jsz(hub: &Hub, _query: &Query) -> Answer {
    let Some(jetstream) = hub.jetstream() else {
        let body = json!({"disabled": true, "config": {}, "streams": 0, "consumers": 0, "messages": 0, "bytes": 0});
        return Ok((StatusCode::OK, envelope(hub, body, false)));
    };
    let engine = jetstream.engine();
    let (memory, storage) = engine.bytes_in_use();
    let mut totals = Totals::default();
    for name in engine.account_names() {
        if let Some(usage) = engine.account_usage(&name) {
            totals.accounts += 1;
            totals.streams += usage.streams;
            totals.consumers += usage.consumers;
            totals.reserved_memory += usage.reserved_memory;
            totals.reserved_file += usage.reserved_file;
            totals.api_total += usage.api_total;
            totals.api_errors += usage.api_errors;
        }
    }
    let body = json!({
        "memory": memory,
        "storage": storage,
        "reserved_memory": totals.reserved_memory,
        "reserved_storage": totals.reserved_file,
        "accounts": totals.accounts,
        "ha_assets": 0,
        "api": {"level": API_LEVEL, "total": totals.api_total, "errors": totals.api_errors},
        "config": config(hub),
        "streams": totals.streams,
        "consumers": totals.consumers,
        "messages": engine.messages_stored(),
        "bytes": memory + storage,
        "total": totals.accounts,
    });
    Ok((StatusCode::OK, envelope(hub, body, false)))
}

#[derive(Default)]
struct Totals {
    accounts: u64,
    streams: u64,
    consumers: u64,
    reserved_memory: u64,
    reserved_file: u64,
    api_total: u64,
    api_errors: u64,
}

fn config(hub: &Hub) -> Value {
    let options = hub.options();
    let mut config = json!({
        "max_memory": options.jetstream.max_memory,
        "max_storage": options.jetstream.max_store,
        "store_dir": hub.jetstream().map(|jetstream| jetstream.directory()),
    });
    if let Some(domain) = &options.jetstream.domain {
        config["domain"] = domain.as_str().into();
    }
    config
}

/// The `jetstream` member of `/varz`.
pub(super) fn summary(hub: &Hub) -> Value {
    let Some(jetstream) = hub.jetstream() else { return json!({}) };
    let (memory, storage) = jetstream.engine().bytes_in_use();
    json!({
        "config": config(hub),
        "stats": {
            "memory": memory,
            "storage": storage,
            "accounts": jetstream.engine().account_names().len(),
            "api": {"level": API_LEVEL},
        },
    })
}
