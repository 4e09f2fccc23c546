//! `server check server`: one server, through the system account.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::sys;
use super::result::{Metric, Report};
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{flag, number, text};
use crate::units;

/// A server, through the system account.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Name of the server
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Warn at this use of the processor
    #[arg(long, value_name = "PERCENT")]
    cpu_warn: Option<u64>,
    /// Critical at this use of the processor
    #[arg(long, value_name = "PERCENT")]
    cpu_critical: Option<u64>,
    /// Warn at this much memory
    #[arg(long, value_name = "BYTES", value_parser = units::parse_size)]
    mem_warn: Option<i64>,
    /// Critical at this much memory
    #[arg(long, value_name = "BYTES", value_parser = units::parse_size)]
    mem_critical: Option<i64>,
    /// Warn at so many connections; or fewer, if it is more than the critical number
    #[arg(long, value_name = "N")]
    conn_warn: Option<u64>,
    /// Critical at so many connections
    #[arg(long, value_name = "N")]
    conn_critical: Option<u64>,
    /// Warn at so many subscriptions; or fewer, if it is more than the critical number
    #[arg(long, value_name = "N")]
    subs_warn: Option<u64>,
    /// Critical at so many subscriptions
    #[arg(long, value_name = "N")]
    subs_critical: Option<u64>,
    /// Warn when it has not been up for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    uptime_warn: Option<Duration>,
    /// Critical when it has not been up for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    uptime_critical: Option<Duration>,
    /// Critical when it asks for no login
    #[arg(long)]
    auth_required: bool,
    /// Critical when it takes connections without TLS
    #[arg(long)]
    tls_required: bool,
    /// Critical when it has no JetStream
    #[arg(long)]
    js_required: bool,
}

impl Server {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let connector = context.connect().await?;
        let body = json!({ "server_name": self.name, "exact_match": true });
        let all = sys::ask_all(context, &connector, "VARZ", &body, Some(1)).await?;
        connector.close().await?;
        let named = all.iter().find(|one| text(one, "/server/name") == self.name);
        let varz = named
            .and_then(|one| one.get("data"))
            .ok_or_else(|| Failure::usage(format!("no answer from server {}", self.name)))?;
        for (asked, is, words) in [
            (self.js_required, varz.pointer("/jetstream/config").is_some(), "JetStream enabled"),
            (self.tls_required, flag(varz, "/tls_required"), "TLS required"),
            (self.auth_required, flag(varz, "/auth_required"), "Authentication required"),
        ] {
            match (asked, is) {
                (false, _) => {}
                (true, true) => report.ok(words),
                (true, false) => report.critical(words.replace(' ', " not ")),
            }
        }
        self.uptime(varz, report);
        let float = |value: Option<u64>| value.unwrap_or(0) as f64;
        let bytes = |value: Option<i64>| value.unwrap_or(0).max(0) as f64;
        let cpu = varz.pointer("/cpu").and_then(Value::as_f64).unwrap_or(0.0);
        for (metric, words, value, unit, (warn, critical), help) in [
            (
                "cpu",
                "CPU",
                cpu,
                "%",
                (float(self.cpu_warn), float(self.cpu_critical)),
                "NATS Server CPU usage in percentage",
            ),
            (
                "mem",
                "Memory",
                number(varz, "/mem") as f64,
                "",
                (bytes(self.mem_warn), bytes(self.mem_critical)),
                "NATS Server memory usage in bytes",
            ),
            (
                "connections",
                "Connections",
                number(varz, "/connections") as f64,
                "",
                (float(self.conn_warn), float(self.conn_critical)),
                "Active connections",
            ),
            (
                "subscriptions",
                "Subscriptions",
                number(varz, "/subscriptions") as f64,
                "",
                (float(self.subs_warn), float(self.subs_critical)),
                "Active subscriptions",
            ),
        ] {
            report.metric(Metric::new(metric, value, help).unit(unit).limits(warn, critical));
            if warn > 0.0 || critical > 0.0 {
                report.either_way(value, warn, critical, &format!("{words} {value:.2}"));
            }
        }
        Ok(())
    }

    fn uptime(&self, varz: &Value, report: &mut Report) {
        let moment = |name| units::parse_moment(text(varz, name));
        let (Some(now), Some(start)) = (moment("/now"), moment("/start")) else { return };
        let up = (now.as_nanosecond() - start.as_nanosecond()) as f64 / 1e9;
        let seconds = |span: Option<Duration>| span.map_or(0.0, |span| span.as_secs_f64());
        let (warn, critical) = (seconds(self.uptime_warn), seconds(self.uptime_critical));
        let metric = Metric::new("uptime", up, "NATS Server uptime in seconds").unit("s");
        report.metric(metric.limits(warn, critical));
        if warn == 0.0 && critical == 0.0 {
            return;
        }
        let text = format!("Up {}", units::duration(Duration::from_secs_f64(up.max(0.0))));
        if up <= critical {
            report.critical(text);
        } else if up <= warn {
            report.warn(text);
        } else {
            report.ok(text);
        }
    }
}
