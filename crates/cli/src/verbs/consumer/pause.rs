//! `natterjack consumer pause` and `resume`.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Name, consumer_info};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{flag, int, text};
use crate::prompt;
use crate::units;

/// Stop deliveries until a moment.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    name: Name,
    /// How long, such as 1h; or until when: 2026-01-31 12:00:00 (local), 2026-01-31T12:00:00Z
    until: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Let deliveries go on.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    name: Name,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// A moment, as a span from now or as a time.
pub(super) fn moment(text: &str) -> Result<Timestamp, Failure> {
    if let Ok(span) = units::parse_duration(text)
        && let Ok(at) = Timestamp::now().checked_add(span)
    {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let local = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(TimeZone::system()).ok());
    local.map(|at| at.timestamp()).ok_or_else(|| {
        Failure::usage(format!("`{text}` is no moment"))
            .hint("1h, 2026-01-31 12:00:00, or 2026-01-31T12:00:00Z")
    })
}

impl Pause {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let until = moment(&self.until)?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        consumer_info(&api, &self.name).await?;
        let shown = units::moment(&until.to_string(), "-");
        if self.dry_run {
            context.out.line(format!("would pause consumer {stream} > {consumer} until {shown}"));
            return Ok(());
        }
        let question = format!("Really pause Consumer {stream} > {consumer} until {shown}");
        prompt::confirm(&question, self.force)?;
        let body = json!({ "pause_until": until.to_string() });
        let call = format!("CONSUMER.PAUSE.{stream}.{consumer}");
        let answer = api.ask(&call, &body).await?;
        connector.close().await?;
        say(context, &self.name, &answer, "is not paused");
        Ok(())
    }
}

impl Resume {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = consumer_info(&api, &self.name).await?;
        if self.dry_run {
            context.out.line(format!("would resume consumer {stream} > {consumer}"));
            return Ok(());
        }
        let what = if flag(&info, "/paused") { "was resumed" } else { "is not paused" };
        prompt::confirm(&format!("Really resume Consumer {stream} > {consumer}"), self.force)?;
        let call = format!("CONSUMER.PAUSE.{stream}.{consumer}");
        let answer = api.ask(&call, &json!({})).await?;
        connector.close().await?;
        say(context, &self.name, &answer, what);
        Ok(())
    }
}

fn say(context: &Context, Name { stream, consumer }: &Name, answer: &Value, what: &str) {
    let out = context.out;
    if out.json {
        out.document(answer);
    } else if flag(answer, "/paused") {
        let until = units::moment(text(answer, "/pause_until"), "-");
        let left = units::nanos(int(answer, "/pause_remaining"), "0s");
        out.say(format!("Paused {stream} > {consumer} until {until} ({left})"));
    } else {
        out.say(format!("Consumer {stream} > {consumer} {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spans_and_times() {
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-01-31T12:00:00Z").unwrap(), at);
        assert!(moment("2026-01-31 12:00:00").is_ok());
        let hour = moment("1h").unwrap().as_second() - Timestamp::now().as_second();
        assert!((3590..=3600).contains(&hour));
        assert!(moment("tomorrow").is_err());
    }
}
