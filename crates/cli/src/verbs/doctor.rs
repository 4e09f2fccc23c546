//! `natterjack doctor`: looks for what is known to go wrong, and says what to do about it.

mod looks;
mod streams;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::monitor::Monitor;
use crate::output::{Format, Output, Paint};
use crate::table::Table;
use crate::units;

/// Look for what is known to go wrong, and say what to do about it.
///
/// Connection, clock, credentials, permissions, JetStream, storage, streams, consumers, slow clients.
/// Exits with 1 if something fails; warnings do not count.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Also ask this monitoring port, as http://127.0.0.1:8222
    #[arg(short = 'm', long, value_name = "URL")]
    monitor: Option<String>,
    /// Warn of credentials that expire within this
    #[arg(long, default_value = "7d", value_name = "DURATION", value_parser = units::parse_duration)]
    expiry_warn: Duration,
    /// Warn of round trips that take longer
    #[arg(long, default_value = "100ms", value_name = "DURATION", value_parser = units::parse_duration)]
    rtt_warn: Duration,
}

/// How a look came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// It works, and will not for long.
    Warn,
    Fail,
    /// It could not be looked at.
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "?",
        }
    }
}

/// What a look found.
#[derive(Debug)]
struct Finding {
    look: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it; empty if nothing.
    fix: String,
}

impl Finding {
    fn new(look: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { look, verdict, found: found.into(), fix: String::new() }
    }

    fn ok(look: &'static str, found: impl Into<String>) -> Self {
        Self::new(look, Verdict::Ok, found)
    }

    fn warn(look: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..Self::new(look, Verdict::Warn, found) }
    }

    fn fail(look: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..Self::new(look, Verdict::Fail, found) }
    }

    /// A failure and its hint.
    fn failed(look: &'static str, failure: &Failure) -> Self {
        Self::fail(look, &failure.message, &failure.hint)
    }

    fn unknown(look: &'static str, why: impl Into<String>) -> Self {
        Self::new(look, Verdict::Unknown, why)
    }
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut findings = Vec::new();
        match context.connect().await {
            Err(failure) => {
                // Which of the two it is: a login that is refused, or nobody to log in to.
                let look = if failure.exit == 4 { "credentials" } else { "connection" };
                findings.push(Finding::failed(look, &failure));
            }
            Ok(connector) => {
                let patient = looks::Patient { context, connector: &connector };
                findings.extend(patient.connection(self.rtt_warn).await?);
                let user = patient.user().await;
                findings.push(looks::clock(&user));
                findings.push(looks::credentials(&user, self.expiry_warn));
                findings.push(patient.permissions().await?);
                findings.extend(streams::all(&patient).await);
                findings.push(patient.slow_consumers().await);
                connector.close().await?;
            }
        }
        if let Some(url) = &self.monitor {
            let monitor = Monitor::new(url, context.timeout()?)?;
            findings.extend(looks::monitor(&monitor).await);
        }
        print(&context.out, &findings);
        let failed = findings.iter().filter(|one| one.verdict == Verdict::Fail).count();
        match failed {
            0 => Ok(()),
            failed => {
                let text = format!("{failed} of {} looks found a fault", findings.len());
                Err(Failure::new(status::FAILED, "doctor.fault", text))
            }
        }
    }
}

fn print(out: &Output, findings: &[Finding]) {
    if out.json {
        let object = |Finding { look, verdict, found, fix }: &Finding| json!({"look": look, "verdict": verdict.word(), "found": found, "fix": fix});
        out.document(&findings.iter().map(object).collect::<Vec<Value>>());
        return;
    }
    if out.format != Format::Table {
        let mut table = Table::new("Doctor", &["Look", "Verdict", "Found", "Fix"]);
        for Finding { look, verdict, found, fix } in findings {
            table.row([(*look).to_owned(), verdict.word().to_owned(), found.clone(), fix.clone()]);
        }
        table.print(out);
        return;
    }
    for Finding { look, verdict, found, fix } in findings {
        let word = format!("{:<4}", verdict.word());
        let word = match verdict {
            Verdict::Ok => word,
            Verdict::Warn => out.paint(Paint::Yellow, &word),
            Verdict::Fail => out.paint(Paint::Red, &word),
            Verdict::Unknown => out.paint(Paint::Dim, &word),
        };
        out.line(format!("{word}  {look:<14}  {}", crate::table::plain(found)));
        if !fix.is_empty() {
            out.line(format!("{:>22}{} {fix}", "", out.paint(Paint::Cyan, "try:")));
        }
    }
}
