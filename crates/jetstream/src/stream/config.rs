//! What a client configures of a stream (ADR-8, ADR-20, ADR-43 build on it).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{cannot_unmarshal, duration, int, json_enum, time};

json_enum! {
    /// When messages are removed.
    pub enum Retention, cannot_unmarshal, {
        /// Only by limits, deletes, purges and TTLs.
        Limits = "limits",
        /// When every interested consumer acknowledged.
        Interest = "interest",
        /// When one consumer acknowledged.
        Workqueue = "workqueue",
    }
}

json_enum! {
    /// Where messages are stored.
    pub enum Storage, cannot_unmarshal, {
        /// On disk.
        File = "file",
        /// In memory; gone after a restart.
        Memory = "memory",
    }
}

json_enum! {
    /// How stored messages are packed on disk.
    pub enum Compression, unknown_compression, {
        /// Not at all.
        None = "none",
        /// S2 blocks. Accepted and shown; messages are stored as they are (D-0019).
        S2 = "s2",
    }
}

fn unknown_compression(_: &str) -> &'static str {
    "unknown compression algorithm"
}

json_enum! {
    /// When a publish is acknowledged relative to storing. A stream keeps what it was created with.
    pub enum PersistMode, cannot_unmarshal, {
        /// After the server's sync policy is met.
        Default = "default" | "",
        /// When it is written, before it is synced.
        Async = "async",
    }
}

/// What happens when a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    /// The oldest messages go.
    Old,
    /// The new message is refused.
    New,
}

// The reference reads this one in any letter case.
impl<'de> Deserialize<'de> for Discard {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = crate::json::with::raw(deserializer)?;
        match raw.to_ascii_lowercase().as_str() {
            "\"old\"" => Ok(Self::Old),
            "\"new\"" => Ok(Self::New),
            _ => Err(serde::de::Error::custom(cannot_unmarshal(&raw))),
        }
    }
}

/// A stream's configuration. Field names and order are those of the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename = "StreamConfigRequest")]
#[allow(missing_docs, reason = "the fields are the API's; ADRs describe them")]
pub struct Config {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    pub retention: Retention,
    #[serde(with = "int")]
    pub max_consumers: i64,
    pub max_msgs: i64,
    pub max_bytes: i64,
    #[serde(with = "duration")]
    pub max_age: i64,
    pub max_msgs_per_subject: i64,
    pub max_msg_size: i32,
    pub discard: Discard,
    pub storage: Storage,
    #[serde(with = "int")]
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub duplicate_window: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Source>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    pub compression: Compression,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub first_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<Transform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    pub allow_direct: bool,
    pub mirror_direct: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    pub sealed: bool,
    pub deny_delete: bool,
    pub deny_purge: bool,
    pub allow_rollup_hdrs: bool,
    pub consumer_limits: ConsumerLimits,
    pub allow_msg_ttl: bool,
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub subject_delete_marker_ttl: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_counter: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_atomic: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_schedules: bool,
    #[serde(skip_serializing_if = "is_default_mode")]
    pub persist_mode: PersistMode,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_batched: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Part of the request, not of the configuration: corrections become errors.
    #[serde(skip_serializing)]
    pub pedantic: bool,
}

/// What a consumer of the stream may ask for at most, and gets when it asks for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename = "StreamConsumerLimits")]
pub struct ConsumerLimits {
    /// Nanoseconds; 0 is unlimited.
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    /// Messages; 0 is unlimited.
    #[serde(with = "int", skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
}

/// Where a cluster should put the stream; stored and shown unchanged on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct Placement {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred: String,
}

/// Where a mirror or a source takes its messages from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename = "StreamSource")]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct Source {
    pub name: String,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub opt_start_seq: u64,
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<Transform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<SourceConsumer>,
}

/// The API prefix of a stream in another account or domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename = "ExternalStream")]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct External {
    pub api: String,
    pub deliver: String,
}

/// A durable consumer that an operator made for a mirror or source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename = "StreamConsumerSource")]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct SourceConsumer {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
}

/// A subject mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename = "SubjectTransformConfig")]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct Transform {
    pub src: String,
    pub dest: String,
}

/// Where stored messages are published again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename = "RePublish")]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct Republish {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub src: String,
    pub dest: String,
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            subjects: Vec::new(),
            retention: Retention::Limits,
            max_consumers: 0,
            max_msgs: 0,
            max_bytes: 0,
            max_age: 0,
            max_msgs_per_subject: 0,
            max_msg_size: 0,
            discard: Discard::Old,
            storage: Storage::File,
            num_replicas: 0,
            no_ack: false,
            duplicate_window: 0,
            placement: None,
            mirror: None,
            sources: Vec::new(),
            compression: Compression::None,
            first_seq: 0,
            subject_transform: None,
            republish: None,
            allow_direct: false,
            mirror_direct: false,
            discard_new_per_subject: false,
            sealed: false,
            deny_delete: false,
            deny_purge: false,
            allow_rollup_hdrs: false,
            consumer_limits: ConsumerLimits::default(),
            allow_msg_ttl: false,
            subject_delete_marker_ttl: 0,
            allow_msg_counter: false,
            allow_atomic: false,
            allow_msg_schedules: false,
            persist_mode: PersistMode::Default,
            allow_batched: false,
            metadata: BTreeMap::new(),
            pedantic: false,
        }
    }
}

impl Config {
    /// The API level that a server needs to serve this configuration (ADR-44).
    pub fn required_level(&self) -> u64 {
        let mut level = 0;
        if self.allow_msg_ttl || self.subject_delete_marker_ttl > 0 {
            level = 1;
        }
        if self.allow_msg_counter
            || self.allow_atomic
            || self.allow_msg_schedules
            || self.persist_mode == PersistMode::Async
        {
            level = 2;
        }
        let sourced = self.mirror.iter().chain(&self.sources);
        if self.allow_batched || sourced.into_iter().any(|source| source.consumer.is_some()) {
            level = 4;
        }
        level
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

fn is_default_mode(mode: &PersistMode) -> bool {
    *mode == PersistMode::Default
}
