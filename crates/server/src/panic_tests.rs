//! What becomes of a server in which something panics (D-0028).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use natterjack_jetstream::{Delivered, Host, Inbound, Outgoing, StreamCell};
use natterjack_store::DiskRequest;

use crate::Server;
use crate::connection::with_batch;
use crate::disk_tests::World;
use crate::disk_tests::peer::Peer;
use crate::hub::Hub;
use crate::jetstream::now;
use crate::run;

/// A host that panics when a stream hands it a disk request, and so under the stream's lock.
struct Panics;

impl Host for Panics {
    fn deliver(&mut self, _: &Outgoing<'_>) -> Delivered {
        Delivered::No
    }

    fn has_interest(&mut self, _: &str, _: &[u8]) -> bool {
        false
    }

    fn is_subscribed(&mut self, _: &str, _: &[u8], _: Option<&[u8]>) -> bool {
        false
    }

    fn disk(&mut self, _: u64, _: DiskRequest) {
        panic!("thrown by a test");
    }

    fn wake_at(&mut self, _: u64, _: u64) {}

    fn subscribe(&mut self, _: &str, _: &[u8], _: &Arc<StreamCell>) {}

    fn unsubscribe(&mut self, _: &str, _: &[u8], _: u64) {}

    fn watch_interest(&mut self, _: &str, _: &[u8], _: u64, _: bool) {}

    fn random(&mut self) -> u64 {
        4
    }
}

/// Publishes to the stream `S`, and panics half way.
fn publish_half(hub: &Hub) {
    let cell = hub.jetstream().unwrap().engine().stream("$G", "S").unwrap();
    with_batch(hub, |batch| {
        let (subject, payload) = (b"s.a", b"half");
        let message = Inbound { subject, reply: None, headers: &[], payload };
        cell.publish(&mut Panics, now(batch), &message);
        cell.settle(&mut Panics, now(batch));
    });
}

const CREATE: &str = r#"{"name":"S","subjects":["s.>"]}"#;

/// A server with one acknowledged message.
fn with_one(world: &World) -> (Server, Peer) {
    let (server, mut peer) = world.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    assert_eq!(peer.request("s.a", "kept")["seq"], 1);
    (server, peer)
}

/// Waits until the server has stopped by itself, and returns what it says of that.
#[track_caller]
fn stopped(server: Server) -> String {
    let limit = std::time::Duration::from_secs(60);
    let stopped = async { tokio::time::timeout(limit, server.stopped()).await };
    server.runtime.as_ref().unwrap().block_on(stopped).expect("the server goes on");
    assert!(server.panicked().is_some());
    // As `natterjack serve` does.
    run::wait(server).unwrap_err()
}

/// What a client receives until the end.
fn rest(mut peer: Peer) -> String {
    let mut rest = Vec::new();
    // The end may come as an error: the server does not read what was sent last.
    let _ = peer.input.read_to_end(&mut rest);
    String::from_utf8(rest).unwrap()
}

/// The next server has what was acknowledged, and goes on behind it.
fn is_kept(world: &World) {
    let (server, mut peer) = world.start();
    let got = peer.request("$JS.API.STREAM.MSG.GET.S", r#"{"seq":1}"#);
    assert_eq!(got["message"]["data"], "a2VwdA==");
    let before = peer.request("$JS.API.STREAM.INFO.S", "")["state"]["last_seq"].as_u64().unwrap();
    assert_eq!(peer.request("s.a", "more")["seq"], before + 1);
    server.shutdown_blocking();
}

#[test]
fn a_panic_under_the_lock_of_a_stream_stops_the_server_and_keeps_what_was_acknowledged() {
    let world = World::new("");
    let (server, peer) = with_one(&world);
    let hub = server.hub.clone();
    server.hub.runtime().spawn(async move { publish_half(&hub) });
    assert_eq!(stopped(server), "the server stopped after a panic: thrown by a test");
    assert!(!rest(peer).contains("\"seq\""));
    world.said("[FTL] The server stops after a panic: thrown by a test");
    world.said("[ERR] stream \"$G > S\" was being changed");
    // Nothing is asked of the disk any more.
    assert!(!world.log().contains("The disk did not finish"));
    is_kept(&world);
}

#[test]
fn a_stream_that_a_panic_left_half_changed_is_not_entered() {
    let world = World::new("");
    let (server, mut peer) = with_one(&world);
    let hub = server.hub.clone();
    // On a thread that is not the server's: nobody there knows.
    std::thread::spawn(move || publish_half(&hub)).join().unwrap_err();
    peer.send("SUB answers 8\r\nPUB s.a answers 4\r\nlost\r\n");
    let why = stopped(server);
    assert!(why.ends_with("when it panicked is not used"), "{why}");
    assert!(!rest(peer).contains("\"seq\""));
    is_kept(&world);
}

#[test]
fn a_panic_in_a_thread_of_the_disk_stops_the_server() {
    for what in ["s.a", "$JS.API.STREAM.PURGE.S"] {
        let world = World::new("");
        let (server, mut peer) = with_one(&world);
        world.faults.panics.store(true, Ordering::Relaxed);
        peer.send(format!("SUB answers 8\r\nPUB {what} answers 0\r\n\r\n"));
        assert_eq!(stopped(server), "the server stopped after a panic: thrown by the disk");
        // Nobody is told of what was not done.
        assert!(!rest(peer).contains("MSG answers"));
        world.faults.panics.store(false, Ordering::Relaxed);
        if what == "s.a" {
            is_kept(&world);
        }
    }
}

#[test]
fn a_panic_in_a_task_of_the_server_stops_it() {
    let world = World::new("");
    let (server, _peer) = with_one(&world);
    server.hub.runtime().spawn(async { panic!("thrown by a test") });
    assert_eq!(stopped(server), "the server stopped after a panic: thrown by a test");
    is_kept(&world);
    let (server, _peer) = world.start();
    server.hub.runtime().spawn_blocking(|| panic!("thrown by a test"));
    stopped(server);
}

#[test]
fn a_stop_that_comes_upon_what_a_panic_left_ends_all_the_same() {
    let world = World::new("");
    let (server, _peer) = with_one(&world);
    let hub = server.hub.clone();
    std::thread::spawn(move || publish_half(&hub)).join().unwrap_err();
    server.request_stop();
    let why = stopped(server);
    assert!(why.ends_with("when it panicked is not used"), "{why}");
    // For which it waited twice ten seconds before.
    assert!(!world.log().contains("The disk did not finish"));
    is_kept(&world);
}
