//! Words of async-nats, the system and the server, turned into words for people.

/// The reason of a failed attempt: `connection refused`, `timed out`, `authorization violation`, ..
pub(crate) fn plain(text: &str) -> String {
    let mut text = text;
    for prefix in ["IO error: ", "DNS error: ", "TLS error: ", "failed signing nonce: "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    if let Some(rest) = text.strip_prefix("authorization violation: nats: ") {
        text = rest;
    }
    text = text.strip_prefix("nats: ").unwrap_or(text);
    let text = match text.split_once(" (os error ") {
        Some((before, after)) if after.ends_with(')') => before,
        _ => text,
    };
    let mut chars = text.chars();
    match chars.next() {
        // Lower the first letter, unless the word is an acronym such as `TLS`.
        Some(first) if !chars.as_str().starts_with(|c: char| c.is_uppercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Whether the text says that the server refused the login.
pub(crate) fn is_refusal(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "authorization violation",
        "user authentication expired",
        "user authentication revoked",
        "account authentication expired",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_plain_words() {
        for (text, want) in [
            ("IO error: Connection refused (os error 111)", "connection refused"),
            ("timed out", "timed out"),
            ("authorization violation: nats: authorization violation", "authorization violation"),
            ("IO error: nats: maximum connections exceeded", "maximum connections exceeded"),
            ("TLS error: TLS is odd", "TLS is odd"),
            ("", ""),
        ] {
            assert_eq!(plain(text), want);
        }
    }

    #[test]
    fn refusals_are_recognised() {
        assert!(is_refusal("IO error: nats: User Authentication Expired"));
        assert!(!is_refusal("IO error: nats: maximum connections exceeded"));
    }
}
