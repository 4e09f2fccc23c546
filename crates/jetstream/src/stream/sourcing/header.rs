//! `Nats-Stream-Source`: where a message of a sourcing stream comes from (jetstream.md 2.10).
//!
//! ```text
//! <stream>[:<hash>] <sequence> <filters> <destinations> <subject> [<identity>]
//! ```
//! The hash is that of the API prefix of an origin elsewhere. Several filters are separated by form
//! feeds; none are `>`. Stream, filters and destinations together name the source.

use std::borrow::Cow;

use crate::json::write_u64;
use crate::nuid::hash8;
use crate::stream::config::Source;
use crate::stream::headers::{VERSION_LINE, get};

const NAME: &str = "Nats-Stream-Source";

/// The name of a source: what tells it from the others of its stream.
pub(super) fn index(source: &Source) -> String {
    let mut name = source.name.clone();
    let mut hashed = |mark: &str, of: &str| {
        name.push_str(mark);
        name.extend(hash8(of.as_bytes()).map(char::from));
    };
    if let Some(external) = &source.external {
        hashed(":", &external.api);
    }
    if let Some(consumer) = &source.consumer {
        hashed(":C=", &consumer.name);
    }
    let or_all = |text: &str| if text.is_empty() { ">" } else { text }.to_owned();
    let transforms = &source.subject_transforms;
    if transforms.is_empty() {
        return format!("{name} {} >", or_all(&source.filter_subject));
    }
    let (from, to): (Vec<_>, Vec<_>) =
        transforms.iter().map(|rule| (or_all(&rule.src), or_all(&rule.dest))).unzip();
    format!("{name} {} {}", from.join("\x0c"), to.join("\x0c"))
}

/// The header block of a message that came from the source `index`, in place of one that a source
/// before this one wrote.
pub(super) fn with_origin(
    block: &[u8],
    index: &str,
    seq: u64,
    subject: &[u8],
    identity: &str,
) -> Vec<u8> {
    let kept = without(block, |name| name == NAME.as_bytes() || is_condition(name));
    let mut out = Vec::with_capacity(kept.len() + index.len() + subject.len() + 64);
    // Publishers may leave out the empty line or the end of the last one.
    let open = kept.strip_suffix(b"\r\n\r\n").or_else(|| kept.strip_suffix(b"\r\n"));
    match open.unwrap_or(&kept).strip_prefix(VERSION_LINE) {
        Some(lines) if !lines.is_empty() => {
            out.extend_from_slice(VERSION_LINE);
            out.extend_from_slice(lines);
            out.extend_from_slice(b"\r\n");
        }
        _ => out.extend_from_slice(VERSION_LINE),
    }
    out.extend_from_slice(NAME.as_bytes());
    out.extend_from_slice(b": ");
    let (name, rules) = index.split_once(' ').unwrap_or((index, "> >"));
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    write_u64(&mut out, seq);
    out.push(b' ');
    out.extend_from_slice(rules.as_bytes());
    out.push(b' ');
    out.extend_from_slice(subject);
    if !identity.is_empty() {
        out.push(b' ');
        out.extend_from_slice(identity.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// The header block as a mirror stores it: what was expected of the origin and which batch a message
/// belonged to does not count again.
pub(super) fn without_conditions(block: &[u8]) -> Cow<'_, [u8]> {
    without(block, is_condition)
}

fn is_condition(name: &[u8]) -> bool {
    name.starts_with(b"Nats-Expected-") || name.starts_with(b"Nats-Batch-")
}

/// The block without the lines that `drop` names; empty when none is left.
fn without(block: &[u8], drop: impl Fn(&[u8]) -> bool) -> Cow<'_, [u8]> {
    let lines = || block.split_inclusive(|byte| *byte == b'\n');
    let name = |line: &[u8]| line.iter().position(|byte| *byte == b':').unwrap_or(0);
    let is_dropped = |line: &&[u8]| drop(&line[..name(line)]);
    if !lines().skip(1).any(|line| is_dropped(&line)) {
        return Cow::Borrowed(block);
    }
    let first = lines().take(1);
    let kept: Vec<&[u8]> = first.chain(lines().skip(1).filter(|line| !is_dropped(line))).collect();
    // The first line and the empty one.
    Cow::Owned(if kept.len() > 2 { kept.concat() } else { Vec::new() })
}

/// Source, origin sequence and identity that a stored header block tells, if it does.
pub(super) fn origin(block: &[u8]) -> Option<(String, u64, String)> {
    let value = std::str::from_utf8(get(block, NAME.as_bytes())?).ok()?;
    let fields: Vec<&str> = value.split(' ').collect();
    let &[name, seq, filters, destinations, ref rest @ ..] = fields.as_slice() else { return None };
    let seq = seq.parse().ok()?;
    let identity = rest.get(1).copied().unwrap_or_default();
    Some((format!("{name} {filters} {destinations}"), seq, identity.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::config::{External, Transform};

    fn source(name: &str) -> Source {
        Source { name: name.to_owned(), ..Source::default() }
    }

    #[test]
    fn a_source_is_named_by_its_stream_its_filters_and_where_they_lead() {
        assert_eq!(index(&source("O")), "O > >");
        let filtered = Source { filter_subject: "o.*".to_owned(), ..source("O") };
        assert_eq!(index(&filtered), "O o.* >");
        let rule = |src: &str, dest: &str| Transform { src: src.into(), dest: dest.into() };
        let mapped =
            Source { subject_transforms: vec![rule("o.*", "a.$1"), rule("p", "")], ..source("O") };
        assert_eq!(index(&mapped), "O o.*\x0cp a.$1\x0c>");
        let external = External { api: "$JS.hub.API".to_owned(), deliver: String::new() };
        let elsewhere = index(&Source { external: Some(external), ..source("O") });
        let (name, rest) = elsewhere.split_once(' ').unwrap();
        assert_eq!((name.len(), rest), ("O:".len() + 8, "> >"));
    }

    #[test]
    fn the_header_is_that_of_the_reference_and_is_read_back() {
        // Observed on nats-server 2.15.1.
        let block = with_origin(b"", "O o.* agg.$1", 1, b"o.0", "kwNuUpTm");
        assert_eq!(block, b"NATS/1.0\r\nNats-Stream-Source: O 1 o.* agg.$1 o.0 kwNuUpTm\r\n\r\n");
        let read = origin(&block).unwrap();
        assert_eq!(read, ("O o.* agg.$1".to_owned(), 1, "kwNuUpTm".to_owned()));
        let again = with_origin(&block, "P > >", 7, b"x", "");
        assert_eq!(again, b"NATS/1.0\r\nNats-Stream-Source: P 7 > > x\r\n\r\n");
        assert_eq!(origin(&again).unwrap().1, 7);
        assert_eq!(origin(b"NATS/1.0\r\nNats-Stream-Source: O 1\r\n\r\n"), None);
        assert_eq!(origin(b"NATS/1.0\r\nNats-Stream-Source: O x > >\r\n\r\n"), None);
        assert_eq!(origin(b""), None);
    }

    #[test]
    fn what_was_expected_of_the_origin_is_left_out() {
        let plain = b"NATS/1.0\r\nA: b\r\n\r\n";
        assert!(matches!(without_conditions(plain), Cow::Borrowed(_)));
        let block =
            b"NATS/1.0\r\nNats-Expected-Last-Sequence: 3\r\nA: b\r\nNats-Batch-Id: x\r\n\r\n";
        assert_eq!(&*without_conditions(block), plain);
        let only = b"NATS/1.0\r\nNats-Batch-Id: x\r\nNats-Batch-Sequence: 1\r\n\r\n";
        assert_eq!(&*without_conditions(only), b"");
        assert_eq!(&*without_conditions(b""), b"");
    }
}
