//! The user that a client's certificate names (`verify_and_map` of a `tls` block).
//!
//! Asked in this order: each alternative name (email addresses, then DNS names, then URIs), the subject's
//! attributes compared with user names that are distinguished names, the subject as text. The first that
//! is a user wins (nats-server 2.15).

/// What a certificate says about its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Its alternative names: email addresses, DNS names, URIs.
    pub alternatives: Vec<String>,
    /// The subject's attributes, each with the short name of its type (`CN`, `OU`) or its OID.
    pub attributes: Vec<(String, String)>,
    /// The subject as text after RFC 2253: with its domain components appended if it has any, then plain.
    pub texts: Vec<String>,
}

impl CertificateNames {
    /// The first user that this certificate names. `find` looks one up by name, `all` lists all names.
    pub(super) fn user<'a, T>(
        &self,
        find: impl Fn(&str) -> Option<T>,
        all: impl Iterator<Item = &'a str>,
    ) -> Option<T> {
        let filled = |text: &&String| !text.is_empty();
        if let Some(user) = self.alternatives.iter().filter(filled).find_map(|name| find(name)) {
            return Some(user);
        }
        if !self.attributes.is_empty() {
            let subject = sorted(self.attributes.clone());
            // The least name, so that two that differ in order only are told apart the same each time.
            let named = all
                .filter(|name| attributes(name).is_some_and(|named| sorted(named) == subject))
                .min();
            if let Some(user) = named.and_then(&find) {
                return Some(user);
            }
        }
        self.texts.iter().filter(filled).find_map(|text| find(text))
    }
}

fn sorted(mut attributes: Vec<(String, String)>) -> Vec<(String, String)> {
    for (kind, _) in &mut attributes {
        kind.make_ascii_uppercase();
    }
    attributes.sort();
    attributes
}

/// The attributes of a distinguished name, `CN=a,OU=b+OU=c`; `None` if the text is none (RFC 4514, with
/// blanks around attributes).
fn attributes(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let (kind, after) = rest.split_once('=')?;
        let kind = kind.trim();
        let is_kind = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if kind.is_empty() || !kind.bytes().all(is_kind) {
            return None;
        }
        let (value, after) = value(after)?;
        found.push((kind.to_owned(), value));
        match after {
            Some(after) => rest = after,
            None => return Some(found),
        }
    }
}

/// A value up to the next separator that is not escaped, and what follows the separator.
fn value(text: &str) -> Option<(String, Option<&str>)> {
    let text = text.trim_start();
    let mut bytes = Vec::new();
    // What blanks at the end must not be cut: they were escaped.
    let mut kept = 0;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => {
                let (_, next) = chars.next()?;
                match next.to_digit(16) {
                    Some(high) if next.is_ascii_hexdigit() => {
                        let low = chars.next()?.1.to_digit(16)?;
                        bytes.push(u8::try_from(high * 16 + low).ok()?);
                    }
                    _ => bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                kept = bytes.len();
            }
            ',' | '+' | ';' => return Some((finish(bytes, kept)?, Some(&text[at + 1..]))),
            _ => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some((finish(bytes, kept)?, None))
}

fn finish(mut bytes: Vec<u8>, kept: usize) -> Option<String> {
    while bytes.len() > kept && bytes.last() == Some(&b' ') {
        bytes.pop();
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn distinguished_names_are_read() {
        for (text, expected) in [
            ("CN=a", Some(pairs(&[("CN", "a")]))),
            ("CN=a, OU=b + O=c", Some(pairs(&[("CN", "a"), ("OU", "b"), ("O", "c")]))),
            ("CN=a\\,b,2.5.4.3=c d ", Some(pairs(&[("CN", "a,b"), ("2.5.4.3", "c d")]))),
            ("CN=\\c3\\a4\\ ", Some(pairs(&[("CN", "ä ")]))),
            ("CN=", Some(pairs(&[("CN", "")]))),
            ("derek@nats.io", None),
            ("C N=a", None),
            ("CN=a,b", None),
            ("CN=a\\", None),
            ("CN=\\ff", None),
            ("", None),
        ] {
            assert_eq!(attributes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_are_tried_in_the_order_of_the_reference() {
        let certificate = CertificateNames {
            alternatives: vec!["a@x".into(), "x".into()],
            attributes: pairs(&[("O", "nats"), ("CN", "me")]),
            texts: vec!["CN=me,O=nats,DC=io".into(), "CN=me,O=nats".into()],
        };
        let named = |users: &[&'static str]| {
            let find = |name: &str| users.iter().find(|user| **user == name).copied();
            certificate.user(find, users.iter().copied())
        };
        let all = ["CN=me,O=nats,DC=io", "o=nats,cn=me", "x", "a@x"];
        assert_eq!(named(&all), Some("a@x"));
        assert_eq!(named(&all[..3]), Some("x"));
        assert_eq!(named(&all[..2]), Some("o=nats,cn=me"));
        assert_eq!(named(&all[..1]), Some("CN=me,O=nats,DC=io"));
        assert_eq!(named(&["CN=other", "cn=ME,o=nats"]), None);
    }
}
