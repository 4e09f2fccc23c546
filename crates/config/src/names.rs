//! What may be a subject, and what a public key.

/// Whether `text` is a subject, wildcards allowed: tokens between dots, none empty or with blanks,
/// `>` only at the end.
pub(crate) fn is_subject(text: &str) -> bool {
    if text.is_empty() || text.contains([' ', '\t', '\n', '\r', '\u{c}']) {
        return false;
    }
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Whether `text` is a public key of the kind that `prefix` names (`U`, `A`, `O`), its checksum
/// included.
pub(crate) fn is_public_key(text: &str, prefix: char) -> bool {
    text.starts_with(prefix) && nkeys::KeyPair::from_public_key(text).is_ok()
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
