//! Cases about messages and subjects.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Cause, Explain, exit_of, explain, is_passing};

/// The message exceeds the server's `max_payload`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("message of {size} bytes exceeds the server's limit of {limit}")]
pub struct TooLarge {
    /// Headers and body, in bytes.
    pub size: u64,
    /// The server's limit in bytes.
    pub limit: u64,
}

explain!(
    TooLarge,
    "msg.too_large",
    retryable: false,
    exit: 1,
    "send less, or raise max_payload on the server"
);

/// The subject is not valid.
#[derive(Debug, Clone, thiserror::Error)]
#[error("bad subject `{subject}`: {why}")]
pub struct BadSubject {
    /// The subject.
    pub subject: String,
    /// What is wrong, with the position (counted from 1).
    pub why: String,
}

explain!(
    BadSubject,
    "msg.bad_subject",
    retryable: false,
    exit: 2,
    "subjects are tokens separated by dots, without blanks; * and > are for subscriptions"
);

/// Nobody listens on the subject.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no responders on {subject}")]
pub struct NoResponders {
    /// The subject.
    pub subject: String,
}

explain!(NoResponders, "request.no_responders", retryable: true, exit: 6, "start the service that answers");

/// The service that was asked answered with an error of its own (ADR-32).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{subject}: {description} (code {code})")]
pub struct Refused {
    /// The subject that was asked on.
    pub subject: String,
    /// What kind of error it is, mostly by the numbers of HTTP; 0 if it is no number.
    pub code: u16,
    /// What is wrong, in the service's words.
    pub description: String,
}

impl Explain for Refused {
    fn code(&self) -> &'static str {
        "request.refused"
    }

    fn retryable(&self) -> bool {
        is_passing(self.code)
    }

    fn hint(&self) -> Cow<'static, str> {
        "".into()
    }

    fn exit_code(&self) -> u8 {
        exit_of(self.code)
    }
}

/// A body does not decode into the wanted type. The raw bytes are kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("message on {subject} is not valid {codec}: {error}")]
pub struct Decode {
    /// Where it came from: a subject or a key.
    pub subject: String,
    /// The codec's name.
    pub codec: &'static str,
    /// The codec's reason.
    #[source]
    pub error: Cause,
    /// The body as it came.
    pub raw: Bytes,
}

explain!(Decode, "msg.decode", retryable: false, exit: 1, "sender and receiver must use one codec and type");

/// A value does not encode.
#[derive(Debug, Clone, thiserror::Error)]
#[error("value cannot be written as {codec}: {error}")]
pub struct Encode {
    /// The codec's name.
    pub codec: &'static str,
    /// The codec's reason.
    #[source]
    pub error: Cause,
}

explain!(Encode, "msg.encode", retryable: false, exit: 1, "");

/// Checks a subject by the server's rules: no empty token, no blanks; wildcards only in `pattern`s,
/// as whole tokens, `>` last.
pub(crate) fn check_subject(subject: &str, pattern: bool) -> Result<(), BadSubject> {
    let bad = |why: String| Err(BadSubject { subject: subject.to_owned(), why });
    if subject.is_empty() {
        return bad("it is empty".into());
    }
    if let Some(at) = subject.find([' ', '\t', '\r', '\n', '\0', '\x0c']) {
        return bad(format!("blank or control character at position {}", at + 1));
    }
    let mut at = 1;
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        match token {
            "" => return bad(format!("empty token at position {at}")),
            "*" | ">" if !pattern => {
                return bad(format!("wildcard `{token}` at position {at} in a subject to send to"));
            }
            ">" if tokens.peek().is_some() => {
                return bad(format!("`>` at position {at} is not the last token"));
            }
            _ => {}
        }
        at += token.len() + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_subject;

    #[test]
    fn a_bad_subject_is_named_with_its_position() {
        let check = |subject, pattern| check_subject(subject, pattern).map_err(|e| e.why).err();
        for (subject, pattern, why) in [
            ("foo.bar", false, None),
            ("foo.*.>", true, None),
            ("foo*", false, None),
            ("", false, Some("it is empty")),
            ("foo bar", false, Some("blank or control character at position 4")),
            ("foo..bar", true, Some("empty token at position 5")),
            (".foo", true, Some("empty token at position 1")),
            ("foo.", true, Some("empty token at position 5")),
            ("a.>.b", true, Some("`>` at position 3 is not the last token")),
            ("a.*", false, Some("wildcard `*` at position 3 in a subject to send to")),
        ] {
            assert_eq!(check(subject, pattern).as_deref(), why, "{subject}");
        }
    }
}
