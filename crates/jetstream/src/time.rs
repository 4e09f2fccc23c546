//! Time as pure code receives it, and as the API writes it.

use std::fmt::Write as _;

/// What the clocks showed when an input arrived. Pure code never reads a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// The monotonic clock, nanoseconds since any fixed point of this process: for deadlines.
    pub mono_ns: u64,
    /// The wall clock, nanoseconds since 1970-01-01 UTC: for stamps.
    pub unix_ns: i64,
}

impl Now {
    /// The monotonic instant at which the wall clock will show `unix_ns`, as far as is known now;
    /// an instant in the past gives now.
    pub fn mono_at(&self, unix_ns: i64) -> u64 {
        let ahead = unix_ns.saturating_sub(self.unix_ns).max(0);
        self.mono_ns.saturating_add(ahead.unsigned_abs())
    }
}

/// Go's zero time, which the API shows where there is no time.
pub const NO_TIME: &str = "0001-01-01T00:00:00Z";

const NANOS: i64 = 1_000_000_000;

/// Writes `unix_ns` as RFC 3339 in UTC with up to nine fractional digits, trailing zeros dropped.
/// Zero is written as [`NO_TIME`].
pub fn write_rfc3339(out: &mut Vec<u8>, unix_ns: i64) {
    if unix_ns == 0 {
        out.extend_from_slice(NO_TIME.as_bytes());
        return;
    }
    let seconds = unix_ns.div_euclid(NANOS);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    // Remainders of days and seconds, so they have 32 bits.
    let of_day = seconds.rem_euclid(86_400) as u32;
    let nanos = unix_ns.rem_euclid(NANOS) as u32;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    for (at, value) in [
        (0, year as u32 / 100),
        (2, year as u32 % 100),
        (5, month as u32),
        (8, day as u32),
        (11, of_day / 3_600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
        (20, nanos / 10_000_000),
        (22, nanos / 100_000 % 100),
        (24, nanos / 1_000 % 100),
        (26, nanos / 10 % 100),
    ] {
        // Both digits at once: 0 to 99, and years are 1677 to 2262.
        text[at] = b'0' + (value / 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    }
    text[28] = b'0' + (nanos % 10) as u8;
    let mut end = 29;
    while text[end - 1] == b'0' && end > 20 {
        end -= 1;
    }
    let end = if end == 20 { 19 } else { end };
    text[end] = b'Z';
    out.extend_from_slice(&text[..=end]);
}

/// [`write_rfc3339`] into a string.
pub fn rfc3339(unix_ns: i64) -> String {
    let mut out = Vec::with_capacity(30);
    write_rfc3339(&mut out, unix_ns);
    String::from_utf8(out).expect("digits and punctuation only")
}

/// Reads an RFC 3339 time as nanoseconds since 1970. Go's zero time gives 0; a time outside what 64
/// bits of nanoseconds hold gives `None`, as does anything else that is not a time.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    if text == NO_TIME {
        return Some(0);
    }
    i64::try_from(read_rfc3339(text)?).ok()
}

/// Reads an RFC 3339 time of any year as nanoseconds since 1970, as Go's `time.Parse` does: capitals,
/// no leap second, an offset of at most 24 hours, and a fraction of any length, of which nine digits
/// count.
pub fn read_rfc3339(text: &str) -> Option<i128> {
    let mut rest = text;
    let [year, month, day] =
        [number(&mut rest, 4, "")?, number(&mut rest, 2, "-")?, number(&mut rest, 2, "-")?];
    let date = jiff::civil::Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    let [hour, minute, second] =
        [number(&mut rest, 2, "T")?, number(&mut rest, 2, ":")?, number(&mut rest, 2, ":")?];
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut nanos = 0;
    if let Some(tail) = rest.strip_prefix(['.', ',']) {
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (fraction, tail) = tail.split_at(end);
        let counted = fraction.get(..9).unwrap_or(fraction);
        let digits: i128 = counted.parse().ok()?;
        nanos = digits * 10_i128.pow(9 - u32::try_from(counted.len()).ok()?);
        rest = tail;
    }
    let offset = match rest.strip_prefix(['+', '-']) {
        Some(mut tail) => {
            let [hours, minutes] = [number(&mut tail, 2, "")?, number(&mut tail, 2, ":")?];
            if hours > 24 || minutes > 60 || !tail.is_empty() {
                return None;
            }
            let offset = i128::from(hours) * 3600 + i128::from(minutes) * 60;
            if rest.starts_with('-') { -offset } else { offset }
        }
        None if rest == "Z" => 0,
        None => return None,
    };
    let days = jiff::civil::Date::constant(1970, 1, 1).until(date).ok()?.get_days();
    let clock = i128::from(hour) * 3600 + i128::from(minute) * 60 + i128::from(second);
    Some((i128::from(days) * 86_400 + clock - offset) * i128::from(NANOS) + nanos)
}

/// So many digits behind a separator.
fn number(rest: &mut &str, len: usize, separator: &str) -> Option<i16> {
    let (digits, tail) = rest.strip_prefix(separator)?.split_at_checked(len)?;
    *rest = tail;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Days since 1970-01-01 to year, month, day in the proleptic Gregorian calendar.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// A span as Go prints a `time.Duration`: `1h30m0s`, `2s`, `1.5s`, `300ms`, `0s`. Error texts use it.
pub fn go_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let total = ns.unsigned_abs();
    let mut out = String::from(sign);
    if total < 1_000_000_000 {
        let (unit, scale) = match total {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        push_fraction(&mut out, total, scale);
        out.push_str(unit);
        return out;
    }
    let minutes = total / 60_000_000_000;
    if minutes >= 60 {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(out, "{}m", minutes % 60);
    }
    push_fraction(&mut out, total % 60_000_000_000, 1_000_000_000);
    out.push('s');
    out
}

fn push_fraction(out: &mut String, value: u64, scale: u64) {
    let _ = write!(out, "{}", value / scale);
    let mut rest = value % scale;
    let mut place = scale;
    if rest > 0 {
        out.push('.');
        while rest > 0 {
            place /= 10;
            out.push(char::from(b'0' + (rest / place) as u8));
            rest %= place;
        }
    }
}

/// Reads what Go's `time.ParseDuration` reads (`300ms`, `-1.5h`, `1h30m`), as nanoseconds.
pub fn parse_go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(end);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(tail) => {
                let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
                tail.split_at(end)
            }
            None => ("", after),
        };
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 {
            return None;
        }
        let (unit, scale): (&str, i128) = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ]
        .into_iter()
        .find(|(unit, _)| after.starts_with(unit))?;
        // `m` must not swallow the start of `ms`, which the table lists earlier; what follows a
        // unit is a digit, a point or the end.
        rest = &after[unit.len()..];
        if !(rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')) {
            return None;
        }
        if !whole.is_empty() {
            total += whole.parse::<i128>().ok()? * scale;
        }
        let mut place = scale;
        for digit in fraction.bytes() {
            place /= 10;
            total += i128::from(digit - b'0') * place;
        }
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_drop_trailing_zeros() {
        for (ns, text) in [
            (0, NO_TIME),
            (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
            (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
            (1_709_210_096_000_000_001, "2024-02-29T12:34:56.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(rfc3339(ns), text);
            assert_eq!(parse_rfc3339(text), Some(ns));
        }
    }

    #[test]
    fn times_are_read_with_offsets_and_nothing_else() {
        assert_eq!(parse_rfc3339("2023-11-14T23:13:20+01:00"), Some(1_700_000_000_000_000_000));
        for text in ["", "yesterday", "2023-11-14", "2023-11-14 22:13:20Z", "2023-11-14T22:13:20"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
        // As nats-server 2.15.1 reads them.
        for (text, ns) in [
            ("2023-11-14T22:13:20.1234567899Z", Some(1_700_000_000_123_456_789)),
            ("2023-11-14T22:13:20,5Z", Some(1_700_000_000_500_000_000)),
            ("2023-11-14T22:13:20-24:00", Some(1_700_086_400_000_000_000)),
            ("2023-11-14T22:13:20+25:00", None),
            ("2023-11-14T22:13:20+00:61", None),
            ("2023-11-14t22:13:20Z", None),
            ("2023-11-14T22:13:20z", None),
            ("2023-11-14T22:13:60Z", None),
            ("2023-11-14T24:00:00Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2023-11-14T22:13:20.Z", None),
            ("2023-11-14T22:13:+0Z", None),
            ("2023-11-14T22:13:20Z ", None),
            ("2023-11-14T22:13:2éZ", None),
            ("9999-12-31T23:59:59Z", None),
        ] {
            assert_eq!(parse_rfc3339(text), ns, "{text}");
        }
        let never = read_rfc3339("9999-12-31T23:59:59Z");
        assert_eq!(never, Some(253_402_300_799 * i128::from(NANOS)));
    }

    #[test]
    fn spans_print_as_go_prints_them() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (2_000_000_000, "2s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            assert_eq!(go_duration(ns), text);
            assert_eq!(parse_go_duration(text), Some(ns), "{text}");
        }
    }

    #[test]
    fn bad_spans_are_refused() {
        for text in ["", "-", "1", "abc", "1x", "1mm", "1s ", " 1s", "99999999999999999999h"] {
            assert_eq!(parse_go_duration(text), None, "{text}");
        }
    }
}
