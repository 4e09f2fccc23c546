//! Bytes of a client connection: never a panic, and the same operations however they are cut.
//!
//! The first two bytes of the input choose limits and cuts, the rest is what the client sends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use natterjack_proto::connect::redact;
use natterjack_proto::headers::{HeaderBlock, without_status};
use natterjack_proto::{Connect, Headers, Info, Limits, Op, ParseErrorKind, Parser, Step, encode};

/// An operation that outlives the buffer it came from: kind and fields.
type Seen = (u8, Vec<Option<Vec<u8>>>, Option<u64>);

/// How a connection ended: by an error, or with so many bytes left over.
#[derive(Debug, PartialEq)]
enum End {
    Error(ParseErrorKind),
    Left(usize),
}

fuzz_target!(|data: &[u8]| {
    let [choice, seed, input @ ..] = data else { return };
    let limits = Limits {
        max_control_line: if choice & 1 == 0 { 4096 } else { 32 },
        max_payload: if choice & 2 == 0 { 1024 * 1024 } else { 64 },
    };
    let parser = || {
        let mut parser = Parser::new(limits);
        parser.allow_headers(choice & 4 == 0);
        parser
    };
    let whole = run(parser(), &mut std::iter::once(input));
    let bytes = run(parser(), &mut input.chunks(1));
    assert_eq!(bytes, whole, "byte by byte");
    let cut = run(parser(), &mut Cuts { rest: input, state: u32::from(*seed) });
    assert_eq!(cut, whole, "in pieces");
});

/// Feeds the pieces; checks on the way that progress is sane.
fn run<'b>(mut parser: Parser, pieces: &mut dyn Iterator<Item = &'b [u8]>) -> (Vec<Seen>, End) {
    let mut seen = Vec::new();
    let mut buf = Vec::new();
    let mut at_least = 0;
    for piece in pieces {
        buf.extend_from_slice(piece);
        let mut used = 0;
        loop {
            let rest = &buf[used..];
            match parser.next(rest) {
                Ok(Step::Op { op, consumed }) => {
                    assert!(consumed > 0 && consumed <= rest.len());
                    assert!(rest.len() >= at_least);
                    at_least = 0;
                    used += consumed;
                    look_inside(&op);
                    seen.push(keep(&op));
                }
                Ok(Step::Need { at_least: need }) => {
                    assert!(need > rest.len());
                    assert!(need >= at_least);
                    at_least = need;
                    break;
                }
                Err(error) => {
                    assert!(!error.log_text().is_empty());
                    assert!(error.server_error().is_none_or(|error| error.closes()));
                    let _ = error.closed_reason();
                    return (seen, End::Error(error.kind()));
                }
            }
        }
        buf.drain(..used);
    }
    (seen, End::Left(buf.len()))
}

/// Hands the fields to what reads them next.
fn look_inside(op: &Op<'_>) {
    match op {
        Op::Connect(json) => {
            let _ = (Connect::parse(json), redact(json));
        }
        Op::Info(json) => drop(Info::parse(json)),
        Op::Pub(publish) => {
            let headers = Headers::new(publish.headers);
            let _ = (headers.get("A"), headers.status(), headers.iter().count());
            let mut block = HeaderBlock::from_raw(&without_status(publish.headers));
            block.push("A", "1").set("A", "2");
            assert_eq!(block.get("A"), Some(&b"2"[..]));
            assert!(block.remove("A"));
            let mut out = Vec::new();
            let (subject, reply, body) = (publish.subject, publish.reply, publish.payload);
            encode::hmsg(&mut out, subject, b"1", reply, publish.headers, body);
            let len = encode::hmsg_len(subject, b"1", reply, publish.headers.len(), body.len());
            assert_eq!(out.len(), len);
        }
        _ => {}
    }
}

fn keep(op: &Op<'_>) -> Seen {
    let own = |bytes: &[u8]| Some(bytes.to_vec());
    let maybe = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    match op {
        Op::Connect(json) => (0, vec![own(json)], None),
        Op::Pub(p) => {
            let fields = vec![own(p.subject), maybe(p.reply), own(p.headers), own(p.payload)];
            (1 + u8::from(p.is_hpub), fields, None)
        }
        Op::Sub { subject, queue, sid } => (3, vec![own(subject), maybe(*queue), own(sid)], None),
        Op::Unsub { sid, max } => (4, vec![own(sid)], *max),
        Op::Ping => (5, vec![], None),
        Op::Pong => (6, vec![], None),
        Op::Info(json) => (7, vec![own(json)], None),
        Op::Ok => (8, vec![], None),
        Op::Err(text) => (9, vec![own(text)], None),
    }
}

/// Pieces of 0 to 15 bytes, as a small generator says.
struct Cuts<'b> {
    rest: &'b [u8],
    state: u32,
}

impl<'b> Iterator for Cuts<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = ((self.state >> 24) as usize % 16).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(piece)
    }
}
