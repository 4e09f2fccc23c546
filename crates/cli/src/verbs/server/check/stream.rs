//! `server check stream`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::result::{Metric, Report};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{flag, int, number, text};
use crate::units;
use crate::verbs::stream::stream_info;

/// A stream. Limits that are not given come from its metadata, `io.nats.monitor.*`.
#[derive(Debug, Args)]
pub(super) struct Stream {
    /// Name of the stream
    #[arg(long, value_name = "NAME")]
    stream: String,
    /// Critical when a mirror or source is so many messages behind
    #[arg(long, value_name = "MSGS")]
    lag_critical: Option<u64>,
    /// Critical when nothing was heard of a mirror or source for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    seen_critical: Option<Duration>,
    /// Critical with fewer sources
    #[arg(long, value_name = "N")]
    min_sources: Option<u64>,
    /// Critical with more sources
    #[arg(long, value_name = "N")]
    max_sources: Option<u64>,
    /// Servers that should have a copy
    #[arg(long, value_name = "SERVERS")]
    peer_expect: Option<u64>,
    /// Critical when a copy is so many operations behind
    #[arg(long, value_name = "OPS")]
    peer_lag_critical: Option<u64>,
    /// Critical when nothing was heard of a copy for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    peer_seen_critical: Option<Duration>,
    /// Warn at so many messages or fewer
    #[arg(long, value_name = "MSGS")]
    msgs_warn: Option<u64>,
    /// Critical at so many messages or fewer
    #[arg(long, value_name = "MSGS")]
    msgs_critical: Option<u64>,
    /// Warn at so many subjects; or fewer, if it is more than the critical number
    #[arg(long, value_name = "SUBJECTS")]
    subjects_warn: Option<u64>,
    /// Critical at so many subjects; or fewer, if it is less than the warning number
    #[arg(long, value_name = "SUBJECTS")]
    subjects_critical: Option<u64>,
}

/// The limits in force; 0 is none.
struct Limits<'a> {
    given: &'a Stream,
    info: &'a Value,
}

/// A limit that the object of a stream or consumer has in its metadata.
pub(super) fn in_metadata<'a>(info: &'a Value, name: &str) -> Option<&'a str> {
    info.pointer("/config/metadata")?.get(format!("io.nats.monitor.{name}"))?.as_str()
}

pub(super) fn bad_metadata(name: &str, text: &str) -> Failure {
    Failure::usage(format!("metadata io.nats.monitor.{name} is `{text}`"))
}

/// A number: given, or in the metadata.
pub(super) fn count(info: &Value, given: Option<u64>, name: &str) -> Result<u64, Failure> {
    match (given, in_metadata(info, name)) {
        (Some(count), _) => Ok(count),
        (None, Some(text)) => text.parse().map_err(|_| bad_metadata(name, text)),
        (None, None) => Ok(0),
    }
}

/// A span: given, or in the metadata.
pub(super) fn span(info: &Value, given: Option<Duration>, name: &str) -> Result<Duration, Failure> {
    match (given, in_metadata(info, name)) {
        (Some(span), _) => Ok(span),
        (None, Some(text)) => units::parse_duration(text).map_err(|_| bad_metadata(name, text)),
        (None, None) => Ok(Duration::ZERO),
    }
}

impl Limits<'_> {
    fn count(&self, given: impl Fn(&Stream) -> Option<u64>, name: &str) -> Result<u64, Failure> {
        count(self.info, given(self.given), name)
    }

    fn span(
        &self,
        given: impl Fn(&Stream) -> Option<Duration>,
        name: &str,
    ) -> Result<Duration, Failure> {
        span(self.info, given(self.given), name)
    }
}

/// How long nothing was heard; a server writes -1 for never.
fn active(info: &Value) -> Duration {
    u64::try_from(int(info, "/active")).map_or(Duration::MAX, Duration::from_nanos)
}

impl Stream {
    pub(super) fn name(&self) -> &str {
        &self.stream
    }

    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let connector = context.connect().await?;
        let info = stream_info(&Api::new(&connector, context), &self.stream).await?;
        connector.close().await?;
        let limits = Limits { given: self, info: &info };
        copies(&limits, report)?;
        messages(&limits, report)?;
        subjects(&limits, report)?;
        sources(&limits, report)?;
        mirror(&limits, report)
    }
}

fn copies(limits: &Limits<'_>, report: &mut Report) -> Outcome {
    let info = limits.info;
    let expected = limits.count(|given| given.peer_expect, "peer-expect")?;
    let lag = limits.count(|given| given.peer_lag_critical, "peer-lag-critical")?;
    let seen = limits.span(|given| given.peer_seen_critical, "peer-seen-critical")?;
    let clustered = number(info, "/config/num_replicas") > 1;
    if !clustered {
        if expected > 0 {
            report.critical("Stream is not clustered");
        }
        return Ok(());
    }
    if text(info, "/cluster/leader").is_empty() {
        report.critical("No leader");
        return Ok(());
    }
    let replicas = info.pointer("/cluster/replicas").and_then(Value::as_array);
    let replicas: &[Value] = replicas.map_or(&[], Vec::as_slice);
    let peers = replicas.len() as u64 + 1;
    let wanted = if expected > 0 { expected } else { number(info, "/config/num_replicas") };
    if peers != wanted {
        report.critical(format!("Expected {wanted} replicas got {peers}"));
        return Ok(());
    }
    report.ok(format!("{peers} peers"));
    let count = |bad: &dyn Fn(&Value) -> bool| replicas.iter().filter(|one| bad(one)).count();
    let offline = count(&|one| flag(one, "/offline"));
    let lagged = count(&|one| lag > 0 && number(one, "/lag") > lag);
    let inactive = count(&|one| !seen.is_zero() && active(one) > seen);
    if offline > 0 {
        report.critical(format!("{offline} replicas offline"));
    }
    for (on, bad, good, what) in [
        (lag > 0, lagged, "replicas are current", "lagged"),
        (!seen.is_zero(), inactive, "replicas are active", "inactive"),
    ] {
        match (on, bad) {
            (false, _) => {}
            (true, 0) => report.ok(good),
            (true, bad) => report.critical(format!("{bad} replicas {what}")),
        }
    }
    Ok(())
}

fn messages(limits: &Limits<'_>, report: &mut Report) -> Outcome {
    let warn = limits.count(|given| given.msgs_warn, "msgs-warn")?;
    let critical = limits.count(|given| given.msgs_critical, "msgs-critical")?;
    if warn == 0 && critical == 0 {
        return Ok(());
    }
    let messages = number(limits.info, "/state/messages");
    let metric = Metric::new("messages", messages as f64, "Messages stored in the stream");
    report.metric(metric.limits(warn as f64, critical as f64));
    let text = format!("{messages} messages");
    match (messages <= critical && critical > 0, messages <= warn && warn > 0) {
        (true, _) => report.critical(text),
        (false, true) => report.warn(text),
        (false, false) => report.ok(text),
    }
    Ok(())
}

fn subjects(limits: &Limits<'_>, report: &mut Report) -> Outcome {
    let warn = limits.count(|given| given.subjects_warn, "subjects-warn")? as f64;
    let critical = limits.count(|given| given.subjects_critical, "subjects-critical")? as f64;
    if warn == 0.0 && critical == 0.0 {
        return Ok(());
    }
    let subjects = number(limits.info, "/state/num_subjects");
    let metric =
        Metric::new("subjects", subjects as f64, "Number of subjects stored in the stream");
    report.metric(metric.limits(warn, critical));
    report.either_way(subjects as f64, warn, critical, &format!("{subjects} subjects"));
    Ok(())
}

fn sources(limits: &Limits<'_>, report: &mut Report) -> Outcome {
    let sources = limits.info.pointer("/sources").and_then(Value::as_array);
    let sources: &[Value] = sources.map_or(&[], Vec::as_slice);
    let least = limits.count(|given| given.min_sources, "min-sources")?;
    let most = limits.count(|given| given.max_sources, "max-sources")?;
    let count = sources.len() as u64;
    let help = "Number of sources being consumed by this stream";
    report.metric(Metric::new("sources", count as f64, help).limits(least as f64, most as f64));
    let text = format!("{count} sources");
    if count < least || (most > 0 && count > most) {
        report.critical(text);
    } else {
        report.ok(text);
    }
    let lag = limits.count(|given| given.lag_critical, "lag-critical")?;
    let seen = limits.span(|given| given.seen_critical, "seen-critical")?;
    if lag == 0 && seen.is_zero() || sources.is_empty() {
        return Ok(());
    }
    let lagged = sources.iter().filter(|one| lag > 0 && number(one, "/lag") >= lag).count();
    let idle = sources.iter().filter(|one| !seen.is_zero() && active(one) >= seen).count();
    let help = "Number of sources that are behind more than the configured threshold";
    report.metric(Metric::new("sources_lagged", lagged as f64, help));
    let help = "Number of sources that are inactive";
    report.metric(Metric::new("sources_inactive", idle as f64, help));
    for (bad, word, good) in [(lagged, "lagged", "current"), (idle, "inactive", "active")] {
        match bad {
            0 => report.ok(format!("{count} sources {good}")),
            bad => report.critical(format!("{bad} sources are {word}")),
        }
    }
    Ok(())
}

fn mirror(limits: &Limits<'_>, report: &mut Report) -> Outcome {
    let lag = limits.count(|given| given.lag_critical, "lag-critical")?;
    let seen = limits.span(|given| given.seen_critical, "seen-critical")?;
    let has_sources = limits.info.pointer("/sources").is_some();
    if (lag == 0 && seen.is_zero()) || has_sources {
        return Ok(());
    }
    let Some(state) = limits.info.pointer("/mirror") else {
        report.critical("not mirrored");
        return Ok(());
    };
    let (behind, idle) = (number(state, "/lag"), active(state));
    let help = "Number of operations this peer is behind its origin";
    report.metric(Metric::new("lag", behind as f64, help).limits(0.0, lag as f64));
    let help = "Indicates if this peer is active and catching up if lagged";
    let metric = Metric::new("active", idle.as_secs_f64(), help).unit("s");
    report.metric(metric.limits(0.0, seen.as_secs_f64()));
    let lagged = lag > 0 && behind >= lag;
    let silent = !seen.is_zero() && idle >= seen;
    if lagged {
        report.critical(format!("Mirror Lag {behind}"));
    }
    if silent {
        report.critical(format!("Mirror Seen {}", units::duration(idle)));
    }
    if !lagged && !silent {
        report.ok(format!("Mirror {}", text(limits.info, "/config/mirror/name")));
    }
    Ok(())
}
