//! A server on real files whose disk fills up and fails when the test says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::Server;
use crate::builder::Store;
use crate::disk::faulty::Faults;
use crate::log::LogOptions;
use peer::Peer;

#[allow(dead_code, reason = "shared with the tests from outside")]
#[path = "../tests/it/peer.rs"]
pub(crate) mod peer;

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) faults: Arc<Faults>,
    config: &'static str,
}

impl World {
    pub(crate) fn new(config: &'static str) -> Self {
        World { folder: tempfile::tempdir().unwrap(), faults: Arc::default(), config }
    }

    pub(crate) fn start(&self) -> (Server, Peer) {
        let log = LogOptions { file: Some(self.log_file()), ..LogOptions::default() };
        let mut builder = Server::builder().jetstream_in_memory();
        if !self.config.is_empty() {
            builder = builder.config(self.config).unwrap();
        }
        builder = builder.log(log);
        builder.store = Store::Faulty(self.folder.path().to_owned(), self.faults.clone());
        let server = builder.start_blocking().unwrap();
        let peer = Peer::open(&server);
        (server, peer)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    #[track_caller]
    pub(crate) fn said(&self, text: &str) {
        let log = self.log();
        assert!(log.contains(text), "{text:?} is not in\n{log}");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }
}

const CREATE: &str = r#"{"name":"S","subjects":["s.>"]}"#;

fn state(peer: &mut Peer) -> Value {
    peer.request("$JS.API.STREAM.INFO.S", "")["state"].clone()
}

#[track_caller]
fn is_there(peer: &mut Peer, seq: u64) {
    let got = peer.request("$JS.API.STREAM.MSG.GET.S", &format!("{{\"seq\":{seq}}}"));
    assert_eq!(got["message"]["seq"], seq);
}

/// Publishes until it is taken: the disk is looked at each second.
fn until_taken(peer: &mut Peer, body: &str) -> u64 {
    for _ in 0..100_000 {
        let ack = peer.ask("s.a", body);
        match ack["seq"].as_u64() {
            Some(seq) if ack["error"].is_null() => return seq,
            _ => std::thread::yield_now(),
        }
    }
    panic!("nothing is taken any more");
}

fn code(answer: &Value) -> u64 {
    answer["error"]["err_code"].as_u64().unwrap_or(0)
}

// Shows J-212.
#[test]
fn a_full_disk_refuses_serves_and_goes_on_when_there_is_room() {
    let world = World::new("");
    let (server, mut peer) = world.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    for number in 1..=5 {
        assert_eq!(peer.request("s.a", "kept")["seq"], number);
    }
    world.faults.full.store(true, Ordering::Relaxed);
    // What was on its way hears the disk's words, all later ones that there is no room.
    let refused = peer.ask("s.a", "refused");
    assert_eq!(code(&refused), 10077, "{refused}");
    assert_eq!(code(&peer.ask("s.a", "refused")), 10023);
    world.said("nothing is stored, since there is no room");
    (1..=5).for_each(|seq| is_there(&mut peer, seq));
    assert_eq!(state(&mut peer)["messages"], 5);
    // Nor are streams made: the one on whose account the disk says so waits, the others are refused.
    peer.send("PUB $JS.API.STREAM.CREATE.T made 12\r\n{\"name\":\"T\"}\r\nPING\r\n");
    peer.expect("PONG");
    let refuses = "the catalog of streams and consumers: nothing is stored, since there is no room";
    while !world.log().contains(refuses) {
        std::thread::yield_now();
    }
    assert_eq!(code(&peer.ask("$JS.API.STREAM.CREATE.U", r#"{"name":"U"}"#)), 10023);
    world.faults.full.store(false, Ordering::Relaxed);
    let seq = until_taken(&mut peer, "taken");
    // Sequences that were refused are not handed out again.
    assert!(seq > 6, "{seq}");
    world.said("the disk takes what is stored again");
    assert_eq!(peer.request("s.a", "taken")["seq"], seq + 1);
    server.shutdown_blocking();
    let (_server, mut peer) = world.start();
    let state = state(&mut peer);
    assert_eq!((&state["messages"], &state["last_seq"]), (&json!(7), &json!(seq + 1)));
    (1..=5).chain([seq, seq + 1]).for_each(|seq| is_there(&mut peer, seq));
}

// Shows J-212.
#[test]
fn what_a_refused_message_would_have_replaced_stays() {
    let streams = [
        (r#""max_msgs_per_subject":1"#, ""),
        (r#""max_msgs":1"#, ""),
        (r#""allow_rollup_hdrs":true"#, "Nats-Rollup: sub"),
        (r#""allow_rollup_hdrs":true"#, "Nats-Rollup: all"),
        (r#""allow_rollup_hdrs":true,"allow_atomic":true"#, "Nats-Rollup: all"),
    ];
    for (number, (fields, header)) in streams.into_iter().enumerate() {
        let world = World::new("");
        let (server, mut peer) = world.start();
        let create = format!(r#"{{"name":"S","subjects":["s.>"],{fields}}}"#);
        peer.request("$JS.API.STREAM.CREATE.S", &create);
        assert_eq!(peer.request("s.a", "precious")["seq"], 1);
        let before = state(&mut peer);
        world.faults.full.store(true, Ordering::Relaxed);
        let mut head = "NATS/1.0\r\n".to_owned();
        if number == 4 {
            head.push_str("Nats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n");
        }
        head.push_str(header);
        head.push_str(if header.is_empty() { "\r\n" } else { "\r\n\r\n" });
        let total = head.len() + 3;
        peer.send(format!("SUB r 7\r\nHPUB s.a r {} {total}\r\n{head}new\r\n", head.len()));
        assert!(peer.line().starts_with("MSG r 7 "));
        let refused: Value = serde_json::from_str(&peer.line()).unwrap();
        assert_eq!(code(&refused), 10077, "{refused}");
        is_there(&mut peer, 1);
        let after = state(&mut peer);
        for counter in ["messages", "bytes", "first_seq", "num_subjects"] {
            assert_eq!(after[counter], before[counter], "{counter}");
        }
        world.faults.full.store(false, Ordering::Relaxed);
        // The disk is looked at each second; a removal waits for that.
        peer.request("$JS.API.STREAM.PURGE.S", r#"{"filter":"s.other"}"#);
        is_there(&mut peer, 1);
        server.shutdown_blocking();
        let (_server, mut peer) = world.start();
        is_there(&mut peer, 1);
    }
}

// Shows J-213.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_its_file_is_left() {
    let world = World::new("");
    let (server, mut peer) = world.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    for number in 1..=3 {
        assert_eq!(peer.request("s.a", "kept")["seq"], number);
    }
    world.faults.fail_syncs_after(Some(0));
    let refused = peer.ask("s.a", "refused");
    assert_eq!(code(&refused), 10077, "{refused}");
    world.said("a sync failed");
    // Seen by nobody, although the file may hold it.
    assert_eq!(state(&mut peer)["messages"], 3);
    assert_eq!(code(&peer.ask("$JS.API.STREAM.MSG.GET.S", r#"{"seq":4}"#)), 10037);
    let failed: Vec<String> = world.faults.failed.lock().unwrap().clone();
    let segment = failed.iter().find(|path| path.ends_with(".seg")).unwrap().clone();
    world.faults.take_written();
    world.faults.fail_syncs_after(None);
    let seq = until_taken(&mut peer, "taken");
    assert!(seq > 4, "{seq}");
    // A later sync of that file may succeed without what the first one dropped: it is written no more.
    let written = world.faults.take_written();
    assert!(!written.contains(&segment), "{segment} in {written:?}");
    assert!(written.iter().any(|path| path.starts_with("streams/") && path.ends_with(".seg")));
    server.shutdown_blocking();
    let (_server, mut peer) = world.start();
    assert_eq!(state(&mut peer)["messages"], 4);
    [1, 2, 3, seq].into_iter().for_each(|seq| is_there(&mut peer, seq));
}

#[test]
fn a_server_that_can_open_no_file_refuses_for_a_while() {
    let world = World::new("");
    let (server, mut peer) = world.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    assert_eq!(peer.request("s.a", "kept")["seq"], 1);
    world.faults.no_files.store(true, Ordering::Relaxed);
    let refused = peer.ask("s.a", "refused");
    assert_eq!(code(&refused), 10077, "{refused}");
    world.said("no file can be opened");
    world.faults.no_files.store(false, Ordering::Relaxed);
    let seq = until_taken(&mut peer, "taken");
    server.shutdown_blocking();
    let (_server, mut peer) = world.start();
    is_there(&mut peer, 1);
    is_there(&mut peer, seq);
    assert_eq!(state(&mut peer)["messages"], 2);
}

// Shows J-206.
#[test]
fn publishers_that_come_during_a_sync_share_the_next_one() {
    const PUBLISHERS: usize = 16;
    let world = World::new("");
    let (server, mut peer) = world.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    peer.request("s.a", "the first makes the file");
    let before = world.faults.syncs.load(Ordering::Relaxed);
    world.faults.hold_syncs(true);
    let mut publishers: Vec<Peer> = (0..PUBLISHERS).map(|_| Peer::open(&server)).collect();
    for (number, peer) in publishers.iter_mut().enumerate() {
        peer.send(format!("SUB acks.{number} 1\r\nPUB s.a acks.{number} 1\r\nx\r\nPING\r\n"));
        // It was taken, and is not acknowledged.
        peer.expect("PONG");
    }
    world.faults.hold_syncs(false);
    publishers.iter_mut().for_each(|peer| peer.messages(1));
    // One for whoever came first, one for all others.
    assert_eq!(world.faults.syncs.load(Ordering::Relaxed) - before, 2);
    assert_eq!(state(&mut peer)["messages"], 1 + PUBLISHERS);
}

// Shows a part of J-205.
#[test]
fn an_interval_acknowledges_before_it_syncs_and_always_after() {
    for (config, waits) in [("jetstream { sync_interval: always }", true), ("", true)] {
        let world = World::new(config);
        let (_server, mut peer) = world.start();
        peer.request("$JS.API.STREAM.CREATE.S", CREATE);
        world.faults.fail_syncs_after(Some(0));
        assert_eq!(code(&peer.ask("s.a", "x")) == 10077, waits, "{config}");
    }
    let world = World::new("jetstream { sync_interval: \"1h\" }");
    let (_server, mut peer) = world.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    world.faults.fail_syncs_after(Some(0));
    (1..=3).for_each(|seq| assert_eq!(peer.request("s.a", "x")["seq"], seq));
    assert!(world.faults.failed.lock().unwrap().is_empty());
}
