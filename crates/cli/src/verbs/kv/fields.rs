//! The options that say what a bucket is: of `kv add` and `edit`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::exit::Outcome;
use crate::json::int;
use crate::units;
use crate::verbs::stream::{metadata, nanos};

/// What a bucket is; what is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// Changes that are kept of each key, 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    history: Option<u8>,
    /// How long a value is kept; 0s for ever
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    ttl: Option<Duration>,
    /// Allow values with a time to live, and show for this long that they expired
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    marker_ttl: Option<Duration>,
    /// Servers that keep a copy (1)
    #[arg(long, value_name = "N")]
    replicas: Option<u8>,
    /// Most bytes of one value; -1 is no limit
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_value_size: Option<i64>,
    /// Most bytes of the bucket; -1 is no limit
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_bucket_size: Option<i64>,
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Compress what is stored
    #[arg(long, overrides_with = "no_compress")]
    compress: bool,
    /// Store it as it is
    #[arg(long)]
    no_compress: bool,
    /// Only servers with this tag, may be given several times
    #[arg(long, visible_alias = "tags", value_name = "TAG")]
    tag: Vec<String>,
    /// Only servers of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
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
    /// Key and value for people, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
}

impl Fields {
    /// Writes what is given into the configuration of the stream behind a bucket (ADR-8).
    pub(super) fn apply(&self, bucket: &str, config: &mut Value) -> Outcome {
        for (name, value) in [
            ("max_msgs_per_subject", self.history.map(i64::from)),
            ("max_age", self.ttl.map(nanos)),
            ("num_replicas", self.replicas.map(i64::from)),
            ("max_msg_size", self.max_value_size),
            ("max_bytes", self.max_bucket_size),
            ("subject_delete_marker_ttl", self.marker_ttl.map(nanos)),
        ] {
            if let Some(value) = value {
                config[name] = value.into();
            }
        }
        if self.marker_ttl.is_some() {
            config["allow_msg_ttl"] = true.into();
        }
        // The window for duplicates must not exceed the age of messages.
        let (age, window) = (int(config, "/max_age"), int(config, "/duplicate_window"));
        if age > 0 && window > age {
            config["duplicate_window"] = age.into();
        }
        if let Some(text) = &self.description {
            config["description"] = text.as_str().into();
        }
        if self.compress || self.no_compress {
            config["compression"] = if self.compress { "s2" } else { "none" }.into();
        }
        if !self.tag.is_empty() {
            config["placement"]["tags"] = json!(self.tag);
        }
        if let Some(cluster) = &self.cluster {
            config["placement"]["cluster"] = cluster.as_str().into();
        }
        if let (Some(src), Some(dest)) = (&self.republish_source, &self.republish_destination) {
            config["republish"] = json!({ "src": src, "dest": dest });
            if self.republish_headers {
                config["republish"]["headers_only"] = true.into();
            }
        }
        if !self.source.is_empty() {
            let source = |from: &String| {
                let from = from.trim_start_matches("KV_");
                json!({
                    "name": format!("KV_{from}"),
                    "subject_transforms":
                        [{ "src": format!("$KV.{from}.>"), "dest": format!("$KV.{bucket}.>") }],
                })
            };
            config["sources"] = self.source.iter().map(source).collect::<Vec<Value>>().into();
        }
        if !self.metadata.is_empty() {
            let mut all = config["metadata"].as_object().cloned().unwrap_or_default();
            all.extend(metadata(&self.metadata)?);
            config["metadata"] = all.into();
        }
        Ok(())
    }
}
