//! Compares what came with what a case expects.

use std::io::Read;

use serde_json::Value;

use crate::json::subset;
use crate::pattern::{Captures, Pattern};
use crate::text::{Env, show, substitute};
use crate::wire::Frame;

/// A failure shows at most so many bytes of a text.
pub(crate) const SHOWN_BYTES: usize = 900;

/// Expected and got, one under the other.
pub(crate) fn mismatch(expected: &str, got: &[u8]) -> String {
    format!("expected  {expected}\ngot       {}", show(got, SHOWN_BYTES))
}

/// Captures, or why it does not match.
pub(crate) type Matched = Result<Captures, String>;

/// Compares an operation with a pattern; the outer error is a mistake in the case.
pub(crate) fn match_frame(text: &str, frame: &Frame, env: &Env) -> Result<Matched, String> {
    // JSON is compared as JSON: the body after the control line, or what follows INFO.
    let split = text.find("\\r\\n").map(|at| (&text[..at], &text[at + 4..]));
    let (head, body, actual_head, actual_body) = match (split, frame.body) {
        (Some((head, body)), Some(at)) if is_json(body) => {
            (head, body, &frame.bytes[..at - 2], &frame.bytes[at..])
        }
        _ => match (text.strip_prefix("INFO "), frame.bytes.strip_prefix(b"INFO ")) {
            (Some(body), Some(actual)) if is_json(body) => {
                ("INFO", body, &frame.bytes[..4], actual)
            }
            _ => {
                let found = Pattern::new(text, env)?.matches(&frame.bytes);
                return Ok(found.ok_or_else(String::new));
            }
        },
    };
    let Some(mut captures) = Pattern::new(head, env)?.matches(actual_head) else {
        return Ok(Err(String::new()));
    };
    Ok(match_body(body, actual_body, false, env)?.map(|more| {
        captures.extend(more);
        captures
    }))
}

fn is_json(text: &str) -> bool {
    text.starts_with("{\"") || text.starts_with("{}") || text.starts_with('[')
}

/// Compares headers and payload, or any text, with a pattern; `{…}` and `[…]` are JSON unless
/// `exact`. The outer error is a mistake in the case.
pub(crate) fn match_body(
    text: &str,
    actual: &[u8],
    exact: bool,
    env: &Env,
) -> Result<Matched, String> {
    if let Some((head, body)) = text.split_once("\\r\\n\\r\\n")
        && !exact
        && is_json(body)
    {
        return match_packed(head, body, actual, env);
    }
    if exact || !is_json(text) {
        let found = Pattern::new(text, env)?.matches(actual);
        return Ok(found.ok_or_else(String::new));
    }
    let text = substitute(text, env)?;
    let expected: Value =
        serde_json::from_str(&text).map_err(|e| format!("bad JSON in the case: {e}: {text}"))?;
    let Ok(actual) = serde_json::from_slice::<Value>(actual) else {
        return Ok(Err("this is not JSON".to_owned()));
    };
    Ok(subset(&expected, &actual))
}

/// Headers as text, and JSON behind them, which may be compressed as `Content-Encoding` says.
fn match_packed(head: &str, body: &str, actual: &[u8], env: &Env) -> Result<Matched, String> {
    let end = actual.windows(4).position(|window| window == b"\r\n\r\n");
    let Some((headers, packed)) = end.map(|at| (&actual[..at], &actual[at + 4..])) else {
        return Ok(Err("there are no headers".to_owned()));
    };
    let Some(mut captures) = Pattern::new(head, env)?.matches(headers) else {
        return Ok(Err(show(headers, SHOWN_BYTES)));
    };
    let is = |name: &[u8]| headers.windows(name.len()).any(|window| window == name);
    let mut unpacked = Vec::new();
    let read = if is(b"Content-Encoding: gzip") {
        flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked)
    } else if is(b"Content-Encoding: snappy") {
        snap::read::FrameDecoder::new(packed).read_to_end(&mut unpacked)
    } else {
        unpacked.extend_from_slice(packed);
        Ok(packed.len())
    };
    if let Err(error) = read {
        return Ok(Err(error.to_string()));
    }
    Ok(match_body(body, &unpacked, false, env)?.map(|more| {
        captures.extend(more);
        captures
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::take;

    fn matched(pattern: &str, bytes: &[u8]) -> bool {
        let frame = take(&mut bytes.to_vec()).unwrap().unwrap();
        match_frame(pattern, &frame, &Env::new()).unwrap().is_ok()
    }

    #[test]
    fn a_message_is_compared_whole() {
        assert!(matched("MSG foo 1 2\\r\\nhi", b"MSG foo 1 2\r\nhi\r\n"));
        assert!(!matched("MSG foo 1 2\\r\\nho", b"MSG foo 1 2\r\nhi\r\n"));
        assert!(!matched("MSG foo 2 2\\r\\nhi", b"MSG foo 1 2\r\nhi\r\n"));
    }

    #[test]
    fn json_in_a_message_is_compared_as_a_subset() {
        let message = b"MSG foo 1 13\r\n{\"a\":1,\"b\":2}\r\n";
        assert!(matched("MSG foo 1 13\\r\\n{\"b\":2}", message));
        assert!(!matched("MSG foo 1 13\\r\\n{\"b\":3}", message));
        assert!(matched("MSG foo 1 <number>\\r\\n\\{\"a\":1,\"b\":2}", message));
    }

    #[test]
    fn info_is_compared_as_json() {
        assert!(matched("INFO {\"a\":1}", b"INFO {\"b\":2,\"a\":1} \r\n"));
        assert!(!matched("INFO {\"a\":\"<absent>\"}", b"INFO {\"a\":1} \r\n"));
    }
}
