//! JetStream: whether it is on, how full it is, and who does not keep up.

use serde_json::Value;

use super::Finding;
use super::looks::Patient;
use crate::json::{int, number, text};
use crate::units;

/// Shares of a limit, in percent.
const WARN: u64 = 75;
const FAIL: u64 = 90;

/// Streams whose consumers are looked at; each takes a request.
const STREAMS_MAX: usize = 200;

/// Names that are shown of those that something is wrong with.
const NAMES_MAX: usize = 5;

pub(super) async fn all(patient: &Patient<'_>) -> Vec<Finding> {
    let api = patient.api();
    let info = match api.ask("INFO", &Value::Null).await {
        Ok(info) => info,
        Err(failure) => return vec![Finding::failed("jetstream", &failure)],
    };
    let found = format!(
        "{} streams, {} consumers",
        units::count(number(&info, "/streams")),
        units::count(number(&info, "/consumers"))
    );
    let mut findings = vec![Finding::ok("jetstream", found), storage(&info)];
    let streams = match api.list("STREAM.LIST", "streams", Value::Null).await {
        Ok(streams) => streams,
        Err(failure) => {
            findings.push(Finding::failed("streams", &failure));
            return findings;
        }
    };
    findings.push(limits(&streams));
    let mut consumers = Vec::new();
    for stream in streams.iter().take(STREAMS_MAX) {
        let call = format!("CONSUMER.LIST.{}", text(stream, "/config/name"));
        match api.list(&call, "consumers", Value::Null).await {
            Ok(more) => consumers.extend(more),
            Err(failure) => {
                findings.push(Finding::failed("consumers", &failure));
                return findings;
            }
        }
    }
    findings.push(keeping_up(&consumers));
    findings
}

/// What the account uses of its limits.
fn storage(info: &Value) -> Finding {
    let mut worst = (0, String::from("no limits in this account"));
    for (name, used, most) in [
        ("memory", "/memory", "/limits/max_memory"),
        ("storage", "/storage", "/limits/max_storage"),
    ] {
        let (used, most) = (number(info, used), int(info, most));
        if let Some(most) = u64::try_from(most).ok().filter(|most| *most > 0) {
            let share = used.saturating_mul(100) / most;
            let words = format!("{name}: {} of {}", units::size(used), units::size(most));
            if share >= worst.0 {
                worst = (share, words);
            }
        }
    }
    let fix = "remove data, let streams forget (max_age, max_bytes), or raise the limit";
    match worst {
        (share, words) if share >= FAIL => Finding::fail("storage", words, fix),
        (share, words) if share >= WARN => Finding::warn("storage", words, fix),
        (_, words) => Finding::ok("storage", words),
    }
}

/// Streams that refuse what is published when they are full, and that are nearly so; and lost messages.
fn limits(streams: &[Value]) -> Finding {
    let name = |stream: &Value| text(stream, "/config/name").to_owned();
    let lost: Vec<String> = streams
        .iter()
        .filter(|stream| stream.pointer("/state/lost").is_some_and(|lost| !lost.is_null()))
        .map(name)
        .collect();
    if !lost.is_empty() {
        let found = format!("messages were lost in {}", some(&lost));
        return Finding::fail("streams", found, "see the server's log; restore from a backup");
    }
    let full: Vec<String> = streams
        .iter()
        .filter(|stream| text(stream, "/config/discard") == "new" && share(stream) >= FAIL)
        .map(name)
        .collect();
    match full.is_empty() {
        true => Finding::ok("streams", "none is nearly full"),
        false => Finding::warn(
            "streams",
            format!("nearly full, and then they refuse what is published: {}", some(&full)),
            "raise max_msgs or max_bytes, or `discard: old`",
        ),
    }
}

/// How full a stream is, in percent of the limit that is nearest.
fn share(stream: &Value) -> u64 {
    let of = |used: &str, most: &str| match u64::try_from(int(stream, most)) {
        Ok(most) if most > 0 => number(stream, used).saturating_mul(100) / most,
        _ => 0,
    };
    of("/state/messages", "/config/max_msgs").max(of("/state/bytes", "/config/max_bytes"))
}

/// Consumers that get nothing more, because they do not acknowledge what they have.
fn keeping_up(consumers: &[Value]) -> Finding {
    let stuck: Vec<String> = consumers
        .iter()
        .filter(|one| {
            let most = u64::try_from(int(one, "/config/max_ack_pending")).unwrap_or(0);
            most > 0 && number(one, "/num_ack_pending") >= most && number(one, "/num_pending") > 0
        })
        .map(|one| format!("{} > {}", text(one, "/stream_name"), text(one, "/name")))
        .collect();
    match stuck.is_empty() {
        true => Finding::ok("consumers", "all can be given more"),
        false => Finding::warn(
            "consumers",
            format!("as much unacknowledged as is allowed: {}", some(&stuck)),
            "acknowledge what was handled, add workers, or raise max_ack_pending",
        ),
    }
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn shares_of_limits_decide() {
        let of = |used: u64, most: i64| {
            storage(&json!({"storage": used, "limits": {"max_storage": most, "max_memory": -1}}))
                .verdict
        };
        assert_eq!(
            [of(1, -1), of(74, 100), of(75, 100), of(90, 100)],
            [Verdict::Ok, Verdict::Ok, Verdict::Warn, Verdict::Fail]
        );
        let stream = |discard: &str, messages: u64| {
            json!({"config": {"name": "S", "discard": discard, "max_msgs": 10, "max_bytes": -1},
                "state": {"messages": messages}})
        };
        assert_eq!(limits(&[stream("old", 10), stream("new", 8)]).verdict, Verdict::Ok);
        let full = limits(&[stream("new", 9)]);
        assert!(full.verdict == Verdict::Warn && full.found.ends_with(": S"), "{full:?}");
        let mut lost = stream("old", 1);
        lost["state"]["lost"] = json!({"msgs": [1]});
        assert_eq!(limits(&[lost]).verdict, Verdict::Fail);
    }

    #[test]
    fn a_consumer_that_may_get_no_more_is_named() {
        let consumer = |pending: u64, unacknowledged: u64| {
            json!({"stream_name": "S", "name": "C", "num_pending": pending,
                "num_ack_pending": unacknowledged, "config": {"max_ack_pending": 2}})
        };
        for (pending, unacknowledged, verdict) in
            [(1, 1, Verdict::Ok), (0, 2, Verdict::Ok), (1, 2, Verdict::Warn)]
        {
            assert_eq!(keeping_up(&[consumer(pending, unacknowledged)]).verdict, verdict);
        }
    }
}
