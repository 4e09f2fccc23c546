//! `max_control_line`, `max_payload`, and what the parser asks for while it waits.

use natterjack_proto::{Limits, Op, Parser, Step};

use crate::driver::{feed, feed_in_all_ways};

fn check(limits: Limits, input: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(feed_in_all_ways(limits, input.as_ref()), expected);
}

fn line_of(limit: usize) -> Limits {
    Limits { max_control_line: limit, max_payload: -1 }
}

#[test]
fn control_line_counts_the_argument_only() {
    // 72
    let a = |n| "a".repeat(n);
    let sub = |n: usize| format!("SUB {} 1\r\n", a(n - 2));
    check(line_of(128), sub(128), &format!("SUB {} - 1\n", a(126)));
    check(line_of(128), sub(129), "! MaxControlLine\n");
    // Blanks before the argument do not count, blanks after it do.
    check(line_of(16), format!("SUB    {} 1\r\n", a(14)), &format!("SUB {} - 1\n", a(14)));
    check(line_of(16), format!("SUB {} 1  \r\n", a(12)), &format!("SUB {} - 1\n", a(12)));
    check(line_of(16), format!("SUB {} 1   \r\n", a(12)), "! MaxControlLine\n");
    // Every verb with an argument.
    check(line_of(8), "CONNECT {\"a\":12}\r\n", "CONNECT {\\\"a\\\":12}\n");
    check(line_of(8), "CONNECT {\"a\":123}\r\n", "! MaxControlLine\n");
    check(line_of(8), "INFO {\"a\":123}\r\n", "! MaxControlLine\n");
    check(line_of(8), "-ERR 123456789\r\n", "! MaxControlLine\n");
    check(line_of(8), "UNSUB 123456789\r\n", "! MaxControlLine\n");
    check(line_of(8), "PUB abcdefg 1\r\nx\r\n", "! MaxControlLine\n");
    check(line_of(8), "HPUB abcd 0 10\r\nx\r\n", "! MaxControlLine\n");
    check(line_of(8), "PUB abcdef 9\r\n123456789\r\n", "PUB abcdef - [] [123456789]\n");
}

#[test]
fn control_line_is_checked_while_incomplete() {
    check(line_of(128), format!("SUB {}", "a".repeat(128)), "… 132\n");
    check(line_of(128), format!("SUB {}\r", "a".repeat(128)), "… 133\n");
    check(line_of(128), format!("SUB {}", "a".repeat(129)), "! MaxControlLine\n");
}

/// Differs from the reference server, which reads on for ever: here these bytes are kept in memory.
#[test]
fn ignored_bytes_are_bounded_too() {
    check(line_of(8), "PING 1234567\r\n", "PING\n");
    check(line_of(8), "PING 123456789\r\n", "! MaxControlLine\n");
    check(line_of(8), "PONG 123456789", "! MaxControlLine\n");
    check(line_of(8), "SUB        a 1\r\n", "SUB a - 1\n");
    check(line_of(8), "SUB         a 1\r\n", "! MaxControlLine\n");
    check(line_of(8), "CONNECT         ", "! MaxControlLine\n");
}

#[test]
fn payload_size_is_checked_before_the_payload() {
    // 71
    let limits = Limits { max_payload: 100, ..Limits::default() };
    check(limits, "PUB foo 101\r\n", "! MaxPayload\n");
    check(limits, "HPUB foo 12 101\r\n", "! MaxPayload\n");
    check(
        limits,
        format!("PUB a 100\r\n{}\r\n", "x".repeat(100)),
        &format!("PUB a - [] [{}]\n", "x".repeat(100)),
    );
    let none = Limits { max_payload: -1, ..Limits::default() };
    check(none, "PUB foo 999999999\r\nx", "… 20\n");
    let zero = Limits { max_payload: 0, ..Limits::default() };
    check(zero, "PUB foo 0\r\n\r\nPUB foo 1\r\n", "PUB foo - [] []\n! MaxPayload\n");
}

#[test]
fn limits_change_between_operations() {
    let mut parser = Parser::new(Limits::default());
    assert_eq!(feed(&mut parser, [&b"PUB a 3\r\nabc\r\n"[..]]), "PUB a - [] [abc]\n");
    parser.set_limits(Limits { max_payload: 2, max_control_line: 4 });
    assert_eq!(parser.limits().max_payload, 2);
    assert_eq!(feed(&mut parser, [&b"PUB a 3\r\n"[..]]), "! MaxPayload\n");
    assert_eq!(feed(&mut parser, [&b"SUB a 123\r\n"[..]]), "! MaxControlLine\n");
}

#[test]
fn need_is_exact_once_the_line_is_complete() {
    let input = b"PUB foo 5\r\nhello\r\n";
    let mut parser = Parser::new(Limits::default());
    for len in 0..input.len() {
        let line = b"PUB foo 5\r\n".len();
        let at_least = if len < line { len + 1 } else { input.len() };
        assert_eq!(parser.next(&input[..len]).unwrap(), Step::Need { at_least }, "{len}");
    }
    let Step::Op { op: Op::Pub(publish), consumed } = parser.next(input).unwrap() else {
        panic!("the operation is complete");
    };
    assert_eq!((publish.payload, publish.size(), consumed), (&b"hello"[..], 5, input.len()));
}

#[test]
fn size_counts_headers_and_body() {
    let mut parser = Parser::new(Limits::default());
    let Step::Op { op: Op::Pub(publish), .. } =
        parser.next(b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").unwrap()
    else {
        panic!("the operation is complete");
    };
    assert_eq!((publish.size(), publish.payload, publish.headers.len()), (14, &b"hi"[..], 12));
}

#[test]
fn reset_forgets_an_incomplete_operation() {
    for begun in ["PUB a 100\r\nxyz", "PUB a ", "PUB  ", "PING foo"] {
        let mut parser = Parser::new(Limits::default());
        assert!(matches!(parser.next(begun.as_bytes()), Ok(Step::Need { .. })));
        parser.reset();
        assert_eq!(feed(&mut parser, [&b"SUB a 1\r\n"[..]]), "SUB a - 1\n", "after {begun:?}");
    }
}

/// A caller that breaks the contract gets nonsense or an error, never a panic.
#[test]
fn other_bytes_than_promised_do_not_panic() {
    let begun: [&[u8]; 4] = [b"PUB a 5\r\nhe", b"SUB     abc", b"PING foo", b"CONNECT {\"x\":1"];
    let then: [&[u8]; 6] =
        [b"", b"S", b"SUB\n", b"PUB a 1\r\nx\r\n", b"PING\n", b"CONNECT a b c d e f\n"];
    for (begun, then) in begun.iter().flat_map(|b| then.iter().map(move |t| (b, t))) {
        let mut parser = Parser::new(Limits::default());
        assert!(matches!(parser.next(begun), Ok(Step::Need { .. })));
        if let Ok(Step::Op { consumed, .. }) = parser.next(then) {
            assert!(consumed <= then.len());
        }
    }
}
