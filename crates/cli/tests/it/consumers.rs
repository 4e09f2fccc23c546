//! consumer: all verbs but `ls` and `info`, which `streams` shows.

use serde_json::{Value, json};

use super::witness::Tested;
use super::{Running, command, end, run, server};

fn with_consumer() -> Tested {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s.>", "--storage", "memory"]).ok();
    run(&server, &["pub", "-J", "s.{{Count}}", "m{{Count}}", "--count", "5", "-q"]).ok();
    run(&server, &["consumer", "add", "S", "C", "-q"]).ok();
    server
}

fn info(server: &Tested, consumer: &str) -> Value {
    run(server, &["consumer", "info", "S", consumer, "--json"]).ok().json()
}

// Shows U-086.
#[test]
fn a_consumer_has_what_was_asked_for() {
    let server = with_consumer();
    let add = [
        "consumer",
        "add",
        "S",
        "FULL",
        "--filter",
        "s.1,s.2",
        "--ack",
        "all",
        "--wait",
        "10s",
        "--max-deliver",
        "7",
        "--max-pending",
        "50",
        "--backoff",
        "1s,5s",
        "--deliver",
        "new",
        "--replay",
        "original",
        "--sample",
        "50",
        "--description",
        "text",
        "--metadata",
        "k:v",
        "--inactive-threshold",
        "1h",
        "--headers-only",
        "--max-pull-batch",
        "10",
        "--memory",
        "--json",
    ];
    let made = run(&server, &add).ok().json();
    assert!(made["type"].as_str().unwrap().ends_with("consumer_create_response"));
    let config = &made["config"];
    for (name, value) in [
        ("durable_name", json!("FULL")),
        ("filter_subjects", json!(["s.1", "s.2"])),
        ("ack_policy", json!("all")),
        ("max_deliver", json!(7)),
        ("max_ack_pending", json!(50)),
        ("backoff", json!([1_000_000_000_u64, 5_000_000_000_u64])),
        ("deliver_policy", json!("new")),
        ("replay_policy", json!("original")),
        ("sample_freq", json!("50")),
        ("description", json!("text")),
        ("inactive_threshold", json!(3_600_000_000_000_u64)),
        ("headers_only", json!(true)),
        ("max_batch", json!(10)),
        ("mem_storage", json!(true)),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
    assert_eq!(config["metadata"]["k"], "v");
    let sheet = run(&server, &["consumer", "info", "S", "FULL"]).ok();
    for line in ["Filter Subjects: s.1, s.2", "Backoff: 1.00s, 5.00s", "Max Pull Batch: 10"] {
        assert!(sheet.text().contains(line), "{line}: {sheet:?}");
    }
    // A name that is taken by another configuration, and the same again.
    let other = run(&server, &["consumer", "add", "S", "FULL", "--json"]).exits(7);
    assert_eq!(other.error()["code"], "js.exists");
    run(&server, &["consumer", "add", "S", "C"]).ok();
    run(&server, &["consumer", "add", "S"]).exits(2);
    run(&server, &["consumer", "add", "S", "X", "--deliver", "sometimes"]).exits(2);
    let missing = run(&server, &["consumer", "add", "T", "C"]).exits(5);
    assert!(missing.err.contains("stream T not found"), "{missing:?}");
}

#[test]
fn consumers_begin_where_one_says() {
    let server = with_consumer();
    let first = |name: &str, deliver: &str| {
        run(&server, &["consumer", "add", "S", name, "--deliver", deliver, "-q"]).ok();
        run(&server, &["consumer", "next", "S", name, "--raw"]).ok().text().to_owned()
    };
    assert_eq!(first("A", "all"), "m1\n");
    assert_eq!(first("B", "last"), "m5\n");
    assert_eq!(first("D", "3"), "m3\n");
    assert_eq!(first("E", "1h"), "m1\n");
    assert_eq!(first("F", "subject"), "m1\n");
    let made = run(&server, &["consumer", "add", "S", "--ephemeral", "--json"]).ok().json();
    assert!(made["config"].get("durable_name").is_none());
    assert_eq!(made["name"].as_str().unwrap().len(), 12);
}

#[test]
fn a_configuration_makes_the_same_consumer() {
    let server = with_consumer();
    run(&server, &["consumer", "edit", "S", "C", "--max-pending", "9", "-f"]).ok();
    let shown = run(&server, &["consumer", "info", "S", "C", "--json"]).ok();
    run(&server, &["consumer", "rm", "S", "C", "-f"]).ok();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.json");
    std::fs::write(&file, &shown.out).unwrap();
    run(&server, &["consumer", "add", "S", "--config", file.to_str().unwrap()]).ok();
    assert_eq!(info(&server, "C")["config"], shown.json()["config"]);
    let dry = ["consumer", "add", "S", "N", "--config", file.to_str().unwrap(), "--dry-run"];
    assert_eq!(run(&server, &dry).ok().json()["durable_name"], "N");
    run(&server, &["consumer", "info", "S", "N"]).exits(5);
}

// Shows U-086.
#[test]
fn messages_are_taken_and_settled() {
    let server = with_consumer();
    let next = |more: &[&str]| {
        let mut all = vec!["consumer", "next", "S", "C"];
        all.extend(more);
        run(&server, &all)
    };
    let shown = next(&[]).ok();
    assert!(shown.text().contains("subj: s.1 / tries: 1 / cons seq: 1 / str seq: 1 / pending: 4"));
    assert!(shown.err.contains("Acknowledged message"), "{shown:?}");
    assert_eq!(info(&server, "C")["ack_floor"]["stream_seq"], 1);
    // Given back, and there again.
    let line = next(&["--nak", "--json"]).ok().lines().remove(0);
    assert_eq!(
        (&line["seq"], &line["settled"], &line["data"]),
        (&json!(2), &json!("nak"), &json!("m2"))
    );
    let line = next(&["--term", "--json"]).ok().lines().remove(0);
    assert_eq!(
        (&line["seq"], &line["delivered"], &line["settled"]),
        (&json!(2), &json!(2), &json!("term"))
    );
    assert_eq!(next(&["--count", "2", "--ack", "--raw"]).ok().text(), "m3\nm4\n");
    next(&["--no-ack", "--raw"]).ok();
    let state = info(&server, "C");
    assert_eq!((&state["num_ack_pending"], &state["num_pending"]), (&json!(1), &json!(0)));
    let nothing = next(&["--wait", "200ms", "--json"]).exits(6);
    assert_eq!(nothing.error()["code"], "conn.timeout");
    run(&server, &["pub", "-J", "s.6", "m6", "-q"]).ok();
    assert_eq!(next(&["--count", "3", "--wait", "300ms", "--raw"]).exits(8).text(), "m6\n");
    run(&server, &["consumer", "next", "S", "X"]).exits(5);
}

// Shows U-086.
#[test]
fn a_subscriber_of_a_consumer_goes_on() {
    let server = with_consumer();
    let two = run(&server, &["consumer", "sub", "S", "C", "--count", "2", "--raw"]).ok();
    assert_eq!(two.text(), "m1\nm2\n");
    let mut sub = Running::start(command(&server, &["consumer", "sub", "S", "C", "--json"]));
    for seq in 3..=5 {
        let line: Value = serde_json::from_str(&sub.line()).unwrap();
        assert_eq!((&line["seq"], &line["settled"]), (&json!(seq), &json!("ack")));
    }
    run(&server, &["pub", "-J", "s.6", "m6", "-q"]).ok();
    assert!(sub.line().contains("\"seq\":6"));
    sub.signal("INT");
    sub.end().ok();
    // An ack that the command got before it ended has been taken.
    let state = info(&server, "C");
    assert!(state["ack_floor"]["stream_seq"].as_u64().unwrap() >= 5, "{state}");
    let push = [
        "consumer",
        "add",
        "S",
        "P",
        "--target",
        "deliver.here",
        "--heartbeat",
        "1s",
        "--flow-control",
        "-q",
    ];
    run(&server, &push).ok();
    let all = run(&server, &["consumer", "sub", "S", "P", "--count", "6", "--raw"]).ok();
    assert_eq!(all.text(), "m1\nm2\nm3\nm4\nm5\nm6\n");
    let asked = run(&server, &["consumer", "next", "S", "P"]).exits(2);
    assert!(asked.err.contains("push consumer"), "{asked:?}");
    let queued =
        ["consumer", "add", "S", "Q", "--target", "deliver.q", "--deliver-group", "g", "-q"];
    run(&server, &queued).ok();
    let one = run(&server, &["consumer", "sub", "S", "Q", "--count", "1", "--raw"]).ok();
    assert_eq!(one.text(), "m1\n");
    let none = ["consumer", "sub", "S", "C", "--wait", "200ms", "--raw"];
    run(&server, &none).ok();
}

// Shows U-086, U-100.
#[test]
fn a_consumer_is_edited_copied_and_removed() {
    let server = with_consumer();
    let edit = ["consumer", "edit", "S", "C", "--max-pending", "7", "--filter", "s.1"];
    let with = |more: &[&str]| {
        let mut all = edit.to_vec();
        all.extend(more);
        run(&server, &all)
    };
    let shown = with(&["--dry-run"]).ok();
    assert!(shown.text().contains("~ max_ack_pending: 1000 -> 7"), "{shown:?}");
    assert!(shown.text().contains("+ filter_subject: \"s.1\""), "{shown:?}");
    with(&[]).exits(9);
    let config = with(&["-f", "--json"]).ok().json()["config"].clone();
    assert_eq!((&config["max_ack_pending"], &config["filter_subject"]), (&json!(7), &json!("s.1")));
    run(&server, &["consumer", "edit", "S", "C", "--filter", "", "-f"]).ok();
    assert!(info(&server, "C")["config"].get("filter_subject").is_none());
    let mut by_hand = command(&server, &["consumer", "edit", "S", "C", "-i", "-f", "--json"]);
    by_hand.env("EDITOR", "sed -i 's/\"max_ack_pending\": 7/\"max_ack_pending\": 8/'");
    assert_eq!(end(by_hand).ok().json()["config"]["max_ack_pending"], 8);
    run(&server, &["consumer", "copy", "S", "C", "D", "--description", "copied"]).ok();
    let copied = info(&server, "D")["config"].clone();
    assert_eq!((&copied["max_ack_pending"], &copied["description"]), (&json!(8), &json!("copied")));
    run(&server, &["consumer", "rm", "S", "D"]).exits(9);
    run(&server, &["consumer", "rm", "S", "D", "--dry-run"]).ok();
    let answer = run(&server, &["consumer", "rm", "S", "D", "-f", "--json"]).ok().json();
    assert_eq!(answer["success"], true);
    run(&server, &["consumer", "rm", "S", "D", "-f"]).exits(5);
    assert_eq!(run(&server, &["consumer", "ls", "S", "-n"]).ok().text(), "C\n");
}

// Shows U-086.
#[test]
fn a_consumer_is_paused_and_resumed() {
    let server = with_consumer();
    run(&server, &["consumer", "pause", "S", "C", "soon", "-f"]).exits(2);
    run(&server, &["consumer", "pause", "S", "C", "1h"]).exits(9);
    let answer = run(&server, &["consumer", "pause", "S", "C", "1h", "-f", "--json"]).ok().json();
    assert_eq!(answer["paused"], true);
    run(&server, &["consumer", "next", "S", "C", "--wait", "200ms"]).exits(6);
    let sheet = run(&server, &["consumer", "info", "S", "C"]).ok();
    assert!(sheet.text().contains("Paused Until: "), "{sheet:?}");
    let resumed = run(&server, &["consumer", "resume", "S", "C", "-f"]).ok();
    assert!(resumed.err.contains("was resumed"), "{resumed:?}");
    assert_eq!(run(&server, &["consumer", "next", "S", "C", "--raw"]).ok().text(), "m1\n");
}

#[test]
fn a_consumer_begins_again() {
    let server = with_consumer();
    run(&server, &["consumer", "next", "S", "C", "--count", "4", "-q"]).ok();
    run(&server, &["consumer", "reset", "S", "C"]).exits(9);
    let reset = ["consumer", "reset", "S", "C", "--sequence", "2", "-f", "--json"];
    assert_eq!(run(&server, &reset).ok().json()["reset_seq"], 2);
    assert_eq!(run(&server, &["consumer", "next", "S", "C", "--raw"]).ok().text(), "m2\n");
    let unpin = run(&server, &["consumer", "unpin", "S", "C"]).exits(2);
    assert!(unpin.err.contains("pins no client"), "{unpin:?}");
}

// Shows U-086.
#[test]
fn consumers_are_reported_and_found() {
    let server = with_consumer();
    run(&server, &["consumer", "add", "S", "P", "--target", "deliver.here"]).ok();
    run(&server, &["consumer", "next", "S", "C", "--count", "2", "--no-ack", "-q"]).ok();
    let report = run(&server, &["consumer", "report", "S", "--output", "tsv"]).ok();
    let rows: Vec<Vec<&str>> =
        report.text().lines().map(|line| line.split('\t').collect()).collect();
    let head = [
        "Consumer",
        "Mode",
        "Ack Policy",
        "Ack Wait",
        "Ack Pending",
        "Redelivered",
        "Unprocessed",
        "Ack Floor",
        "Cluster",
    ];
    assert_eq!(rows[0], head);
    assert_eq!(rows[1], ["C", "Pull", "Explicit", "30.00s", "2", "0", "3 / 60%", "0", ""]);
    assert_eq!(rows[2][..2], ["P", "Push"]);
    let list = run(&server, &["consumer", "report", "S", "--json"]).ok().json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let find = |more: &[&str]| {
        let mut all = vec!["consumer", "find", "S", "-n"];
        all.extend(more);
        run(&server, &all).ok().text().to_owned()
    };
    assert_eq!(find(&["--pull"]), "C\n");
    assert_eq!(find(&["--push"]), "P\n");
    assert_eq!(find(&["--pull", "--invert"]), "P\n");
    assert_eq!(find(&["--ack-pending", "1"]), "P\n");
    assert_eq!(find(&["--pending", "4"]), "C\n");
    assert_eq!(find(&["--idle", "1h"]), "P\n");
    assert_eq!(find(&["--bound"]), "");
    let state = run(&server, &["consumer", "state", "S", "C", "--json"]).ok().json();
    assert_eq!(state["num_ack_pending"], 2);
    assert!(state.get("config").is_none());
    let sheet = run(&server, &["consumer", "state", "S", "C"]).ok();
    assert!(sheet.text().starts_with("State for Consumer S > C"), "{sheet:?}");
}
