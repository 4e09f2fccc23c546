//! Bytes of a client connection: never a panic, the operations that a simple model finds, and the same
//! ones however the bytes are cut.
//!
//! The first two bytes of the input choose limits and cuts, the rest is what the client sends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use natterjack_proto::connect::redact;
use natterjack_proto::headers::{HeaderBlock, without_status};
use natterjack_proto::{
    Connect, Headers, Info, Limits, Op, ParseErrorKind as Kind, Parser, Publish, Step, encode,
};

/// How a connection ended: by an error, or with so many bytes left over.
#[derive(Debug, PartialEq)]
enum End {
    Error(Kind),
    Left(usize),
}

/// Operations, each with the bytes that it took, and the end.
type Run<'a> = (Vec<(Op<'a>, usize)>, End);

fuzz_target!(|data: &[u8]| {
    let [choice, seed, input @ ..] = data else { return };
    let limits = Limits {
        max_control_line: if choice & 1 == 0 { 4096 } else { 32 },
        max_payload: match choice >> 1 & 3 {
            0 | 1 => 1024 * 1024,
            2 => 64,
            _ => -1,
        },
    };
    let headers = choice & 8 == 0;
    let expected = model(input, limits, headers);
    // All at once, then in pieces: byte by byte, or of up to fifteen.
    let whole = run(input, &mut std::iter::once(input.len()), limits, headers);
    assert_eq!(whole, expected, "all at once");
    let mut cuts = Cuts { at: 0, len: input.len(), state: u32::from(*seed) };
    let cut = run(input, &mut cuts, limits, headers);
    assert_eq!(cut, expected, "in pieces");
    for (op, _) in &expected.0 {
        look_inside(op);
        again(op, limits);
    }
});

/// Shows more and more of the input, up to each of the ends.
fn run<'a>(
    input: &'a [u8],
    ends: &mut dyn Iterator<Item = usize>,
    limits: Limits,
    headers: bool,
) -> Run<'a> {
    let mut parser = Parser::new(limits);
    parser.allow_headers(headers);
    let mut seen = Vec::new();
    let (mut used, mut at_least) = (0, 0);
    for end in ends {
        loop {
            let rest = &input[used..end];
            let short = parser.next_publish(rest);
            match parser.next(rest) {
                Ok(Step::Op { op, consumed }) => {
                    assert!(consumed > 0 && consumed <= rest.len());
                    assert!(rest.len() >= at_least);
                    if let Some((publish, len)) = short {
                        assert_eq!((Op::Pub(publish), len), (op, consumed), "the short way");
                    }
                    at_least = 0;
                    used += consumed;
                    seen.push((op, consumed));
                }
                Ok(Step::Need { at_least: need }) => {
                    assert!(short.is_none(), "the short way");
                    assert!(need > rest.len() && need >= at_least);
                    at_least = need;
                    break;
                }
                Err(error) => {
                    assert!(short.is_none(), "the short way");
                    assert!(!error.log_text().is_empty());
                    assert!(error.server_error().is_none_or(|error| error.closes()));
                    let _ = error.closed_reason();
                    return (seen, End::Error(error.kind()));
                }
            }
        }
    }
    (seen, End::Left(input.len() - used))
}

/// The grammar, in the simplest way: the whole input is there, and nothing is to be fast.
fn model(input: &[u8], limits: Limits, headers: bool) -> Run<'_> {
    let mut seen = Vec::new();
    let mut rest = input;
    loop {
        match model_op(rest, limits, headers) {
            Ok(Some((op, len))) => {
                seen.push((op, len));
                rest = &rest[len..];
            }
            Ok(None) => return (seen, End::Left(rest.len())),
            Err(kind) => return (seen, End::Error(kind)),
        }
    }
}

const VERBS: [&[u8]; 10] =
    [b"connect", b"ping", b"pong", b"pub", b"hpub", b"sub", b"unsub", b"info", b"+ok", b"-err"];

fn model_op(rest: &[u8], limits: Limits, headers: bool) -> Result<Option<(Op<'_>, usize)>, Kind> {
    let begins = |text: &[u8], with: &[u8]| {
        text.len() >= with.len() && text[..with.len()].eq_ignore_ascii_case(with)
    };
    let Some(verb) = VERBS.into_iter().find(|verb| begins(rest, verb)) else {
        // All of it may still become a verb, or none.
        let partial = VERBS.iter().any(|verb| begins(verb, rest));
        return if partial { Ok(None) } else { Err(Kind::Protocol) };
    };
    let after = &rest[verb.len()..];
    let line_end = |from: &[u8]| from.iter().position(|byte| *byte == b'\n');
    if let b"ping" | b"pong" | b"+ok" = verb {
        let end = line_end(after);
        // One more than the limit, for the CR.
        if end.unwrap_or(after.len()) > limits.max_control_line + 1 {
            return Err(Kind::MaxControlLine);
        }
        let Some(end) = end else { return Ok(None) };
        let op = match verb {
            b"ping" => Op::Ping,
            b"pong" => Op::Pong,
            _ => Op::Ok,
        };
        return Ok(Some((op, verb.len() + end + 1)));
    }
    let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if blanks > limits.max_control_line {
        return Err(Kind::MaxControlLine);
    }
    let line = &after[blanks..];
    let Some((_, behind)) = line.split_first() else { return Ok(None) };
    if blanks == 0 && !matches!(verb, b"connect" | b"info") {
        return Err(Kind::Protocol);
    }
    // The first byte belongs to the argument, whatever it is.
    let end = line_end(behind);
    let arg = &line[..end.map_or(line.len(), |end| end + 1)];
    // A CR anywhere behind it takes the last byte off.
    let arg = if arg[1..].contains(&b'\r') { &arg[..arg.len() - 1] } else { arg };
    if arg.len() > limits.max_control_line {
        return Err(Kind::MaxControlLine);
    }
    let Some(end) = end else { return Ok(None) };
    let start = verb.len() + blanks + end + 2;
    let words: Vec<&[u8]> = arg
        .split(|byte| match byte {
            b'\r' => !matches!(verb, b"pub" | b"hpub"),
            byte => matches!(byte, b' ' | b'\t' | b'\n'),
        })
        .filter(|word| !word.is_empty())
        .collect();
    let op = match (verb, &words[..]) {
        (b"connect", _) => Op::Connect(arg),
        (b"info", _) => Op::Info(arg),
        (b"-err", _) => Op::Err(arg),
        (b"sub", &[subject, sid]) => Op::Sub { subject, queue: None, sid },
        (b"sub", &[subject, queue, sid]) => Op::Sub { subject, queue: Some(queue), sid },
        (b"sub", _) => return Err(Kind::SubArguments),
        (b"unsub", &[sid]) => Op::Unsub { sid, max: None },
        (b"unsub", &[sid, max]) => {
            Op::Unsub { sid, max: size(max).filter(|max| *max > 0).map(|max| max as u64) }
        }
        (b"unsub", _) => return Err(Kind::UnsubArguments),
        (b"hpub", _) if !headers => return Err(Kind::HeadersNotSupported),
        (_, words) => return model_publish(verb == b"hpub", words, rest, start, limits),
    };
    Ok(Some((op, start)))
}

fn model_publish<'a>(
    is_hpub: bool,
    words: &[&'a [u8]],
    rest: &'a [u8],
    start: usize,
    limits: Limits,
) -> Result<Option<(Op<'a>, usize)>, Kind> {
    let (subject, reply, head, total) = match (is_hpub, words) {
        (false, &[subject, total]) => (subject, None, None, total),
        (false, &[subject, reply, total]) => (subject, Some(reply), None, total),
        (false, _) => return Err(Kind::PubArguments),
        (true, &[subject, head, total]) => (subject, None, Some(head), total),
        (true, &[subject, reply, head, total]) => (subject, Some(reply), Some(head), total),
        (true, _) => return Err(Kind::HeaderPubArguments),
    };
    let head = match head {
        Some(head) => size(head).ok_or(Kind::HeaderSize)?,
        None => 0,
    };
    let total = size(total).ok_or(if is_hpub { Kind::TotalSize } else { Kind::PubSize })?;
    if head > total {
        return Err(Kind::HeaderSizeAboveTotal);
    }
    if limits.max_payload >= 0 && total as i64 > limits.max_payload {
        return Err(Kind::MaxPayload);
    }
    let end = start + total;
    for (at, expected) in [(end, b'\r'), (end + 1, b'\n')] {
        match rest.get(at) {
            None => return Ok(None),
            Some(byte) if *byte != expected => return Err(Kind::Protocol),
            Some(_) => {}
        }
    }
    let (headers, payload) = (&rest[start..start + head], &rest[start + head..end]);
    let publish = Publish { subject, reply, headers, is_hpub, payload };
    Ok(Some((Op::Pub(publish), end + 2)))
}

/// One to nine digits.
fn size(text: &[u8]) -> Option<usize> {
    let text = str::from_utf8(text).ok().filter(|text| text.len() <= 9)?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Hands the fields to what reads them next.
fn look_inside(op: &Op<'_>) {
    match op {
        Op::Connect(json) => connect(json),
        Op::Info(json) => {
            if let Ok(info) = Info::parse(json) {
                let mut out = Vec::new();
                encode::info(&mut out, &info);
                let json = out.strip_prefix(b"INFO ").and_then(|out| out.strip_suffix(b" \r\n"));
                let again = Info::parse(json.expect("an INFO")).expect("what was written");
                assert_eq!(again, info);
            }
        }
        Op::Pub(publish) => {
            let (subject, reply, body) = (publish.subject, publish.reply, publish.payload);
            block(publish.headers);
            let mut out = Vec::new();
            encode::hmsg(&mut out, subject, b"1", reply, publish.headers, body);
            let len = encode::hmsg_len(subject, b"1", reply, publish.headers.len(), body.len());
            assert_eq!(out.len(), len);
            assert!(out.ends_with(&[publish.headers, body, b"\r\n"].concat()));
        }
        _ => {}
    }
}

/// What is redacted says the same, but for its secrets.
fn connect(json: &[u8]) {
    let shown = redact(json);
    let Ok(mut connect) = Connect::parse(json) else { return };
    let redacted = Connect::parse(&shown).expect("redacting changes values only");
    let hidden = Some("[REDACTED]".to_owned());
    for secret in [
        &mut connect.pass,
        &mut connect.auth_token,
        &mut connect.sig,
        &mut connect.proxy_sig,
        &mut connect.nkey,
    ] {
        if secret.is_some() {
            secret.clone_from(&hidden);
        }
    }
    assert_eq!(redacted, connect, "redacted");
    let mut merged = Connect::default();
    merged.merge(connect.clone());
    assert!(merged == connect);
    merged.merge(Connect::default());
    assert!(merged == connect);
}

/// Look-ups and changes of a header block agree with each other.
fn block(raw: &[u8]) {
    let headers = Headers::new(raw);
    let _ = headers.status();
    for (name, value) in headers.iter().take(4) {
        let Ok(name) = str::from_utf8(name) else { continue };
        let first = headers.iter().find(|(other, _)| *other == name.as_bytes());
        assert_eq!(headers.get(name), first.map(|(_, value)| value), "{name}: {value:?}");
    }
    let stored = without_status(raw);
    assert!(Headers::new(&stored).iter().eq(headers.iter()), "without a status");
    let mut block = HeaderBlock::from_raw(&stored);
    let before = block.clone();
    let known = block.get("A").map(<[u8]>::to_vec);
    block.push("A", "1");
    assert_eq!(block.get("A"), Some(known.as_deref().unwrap_or(b"1")));
    block.set("A", "2");
    assert_eq!(block.get("A"), Some(&b"2"[..]));
    assert!(block.remove("A") && block.get("A").is_none() && !block.remove("A"));
    if known.is_none() {
        assert_eq!(block, before, "set and removed again");
    }
    block.remove_prefix("B");
    let len = block.len();
    assert_eq!(block.into_bytes().len(), len);
}

/// An operation that is written again is the same.
fn again(op: &Op<'_>, limits: Limits) {
    let word = |word: Option<&[u8]>| word.map_or(Vec::new(), |word| [b" ", word].concat());
    let text = match op {
        Op::Pub(p) => {
            let (verb, size) = match p.is_hpub {
                true => ("HPUB ", format!(" {} {}\r\n", p.headers.len(), p.size())),
                false => ("PUB ", format!(" {}\r\n", p.size())),
            };
            let (verb, size) = (verb.as_bytes(), size.as_bytes());
            let reply = word(p.reply);
            [verb, p.subject, &reply, size, p.headers, p.payload, b"\r\n"].concat()
        }
        Op::Sub { subject, queue, sid } => {
            [b"SUB ", *subject, &word(*queue), b" ", sid, b"\r\n"].concat()
        }
        Op::Unsub { sid, max } => {
            let max = max.map_or(String::new(), |max| format!(" {max}"));
            [b"UNSUB ", *sid, max.as_bytes(), b"\r\n"].concat()
        }
        _ => return,
    };
    let mut parser = Parser::new(limits);
    let parsed = parser.next(&text).expect("what was taken once");
    assert_eq!(parsed, Step::Op { op: *op, consumed: text.len() }, "written again");
}

/// Ends of pieces of up to 15 bytes, as a small generator says; of 1 byte each where it starts at 0.
struct Cuts {
    at: usize,
    len: usize,
    state: u32,
}

impl Iterator for Cuts {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.at == self.len {
            return None;
        }
        let step = match self.state {
            0 => 1,
            _ => {
                self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) | 1;
                (self.state >> 24) as usize % 16
            }
        };
        self.at = (self.at + step).min(self.len);
        Some(self.at)
    }
}
