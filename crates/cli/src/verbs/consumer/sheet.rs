//! A consumer's object for people.

use serde_json::Value;

use crate::json::{flag, int, number, text, texts};
use crate::table::Sheet;
use crate::units;
use crate::verbs::stream::replicas;

/// Configuration and state.
pub(super) fn sheet(info: &Value) -> Sheet {
    let title = format!(
        "Information for Consumer {} > {} created {}",
        text(info, "/stream_name"),
        text(info, "/name"),
        units::moment(text(info, "/created"), "-")
    );
    let mut sheet = Sheet::new(title);
    let filled = |pointer| Some(text(info, pointer)).filter(|text| !text.is_empty());
    sheet.section("Configuration");
    sheet.row("Name", text(info, "/name"));
    sheet.row_if("Durable Name", filled("/config/durable_name"));
    sheet.row_if("Description", filled("/config/description"));
    match filled("/config/deliver_subject") {
        Some(subject) => sheet.row("Delivery Subject", subject),
        None => sheet.row("Pull Mode", "true"),
    }
    sheet.row_if("Delivery Queue Group", filled("/config/deliver_group"));
    let mut filters = texts(info, "/config/filter_subjects");
    filters.extend(filled("/config/filter_subject").map(str::to_owned));
    sheet.row_if("Filter Subjects", (!filters.is_empty()).then(|| filters.join(", ")));
    let start = match text(info, "/config/deliver_policy") {
        "by_start_sequence" => {
            format!("from sequence {}", units::count(number(info, "/config/opt_start_seq")))
        }
        "by_start_time" => {
            format!("from {}", units::moment(text(info, "/config/opt_start_time"), "-"))
        }
        other => other.replace('_', " "),
    };
    sheet.row("Deliver Policy", start);
    sheet.row("Ack Policy", text(info, "/config/ack_policy"));
    let ack_wait = int(info, "/config/ack_wait");
    sheet.row_if("Ack Wait", (ack_wait > 0).then(|| units::nanos(ack_wait, "")));
    sheet.row("Replay Policy", text(info, "/config/replay_policy"));
    let count = |name| units::limit(int(info, name), units::count);
    sheet.row("Maximum Deliveries", count("/config/max_deliver"));
    sheet.row("Max Ack Pending", count("/config/max_ack_pending"));
    sheet.row("Max Waiting Pulls", count("/config/max_waiting"));
    let backoff: Vec<String> = info
        .pointer("/config/backoff")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|wait| units::nanos(wait.as_i64().unwrap_or(0), "0s"))
        .collect();
    sheet.row_if("Backoff", (!backoff.is_empty()).then(|| backoff.join(", ")));
    for (label, name) in [("Headers Only", "headers_only"), ("Flow Control", "flow_control")] {
        sheet.row_if(label, flag(info, &format!("/config/{name}")).then_some("true"));
    }
    let heartbeat = int(info, "/config/idle_heartbeat");
    sheet.row_if("Heartbeat Interval", (heartbeat > 0).then(|| units::nanos(heartbeat, "")));
    let rate = number(info, "/config/rate_limit_bps");
    sheet.row_if("Rate Limit", (rate > 0).then(|| format!("{}/s", units::size(rate / 8))));
    let count_if = |name| Some(int(info, name)).filter(|count| *count > 0);
    for (label, name) in [
        ("Max Pull Batch", "/config/max_batch"),
        ("Max Pull MaxBytes", "/config/max_bytes"),
        ("Replicas", "/config/num_replicas"),
    ] {
        sheet.row_if(label, count_if(name).map(units::count));
    }
    let expires = int(info, "/config/max_expires");
    sheet.row_if("Max Pull Expire", (expires > 0).then(|| units::nanos(expires, "")));
    sheet.row_if("Priority Policy", filled("/config/priority_policy").filter(|p| *p != "none"));
    let groups = texts(info, "/config/priority_groups");
    sheet.row_if("Priority Groups", (!groups.is_empty()).then(|| groups.join(", ")));
    let inactive = int(info, "/config/inactive_threshold");
    sheet.row_if("Inactive Threshold", (inactive > 0).then(|| units::nanos(inactive, "")));
    cluster(&mut sheet, info);
    add_state(&mut sheet, info);
    sheet
}

/// The state alone.
pub(super) fn state(info: &Value) -> Sheet {
    let names = format!("{} > {}", text(info, "/stream_name"), text(info, "/name"));
    let mut sheet = Sheet::new(format!("State for Consumer {names}"));
    cluster(&mut sheet, info);
    add_state(&mut sheet, info);
    sheet
}

fn cluster(sheet: &mut Sheet, info: &Value) {
    // A server alone names itself as leader.
    if text(info, "/cluster/name").is_empty() {
        return;
    }
    sheet.section("Cluster Information");
    sheet.row("Name", text(info, "/cluster/name"));
    sheet.row("Leader", text(info, "/cluster/leader"));
    sheet.row("Servers", replicas(info));
}

fn add_state(sheet: &mut Sheet, info: &Value) {
    sheet.section("State");
    for (label, path) in
        [("Last Delivered Message", "/delivered"), ("Acknowledgment Floor", "/ack_floor")]
    {
        let at = |name: &str| units::count(number(info, &format!("{path}/{name}")));
        let active = text(info, &format!("{path}/last_active"));
        let last = match units::parse_moment(active) {
            Some(_) => format!(" Last: {} ago", units::ago(active)),
            None => String::new(),
        };
        let seqs = format!(
            "Consumer sequence: {} Stream sequence: {}",
            at("consumer_seq"),
            at("stream_seq")
        );
        sheet.row(label, seqs + &last);
    }
    sheet.row("Outstanding Acks", units::count(number(info, "/num_ack_pending")));
    sheet.row("Redelivered Messages", units::count(number(info, "/num_redelivered")));
    sheet.row("Unprocessed Messages", units::count(number(info, "/num_pending")));
    sheet.row("Waiting Pulls", units::count(number(info, "/num_waiting")));
    if flag(info, "/paused") {
        let left = units::nanos(int(info, "/pause_remaining"), "0s");
        let until = units::moment(text(info, "/config/pause_until"), "-");
        sheet.row("Paused Until", format!("{until} ({left} remaining)"));
    }
    for group in info.pointer("/priority_groups").and_then(Value::as_array).into_iter().flatten() {
        let pinned = match text(group, "/pinned_client_id") {
            "" => "nobody".to_owned(),
            client => format!("{client} since {}", units::moment(text(group, "/pinned_ts"), "-")),
        };
        sheet.row(&format!("Pinned in {}", text(group, "/group")), pinned);
    }
}
