//! Text in case files: escapes, variables and placeholders.
//!
//! | Written | Meaning |
//! |---|---|
//! | `\r` `\n` `\t` `\0` `\\` `\xHH` | that byte |
//! | `\s` `\{` `\<` | a blank, `{`, `<` taken literally |
//! | `\"` `\u` | kept as they are: they belong to JSON |
//! | `{name}` | a variable: `{s}`, `{dir}`, `{port}`, `{hport}`, `{i}`, captured before, or of `login` |
//! | `{fill:N}` | N times `x` |
//! | `{after:N}` | the time in N milliseconds, as RFC 3339 in UTC |
//! | `{bytes:name}` | the bytes that a placeholder took, also if they are no text |
//! | `<kind>` `<name=kind>` | in patterns: a placeholder, see [`crate::pattern`] |

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{login, pattern};

/// The variables of a running case.
pub type Env = HashMap<String, String>;

/// One part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A literal byte.
    Byte(u8),
    /// `{name}`.
    Var(String),
    /// `<kind>` or `<name=kind>`.
    Place {
        /// The variable that takes what was matched.
        name: Option<String>,
        /// What is matched.
        kind: String,
    },
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Cuts a text into its pieces. Placeholders are recognised only if `places` is set.
///
/// # Errors
/// An escape that is not in the table above.
pub fn pieces(raw: &str, places: bool) -> Result<Vec<Piece>, String> {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &raw[at..];
        match bytes[at] {
            b'\\' => {
                let (escaped, taken) = escape(rest)?;
                out.extend(escaped.into_iter().map(Piece::Byte));
                at += taken;
            }
            b'{' => {
                let name = rest[1..].split('}').next().unwrap_or_default();
                let known = match name.split_once(':') {
                    Some(("fill" | "after", count)) => count.parse::<usize>().is_ok(),
                    Some(("bytes", name)) => is_name(name),
                    Some(_) => false,
                    None => is_name(name),
                };
                if known && rest.len() > name.len() + 1 {
                    out.push(Piece::Var(name.to_owned()));
                    at += name.len() + 2;
                } else {
                    out.push(Piece::Byte(b'{'));
                    at += 1;
                }
            }
            b'<' if places => {
                let inner = rest[1..].split('>').next().unwrap_or_default();
                let (name, kind) = match inner.split_once('=') {
                    Some((name, kind)) => (Some(name), kind),
                    None => (None, inner),
                };
                if is_name(kind) && name.is_none_or(is_name) && rest.len() > inner.len() + 1 {
                    out.push(Piece::Place { name: name.map(str::to_owned), kind: kind.to_owned() });
                    at += inner.len() + 2;
                } else {
                    out.push(Piece::Byte(b'<'));
                    at += 1;
                }
            }
            _ => {
                let len = rest.chars().next().map_or(1, char::len_utf8);
                out.extend(bytes[at..at + len].iter().copied().map(Piece::Byte));
                at += len;
            }
        }
    }
    Ok(out)
}

/// Decodes the escape at the start of `rest`; answers its bytes and how much text it took.
fn escape(rest: &str) -> Result<(Vec<u8>, usize), String> {
    let code = rest.as_bytes().get(1).copied();
    let one = |byte: u8| Ok((vec![byte], 2));
    match code {
        Some(b'r') => one(b'\r'),
        Some(b'n') => one(b'\n'),
        Some(b't') => one(b'\t'),
        Some(b'0') => one(0),
        Some(b's') => one(b' '),
        Some(byte @ (b'\\' | b'{' | b'<')) => one(byte),
        Some(byte @ (b'"' | b'u')) => Ok((vec![b'\\', byte], 2)),
        Some(b'x') => rest
            .get(2..4)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .map(|byte| (vec![byte], 4))
            .ok_or_else(|| "\\x needs two hexadecimal digits".to_owned()),
        _ => Err(format!("unknown escape at {:?}", rest.chars().take(4).collect::<String>())),
    }
}

/// The bytes of a variable.
///
/// # Errors
/// The variable is not set.
pub fn variable(name: &str, env: &Env) -> Result<Vec<u8>, String> {
    if let Some(count) = name.strip_prefix("fill:") {
        return Ok(vec![b'x'; count.parse().map_err(|_| format!("bad count in {{{name}}}"))?]);
    }
    if let Some(ms) = name.strip_prefix("after:") {
        let ms = ms.parse().map_err(|_| format!("bad time in {{{name}}}"))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Ok(rfc3339(since + Duration::from_millis(ms)).into_bytes());
    }
    if let Some(name) = name.strip_prefix("bytes:") {
        let value = env.get(name).ok_or_else(|| format!("{{{name}}} is not set"))?;
        return pattern::uncaptured(value);
    }
    if let Some(value) = env.get(name) {
        return Ok(value.as_bytes().to_vec());
    }
    match login::variable(name, env) {
        Some(value) => value,
        None => Err(format!("{{{name}}} is not set")),
    }
}

/// A time since 1970 with milliseconds. Days to dates after Howard Hinnant's `civil_from_days`.
fn rfc3339(since: Duration) -> String {
    let seconds = since.as_secs();
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let date = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let ms = since.subsec_millis();
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The bytes a text stands for.
///
/// # Errors
/// An unknown escape or a variable that is not set.
pub fn expand(raw: &str, env: &Env) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for piece in pieces(raw, false)? {
        match piece {
            Piece::Byte(byte) => out.push(byte),
            Piece::Var(name) => out.extend(variable(&name, env)?),
            Piece::Place { .. } => unreachable!("placeholders were not asked for"),
        }
    }
    Ok(out)
}

/// Replaces variables only and leaves everything else, escapes too: for JSON.
///
/// # Errors
/// A variable that is not set.
pub fn substitute(raw: &str, env: &Env) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let name = rest[1..].split('}').next().unwrap_or_default();
        if (is_name(name) || name.starts_with("fill:") || name.starts_with("after:"))
            && rest.len() > name.len() + 1
        {
            out.push_str(&String::from_utf8_lossy(&variable(name, env)?));
            rest = &rest[name.len() + 2..];
        } else {
            out.push('{');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Bytes as the text a case file would use for them, cut off after `limit` bytes.
#[must_use]
pub fn show(bytes: &[u8], limit: usize) -> String {
    use std::fmt::Write as _;
    let cut = bytes.len().min(limit);
    let mut out = String::new();
    for chunk in bytes[..cut].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() && c.is_ascii() => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if cut < bytes.len() {
        let _ = write!(out, "… ({} bytes)", bytes.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::from([("s".to_owned(), "S1".to_owned())])
    }

    #[test]
    fn escapes_and_variables_become_bytes() {
        assert_eq!(expand("PUB {s}.a 2\\r\\nhi", &env()).unwrap(), b"PUB S1.a 2\r\nhi");
        assert_eq!(expand("\\xff\\0\\s\\\\", &env()).unwrap(), b"\xff\0 \\");
        assert_eq!(expand("{fill:3}", &env()).unwrap(), b"xxx");
    }

    #[test]
    fn json_braces_are_left_alone() {
        assert_eq!(expand(r#"{"a":{"b":1}}"#, &env()).unwrap(), br#"{"a":{"b":1}}"#);
        assert_eq!(
            substitute(r#"{"n":"{s}","d":"\"x"}"#, &env()).unwrap(),
            r#"{"n":"S1","d":"\"x"}"#
        );
        assert_eq!(expand("{}", &env()).unwrap(), b"{}");
    }

    #[test]
    fn times_are_dates() {
        let text = |seconds| rfc3339(Duration::from_secs(seconds));
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_798_761_599), "2026-12-31T23:59:59.000Z");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(expand("\\q", &env()).unwrap_err().contains("escape"));
        assert!(expand("{nope}", &env()).unwrap_err().contains("not set"));
        assert!(expand("\\x1", &env()).is_err());
    }

    #[test]
    fn placeholders_are_cut_out_only_where_asked_for() {
        let found = pieces("a<x=word> <number>", true).unwrap();
        let place = |name: Option<&str>, kind: &str| Piece::Place {
            name: name.map(str::to_owned),
            kind: kind.to_owned(),
        };
        assert_eq!(
            found,
            [Piece::Byte(b'a'), place(Some("x"), "word"), Piece::Byte(b' '), place(None, "number")]
        );
        assert_eq!(pieces("<a", true).unwrap().len(), 2);
        assert_eq!(pieces("<a>", false).unwrap().len(), 3);
    }

    #[test]
    fn bytes_are_shown_as_a_case_would_write_them() {
        assert_eq!(show(b"PUB a 1\r\n\xff\x01", 100), "PUB a 1\\r\\n\\xff\\x01");
        assert_eq!(show(b"abcdef", 3), "abc… (6 bytes)");
    }
}
