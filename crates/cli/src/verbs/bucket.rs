//! The options that buckets of values and buckets of files have in common.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::exit::Outcome;
use crate::json::int;
use crate::units;
use crate::verbs::stream::{metadata, nanos};

/// What a bucket is; what is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// How long what is stored is kept; 0s for ever
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    ttl: Option<Duration>,
    /// Servers that keep a copy (1)
    #[arg(long, value_name = "N")]
    replicas: Option<u8>,
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
    /// Key and value for people, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
}

impl Common {
    /// Writes what is given into the configuration of the stream behind a bucket (ADR-8, ADR-20).
    pub(super) fn apply(&self, config: &mut Value) -> Outcome {
        for (name, value) in [
            ("max_age", self.ttl.map(nanos)),
            ("num_replicas", self.replicas.map(i64::from)),
            ("max_bytes", self.max_bucket_size),
        ] {
            if let Some(value) = value {
                config[name] = value.into();
            }
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
        if !self.metadata.is_empty() {
            let mut all = config["metadata"].as_object().cloned().unwrap_or_default();
            all.extend(metadata(&self.metadata)?);
            config["metadata"] = all.into();
        }
        Ok(())
    }
}
