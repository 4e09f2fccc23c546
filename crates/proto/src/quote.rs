//! Quoted text as the reference server prints it in log lines and inside `-ERR` texts.
//!
//! nats-server formats subjects in permission violations, and snippets in parser logs, with Go's
//! `%q`: double quotes, backslash escapes, `\xNN` for bytes that are not UTF-8. Clients pick the
//! subject out of the error text, so the escapes are part of the protocol.

/// Appends `text` in double quotes, escaped by the rules of Go's `%q`.
pub fn quote_into(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(out, c);
        }
        for &byte in chunk.invalid() {
            push_hex(out, b'x', u32::from(byte), 2);
        }
    }
    out.push(b'"');
}

/// Returns `text` in double quotes, escaped by the rules of Go's `%q`.
#[must_use]
pub fn quote(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    String::from_utf8(out).expect("the quoted form holds valid chunks and ASCII escapes only")
}

fn push_char(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' | '\\' => Some(c as u8),
        '\x07' => Some(b'a'),
        '\x08' => Some(b'b'),
        '\x0c' => Some(b'f'),
        '\n' => Some(b'n'),
        '\r' => Some(b'r'),
        '\t' => Some(b't'),
        '\x0b' => Some(b'v'),
        _ => None,
    };
    match short {
        Some(letter) => out.extend_from_slice(&[b'\\', letter]),
        None if is_printable(c) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None if c < ' ' || c == '\x7f' => push_hex(out, b'x', c as u32, 2),
        None if (c as u32) < 0x1_0000 => push_hex(out, b'u', c as u32, 4),
        None => push_hex(out, b'U', c as u32, 8),
    }
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space, as Go's `strconv.IsPrint`.
///
/// The standard library knows the same set behind `str::escape_debug`, which leaves a printable
/// character alone; a letter in front keeps its special rule for a leading combining mark out.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let mut buf = [b'a'; 5];
    let len = c.encode_utf8(&mut buf[1..]).len();
    str::from_utf8(&buf[..=len]).is_ok_and(|text| text.escape_debug().count() == 2)
}

fn push_hex(out: &mut Vec<u8>, kind: u8, value: u32, digits: u32) {
    out.extend_from_slice(&[b'\\', kind]);
    for place in (0..digits).rev() {
        let nibble = (value >> (4 * place)) & 0xf;
        out.push(b"0123456789abcdef"[nibble as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_as_the_reference_server_does() {
        let rows: [(&[u8], &str); 10] = [
            (b"", r#""""#),
            (b"foo x", r#""foo x""#),
            (b"a\xffb\"\\\x01\xc3\xa9", r#""a\xffb\"\\\x01é""#),
            (b"\nPING\r", r#""\nPING\r""#),
            (b"\x07\x08\x0c\t\x0b", r#""\a\b\f\t\v""#),
            (b"\x00\x1f\x7f", r#""\x00\x1f\x7f""#),
            ("\u{a0}\u{85}\u{200b}".as_bytes(), r#""\u00a0\u0085\u200b""#),
            ("e\u{301}\u{301}".as_bytes(), "\"e\u{301}\u{301}\""),
            ("\u{301}x\u{fffd}".as_bytes(), "\"\u{301}x\u{fffd}\""),
            ("\u{e0001}\u{1f600}".as_bytes(), "\"\\U000e0001\u{1f600}\""),
        ];
        for (text, expected) in rows {
            assert_eq!(quote(text), expected, "{text:?}");
        }
    }
}
