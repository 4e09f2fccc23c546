//! Parse and encode: what each message costs on its way in and on its way out.

use std::hint::black_box;

use natterjack_proto::encode;
use natterjack_proto::parser::{Limits, Parser, Step};
use natterjack_workload::{Round, Workload, divan};

/// A read buffer of the server.
const BUFFER: usize = 64 * 1024;
const HEADERS: &[u8] =
    b"NATS/1.0\r\nNats-Msg-Id: 0123456789\r\nTraceparent: 00-4bf92f35-01\r\n\r\n";

const WORKLOADS: &[Workload] = &[
    Workload::new("parse/pub-16", || parse(&publish(16))),
    Workload::new("parse/pub-128", || parse(&publish(128))),
    Workload::new("parse/pub-1024", || parse(&publish(1024))),
    Workload::new("parse/pub-reply-16", || {
        parse(
            &[&b"PUB bench.subject _INBOX.0123456789.1 16\r\n"[..], &[b'x'; 16], b"\r\n"].concat(),
        )
    }),
    Workload::new("parse/hpub-128", || {
        let line = format!("HPUB bench.subject {} {}\r\n", HEADERS.len(), HEADERS.len() + 128);
        parse(&[line.as_bytes(), HEADERS, &[b'x'; 128], b"\r\n"].concat())
    }),
    Workload::new("parse/sub", || parse(b"SUB bench.subject.> workers 1234\r\n")),
    Workload::new("parse/pub-128-in-pieces", || parse_in_pieces(&publish(128), 1000)),
    Workload::new("encode/msg-16", || {
        write(|out| encode::msg(out, SUBJECT, SID, None, &[b'x'; 16]))
    }),
    Workload::new("encode/msg-128", || {
        write(|out| encode::msg(out, SUBJECT, SID, None, &[b'x'; 128]))
    }),
    Workload::new("encode/msg-1024", || {
        write(|out| encode::msg(out, SUBJECT, SID, None, &[b'x'; 1024]))
    }),
    Workload::new("encode/msg-reply-128", || {
        write(|out| encode::msg(out, SUBJECT, SID, Some(REPLY), &[b'x'; 128]))
    }),
    Workload::new("encode/hmsg-128", || {
        write(|out| encode::hmsg(out, SUBJECT, SID, None, HEADERS, &[b'x'; 128]))
    }),
];

const SUBJECT: &[u8] = b"bench.subject";
const SID: &[u8] = b"17";
const REPLY: &[u8] = b"$JS.ACK.S.c.1.12345678.12345678.1700000000000000000.1234";

fn publish(size: usize) -> Vec<u8> {
    [format!("PUB bench.subject {size}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n"].concat()
}

/// One operation as a connection parses it, the short way first; the bytes it took.
fn step(parser: &mut Parser, bytes: &[u8]) -> Option<usize> {
    if let Some((publish, consumed)) = parser.next_publish(bytes) {
        black_box(&publish);
        return Some(consumed);
    }
    match parser.next(bytes) {
        Ok(Step::Op { op, consumed }) => {
            black_box(&op);
            Some(consumed)
        }
        Ok(Step::Need { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// The same operation over and over, as much as fits one read buffer.
fn parse(operation: &[u8]) -> Round {
    let times = BUFFER / operation.len();
    let buffer = operation.repeat(times);
    let mut parser = Parser::new(Limits::default());
    Round::new(times, move || {
        let mut rest = &buffer[..];
        while let Some(consumed) = step(&mut parser, rest) {
            rest = &rest[consumed..];
        }
        assert!(rest.is_empty(), "whole operations");
    })
}

/// The same in pieces of `size` bytes: what is incomplete is kept, as a connection does.
fn parse_in_pieces(operation: &[u8], size: usize) -> Round {
    let times = BUFFER / operation.len();
    let buffer = operation.repeat(times);
    let mut parser = Parser::new(Limits::default());
    let mut kept = Vec::with_capacity(2 * size);
    Round::new(times, move || {
        for piece in buffer.chunks(size) {
            kept.extend_from_slice(piece);
            let mut used = 0;
            while let Some(consumed) = step(&mut parser, &kept[used..]) {
                used += consumed;
            }
            kept.drain(..used);
        }
        assert!(kept.is_empty(), "whole operations");
    })
}

/// The same message over and over, as much as fits one buffer.
fn write(message: impl Fn(&mut Vec<u8>) + 'static) -> Round {
    let mut out = Vec::new();
    message(&mut out);
    let times = BUFFER / out.len();
    out.reserve(BUFFER);
    Round::new(times, move || {
        out.clear();
        (0..times).for_each(|_| message(black_box(&mut out)));
        black_box(&out);
    })
}

#[divan::bench(crate = divan, args = WORKLOADS)]
fn time(bencher: divan::Bencher<'_, '_>, workload: &Workload) {
    workload.time(bencher);
}

fn main() {
    natterjack_workload::main(WORKLOADS);
}
