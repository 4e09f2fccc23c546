//! Ack subjects: the reply of each delivered message, which tells a client where it is (ADR-15).
//!
//! ```text
//! $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time ns>.<pending>
//! $JS.ACK.<domain or _>.<account hash>.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time ns>.<pending>[.<random>]
//! ```
//! The first form is sent; both are accepted.

use crate::json::write_u64;
use crate::nuid::hash8;

/// The prefix of every ack subject.
pub const PREFIX: &[u8] = b"$JS.ACK.";

/// What an ack subject says, apart from whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckToken {
    /// How often the message had been delivered, this time included.
    pub deliveries: u64,
    /// The message's stream sequence.
    pub stream_seq: u64,
    /// The delivery's consumer sequence.
    pub consumer_seq: u64,
    /// When the message was stored, nanoseconds since 1970.
    pub time_ns: i64,
    /// Messages that were pending behind it.
    pub pending: u64,
}

/// A parsed ack subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The domain token of the second form; `_` stands for none.
    pub domain: Option<&'a [u8]>,
    /// The account hash of the second form.
    pub account_hash: Option<&'a [u8]>,
    /// The stream's name.
    pub stream: &'a [u8],
    /// The consumer's name.
    pub consumer: &'a [u8],
    /// The positions.
    pub token: AckToken,
}

impl AckSubject<'_> {
    /// True when the subject is addressed to `account` in `domain`; the first form always is.
    pub fn is_for(&self, account: &str, domain: Option<&str>) -> bool {
        self.account_hash.is_none_or(|hash| hash == hash8(account.as_bytes()).as_slice())
            && self.domain.is_none_or(|token| token == domain.unwrap_or("_").as_bytes())
    }
}

/// Reads an ack subject; `None` when it is none or a number is out of range.
pub fn parse(subject: &[u8]) -> Option<AckSubject<'_>> {
    let rest = subject.strip_prefix(PREFIX)?;
    parse_short(rest).or_else(|| parse_any(rest))
}

/// The first form, which is what clients answer to, in one pass.
fn parse_short(rest: &[u8]) -> Option<AckSubject<'_>> {
    let (stream, rest) = split_token(rest)?;
    let (consumer, mut rest) = split_token(rest)?;
    let mut numbers = [0_u64; 5];
    for (index, number) in numbers.iter_mut().enumerate() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // As many fit whatever they are.
        if !(1..=19).contains(&digits) {
            return None;
        }
        let (text, tail) = rest.split_at(digits);
        *number = text.iter().fold(0, |value, byte| value * 10 + u64::from(byte - b'0'));
        rest = match (index, tail.split_first()) {
            (0..4, Some((b'.', tail))) => tail,
            (4, None) => tail,
            _ => return None,
        };
    }
    let [deliveries, stream_seq, consumer_seq, time, pending] = numbers;
    let time_ns = i64::try_from(time).ok()?;
    let token = AckToken { deliveries, stream_seq, consumer_seq, time_ns, pending };
    Some(AckSubject { domain: None, account_hash: None, stream, consumer, token })
}

fn split_token(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = rest.iter().position(|byte| *byte == b'.')?;
    Some((&rest[..dot], &rest[dot + 1..]))
}

fn parse_any(rest: &[u8]) -> Option<AckSubject<'_>> {
    let mut tokens: [&[u8]; 10] = [&[]; 10];
    let mut count = 0;
    for token in rest.split(|b| *b == b'.') {
        *tokens.get_mut(count)? = token;
        count += 1;
    }
    let (domain, account_hash, at) = match count {
        7 => (None, None, 0),
        9 | 10 => (Some(tokens[0]), Some(tokens[1]), 2),
        _ => return None,
    };
    Some(AckSubject {
        domain,
        account_hash,
        stream: tokens[at],
        consumer: tokens[at + 1],
        token: AckToken {
            deliveries: number(tokens[at + 2])?,
            stream_seq: number(tokens[at + 3])?,
            consumer_seq: number(tokens[at + 4])?,
            time_ns: i64::try_from(number(tokens[at + 5])?).ok()?,
            pending: number(tokens[at + 6])?,
        },
    })
}

fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends `$JS.ACK.<stream>.<consumer>.`, what is the same for all messages of a consumer.
pub fn write_prefix(out: &mut Vec<u8>, stream: &str, consumer: &str) {
    out.extend_from_slice(PREFIX);
    out.extend_from_slice(stream.as_bytes());
    out.push(b'.');
    out.extend_from_slice(consumer.as_bytes());
    out.push(b'.');
}

/// Appends the positions after the prefix.
pub fn write_token(out: &mut Vec<u8>, token: &AckToken) {
    for value in [
        token.deliveries,
        token.stream_seq,
        token.consumer_seq,
        token.time_ns.max(0).unsigned_abs(),
    ] {
        write_u64(out, value);
        out.push(b'.');
    }
    write_u64(out, token.pending);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: AckToken = AckToken {
        deliveries: 2,
        stream_seq: 30,
        consumer_seq: 44,
        time_ns: 1_700_000_000_123_456_789,
        pending: 5,
    };

    #[test]
    fn what_is_written_is_read() {
        let mut subject = Vec::new();
        write_prefix(&mut subject, "S", "c");
        write_token(&mut subject, &TOKEN);
        assert_eq!(subject, b"$JS.ACK.S.c.2.30.44.1700000000123456789.5");
        let parsed = parse(&subject).unwrap();
        assert_eq!((parsed.stream, parsed.consumer), (&b"S"[..], &b"c"[..]));
        assert_eq!(parsed.token, TOKEN);
        assert!(parsed.is_for("any", Some("hub")));
    }

    #[test]
    fn the_long_form_must_name_the_account_and_the_domain() {
        for tail in ["", ".xyz"] {
            let subject = format!("$JS.ACK._.szMpdrwD.S.c.2.30.44.1700000000123456789.5{tail}");
            let parsed = parse(subject.as_bytes()).unwrap();
            assert_eq!(parsed.token, TOKEN);
            assert!(parsed.is_for("$G", None));
            assert!(!parsed.is_for("A", None));
            assert!(!parsed.is_for("$G", Some("hub")));
        }
    }

    #[test]
    fn anything_else_is_no_ack() {
        for subject in [
            "$JS.ACK.S.c.1.2.3.4",
            "$JS.ACK.S.c.1.2.3.4.5.6",
            "$JS.ACK.S.c.1.2.3.4.x",
            "$JS.ACK.S.c.1.99999999999999999999.3.4.5",
            "$JS.FC.S.c.1.2.3.4.5",
        ] {
            assert_eq!(parse(subject.as_bytes()), None, "{subject}");
        }
    }
}
