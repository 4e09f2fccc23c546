//! `/jsz`: JetStream in numbers.

use std::time::Duration;

use hyper::StatusCode;
use natterjack_config::options::SyncPolicy;
use natterjack_jetstream::consumer::ConsumerInfo;
use natterjack_jetstream::{DEFAULT_MAX_CONSUMERS, JetStream, StreamReport};
use serde_json::{Value, json};

use super::query::Query;
use super::{Answer, envelope};
use crate::hub::{API_LEVEL, Hub};

pub(super) fn jsz(hub: &Hub, query: &Query) -> Answer {
    let Some(jetstream) = hub.jetstream() else {
        return Ok((StatusCode::OK, envelope(hub, disabled(), false)));
    };
    let engine = jetstream.engine();
    let with_streams = query.flag("streams")?;
    let with_consumers = query.flag("consumers")?;
    let with_direct = query.flag("direct-consumers")?;
    let with_config = query.flag("config")?;
    // An account without JetStream is as good as none (nats-server 2.15.1).
    let of = query.text("acc").filter(|name| is_used(hub, name));
    let with_accounts = query.flag("accounts")? || with_streams || with_consumers || of.is_some();
    let (offset, limit) = (query.number("offset", 0)?, query.number("limit", 1024)?);
    let (memory, storage) = engine.bytes_in_use();
    let totals = Totals::of(engine);
    let mut body = totals.statistics(memory, storage);
    let more = json!({
        "config": config(hub),
        "streams": totals.streams,
        "consumers": totals.consumers,
        "messages": engine.messages_stored(),
        "bytes": memory + storage,
        "total": totals.accounts,
        "limits": limits(hub),
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    if with_accounts {
        let detail = Detail {
            streams: with_streams || with_consumers,
            consumers: with_consumers,
            // Only beside the others (nats-server 2.15.1).
            direct: with_consumers && with_direct,
            config: with_config,
        };
        let names = engine.account_names();
        let details: Vec<Value> = names
            .iter()
            .filter(|name| of.is_none_or(|of| ***name == *of))
            .filter(|name| of.is_some() || is_used(hub, name))
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .filter_map(|name| account_detail(hub, name, detail))
            .collect();
        body["account_details"] = details.into();
    }
    Ok((StatusCode::OK, envelope(hub, body, false)))
}

/// What `/jsz` shows with JetStream off.
fn disabled() -> Value {
    json!({
        "memory": 0, "storage": 0, "reserved_memory": 0, "reserved_storage": 0, "accounts": 0,
        "ha_assets": 0, "api": {"level": 0, "total": 0, "errors": 0}, "disabled": true,
        "config": {"max_memory": 0, "max_storage": 0}, "streams": 0, "consumers": 0, "messages": 0, "bytes": 0,
        "total": 0,
    })
}

/// How much of each account is shown.
#[derive(Clone, Copy)]
struct Detail {
    streams: bool,
    consumers: bool,
    direct: bool,
    config: bool,
}

/// Whether an account has JetStream now.
pub(crate) fn is_used(hub: &Hub, name: &str) -> bool {
    let account = hub.accounts().find(name);
    let jetstream = hub.jetstream();
    jetstream.zip(account).is_some_and(|(jetstream, account)| jetstream.is_enabled(hub, &account))
}

fn account_detail(hub: &Hub, name: &str, detail: Detail) -> Option<Value> {
    let jetstream = hub.jetstream()?;
    let usage = jetstream.engine().account_usage(name)?;
    let mut shown = json!({
        "name": name,
        "id": name,
        "memory": usage.memory,
        "storage": usage.file,
        "reserved_memory": usage.reserved_memory,
        "reserved_storage": usage.reserved_file,
        "accounts": 0,
        "ha_assets": 0,
        "api": {"level": 0, "total": usage.api_total, "errors": usage.api_errors},
    });
    if detail.streams {
        let reports = jetstream.reports(hub, name, detail.consumers);
        let consumer = |info: &ConsumerInfo| {
            let mut info = json!(info);
            if let Some(members) = info.as_object_mut().filter(|_| !detail.config) {
                members.remove("config");
            }
            info
        };
        let one = |report: &StreamReport| {
            let info = json!(report.info);
            let mut shown = json!({
                "name": info["config"]["name"],
                "created": info["created"],
                "cluster": info["cluster"],
                "state": info["state"],
            });
            for name in ["mirror", "sources"] {
                if let Some(value) = info.get(name) {
                    shown[name] = value.clone();
                }
            }
            if detail.config {
                shown["config"] = info["config"].clone();
                // Which server answers is no part of what is configured: only the API tells it.
                if let Some(told) =
                    shown.pointer_mut("/config/metadata").and_then(Value::as_object_mut)
                {
                    told.retain(|name, _| name != "_nats.level" && name != "_nats.ver");
                }
            }
            for (wanted, name, list) in [
                (detail.consumers, "consumer_detail", &report.consumers),
                (detail.direct, "direct_consumer_detail", &report.direct),
            ] {
                if wanted {
                    shown[name] = list.iter().map(consumer).collect::<Vec<_>>().into();
                }
            }
            shown
        };
        shown["stream_detail"] = reports.iter().map(one).collect::<Vec<_>>().into();
    }
    Some(shown)
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

impl Totals {
    fn of(engine: &JetStream) -> Self {
        let mut totals = Totals::default();
        for usage in engine.account_names().iter().filter_map(|name| engine.account_usage(name)) {
            totals.accounts += 1;
            totals.streams += usage.streams;
            totals.consumers += usage.consumers - usage.direct_consumers.min(usage.consumers);
            totals.reserved_memory += usage.reserved_memory;
            totals.reserved_file += usage.reserved_file;
            totals.api_total += usage.api_total;
            totals.api_errors += usage.api_errors;
        }
        totals
    }

    /// The `stats` of `/varz`, with which `/jsz` begins.
    fn statistics(&self, memory: u64, storage: u64) -> Value {
        json!({
            "memory": memory,
            "storage": storage,
            "reserved_memory": self.reserved_memory,
            "reserved_storage": self.reserved_file,
            "accounts": self.accounts,
            "ha_assets": 0,
            "api": {"level": API_LEVEL, "total": self.api_total, "errors": self.api_errors},
        })
    }
}

/// What the `limits` block sets.
fn limits(hub: &Hub) -> Value {
    let options = hub.options();
    let limits = &options.jetstream.limits;
    let ns = |time: Option<Duration>| time.and_then(|time| u64::try_from(time.as_nanos()).ok());
    let batch = &limits.batch;
    let consumers = limits.default_max_consumers.filter(|max| *max != 0);
    let mut shown = json!({
        "max_request_batch": limits.max_request_batch,
        "max_ack_pending": limits.max_ack_pending,
        "max_duplicate_window": ns(limits.duplicate_window),
        "default_max_consumers": consumers.unwrap_or(DEFAULT_MAX_CONSUMERS),
        "max_batch_inflight_per_stream": batch.max_inflight_per_stream,
        "max_batch_inflight_total": batch.max_inflight_total,
        "max_batch_size": batch.max_msgs,
        "max_batch_timeout": ns(batch.timeout),
    });
    if let Value::Object(members) = &mut shown {
        members.retain(|_, value| !value.is_null() && *value != 0);
    }
    shown
}

fn config(hub: &Hub) -> Value {
    let options = hub.options();
    let mut config = json!({
        // Without a limit: all that there is.
        "max_memory": options.jetstream.max_memory.map_or(json!(-1), Into::into),
        "max_storage": options.jetstream.max_store.map_or(json!(-1), Into::into),
        "store_dir": hub.jetstream().map(|jetstream| jetstream.directory()),
    });
    match options.jetstream.sync {
        // As nats-server shows it: the interval beside is the one that would hold otherwise.
        SyncPolicy::BeforeAck => {
            config["sync_interval"] = 120_000_000_000_u64.into();
            config["sync_always"] = true.into();
        }
        SyncPolicy::Every(interval) => {
            config["sync_interval"] = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).into();
        }
    }
    // Only where both sizes are configured (nats-server 2.15.1).
    if options.jetstream.max_memory.is_some() && options.jetstream.max_store.is_some() {
        config["compress_ok"] = true.into();
    }
    if let Some(domain) = &options.jetstream.domain {
        config["domain"] = domain.as_str().into();
    }
    if options.jetstream.strict {
        config["strict"] = true.into();
    }
    config
}

/// The `jetstream` member of `/varz`.
pub(crate) fn summary(hub: &Hub) -> Value {
    let Some(jetstream) = hub.jetstream() else { return json!({}) };
    let (memory, storage) = jetstream.engine().bytes_in_use();
    json!({
        "config": config(hub),
        "stats": Totals::of(jetstream.engine()).statistics(memory, storage),
        "limits": limits(hub),
    })
}
