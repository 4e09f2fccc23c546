//! Feeds bytes to a parser in pieces and renders what it says as text.

use std::fmt::Write;

use natterjack_proto::{Limits, Op, Parser, Step};

/// Operations, one line each; then `! kind` if parsing failed, or `… n` if n bytes are left over.
pub(crate) fn feed<'b>(parser: &mut Parser, pieces: impl IntoIterator<Item = &'b [u8]>) -> String {
    let mut out = String::new();
    let mut buf = Vec::new();
    let mut at_least = 0;
    for piece in pieces {
        buf.extend_from_slice(piece);
        let mut used = 0;
        loop {
            let rest = &buf[used..];
            let quick = parser.next_publish(rest);
            let step = parser.next(rest);
            if let Some((publish, consumed)) = quick {
                let expected = Step::Op { op: Op::Pub(publish), consumed };
                assert_eq!(step, Ok(expected), "the short way finds the same");
            }
            match step {
                Ok(Step::Op { op, consumed }) => {
                    assert!(consumed > 0 && consumed <= rest.len(), "progress within the buffer");
                    assert!(rest.len() >= at_least, "an operation came earlier than announced");
                    at_least = 0;
                    used += consumed;
                    writeln!(out, "{}", render(&op)).unwrap();
                }
                Ok(Step::Need { at_least: need }) => {
                    assert!(need > rest.len(), "needs more than it has");
                    at_least = need;
                    break;
                }
                Err(error) => {
                    writeln!(out, "! {:?}", error.kind()).unwrap();
                    return out;
                }
            }
        }
        buf.drain(..used);
    }
    if !buf.is_empty() {
        writeln!(out, "… {}", buf.len()).unwrap();
    }
    out
}

/// [`feed`] for the whole input, which must give the same in two pieces cut anywhere, in three, and
/// byte by byte.
pub(crate) fn feed_in_all_ways(limits: Limits, input: &[u8]) -> String {
    let whole = feed(&mut Parser::new(limits), [input]);
    for cut in 0..=input.len() {
        let (a, b) = input.split_at(cut);
        assert_eq!(feed(&mut Parser::new(limits), [a, b]), whole, "cut at {cut}: {input:?}");
        if input.len() <= 80 {
            for second in 0..=b.len() {
                let (b, c) = b.split_at(second);
                let three = feed(&mut Parser::new(limits), [a, b, c]);
                assert_eq!(three, whole, "cut at {cut} and {second} further: {input:?}");
            }
        }
    }
    assert_eq!(feed(&mut Parser::new(limits), input.chunks(1)), whole, "by bytes: {input:?}");
    whole
}

/// One operation as text; `-` stands for what is absent.
pub(crate) fn render(op: &Op<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let maybe = |bytes: Option<&[u8]>| bytes.map_or("-".into(), text);
    match op {
        Op::Connect(json) => format!("CONNECT {}", text(json)),
        Op::Pub(p) => format!(
            "{} {} {} [{}] [{}]",
            if p.is_hpub { "HPUB" } else { "PUB" },
            text(p.subject),
            maybe(p.reply),
            text(p.headers),
            text(p.payload),
        ),
        Op::Sub { subject, queue, sid } => {
            format!("SUB {} {} {}", text(subject), maybe(*queue), text(sid))
        }
        Op::Unsub { sid, max } => format!("UNSUB {} {max:?}", text(sid)),
        Op::Ping => "PING".into(),
        Op::Pong => "PONG".into(),
        Op::Info(json) => format!("INFO {}", text(json)),
        Op::Ok => "+OK".into(),
        Op::Err(words) => format!("-ERR {}", text(words)),
    }
}
