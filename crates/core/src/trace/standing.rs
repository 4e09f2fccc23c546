//! Traces that began elsewhere: a message may carry the `traceparent` of the W3C's trace context, and its
//! account say where reports about such messages go (`msg_trace`; nats-server 2.11).

use memchr::{memchr, memmem};
use natterjack_proto::headers::VERSION;
use natterjack_subject::is_valid_literal;

const PARENT: &[u8] = b"traceparent";

/// Where an account's reports go about messages that are traced from outside, and about how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    destination: Box<[u8]>,
    sampling: u8,
}

impl Standing {
    /// Reports to this subject about so many in a hundred; what is no such number means all. `None` if
    /// nothing can be published there.
    pub fn new(destination: &str, sampling: i64) -> Option<Self> {
        let sampling = u8::try_from(sampling).ok().filter(|it| (1..=100).contains(it));
        is_valid_literal(destination.as_bytes()).then(|| Standing {
            destination: destination.as_bytes().into(),
            sampling: sampling.unwrap_or(100),
        })
    }

    pub(super) fn destination(&self) -> &[u8] {
        &self.destination
    }

    /// Whether a message with this random number is one of them.
    pub(crate) fn picks(&self, random: u64) -> bool {
        random % 100 < u64::from(self.sampling)
    }
}

/// Whether who traces this message wants it recorded. Values after each other are all looked at, as in
/// nats-server 2.15.1.
pub(crate) fn is_sampled(headers: &[u8]) -> bool {
    let begins = |it: &&[u8]| it.starts_with(b"\r\n");
    let Some(mut rest) = headers.strip_prefix(VERSION).filter(begins) else { return false };
    rest = &rest[2..];
    while let Some(colon) = memchr(b':', rest) {
        let (name, behind) = (&rest[..colon], &rest[colon + 1..]);
        let Some(end) = memmem::find(behind, b"\r\n") else { break };
        if name.eq_ignore_ascii_case(PARENT) && says_so(behind[..end].trim_ascii()) {
            return true;
        }
        rest = &behind[end + 2..];
    }
    false
}

/// `version-trace-parent-flags`, of which the last bit of the flags counts.
fn says_so(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let (Some(flags), None) = (parts.nth(3), parts.next()) else { return false };
    // Read as a signed byte, so the highest bit must be free (nats-server 2.15.1).
    matches!(flags, [b'0'..=b'7', low] if char::from(*low).to_digit(16).is_some_and(|low| low & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_whether_a_trace_is_recorded() {
        for (lines, expected) in [
            ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", true),
            ("A: 1\r\nTraceParent:00-a-b-01 \r\n", true),
            ("traceparent: 00-a-b-7F\r\n", true),
            ("traceparent: 00-a-b-00\r\ntraceparent: 00-a-b-01\r\n", true),
            ("traceparent: 00-a-b-00\r\n", false),
            ("traceparent: 00-a-b-02\r\n", false),
            ("traceparent: 00-a-b-81\r\n", false),
            ("traceparent: 00-a-b-1\r\n", false),
            ("traceparent: 00-a-b-0g\r\n", false),
            ("traceparent: 00-a-b-01-x\r\n", false),
            ("traceparent: 00-a-01\r\n", false),
            ("traceparent:\r\n", false),
            ("xtraceparent: 00-a-b-01\r\n", false),
            ("X: traceparent: 00-a-b-01\r\n", false),
        ] {
            let block = format!("NATS/1.0\r\n{lines}\r\n");
            assert_eq!(is_sampled(block.as_bytes()), expected, "{lines:?}");
        }
        for block in
            [&b""[..], b"NATS/1.0", b"NATS/1.0\r\ntraceparent", b"NATS/1.0\r\ntraceparent: 00"]
        {
            assert!(!is_sampled(block));
        }
    }

    #[test]
    fn a_destination_is_a_subject_and_a_share() {
        assert_eq!(Standing::new("a.*", 50), None);
        let picked = |sampling| {
            let standing = Standing::new("a.b", sampling).unwrap();
            (0..1000).filter(|random| standing.picks(*random)).count()
        };
        for (sampling, count) in
            [(1, 10), (50, 500), (100, 1000), (0, 1000), (101, 1000), (-1, 1000)]
        {
            assert_eq!(picked(sampling), count, "{sampling}");
        }
    }
}
