//! `/varz`: the server in numbers.

use std::sync::atomic::Ordering;

use natterjack_config::Options;
use serde_json::{Value, json};

use super::{decoded, uptime};
use crate::hub::{COMPATIBLE_VERSION, Hub};
use crate::jetstream::JetStreamGlue;
use crate::ports::Ports;
use crate::process;
use crate::server_info::rfc3339;

fn nanoseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The WebSocket listener; what is empty is left out.
fn websocket(hub: &Hub, options: &Options, ports: &Ports) -> Value {
    let (Some(ws), Some(address)) = (&options.websocket, ports.websocket) else {
        return json!({});
    };
    let tls = hub.transports().websocket.clone();
    let timeout = match ws.handshake_timeout {
        natterjack_config::options::DEFAULT_WEBSOCKET_HANDSHAKE => 0,
        timeout => nanoseconds(timeout),
    };
    let mut shown = json!({
        "host": address.ip().to_string(),
        "port": address.port(),
        "advertise": ws.advertise,
        "no_auth_user": ws.no_auth_user,
        "jwt_cookie": ws.jwt_cookie,
        "handshake_timeout": timeout,
        "no_tls": ws.no_tls,
        "tls_map": ws.tls.as_ref().is_some_and(|tls| tls.verify_and_map),
        "tls_pinned_certs": ws.tls.as_ref().map(|tls| &tls.pinned_certs),
        "same_origin": ws.same_origin,
        "allowed_origins": ws.allowed_origins,
        "compression": ws.compression,
        "tls_cert_not_after": tls
            .and_then(|tls| tls.not_after)
            .map(|end| rfc3339(end.saturating_mul(1_000_000_000))),
    });
    if let Value::Object(members) = &mut shown {
        members.retain(|_, value| {
            !(value.is_null() || *value == false || *value == 0 || *value == json!([]))
        });
    }
    shown
}

/// Reads of streams that waited for a thread of the disk.
fn disk_waits(hub: &Hub) -> Value {
    let waits = hub.jetstream().map(JetStreamGlue::disk_waits).unwrap_or_default();
    json!({
        "waiters": waits.waiting,
        "waits": waits.count,
        "wait_time": waits.total_ns,
        "max_wait_time": waits.longest_ns,
    })
}

pub(super) fn varz(hub: &Hub) -> Value {
    let options = hub.options();
    let ports = hub.ports();
    let stats = hub.stats();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (host, port) = ports.advertised(&options);
    let (mut out_msgs, mut out_bytes) =
        (load(&stats.out_msgs_closed), load(&stats.out_bytes_closed));
    let connections = hub.connections();
    for connection in &connections {
        out_msgs += load(&connection.client.traffic.out_msgs);
        out_bytes += load(&connection.client.traffic.out_bytes);
    }
    let now = hub.clock().unix_ns();
    let (in_msgs, in_bytes) = (load(&stats.in_msgs), load(&stats.in_bytes));
    let auth_timeout = hub.authenticator().timeout().as_secs_f64();
    let mut varz = json!({
        "server_id": hub.id().public_key,
        "server_name": hub.id().name,
        "version": COMPATIBLE_VERSION,
        "proto": 1,
        "git_commit": concat!("natterjack-", env!("CARGO_PKG_VERSION")),
        "go": "rust",
        "host": host,
        "port": port,
        "auth_required": hub.authenticator().requires_login(),
        "max_connections": options.max_connections.unwrap_or(0),
        "max_subscriptions": options.max_subscriptions.unwrap_or(0),
        "ping_interval": nanoseconds(options.ping_interval),
        "ping_max": options.ping_max,
        "http_host": ports.monitor.map(|address| address.ip().to_string()).unwrap_or_default(),
        "http_port": ports.monitor.map_or(0, |address| address.port()),
        "http_base_path": options.http_base_path.trim_end_matches('/'),
        "https_port": ports.secure_monitor.map_or(0, |address| address.port()),
        "auth_timeout": auth_timeout,
        "max_control_line": options.max_control_line,
        "max_payload": options.max_payload,
        "max_pending": options.max_pending,
    });
    let mut state = json!({
        "cluster": {},
        "gateway": {},
        "leaf": {},
        "mqtt": {},
        "websocket": websocket(hub, &options, &ports),
        "jetstream": super::jsz::summary(hub),
        "tls_timeout": options.tls.as_ref().map_or(2.0, |tls| tls.timeout.as_secs_f64()),
        "write_deadline": nanoseconds(options.write_deadline),
        "start": rfc3339(hub.start_unix_ns()),
        "now": rfc3339(now),
        "uptime": uptime(now - hub.start_unix_ns()),
        "mem": process::resident_bytes(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "gomaxprocs": hub.runtime().metrics().num_workers(),
        "cpu": process::cpu_percent(now - hub.start_unix_ns()),
    });
    if let Some(policy) = options.write_timeout.name() {
        state["write_timeout"] = policy.into();
    }
    let counters = json!({
        "connections": connections.len(),
        "total_connections": load(&stats.connections),
        "routes": 0,
        "remotes": 0,
        "leafnodes": 0,
        "in_msgs": in_msgs,
        "in_bytes": in_bytes,
        "in_client_msgs": in_msgs,
        "in_client_bytes": in_bytes,
        "out_msgs": out_msgs,
        "out_bytes": out_bytes,
        "out_client_msgs": out_msgs,
        "out_client_bytes": out_bytes,
        "slow_consumers": load(&stats.slow_consumers),
        "stale_connections": load(&stats.stale),
        "stalled_clients": load(&stats.stalls),
        "subscriptions": hub.accounts().subscription_count(),
        "http_req_stats": hub.request_counts(),
        "config_load_time": rfc3339(hub.configured_unix_ns()),
        "config_digest": options.config_digest,
        "feature_flags": options.features(),
        "disk_io_wait_stats": disk_waits(hub),
        "system_account": hub.authenticator().system_account().unwrap_or_default(),
        "slow_consumer_stats": {
            "clients": load(&stats.slow_consumers), "routes": 0, "gateways": 0, "leafs": 0,
        },
        "stale_connection_stats": {
            "clients": load(&stats.stale), "routes": 0, "gateways": 0, "leafs": 0,
        },
    });
    if let Some(tls) = &hub.transports().client {
        varz["tls_required"] = true.into();
        if tls.options.verify {
            varz["tls_verify"] = true.into();
        }
        if let Some(end) = tls.not_after {
            varz["tls_cert_not_after"] = rfc3339(end.saturating_mul(1_000_000_000)).into();
        }
    }
    if let (Value::Object(members), Value::Object(state), Value::Object(counters)) =
        (&mut varz, state, counters)
    {
        members.extend(state);
        members.extend(counters);
        if !options.trusted_proxies.is_empty() {
            let keys = options.trusted_proxies.iter().map(|key| json!({"key": key}));
            members.insert("proxies".into(), json!({"trusted": keys.collect::<Vec<_>>()}));
        }
        if !options.operators.is_empty() {
            let tokens = || options.operators.iter().map(|operator| operator.value.as_str());
            members.insert("trusted_operators_jwt".into(), tokens().collect());
            members.insert("trusted_operators_claim".into(), tokens().map(decoded).collect());
        }
        members.insert("tags".into(), json!(options.server_tags));
        members.insert("metadata".into(), json!(options.server_metadata));
        let empty = [
            ("auth_required", Value::Bool(false)),
            ("max_subscriptions", 0.into()),
            ("tags", json!([])),
            ("metadata", json!({})),
        ];
        members.retain(|name, value| !empty.iter().any(|(key, zero)| name == key && value == zero));
    }
    varz
}
