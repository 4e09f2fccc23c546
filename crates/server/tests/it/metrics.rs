//! `/metrics`, read by the grammar of Prometheus's text form 0.0.4.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use natterjack_server::Server;

use super::{Peer, with_stream};

/// Labels and value of each sample, by name of the metric and what it is.
type Families = BTreeMap<(String, String), Vec<(BTreeMap<String, String>, f64)>>;

fn scrape(server: &Server) -> Families {
    let address = server.monitor_url().unwrap().replace("http://", "");
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    parse(body)
}

/// A metric is one HELP, one TYPE and then all its samples; nothing else is allowed here.
fn parse(text: &str) -> Families {
    assert!(text.ends_with('\n'));
    let mut families = Families::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(is_name(name) && !help.is_empty(), "{line}");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert!(["gauge", "counter"].contains(&kind), "{kind}");
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(sample(line.strip_prefix(name).unwrap()));
        }
        assert!(!samples.is_empty(), "{name}");
        let before = families.insert((name.to_owned(), kind.to_owned()), samples);
        assert!(before.is_none(), "{name} twice");
    }
    families
}

/// Labels in braces, quoted, with three escapes; then a blank and a number.
fn sample(rest: &str) -> (BTreeMap<String, String>, f64) {
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_prefix('{').unwrap();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name) && !name.contains(':'), "{name}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (place, '"') => break place,
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped @ ('\\' | '"') => value.push(escaped),
                    other => panic!("\\{other}"),
                },
                (_, other) => value.push(other),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} twice");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, rest.strip_prefix("} ").unwrap().parse().unwrap()),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// The value of the only sample of a metric.
#[track_caller]
fn value(families: &Families, name: &str, kind: &str) -> f64 {
    let samples = families.get(&(name.to_owned(), kind.to_owned())).unwrap();
    assert_eq!(samples.len(), 1, "{name}");
    samples[0].1
}

// Shows U-128.
#[test]
fn metrics_are_the_exporters() {
    let builder = Server::builder()
        .jetstream_in_memory()
        .config("http: \"127.0.0.1:-1\", server_name: \"back\\\\slash\"")
        .unwrap();
    let (server, mut peer) = with_stream(builder, "memory");
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit","description":"say \"hi\""}}"#;
    peer.request("$JS.API.CONSUMER.DURABLE.CREATE.S.C", consumer);
    for _ in 0..3 {
        peer.request("s.a", "hello");
    }
    let families = scrape(&server);

    for (name, wanted) in [
        ("gnatsd_varz_connections", 1.0),
        ("gnatsd_varz_max_payload", 1_048_576.0),
        ("gnatsd_varz_in_msgs", 5.0),
        ("gnatsd_varz_slow_consumer_stats_clients", 0.0),
        ("gnatsd_varz_jetstream_config_max_memory", -1.0),
        ("gnatsd_varz_version", 1.0),
        ("gnatsd_connz_num_connections", 1.0),
        ("gnatsd_connz_total", 1.0),
        ("gnatsd_healthz_status", 0.0),
        ("gnatsd_healthz_status_value", 1.0),
        ("gnatsd_leafz_conn_nodes_total", 0.0),
        ("jetstream_server_jetstream_disabled", 0.0),
        ("jetstream_server_total_streams", 1.0),
        ("jetstream_server_total_consumers", 1.0),
        ("jetstream_server_total_messages", 3.0),
        ("jetstream_stream_total_messages", 3.0),
        ("jetstream_stream_last_seq", 3.0),
        ("jetstream_stream_consumer_count", 1.0),
        ("jetstream_stream_subject_count", 1.0),
        ("jetstream_stream_limit_messages", -1.0),
        ("jetstream_consumer_num_pending", 3.0),
        ("jetstream_consumer_num_ack_pending", 0.0),
        ("jetstream_consumer_ack_floor_stream_seq", 0.0),
    ] {
        assert_eq!(value(&families, name, "gauge"), wanted, "{name}");
    }
    assert_eq!(value(&families, "gnatsd_connz_in_msgs", "counter"), 5.0);
    assert!(value(&families, "gnatsd_varz_start", "gauge") > 1_500_000_000_000.0);
    // Nothing was delivered, so nothing was some time ago.
    assert!(!families.keys().any(|(name, _)| name == "jetstream_consumer_last_delivery_seconds"));

    let labels = |name: &str| families[&(name.to_owned(), "gauge".to_owned())][0].0.clone();
    let stream = labels("jetstream_stream_total_bytes");
    assert_eq!(stream["server_name"], "back\\slash");
    assert_eq!(stream["account"], "$G");
    assert_eq!(stream["stream_name"], "S");
    assert_eq!(stream["is_stream_leader"], "true");
    let consumer = labels("jetstream_consumer_num_waiting");
    assert_eq!(consumer["consumer_name"], "C");
    assert_eq!(consumer["consumer_desc"], "say \"hi\"");
    let received = &families[&("gnatsd_accstatz_received_messages".into(), "gauge".into())];
    assert!(received.iter().any(|(labels, count)| labels["account"] == "$G" && *count == 5.0));
}

#[test]
fn metrics_tell_that_jetstream_is_off() {
    let builder = Server::builder().config("http: \"127.0.0.1:-1\"").unwrap();
    let server = builder.start_blocking().unwrap();
    let peer = Peer::open(&server);
    let families = scrape(&server);
    assert_eq!(value(&families, "jetstream_server_jetstream_disabled", "gauge"), 1.0);
    assert_eq!(value(&families, "jetstream_server_total_streams", "gauge"), 0.0);
    drop(peer);
}
