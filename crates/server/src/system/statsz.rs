//! The server in short: the `statsz` of events and of `$SYS.REQ.SERVER.PING`.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::hub::Hub;
use crate::server_info::{ServerInfo, rfc3339};
use crate::{monitor, process};

/// Accounts that have clients.
fn active_accounts(hub: &Hub) -> usize {
    let accounts = hub.accounts().all();
    accounts.iter().filter(|account| account.connections.load(Ordering::Relaxed) > 0).count()
}

/// The whole message.
pub(super) fn message(hub: &Hub) -> Value {
    let now = hub.clock().unix_ns();
    let stats = hub.stats();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (out_msgs, out_bytes) = hub.sent();
    let sent = json!({"msgs": out_msgs, "bytes": out_bytes});
    let received = json!({"msgs": load(&stats.in_msgs), "bytes": load(&stats.in_bytes)});
    let mut statsz = json!({
        "start": rfc3339(hub.start_unix_ns()),
        "mem": process::resident_bytes(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "cpu": process::cpu_percent(now - hub.start_unix_ns()),
        "connections": hub.connection_count(),
        "total_connections": load(&stats.connections),
        "active_accounts": active_accounts(hub),
        "subscriptions": hub.accounts().subscription_count(),
        "sent": sent,
        "sent_to_clients": sent,
        "received": received,
        "received_from_clients": received,
        "slow_consumers": load(&stats.slow_consumers),
        "active_servers": 1,
        "gomaxprocs": hub.runtime().metrics().num_workers(),
    });
    let clients = |count: u64| json!({"clients": count, "routes": 0, "gateways": 0, "leafs": 0});
    for (name, counter, value) in [
        ("slow_consumer_stats", &stats.slow_consumers, None),
        ("stale_connections", &stats.stale, Some(())),
        ("stalled_clients", &stats.stalls, Some(())),
    ] {
        match (load(counter), value) {
            (0, _) => {}
            (count, None) => statsz[name] = clients(count),
            (count, Some(())) => statsz[name] = count.into(),
        }
    }
    if hub.jetstream().is_some() {
        let mut jetstream = monitor::jetstream_summary(hub);
        // Where files are kept is shown by VARZ and JSZ only.
        if let Some(config) = jetstream["config"].as_object_mut() {
            config.remove("store_dir");
        }
        statsz["jetstream"] = jetstream;
    }
    json!({"server": json!(ServerInfo::of(hub)), "statsz": statsz})
}
