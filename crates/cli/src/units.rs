//! Durations, sizes and counts: as people type them and as they read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1d3h5m2s`, `500ms`, `1.5h`; a bare number counts seconds. Weeks `w`, months `M` of 30 days and
/// years `y` of 365 as in the `nats` tool.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no duration; write 500ms, 5s or 1d3h5m2s");
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| bad());
    }
    if trimmed.is_empty() {
        return Err(bad());
    }
    let (mut total, mut rest) = (Duration::ZERO, trimmed);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" | "D" => 86_400.0,
            "w" | "W" => 604_800.0,
            "M" => 2_592_000.0,
            "y" | "Y" => 31_536_000.0,
            _ => return Err(bad()),
        };
        let value: f64 = number.parse().map_err(|_| bad())?;
        let part = Duration::try_from_secs_f64(value * seconds).map_err(|_| bad())?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = tail;
    }
    Ok(total)
}

/// `1024`, `1K`, `1KB`, `1KiB`, `10MB`, `1GiB`: all by 1024, as in the `nats` tool; -1 is no limit.
pub(crate) fn parse_size(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is no size; write 1024, 1K, 10MB or 1GiB");
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return trimmed.parse::<i64>().map(|_| -1).map_err(|_| bad());
    }
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: i64 = number.parse().map_err(|_| bad())?;
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(bad()),
    };
    number.checked_mul(1_i64 << shift).ok_or_else(bad)
}

/// `1,234,567`.
pub(crate) fn count(number: impl TryInto<i128>) -> String {
    let number: i128 = number.try_into().unwrap_or(i128::MAX);
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `11 B`, `1.2 KiB`, `10 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// `1y2d`, `1d3h5m2s`, `5.20s`, `1.234ms`, `12.3µs`.
pub(crate) fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    if span.is_zero() {
        return "0s".to_owned();
    }
    if seconds == 0 {
        let nanos = f64::from(span.subsec_nanos());
        return match span.subsec_nanos() {
            ..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", trim_zeros(nanos / 1e3)),
            _ => format!("{}ms", trim_zeros(nanos / 1e6)),
        };
    }
    if seconds < 60 {
        return format!("{:.2}s", span.as_secs_f64());
    }
    let parts = [
        ("y", seconds / 31_536_000),
        ("d", seconds % 31_536_000 / 86_400),
        ("h", seconds % 86_400 / 3600),
        ("m", seconds % 3600 / 60),
        ("s", seconds % 60),
    ];
    let first = parts.iter().position(|(_, value)| *value > 0).unwrap_or(parts.len() - 1);
    parts[first..].iter().map(|(unit, value)| format!("{value}{unit}")).collect()
}

fn trim_zeros(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A wait in a configuration, in nanoseconds as JetStream writes it; 0 and below is `none`.
pub(crate) fn nanos(nanos: i64, none: &str) -> String {
    match u64::try_from(nanos) {
        Ok(0) | Err(_) => none.to_owned(),
        Ok(nanos) => duration(Duration::from_nanos(nanos)),
    }
}

/// A limit, by `show`; 0 and below is `unlimited`.
pub(crate) fn limit(value: i64, show: impl Fn(u64) -> String) -> String {
    match u64::try_from(value) {
        Ok(0) | Err(_) => "unlimited".to_owned(),
        Ok(value) => show(value),
    }
}

/// A moment in local time: `2026-01-31 12:00:00`. The text of a server (RFC 3339) that is none, or
/// Go's zero time, is `none`.
pub(crate) fn moment(text: &str, none: &str) -> String {
    match parse_moment(text) {
        Some(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => none.to_owned(),
    }
}

/// A moment of a server; Go's zero time is none.
pub(crate) fn parse_moment(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    (at.as_second() > -62_000_000_000).then_some(at)
}

/// How long ago a moment was; one that is still to come was just now.
pub(crate) fn since(at: Timestamp) -> Duration {
    let span = Timestamp::now().as_nanosecond() - at.as_nanosecond();
    Duration::from_nanos(u64::try_from(span).unwrap_or(0))
}

/// How long ago a moment of a server was: `5.20s`, or `never`.
pub(crate) fn ago(text: &str) -> String {
    parse_moment(text).map_or_else(|| "never".to_owned(), |at| duration(since(at)))
}

/// The name among `names` that is nearest to `wanted`, if it is near.
pub(crate) fn nearest<'a>(wanted: &str, names: &'a [String]) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len().min(wanted.len()) / 4)
        .map(|(_, name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_typed() {
        for (text, millis) in [
            ("5", 5000),
            ("500ms", 500),
            ("1d3h5m2s", 97_502_000),
            ("1.5h", 5_400_000),
            ("1w", 604_800_000),
            ("2M", 5_184_000_000),
        ] {
            assert_eq!(parse_duration(text).unwrap().as_millis(), millis, "{text}");
        }
        for text in ["", "s", "5x", "-1s", "1h-", "1.2.3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_by_1024() {
        for (text, bytes) in
            [("1024", 1024), ("1K", 1024), ("1KiB", 1024), ("1gb", 1 << 30), ("-1", -1), ("-5", -1)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "K", "1X", "-x", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-1_000), "-1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(size(11), "11 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(10 << 20), "10 MiB");
        for (span, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(250), "250ns"),
            (Duration::from_nanos(12_300), "12.3µs"),
            (Duration::from_micros(1_250), "1.25ms"),
            (Duration::from_millis(5_200), "5.20s"),
            (Duration::from_secs(60), "1m0s"),
            (Duration::from_secs(97_502), "1d3h5m2s"),
        ] {
            assert_eq!(duration(span), text);
        }
    }

    #[test]
    fn go_zero_time_is_never() {
        assert_eq!(ago("0001-01-01T00:00:00Z"), "never");
        assert_eq!(moment("0001-01-01T00:00:00Z", "-"), "-");
        assert_ne!(moment("2026-01-31T12:00:00.5Z", "-"), "-");
    }

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let names: Vec<String> = ["ORDERS", "EVENTS", "KV_CONFIG"].map(String::from).into();
        assert_eq!(nearest("ORDRES", &names), Some("ORDERS"));
        assert_eq!(nearest("orders", &names), Some("ORDERS"));
        assert_eq!(nearest("INVOICES", &names), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
