//! `/metrics`: the monitoring answers in Prometheus's text form (version 0.0.4), with the names and labels
//! that prometheus-nats-exporter gives them, so that boards made for it go on working.
//!
//! The groups are `gnatsd_varz`, `gnatsd_connz`, `gnatsd_subsz`, `gnatsd_accstatz`, `gnatsd_healthz`,
//! `gnatsd_leafz` and `jetstream_{server,account,stream,consumer}`. Absent on purpose: the exporter's
//! `connz_detailed`, whose labels are the connections, and so grow without bound.

mod jetstream;
mod text;

use serde_json::Value;

use super::query::Query;
use super::{accounts, healthz, subsz, varz};
use crate::hub::Hub;
use text::{Kind, Metrics};

/// What the answer is called in HTTP.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Members of `/varz` that the exporter leaves out: what is of a cluster when there is none.
const NOT_SHOWN: [&str; 2] = ["leaf", "trusted_operators_claim"];
/// Members whose text becomes the label `value` of a metric that is always 1.
const SHOWN_AS_LABEL: [&str; 6] =
    ["server_id", "server_name", "version", "domain", "leader", "name"];

/// The whole answer.
pub(super) fn metrics(hub: &Hub) -> String {
    let mut metrics = Metrics::default();
    let id = hub.id().public_key.as_str();
    of_varz(&mut metrics, id, hub);
    of_connz(&mut metrics, id, hub);
    if let Ok((_, subsz)) = subsz::subsz(hub, &Query::parse("")) {
        flatten(&mut metrics, id, "gnatsd_subsz", &subsz);
    }
    of_accounts(&mut metrics, id, hub);
    of_health(&mut metrics, id, hub);
    let help = "nodes connected by leafnode connections";
    metrics.add("gnatsd_leafz_conn_nodes_total", Kind::Gauge, help, &[("server_id", id)], 0);
    jetstream::add(&mut metrics, hub);
    metrics.into_text()
}

fn of_varz(metrics: &mut Metrics, id: &str, hub: &Hub) {
    let varz = varz::varz(hub);
    // The exporter reads these two as times, in milliseconds.
    for (name, unix_ns) in
        [("start", hub.start_unix_ns()), ("config_load_time", hub.start_unix_ns())]
    {
        let name = format!("gnatsd_varz_{name}");
        metrics.add(&name, Kind::Gauge, &name, &[("server_id", id)], unix_ns / 1_000_000);
    }
    flatten(metrics, id, "gnatsd_varz", &varz);
}

/// A gauge for each number, named by the path to it.
fn flatten(metrics: &mut Metrics, id: &str, prefix: &str, object: &Value) {
    for (key, value) in object.as_object().into_iter().flatten() {
        if NOT_SHOWN.contains(&key.as_str()) {
            continue;
        }
        let name = text::name(&format!("{prefix}_{key}"));
        match value {
            Value::Number(number) => {
                metrics.add(&name, Kind::Gauge, &name, &[("server_id", id)], number);
            }
            Value::String(text) if SHOWN_AS_LABEL.contains(&key.as_str()) => {
                let labels = [("server_id", id), ("value", text.as_str())];
                metrics.add(&name, Kind::Gauge, &name, &labels, 1);
            }
            Value::Object(_) => flatten(metrics, id, &name, value),
            _ => {}
        }
    }
}

/// The connections together. The exporter adds up the first page of them; here all count.
fn of_connz(metrics: &mut Metrics, id: &str, hub: &Hub) {
    let connections = hub.connections();
    let (mut pending, mut subscriptions, mut traffic) = (0_u64, 0_u64, [0_u64; 4]);
    for connection in &connections {
        pending += connection.client.outbox().pending() as u64;
        subscriptions += connection.client.subscription_count() as u64;
        for (sum, more) in traffic.iter_mut().zip(connection.client.traffic.counts()) {
            *sum += more;
        }
    }
    let count = connections.len() as u64;
    let [in_msgs, in_bytes, out_msgs, out_bytes] = traffic;
    for (name, kind, value) in [
        ("num_connections", Kind::Gauge, count),
        ("total", Kind::Gauge, count),
        ("offset", Kind::Gauge, 0),
        ("limit", Kind::Gauge, 1024),
        ("pending_bytes", Kind::Gauge, pending),
        ("subscriptions", Kind::Gauge, subscriptions),
        ("in_bytes", Kind::Counter, in_bytes),
        ("out_bytes", Kind::Counter, out_bytes),
        ("in_msgs", Kind::Counter, in_msgs),
        ("out_msgs", Kind::Counter, out_msgs),
    ] {
        let name = format!("gnatsd_connz_{name}");
        metrics.add(&name, kind, &name, &[("server_id", id)], value);
    }
}

fn of_accounts(metrics: &mut Metrics, id: &str, hub: &Hub) {
    for account in hub.accounts().all() {
        let stat = accounts::stat(hub, &account);
        let (key, shown) = (&**account.name(), stat["name"].as_str().unwrap_or_default());
        let labels =
            [("server_id", id), ("account", key), ("account_id", key), ("account_name", shown)];
        for (name, value) in [
            ("current_connections", &stat["conns"]),
            ("total_connections", &stat["total_conns"]),
            ("subscriptions", &stat["num_subscriptions"]),
            ("leaf_nodes", &stat["leafnodes"]),
            ("sent_messages", &stat["sent"]["msgs"]),
            ("sent_bytes", &stat["sent"]["bytes"]),
            ("received_messages", &stat["received"]["msgs"]),
            ("received_bytes", &stat["received"]["bytes"]),
            ("slow_consumers", &stat["slow_consumers"]),
        ] {
            let name = format!("gnatsd_accstatz_{name}");
            metrics.add(&name, Kind::Gauge, &name, &labels, value);
        }
    }
}

/// Two metrics of opposite meaning: the older one is 0 while all is well.
fn of_health(metrics: &mut Metrics, id: &str, hub: &Hub) {
    let Ok((_, health)) = healthz::healthz(hub, &Query::parse("")) else { return };
    let word = health["status"].as_str().unwrap_or_default();
    let is_well = word == "ok";
    let help = "0 while the server is fit for work";
    let labels = [("server_id", id), ("value", word)];
    metrics.add("gnatsd_healthz_status", Kind::Gauge, help, &labels[..1], u8::from(!is_well));
    let help = "1 while the server is fit for work";
    metrics.add("gnatsd_healthz_status_value", Kind::Gauge, help, &labels, u8::from(is_well));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_named_by_their_path() {
        let mut metrics = Metrics::default();
        let object = serde_json::json!({
            "cpu": 0.5, "version": "2.15.1", "go": "rust", "leaf": {"port": 1},
            "jetstream": {"stats": {"api": {"level": 4}}}, "http_req_stats": {"/varz": 7},
        });
        flatten(&mut metrics, "N", "gnatsd_varz", &object);
        let text = metrics.into_text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "gnatsd_varz_cpu{server_id=\"N\"} 0.5",
                "gnatsd_varz_http_req_stats_varz{server_id=\"N\"} 7",
                "gnatsd_varz_jetstream_stats_api_level{server_id=\"N\"} 4",
                "gnatsd_varz_version{server_id=\"N\",value=\"2.15.1\"} 1",
            ]
        );
    }
}
