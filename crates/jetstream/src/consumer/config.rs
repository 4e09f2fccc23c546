//! A consumer's configuration as clients write and read it (nats-server 2.15.1, ADR-15).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{cannot_unmarshal, duration, durations, int, json_enum, time};

json_enum! {
    /// Where a consumer starts in its stream.
    #[derive(Default)]
    pub enum DeliverPolicy, cannot_unmarshal, {
        /// The first stored message.
        #[default]
        All = "all",
        /// The last stored message that matches.
        Last = "last",
        /// What is stored after the creation.
        New = "new",
        /// The sequence in `opt_start_seq`.
        ByStartSequence = "by_start_sequence",
        /// The first message at or after `opt_start_time`.
        ByStartTime = "by_start_time",
        /// The last message of each matching subject.
        LastPerSubject = "last_per_subject",
        /// Go's zero name; the same as [`DeliverPolicy::All`].
        Undefined = "undefined",
    }
}

json_enum! {
    /// How deliveries are settled.
    #[derive(Default)]
    pub enum AckPolicy, cannot_unmarshal, {
        /// Delivered is settled.
        #[default]
        None = "none",
        /// An ack settles everything up to its message.
        All = "all",
        /// Each message is settled by itself.
        Explicit = "explicit",
        /// Flow-control answers settle everything up to what they name (mirrors and sources since 2.14).
        FlowControl = "flow_control",
    }
}

json_enum! {
    /// The pace of deliveries.
    #[derive(Default)]
    pub enum ReplayPolicy, cannot_unmarshal, {
        /// As fast as the client takes them.
        #[default]
        Instant = "instant",
        /// With the gaps that the messages were stored with.
        Original = "original",
    }
}

json_enum! {
    /// How pull requests of a group compete (ADR-42).
    #[derive(Default)]
    pub enum PriorityPolicy, unknown_priority, {
        /// They do not.
        #[default]
        None = "none",
        /// Requests with thresholds.
        Overflow = "overflow",
        /// One client at a time.
        PinnedClient = "pinned_client",
        /// Lower numbers first.
        Prioritized = "prioritized",
    }
}

fn unknown_priority(raw: &str) -> String {
    format!("unknown priority policy: {raw}")
}

json_enum! {
    /// What a create request may do.
    #[derive(Default)]
    pub enum Action, unknown_action, {
        /// Create, or update what exists.
        #[default]
        CreateOrUpdate = "",
        /// Fail when it exists with another configuration (10148).
        Create = "create",
        /// Fail when it does not exist (10149).
        Update = "update",
    }
}

fn unknown_action(raw: &str) -> String {
    format!("unknown consumer action: {raw}")
}

/// The body of a request to create or update a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename = "CreateConsumerRequest")]
pub struct CreateRequest {
    /// The stream, which must be the one in the subject.
    pub stream_name: String,
    /// The wanted configuration.
    pub config: Config,
    /// What the request may do.
    pub action: Action,
    /// Refuse whatever would be corrected silently (10157).
    pub pedantic: bool,
}

/// A consumer's configuration. Field order is that of the reference's JSON; fields with their zero
/// value are omitted unless the reference always shows them. Durations are nanoseconds, times
/// nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename = "ConsumerConfig")]
pub struct Config {
    /// The name of a consumer that survives the loss of interest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub durable_name: String,
    /// The name; empty when the server made it up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text, at most 4096 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it starts.
    pub deliver_policy: DeliverPolicy,
    /// The start of [`DeliverPolicy::ByStartSequence`].
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub opt_start_seq: u64,
    /// The start of [`DeliverPolicy::ByStartTime`].
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<i64>,
    /// How deliveries are settled.
    pub ack_policy: AckPolicy,
    /// After how long an unsettled message is delivered again.
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub ack_wait: i64,
    /// Deliveries per message; -1 unlimited.
    #[serde(with = "int", skip_serializing_if = "is_zero")]
    pub max_deliver: i64,
    /// Ack waits by number of deliveries; the last repeats.
    #[serde(with = "durations", skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<i64>,
    /// Deliver only what matches.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Deliver only what matches one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// The pace.
    pub replay_policy: ReplayPolicy,
    /// Bits per second at most; push only.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub rate_limit_bps: u64,
    /// Percent of acks for which a metric is published: `100`, `50%`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sample_freq: String,
    /// Pull requests that may wait.
    #[serde(with = "int", skip_serializing_if = "is_zero")]
    pub max_waiting: i64,
    /// Unsettled messages at which new deliveries stop; -1 unlimited.
    #[serde(with = "int", skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    /// Ask the subscriber to confirm what it took; push only.
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    /// Deliver `Nats-Msg-Size` instead of the body.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    /// The largest batch of a pull request.
    #[serde(with = "int", skip_serializing_if = "is_zero")]
    pub max_batch: i64,
    /// The longest life of a pull request.
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub max_expires: i64,
    /// The largest `max_bytes` of a pull request.
    #[serde(with = "int", skip_serializing_if = "is_zero")]
    pub max_bytes: i64,
    /// Where deliveries go; empty means pull.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
    /// The queue group that counts as interest and shares the deliveries.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_group: String,
    /// A sign of life after this long without a message; push only.
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub idle_heartbeat: i64,
    /// Remove the consumer after this long without interest.
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    /// 0 stands for the stream's.
    #[serde(with = "int")]
    pub num_replicas: i64,
    /// Keep the state in memory only.
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    /// Made by a mirror or source of another stream; not counted and not listed.
    #[serde(skip_serializing_if = "is_false")]
    pub direct: bool,
    /// Made by a mirror or source of 2.14 or newer.
    #[serde(skip_serializing_if = "is_false")]
    pub sourcing: bool,
    /// Free pairs, at most 128 KiB together.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// No deliveries before this time.
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<i64>,
    /// The groups that pull requests may name; the state of the first is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
    /// How requests of a group compete.
    #[serde(skip_serializing_if = "is_no_priority")]
    pub priority_policy: PriorityPolicy,
    /// For how long a pinned client may ask for nothing.
    #[serde(with = "duration", skip_serializing_if = "is_zero")]
    pub priority_timeout: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_no_priority(value: &PriorityPolicy) -> bool {
    *value == PriorityPolicy::None
}

/// Metadata keys the server writes; the first is stored, the others are shown only.
pub(crate) const REQUIRED_LEVEL: &str = "_nats.req.level";
const SERVER_LEVEL: &str = "_nats.level";
const SERVER_VERSION: &str = "_nats.ver";

impl Config {
    /// True when messages wait for requests.
    pub fn is_pull(&self) -> bool {
        self.deliver_subject.is_empty()
    }

    /// True when it survives the loss of interest by default.
    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// True when it survives the process, in a stream that does. One that a mirror or a source asked for
    /// is asked for again.
    pub(crate) fn is_kept(&self) -> bool {
        !self.mem_storage && !self.direct
    }

    /// All filters; none means every message.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let single = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        single.into_iter().chain(self.filter_subjects.iter().map(String::as_str))
    }

    /// The API level a server must have to run it (ADR-44).
    pub fn required_level(&self) -> u32 {
        if self.ack_policy == AckPolicy::FlowControl {
            4
        } else if self.pause_until.is_some()
            || self.priority_policy != PriorityPolicy::None
            || !self.priority_groups.is_empty()
        {
            1
        } else {
            0
        }
    }

    /// Replaces what clients may not say about levels: `_nats.req.level` is the configuration's,
    /// the server's own level and version are never stored.
    pub fn stamp_level(&mut self) {
        self.metadata.remove(SERVER_LEVEL);
        self.metadata.remove(SERVER_VERSION);
        self.metadata.insert(REQUIRED_LEVEL.to_owned(), self.required_level().to_string());
    }

    /// What create, update and info answers show: the stored configuration with the server's API
    /// `level` and `version`. Lists show the stored one.
    #[must_use]
    pub fn shown(&self, level: u32, version: &str) -> Config {
        let mut shown = self.clone();
        shown.metadata.insert(SERVER_LEVEL.to_owned(), level.to_string());
        shown.metadata.insert(SERVER_VERSION.to_owned(), version.to_owned());
        shown
    }

    /// Equal but for what the server writes into the metadata.
    pub fn same_as(&self, other: &Config) -> bool {
        let strip = |config: &Config| {
            let mut config = config.clone();
            config.metadata.retain(|key, _| !key.starts_with("_nats."));
            config
        };
        strip(self) == strip(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    /// What nats-server 2.15.1 echoed for a consumer that sets every field it keeps.
    const FULL: &str = r#"{"durable_name":"a","name":"a","description":"d","deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":5,"backoff":[1000000000,2000000000],"filter_subjects":["s.a","s.b"],"replay_policy":"original","sample_freq":"50%","max_waiting":9,"max_ack_pending":3,"headers_only":true,"max_batch":3,"max_expires":1000000000,"max_bytes":99,"inactive_threshold":9000000000,"num_replicas":1,"mem_storage":true,"metadata":{"_nats.level":"5","_nats.req.level":"1","_nats.ver":"2.15.1","a":"2","z":"1"},"pause_until":"2030-01-01T00:00:00Z"}"#;

    /// And for a push consumer.
    const PUSH: &str = r#"{"name":"b","deliver_policy":"by_start_sequence","opt_start_seq":3,"ack_policy":"none","max_deliver":-1,"replay_policy":"instant","rate_limit_bps":1000,"flow_control":true,"deliver_subject":"x.y","deliver_group":"g","idle_heartbeat":1000000000,"inactive_threshold":5000000000,"num_replicas":0,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}}"#;

    #[test]
    fn the_echo_has_the_keys_of_the_reference_in_its_order() {
        for text in [FULL, PUSH] {
            let mut config: Config = decode(text.as_bytes(), true).unwrap();
            config.stamp_level();
            assert!(!config.metadata.contains_key(SERVER_VERSION));
            let shown = serde_json::to_string(&config.shown(5, "2.15.1")).unwrap();
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn the_words_of_the_decoder_are_those_of_the_reference() {
        for (config, expected) in [
            (r#"{"deliver_policy":"foo"}"#, r#"can not unmarshal "\"foo\"""#),
            (r#"{"foo":1}"#, r#"json: unknown field "foo""#),
            (r#"{"priority_policy":"foo"}"#, r#"unknown priority policy: "foo""#),
            (
                r#"{"max_deliver":"x"}"#,
                "json: cannot unmarshal string into Go struct field CreateConsumerRequest.config.max_deliver of type int",
            ),
            (
                r#"{"opt_start_time":"x"}"#,
                r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
            ),
        ] {
            let body = format!(r#"{{"stream_name":"S","config":{config}}}"#);
            let error = decode::<CreateRequest>(body.as_bytes(), true).unwrap_err();
            assert_eq!(error.to_string(), expected, "{config}");
        }
        let error = decode::<CreateRequest>(br#"{"action":"zz"}"#, true).unwrap_err();
        assert_eq!(error.to_string(), r#"unknown consumer action: "zz""#);
    }

    #[test]
    fn levels_do_not_make_configurations_different() {
        let mut one: Config = decode(PUSH.as_bytes(), true).unwrap();
        let two = one.clone();
        one.metadata.clear();
        assert!(one.same_as(&two));
        one.description = "x".into();
        assert!(!one.same_as(&two));
    }
}
