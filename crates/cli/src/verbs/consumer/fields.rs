//! The options that say what a consumer is: of `consumer add`, `edit` and `copy`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::exit::{Failure, Outcome};
use crate::units;
use crate::verbs::stream::{metadata, nanos};

/// Fields of a consumer's configuration; what is not given stays as it is.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct Fields {
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only these subjects, separated by commas or given several times; "" takes filters away
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    filter: Vec<String>,
    /// What has to be acknowledged (explicit)
    #[arg(long, value_name = "POLICY")]
    ack: Option<Ack>,
    /// How long an ack is waited for (30s)
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    wait: Option<Duration>,
    /// How often a message is delivered at most; -1 is no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_deliver: Option<i64>,
    /// Messages that may wait for an ack at once
    #[arg(
        long,
        visible_alias = "max-outstanding",
        value_name = "N",
        allow_negative_numbers = true
    )]
    max_pending: Option<i64>,
    /// Waits between deliveries: linear, none, or a list such as 1s,10s,1m
    #[arg(long, value_name = "MODE")]
    backoff: Option<String>,
    /// linear: how many waits
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    backoff_steps: u32,
    /// linear: the shortest wait
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = units::parse_duration)]
    backoff_min: Duration,
    /// linear: the longest wait
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = units::parse_duration)]
    backoff_max: Duration,
    /// Share of acks that are reported, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    sample: Option<u8>,
    /// Most bits a second of a push consumer
    #[arg(long, value_name = "BITS")]
    bps: Option<u64>,
    /// Where a push consumer delivers
    #[arg(long, value_name = "SUBJECT")]
    target: Option<String>,
    /// How long nobody may want it before it is removed
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    inactive_threshold: Option<Duration>,
    /// Deliver headers, no bodies
    #[arg(long, overrides_with = "no_headers_only")]
    headers_only: bool,
    /// Deliver bodies, too
    #[arg(long)]
    no_headers_only: bool,
    /// Most messages of one pull request
    #[arg(long, value_name = "N")]
    max_pull_batch: Option<i64>,
    /// Longest wait of one pull request
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    max_pull_expire: Option<Duration>,
    /// Most bytes of one pull request
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    max_pull_bytes: Option<i64>,
    /// Servers that keep a copy; the stream's if it is not given
    #[arg(long, value_name = "N")]
    replicas: Option<u8>,
    /// Key and value for people, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ack {
    None,
    All,
    Explicit,
}

impl Fields {
    pub(super) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Writes what is given into a configuration.
    pub(super) fn apply(&self, config: &mut Value) -> Outcome {
        for (name, text) in [("description", &self.description), ("deliver_subject", &self.target)]
        {
            if let Some(text) = text {
                config[name] = text.as_str().into();
            }
        }
        if let Some(ack) = self.ack {
            config["ack_policy"] = match ack {
                Ack::None => "none",
                Ack::All => "all",
                Ack::Explicit => "explicit",
            }
            .into();
        }
        for (name, value) in [
            ("ack_wait", self.wait.map(nanos)),
            ("max_deliver", self.max_deliver),
            ("max_ack_pending", self.max_pending),
            ("inactive_threshold", self.inactive_threshold.map(nanos)),
            ("max_batch", self.max_pull_batch),
            ("max_expires", self.max_pull_expire.map(nanos)),
            ("max_bytes", self.max_pull_bytes),
            ("num_replicas", self.replicas.map(i64::from)),
        ] {
            if let Some(value) = value {
                config[name] = value.into();
            }
        }
        if let Some(bits) = self.bps {
            config["rate_limit_bps"] = bits.into();
        }
        if let Some(percent) = self.sample {
            config["sample_freq"] = percent.to_string().into();
        }
        if self.headers_only || self.no_headers_only {
            config["headers_only"] = self.headers_only.into();
        }
        if let Some(mode) = &self.backoff {
            let waits: Vec<i64> = self.waits(mode)?.into_iter().map(nanos).collect();
            config["backoff"] = json!(waits);
        }
        self.apply_filters(config);
        if !self.metadata.is_empty() {
            // Beside what the server keeps there under names of its own.
            let mut all = config["metadata"].as_object().cloned().unwrap_or_default();
            all.extend(metadata(&self.metadata)?);
            config["metadata"] = all.into();
        }
        Ok(())
    }

    /// One subject and several stand in different fields.
    fn apply_filters(&self, config: &mut Value) {
        let Some(object) = config.as_object_mut() else { return };
        if self.filter.is_empty() {
            return;
        }
        object.remove("filter_subject");
        object.remove("filter_subjects");
        let filters: Vec<&String> = self.filter.iter().filter(|text| !text.is_empty()).collect();
        match filters.as_slice() {
            [] => {}
            [one] => {
                object.insert("filter_subject".to_owned(), one.as_str().into());
            }
            several => {
                object.insert("filter_subjects".to_owned(), json!(several));
            }
        }
    }

    fn waits(&self, mode: &str) -> Result<Vec<Duration>, Failure> {
        match mode {
            "none" => Ok(Vec::new()),
            "linear" if self.backoff_max > self.backoff_min => {
                let step = (self.backoff_max - self.backoff_min) / self.backoff_steps;
                Ok((0..self.backoff_steps).map(|at| self.backoff_min + step * at).collect())
            }
            "linear" => Err(Failure::usage("--backoff-max must be longer than --backoff-min")),
            list => list
                .split(',')
                .map(|wait| units::parse_duration(wait).map_err(Failure::usage))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_linear_or_listed() {
        let fields = Fields {
            backoff_steps: 4,
            backoff_min: Duration::from_secs(60),
            backoff_max: Duration::from_secs(100),
            ..Fields::default()
        };
        let seconds = |mode: &str| {
            let waits = fields.waits(mode).map_err(|failure| failure.message)?;
            Ok::<Vec<u64>, String>(waits.iter().map(Duration::as_secs).collect())
        };
        assert_eq!(seconds("linear").unwrap(), [60, 70, 80, 90]);
        assert_eq!(seconds("1s,5s,1m").unwrap(), [1, 5, 60]);
        assert!(seconds("none").unwrap().is_empty());
        assert!(seconds("soon").is_err());
    }

    #[test]
    fn filters_stand_in_the_field_of_their_number() {
        let with = |filters: &[&str]| {
            let filter = filters.iter().map(|text| (*text).to_owned()).collect();
            let mut config = json!({ "filter_subject": "old" });
            Fields { filter, ..Fields::default() }.apply(&mut config).unwrap();
            config
        };
        assert_eq!(with(&[]), json!({ "filter_subject": "old" }));
        assert_eq!(with(&["a"]), json!({ "filter_subject": "a" }));
        assert_eq!(with(&["a", "b"]), json!({ "filter_subjects": ["a", "b"] }));
        assert_eq!(with(&[""]), json!({}));
    }
}
