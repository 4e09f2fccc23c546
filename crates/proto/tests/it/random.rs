//! Properties over random bytes and random operations.

use natterjack_proto::connect::redact;
use natterjack_proto::headers::{HeaderBlock, without_status};
use natterjack_proto::{Connect, Headers, Info, Limits, Parser, encode};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::driver::feed;
use crate::reader::{Message, read};

const LIMITS: Limits = Limits { max_control_line: 24, max_payload: 40 };

/// Bytes that often look like operations.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"PUB a 3\r\nabc\r\n"[..]),
        Just(&b"PUB abcdefgh.i 1 10\r\n0123456789\r\n"[..]),
        Just(&b"HPUB a 2 3\r\nabc\r\n"[..]),
        Just(&b"PUB a 00"[..]),
        Just(&b"hpub a.b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"[..]),
        Just(&b"SUB a 1\r\n"[..]),
        Just(&b"PING\r\n"[..]),
        Just(&b"CONNECT {}\r\n"[..]),
        Just(&b"UNSUB 1 2\n"[..]),
        Just(&b"PUB "[..]),
        Just(&b"INFO"[..]),
        Just(&b"-ERR "[..]),
        Just(&b"+OK"[..]),
        Just(&b" "[..]),
        Just(&b"\r\n"[..]),
        Just(&b"7"[..]),
        Just(&b"7 "[..]),
        Just(&b"\t"[..]),
        Just(&b"x"[..]),
        Just(&b"\xff\0"[..]),
    ];
    prop_oneof![vec(any::<u8>(), 0..80), vec(piece, 0..16).prop_map(|pieces| pieces.concat())]
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("no blank", |b| !b" \t\r\n".contains(b)), 1..12)
}

proptest! {
    /// No panic, sane progress (the driver asserts it), and the same whatever the pieces.
    #[test]
    fn fragmentation_changes_nothing(input in wire(), cuts in vec(0..80_usize, 0..6)) {
        let whole = feed(&mut Parser::new(LIMITS), [&input[..]]);
        prop_assert_eq!(&feed(&mut Parser::new(LIMITS), input.chunks(1)), &whole);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&input[from..cut]);
            from = cut;
        }
        pieces.push(&input[from..]);
        prop_assert_eq!(&feed(&mut Parser::new(LIMITS), pieces), &whole);
    }

    /// What is encoded is what a subscriber reads, and lengths are as promised.
    #[test]
    fn messages_survive(
        subject in word(),
        sid in word(),
        reply in proptest::option::of(word()),
        headers in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let mut out = Vec::new();
        encode::msg(&mut out, &subject, &sid, reply.as_deref(), &payload);
        let msg_len = encode::msg_len(&subject, &sid, reply.as_deref(), payload.len());
        prop_assert_eq!(out.len(), msg_len);
        encode::hmsg(&mut out, &subject, &sid, reply.as_deref(), &headers, &payload);
        let hmsg_len =
            encode::hmsg_len(&subject, &sid, reply.as_deref(), headers.len(), payload.len());
        prop_assert_eq!(out.len() - msg_len, hmsg_len);
        let mut rest = &out[..];
        for headers in [vec![], headers] {
            let expected = Message {
                subject: subject.clone(),
                sid: sid.clone(),
                reply: reply.clone(),
                headers,
                payload: payload.clone(),
            };
            prop_assert_eq!(read(&mut rest), expected);
        }
        prop_assert!(rest.is_empty());
    }

    /// Whatever a publisher puts into a line comes out of the parser.
    #[test]
    fn publishes_survive(
        subject in word(),
        reply in proptest::option::of(word()),
        headers in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let mut wire = [b"HPUB ", &subject[..], b" "].concat();
        if let Some(reply) = &reply {
            wire.extend_from_slice(&[&reply[..], b" "].concat());
        }
        let total = headers.len() + payload.len();
        wire.extend_from_slice(format!("{} {total}\r\n", headers.len()).as_bytes());
        wire.extend_from_slice(&[&headers[..], &payload, b"\r\n"].concat());
        let expected = format!(
            "HPUB {} {} [{}] [{}]\n",
            subject.escape_ascii(),
            reply.map_or("-".into(), |reply| reply.escape_ascii().to_string()),
            headers.escape_ascii(),
            payload.escape_ascii(),
        );
        prop_assert_eq!(feed(&mut Parser::new(Limits::default()), [&wire[..]]), expected);
    }

    /// Header blocks of any bytes are looked at and changed without a panic.
    #[test]
    fn any_header_block_is_handled(block in wire(), name in "[A-Za-z-]{1,8}") {
        let headers = Headers::new(&block);
        let _ = (headers.get(&name), headers.status(), headers.iter().count());
        let stored = without_status(&block);
        prop_assert!(stored.len() <= block.len());
        let mut changed = HeaderBlock::from_raw(&stored);
        changed.push(&name, "first").set(&name, "last");
        prop_assert_eq!(changed.get(&name), Some(&b"last"[..]));
        prop_assert!(changed.remove(&name));
        prop_assert_eq!(changed.get(&name), None);
        prop_assert!(changed.into_bytes().ends_with(b"\r\n\r\n"));
    }

    /// A CONNECT or INFO of any bytes is parsed or refused.
    #[test]
    fn any_json_is_handled(json in vec(any::<u8>(), 0..60), text in "\\PC{0,40}") {
        for json in [&json[..], text.as_bytes()] {
            let _ = (Connect::parse(json), Info::parse(json), redact(json));
        }
    }
}
