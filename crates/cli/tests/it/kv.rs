//! Buckets.

use super::{Running, command, feed, run, server};

// Shows U-087, U-100.
#[test]
fn keys_are_written_read_and_removed() {
    let server = server();
    run(&server, &["kv", "add", "B", "--history", "5", "--storage", "memory"]).ok();
    assert_eq!(run(&server, &["kv", "put", "B", "a", "one"]).ok().text(), "one\n");
    feed(&server, &["kv", "put", "B", "a"], b"two\n").ok();
    let raw = run(&server, &["kv", "get", "B", "a", "--raw"]).ok();
    assert_eq!(raw.text(), "two\n", "the value as it is");
    let text = run(&server, &["kv", "get", "B", "a"]).ok();
    assert!(text.text().starts_with("B > a revision: 2 created @ "), "{text:?}");
    let old = run(&server, &["kv", "get", "B", "a", "--revision", "1", "--json"]).ok().json();
    assert_eq!((old["value"].as_str(), old["revision"].as_u64()), (Some("one"), Some(1)));
    let updated = run(&server, &["kv", "update", "B", "a", "three", "2", "--json"]).ok().json();
    assert_eq!(updated, serde_json::json!({"bucket": "B", "key": "a", "revision": 3}));
    run(&server, &["kv", "create", "B", "b", "new"]).ok();
    run(&server, &["kv", "del", "B", "a", "-f"]).ok();
    let gone = run(&server, &["kv", "get", "B", "a", "--json"]).exits(5).error();
    assert_eq!(gone["code"], "kv.not_found");
    assert!(gone["message"].as_str().unwrap().contains("deleted at revision 5"), "{gone}");
    run(&server, &["kv", "revert", "B", "a", "1", "-f"]).ok();
    assert_eq!(run(&server, &["kv", "get", "B", "a", "-r"]).ok().text(), "one");
    run(&server, &["kv", "purge", "B", "b", "-f"]).ok();
    run(&server, &["kv", "get", "B", "b"]).exits(5);
    run(&server, &["kv", "create", "B", "b", "again"]).ok();
    assert_eq!(run(&server, &["kv", "ls", "B"]).ok().text(), "a\nb\n");
    run(&server, &["kv", "get", "B", "never"]).exits(5);
    run(&server, &["kv", "put", "B", "bad key", "x"]).exits(2);
    // A dry run leaves all as it is.
    for arguments in [
        &["kv", "del", "B", "a", "--dry-run"][..],
        &["kv", "purge", "B", "a", "--dry-run"],
        &["kv", "revert", "B", "a", "1", "--dry-run"],
        &["kv", "del", "B", "--dry-run"],
        &["kv", "compact", "B", "--dry-run"],
    ] {
        run(&server, arguments).ok();
    }
    assert_eq!(run(&server, &["kv", "get", "B", "a", "-r"]).ok().text(), "one");
}

#[test]
fn a_bucket_may_be_called_as_its_stream_begins() {
    let server = server();
    for (verb, name) in [("kv", "KV_a"), ("object", "OBJ_a")] {
        run(&server, &[verb, "add", name]).ok();
        assert_eq!(run(&server, &[verb, "ls", "--names"]).ok().text(), format!("{name}\n"));
        let info = run(&server, &[verb, "info", name]).ok();
        assert!(info.text().contains(&format!("Bucket {name} created")), "{info:?}");
    }
}

#[test]
fn a_value_that_is_no_text_survives() {
    let server = server();
    run(&server, &["kv", "add", "B"]).ok();
    feed(&server, &["kv", "put", "B", "bin", "-q"], &[0, 0xff, b'\n']).ok();
    assert_eq!(run(&server, &["kv", "get", "B", "bin", "--raw"]).ok().out, [0, 0xff, b'\n']);
    assert_eq!(
        run(&server, &["kv", "get", "B", "bin", "--json"]).ok().json()["value_base64"],
        "AP8K"
    );
}

#[test]
fn history_shows_each_change() {
    let server = server();
    run(&server, &["kv", "add", "B", "--history", "10"]).ok();
    run(&server, &["kv", "put", "B", "k", "1"]).ok();
    run(&server, &["kv", "put", "B", "k", "22"]).ok();
    run(&server, &["kv", "del", "B", "k", "-f"]).ok();
    let history = run(&server, &["kv", "history", "B", "k", "--json"]).ok().json();
    let ops: Vec<_> = history.as_array().unwrap().iter().map(|one| one["op"].as_str()).collect();
    assert_eq!(ops, [Some("PUT"), Some("PUT"), Some("DEL")]);
    let table = run(&server, &["kv", "history", "B", "k", "--output", "csv"]).ok();
    let mut lines = table.text().lines();
    assert_eq!(lines.next(), Some("Key,Revision,Op,Created,Length,Value"));
    let second = lines.nth(1).unwrap();
    assert!(second.starts_with("k,2,PUT,") && second.ends_with(",2 B,22"), "{second}");
    run(&server, &["kv", "history", "B", "none"]).exits(5);
}

#[test]
fn a_watch_tells_what_is_there_and_then_what_changes() {
    let server = server();
    run(&server, &["kv", "add", "B"]).ok();
    run(&server, &["kv", "put", "B", "a", "1"]).ok();
    let mut watch = Running::start(command(&server, &["kv", "watch", "B"]));
    watch.wait_for("up to date (1 changes)");
    let first = watch.line();
    assert!(first.starts_with('[') && first.ends_with("] PUT B > a: 1"), "{first}");
    run(&server, &["kv", "put", "B", "b", "2"]).ok();
    assert!(watch.line().ends_with("] PUT B > b: 2"));
    run(&server, &["kv", "del", "B", "a", "-f"]).ok();
    assert!(watch.line().ends_with("] DEL B > a"));
    run(&server, &["kv", "purge", "B", "b", "-f"]).ok();
    assert!(watch.line().ends_with("] PURGE B > b"));
    watch.signal("INT");
    watch.end().ok();
}

#[test]
fn a_watch_of_an_empty_bucket_is_ready_at_once_and_json_flows() {
    let server = server();
    run(&server, &["kv", "add", "B", "--history", "5"]).ok();
    let mut watch = Running::start(command(&server, &["kv", "watch", "B", "a.*", "--json"]));
    let ready: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(ready, serde_json::json!({"bucket": "B", "op": "READY", "changes": 0}));
    run(&server, &["kv", "put", "B", "b", "not watched"]).ok();
    run(&server, &["kv", "put", "B", "a.x", "v"]).ok();
    let put: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(
        (put["op"].as_str(), put["key"].as_str(), put["value"].as_str(), put["revision"].as_u64()),
        (Some("PUT"), Some("a.x"), Some("v"), Some(2))
    );
    watch.signal("INT");
    watch.end().ok();
    // From elsewhere than the last values.
    run(&server, &["kv", "put", "B", "a.x", "w"]).ok();
    run(&server, &["kv", "del", "B", "b", "-f"]).ok();
    let watched = |arguments: &[&str]| {
        let mut all = vec!["kv", "watch", "B", "--json"];
        all.extend(arguments);
        let ended = run(&server, &all).ok();
        ended.lines().iter().filter_map(|line| line["revision"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(watched(&["--history", "--count", "4"]), [1, 2, 3, 4]);
    assert_eq!(watched(&["--history", "--no-deletes", "--count", "3"]), [1, 2, 3]);
    assert_eq!(watched(&["--revision", "3", "--count", "2"]), [3, 4]);
    assert_eq!(watched(&["--count", "2"]), [3, 4]);
}

// Shows U-087.
#[test]
fn buckets_are_made_changed_listed_and_removed() {
    let server = server();
    let arguments = [
        "kv",
        "add",
        "B",
        "--history",
        "3",
        "--ttl",
        "1m",
        "--max-value-size",
        "1K",
        "--max-bucket-size",
        "1MB",
        "--storage",
        "memory",
        "--description",
        "text",
        "--json",
    ];
    let config = run(&server, &arguments).ok().json()["config"].clone();
    for (name, value) in [
        ("name", "KV_B".into()),
        ("max_msgs_per_subject", 3.into()),
        ("max_age", 60_000_000_000_u64.into()),
        ("max_msg_size", 1024.into()),
        ("max_bytes", (1 << 20).into()),
        ("storage", serde_json::Value::from("memory")),
        ("allow_rollup_hdrs", true.into()),
        ("deny_delete", true.into()),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
    assert_eq!(run(&server, &["kv", "ls", "-n"]).ok().text(), "B\n");
    let md = run(&server, &["kv", "ls", "--output", "md"]).ok();
    assert!(md.text().starts_with("| Bucket | Description | Created | Size | Values |"), "{md:?}");
    assert!(run(&server, &["kv", "info", "B"]).ok().text().contains("History Kept: 3"));
    let plan =
        run(&server, &["kv", "edit", "B", "--history", "4", "--dry-run", "--json"]).ok().json();
    assert_eq!(plan["config"]["max_msgs_per_subject"], 4);
    let changed = serde_json::json!({"field": "max_msgs_per_subject", "from": 3, "to": 4});
    assert_eq!(plan["differences"][0], changed);
    let edited = run(&server, &["kv", "edit", "B", "--history", "4", "-f", "--json"]).ok().json();
    assert_eq!(edited["config"]["max_msgs_per_subject"], 4);
    assert_eq!(edited["config"]["max_msg_size"], 1024, "what was not named stays");
    run(&server, &["kv", "put", "B", "k", "v"]).ok();
    run(&server, &["kv", "del", "B", "k", "-f"]).ok();
    let compact = ["kv", "compact", "B", "-f", "--older-than", "0s", "--json"];
    assert_eq!(run(&server, &compact).ok().json()["forgotten"], 1);
    let listed = run(&server, &["kv", "ls", "--json"]).ok().json();
    assert_eq!(listed[0]["state"]["messages"], 0);
    run(&server, &["kv", "del", "B", "-f"]).ok();
    assert_eq!(run(&server, &["kv", "ls", "--json"]).ok().json(), serde_json::json!([]));
}

// Shows U-087.
#[test]
fn keys_are_listed_with_what_is_asked_for() {
    let server = server();
    run(&server, &["kv", "add", "B"]).ok();
    run(&server, &["kv", "put", "B", "x.b", "2"]).ok();
    run(&server, &["kv", "put", "B", "x.a", "1"]).ok();
    run(&server, &["kv", "put", "B", "y", "3"]).ok();
    assert_eq!(run(&server, &["kv", "ls", "B", "x.*"]).ok().text(), "x.a\nx.b\n");
    assert_eq!(
        run(&server, &["kv", "ls", "B", "--json"]).ok().json(),
        serde_json::json!(["x.a", "x.b", "y"])
    );
    let rows = run(&server, &["kv", "ls", "B", "--display-value", "--json"]).ok().json();
    assert_eq!((rows[0]["key"].as_str(), rows[0]["value"].as_str()), (Some("x.a"), Some("1")));
    let csv = run(&server, &["kv", "ls", "B", "--display-value", "--output", "csv"]).ok();
    assert_eq!(csv.text(), "Key,Value\nx.a,1\nx.b,2\ny,3\n");
    let verbose = run(&server, &["kv", "ls", "B", "-v", "--output", "csv"]).ok();
    assert!(verbose.text().starts_with("Key,Created,Revision\nx.a,"), "{verbose:?}");
}

#[test]
fn keys_and_marks_may_have_a_time_to_live() {
    let server = server();
    run(&server, &["kv", "add", "B", "--marker-ttl", "1h", "--storage", "memory"]).ok();
    run(&server, &["kv", "create", "B", "k", "v", "--ttl", "1h"]).ok();
    run(&server, &["kv", "create", "B", "k", "v", "--ttl", "1h"]).exits(7);
    let ttl = |seq: &str| {
        let message = run(&server, &["stream", "get", "KV_B", seq, "--json"]).ok().json();
        message["headers"]["Nats-TTL"][0].as_str().map(str::to_owned)
    };
    assert_eq!(ttl("1").as_deref(), Some("3600s"));
    let purged = ["kv", "purge", "B", "k", "--ttl", "30m", "-f", "--json"];
    assert_eq!(run(&server, &purged).ok().json()["revision"], 2);
    assert_eq!(ttl("2").as_deref(), Some("1800s"));
    run(&server, &["kv", "get", "B", "k"]).exits(5);
    assert_eq!(run(&server, &["kv", "history", "B", "k", "--json"]).ok().json()[0]["op"], "PURGE");
}

#[test]
fn a_bucket_may_take_from_others() {
    let server = server();
    let plan = |more: &[&str]| {
        let mut all = vec!["kv", "add", "B", "--dry-run"];
        all.extend(more);
        run(&server, &all).ok().json()
    };
    let mirror = plan(&["--mirror", "A", "--mirror-domain", "hub"]);
    assert_eq!(mirror["mirror"]["name"], "KV_A");
    assert_eq!(mirror["mirror"]["external"]["api"], "$JS.hub.API");
    assert!(mirror.get("subjects").is_none());
    let source =
        plan(&["--source", "A", "--republish-source", ">", "--republish-destination", "r.>"]);
    let transform = serde_json::json!([{"src": "$KV.A.>", "dest": "$KV.B.>"}]);
    assert_eq!(source["sources"][0]["subject_transforms"], transform);
    assert_eq!(source["republish"], serde_json::json!({"src": ">", "dest": "r.>"}));
    run(&server, &["kv", "add", "B", "--mirror", "A", "--source", "C"]).exits(2);
}
