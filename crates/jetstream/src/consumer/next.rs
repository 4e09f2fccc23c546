//! What a pull request asks for (jetstream.md 3.7, ADR-13).

use serde::Deserialize;

use crate::json::{decode, duration, int};

/// The body of a request. A bare number is a batch; anything else that is not JSON counts as 1.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename = "")]
pub(super) struct NextRequest {
    #[serde(with = "duration")]
    pub(super) expires: i64,
    #[serde(with = "int")]
    pub(super) batch: i64,
    #[serde(with = "int")]
    pub(super) max_bytes: i64,
    pub(super) no_wait: bool,
    #[serde(with = "duration")]
    pub(super) idle_heartbeat: i64,
    pub(super) group: String,
    pub(super) min_pending: i64,
    pub(super) min_ack_pending: u64,
    pub(super) id: String,
    #[serde(with = "int")]
    pub(super) priority: i64,
    /// It said no more than a number, or nothing: it is in no group.
    #[serde(skip)]
    pub(super) bare: bool,
}

impl NextRequest {
    /// # Errors
    /// What follows `Bad Request - `.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let text = body.trim_ascii();
        if text.first() == Some(&b'{') {
            if let Some(request) = Self::read_plain(text) {
                return request.check();
            }
            let request: Self =
                decode(text, false).map_err(|error| go_v1_text(&error.to_string()))?;
            return request.check();
        }
        let batch = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        Ok(Self { batch, bare: true, ..Self::default() })
    }

    fn check(self) -> Result<Self, String> {
        if self.idle_heartbeat > 0 && self.idle_heartbeat > self.expires / 2 {
            return Err("heartbeat value too large".to_owned());
        }
        Ok(self)
    }

    /// Reads what clients send for each batch without a general reader: an object of known names in
    /// lower case with plain whole numbers and truth values. Anything else is not for it.
    fn read_plain(text: &[u8]) -> Option<Self> {
        let mut request = Self::default();
        let mut rest = text.strip_prefix(b"{")?;
        loop {
            let (name, tail) = split_at_byte(rest.trim_ascii_start().strip_prefix(b"\"")?, b'"')?;
            let value = tail.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
            let (value, tail) =
                value.split_at(value.iter().position(|b| matches!(b, b',' | b'}'))?);
            let value = value.trim_ascii_end();
            match name {
                b"batch" => request.batch = plain_number(value)?,
                b"expires" => request.expires = plain_number(value)?,
                b"idle_heartbeat" => request.idle_heartbeat = plain_number(value)?,
                b"max_bytes" => request.max_bytes = plain_number(value)?,
                b"no_wait" if value == b"true" => request.no_wait = true,
                b"no_wait" if value == b"false" => request.no_wait = false,
                _ => return None,
            }
            match tail.split_first()? {
                (b',', tail) => rest = tail,
                (_, tail) => return tail.is_empty().then_some(request),
            }
        }
    }
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Digits that are a JSON number and fit 63 bits whatever they are.
fn plain_number(text: &[u8]) -> Option<i64> {
    let plain = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    if !plain || (text.len() > 1 && text[0] == b'0') {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// This endpoint decodes with Go's older decoder, which words some syntax errors differently
/// (nats-server 2.15.1).
fn go_v1_text(text: &str) -> String {
    let text = text.split(" at offset ").next().unwrap_or(text);
    match text {
        "unexpected EOF" => "unexpected end of JSON input".to_owned(),
        text => text.replace("looking for beginning of value", "after top-level value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_requests_are_read_as_the_general_reader_reads_them() {
        for text in [
            r#"{"batch":1}"#,
            r#"{"expires":30000000000,"batch":500}"#,
            r#"{ "batch" : 10 , "no_wait" : true, "idle_heartbeat":5 }"#,
            r#"{"batch":0,"max_bytes":999999999999999999,"no_wait":false}"#,
            r#"{"batch":1,"batch":2}"#,
        ] {
            let plain = NextRequest::read_plain(text.as_bytes()).expect(text);
            assert_eq!(plain, decode(text.as_bytes(), false).unwrap(), "{text}");
        }
        for text in [
            "{}",
            r#"{"batch":01}"#,
            r#"{"batch":-1}"#,
            r#"{"batch":1.0}"#,
            r#"{"batch":""}"#,
            r#"{"batch":}"#,
            r#"{"batch":1,}"#,
            r#"{"batch":1}{"batch":2}"#,
            r#"{"batch":1"#,
            r#"{"Batch":1}"#,
            r#"{"ba\u0074ch":1}"#,
            r#"{"batch":1,"id":"x"}"#,
            r#"{"batch":1 2}"#,
            r#"{"no_wait":1}"#,
            r#"{"batch":{"batch":1}}"#,
            r#"{"expires":1000000000000000000}"#,
        ] {
            assert_eq!(NextRequest::read_plain(text.as_bytes()), None, "{text}");
        }
    }
}
