//! `server check jetstream`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::result::{Metric, Report};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{flag, int, number, text};
use crate::units;

/// What the account uses of its JetStream limits, in percent. A threshold of -1 is none.
#[derive(Debug, Args)]
pub(super) struct Jetstream {
    /// Warn above this share of memory
    #[arg(long, default_value_t = 75, value_name = "PERCENT", allow_negative_numbers = true)]
    mem_warn: i64,
    /// Critical above this share of memory
    #[arg(long, default_value_t = 90, value_name = "PERCENT", allow_negative_numbers = true)]
    mem_critical: i64,
    /// Warn above this share of storage
    #[arg(long, default_value_t = 75, value_name = "PERCENT", allow_negative_numbers = true)]
    store_warn: i64,
    /// Critical above this share of storage
    #[arg(long, default_value_t = 90, value_name = "PERCENT", allow_negative_numbers = true)]
    store_critical: i64,
    /// Warn above this share of streams
    #[arg(long, default_value_t = -1, value_name = "PERCENT", allow_negative_numbers = true)]
    streams_warn: i64,
    /// Critical above this share of streams
    #[arg(long, default_value_t = -1, value_name = "PERCENT", allow_negative_numbers = true)]
    streams_critical: i64,
    /// Warn above this share of consumers
    #[arg(long, default_value_t = -1, value_name = "PERCENT", allow_negative_numbers = true)]
    consumers_warn: i64,
    /// Critical above this share of consumers
    #[arg(long, default_value_t = -1, value_name = "PERCENT", allow_negative_numbers = true)]
    consumers_critical: i64,
    /// Do not look at the copies of streams
    #[arg(long)]
    no_replicas: bool,
    /// Critical when nothing was heard of a copy for this long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::parse_duration)]
    replica_seen_critical: Duration,
    /// Critical when a copy is so many operations behind
    #[arg(long, value_name = "OPS", default_value_t = 200)]
    replica_lag_critical: u64,
}

impl Jetstream {
    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = api.ask("INFO", &Value::Null).await?;
        for (name, percent, unit, used, limit, (warn, critical), help) in [
            (
                "memory",
                "memory_pct",
                "B",
                "/memory",
                "/limits/max_memory",
                (self.mem_warn, self.mem_critical),
                "JetStream memory resource usage",
            ),
            (
                "storage",
                "storage_pct",
                "B",
                "/storage",
                "/limits/max_storage",
                (self.store_warn, self.store_critical),
                "JetStream storage resource usage",
            ),
            (
                "streams",
                "streams_pct",
                "",
                "/streams",
                "/limits/max_streams",
                (self.streams_warn, self.streams_critical),
                "JetStream streams resource usage",
            ),
            (
                "consumers",
                "consumers_pct",
                "",
                "/consumers",
                "/limits/max_consumers",
                (self.consumers_warn, self.consumers_critical),
                "JetStream consumers resource usage",
            ),
        ] {
            let used = number(&info, used) as f64;
            let limit = int(&info, limit) as f64;
            let share = if limit > 0.0 { (used / limit * 100.0).floor() } else { 0.0 };
            report.metric(Metric::new(name, used, help).unit(unit));
            let metric = Metric::new(percent, share, help).unit("%");
            report.metric(metric.limits(warn as f64, critical as f64));
            if warn >= 0 && critical >= 0 && warn >= critical {
                report.critical(format!("{name}: invalid thresholds"));
            } else if share > 100.0 {
                report.critical(format!("{name}: exceed server limits"));
            } else if critical >= 0 && share > critical as f64 {
                report.critical(format!("{share}% {name}"));
            } else if warn >= 0 && share > warn as f64 {
                report.warn(format!("{share}% {name}"));
            }
        }
        if !self.no_replicas {
            let streams = api.list("STREAM.LIST", "streams", Value::Null).await?;
            self.replicas(&streams, report);
        }
        connector.close().await?;
        Ok(())
    }

    /// Sorts streams by what is wrong with their copies.
    fn replicas(&self, streams: &[Value], report: &mut Report) {
        let mut found = [0_u64; 6];
        for stream in streams {
            found[self.health(stream)] += 1;
        }
        let [good, leaderless, missing, lagged, unseen, failed] = found;
        let lag = self.replica_lag_critical as f64;
        let seen = self.replica_seen_critical.as_secs_f64();
        for (name, count, critical, unit, help) in [
            ("replicas_ok", good, 0.0, "", "Streams with healthy cluster state"),
            ("replicas_no_leader", leaderless, 0.0, "", "Streams with no leader elected"),
            (
                "replicas_missing_replicas",
                missing,
                0.0,
                "",
                "Streams where there are fewer known replicas than configured",
            ),
            ("replicas_lagged", lagged, lag, "", "Streams with lagged replicas"),
            ("replicas_not_seen", unseen, seen, "s", "Streams with replicas that are not seen"),
            ("replicas_fail", failed, 0.0, "", "Streams unhealthy cluster state"),
        ] {
            report.metric(Metric::new(name, count as f64, help).unit(unit).limits(0.0, critical));
        }
        let bad = leaderless + missing + lagged + unseen + failed;
        if bad > 0 {
            report.critical(format!("{bad} unhealthy streams"));
        }
    }

    /// Which count of [`replicas`](Self::replicas) a stream belongs to.
    fn health(&self, stream: &Value) -> usize {
        const GOOD: usize = 0;
        const LEADERLESS: usize = 1;
        const MISSING: usize = 2;
        const LAGGED: usize = 3;
        const UNSEEN: usize = 4;
        const FAILED: usize = 5;
        let wanted = number(stream, "/config/num_replicas");
        if wanted <= 1 {
            return GOOD;
        }
        if stream.pointer("/cluster").is_none() {
            return FAILED;
        }
        if text(stream, "/cluster/leader").is_empty() {
            return LEADERLESS;
        }
        let replicas = stream.pointer("/cluster/replicas").and_then(Value::as_array);
        let replicas: &[Value] = replicas.map_or(&[], Vec::as_slice);
        if replicas.len() as u64 + 1 != wanted {
            return MISSING;
        }
        let seen = i64::try_from(self.replica_seen_critical.as_nanos()).unwrap_or(i64::MAX);
        let bad = |test: &dyn Fn(&Value) -> bool| replicas.iter().any(test);
        if bad(&|one| flag(one, "/offline")) {
            FAILED
        } else if seen > 0 && bad(&|one| int(one, "/active") > seen) {
            UNSEEN
        } else if bad(&|one| number(one, "/lag") > self.replica_lag_critical) {
            LAGGED
        } else {
            GOOD
        }
    }
}
