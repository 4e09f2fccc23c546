//! stream backup and restore: what comes back, on one server and on another.

use natterjack_server::Server;
use serde_json::{Value, json};

use super::run;
use super::witness::{Listening, is_reference, server};

// Shows U-084.
#[test]
fn a_backup_comes_back_whole() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s.>"]).ok();
    run(&server, &["pub", "-J", "s.{{Count}}", "m{{Count}}", "--count", "20", "-q"]).ok();
    run(&server, &["consumer", "add", "S", "C"]).ok();
    run(&server, &["consumer", "next", "S", "C", "--count", "3", "-q"]).ok();
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup");
    let path = backup.to_str().unwrap();
    let saved = run(&server, &["stream", "backup", "S", path, "--json"]);
    assert_eq!(saved.ok().json()["messages"], 20);
    let meta: Value =
        serde_json::from_slice(&std::fs::read(backup.join("backup.json")).unwrap()).unwrap();
    assert_eq!(meta["config"]["name"], "S");
    run(&server, &["stream", "rm", "S", "-f"]).ok();
    let info = run(&server, &["stream", "restore", path, "--json"]).ok().json();
    assert_eq!((&info["state"]["messages"], &info["state"]["last_seq"]), (&json!(20), &json!(20)));
    let next = run(&server, &["consumer", "next", "S", "C", "--raw"]).ok();
    assert_eq!(next.text(), "m4\n");
    let again = run(&server, &["stream", "restore", path, "--json"]).exits(7);
    assert_eq!(again.error()["err_code"], 10130);
    let missing = run(&server, &["stream", "backup", "T", path]).exits(5);
    assert!(missing.err.contains("stream T not found"), "{missing:?}");
}

/// A stream in use: gaps, headers, and consumers of which one is in the middle of its work.
fn fill(server: &impl Listening) {
    run(server, &["stream", "add", "S", "--subjects", "s.>"]).ok();
    let publish = |more: &[&str]| {
        let mut all = vec!["pub", "-J", "-q"];
        all.extend(more);
        run(server, &all).ok();
    };
    publish(&["s.{{Count}}", "m{{Count}}", "--count", "300"]);
    publish(&["s.h", "with", "-H", "Color:red", "-H", "Nats-Msg-Id:x"]);
    publish(&["s.large", &"words and more of them, ".repeat(5_000)]);
    for seq in ["1", "5", "6", "302"] {
        run(server, &["stream", "rmm", "S", seq, "-f"]).ok();
    }
    run(server, &["consumer", "add", "S", "C"]).ok();
    run(server, &["consumer", "add", "S", "F", "--filter", "s.h", "--ack", "none"]).ok();
    run(server, &["consumer", "next", "S", "C", "--count", "2", "-q"]).ok();
    run(server, &["consumer", "next", "S", "C", "--count", "3", "--no-ack", "-q"]).ok();
    run(server, &["consumer", "next", "S", "F", "-q"]).ok();
}

/// What a stream with its consumers is, but for when it was made and told.
fn picture(server: &impl Listening) -> Value {
    let mut state = run(server, &["stream", "state", "S", "--json"]).ok().json();
    // The last message is gone, and with it its time.
    state.as_object_mut().unwrap().remove("last_ts");
    let get = |seq: &str| run(server, &["stream", "get", "S", seq, "--json"]).ok().json();
    let messages: Vec<Value> = ["2", "4", "7", "300", "301"].into_iter().map(get).collect();
    let consumers = ["C", "F"].map(|name| {
        let info = run(server, &["consumer", "info", "S", name, "--json"]).ok().json();
        let positions = ["delivered", "ack_floor"]
            .map(|place| ["consumer_seq", "stream_seq"].map(|which| info[place][which].clone()));
        json!([positions, info["num_ack_pending"], info["num_redelivered"], info["num_pending"]])
    });
    json!({"state": state, "messages": messages, "consumers": consumers})
}

/// With nats-server as the one that is tested the archives exchange between the two.
// Shows U-084.
#[test]
fn an_archive_of_one_server_is_a_stream_of_another() {
    let tested = server();
    let ours = Server::builder().jetstream_in_memory().start_blocking().unwrap();
    fn exchange(from: &impl Listening, to: &impl Listening) {
        fill(from);
        let before = picture(from);
        assert_eq!(before["consumers"][0], json!([[[5, 8], [2, 3]], 3, 0, 293]));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        run(from, &["stream", "backup", "S", path]).ok();
        run(to, &["stream", "restore", path]).ok();
        assert_eq!(picture(to), before);
        // What was delivered and not acknowledged comes again, and what follows comes next.
        let wait = ["consumer", "edit", "S", "C", "--wait", "1s", "-f"];
        run(to, &wait).ok();
        let mut all = String::new();
        // All that is new is through after 74 of them; the next one waits for what comes again.
        for _ in 0..100 {
            let come = run(to, &["consumer", "next", "S", "C", "--count", "4", "--raw"]);
            all.push_str(come.text());
            if ["m4\n", "m7\n", "m8\n"].iter().all(|open| all.contains(open)) {
                break;
            }
        }
        for open in ["m4\n", "m7\n", "m8\n"] {
            assert!(all.contains(open), "{all}");
        }
        assert!(!all.contains("m2\n") && !all.contains("m3\n"), "{all}");
        run(to, &["stream", "rm", "S", "-f"]).ok();
    }
    exchange(&tested, &ours);
    if is_reference() {
        // What is kept in memory there is kept on disk here, and the other way round.
        run(&tested, &["stream", "rm", "S", "-f"]).ok();
        exchange(&ours, &tested);
    }
}

#[test]
fn a_stream_comes_back_without_consumers_and_in_small_pieces_on_demand() {
    let server = server();
    fill(&server);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let options = ["--no-consumers", "--chunk-size", "1K", "--check", "--no-progress"];
    let mut backup = vec!["stream", "backup", "S", path];
    backup.extend(options);
    run(&server, &backup).ok();
    run(&server, &["stream", "rm", "S", "-f"]).ok();
    let info = run(&server, &["stream", "restore", path, "--json"]).ok().json();
    assert_eq!(info["state"]["messages"], 298);
    assert_eq!(info["state"]["consumer_count"], 0);
    // Damage is told, and the server goes on.
    run(&server, &["stream", "rm", "S", "-f"]).ok();
    let data = dir.path().join("stream.tar.s2");
    let mut bytes = std::fs::read(&data).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    std::fs::write(&data, &bytes).unwrap();
    let failed = run(&server, &["stream", "restore", path, "--json"]).exits(1);
    assert_eq!(failed.error()["err_code"], 10062);
}
