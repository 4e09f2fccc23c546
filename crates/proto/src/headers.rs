//! Header blocks: a view for lookups and a builder.
//!
//! A block is `NATS/1.0`, an optional inline status, CRLF, any number of `Key: value` CRLF, and CRLF.
//! The server forwards blocks as they came and never requires them to be well formed, so neither type
//! here fails: a lookup in a malformed block finds what the reference server would find.

mod block;

pub use block::HeaderBlock;

use std::borrow::Cow;

use memchr::memmem;

/// What a block starts with.
pub const VERSION: &[u8] = b"NATS/1.0";

const CRLF: &[u8] = b"\r\n";

/// A view over a raw header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

/// The inline status of a block: `NATS/1.0 503` or `NATS/1.0 408 Request Timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// Three digits.
    pub code: u16,
    /// What follows the code and blanks; may be empty.
    pub description: &'a [u8],
}

impl<'a> Headers<'a> {
    /// A view over `block`, which may be empty or malformed.
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    /// The raw block.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The first value of `name`.
    ///
    /// Names are case-sensitive, start right after a CRLF and end with `:`; spaces (not tabs) before the
    /// value are skipped; the value ends at CRLF or at the end of the block. These are the rules of
    /// nats-server's own lookups.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let name = name.as_bytes();
        memmem::find_iter(self.0, CRLF).find_map(|at| {
            let rest = self.0[at + 2..].strip_prefix(name)?.strip_prefix(b":")?;
            Some(value(rest))
        })
    }

    /// The first value of `name` as text.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&'a str> {
        str::from_utf8(self.get(name)?).ok()
    }

    /// Name and value of each header in order, repeated names as often as they stand there. Lines
    /// without `:` are skipped, and the first empty line ends the block.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.0;
        skip_line(&mut rest);
        std::iter::from_fn(move || {
            loop {
                let line = skip_line(&mut rest)?;
                if line.is_empty() {
                    rest = &[];
                    return None;
                }
                if let Some(colon) = memchr::memchr(b':', line) {
                    return Some((&line[..colon], value(&line[colon + 1..])));
                }
            }
        })
    }

    /// The inline status, if the block starts with the version and a three-digit code.
    #[must_use]
    pub fn status(&self) -> Option<Status<'a>> {
        let mut rest = self.0;
        let line = skip_line(&mut rest)?.strip_prefix(VERSION)?;
        let (code, description) = line.strip_prefix(b" ")?.trim_ascii().split_at_checked(3)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        if !matches!(description.first(), None | Some(b' ' | b'\t')) {
            return None;
        }
        let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        Some(Status { code, description: description.trim_ascii_start() })
    }
}

/// Drops whatever follows `NATS/1.0` on the first line: how a stream stores a block.
///
/// A block that does not start with the version, or has no line end, stays as it is.
#[must_use]
pub fn without_status(block: &[u8]) -> Cow<'_, [u8]> {
    match memmem::find(block, CRLF) {
        Some(end) if end > VERSION.len() && block.starts_with(VERSION) => {
            Cow::Owned([VERSION, &block[end..]].concat())
        }
        _ => Cow::Borrowed(block),
    }
}

/// The value at the start of `rest`: up to CRLF, without the spaces before it.
fn value(rest: &[u8]) -> &[u8] {
    let line = &rest[..memmem::find(rest, CRLF).unwrap_or(rest.len())];
    let spaces = line.iter().take_while(|byte| **byte == b' ').count();
    &line[spaces..]
}

/// Takes a line off `rest`, without its CRLF; the last one needs none.
fn skip_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let (line, after) = match memmem::find(rest, CRLF) {
        Some(end) => (&rest[..end], &rest[end + 2..]),
        None => (*rest, &[][..]),
    };
    *rest = after;
    Some(line)
}
