//! Subject transform and republish of a stream, ready for use (jetstream.md 2.9).

use natterjack_subject::{Transform, overlaps};

use super::config::{self, Config};
use crate::error::ApiError;
use crate::json::write_u64;
use crate::time::rfc3339;

/// What a configuration asks to be done with subjects.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Renames what comes in.
    pub(super) transform: Option<Transform>,
    /// Where what is stored is published again; with true without its payload.
    pub(super) republish: Option<(Transform, bool)>,
    /// A message is not judged like any other: the stream is sealed, or holds counters.
    pub(super) guarded: bool,
}

impl Rules {
    /// The rules of a configuration that was checked.
    pub(super) fn of(config: &Config) -> Self {
        let rule = |src: &str, dest: &str| {
            if dest.is_empty() { None } else { Transform::new(src, dest).ok() }
        };
        let transform = config.subject_transform.as_ref();
        let republish = config.republish.as_ref();
        Self {
            transform: transform.and_then(|own| rule(&own.src, &own.dest)),
            republish: republish
                .and_then(|own| rule(&own.src, &own.dest).map(|rule| (rule, own.headers_only))),
            guarded: config.sealed || config.allow_msg_counter,
        }
    }
}

/// A message that was stored, as its republished form names it.
pub(super) struct Republished<'a> {
    pub(super) stream: &'a str,
    pub(super) subject: &'a [u8],
    pub(super) seq: u64,
    pub(super) time: i64,
    /// The sequence before on the same subject, 0 for none.
    pub(super) last: u64,
    /// The payload's length, where it is left out.
    pub(super) size: Option<usize>,
}

/// The headers with which a message is published again.
pub(super) fn republish_headers(stored: &[u8], of: &Republished<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len() + of.subject.len() + 160);
    match stored.strip_suffix(b"\r\n") {
        Some(open) => out.extend_from_slice(open),
        None => out.extend_from_slice(super::headers::VERSION_LINE),
    }
    let mut line = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    let number = |value: u64| {
        let mut digits = Vec::with_capacity(20);
        write_u64(&mut digits, value);
        digits
    };
    line("Nats-Stream", of.stream.as_bytes());
    line("Nats-Subject", of.subject);
    line("Nats-Sequence", &number(of.seq));
    line("Nats-Time-Stamp", rfc3339(of.time).as_bytes());
    line("Nats-Last-Sequence", &number(of.last));
    if let Some(size) = of.size {
        line("Nats-Msg-Size", &number(size as u64));
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What is wrong with a mapping.
pub(super) enum Fault {
    /// Its source.
    Source(String),
    /// Its destination, or that the source does not fill it.
    Destination(String),
}

/// What is wrong with `rule`; one without a destination only selects.
pub(super) fn mapping_fault(rule: &config::Transform) -> Option<Fault> {
    let config::Transform { src, dest } = rule;
    if !src.is_empty() && !natterjack_subject::is_valid_subscription(src.as_bytes()) {
        return Some(Fault::Source(format!("invalid subject {src}")));
    }
    let error = Transform::new(src, dest).err().filter(|_| !dest.is_empty());
    error.map(|error| Fault::Destination(error.to_string()))
}

/// Checks the subject transform.
///
/// # Errors
/// 10155 and 10156.
pub(super) fn check_transform(rule: &config::Transform) -> Result<(), ApiError> {
    match mapping_fault(rule) {
        Some(Fault::Source(err)) => Err(ApiError::StreamTransformInvalidSource { err: err.into() }),
        Some(Fault::Destination(err)) => {
            Err(ApiError::StreamTransformInvalidDestination { err: err.into() })
        }
        None => Ok(()),
    }
}

/// Checks the republish rule and fills in its source.
///
/// # Errors
/// 10157 where a pedantic request leaves the source out or the rule to the transform; 10052 for a cycle or a destination that the
/// source does not fill.
pub(super) fn fill_republish(config: &mut Config, pedantic: bool) -> Result<(), ApiError> {
    let Some(rule) = &mut config.republish else { return Ok(()) };
    if rule.src.is_empty() {
        if pedantic {
            return Err(ApiError::pedantic("republish source can not be empty"));
        }
        rule.src = ">".to_owned();
    }
    // What the transform renames may go out under its new name.
    if let Some(transform) = &config.subject_transform
        && (rule.src.as_str(), rule.dest.as_str()) == (">", ">")
        && config.subjects.len() == 1
        && config.subjects[0] == transform.src
    {
        if pedantic {
            return Err(ApiError::pedantic("implicit republish based on subject transform"));
        }
        rule.src.clone_from(&transform.dest);
        rule.dest.clone_from(&transform.dest);
    }
    let (src, dest) = (&rule.src, &rule.dest);
    if config.subjects.iter().any(|own| overlaps(own.as_bytes(), dest.as_bytes())) {
        let text = "stream configuration for republish destination forms a cycle";
        return Err(ApiError::invalid_config(text));
    }
    let valid = natterjack_subject::is_valid_subscription(src.as_bytes())
        && (dest.is_empty() || Transform::new(src, dest).is_ok());
    if !valid {
        return Err(ApiError::invalid_config(format!(
            "stream configuration for republish with transform from '{src}' to '{dest}' not valid"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_follow_the_stored_ones_in_the_order_of_the_reference() {
        let mut of = Republished {
            stream: "S",
            subject: b"s.a",
            seq: 7,
            time: 1_700_000_000_000_000_000,
            last: 3,
            size: None,
        };
        let tail = "Nats-Stream: S\r\nNats-Subject: s.a\r\nNats-Sequence: 7\r\n\
            Nats-Time-Stamp: 2023-11-14T22:13:20Z\r\nNats-Last-Sequence: 3\r\n";
        let headers = republish_headers(b"NATS/1.0\r\nA: b\r\n\r\n", &of);
        assert_eq!(headers, format!("NATS/1.0\r\nA: b\r\n{tail}\r\n").as_bytes());
        of.size = Some(5);
        let headers = republish_headers(b"", &of);
        assert_eq!(headers, format!("NATS/1.0\r\n{tail}Nats-Msg-Size: 5\r\n\r\n").as_bytes());
    }
}
