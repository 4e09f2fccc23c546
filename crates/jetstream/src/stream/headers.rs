//! The headers that steer a publish, found in one pass over the block.
//!
//! Names are matched in their exact letter case, the first occurrence counts, spaces before a value
//! are skipped, and an empty value counts as absent, also where the same name comes again with another
//! (nats-server 2.15.1).

use std::borrow::Cow;

use super::ttl::Ttl;
use crate::json::write_u64;

/// The first line of every header block.
pub const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// What a publisher asked for by headers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the header of its name")]
pub struct PublishHeaders<'a> {
    pub msg_id: Option<&'a [u8]>,
    pub expected_stream: Option<&'a [u8]>,
    pub expected_last_seq: Option<&'a [u8]>,
    pub expected_last_subject_seq: Option<&'a [u8]>,
    pub expected_last_subject_seq_subject: Option<&'a [u8]>,
    pub expected_last_msg_id: Option<&'a [u8]>,
    pub rollup: Option<&'a [u8]>,
    pub ttl: Option<&'a [u8]>,
    pub incr: Option<&'a [u8]>,
    pub batch_id: Option<&'a [u8]>,
    pub batch_seq: Option<&'a [u8]>,
    /// Also where it is empty: that is no way to commit.
    pub batch_commit: Option<&'a [u8]>,
    pub required_level: Option<&'a [u8]>,
    pub stream_source: Option<&'a [u8]>,
    pub marker_reason: Option<&'a [u8]>,
    /// Some header is about schedules; it is looked up where that matters.
    pub scheduling: bool,
}

impl PublishHeaders<'_> {
    /// Lets empty values count as absent.
    fn forget_blank(&mut self) {
        for slot in [
            &mut self.msg_id,
            &mut self.expected_stream,
            &mut self.expected_last_seq,
            &mut self.expected_last_subject_seq,
            &mut self.expected_last_subject_seq_subject,
            &mut self.expected_last_msg_id,
            &mut self.rollup,
            &mut self.ttl,
            &mut self.incr,
            &mut self.batch_id,
            &mut self.batch_seq,
            &mut self.required_level,
            &mut self.stream_source,
            &mut self.marker_reason,
        ] {
            slot.take_if(|value| value.is_empty());
        }
    }
}

/// What a publisher without headers asked for.
pub const NONE: PublishHeaders<'static> = PublishHeaders {
    msg_id: None,
    expected_stream: None,
    expected_last_seq: None,
    expected_last_subject_seq: None,
    expected_last_subject_seq_subject: None,
    expected_last_msg_id: None,
    rollup: None,
    ttl: None,
    incr: None,
    batch_id: None,
    batch_seq: None,
    batch_commit: None,
    required_level: None,
    stream_source: None,
    marker_reason: None,
    scheduling: false,
};

/// What is behind the first line, line by line without their ends.
fn split(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = match block.iter().position(|b| *b == b'\n') {
        Some(end) => &block[end + 1..],
        None => &[],
    };
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = rest.get(end + 1..).unwrap_or(&[]);
        Some(line)
    })
}

/// Each header line without its end.
pub fn raw_lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(block).filter(|line| line.contains(&b':'))
}

/// The name and value of each header line.
pub fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    split(block).filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        let value = &line[colon + 1..];
        let skip = value.iter().take_while(|b| **b == b' ').count();
        Some((&line[..colon], &value[skip..]))
    })
}

/// The first value of the header `name`; `None` when it is absent or empty.
pub fn get<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(block).find(|(found, _)| *found == name).map(|(_, value)| value).filter(|v| !v.is_empty())
}

/// Finds the headers that matter to a stream.
pub fn scan(block: &[u8]) -> PublishHeaders<'_> {
    let mut found = PublishHeaders::default();
    let mut blank = false;
    for (name, value) in lines(block) {
        let Some(tail) = name.strip_prefix(b"Nats-") else { continue };
        let slot = match tail {
            b"Msg-Id" => &mut found.msg_id,
            b"Expected-Stream" => &mut found.expected_stream,
            b"Expected-Last-Sequence" => &mut found.expected_last_seq,
            b"Expected-Last-Subject-Sequence" => &mut found.expected_last_subject_seq,
            b"Expected-Last-Subject-Sequence-Subject" => {
                &mut found.expected_last_subject_seq_subject
            }
            b"Expected-Last-Msg-Id" => &mut found.expected_last_msg_id,
            b"Rollup" => &mut found.rollup,
            b"TTL" => &mut found.ttl,
            b"Incr" => &mut found.incr,
            b"Batch-Id" => &mut found.batch_id,
            b"Batch-Sequence" => &mut found.batch_seq,
            b"Batch-Commit" => &mut found.batch_commit,
            b"Required-Api-Level" => &mut found.required_level,
            b"Stream-Source" => &mut found.stream_source,
            b"Marker-Reason" => &mut found.marker_reason,
            other => {
                found.scheduling |= other.starts_with(b"Schedule");
                continue;
            }
        };
        if slot.is_none() {
            blank |= value.is_empty();
            *slot = Some(value);
        }
    }
    if blank {
        found.forget_blank();
    }
    found
}

/// The block as it is stored: without a status in its first line, and nothing where that was all. What is
/// no header block at all stays as it is (nats-server 2.15.1).
pub fn stored_form(block: &[u8]) -> Cow<'_, [u8]> {
    let (version, end) = VERSION_LINE.split_at(VERSION_LINE.len() - 2);
    if block.is_empty() || block.starts_with(VERSION_LINE) || !block.starts_with(version) {
        return Cow::Borrowed(block);
    }
    let Some(at) = block.iter().position(|byte| *byte == b'\r') else {
        return Cow::Borrowed(block);
    };
    if at == version.len() {
        return Cow::Borrowed(block);
    }
    let rest = &block[at..];
    if rest.strip_prefix(end) == Some(end) {
        return Cow::Borrowed(&[]);
    }
    Cow::Owned([version, rest].concat())
}

/// The block with its `Nats-TTL` replaced by whole `seconds`.
pub fn with_ttl(block: &[u8], seconds: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + 8);
    out.extend_from_slice(VERSION_LINE);
    for (name, value) in lines(block) {
        if name == b"Nats-TTL" {
            continue;
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Nats-TTL: ");
    write_u64(&mut out, seconds);
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// The block with one more line at its end.
pub fn append_line(block: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let open = block.strip_suffix(b"\r\n").unwrap_or(VERSION_LINE);
    [open, name, b": ", value, b"\r\n\r\n"].concat()
}

/// The block with a line of this name and value, in the place of the first one of that name or at the
/// end.
pub fn with_line(block: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    if lines(block).all(|(known, _)| known != name) {
        return append_line(block, name, value);
    }
    let mut out = Vec::with_capacity(block.len() + value.len());
    out.extend_from_slice(VERSION_LINE);
    let mut due = true;
    for (known, old) in lines(block) {
        let hit = known == name && std::mem::take(&mut due);
        out.extend_from_slice(known);
        out.extend_from_slice(b": ");
        out.extend_from_slice(if hit { value } else { old });
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The block without the lines of this name; empty if there is no other.
pub fn without_line(block: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = VERSION_LINE.to_vec();
    let other = |line: &&[u8]| line.split(|b| *b == b':').next() != Some(name);
    for line in raw_lines(block).filter(other) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    if out.len() == VERSION_LINE.len() {
        return Vec::new();
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What the `Nats-TTL` of a stored block says.
pub fn stored_ttl(block: &[u8]) -> Option<Ttl> {
    get(block, b"Nats-TTL").and_then(Ttl::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_the_reference() {
        for (block, expected) in [
            ("NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n", Some("a")),
            ("NATS/1.0\r\nNats-Msg-Id:a\r\n\r\n", Some("a")),
            ("NATS/1.0\r\nNats-Msg-Id:  a \r\n\r\n", Some("a ")),
            ("NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\n\r\n", Some("a")),
            ("NATS/1.0\r\nNats-Msg-Id: \r\n\r\n", None),
            ("NATS/1.0\r\nNats-Msg-Id: \r\nNats-Msg-Id: a\r\n\r\n", None),
            ("NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: \r\n\r\n", Some("a")),
            ("NATS/1.0\r\nnats-msg-id: a\r\n\r\n", None),
            ("NATS/1.0\r\nX-Nats-Msg-Id: a\r\n\r\n", None),
            ("NATS/1.0 100 Foo\r\nNats-Msg-Id: a:b\r\n\r\n", Some("a:b")),
            ("NATS/1.0\r\n\r\n", None),
            ("", None),
        ] {
            let block = block.as_bytes();
            let expected = expected.map(str::as_bytes);
            assert_eq!(scan(block).msg_id, expected);
            assert_eq!(get(block, b"Nats-Msg-Id"), expected);
        }
    }

    #[test]
    fn a_status_line_is_not_stored() {
        let stored = stored_form(b"NATS/1.0 100 Foo\r\nA: b\r\n\r\n");
        assert_eq!(&*stored, b"NATS/1.0\r\nA: b\r\n\r\n");
        assert_eq!(&*stored_form(b"NATS/1.0 503\r\n\r\n"), b"");
        for block in
            ["x", "NATS/1.0 abc", "NATS/1.0\r\n", "NATS/1.0\r\n\r\n", "a\r\nA: b\r\n\r\n", "\r\n"]
        {
            assert_eq!(&*stored_form(block.as_bytes()), block.as_bytes());
        }
        assert!(matches!(stored_form(b"NATS/1.0\r\nA: b\r\n\r\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_raised_ttl_is_written_in_seconds() {
        let block = with_ttl(b"NATS/1.0\r\nNats-TTL: 1s\r\nA: b\r\n\r\n", 5);
        assert_eq!(block, b"NATS/1.0\r\nA: b\r\nNats-TTL: 5\r\n\r\n");
    }
}
