//! JetStream's metrics: the server, accounts, streams, consumers.

use natterjack_jetstream::consumer::ConsumerInfo;
use natterjack_jetstream::stream::StreamInfo;
use serde_json::Value;

use super::super::{jsz, query::Query};
use super::text::{Kind, Metrics};
use crate::hub::Hub;

/// Accounts in an answer: all.
const EVERYTHING: &str = "accounts=1&limit=1000000000";

/// Labels and their values.
type Labels<'a> = Vec<(&'a str, &'a str)>;

pub(super) fn add(metrics: &mut Metrics, hub: &Hub) {
    let Ok((_, jsz)) = jsz::jsz(hub, &Query::parse(EVERYTHING)) else { return };
    let id = hub.id();
    let domain = jsz["config"]["domain"].as_str().unwrap_or_default();
    let server: Labels<'_> = vec![
        ("server_id", &id.public_key),
        ("server_name", &id.name),
        ("cluster", ""),
        ("domain", domain),
        ("meta_leader", ""),
        // A node alone decides for itself.
        ("is_meta_leader", "true"),
    ];
    let is_disabled = u8::from(jsz["disabled"] == true);
    let help = "1 if JetStream is off";
    metrics.add("jetstream_server_jetstream_disabled", Kind::Gauge, help, &server, is_disabled);
    let config = &jsz["config"];
    for (name, help, value) in [
        ("total_streams", "streams", &jsz["streams"]),
        ("total_consumers", "consumers", &jsz["consumers"]),
        ("total_messages", "stored messages", &jsz["messages"]),
        ("total_message_bytes", "stored bytes", &jsz["bytes"]),
        ("max_memory", "bytes that memory may take", &config["max_memory"]),
        ("max_storage", "bytes that files may take", &config["max_storage"]),
    ] {
        // Without JetStream there is no limit to tell.
        let value = if value.is_null() { &Value::from(0) } else { value };
        metrics.add(&format!("jetstream_server_{name}"), Kind::Gauge, help, &server, value);
    }
    for account in jsz["account_details"].as_array().into_iter().flatten() {
        of_account(metrics, hub, account, &server);
    }
}

fn of_account(metrics: &mut Metrics, hub: &Hub, account: &Value, server: &Labels<'_>) {
    let name = account["name"].as_str().unwrap_or_default();
    let id = account["id"].as_str().unwrap_or_default();
    let mut labels = server.clone();
    labels.extend([("account", name), ("account_name", name), ("account_id", id)]);
    for (name, help, value) in [
        ("max_memory", "bytes of memory reserved", &account["reserved_memory"]),
        ("max_storage", "bytes of files reserved", &account["reserved_storage"]),
        ("memory_used", "bytes of memory in use", &account["memory"]),
        ("storage_used", "bytes of files in use", &account["storage"]),
    ] {
        metrics.add(&format!("jetstream_account_{name}"), Kind::Gauge, help, &labels, value);
    }
    let Some(jetstream) = hub.jetstream() else { return };
    for report in jetstream.reports(hub, name, true) {
        of_stream(metrics, &report.info, &report.consumers, &labels, &hub.id().name);
    }
}

fn of_stream(
    metrics: &mut Metrics,
    stream: &StreamInfo,
    consumers: &[ConsumerInfo],
    account: &Labels<'_>,
    leader: &str,
) {
    let mut labels = account.clone();
    labels.extend([
        ("stream_name", stream.config.name.as_str()),
        ("stream_leader", leader),
        ("is_stream_leader", "true"),
        ("stream_raft_group", ""),
    ]);
    let (state, config) = (&stream.state, &stream.config);
    for (name, help, value) in [
        ("total_messages", "stored messages", i128::from(state.messages)),
        ("total_bytes", "stored bytes", state.bytes.into()),
        ("first_seq", "first sequence", state.first_seq.into()),
        ("last_seq", "last sequence", state.last_seq.into()),
        ("consumer_count", "consumers", consumers.len() as i128),
        ("subject_count", "subjects with messages", state.num_subjects as i128),
        ("limit_bytes", "max_bytes, -1 without a limit", config.max_bytes.into()),
        ("limit_messages", "max_msgs, -1 without a limit", config.max_msgs.into()),
    ] {
        metrics.add(&format!("jetstream_stream_{name}"), Kind::Gauge, help, &labels, value);
    }
    for consumer in consumers {
        of_consumer(metrics, consumer, &labels, leader);
    }
}

fn of_consumer(metrics: &mut Metrics, consumer: &ConsumerInfo, stream: &Labels<'_>, leader: &str) {
    let mut labels = stream.clone();
    labels.extend([
        ("consumer_name", consumer.name.as_str()),
        ("consumer_leader", leader),
        ("is_consumer_leader", "true"),
        ("consumer_desc", consumer.config.description.as_str()),
    ]);
    let (delivered, floor) = (&consumer.delivered, &consumer.ack_floor);
    for (name, help, value) in [
        (
            "delivered_consumer_seq",
            "last delivered, as the consumer counts",
            delivered.consumer_seq,
        ),
        ("delivered_stream_seq", "last delivered, as the stream counts", delivered.stream_seq),
        ("num_ack_pending", "messages delivered and not settled", consumer.num_ack_pending as u64),
        ("num_redelivered", "messages delivered again", consumer.num_redelivered as u64),
        ("num_waiting", "pull requests that wait", consumer.num_waiting as u64),
        ("num_pending", "messages not delivered yet", consumer.num_pending),
        ("ack_floor_stream_seq", "all settled up to, as the stream counts", floor.stream_seq),
        ("ack_floor_consumer_seq", "all settled up to, as the consumer counts", floor.consumer_seq),
    ] {
        metrics.add(&format!("jetstream_consumer_{name}"), Kind::Gauge, help, &labels, value);
    }
    // What never happened is some time ago for nobody.
    for (name, help, position) in [
        ("last_delivery_seconds", "seconds since the last delivery", delivered),
        ("last_ack_seconds", "seconds since the last acknowledgement", floor),
    ] {
        if position.last_active > 0 {
            let seconds = (consumer.ts - position.last_active) as f64 / 1e9;
            metrics.add(&format!("jetstream_consumer_{name}"), Kind::Gauge, help, &labels, seconds);
        }
    }
}
