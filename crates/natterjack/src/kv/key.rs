//! Names of buckets and keys (ADR-8).

use crate::error::BadName;

fn bad(kind: &'static str, name: &str, why: String) -> BadName {
    BadName { kind: kind.into(), name: name.to_owned(), why }
}

fn check(kind: &'static str, name: &str, allowed: impl Fn(char) -> bool) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(bad(kind, name, "it is empty".into()));
    }
    match name.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        Some((at, c)) => {
            let why = format!("`{}` at position {} is not allowed", c.escape_debug(), at + 1);
            Err(bad(kind, name, why))
        }
        None => Ok(()),
    }
}

/// A bucket's name: letters, digits, `-` and `_`.
pub(crate) fn check_bucket(name: &str) -> Result<(), BadName> {
    check("bucket", name, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn check_dots(kind: &'static str, key: &str) -> Result<(), BadName> {
    let mut at = 1;
    for token in key.split('.') {
        if token.is_empty() {
            return Err(bad(kind, key, format!("empty token at position {at}")));
        }
        at += token.len() + 1;
    }
    Ok(())
}

fn in_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-/_=.".contains(c)
}

/// A key: letters, digits and `- / _ = .`, without empty tokens between dots.
pub(crate) fn check_key(key: &str) -> Result<(), BadName> {
    check("key", key, in_key)?;
    check_dots("key", key)
}

/// A key, or a pattern of keys with `*` and `>`.
pub(crate) fn check_filter(filter: &str) -> Result<(), BadName> {
    check("key filter", filter, |c| in_key(c) || c == '*' || c == '>')?;
    check_dots("key filter", filter)?;
    crate::error::check_subject(filter, true).map_err(|error| bad("key filter", filter, error.why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_key_is_named_with_its_position() {
        let why = |result: Result<(), BadName>| result.err().map(|error| error.why);
        for (key, want) in [
            ("a.b-c/d_e=f", None),
            ("", Some("it is empty")),
            ("a b", Some("` ` at position 2 is not allowed")),
            ("a.*", Some("`*` at position 3 is not allowed")),
            (".a", Some("empty token at position 1")),
            ("a..b", Some("empty token at position 3")),
            ("a.", Some("empty token at position 3")),
            ("ключ", Some("`к` at position 1 is not allowed")),
        ] {
            assert_eq!(why(check_key(key)).as_deref(), want, "{key}");
        }
        assert_eq!(why(check_filter("a.*.>")), None);
        assert!(why(check_filter("a.>.b")).is_some());
        assert_eq!(
            why(check_bucket("my.bucket")).as_deref(),
            Some("`.` at position 3 is not allowed")
        );
    }
}
