//! `server check meta`: the cluster that keeps the metadata of JetStream.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::super::sys;
use super::result::{Metric, Report};
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{flag, number, text};
use crate::units;

/// The servers that keep the metadata of JetStream, through the system account.
#[derive(Debug, Args)]
pub(super) struct Meta {
    /// How many servers there should be
    #[arg(long, value_name = "N")]
    expect: usize,
    /// Critical when a server is so many operations behind
    #[arg(long, value_name = "OPS")]
    lag_critical: u64,
    /// Critical when nothing was heard of a server for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    seen_critical: Duration,
}

impl Meta {
    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let connector = context.connect().await?;
        let body = json!({ "leader_only": true });
        // Only the leader answers; without a cluster the one that there is does.
        let all = sys::ask_all(context, &connector, "JSZ", &body, Some(1)).await?;
        connector.close().await?;
        match all.iter().find_map(|one| one.pointer("/data/meta_cluster")) {
            Some(meta) => self.judge(meta, report),
            None => report.critical("no cluster information"),
        }
        Ok(())
    }

    fn judge(&self, meta: &Value, report: &mut Report) {
        let leader = text(meta, "/leader");
        if leader.is_empty() {
            report.critical("No leader");
            return;
        }
        let replicas = meta.get("replicas").and_then(Value::as_array);
        let replicas = replicas.map_or(&[][..], Vec::as_slice);
        let peers = replicas.len() + 1;
        if peers != self.expect {
            report.critical(format!("{peers} peers of expected {}", self.expect));
        }
        let seen = u64::try_from(self.seen_critical.as_nanos()).unwrap_or(u64::MAX);
        let count = |bad: &dyn Fn(&Value) -> bool| replicas.iter().filter(|one| bad(one)).count();
        let float = |count: usize| count as f64;
        let offline = count(&|one| flag(one, "/offline"));
        let behind = count(&|one| !flag(one, "/current"));
        let silent = count(&|one| number(one, "/active") > seen);
        let lagged = count(&|one| number(one, "/lag") > self.lag_critical);
        let limit = self.expect as f64;
        let metric = Metric::new("peers", float(peers), "Configured RAFT peers");
        report.metric(metric.limits(limit, limit));
        for (name, number, words, help) in [
            ("peer_offline", offline, "offline", "Offline RAFT peers"),
            ("peer_not_current", behind, "not current", "RAFT peers that are not current"),
            ("peer_inactive", silent, "inactive", "Inactive RAFT peers"),
            ("peer_lagged", lagged, "lagged", "RAFT peers that are lagged"),
        ] {
            report.metric(Metric::new(name, float(number), help));
            if number > 0 {
                report.critical(format!("{number} {words}"));
            }
        }
        if report.status() == 0 {
            report.ok(format!("{peers} peers led by {leader}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(meta: &Value) -> (u8, String) {
        let check = Meta { expect: 3, lag_critical: 10, seen_critical: Duration::from_secs(1) };
        let mut report = Report::new("meta", "M");
        check.judge(meta, &mut report);
        (report.status(), [report.critical, report.ok].concat().join("; "))
    }

    #[test]
    fn each_server_has_to_keep_up() {
        let peer = json!({"current": true, "active": 1000, "lag": 1});
        let with =
            |other: Value| status(&json!({"leader": "a", "replicas": [peer.clone(), other]}));
        assert_eq!(with(peer.clone()), (0, "3 peers led by a".to_owned()));
        for (change, text) in [
            (json!({"current": true, "offline": true}), "1 offline"),
            (json!({"current": false}), "1 not current"),
            (json!({"current": true, "active": 2_000_000_000}), "1 inactive"),
            (json!({"current": true, "lag": 11}), "1 lagged"),
        ] {
            assert_eq!(with(change), (2, text.to_owned()));
        }
        assert_eq!(status(&json!({"leader": "a"})), (2, "1 peers of expected 3".to_owned()));
        assert_eq!(status(&json!({"leader": ""})), (2, "No leader".to_owned()));
    }
}
