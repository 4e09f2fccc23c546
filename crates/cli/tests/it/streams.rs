//! stream, consumer, and sub and pub with streams.

use super::witness::Tested;
use super::{command, feed, run, server};

fn with_orders() -> Tested {
    let server = server();
    run(&server, &["stream", "add", "ORDERS", "--subjects", "orders.>", "--storage", "memory"])
        .ok();
    run(&server, &["pub", "-J", "orders.{{Count}}", "o{{Count}}", "--count", "3", "-q"]).ok();
    server
}

// Shows U-083.
#[test]
fn a_stream_is_made_shown_and_removed() {
    let server = server();
    let arguments = [
        "stream",
        "add",
        "S",
        "--subjects",
        "a.>,b",
        "--subjects",
        "c",
        "--storage",
        "memory",
        "--max-msgs",
        "10",
        "--max-bytes",
        "1MiB",
        "--max-age",
        "1d",
        "--max-msg-size",
        "1K",
        "--discard",
        "new",
        "--dupe-window",
        "30s",
        "--allow-direct",
        "--deny-delete",
        "--description",
        "text",
        "--metadata",
        "k:v",
        "--max-msgs-per-subject",
        "2",
        "--json",
    ];
    let config = run(&server, &arguments).ok().json()["config"].clone();
    for (name, value) in [
        ("subjects", serde_json::json!(["a.>", "b", "c"])),
        ("storage", "memory".into()),
        ("max_msgs", 10.into()),
        ("max_bytes", (1 << 20).into()),
        ("max_age", 86_400_000_000_000_u64.into()),
        ("max_msg_size", 1024.into()),
        ("discard", "new".into()),
        ("duplicate_window", 30_000_000_000_u64.into()),
        ("allow_direct", true.into()),
        ("deny_delete", true.into()),
        ("description", "text".into()),
        ("max_msgs_per_subject", 2.into()),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
    assert_eq!(config["metadata"]["k"], "v");
    // The same again is no error; info's object makes the same stream.
    run(&server, &arguments).ok();
    let info = run(&server, &["stream", "info", "S", "--json"]).ok();
    assert!(info.json()["type"].as_str().unwrap().ends_with("stream_info_response"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    std::fs::write(&file, &info.out).unwrap();
    let again = ["stream", "add", "--config", file.to_str().unwrap(), "--json"];
    assert_eq!(run(&server, &again).ok().json()["config"], config);
    let sheet = run(&server, &["stream", "info", "S"]).ok();
    for line in ["Information for Stream S created", "Subjects: a.>, b, c", "Maximum Age: 1d0h0m0s"]
    {
        assert!(sheet.text().contains(line), "{line}: {}", sheet.text());
    }
    assert_eq!(run(&server, &["stream", "ls", "--names"]).ok().text(), "S\n");
    run(&server, &["stream", "rm", "S", "-f"]).ok();
    assert_eq!(run(&server, &["stream", "ls", "--json"]).ok().json(), serde_json::json!([]));
}

// Shows U-100.
#[test]
fn a_dry_run_changes_nothing() {
    let server = with_orders();
    let config =
        run(&server, &["stream", "add", "NEW", "--subjects", "n", "--dry-run"]).ok().json();
    assert_eq!(config["name"], "NEW");
    run(&server, &["stream", "rm", "ORDERS", "--dry-run"]).ok();
    run(&server, &["stream", "purge", "ORDERS", "--dry-run", "--json"]).ok().json();
    let list = run(&server, &["stream", "ls", "--json"]).ok().json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["state"]["messages"], 3);
}

#[test]
fn streams_of_buckets_are_listed_only_when_asked_for() {
    let server = with_orders();
    run(&server, &["kv", "add", "B"]).ok();
    assert_eq!(run(&server, &["stream", "ls", "-n"]).ok().text(), "ORDERS\n");
    assert_eq!(run(&server, &["stream", "ls", "-n", "-a"]).ok().text(), "KV_B\nORDERS\n");
    let by_subject = ["stream", "ls", "-n", "-a", "--subject", "orders.9"];
    assert_eq!(run(&server, &by_subject).ok().text(), "ORDERS\n");
}

// Shows U-077.
#[test]
fn publishing_tells_stream_and_sequence() {
    let server = with_orders();
    let ended = run(&server, &["pub", "-J", "orders.x", "hi"]).ok();
    assert!(ended.err.contains("Stored in Stream: ORDERS Sequence: 4"), "{ended:?}");
    let twice = ["pub", "-J", "orders.x", "hi", "-H", "Nats-Msg-Id: 1", "--json"];
    assert_eq!(run(&server, &twice).ok().json()["seq"], 5);
    let again = run(&server, &twice).ok().json();
    assert_eq!((again["seq"].as_u64(), again["duplicate"].as_bool()), (Some(5), Some(true)));
    let ended = run(&server, &["pub", "-J", "nowhere", "hi"]).exits(6);
    assert!(ended.err.contains("no stream takes nowhere"), "{ended:?}");
    // In order, though many are on their way at once.
    let many =
        run(&server, &["pub", "-J", "orders.n", "{{Count}}", "--count", "200", "--json"]).ok();
    let seqs: Vec<u64> = many.lines().iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (6..=205).collect::<Vec<_>>());
    let last = run(&server, &["stream", "get", "ORDERS", "205", "--raw"]).ok();
    assert_eq!(last.text(), "200\n");
}

// Shows U-083.
#[test]
fn messages_are_read_by_sequence_and_subject() {
    let server = with_orders();
    feed(&server, &["pub", "-J", "orders.bin", "-H", "A:b"], &[0xff]).ok();
    let object =
        run(&server, &["stream", "get", "ORDERS", "-S", "orders.bin", "--json"]).ok().json();
    assert_eq!(object["seq"], 4);
    assert_eq!(object["data_base64"], "/w==");
    assert_eq!(object["headers"]["A"][0], "b");
    let text = run(&server, &["stream", "get", "ORDERS", "2"]).ok();
    assert!(text.text().starts_with("[2] Subject: orders.2 Received: "), "{text:?}");
    run(&server, &["stream", "get", "ORDERS", "9", "--json"]).exits(5);
    let view = |arguments: &[&str]| {
        let mut all = vec!["stream", "view", "ORDERS", "--raw"];
        all.extend(arguments);
        run(&server, &all).ok().text().to_owned()
    };
    run(&server, &["stream", "purge", "ORDERS", "--subject", "orders.bin", "-f"]).ok();
    assert_eq!(view(&[]), "o1\no2\no3\n");
    assert_eq!(view(&["2"]), "o1\no2\n");
    assert_eq!(view(&["--id", "2"]), "o2\no3\n");
    assert_eq!(view(&["--since", "1h"]), "o1\no2\no3\n");
    assert_eq!(view(&["--since", "0s"]), "");
    assert_eq!(view(&["--subject", "orders.2"]), "o2\n");
    assert_eq!(view(&["--subject", "orders.2", "--translate", "tr o O"]), "O2\n");
}

// Shows U-083.
#[test]
fn purging_takes_what_is_asked_for() {
    let server = with_orders();
    let answer =
        run(&server, &["stream", "purge", "ORDERS", "--seq", "2", "-f", "--json"]).ok().json();
    assert_eq!((answer["success"].as_bool(), answer["purged"].as_u64()), (Some(true), Some(1)));
    run(&server, &["stream", "purge", "ORDERS", "--keep", "1", "-f"]).ok();
    let info = run(&server, &["stream", "info", "ORDERS", "--json"]).ok().json();
    assert_eq!(
        (info["state"]["messages"].as_u64(), info["state"]["first_seq"].as_u64()),
        (Some(1), Some(3))
    );
}

// Shows U-080.
#[test]
fn a_stream_is_read_from_where_one_wants() {
    let server = with_orders();
    let read = |arguments: &[&str]| {
        let mut all = vec!["sub", "-T", "--raw", "-q"];
        all.extend(arguments);
        run(&server, &all).ok().text().to_owned()
    };
    assert_eq!(read(&["--stream", "ORDERS"]), "o1\no2\no3\n");
    assert_eq!(read(&["--all", "orders.2"]), "o2\n");
    assert_eq!(read(&["--stream", "ORDERS", "--last"]), "o3\n");
    assert_eq!(read(&["--stream", "ORDERS", "--new"]), "");
    assert_eq!(read(&["--stream", "ORDERS", "--start-sequence", "2"]), "o2\no3\n");
    assert_eq!(read(&["--stream", "ORDERS", "--since", "1h"]), "o1\no2\no3\n");
    run(&server, &["pub", "-J", "orders.1", "newer"]).ok();
    assert_eq!(read(&["--stream", "ORDERS", "--last-per-subject"]), "o2\no3\nnewer\n");
    let ended = run(&server, &["sub", "--stream", "ORDERS", "--count", "2", "--json"]).ok();
    let lines = ended.lines();
    assert_eq!(
        (lines.len(), lines[1]["seq"].as_u64(), lines[1]["pending"].as_u64()),
        (2, Some(2), Some(2))
    );
    // Nothing is left behind.
    let consumers = run(&server, &["consumer", "ls", "ORDERS", "--json"]).ok().json();
    assert_eq!(consumers, serde_json::json!([]));
}

// Shows U-080.
#[test]
fn a_durable_consumer_remembers() {
    let server = with_orders();
    let read = |arguments: &[&str]| {
        let mut all = vec!["sub", "--stream", "ORDERS", "--durable", "D", "--raw", "-q"];
        all.extend(arguments);
        run(&server, &all).ok().text().to_owned()
    };
    assert_eq!(read(&["--count", "1"]), "o1\n");
    assert_eq!(read(&["-T", "--ack"]), "o2\no3\n");
    assert_eq!(read(&["-T"]), "");
    let info = run(&server, &["consumer", "info", "ORDERS", "D", "--json"]).ok().json();
    assert!(info["type"].as_str().unwrap().ends_with("consumer_info_response"));
    assert_eq!(
        (info["ack_floor"]["stream_seq"].as_u64(), info["num_pending"].as_u64()),
        (Some(3), Some(0))
    );
    let sheet = run(&server, &["consumer", "info", "ORDERS", "D"]).ok();
    assert!(sheet.text().contains("Durable Name: D"), "{sheet:?}");
    assert_eq!(run(&server, &["consumer", "ls", "ORDERS", "-n"]).ok().text(), "D\n");
    let table = run(&server, &["consumer", "ls", "ORDERS", "--output", "tsv"]).ok();
    assert!(table.text().starts_with("Name\tDescription\tCreated\tAck Pending\t"), "{table:?}");
}

// Shows U-105.
#[test]
fn a_misspelled_name_brings_the_nearest() {
    let server = with_orders();
    run(&server, &["kv", "add", "CONFIG"]).ok();
    run(&server, &["sub", "--stream", "ORDERS", "--durable", "billing", "-T", "-q"]).ok();
    for (arguments, near) in [
        (&["stream", "info", "ORDER"][..], "did you mean ORDERS?"),
        (&["stream", "rm", "orders"], "did you mean ORDERS?"),
        (&["stream", "view", "ODRERS"], "did you mean ORDERS?"),
        (&["kv", "get", "CONFG", "k"], "did you mean CONFIG?"),
        (&["kv", "watch", "CONFIGS"], "did you mean CONFIG?"),
        (&["consumer", "info", "ORDERS", "biling"], "did you mean billing?"),
        (&["stream", "info", "WAREHOUSE"], "natterjack stream ls shows the streams"),
    ] {
        let ended = run(&server, arguments).exits(5);
        assert!(ended.err.contains(near), "{ended:?}");
    }
}

// Shows U-101.
#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    use std::io::BufRead as _;
    let server = with_orders();
    // More than a pipe holds.
    let body = "x".repeat(100_000);
    let count = 20;
    feed(
        &server,
        &["pub", "-J", "orders.big", "--count", &count.to_string(), "-q"],
        body.as_bytes(),
    )
    .ok();
    run(&server, &["consumer", "add", "ORDERS", "C", "-q"]).ok();
    for arguments in [
        &["sub", "--stream", "ORDERS", "--json"][..],
        &["sub", "--stream", "ORDERS"],
        &["sub", "--stream", "ORDERS", "--raw"],
        &["stream", "view", "ORDERS", "100"],
        &["consumer", "sub", "ORDERS", "C", "--no-ack"],
    ] {
        let mut child = command(&server, arguments).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("error") && !err.contains("panic"), "{err}");
    }
}

// Shows U-083.
#[test]
fn each_option_of_a_stream_reaches_its_configuration() {
    let server = server();
    let plan = |more: &[&str]| {
        let mut all = vec!["stream", "add", "S", "--defaults", "--dry-run", "--json"];
        all.extend(more);
        run(&server, &all).ok().json()
    };
    let config = plan(&[
        "--subjects",
        "s.*",
        "--retention",
        "work",
        "--max-consumers",
        "4",
        "--replicas",
        "3",
        "--compression",
        "s2",
        "--source",
        "A",
        "--source",
        "B",
        "--allow-rollup",
        "--allow-msg-ttl",
        "--allow-batch",
        "--allow-schedules",
        "--allow-mirror-direct",
        "--deny-delete",
        "--deny-purge",
    ]);
    for (name, value) in [
        ("retention", serde_json::json!("workqueue")),
        ("max_consumers", 4.into()),
        ("num_replicas", 3.into()),
        ("compression", "s2".into()),
        ("sources", serde_json::json!([{"name": "A"}, {"name": "B"}])),
        ("allow_rollup_hdrs", true.into()),
        ("allow_msg_ttl", true.into()),
        ("allow_atomic", true.into()),
        ("allow_msg_schedules", true.into()),
        ("mirror_direct", true.into()),
        ("deny_delete", true.into()),
        ("deny_purge", true.into()),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
    assert_eq!(plan(&["--mirror", "A"])["mirror"]["name"], "A");
    assert_eq!(plan(&["--subjects", "s", "--allow-counter"])["allow_msg_counter"], true);
    run(&server, &["stream", "info", "S"]).exits(5);
}

#[test]
fn a_batch_is_stored_together_or_not_at_all() {
    let server = server();
    let add = ["stream", "add", "S", "--subjects", "s.>", "--allow-batch", "-q"];
    run(&server, &add).ok();
    let stored =
        || run(&server, &["stream", "state", "S", "--json"]).ok().json()["messages"].clone();
    let batch = ["pub", "s.{{Count}}", "body", "--count", "5", "--atomic", "--json"];
    let lines = run(&server, &batch).ok().lines();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["stream"], &last["count"], &last["seq"]),
        (&"S".into(), &5.into(), &5.into())
    );
    let lines = feed(&server, &["pub", "s.x", "--atomic", "--send-on", "newline"], b"a\nb\n").ok();
    assert!(lines.err.contains("Stored in Stream: S Sequence: 7 Batch of 2"), "{lines:?}");
    assert_eq!(stored(), 7);
    // The last one is refused, and so are all.
    let wrong =
        ["pub", "s.y", "z", "--count", "3", "--atomic", "-H", "Nats-Expected-Stream:T", "--json"];
    assert_eq!(run(&server, &wrong).exits(1).error()["err_code"], 10060);
    assert_eq!(stored(), 7);
    run(&server, &["stream", "add", "T", "--subjects", "t", "-q"]).ok();
    let refused = run(&server, &["pub", "t", "x", "--count", "2", "--atomic", "--json"]).exits(1);
    assert_eq!(refused.error()["err_code"], 10174);
}
