//! `PROFILEZ`: profiles of Go's runtime, which a server that is none of Go's does not have.
//!
//! A request is answered as nats-server answers one for a profile that it does not know, so that clients
//! show the reason instead of writing a file that no tool can read. What Go tells as text about its
//! goroutines is told of threads and tasks.

use std::time::Duration;

use data_encoding::BASE64;
use natterjack_config::duration;
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::monitor;

/// The longest time that nats-server watches its CPU.
const LONGEST: i64 = 15_000_000_000;

pub(super) fn profile(hub: &Hub, wanted: &Value) -> Value {
    let name = wanted["name"].as_str().unwrap_or_default();
    let length = wanted["duration"].as_i64().unwrap_or(0);
    let is_text = wanted["debug"].as_i64().unwrap_or(0) > 0;
    let refused = |error: String| json!({"profile": null, "error": error});
    match name {
        "" => refused("Profile name not specified".into()),
        "goroutine" if is_text => {
            json!({"profile": BASE64.encode(monitor::stacks(hub).as_bytes()), "error": ""})
        }
        "cpu" if length <= 0 || length > LONGEST => {
            let sign = if length < 0 { "-" } else { "" };
            let shown = duration::format(Duration::from_nanos(length.unsigned_abs()));
            refused(format!("Duration {sign}{shown} should be between 0s and 15s"))
        }
        "cpu" => refused(
            "Failed to start CPU profile: this server is not written in Go; use perf".into(),
        ),
        _ => refused(format!("Profile {name:?} not found")),
    }
}
