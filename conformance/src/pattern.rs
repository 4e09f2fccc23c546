//! Patterns: literal bytes with placeholders.
//!
//! | Placeholder | Matches |
//! |---|---|
//! | `<any>` | anything within a line, also nothing |
//! | `<rest>` | anything at all, also nothing |
//! | `<word>` | one or more bytes without blanks and line ends |
//! | `<token>` | a word without dots |
//! | `<number>` | digits, with an optional minus sign |
//! | `<id>` | letters, digits, `-` and `_` |
//! | `<nuid>` | 22 letters or digits |
//! | `<time>` | an RFC 3339 time in UTC with up to nine fractional digits |
//! | `<prog>` | `nats-server` or `natterjack` |
//!
//! `<name=kind>` also sets the variable `{name}` for the steps that follow.

use crate::text::{Env, Piece, pieces, variable};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Rest,
    Word,
    Token,
    Number,
    Id,
    Nuid,
    Time,
    Prog,
}

impl Kind {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "any" => Self::Any,
            "rest" => Self::Rest,
            "word" => Self::Word,
            "token" => Self::Token,
            "number" => Self::Number,
            "id" => Self::Id,
            "nuid" => Self::Nuid,
            "time" => Self::Time,
            "prog" => Self::Prog,
            _ => return Err(format!("unknown placeholder <{text}>")),
        })
    }

    /// The longest prefix of `bytes` that could belong to the placeholder.
    fn reach(self, bytes: &[u8]) -> usize {
        let allowed = |byte: u8| match self {
            Self::Rest => true,
            Self::Any => !matches!(byte, b'\r' | b'\n'),
            Self::Word => !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'),
            Self::Token => !matches!(byte, b'.' | b' ' | b'\t' | b'\r' | b'\n'),
            Self::Number => byte.is_ascii_digit() || byte == b'-',
            Self::Id | Self::Prog => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Nuid => byte.is_ascii_alphanumeric(),
            Self::Time => byte.is_ascii_digit() || b"-:.TZ".contains(&byte),
        };
        bytes.iter().position(|&byte| !allowed(byte)).unwrap_or(bytes.len())
    }

    fn accepts(self, bytes: &[u8]) -> bool {
        match self {
            Self::Any | Self::Rest => true,
            Self::Word | Self::Token | Self::Id => !bytes.is_empty(),
            Self::Number => {
                let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
                !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
            }
            Self::Nuid => bytes.len() == 22,
            Self::Time => is_time(bytes),
            Self::Prog => matches!(bytes, b"nats-server" | b"natterjack"),
        }
    }
}

fn is_time(bytes: &[u8]) -> bool {
    let Some((head, tail)) = bytes.split_at_checked(19) else { return false };
    let shape = head.iter().zip(b"0000-00-00T00:00:00");
    let shaped =
        shape.into_iter().all(|(&b, &s)| if s == b'0' { b.is_ascii_digit() } else { b == s });
    let fraction = match tail {
        [b'Z'] => return shaped,
        [b'.', fraction @ .., b'Z'] => fraction,
        _ => return false,
    };
    // Trailing zeros are dropped by the reference (Go's RFC3339Nano).
    shaped
        && (1..=9).contains(&fraction.len())
        && fraction.iter().all(u8::is_ascii_digit)
        && !fraction.ends_with(b"0")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Literal(Vec<u8>),
    Place { name: Option<String>, kind: Kind },
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    elements: Vec<Element>,
}

/// What the named placeholders of a pattern took.
pub type Captures = Vec<(String, String)>;

impl Pattern {
    /// Compiles a pattern; variables are put in now.
    ///
    /// # Errors
    /// An unknown escape or placeholder, or a variable that is not set.
    pub fn new(raw: &str, env: &Env) -> Result<Self, String> {
        Self::build(pieces(raw, true)?, env)
    }

    /// As [`Pattern::new`] for text whose escapes and variables are resolved already.
    ///
    /// # Errors
    /// An unknown placeholder.
    pub fn plain(text: &str) -> Result<Self, String> {
        Self::build(pieces(&text.replace('\\', "\\\\"), true)?, &Env::new())
    }

    fn build(pieces: Vec<Piece>, env: &Env) -> Result<Self, String> {
        let mut elements: Vec<Element> = Vec::new();
        let literal = |elements: &mut Vec<Element>, bytes: &[u8]| match elements.last_mut() {
            Some(Element::Literal(text)) => text.extend_from_slice(bytes),
            _ => elements.push(Element::Literal(bytes.to_vec())),
        };
        for piece in pieces {
            match piece {
                Piece::Byte(byte) => literal(&mut elements, &[byte]),
                Piece::Var(name) => literal(&mut elements, &variable(&name, env)?),
                Piece::Place { name, kind } => {
                    elements.push(Element::Place { name, kind: Kind::parse(&kind)? });
                }
            }
        }
        Ok(Self { elements })
    }

    /// Matches the whole of `bytes`; the answer holds the captures, if it matched.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> Option<Captures> {
        let mut captures = Vec::new();
        step(&self.elements, bytes, &mut captures).then_some(captures)
    }

    /// Matches some part of `bytes`.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Option<Captures> {
        let mut elements = self.elements.clone();
        let any = || Element::Place { name: None, kind: Kind::Rest };
        elements.insert(0, any());
        elements.push(any());
        Self { elements }.matches(bytes)
    }
}

/// What is no text is kept as `base64:…`.
fn captured(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", data_encoding::BASE64.encode(bytes)),
    }
}

/// The bytes that a placeholder took.
///
/// # Errors
/// The value is none that a placeholder gives.
pub fn uncaptured(value: &str) -> Result<Vec<u8>, String> {
    match value.strip_prefix("base64:") {
        Some(encoded) => data_encoding::BASE64
            .decode(encoded.as_bytes())
            .map_err(|error| format!("{value:?}: {error}")),
        None => Ok(value.as_bytes().to_vec()),
    }
}

fn step(elements: &[Element], bytes: &[u8], captures: &mut Captures) -> bool {
    let Some((first, rest)) = elements.split_first() else { return bytes.is_empty() };
    match first {
        Element::Literal(text) => {
            bytes.strip_prefix(text.as_slice()).is_some_and(|tail| step(rest, tail, captures))
        }
        Element::Place { name, kind } => {
            for take in (0..=kind.reach(bytes)).rev() {
                let (taken, tail) = bytes.split_at(take);
                if !kind.accepts(taken) {
                    continue;
                }
                // What follows a placeholder is a literal in almost every pattern: look at it first.
                if let Some(Element::Literal(text)) = rest.first()
                    && !tail.starts_with(text)
                {
                    continue;
                }
                let mark = captures.len();
                if let Some(name) = name {
                    captures.push((name.clone(), captured(taken)));
                }
                if step(rest, tail, captures) {
                    return true;
                }
                captures.truncate(mark);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, text: &[u8]) -> Option<Captures> {
        Pattern::new(pattern, &Env::new()).unwrap().matches(text)
    }

    #[test]
    fn placeholders_match_their_kind() {
        assert!(matched("MSG foo <number> 2", b"MSG foo 17 2").is_some());
        assert!(matched("MSG foo <number> 2", b"MSG foo x 2").is_none());
        assert!(matched("<any>end", b"the end").is_some());
        assert!(matched("<any>", b"a\r\nb").is_none());
        assert!(matched("<rest>", b"a\r\nb").is_some());
        assert!(matched("<nuid>", b"ABCDEFGHIJKLMNOPQRSTUV").is_some());
        assert!(matched("<nuid>", b"short").is_none());
        assert!(matched("<token>.<token>", b"a.b").is_some());
        assert!(matched("<token>", b"a.b").is_none());
        assert!(matched("a<word>", b"a").is_none());
    }

    #[test]
    fn times_have_no_trailing_zeros() {
        assert!(matched("<time>", b"2026-01-02T03:04:05.123456789Z").is_some());
        assert!(matched("<time>", b"2026-01-02T03:04:05Z").is_some());
        assert!(matched("<time>", b"2026-01-02T03:04:05.10Z").is_none());
        assert!(matched("<time>", b"2026-01-02 03:04:05Z").is_none());
        assert!(matched("<time>", b"2026-01-02T03:04:05+00:00").is_none());
    }

    #[test]
    fn captures_come_back() {
        let captures = matched("MSG <a=word> 1 <b=number>", b"MSG x.y 1 5").unwrap();
        assert_eq!(captures, [("a".into(), "x.y".into()), ("b".into(), "5".into())]);
    }

    #[test]
    fn bytes_come_back_as_they_were() {
        let captures = matched("MSG a <number>\\r\\n<b=rest>", b"MSG a 3\r\n\xff\x00{").unwrap();
        let env = Env::from_iter(captures);
        assert_eq!(crate::text::expand("x{bytes:b}", &env).unwrap(), b"x\xff\x00{");
    }

    #[test]
    fn part_of_a_line_is_found() {
        let pattern = Pattern::new("ready <number>", &Env::new()).unwrap();
        assert!(pattern.found_in(b"Server is ready 5 now").is_some());
        assert!(pattern.found_in(b"Server is ready").is_none());
    }

    #[test]
    fn an_unknown_placeholder_is_an_error() {
        assert!(Pattern::new("<nonsense>", &Env::new()).is_err());
    }
}
