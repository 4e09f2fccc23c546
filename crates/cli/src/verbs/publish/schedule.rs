//! Messages that the stream publishes later (ADR-51): the headers that say when.

use std::time::Duration;

use clap::Args;

use crate::exit::Failure;
use crate::units;

/// When the stream is to publish the message.
#[derive(Debug, Args)]
#[command(next_help_heading = "Schedule")]
pub(super) struct Schedule {
    /// Publish it at this moment, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", group = "schedule", value_parser = moment)]
    schedule_at: Option<jiff::Timestamp>,
    /// Publish it after this time
    #[arg(long, value_name = "DURATION", group = "schedule", value_parser = units::parse_duration)]
    schedule_after: Option<Duration>,
    /// Publish it again and again, as 5m or 1h30m
    #[arg(long, value_name = "DURATION", group = "schedule")]
    schedule_every: Option<String>,
    /// Publish it by six fields: second, minute, hour, day, month, day of the week
    #[arg(long, value_name = "CRON", group = "schedule")]
    schedule_cron: Option<String>,
    /// Subject to publish it to
    #[arg(long, value_name = "SUBJECT", requires = "schedule")]
    schedule_dest: Option<String>,
    /// How long the published message lives
    #[arg(long, value_name = "DURATION", requires = "schedule")]
    schedule_ttl: Option<String>,
}

fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is no moment; write 2026-01-31T12:00:00Z"))
}

impl Schedule {
    pub(super) fn is_set(&self) -> bool {
        self.schedule_at.is_some()
            || self.schedule_after.is_some()
            || self.schedule_every.is_some()
            || self.schedule_cron.is_some()
    }

    /// The headers, as `Key:Value`.
    pub(super) fn headers(&self, now: jiff::Timestamp) -> Result<Vec<String>, Failure> {
        if !self.is_set() {
            return Ok(Vec::new());
        }
        let Some(target) = &self.schedule_dest else {
            return Err(Failure::usage("where is the message to be published?")
                .hint("--schedule-dest SUBJECT, another subject of the same stream"));
        };
        let after = |span: Duration| {
            let span = jiff::SignedDuration::try_from(span).ok();
            span.and_then(|span| now.checked_add(span).ok())
                .ok_or_else(|| Failure::usage("--schedule-after is too long"))
        };
        // Whole seconds: the form of the specification.
        let at = |at: jiff::Timestamp| format!("@at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"));
        let when = match (self.schedule_at, self.schedule_after) {
            (Some(moment), _) => at(moment),
            (None, Some(span)) => at(after(span)?),
            (None, None) => match (&self.schedule_every, &self.schedule_cron) {
                (Some(every), _) => format!("@every {every}"),
                (None, cron) => cron.clone().unwrap_or_default(),
            },
        };
        let mut headers =
            vec![format!("Nats-Schedule:{when}"), format!("Nats-Schedule-Target:{target}")];
        if let Some(ttl) = &self.schedule_ttl {
            headers.push(format!("Nats-Schedule-TTL:{ttl}"));
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        schedule: Schedule,
    }

    #[test]
    fn each_form_becomes_its_header() {
        let now: jiff::Timestamp = "2026-01-31T12:00:00.5Z".parse().unwrap();
        let headers = |arguments: &[&str]| {
            let all = [&["x"], arguments, &["--schedule-dest", "to"]].concat();
            let line = Line::try_parse_from(all).unwrap();
            line.schedule.headers(now).unwrap().remove(0)
        };
        for (arguments, header) in [
            (["--schedule-at", "2026-02-01T00:00:00Z"], "@at 2026-02-01T00:00:00Z"),
            (["--schedule-after", "90s"], "@at 2026-01-31T12:01:30Z"),
            (["--schedule-every", "5m"], "@every 5m"),
            (["--schedule-cron", "0 30 14 * * *"], "0 30 14 * * *"),
        ] {
            assert_eq!(headers(&arguments), format!("Nats-Schedule:{header}"));
        }
        let line = Line::try_parse_from(["x", "--schedule-every", "5m"]).unwrap();
        assert!(line.schedule.headers(now).is_err(), "without a destination");
        assert!(Line::try_parse_from(["x", "--schedule-dest", "to"]).is_err());
    }
}
