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

/// A line without its spans of time, to compare what two runs have printed: `0.3 ms` becomes `T`,
/// `+0.123s` becomes `+T`.
#[must_use]
pub fn timeless(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut kept: Vec<String> = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        let bare = word.trim_start_matches('(');
        let offset = bare.strip_prefix('+').and_then(|word| word.strip_suffix('s'));
        if offset.is_some_and(is_number) {
            kept.push("+T".into());
            continue;
        }
        let unit = words.get(at).copied().unwrap_or("");
        let end = unit.trim_start_matches(char::is_alphabetic);
        let known = ["ms", "s", "min", "h", "d"].contains(&&unit[..unit.len() - end.len()]);
        if is_number(bare) && known {
            kept.push(format!("{}T{end}", &word[..word.len() - bare.len()]));
            at += 1;
        } else {
            kept.push((*word).to_owned());
        }
    }
    kept.join(" ")
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_left_out_and_nothing_else() {
        for (line, left) in [
            ("+0.123s draining, at most 30 s", "+T draining, at most T"),
            ("<- foo #3 \"x\" (0.4 ms) seq 3", "<- foo #3 \"x\" (T) seq 3"),
            ("sent 10, failed 0 in 5.1 s", "sent 10, failed 0 in T"),
            ("x (server N v2.15.1, rtt 12 ms)", "x (server N v2.15.1, rtt T)"),
            ("stream s holds 3 messages", "stream s holds 3 messages"),
        ] {
            assert_eq!(timeless(line), left);
        }
    }

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
