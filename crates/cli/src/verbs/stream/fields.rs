//! The options that say what a stream is: of `stream add`, `edit` and `copy`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::exit::{Failure, Outcome};
use crate::units;

/// Fields of a stream's configuration; what is not given stays as it is.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Fields {
    /// Subjects to listen on, separated by commas or given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    subjects: Vec<String>,
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// When messages are removed (limits)
    #[arg(long)]
    retention: Option<Retention>,
    /// What makes room when a limit is reached (old)
    #[arg(long)]
    discard: Option<Discard>,
    /// Refuse new messages also for --max-msgs-per-subject; needs --discard new
    #[arg(long, overrides_with = "no_discard_per_subject")]
    discard_per_subject: bool,
    /// Drop the oldest of a subject instead
    #[arg(long)]
    no_discard_per_subject: bool,
    /// Most messages; -1 is no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_msgs: Option<i64>,
    /// Most messages of one subject
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_msgs_per_subject: Option<i64>,
    /// Most bytes
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_bytes: Option<i64>,
    /// Age at which messages are removed; 0s is never
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    max_age: Option<Duration>,
    /// Most bytes of one message
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_msg_size: Option<i64>,
    /// Most consumers
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_consumers: Option<i64>,
    /// Servers that keep a copy (1)
    #[arg(long, value_name = "N")]
    replicas: Option<u8>,
    /// Only servers with this tag, may be given several times
    #[arg(long, visible_alias = "tags", value_name = "TAG")]
    tag: Vec<String>,
    /// Only servers of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// How long message ids are remembered (2m)
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    dupe_window: Option<Duration>,
    /// How messages are compressed
    #[arg(long, value_name = "NAME", value_parser = ["none", "s2"])]
    compression: Option<String>,
    #[command(flatten)]
    switches: Switches,
    /// How long marks of expired messages stay
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    subject_del_markers_ttl: Option<Duration>,
    /// Hold what another stream holds
    #[arg(long, value_name = "STREAM", conflicts_with = "no_mirror")]
    mirror: Option<String>,
    /// Become a stream of its own
    #[arg(long)]
    no_mirror: bool,
    /// Also take what another stream takes, may be given several times
    #[arg(long, value_name = "STREAM")]
    source: Vec<String>,
    /// Subjects whose messages are stored under another subject
    #[arg(long, value_name = "SUBJECT", requires = "transform_destination")]
    transform_source: Option<String>,
    /// The other subject
    #[arg(long, value_name = "SUBJECT", requires = "transform_source")]
    transform_destination: Option<String>,
    /// Store messages under their own subjects again
    #[arg(long, conflicts_with = "transform_source")]
    no_transform: bool,
    /// Subjects whose messages are published again when they are stored
    #[arg(long, value_name = "SUBJECT", requires = "republish_destination")]
    republish_source: Option<String>,
    /// Where they are published
    #[arg(long, value_name = "SUBJECT", requires = "republish_source")]
    republish_destination: Option<String>,
    /// Publish headers only
    #[arg(long, requires = "republish_source")]
    republish_headers: bool,
    /// Publish nothing again
    #[arg(long, conflicts_with = "republish_source")]
    no_republish: bool,
    /// Most that consumers may set as their inactive threshold
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    limit_consumer_inactive: Option<Duration>,
    /// Most that consumers may set as their max ack pending
    #[arg(long, value_name = "N")]
    limit_consumer_max_pending: Option<i64>,
    /// Key and value for people, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
}

/// What a stream takes and does, each of which may also be switched off.
#[derive(Debug, Default, Args)]
struct Switches {
    /// Acknowledge what is published (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Do not acknowledge what is published
    #[arg(long)]
    no_ack: bool,
    /// Answer gets without going through the API (the default of `add`)
    #[arg(long, overrides_with = "no_allow_direct")]
    allow_direct: bool,
    /// Answer gets through the API only
    #[arg(long)]
    no_allow_direct: bool,
    /// Let mirrors answer gets, too
    #[arg(long, overrides_with = "no_allow_mirror_direct")]
    allow_mirror_direct: bool,
    /// Do not let mirrors answer gets
    #[arg(long)]
    no_allow_mirror_direct: bool,
    /// Take messages that replace all before them
    #[arg(long, overrides_with = "no_allow_rollup")]
    allow_rollup: bool,
    /// Refuse messages that replace all before them
    #[arg(long)]
    no_allow_rollup: bool,
    /// Refuse to delete messages
    #[arg(long, overrides_with = "no_deny_delete")]
    deny_delete: bool,
    /// Allow to delete messages
    #[arg(long)]
    no_deny_delete: bool,
    /// Refuse to purge
    #[arg(long, overrides_with = "no_deny_purge")]
    deny_purge: bool,
    /// Allow to purge
    #[arg(long)]
    no_deny_purge: bool,
    /// Take messages with a time to live of their own
    #[arg(long)]
    allow_msg_ttl: bool,
    /// Take batches that are stored as a whole
    #[arg(long, overrides_with = "no_allow_batch")]
    allow_batch: bool,
    /// Refuse batches
    #[arg(long)]
    no_allow_batch: bool,
    /// Take messages that are stored later
    #[arg(long, overrides_with = "no_allow_schedules")]
    allow_schedules: bool,
    /// Refuse messages that are to be stored later
    #[arg(long)]
    no_allow_schedules: bool,
    /// Count instead of storing values
    #[arg(long)]
    allow_counter: bool,
}

impl Switches {
    /// The field, whether it is switched on, whether it is switched off.
    fn fields(&self) -> [(&'static str, bool, bool); 10] {
        [
            ("no_ack", self.no_ack, self.ack),
            ("allow_direct", self.allow_direct, self.no_allow_direct),
            ("mirror_direct", self.allow_mirror_direct, self.no_allow_mirror_direct),
            ("allow_rollup_hdrs", self.allow_rollup, self.no_allow_rollup),
            ("deny_delete", self.deny_delete, self.no_deny_delete),
            ("deny_purge", self.deny_purge, self.no_deny_purge),
            ("allow_msg_ttl", self.allow_msg_ttl, false),
            ("allow_atomic", self.allow_batch, self.no_allow_batch),
            ("allow_msg_schedules", self.allow_schedules, self.no_allow_schedules),
            ("allow_msg_counter", self.allow_counter, false),
        ]
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Retention {
    Limits,
    Interest,
    #[value(aliases = ["work", "workq"])]
    Workqueue,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Discard {
    Old,
    New,
}

/// A duration as JetStream writes it.
pub(crate) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

impl Fields {
    /// Whether they say where messages come from.
    pub(super) fn have_a_source(&self) -> bool {
        !self.subjects.is_empty() || self.mirror.is_some() || !self.source.is_empty()
    }

    /// Writes what is given into a configuration.
    pub(super) fn apply(&self, config: &mut Value) -> Outcome {
        if !self.subjects.is_empty() {
            config["subjects"] = json!(self.subjects);
        }
        for (name, text) in [("description", &self.description), ("compression", &self.compression)]
        {
            if let Some(text) = text {
                config[name] = text.as_str().into();
            }
        }
        if let Some(retention) = self.retention {
            config["retention"] = match retention {
                Retention::Limits => "limits",
                Retention::Interest => "interest",
                Retention::Workqueue => "workqueue",
            }
            .into();
        }
        if let Some(discard) = self.discard {
            config["discard"] = match discard {
                Discard::Old => "old",
                Discard::New => "new",
            }
            .into();
        }
        for (name, value) in [
            ("max_msgs", self.max_msgs),
            ("max_msgs_per_subject", self.max_msgs_per_subject),
            ("max_bytes", self.max_bytes),
            ("max_msg_size", self.max_msg_size),
            ("max_consumers", self.max_consumers),
            ("num_replicas", self.replicas.map(i64::from)),
            ("max_age", self.max_age.map(nanos)),
            ("duplicate_window", self.dupe_window.map(nanos)),
            ("subject_delete_marker_ttl", self.subject_del_markers_ttl.map(nanos)),
        ] {
            if let Some(value) = value {
                config[name] = value.into();
            }
        }
        let per_subject =
            ("discard_new_per_subject", self.discard_per_subject, self.no_discard_per_subject);
        for (name, on, off) in self.switches.fields().into_iter().chain([per_subject]) {
            if on || off {
                config[name] = on.into();
            }
        }
        self.apply_places(config);
        if !self.metadata.is_empty() {
            // Beside what the server keeps there under names of its own.
            let mut all = config["metadata"].as_object().cloned().unwrap_or_default();
            all.extend(metadata(&self.metadata)?);
            config["metadata"] = all.into();
        }
        Ok(())
    }

    /// Where messages come from, are kept and go to.
    fn apply_places(&self, config: &mut Value) {
        if let Some(name) = &self.mirror {
            config["mirror"] = json!({ "name": name });
        }
        if !self.source.is_empty() {
            let sources: Vec<Value> =
                self.source.iter().map(|name| json!({ "name": name })).collect();
            config["sources"] = sources.into();
        }
        if let (Some(src), Some(dest)) = (&self.transform_source, &self.transform_destination) {
            config["subject_transform"] = json!({ "src": src, "dest": dest });
        }
        if let (Some(src), Some(dest)) = (&self.republish_source, &self.republish_destination) {
            config["republish"] = json!({ "src": src, "dest": dest });
            if self.republish_headers {
                config["republish"]["headers_only"] = true.into();
            }
        }
        for (name, off) in [
            ("mirror", self.no_mirror),
            ("subject_transform", self.no_transform),
            ("republish", self.no_republish),
        ] {
            if off && let Some(config) = config.as_object_mut() {
                config.remove(name);
            }
        }
        if !self.tag.is_empty() {
            config["placement"]["tags"] = json!(self.tag);
        }
        if let Some(cluster) = &self.cluster {
            config["placement"]["cluster"] = cluster.as_str().into();
        }
        if let Some(span) = self.limit_consumer_inactive {
            config["consumer_limits"]["inactive_threshold"] = nanos(span).into();
        }
        if let Some(count) = self.limit_consumer_max_pending {
            config["consumer_limits"]["max_ack_pending"] = count.into();
        }
    }
}

/// `Key:Value` pairs as an object; the `nats` tool also takes `Key=Value`.
pub(crate) fn metadata(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    let pair = |pair: &String| match pair.split_once([':', '=']) {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().into())),
        None => Err(Failure::usage(format!("metadata `{pair}` is not of the form Key:Value"))),
    };
    pairs.iter().map(pair).collect()
}
