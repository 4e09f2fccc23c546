//! stream edit, copy, seal, rmm: changes of what is there.

use serde_json::json;

use super::witness::Tested;
use super::{command, end, run, server};

fn with_stream() -> Tested {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s.>", "--storage", "memory"]).ok();
    run(&server, &["pub", "-J", "s.{{Count}}", "m{{Count}}", "--count", "5", "-q"]).ok();
    server
}

// Shows U-083, U-100.
#[test]
fn an_edit_shows_what_it_changes_and_asks() {
    let server = with_stream();
    let edit = |more: &[&str]| {
        let mut all = vec!["stream", "edit", "S", "--max-msgs", "100", "--description", "text"];
        all.extend(more);
        run(&server, &all)
    };
    let shown = edit(&["--dry-run"]).ok();
    assert_eq!(shown.text(), "~ max_msgs: -1 -> 100\n+ description: \"text\"\n");
    let shown = edit(&["--dry-run", "--json"]).ok().json();
    let change = json!({"field": "max_msgs", "from": -1, "to": 100});
    assert_eq!((&shown["differences"][0], &shown["config"]["max_msgs"]), (&change, &json!(100)));
    assert!(edit(&[]).exits(9).err.contains("~ max_msgs: -1 -> 100"));
    assert_eq!(
        run(&server, &["stream", "info", "S", "--json"]).ok().json()["config"]["max_msgs"],
        -1
    );
    let info = edit(&["-f", "--json"]).ok().json();
    assert_eq!(
        (&info["config"]["max_msgs"], &info["config"]["description"]),
        (&json!(100), &json!("text"))
    );
    assert!(edit(&["-f"]).ok().err.contains("No difference in configuration"));
    // A switch can be put back.
    run(&server, &["stream", "edit", "S", "--deny-purge", "-f"]).ok();
    let refused = run(&server, &["stream", "purge", "S", "-f"]).exits(1);
    assert!(refused.err.contains("denied") || refused.err.contains("not permitted"), "{refused:?}");
}

// Shows U-083.
#[test]
fn a_configuration_is_edited_as_a_file_and_by_hand() {
    let server = with_stream();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    let info = run(&server, &["stream", "info", "S", "--json"]).ok();
    let mut config = info.json()["config"].clone();
    config["max_bytes"] = 4096.into();
    std::fs::write(&file, config.to_string()).unwrap();
    let path = file.to_str().unwrap();
    let edited =
        run(&server, &["stream", "edit", "S", "--config", path, "-f", "--json"]).ok().json();
    assert_eq!(edited["config"]["max_bytes"], 4096);
    config["name"] = "OTHER".into();
    std::fs::write(&file, config.to_string()).unwrap();
    run(&server, &["stream", "edit", "S", "--config", path, "-f"]).exits(2);
    let mut by_hand = command(&server, &["stream", "edit", "S", "-i", "-f", "--json"]);
    by_hand.env("EDITOR", "sed -i s/4096/8192/");
    assert_eq!(end(by_hand).ok().json()["config"]["max_bytes"], 8192);
    let missing = run(&server, &["stream", "edit", "T", "--max-msgs", "1", "-f"]).exits(5);
    assert!(missing.err.contains("stream T not found"), "{missing:?}");
}

// Shows U-083.
#[test]
fn a_configuration_of_the_nats_tool_makes_a_stream() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.json");
    // As `nats stream add --output` writes it.
    let config = json!({
        "name": "ORDERS", "subjects": ["orders.>"], "retention": "limits", "max_consumers": -1,
        "max_msgs_per_subject": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
        "max_msg_size": -1, "storage": "memory", "discard": "old", "num_replicas": 1,
        "duplicate_window": 120_000_000_000_u64, "sealed": false, "deny_delete": false,
        "deny_purge": false, "allow_rollup_hdrs": false, "allow_direct": true, "mirror_direct": false,
        "consumer_limits": {}, "allow_msg_ttl": false, "allow_msg_counter": false,
        "allow_atomic": false, "allow_msg_schedules": false,
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let add = ["stream", "add", "--config", file.to_str().unwrap(), "--max-msgs", "7", "--json"];
    let info = run(&server, &add).ok().json();
    assert_eq!(info["config"]["name"], "ORDERS");
    assert_eq!(
        (&info["config"]["max_msgs"], &info["config"]["allow_direct"]),
        (&json!(7), &json!(true))
    );
}

// Shows U-085.
#[test]
fn a_stream_is_copied_without_its_messages() {
    let server = with_stream();
    run(&server, &["stream", "edit", "S", "--max-msgs", "9", "--metadata", "k:v", "-f"]).ok();
    let same = run(&server, &["stream", "copy", "S", "T"]).exits(2);
    assert!(same.err.contains("same subjects"), "{same:?}");
    let copy = ["stream", "copy", "S", "T", "--subjects", "t.>", "--json"];
    let info = run(&server, &copy).ok().json();
    let config = &info["config"];
    assert_eq!((&config["name"], &config["max_msgs"]), (&json!("T"), &json!(9)));
    assert_eq!((&config["subjects"], &config["metadata"]["k"]), (&json!(["t.>"]), &json!("v")));
    assert_eq!(info["state"]["messages"], 0);
}

// Shows U-085, U-100.
#[test]
fn one_message_is_removed() {
    let server = with_stream();
    run(&server, &["stream", "rmm", "S", "3"]).exits(9);
    run(&server, &["stream", "rmm", "S", "3", "--dry-run"]).ok();
    let answer = run(&server, &["stream", "rmm", "S", "3", "-f", "--json"]).ok().json();
    assert_eq!(answer["success"], true);
    run(&server, &["stream", "get", "S", "3"]).exits(5);
    let again = run(&server, &["stream", "rmm", "S", "3", "-f", "--json"]).exits(1);
    assert_eq!(again.error()["err_code"], 10043);
    run(&server, &["stream", "rmm", "S", "4", "-f"]).ok();
    let gaps = run(&server, &["stream", "gaps", "S", "--json"]).ok().json();
    assert_eq!(gaps, json!([{"first": 3, "last": 4}]));
    let table = run(&server, &["stream", "gaps", "S", "--output", "tsv"]).ok();
    assert_eq!(table.text(), "First Message\tLast Message\tMessages\n3\t4\t2\n");
}

// Shows U-085.
#[test]
fn a_sealed_stream_takes_nothing_more() {
    let server = with_stream();
    run(&server, &["stream", "seal", "S"]).exits(9);
    let info = run(&server, &["stream", "seal", "S", "-f", "--json"]).ok().json();
    assert_eq!(info["config"]["sealed"], true);
    let refused = run(&server, &["pub", "-J", "s.1", "more", "--json"]).exits(1);
    assert_eq!(refused.error()["err_code"], 10109);
}
