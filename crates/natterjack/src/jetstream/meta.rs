//! What JetStream says about a delivered message, in its reply subject.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Protocol;

/// A message's place in its stream and its consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The stream.
    pub stream: String,
    /// The consumer.
    pub consumer: String,
    /// The domain, if the stream is in one.
    pub domain: Option<String>,
    /// How often it has been delivered, this time included.
    pub delivered: u64,
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// The sequence of this delivery.
    pub consumer_seq: u64,
    /// When the stream stored it.
    pub timestamp: SystemTime,
    /// Messages that the consumer has still to deliver.
    pub pending: u64,
}

impl Meta {
    /// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<ns>.<pending>`, or the form with
    /// domain and account hash in front and maybe a token behind (ADR-15).
    pub(crate) fn parse(reply: &str) -> Result<Self, Protocol> {
        let bad = |what: &str| Protocol { what: format!("{what}: `{reply}`") };
        let tokens: Vec<&str> = reply.split('.').collect();
        if tokens.len() < 9 || tokens[0] != "$JS" || tokens[1] != "ACK" {
            return Err(bad("its reply subject is no acknowledgement"));
        }
        let (domain, rest) = match tokens.len() {
            9 => (None, &tokens[2..]),
            10 => return Err(bad("its reply subject has ten tokens")),
            _ => ((tokens[2] != "_").then(|| tokens[2].to_owned()), &tokens[4..]),
        };
        let number = |at: usize| {
            rest[at]
                .parse::<u64>()
                .map_err(|_| bad("its reply subject has no number where one belongs"))
        };
        Ok(Self {
            stream: rest[0].to_owned(),
            consumer: rest[1].to_owned(),
            domain,
            delivered: number(2)?,
            stream_seq: number(3)?,
            consumer_seq: number(4)?,
            timestamp: UNIX_EPOCH + Duration::from_nanos(number(5)?),
            pending: number(6)?,
        })
    }

    /// Of a message that is told of and not delivered.
    pub(crate) fn of(stream: &str, consumer: &str, stream_seq: u64, delivered: u64) -> Self {
        Self {
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            domain: None,
            delivered,
            stream_seq,
            consumer_seq: 0,
            timestamp: UNIX_EPOCH,
            pending: 0,
        }
    }

    /// How long ago the stream stored it; zero if the clocks disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.timestamp).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let short = Meta::parse("$JS.ACK.S.C.1.2.3.4000000000.5").unwrap();
        assert_eq!(
            (short.stream.as_str(), short.consumer.as_str(), short.domain.as_deref()),
            ("S", "C", None)
        );
        assert_eq!(
            (short.delivered, short.stream_seq, short.consumer_seq, short.pending),
            (1, 2, 3, 5)
        );
        assert_eq!(short.timestamp, UNIX_EPOCH + Duration::from_secs(4));
        let long = Meta::parse("$JS.ACK.hub.HASH.S.C.1.2.3.4000000000.5.x").unwrap();
        assert_eq!(long, Meta { domain: Some("hub".into()), ..short.clone() });
        assert_eq!(Meta::parse("$JS.ACK._.HASH.S.C.1.2.3.4000000000.5").unwrap(), short);
    }

    #[test]
    fn anything_else_is_refused() {
        for reply in
            ["", "_INBOX.x", "$JS.ACK.S.C.1.2.3.4", "$JS.ACK.S.C.x.2.3.4.5", "$JS.FC.S.C.1.2.3.4.5"]
        {
            assert!(Meta::parse(reply).is_err(), "{reply}");
        }
    }
}
