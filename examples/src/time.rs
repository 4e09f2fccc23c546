//! How long a message was on its way, and which number it has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The header that holds when a message was sent, in nanoseconds since 1970. The programs of the first
/// pairs add it, so that the receiver can show how long the message took; messages without it are fine.
pub const SENT_AT: &str = "Sent-At";

/// The present time for [`SENT_AT`].
#[must_use]
pub fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// How long ago the time in the header was; `None` without one. Zero if the clocks disagree.
#[must_use]
pub fn age(header: Option<&str>) -> Option<Duration> {
    let sent = Duration::from_nanos(header?.parse().ok()?);
    Some(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(sent))
}

/// The number in `Hello #3 from NATS publisher`; `None` if there is none.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once('#')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_the_hash() {
        for (text, found) in [
            ("Hello #3 from NATS publisher", Some(3)),
            ("#12", Some(12)),
            ("Hello #", None),
            ("Hello", None),
            ("#99999999999999999999999", None),
        ] {
            assert_eq!(number(text), found, "{text}");
        }
    }

    #[test]
    fn an_age_needs_a_time_and_is_never_negative() {
        assert_eq!(age(None), None);
        assert_eq!(age(Some("yesterday")), None);
        assert_eq!(age(Some(&u64::MAX.to_string())), Some(Duration::ZERO));
        assert!(age(Some(&now())).is_some_and(|age| age < Duration::from_secs(60)));
    }
}
