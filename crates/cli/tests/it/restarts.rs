//! Commands that go on while their server is away.

use std::path::Path;

use natterjack_server::Server;
use serde_json::Value;

use super::{Running, command, run};

/// A server whose streams are in a directory; port 0 is any.
fn start(store: &Path, port: u16) -> Server {
    Server::builder().jetstream(store).port(port).start_blocking().unwrap()
}

fn port(server: &Server) -> u16 {
    server.client_url().rsplit(':').next().unwrap().parse().unwrap()
}

/// Reads the end of standard error up to the loss of the server, stops it, and starts another in its
/// place.
fn restart(server: Server, store: &Path, readers: &mut [&mut Running]) -> Server {
    let port = port(&server);
    server.shutdown_blocking();
    readers.iter_mut().for_each(|reader| drop(reader.wait_for("disconnected from")));
    start(store, port)
}

// Shows U-080, U-086.
#[test]
fn readers_of_a_stream_go_on_over_a_restart() {
    let store = tempfile::tempdir().unwrap();
    let server = start(store.path(), 0);
    run(&server, &["stream", "add", "S", "--subjects", "s.>", "-q"]).ok();
    run(&server, &["consumer", "add", "S", "C", "-q"]).ok();
    run(&server, &["pub", "-J", "s.1", "m1", "-q"]).ok();
    // Nothing goes on only because a limit is over.
    let read = ["sub", "--stream", "S", "--raw", "--timeout", "1h"];
    let mut passing = Running::start(command(&server, &read));
    // Begins behind the end, and not at the beginning after the restart.
    let read = ["sub", "--stream", "S", "--start-sequence", "2", "--raw", "--timeout", "1h"];
    let mut late = Running::start(command(&server, &read));
    late.wait_for("Subscribing");
    let read = ["consumer", "sub", "S", "C", "--raw", "--timeout", "1h"];
    let mut durable = Running::start(command(&server, &read));
    assert_eq!((passing.line(), durable.line()), ("m1".to_owned(), "m1".to_owned()));
    let acked = || -> Value {
        let info = run(&server, &["consumer", "info", "S", "C", "--json"]).ok().json();
        info["ack_floor"]["stream_seq"].clone()
    };
    while acked() != 1 {}
    let server = restart(server, store.path(), &mut [&mut passing, &mut late, &mut durable]);
    run(&server, &["pub", "-J", "s.2", "m2", "-q"]).ok();
    assert_eq!((passing.line(), durable.line()), ("m2".to_owned(), "m2".to_owned()));
    assert_eq!(late.line(), "m2");
    for reader in [passing, late, durable] {
        reader.signal("INT");
        reader.end().ok();
    }
}
