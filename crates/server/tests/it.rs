//! The embedded server from outside: start, stop, protocol over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "it/certificates.rs"]
mod certificates;
#[path = "it/damage.rs"]
mod damage;
#[path = "it/embedding.rs"]
mod embedding;
#[path = "it/metrics.rs"]
mod metrics;
#[path = "it/peer.rs"]
mod peer;
#[path = "it/resolvers.rs"]
mod resolvers;
#[path = "it/sharing.rs"]
mod sharing;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/websocket.rs"]
mod websocket;

use std::io::{Read, Write};
use std::net::TcpStream;

use natterjack_server::Server;
use peer::Peer;

fn start() -> Server {
    Server::builder().start_blocking().unwrap()
}

#[test]
fn a_message_reaches_subscribers_of_other_connections() {
    let server = start();
    let (mut a, mut b) = (Peer::open(&server), Peer::open(&server));
    a.send("SUB foo.* 7\r\nPING\r\n");
    a.expect("PONG");
    b.send("PUB foo.x inbox 5\r\nhello\r\n");
    a.expect("MSG foo.x 7 inbox 5");
    a.expect("hello");
    server.shutdown_blocking();
}

#[test]
fn a_payload_larger_than_the_read_buffer_arrives_whole() {
    let server = start();
    let (mut a, mut b) = (Peer::open(&server), Peer::open(&server));
    a.send("SUB big 1\r\nPING\r\n");
    a.expect("PONG");
    let body: Vec<u8> = (0..900_000_u32).map(|index| b'a' + (index % 26) as u8).collect();
    b.send(format!("PUB big {}\r\n", body.len()));
    for part in body.chunks(70_001) {
        b.send(part);
    }
    b.send("\r\nPING\r\n");
    b.expect("PONG");
    a.expect("MSG big 1 900000");
    let mut got = vec![0; body.len() + 2];
    a.input.read_exact(&mut got).unwrap();
    assert!(got[..body.len()] == body[..]);
}

#[test]
fn a_client_that_never_reads_is_closed_as_a_slow_consumer() {
    let server = Server::builder().config("max_pending: 200000, max_payload: 100000").unwrap();
    let server = server.start_blocking().unwrap();
    let (mut slow, mut fast) = (Peer::open(&server), Peer::open(&server));
    slow.send("SUB flood 1\r\nPING\r\n");
    slow.expect("PONG");
    let message = [b"PUB flood 50000\r\n".as_slice(), &[b'x'; 50_000], b"\r\n"].concat();
    // Bounded: far more than all buffers of both sides hold.
    for _ in 0..2_000 {
        fast.send(&message);
        if server.slow_consumers() > 0 {
            break;
        }
    }
    fast.send("PING\r\n");
    fast.expect("PONG");
    assert_eq!(server.slow_consumers(), 1);
}

#[test]
fn a_token_is_demanded_and_checked() {
    let server = Server::builder().token("s3cr3t").start_blocking().unwrap();
    let mut right = Peer::connect(&server);
    assert_eq!(right.info["auth_required"], true);
    right.send("CONNECT {\"verbose\":false,\"auth_token\":\"s3cr3t\"}\r\nPING\r\n");
    right.expect("PONG");
    for connect in ["CONNECT {\"auth_token\":\"other\"}\r\n", "CONNECT {}\r\n", "PING\r\n"] {
        let mut wrong = Peer::connect(&server);
        wrong.send(connect);
        wrong.expect("-ERR 'Authorization Violation'");
        assert!(wrong.is_closed());
    }
}

// Shows C-203.
#[test]
fn several_servers_live_in_one_process_and_a_drop_frees_the_port() {
    let second = start();
    // Somebody else may take the port in between.
    let is_freed = (0..20).any(|_| {
        let first = start();
        assert_ne!(first.client_url(), second.client_url());
        let mut peer = Peer::open(&first);
        let port: u16 = first.client_url().rsplit_once(':').unwrap().1.parse().unwrap();
        first.shutdown_blocking();
        assert!(peer.is_closed());
        let again = Server::builder().port(port).start_blocking();
        again.is_ok_and(|again| again.client_url().ends_with(&format!(":{port}")))
    });
    assert!(is_freed);
    let mut other = Peer::open(&second);
    drop(second);
    assert!(other.is_closed());
}

// Shows C-203.
#[tokio::test]
async fn an_async_caller_starts_and_stops_it_on_a_current_thread_runtime() {
    let server = Server::builder().jetstream_in_memory().start().await.unwrap();
    let client = async_nats::connect(server.client_url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let account = jetstream.query_account().await.unwrap();
    assert_eq!(account.streams, 0);
    server.shutdown().await;
}

#[test]
fn two_servers_cannot_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::builder().jetstream(folder.path()).start_blocking().unwrap();
    let error =
        Server::builder().jetstream(folder.path()).start_blocking().unwrap_err().to_string();
    assert!(error.contains("in use by another server"), "{error}");
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
    first.shutdown_blocking();
    Server::builder().jetstream(folder.path()).start_blocking().unwrap();
}

#[test]
fn a_wrong_configuration_is_named_with_its_place() {
    let error = Server::builder().config("port: 4222\nfoo: 1").unwrap_err().to_string();
    assert_eq!(error, "config:2:1: unknown field \"foo\"");
}

#[test]
fn mappings_and_permissions_of_the_configuration_apply() {
    let server = Server::builder()
        .config(
            "mappings = { in: out }\n\
             authorization { users = [ {user: u, password: p, permissions: {publish: [out, ok], subscribe: \">\"}} ] }",
        )
        .unwrap()
        .start_blocking()
        .unwrap();
    let mut peer = Peer::connect(&server);
    peer.send("CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"p\"}\r\nSUB out 1\r\nPUB in 1\r\nx\r\nPING\r\n");
    peer.expect("MSG out 1 1");
    peer.expect("x");
    peer.expect("PONG");
    peer.send("PUB no 1\r\nx\r\nPING\r\n");
    peer.expect("-ERR 'Permissions Violation for Publish to \"no\"'");
    peer.expect("PONG");
}

#[test]
fn monitoring_answers_with_the_field_names_of_the_reference() {
    let server = Server::builder().config("http_port: -1").unwrap().start_blocking().unwrap();
    let mut peer = Peer::open(&server);
    peer.send("SUB a 1\r\nPING\r\n");
    peer.expect("PONG");
    let get = |path: &str| {
        let url = server.monitor_url().unwrap();
        let mut socket = TcpStream::connect(url.replace("http://", "")).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    };
    let (status, body) = get("/varz");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let varz: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(varz["connections"], 1);
    assert_eq!(varz["ping_interval"], 120_000_000_000_u64);
    assert_eq!(varz["cluster"], serde_json::json!({}));
    let connz: serde_json::Value = serde_json::from_str(&get("/connz?subs=1").1).unwrap();
    assert_eq!(connz["connections"][0]["subscriptions_list"][0], "a");
    assert_eq!(get("/healthz").1, "{\"status\":\"ok\"}");
    assert_eq!(
        get("/connz?sort=foo"),
        ("HTTP/1.1 400 Bad Request".into(), "invalid sorting option: foo".into())
    );
    assert_eq!(get("/nope").0, "HTTP/1.1 404 Not Found");
}

/// A server with JetStream and the stream `S` of the subjects `s.>`.
fn with_stream(builder: natterjack_server::Builder, storage: &str) -> (Server, Peer) {
    let server = builder.start_blocking().unwrap();
    let mut peer = Peer::open(&server);
    let config = format!("{{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"{storage}\"}}");
    peer.request("$JS.API.STREAM.CREATE.S", &config);
    (server, peer)
}

#[test]
fn a_stop_does_not_wait_for_publishers_that_never_pause() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let builder = Server::builder()
        .jetstream(folder.path().join("store"))
        .log(natterjack_server::log::LogOptions { file: Some(log.clone()), ..Default::default() });
    let (server, mut peer) = with_stream(builder, "file");
    let flood: Vec<_> = (0..3)
        .map(|_| {
            let mut publisher = Peer::open(&server);
            std::thread::spawn(move || {
                let messages = b"PUB s.a 5\r\nhello\r\n".repeat(500);
                while publisher.output.write_all(&messages).is_ok() {}
            })
        })
        .collect();
    // They are under way.
    while peer.request("$JS.API.STREAM.INFO.S", "")["state"]["messages"] == 0 {}
    server.shutdown_blocking();
    flood.into_iter().for_each(|thread| thread.join().unwrap());
    let text = std::fs::read_to_string(log).unwrap();
    assert!(!text.contains("The disk did not finish"), "{text}");
}

#[test]
fn a_puller_that_pauses_is_not_closed_because_another_goes_on() {
    const COUNT: usize = 20_000;
    let builder = Server::builder()
        .jetstream_in_memory()
        .config("max_payload: 65536, max_pending: 300000")
        .unwrap();
    let (server, mut peer) = with_stream(builder, "memory");
    let message = [b"PUB s.a 1000\r\n".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
    peer.send(message.repeat(COUNT));
    peer.send("PING\r\n");
    peer.expect("PONG");
    let mut pull = |name: &str| {
        let config = format!(
            "{{\"stream_name\":\"S\",\"config\":{{\"durable_name\":\"{name}\",\"ack_policy\":\"none\"}}}}"
        );
        peer.request(&format!("$JS.API.CONSUMER.DURABLE.CREATE.S.{name}"), &config);
        let mut puller = Peer::open(&server);
        puller.send(format!(
            "SUB inbox.{name} 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.{name} inbox.{name} 5\r\n{COUNT}\r\n"
        ));
        puller
    };
    let (mut slow, mut fast) = (pull("slow"), pull("fast"));
    fast.messages(COUNT);
    slow.messages(COUNT);
    assert_eq!(server.slow_consumers(), 0);
}
