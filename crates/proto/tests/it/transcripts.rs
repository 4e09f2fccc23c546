//! What a client sends and what the parser makes of it. The numbers are rows of the protocol's check
//! list; each row was seen on nats-server 2.15.1.

use natterjack_proto::{Limits, Parser};

use crate::driver::feed_in_all_ways;

fn check(input: impl AsRef<[u8]>, expected: &[&str]) {
    let actual = feed_in_all_ways(Limits::default(), input.as_ref());
    let actual: Vec<_> = actual.lines().collect();
    assert_eq!(actual, expected, "{:?}", input.as_ref().escape_ascii().to_string());
}

#[test]
fn operations() {
    check("", &[]);
    // 2, 3
    check("CONNECT {}\r\n", &["CONNECT {}"]);
    check("CONNECT{\"verbose\":true}\r\n", &[r#"CONNECT {\"verbose\":true}"#]);
    check("CONNECT \t {\"a\": 1} \r\n", &[r#"CONNECT {\"a\": 1} "#]);
    // 4, 5
    check("PING\r\nPONG\r\n", &["PING", "PONG"]);
    check(
        "sub foo 1\r\npub foo 2\r\nhi\r\nping\r\n",
        &["SUB foo - 1", "PUB foo - [] [hi]", "PING"],
    );
    check(
        "sUb a b c\r\nuNsUb c\r\ncOnNeCt {}\r\niNfO {}\r\n+oK\r\n-eRr x\r\nhPuB a 0 0\r\n\r\n",
        &["SUB a b c", "UNSUB c None", "CONNECT {}", "INFO {}", "+OK", "-ERR x", "HPUB a - [] []"],
    );
    // 14
    check("+OK\r\nPING\r\n", &["+OK", "PING"]);
    check("INFO {}\r\nPING\r\n", &["INFO {}", "PING"]);
    // 13
    check("-ERR 'x'\r\n", &["-ERR \\'x\\'"]);
    check("-ERR  a b \r\n", &["-ERR a b "]);
    // 34, 35, 37
    check("PUB foo 0\r\n\r\n", &["PUB foo - [] []"]);
    check("PUB foo bar 1\r\nx\r\n", &["PUB foo bar [] [x]"]);
    check("SUB foo abc-1\r\n", &["SUB foo - abc-1"]);
    check("SUB foo q..x 1\r\n", &["SUB foo q..x 1"]);
    // 43
    check(b"PUB \xff\x00\xc3\xa9 1\r\n\x00\r\n", &[r"PUB \xff\x00\xc3\xa9 - [] [\x00]"]);
    check("SUB \x0ca\x0b 1\r\n", &[r"SUB \x0ca\x0b - 1"]);
    // 52, 55
    check("UNSUB 1\r\nUNSUB 1 2\r\n", &["UNSUB 1 None", "UNSUB 1 Some(2)"]);
    check("UNSUB 1 0\r\nUNSUB 1 x\r\nUNSUB 1 -1\r\n", &["UNSUB 1 None"; 3]);
    check(
        "UNSUB 1 999999999\r\nUNSUB 1 1000000000\r\n",
        &["UNSUB 1 Some(999999999)", "UNSUB 1 None"],
    );
}

#[test]
fn headers() {
    // 59, 63
    check("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", &[r"HPUB foo - [NATS/1.0\r\n\r\n] [hi]"]);
    check(
        "HPUB foo re 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n",
        &[r"HPUB foo re [NATS/1.0\r\n\r\n] []", "PING"],
    );
    check("HPUB foo 5 7\r\nhellohi\r\n", &["HPUB foo - [hello] [hi]"]);
    check("HPUB foo 0 2\r\nhi\r\n", &["HPUB foo - [] [hi]"]);
    // 62
    check("HPUB foo 15 7\r\n", &["! HeaderSizeAboveTotal"]);
    check("HPUB foo\r\n", &["! HeaderPubArguments"]);
    check("HPUB foo 7\r\n", &["! HeaderPubArguments"]);
    check("HPUB foo x 7\r\n", &["! HeaderSize"]);
    check("HPUB foo 5 x\r\n", &["! TotalSize"]);
    check("HPUB foo x x\r\n", &["! HeaderSize"]);
    check("HPUB a b c 5 7\r\n", &["! HeaderPubArguments"]);
    check("HPUB a b c d 5 7\r\n", &["! HeaderPubArguments"]);
}

#[test]
fn headers_not_negotiated() {
    // 61: refused at the end of the line, before the payload and before the arguments are looked at.
    for input in ["HPUB foo 12 14\r\n", "HPUB foo\r\n", "HPUB foo 0 99999999\r\n"] {
        let mut parser = Parser::new(Limits::default());
        parser.allow_headers(false);
        let error = parser.next(input.as_bytes()).unwrap_err();
        assert_eq!(error.log_text(), "message headers not supported");
        assert_eq!(error.server_error(), None);
        assert_eq!(error.closed_reason().as_str(), "Protocol Violation");
    }
}

#[test]
fn tolerances() {
    // 6, 7
    check("SUB\t \tfoo \t1 \t\r\nPING\r\n", &["SUB foo - 1", "PING"]);
    check("SUB foo 1\nPUB foo 2\nhi\r\nPING\n", &["SUB foo - 1", "PUB foo - [] [hi]", "PING"]);
    check("PUB\t\tfoo\t\tbar\t\t2\t\t\r\nhi\r\n", &["PUB foo bar [] [hi]"]);
    // 10
    check("PING foo bar\r\nPONGx\r\n+OKfoo\r\nPING\r\n", &["PING", "PONG", "+OK", "PING"]);
    // 16, 20
    check("PUB foo 000000002\r\nhi\r\n", &["PUB foo - [] [hi]"]);
    check("PUB a 4\r\n\r\n\r\n\r\nPING\r\n", &[r"PUB a - [] [\r\n\r\n]", "PING"]);
    check("PUB a 12\r\nPING\r\nPING\r\n\r\n", &[r"PUB a - [] [PING\r\nPING\r\n]"]);
    // A CR inside a line is a blank.
    check("SUB foo\r12\r\n", &["SUB foo - 12"]);
    check("SUB foo 1\r\r\n", &["SUB foo - 1"]);
    // The first byte after the blanks belongs to the argument, even a line end.
    check("SUB \nfoo 1\r\nPING\r\n", &["SUB foo - 1", "PING"]);
    check("CONNECT\n{\"verbose\":true}\r\n", &[r#"CONNECT \n{\"verbose\":true}"#]);
    check("CONNECT\r\nPING\r\n", &[r"CONNECT \r", "PING"]);
    check("CONNECT \r\n", &[r"CONNECT \r"]);
    check("INFO\r\n", &[r"INFO \r"]);
}

#[test]
fn protocol_errors() {
    // 8, 17
    check("PUB foo 2\r\nhi\nPING\r\n", &["! Protocol"]);
    check("PUB foo 2\r\nhi\rPING\r\n", &["! Protocol"]);
    check("PUB foo 2\r\nhiya\r\n", &["! Protocol"]);
    check("PUB foo 2\r\nhiy", &["! Protocol"]);
    // 9, 11, 12
    for input in [" PING\r\n", "\r\n", "\n", "\rPING\r\n", "\tPING\r\n", "FOO bar\r\n", "F", "\0"] {
        check(input, &["! Protocol"]);
    }
    for input in ["MSG foo 1 2\r\nhi\r\n", "HMSG", "RS+ a b\r\n", "LS+ a\r\n", "A+ a\r\n"] {
        check(input, &["! Protocol"]);
    }
    // 15, 18: the blank after the verb is mandatory.
    for input in
        ["PUB\r\n", "PUBfoo 1\r\n", "UNSUB\r\n", "SUB\r\n", "SUB\n", "HPUB\r\n", "-ERR\r\n"]
    {
        check(input, &["! Protocol"]);
    }
    for input in
        ["PINX", "POX", "+OX", "\x0bOK\r\n", "-ERX", "UNX", "IX", "CONX", "HPX", "\rOK\r\n"]
    {
        check(input, &["! Protocol"]);
    }
    // What came before counts.
    check("PING\r\nPUB a 1\r\nx\r\nfoo\r\nPING\r\n", &["PING", "PUB a - [] [x]", "! Protocol"]);
}

#[test]
fn argument_errors() {
    // 15
    check("PUB foo\r\n", &["! PubArguments"]);
    check("PUB \r\n", &["! PubArguments"]);
    check("PUB a b c 2\r\n", &["! PubArguments"]);
    check("PUB a b c d e 2\r\n", &["! PubArguments"]);
    for size in ["x", "-1", "+1", "1000000000", "0000000001", "1x", "2 \x0c", "1.0", "0x1"] {
        check(format!("PUB foo {size}\r\n"), &["! PubSize"]);
    }
    // 18
    check("SUB foo\r\n", &["! SubArguments"]);
    check("SUB \r\n", &["! SubArguments"]);
    check("SUB a b c d\r\n", &["! SubArguments"]);
    check("SUB a b c d e f\r\n", &["! SubArguments"]);
    check("UNSUB 1 2 3\r\n", &["! UnsubArguments"]);
    check("UNSUB \r\n", &["! UnsubArguments"]);
}

/// Log line, `-ERR` and closed reason, as the reference server gave them when it read the whole input
/// at once. Inputs start with the bad operation.
#[test]
fn error_texts() {
    type End = (Option<&'static str>, &'static str);
    const PROTOCOL: End = (Some("Unknown Protocol Operation"), "Protocol Violation");
    const ARGUMENT: End = (None, "Protocol Violation");
    const PAYLOAD: End = (Some("Maximum Payload Violation"), "Maximum Message Payload Exceeded");
    const LINE: End = (Some("maximum control line exceeded"), "Maximum Control Line Exceeded");
    let long = format!("SUB {}", "a".repeat(229));
    #[rustfmt::skip]
    let rows: &[(&[u8], &str, End)] = &[
        (b"FOO bar\r\n", r#"Client parser ERROR, state=0, i=0: proto='"FOO bar\r"...'"#, PROTOCOL),
        (b"F", r#"Client parser ERROR, state=0, i=0: proto='""...'"#, PROTOCOL),
        (b"XYZXYZXYZXYZXYZXYZXYZXYZXYZXYZXYZXYZ\r\n",
            r#"Client parser ERROR, state=0, i=0: proto='"XYZXYZXYZXYZXYZXYZXYZXYZXYZXYZXY"...'"#, PROTOCOL),
        (b"PINX\r\n", r#"Client parser ERROR, state=35, i=3: proto='"X\r"...'"#, PROTOCOL),
        (b"PUBfoo 1\r\n", r#"Client parser ERROR, state=31, i=3: proto='"foo 1\r"...'"#, PROTOCOL),
        (b"UNSUB\r\n", r#"Client parser ERROR, state=63, i=5: proto='"\r"...'"#, PROTOCOL),
        (b"SUB\r\n", r#"Client parser ERROR, state=45, i=3: proto='"\r"...'"#, PROTOCOL),
        (b"HPUB\r\n", r#"Client parser ERROR, state=21, i=4: proto='"\r"...'"#, PROTOCOL),
        (b"-ERR\r\n", r#"Client parser ERROR, state=7, i=4: proto='"\r"...'"#, PROTOCOL),
        (b"+OX\r\n", r#"Client parser ERROR, state=2, i=2: proto='"X\r"...'"#, PROTOCOL),
        (b"+X", r#"Client parser ERROR, state=1, i=1: proto='""...'"#, PROTOCOL),
        (b"-X", r#"Client parser ERROR, state=4, i=1: proto='""...'"#, PROTOCOL),
        (b"-ERX", r#"Client parser ERROR, state=6, i=3: proto='""...'"#, PROTOCOL),
        (b"IX", r#"Client parser ERROR, state=71, i=1: proto='""...'"#, PROTOCOL),
        (b"INFX", r#"Client parser ERROR, state=73, i=3: proto='""...'"#, PROTOCOL),
        (b"UX", r#"Client parser ERROR, state=59, i=1: proto='""...'"#, PROTOCOL),
        (b"UNSX", r#"Client parser ERROR, state=61, i=3: proto='""...'"#, PROTOCOL),
        (b"PX", r#"Client parser ERROR, state=29, i=1: proto='""...'"#, PROTOCOL),
        (b"POX", r#"Client parser ERROR, state=37, i=2: proto='""...'"#, PROTOCOL),
        (b"PONX", r#"Client parser ERROR, state=38, i=3: proto='""...'"#, PROTOCOL),
        (b"PUX", r#"Client parser ERROR, state=30, i=2: proto='""...'"#, PROTOCOL),
        (b"CX", r#"Client parser ERROR, state=10, i=1: proto='""...'"#, PROTOCOL),
        (b"CONNECX", r#"Client parser ERROR, state=15, i=6: proto='""...'"#, PROTOCOL),
        (b"SX", r#"Client parser ERROR, state=43, i=1: proto='""...'"#, PROTOCOL),
        (b"SUX", r#"Client parser ERROR, state=44, i=2: proto='""...'"#, PROTOCOL),
        (b"HX", r#"Client parser ERROR, state=18, i=1: proto='""...'"#, PROTOCOL),
        (b"HPUX", r#"Client parser ERROR, state=20, i=3: proto='""...'"#, PROTOCOL),
        (b"PUB foo 2\r\nhi\nPING\r\n", r#"Client parser ERROR, state=41, i=13: proto='"\nPING\r"...'"#, PROTOCOL),
        (b"PUB foo 2\r\nhi\rPING\r\n", r#"Client parser ERROR, state=42, i=14: proto='"PING\r"...'"#, PROTOCOL),
        (b"PUB foo 2\r\nhiya\r\n", r#"Client parser ERROR, state=41, i=13: proto='"ya\r"...'"#, PROTOCOL),
        (b"PUB foo\r\n", r#"processPub Parse Error: "foo""#, ARGUMENT),
        (b"PUB \r\n", r#"processPub Parse Error: "\r""#, ARGUMENT),
        (b"PUB a\xffb\"\\\x01\xc3\xa9\r\n", r#"processPub Parse Error: "a\xffb\"\\\x01é""#, ARGUMENT),
        (b"PUB foo x\r\n", r#"processPub Bad or Missing Size: "foo x""#, ARGUMENT),
        (b"PUB foo 1000000000\r\n", r#"processPub Bad or Missing Size: "foo 1000000000""#, ARGUMENT),
        (b"PUB foo 2 \x0c\r\n", r#"processPub Bad or Missing Size: "foo 2 \f""#, ARGUMENT),
        (b"SUB foo\r\n", r#"processSub Parse Error: "foo""#, ARGUMENT),
        (b"SUB a b c d\r\n", r#"processSub Parse Error: "a b c d""#, ARGUMENT),
        (b"UNSUB 1 2 3\r\n", r#"processUnsub Parse Error: "1 2 3""#, ARGUMENT),
        (b"HPUB foo 15 7\r\n", r#"processHeaderPub Header Size larger then TotalSize: "foo 15 7""#, ARGUMENT),
        (b"HPUB foo 15\r\n", r#"processHeaderPub Parse Error: "foo 15""#, ARGUMENT),
        (b"HPUB foo x 7\r\n", r#"processHeaderPub Bad or Missing Header Size: "foo x 7""#, ARGUMENT),
        (b"HPUB foo 5 x\r\n", r#"processHeaderPub Bad or Missing Total Size: "foo 5 x""#, ARGUMENT),
        (b"HPUB foo 102 101\r\n", r#"processHeaderPub Header Size larger then TotalSize: "foo 102 101""#, ARGUMENT),
        (b"HPUB foo 12 101\r\n", "maximum payload exceeded: 101 vs 100", PAYLOAD),
        (b"PUB foo 101\r\n", "maximum payload exceeded: 101 vs 100", PAYLOAD),
        (long.as_bytes(), "maximum control line exceeded", LINE),
    ];
    for (input, log, (wire, reason)) in rows {
        let mut parser = Parser::new(Limits { max_control_line: 228, max_payload: 100 });
        let error = parser.next(input).unwrap_err();
        assert_eq!(error.log_text(), *log);
        assert_eq!(error.to_string(), *log);
        assert_eq!(error.server_error().map(|e| e.text()).as_deref(), *wire, "{log}");
        assert_eq!(error.closed_reason().as_str(), *reason, "{log}");
    }
}

/// What the short way for publishes takes, and what it leaves to the full parser. The driver checks that
/// both agree wherever it takes something.
#[test]
fn the_short_way() {
    let long = format!("PUB {} 1\r\nx\r\n", "s".repeat(4095));
    let limits = Limits { max_payload: 100, ..Limits::default() };
    for (input, is_taken) in [
        ("PUB foo 11\r\nhello world\r\n", true),
        ("pub foo.bar.baz.and.more reply.to 2\r\nhi\r\nPING\r\n", true),
        ("PUB foo 12 5\r\nhello\r\n", true),
        ("PUB foo 0000000002\r\nhi\r\n", false),
        ("PUB foo 000000002\r\nhi\r\n", false),
        ("PUB foo 000005\r\nhello\r\n", true),
        ("PUB foo 000100\r\nhi\r\n", false),
        ("PUB foo 1:\r\nhi\r\n", false),
        ("PUB foo 1/\r\nhi\r\n", false),
        ("PUB foo :1\r\nhi\r\n", false),
        ("PUB foo 1\r\r\nhi\r\n", false),
        ("PUB foo bar baz 2\r\nhi\r\n", false),
        ("PUB foo 99\r\nhi\r\n", false),
        ("PUB foo 101\r\nhi\r\n", false),
        ("PUB foo  2\r\nhi\r\n", false),
        ("PUB foo 2\nhi\r\n", false),
        ("PUB foo 2\r\nhi!\n", false),
        ("PUB  foo 2\r\nhi\r\n", false),
        ("PUB\tfoo 2\r\nhi\r\n", false),
        ("PUB foo\t2\r\nhi\r\n", false),
        ("PUB foo\x01 2\r\nhi\r\n", false),
        (&long, false),
        ("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", true),
        ("hpuB foo bar 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", true),
        ("HPUB foo 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", true),
        ("HPUB foo 15 14\r\nNATS/1.0\r\n\r\nhi\r\n", false),
        ("HPUB foo 14\r\nNATS/1.0\r\n\r\nhi\r\n", false),
        ("SUB foo.bar.baz 12345\r\n", false),
    ] {
        let parser = Parser::new(limits);
        assert_eq!(parser.next_publish(input.as_bytes()).is_some(), is_taken, "{input:?}");
        feed_in_all_ways(limits, input.as_bytes());
    }
    for size in [0, 1, 9, 10, 42, 99, 100, 512, 1234, 98_765, 123_456, 999_999] {
        let publish = format!("PUB foo {size}\r\n{}\r\n", "x".repeat(size));
        let parser = Parser::new(Limits::default());
        let found = parser.next_publish(publish.as_bytes());
        let found = found.map(|(publish, consumed)| (publish.payload.len(), consumed));
        // The line of a very small one is too near to the end of the buffer.
        assert_eq!(found, (size > 2).then_some((size, publish.len())));
    }
    let mut parser = Parser::new(limits);
    parser.allow_headers(false);
    assert_eq!(parser.next_publish(b"HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), None);
}
