//! Filling in defaults and refusing what breaks a rule (jetstream.md 3.1, 3.2; nats-server 2.15.1).

use natterjack_subject::{is_valid_literal, is_valid_subscription, overlaps};

use super::config::{AckPolicy, Config, CreateRequest, DeliverPolicy, PriorityPolicy};
use crate::error::ApiError;
use crate::time::go_duration;

/// What a configuration is checked against. 0 and negative limits mean unlimited.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// The stream's subjects, which a deliver subject must not overlap.
    pub stream_subjects: &'a [String],
    /// The stream's `consumer_limits.inactive_threshold`, nanoseconds.
    pub inactive_threshold: i64,
    /// The stream's `consumer_limits.max_ack_pending`.
    pub stream_max_ack_pending: i64,
    /// The account's or the server's `max_ack_pending`.
    pub max_ack_pending: i64,
    /// The server's `max_request_batch`.
    pub max_request_batch: i64,
    /// The stream is a work queue.
    pub queue: bool,
}

const MAX_NAME: usize = 255;
const MAX_DESCRIPTION: usize = 4096;
const MAX_METADATA: usize = 128 * 1024;
const DEFAULT_ACK_WAIT: i64 = 30_000_000_000;
const DEFAULT_MAX_ACK_PENDING: i64 = 1000;
const DEFAULT_MAX_WAITING: i64 = 512;
const DEFAULT_INACTIVE: i64 = 5_000_000_000;
const MIN_HEARTBEAT: i64 = 100_000_000;
const MIN_EXPIRES: i64 = 1_000_000;

/// Which create subject a request came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateSubject<'a> {
    /// `CONSUMER.CREATE.<stream>`: the name is the body's, or the caller makes one up.
    Legacy,
    /// `CONSUMER.CREATE.<stream>.<consumer>` with the filter that may follow.
    Named {
        /// The consumer token.
        consumer: &'a str,
        /// What follows it.
        filter: Option<&'a str>,
    },
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    Durable {
        /// The consumer token.
        consumer: &'a str,
    },
}

/// Checks a request's names against its subject and writes the name that counts into the
/// configuration. Empty means that the caller makes up 8 random characters and keeps `name` absent
/// from the configuration.
///
/// # Errors
/// 10056, 10017, 10018, 10020, 10102, 10127, 10131, 10132, 10137, and 10052 for a bad name.
pub fn resolve_name(
    request: &mut CreateRequest,
    stream: &str,
    subject: CreateSubject<'_>,
) -> Result<(), ApiError> {
    if request.stream_name != stream {
        return Err(ApiError::StreamMismatch);
    }
    let config = &mut request.config;
    match subject {
        CreateSubject::Legacy => {
            if !config.durable_name.is_empty() {
                return Err(ApiError::ConsumerEphemeralWithDurableName);
            }
        }
        CreateSubject::Durable { consumer } => {
            if config.durable_name.is_empty() {
                return Err(ApiError::ConsumerDurableNameNotSet);
            }
            if config.durable_name != consumer {
                return Err(ApiError::ConsumerDurableNameNotMatchSubject);
            }
            if !config.name.is_empty() && config.name != config.durable_name {
                return Err(ApiError::ConsumerCreateDurableAndNameMismatch);
            }
            config.name = consumer.to_owned();
        }
        CreateSubject::Named { consumer, filter } => {
            if !config.durable_name.is_empty() && config.durable_name != consumer {
                return Err(ApiError::ConsumerDurableNameNotMatchSubject);
            }
            if let Some(filter) = filter {
                if !config.filter_subjects.is_empty() {
                    return Err(ApiError::ConsumerMultipleFiltersNotAllowed);
                }
                if config.filter_subject != filter {
                    return Err(ApiError::ConsumerCreateFilterSubjectMismatch);
                }
            }
            config.name = consumer.to_owned();
        }
    }
    check_name(&config.name)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.len() > MAX_NAME {
        return Err(ApiError::ConsumerNameTooLong { max: MAX_NAME });
    }
    if name.contains(['/', '\\']) {
        return Err(ApiError::ConsumerNameContainsPathSeparators);
    }
    if name.contains(['.', '*', '>']) || name.contains(char::is_whitespace) {
        return Err(ApiError::invalid_config(
            "consumer name can not contain '.', '*', '>', '\\', '/'",
        ));
    }
    Ok(())
}

/// Fills in what was left out and corrects what may be corrected.
///
/// # Errors
/// 10157 with `pedantic` where something would be corrected silently; 10184 for a negative backoff.
pub fn fill_defaults(
    config: &mut Config,
    limits: &Limits<'_>,
    pedantic: bool,
) -> Result<(), ApiError> {
    let correct = |value: &mut i64, to: i64, text: &'static str| {
        if pedantic {
            return Err(ApiError::pedantic(text));
        }
        *value = to;
        Ok(())
    };
    if config.deliver_policy == DeliverPolicy::Undefined {
        config.deliver_policy = DeliverPolicy::All;
    }
    if config.max_deliver == 0 {
        config.max_deliver = -1;
    } else if config.max_deliver < -1 {
        correct(&mut config.max_deliver, -1, "max_deliver must be set to -1")?;
    }
    if config.backoff.iter().any(|wait| *wait < 0) {
        return Err(ApiError::ConsumerBackOffNegative);
    }
    let acked = matches!(config.ack_policy, AckPolicy::All | AckPolicy::Explicit);
    if acked && config.ack_wait == 0 {
        config.ack_wait = DEFAULT_ACK_WAIT;
    }
    if let Some(first) = config.backoff.first().copied()
        && config.ack_wait != first
    {
        let text = "first backoff value has to equal batch AckWait";
        correct(&mut config.ack_wait, first, text)?;
    }
    if config.max_ack_pending < -1 {
        correct(&mut config.max_ack_pending, -1, "max_ack_pending must be set to -1")?;
    }
    if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
        let cap = [limits.stream_max_ack_pending, limits.max_ack_pending]
            .into_iter()
            .find(|limit| *limit > 0);
        config.max_ack_pending = cap.unwrap_or(DEFAULT_MAX_ACK_PENDING);
    }
    if config.max_waiting < 0 {
        correct(&mut config.max_waiting, 0, "max_waiting must not be negative")?;
    }
    if config.max_waiting == 0 && config.is_pull() {
        config.max_waiting = DEFAULT_MAX_WAITING;
    }
    if config.max_batch < 0 {
        correct(&mut config.max_batch, 0, "max_batch must not be negative")?;
    }
    if config.max_batch == 0 && config.is_pull() && limits.max_request_batch > 0 {
        config.max_batch = limits.max_request_batch;
    }
    if config.max_expires < 0 {
        correct(&mut config.max_expires, 0, "max_expires must not be negative")?;
    }
    if config.max_bytes < 0 {
        correct(&mut config.max_bytes, 0, "max_bytes must not be negative")?;
    }
    if config.idle_heartbeat < 0 {
        correct(&mut config.idle_heartbeat, 0, "idle_heartbeat must not be negative")?;
    }
    if config.inactive_threshold < 0 {
        correct(&mut config.inactive_threshold, 0, "inactive_threshold must not be negative")?;
    }
    if config.inactive_threshold == 0 {
        if limits.inactive_threshold > 0 {
            config.inactive_threshold = limits.inactive_threshold;
        } else if !config.is_durable() {
            config.inactive_threshold = DEFAULT_INACTIVE;
        }
    }
    config.stamp_level();
    Ok(())
}

/// Refuses a configuration that breaks a rule. Defaults are filled in already.
///
/// # Errors
/// The numbers of jetstream.md 3.2; 10052 for what is not built yet.
pub fn check(config: &Config, limits: &Limits<'_>) -> Result<(), ApiError> {
    check_text(config)?;
    if config.num_replicas > 1 {
        return Err(ApiError::StreamReplicasNotSupported);
    }
    if config.num_replicas < 0 {
        return Err(ApiError::ReplicasCountCannotBeNegative);
    }
    check_shape(config, limits)?;
    if config.ack_wait < 0 {
        return Err(ApiError::ConsumerAckWaitNegative);
    }
    if config.max_deliver > 0 && config.backoff.len() as u64 > config.max_deliver.unsigned_abs() {
        return Err(ApiError::ConsumerMaxDeliverBackoff);
    }
    check_start(config)?;
    check_filters(config)?;
    sample_percent(&config.sample_freq)?;
    check_limits(config, limits)?;
    check_priority(config)?;
    not_built(config)
}

fn check_text(config: &Config) -> Result<(), ApiError> {
    if config.description.len() > MAX_DESCRIPTION {
        return Err(ApiError::ConsumerDescriptionTooLong { max: MAX_DESCRIPTION });
    }
    let pairs = config.metadata.iter().filter(|(key, _)| !key.starts_with("_nats."));
    if pairs.map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA {
        return Err(ApiError::ConsumerMetadataLength { limit: "128KB".into() });
    }
    Ok(())
}

/// What only one of push and pull may have.
fn check_shape(config: &Config, limits: &Limits<'_>) -> Result<(), ApiError> {
    if config.is_pull() {
        if config.rate_limit_bps > 0 {
            return Err(ApiError::ConsumerPullWithRateLimit);
        }
        if config.idle_heartbeat > 0 {
            return Err(ApiError::ConsumerHbRequiresPush);
        }
        if config.flow_control {
            return Err(ApiError::ConsumerFcRequiresPush);
        }
        if config.direct {
            return Err(ApiError::ConsumerDirectRequiresPush);
        }
        if config.ack_policy == AckPolicy::FlowControl {
            return Err(ApiError::ConsumerAckFcRequiresPush);
        }
        if config.ack_policy == AckPolicy::None && limits.queue {
            return Err(ApiError::ConsumerPullRequiresAck);
        }
        if config.max_expires > 0 && config.max_expires < MIN_EXPIRES {
            return Err(ApiError::ConsumerMaxRequestExpiresTooSmall);
        }
        if limits.max_request_batch > 0 && config.max_batch > limits.max_request_batch {
            let limit = limits.max_request_batch.to_string().into();
            return Err(ApiError::ConsumerMaxRequestBatchExceeded { limit });
        }
        return Ok(());
    }
    let subject = config.deliver_subject.as_bytes();
    if !is_valid_subscription(subject) || subject.iter().any(u8::is_ascii_whitespace) {
        return Err(ApiError::ConsumerInvalidDeliverSubject);
    }
    if !is_valid_literal(subject) {
        return Err(ApiError::ConsumerDeliverToWildcards);
    }
    if limits.stream_subjects.iter().any(|own| overlaps(own.as_bytes(), subject)) {
        return Err(ApiError::ConsumerDeliverCycle);
    }
    if config.max_waiting != 0 {
        return Err(ApiError::ConsumerPushMaxWaiting);
    }
    if config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None {
        return Err(ApiError::ConsumerMaxPendingAckPolicyRequired);
    }
    if config.idle_heartbeat > 0 && config.idle_heartbeat < MIN_HEARTBEAT {
        return Err(ApiError::ConsumerSmallHeartbeat);
    }
    if config.flow_control && config.idle_heartbeat == 0 {
        return Err(ApiError::ConsumerWithFlowControlNeedsHeartbeats);
    }
    if config.direct && config.is_durable() {
        return Err(ApiError::ConsumerDirectRequiresEphemeral);
    }
    Ok(())
}

fn check_start(config: &Config) -> Result<(), ApiError> {
    let policy = match config.deliver_policy {
        DeliverPolicy::All | DeliverPolicy::Undefined => "all",
        DeliverPolicy::Last => "last",
        DeliverPolicy::New => "new",
        DeliverPolicy::ByStartSequence => "by start sequence",
        DeliverPolicy::ByStartTime => "by start time",
        DeliverPolicy::LastPerSubject => "last per subject",
    };
    let refuse = |rest: &str| {
        let err = format!("consumer delivery policy is deliver {policy}, but optional {rest}");
        Err(ApiError::ConsumerInvalidPolicy { err: err.into() })
    };
    let (seq, time) = (config.opt_start_seq > 0, config.opt_start_time.is_some());
    match config.deliver_policy {
        DeliverPolicy::ByStartSequence if !seq => refuse("start sequence is not set"),
        DeliverPolicy::ByStartSequence if time => refuse("start time is also set"),
        DeliverPolicy::ByStartTime if !time => refuse("start time is not set"),
        // The doubled word is the reference's.
        DeliverPolicy::ByStartTime if seq => refuse("start start sequence is also set"),
        DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => Ok(()),
        DeliverPolicy::LastPerSubject if config.filters().next().is_none() => {
            refuse("filter subject is not set")
        }
        _ if seq => refuse("start sequence is also set"),
        _ if time => refuse("start time is also set"),
        _ => Ok(()),
    }
}

fn check_filters(config: &Config) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return Err(ApiError::ConsumerDuplicateFilterSubjects);
    }
    for (index, one) in config.filter_subjects.iter().enumerate() {
        if one.is_empty() {
            return Err(ApiError::ConsumerEmptyFilter);
        }
        let others = &config.filter_subjects[index + 1..];
        if others.iter().any(|other| overlaps(one.as_bytes(), other.as_bytes())) {
            return Err(ApiError::ConsumerOverlappingSubjectFilters);
        }
    }
    if config.filters().any(|filter| !is_valid_subscription(filter.as_bytes())) {
        return Err(ApiError::invalid_config("invalid subject"));
    }
    Ok(())
}

/// The percent of acks to measure, 0 to 100.
pub(crate) fn sample_percent(text: &str) -> Result<u8, ApiError> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    let fail = |err: String| Err(ApiError::ConsumerInvalidSampling { err: err.into() });
    if text.is_empty() {
        return Ok(0);
    }
    match digits.parse::<i64>() {
        Ok(percent) if percent < 0 => fail("<nil>".to_owned()),
        Ok(percent) => Ok(percent.min(100) as u8),
        Err(error) => {
            let reason = match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            fail(format!("strconv.Atoi: parsing {}: {reason}", crate::json::go_quote(digits)))
        }
    }
}

fn check_limits(config: &Config, limits: &Limits<'_>) -> Result<(), ApiError> {
    if limits.inactive_threshold > 0 && config.inactive_threshold > limits.inactive_threshold {
        let limit = go_duration(limits.inactive_threshold).into();
        return Err(ApiError::ConsumerInactiveThresholdExcess { limit });
    }
    for limit in [limits.stream_max_ack_pending, limits.max_ack_pending] {
        if limit > 0 && config.max_ack_pending > limit {
            return Err(ApiError::ConsumerMaxPendingAckExcess { limit: limit.to_string().into() });
        }
    }
    Ok(())
}

/// Whether a priority group may have this name.
pub(crate) fn is_group_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_/=)+".contains(&b);
    name.len() <= 16 && name.bytes().all(known)
}

fn check_priority(config: &Config) -> Result<(), ApiError> {
    let policy = config.priority_policy;
    if policy == PriorityPolicy::None {
        if !config.priority_groups.is_empty() {
            return Err(ApiError::ConsumerPriorityGroupWithPolicyNone);
        }
        if config.priority_timeout != 0 {
            return Err(ApiError::ConsumerPinnedTtlWithoutPriorityPolicyNone);
        }
        return Ok(());
    }
    if !config.is_pull() {
        return Err(ApiError::ConsumerPushWithPriorityGroup);
    }
    if config.priority_groups.is_empty() {
        return Err(ApiError::ConsumerPriorityPolicyWithoutGroup);
    }
    if config.priority_groups.iter().any(String::is_empty) {
        return Err(ApiError::ConsumerEmptyGroupName);
    }
    if !config.priority_groups.iter().all(|group| is_group_name(group)) {
        return Err(ApiError::ConsumerInvalidGroupName);
    }
    Ok(())
}

/// Fields that are known and not served yet are refused, never ignored.
fn not_built(config: &Config) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::FlowControl {
        return Err(ApiError::not_supported("ack_policy flow_control"));
    }
    if config.priority_policy == PriorityPolicy::PinnedClient {
        return Err(ApiError::not_supported("priority_policy"));
    }
    Ok(())
}
