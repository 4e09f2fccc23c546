//! Header blocks. The lookups were compared with what nats-server 2.15.1 takes for a `Nats-Msg-Id`.

use natterjack_proto::headers::{HeaderBlock, Headers, without_status};

#[test]
fn lookup() {
    let rows: &[(&str, Option<&str>)] = &[
        ("NATS/1.0\r\nId:A\r\n\r\n", Some("A")),
        ("NATS/1.0\r\nId: A\r\n\r\n", Some("A")),
        ("NATS/1.0\r\nId:   A\r\n\r\n", Some("A")),
        ("NATS/1.0\r\nId:\tA\r\n\r\n", Some("\tA")),
        ("NATS/1.0\r\nId: \t A\r\n\r\n", Some("\t A")),
        ("NATS/1.0\r\nId:A \r\n\r\n", Some("A ")),
        ("NATS/1.0\r\nId:\r\n\r\n", Some("")),
        ("NATS/1.0\r\nId: \r\nX: y\r\n\r\n", Some("")),
        ("NATS/1.0\r\nId :A\r\n\r\n", None),
        ("NATS/1.0\r\nid:A\r\n\r\n", None),
        ("NATS/1.0\r\n Id:A\r\n\r\n", None),
        ("NATS/1.0\r\nX: Id:A\r\n\r\n", None),
        ("NATS/1.0\nId:A\r\n\r\n", None),
        ("NATS/1.0\r\nId2:Q\r\nId:A\r\n\r\n", Some("A")),
        ("NATS/1.0\r\nXId:Q\r\nId:A\r\n\r\n", Some("A")),
        ("NATS/1.0\r\nId:Q\r\nId:A\r\n\r\n", Some("Q")),
        ("NATS/1.0\r\nId:A\n\r\n", Some("A\n")),
        ("NATS/1.0\r\nId:A\rB\r\n\r\n", Some("A\rB")),
        ("NATS/1.0\r\nId:A", Some("A")),
        ("NATS/1.0\r\nId:", Some("")),
        ("NATS/1.0\r\nId", None),
        ("hello\r\nId:A\r\n\r\n", Some("A")),
        ("NATS/1.0\r\n\r\nId: A\r\n\r\n", Some("A")),
        ("NATS/1.0 503\r\nId: A\r\n\r\n", Some("A")),
        ("Id: A\r\n\r\n", None),
        ("\r\n", None),
        ("", None),
    ];
    for (block, expected) in rows {
        let headers = Headers::new(block.as_bytes());
        assert_eq!(headers.get_str("Id"), *expected, "{block:?}");
        assert_eq!(headers.get("Id"), expected.map(str::as_bytes), "{block:?}");
    }
}

#[test]
fn iteration() {
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("NATS/1.0\r\n\r\n", &[]),
        ("NATS/1.0 503\r\n\r\n", &[]),
        ("NATS/1.0\r\nA: b\r\nC:d\r\nA:  e:f \r\n\r\n", &[("A", "b"), ("C", "d"), ("A", "e:f ")]),
        ("NATS/1.0\r\nno colon\r\nA:\r\n\r\n", &[("A", "")]),
        ("NATS/1.0\r\nA: b\r\n\r\nC: d\r\n\r\n", &[("A", "b")]),
        ("NATS/1.0\r\nA: b", &[("A", "b")]),
        ("hello", &[]),
    ];
    for (block, expected) in rows {
        let actual: Vec<_> = Headers::new(block.as_bytes())
            .iter()
            .map(|(k, v)| (str::from_utf8(k).unwrap(), str::from_utf8(v).unwrap()))
            .collect();
        assert_eq!(actual, *expected, "{block:?}");
    }
}

#[test]
fn status() {
    let rows: &[(&str, Option<(u16, &str)>)] = &[
        ("NATS/1.0 503\r\n\r\n", Some((503, ""))),
        ("NATS/1.0 100 FlowControl Request\r\n\r\n", Some((100, "FlowControl Request"))),
        ("NATS/1.0  408   Request Timeout \r\nA: b\r\n\r\n", Some((408, "Request Timeout"))),
        ("NATS/1.0 404", Some((404, ""))),
        ("NATS/1.0\r\n\r\n", None),
        ("NATS/1.0 \r\n\r\n", None),
        ("NATS/1.0503\r\n\r\n", None),
        ("NATS/1.0 50\r\n\r\n", None),
        ("NATS/1.0 5032\r\n\r\n", None),
        ("NATS/1.0 5x3\r\n\r\n", None),
        ("NATS/1.0 \u{e9}\u{e9}\r\n\r\n", None),
        ("hello 503\r\n\r\n", None),
        ("", None),
    ];
    for (block, expected) in rows {
        let actual = Headers::new(block.as_bytes())
            .status()
            .map(|s| (s.code, str::from_utf8(s.description).unwrap()));
        assert_eq!(actual, *expected, "{block:?}");
    }
}

/// How nats-server 2.15.1 stores a block.
#[test]
fn status_goes_away() {
    let rows = [
        ("NATS/1.0 100 Foo\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"),
        ("NATS/1.0 100 Foo\r\n\r\n", "NATS/1.0\r\n\r\n"),
        ("NATS/1.0foo\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"),
        ("NATS/1.0\t100\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"),
        ("NATS/1.0\nId:A\r\n\r\n", "NATS/1.0\r\n\r\n"),
        ("NATS/1.0\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"),
        ("NATS/1.1 100\r\nA: b\r\n\r\n", "NATS/1.1 100\r\nA: b\r\n\r\n"),
        ("nats/1.0 100\r\nA: b\r\n\r\n", "nats/1.0 100\r\nA: b\r\n\r\n"),
        ("NATS/1.0 100 no end", "NATS/1.0 100 no end"),
        ("hello", "hello"),
        ("", ""),
    ];
    for (block, expected) in rows {
        assert_eq!(without_status(block.as_bytes()), expected.as_bytes(), "{block:?}");
    }
}

fn built(raw: &str, change: impl FnOnce(&mut HeaderBlock)) -> String {
    let mut block = HeaderBlock::from_raw(raw.as_bytes());
    change(&mut block);
    let len = block.len();
    let bytes = block.into_bytes();
    assert_eq!(bytes.len(), len);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn building() {
    assert_eq!(HeaderBlock::new().into_bytes(), b"NATS/1.0\r\n\r\n");
    assert_eq!(HeaderBlock::with_status(503, "").into_bytes(), b"NATS/1.0 503\r\n\r\n");
    let mut timeout = HeaderBlock::with_status(408, "Request Timeout");
    timeout.push("Nats-Pending-Messages", "1").push("Nats-Pending-Bytes", "0");
    assert_eq!(
        timeout.into_bytes(),
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\nNats-Pending-Bytes: 0\r\n\r\n",
    );
    // What would break the block becomes a space.
    assert_eq!(
        built("", |b| {
            b.push("A\r\nB", "c\nd");
        }),
        "NATS/1.0\r\nA  B: c d\r\n\r\n",
    );
}

#[test]
fn changing() {
    const RAW: &str = "NATS/1.0\r\nA: 1\r\nB:2\r\nA: 3\r\nAB: 4\r\n\r\n";
    let rows = [
        (built(RAW, |_| {}), RAW),
        (
            built(RAW, |b| {
                b.push("C", "5");
            }),
            "NATS/1.0\r\nA: 1\r\nB:2\r\nA: 3\r\nAB: 4\r\nC: 5\r\n\r\n",
        ),
        (
            built(RAW, |b| {
                b.set("A", "longer");
            }),
            "NATS/1.0\r\nA: longer\r\nB:2\r\nAB: 4\r\n\r\n",
        ),
        (
            built(RAW, |b| {
                b.set("AB", "");
            }),
            "NATS/1.0\r\nA: 1\r\nB:2\r\nA: 3\r\nAB: \r\n\r\n",
        ),
        (
            built(RAW, |b| {
                b.set("Z", "z");
            }),
            "NATS/1.0\r\nA: 1\r\nB:2\r\nA: 3\r\nAB: 4\r\nZ: z\r\n\r\n",
        ),
        (built(RAW, |b| assert!(b.remove("A"))), "NATS/1.0\r\nB:2\r\nAB: 4\r\n\r\n"),
        (built(RAW, |b| assert!(!b.remove("a"))), RAW),
        (built(RAW, |b| assert!(b.remove_prefix("A"))), "NATS/1.0\r\nB:2\r\n\r\n"),
        (built(RAW, |b| assert!(!b.remove_prefix("NATS"))), RAW),
        (
            built("NATS/1.0 100 x\r\nA: 1\r\n\r\n", |b| assert!(b.remove("A"))),
            "NATS/1.0 100 x\r\n\r\n",
        ),
        // Malformed blocks keep what they hold.
        (
            built("hello", |b| {
                b.push("A", "1");
            }),
            "hello\r\nA: 1\r\n\r\n",
        ),
        (
            built("NATS/1.0\r\nA:1\r\n", |b| {
                b.set("A", "2");
            }),
            "NATS/1.0\r\nA: 2\r\n\r\n",
        ),
        (built("NATS/1.0\r\nA:1", |b| assert!(b.remove("A"))), "NATS/1.0\r\n\r\n"),
    ];
    for (actual, expected) in rows {
        assert_eq!(actual, expected);
    }
}

#[test]
fn emptiness() {
    let mut block = HeaderBlock::from_raw(b"NATS/1.0\r\nA: 1\r\n\r\n");
    assert!(!block.is_empty());
    assert_eq!(block.get("A"), Some(&b"1"[..]));
    block.remove("A");
    assert!(block.is_empty());
    assert!(HeaderBlock::from_raw(b"").is_empty());
    assert!(!HeaderBlock::with_status(404, "").is_empty());
    assert!(!HeaderBlock::from_raw(b"hello").is_empty());
}
