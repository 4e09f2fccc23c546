//! What may be a subject, and what a public key; and how names are quoted in messages.

use std::fmt::Write;

/// Whether `text` is a subject; wildcards are allowed.
pub(crate) fn is_subject(text: &str) -> bool {
    natterjack_subject::is_valid_subscription(text.as_bytes())
}

/// A text in double quotes as Go's `%q` writes it, so that a stray character can be seen.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            // `escape_debug` knows what can be printed.
            c if c == '\'' || c.escape_debug().len() == 1 => out.push(c),
            c if (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
    out
}

/// Whether `text` is a public key of the kind that `prefix` names (`U`, `A`, `O`), its checksum
/// included.
pub(crate) fn is_public_key(text: &str, prefix: char) -> bool {
    // Not as a key to verify with: a curve key is none.
    text.starts_with(prefix) && nkeys::from_public_key(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for valid in ["a", "a.b", "*", ">", "a.*.>", "a*b", "$SYS.>", "a>"] {
            assert!(is_subject(valid), "{valid}");
        }
        for invalid in ["", ".", "a.", ".a", "a..b", ">.a", "a b", "a\tb"] {
            assert!(!is_subject(invalid), "{invalid}");
        }
    }

    #[test]
    fn quotes() {
        for (text, quoted) in [
            ("foo", r#""foo""#),
            ("it's \"x\"\\", r#""it's \"x\"\\""#),
            ("\u{feff}port", r#""\ufeffport""#),
            ("a\0\n\u{7f}é", r#""a\x00\n\x7fé""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }

    #[test]
    fn public_keys() {
        let user = "UAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB63NN";
        assert!(is_public_key(user, 'U'));
        assert!(!is_public_key(user, 'A'));
        assert!(!is_public_key(&user[..55], 'U'));
        assert!(!is_public_key(&format!("{}O", &user[..55]), 'U'));
        assert!(!is_public_key("U", 'U'));
        assert!(!is_public_key("", 'U'));
    }
}
