//! The options that say what a bucket is: of `kv add` and `edit`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::exit::Outcome;
use crate::units;
use crate::verbs::bucket::Common;
use crate::verbs::stream::nanos;

/// What a bucket is; what is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// Changes that are kept of each key, 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    history: Option<u8>,
    /// Allow values with a time to live, and show for this long that they expired
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    marker_ttl: Option<Duration>,
    /// Most bytes of one value; -1 is no limit
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_value_size: Option<i64>,
    /// Subjects whose changes are published again when they are stored
    #[arg(long, value_name = "SUBJECT", requires = "republish_destination")]
    republish_source: Option<String>,
    /// Where they are published
    #[arg(long, value_name = "SUBJECT", requires = "republish_source")]
    republish_destination: Option<String>,
    /// Publish headers only
    #[arg(long, requires = "republish_source")]
    republish_headers: bool,
    /// Also take the keys of another bucket, may be given several times
    #[arg(long, value_name = "BUCKET")]
    source: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Fields {
    /// Writes what is given into the configuration of the stream behind a bucket (ADR-8).
    pub(super) fn apply(&self, bucket: &str, config: &mut Value) -> Outcome {
        for (name, value) in [
            ("max_msgs_per_subject", self.history.map(i64::from)),
            ("max_msg_size", self.max_value_size),
            ("subject_delete_marker_ttl", self.marker_ttl.map(nanos)),
        ] {
            if let Some(value) = value {
                config[name] = value.into();
            }
        }
        if self.marker_ttl.is_some() {
            config["allow_msg_ttl"] = true.into();
        }
        if let (Some(src), Some(dest)) = (&self.republish_source, &self.republish_destination) {
            config["republish"] = json!({ "src": src, "dest": dest });
            if self.republish_headers {
                config["republish"]["headers_only"] = true.into();
            }
        }
        if !self.source.is_empty() {
            let source = |from: &String| {
                let from = crate::json::bucket_name(from, "KV_");
                json!({
                    "name": format!("KV_{from}"),
                    "subject_transforms":
                        [{ "src": format!("$KV.{from}.>"), "dest": format!("$KV.{bucket}.>") }],
                })
            };
            config["sources"] = self.source.iter().map(source).collect::<Vec<Value>>().into();
        }
        self.common.apply(config)
    }
}
