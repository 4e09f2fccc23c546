//! Refusing what breaks a rule (jetstream.md 3.1, 3.2; nats-server 2.15.1).

use natterjack_subject::{is_subset, is_valid_literal, is_valid_subscription, overlaps};

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
    /// The server's `max_ack_pending`.
    pub max_ack_pending: i64,
    /// The account's `max_ack_pending`.
    pub account_max_ack_pending: i64,
    /// The server's `max_request_batch`.
    pub max_request_batch: i64,
    /// The stream is a work queue.
    pub queue: bool,
}

const MAX_NAME: usize = 255;
const MAX_DESCRIPTION: usize = 4096;
const MAX_METADATA: usize = 128 * 1024;
const MIN_HEARTBEAT: i64 = 100_000_000;
const MIN_EXPIRES: i64 = 1_000_000;
/// The heartbeat of consumers whose flow control settles: mirrors and sources look for it.
pub(super) const SOURCING_HEARTBEAT: i64 = 1_000_000_000;

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
/// 10056, 10127, 10018, 10017, 10020, 10137, 10131 and 10074, in this order.
pub fn resolve_name(
    request: &mut CreateRequest,
    stream: &str,
    subject: CreateSubject<'_>,
) -> Result<(), ApiError> {
    if request.stream_name != stream {
        return Err(ApiError::StreamMismatch);
    }
    let config = &mut request.config;
    let name = match subject {
        CreateSubject::Legacy => &config.name,
        CreateSubject::Named { consumer, .. } | CreateSubject::Durable { consumer } => consumer,
    };
    if name.contains(['/', '\\']) {
        return Err(ApiError::ConsumerNameContainsPathSeparators);
    }
    match subject {
        CreateSubject::Legacy => {
            if config.is_durable() {
                return Err(ApiError::ConsumerEphemeralWithDurableName);
            }
        }
        CreateSubject::Durable { consumer } => {
            if !config.is_durable() {
                return Err(ApiError::ConsumerDurableNameNotSet);
            }
            if config.durable_name != consumer {
                return Err(ApiError::ConsumerDurableNameNotMatchSubject);
            }
            // Whatever the body calls it (nats-server 2.15.1).
            config.name = consumer.to_owned();
        }
        CreateSubject::Named { consumer, filter } => {
            if config.is_durable() && config.durable_name != consumer {
                return Err(ApiError::ConsumerDurableNameNotMatchSubject);
            }
            config.name = consumer.to_owned();
            if let Some(filter) = filter {
                if !config.filter_subjects.is_empty() {
                    return Err(ApiError::ConsumerMultipleFiltersNotAllowed);
                }
                if config.filter_subject != filter {
                    return Err(ApiError::ConsumerCreateFilterSubjectMismatch);
                }
            }
        }
    }
    if config.num_replicas > 1 {
        return Err(ApiError::StreamReplicasNotSupported);
    }
    Ok(())
}

/// 10102 for a name that is too long, which is looked at last.
///
/// # Errors
/// 10102.
pub fn check_name_length(name: &str) -> Result<(), ApiError> {
    if name.len() > MAX_NAME {
        return Err(ApiError::ConsumerNameTooLong { max: MAX_NAME });
    }
    Ok(())
}

/// 10052 for a name that is no token.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    if name.contains(['.', '*', '>', '/', '\\', ' ', '\t', '\r', '\n', '\x0c']) {
        return Err(ApiError::invalid_config(
            "consumer name can not contain '.', '*', '>', '\\', '/'",
        ));
    }
    Ok(())
}

/// Refuses a configuration that breaks a rule. Defaults are filled in already. The order of the
/// checks is that of nats-server 2.15.1.
///
/// # Errors
/// The numbers of jetstream.md 3.2; 10052 for what is not built yet.
pub fn check(config: &Config, limits: &Limits<'_>) -> Result<(), ApiError> {
    check_name(&config.name)?;
    if config.num_replicas < 0 {
        return Err(ApiError::ReplicasCountCannotBeNegative);
    }
    if config.backoff.iter().any(|wait| *wait < 0) {
        return Err(ApiError::ConsumerBackOffNegative);
    }
    if config.ack_wait < 0 {
        return Err(ApiError::ConsumerAckWaitNegative);
    }
    check_flow_control_acks(config)?;
    if config.max_deliver > 0 && config.backoff.len() as u64 > config.max_deliver.unsigned_abs() {
        return Err(ApiError::ConsumerMaxDeliverBackoff);
    }
    if config.description.len() > MAX_DESCRIPTION {
        return Err(ApiError::ConsumerDescriptionTooLong { max: MAX_DESCRIPTION });
    }
    if config.is_pull() {
        check_pull(config, limits)?
    } else {
        check_push(config, limits)?
    }
    check_limits(config, limits)?;
    check_direct(config)?;
    check_filters(config)?;
    check_start(config)?;
    sample_percent(&config.sample_freq)?;
    if config.flow_control && config.idle_heartbeat == 0 {
        return Err(ApiError::ConsumerWithFlowControlNeedsHeartbeats);
    }
    // With what the server writes into it.
    let metadata = config.metadata.iter().map(|(key, value)| key.len() + value.len());
    if metadata.sum::<usize>() > MAX_METADATA {
        return Err(ApiError::ConsumerMetadataLength { limit: "128KB".into() });
    }
    check_priority(config)
}

/// Acks that travel in flow-control replies (2.14) need all that makes these come.
fn check_flow_control_acks(config: &Config) -> Result<(), ApiError> {
    if config.ack_policy != AckPolicy::FlowControl {
        return Ok(());
    }
    if config.is_pull() {
        return Err(ApiError::ConsumerAckFcRequiresPush);
    }
    if !config.flow_control {
        return Err(ApiError::ConsumerAckFcRequiresFc);
    }
    if config.idle_heartbeat != SOURCING_HEARTBEAT {
        let text = "flow control ack policy heartbeat needs to be 1s";
        return Err(ApiError::invalid_config(text));
    }
    if config.max_ack_pending <= 0 {
        return Err(ApiError::ConsumerAckFcRequiresMaxAckPending);
    }
    if config.ack_wait != 0 || !config.backoff.is_empty() {
        return Err(ApiError::ConsumerAckFcRequiresNoAckWait);
    }
    if config.max_deliver > 0 {
        return Err(ApiError::ConsumerAckFcRequiresNoMaxDeliver);
    }
    Ok(())
}

fn check_push(config: &Config, limits: &Limits<'_>) -> Result<(), ApiError> {
    let subject = config.deliver_subject.as_bytes();
    if subject.split(|b| *b == b'.').any(|token| token == b"*" || token == b">") {
        return Err(ApiError::ConsumerDeliverToWildcards);
    }
    if !is_valid_literal(subject) || subject.iter().any(u8::is_ascii_whitespace) {
        return Err(ApiError::ConsumerInvalidDeliverSubject);
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
    Ok(())
}

fn check_pull(config: &Config, limits: &Limits<'_>) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::None && limits.queue {
        return Err(ApiError::ConsumerPullRequiresAck);
    }
    if config.rate_limit_bps > 0 {
        return Err(ApiError::ConsumerPullWithRateLimit);
    }
    if config.idle_heartbeat > 0 {
        return Err(ApiError::ConsumerHbRequiresPush);
    }
    if config.flow_control {
        return Err(ApiError::ConsumerFcRequiresPush);
    }
    if config.max_expires > 0 && config.max_expires < MIN_EXPIRES {
        return Err(ApiError::ConsumerMaxRequestExpiresTooSmall);
    }
    if limits.max_request_batch > 0 && config.max_batch > limits.max_request_batch {
        let limit = limits.max_request_batch.to_string().into();
        return Err(ApiError::ConsumerMaxRequestBatchExceeded { limit });
    }
    Ok(())
}

fn check_direct(config: &Config) -> Result<(), ApiError> {
    if config.direct && config.is_pull() {
        return Err(ApiError::ConsumerDirectRequiresPush);
    }
    if config.direct && config.is_durable() {
        return Err(ApiError::ConsumerDirectRequiresEphemeral);
    }
    Ok(())
}

fn check_filters(config: &Config) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return Err(ApiError::ConsumerDuplicateFilterSubjects);
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return Err(ApiError::ConsumerEmptyFilter);
    }
    if config.filters().any(|filter| !is_valid_subscription(filter.as_bytes())) {
        return Err(ApiError::invalid_config("invalid subject"));
    }
    for (index, one) in config.filter_subjects.iter().enumerate() {
        // Filters that share some messages only are fine (nats-server 2.15.1).
        let within = |other: &String| {
            is_subset(one.as_bytes(), other.as_bytes())
                || is_subset(other.as_bytes(), one.as_bytes())
        };
        if config.filter_subjects[index + 1..].iter().any(within) {
            return Err(ApiError::ConsumerOverlappingSubjectFilters);
        }
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
        _ if seq => refuse("start sequence is also set"),
        _ if time => refuse("start time is also set"),
        DeliverPolicy::LastPerSubject if config.filters().next().is_none() => {
            refuse("filter subject is not set")
        }
        _ => Ok(()),
    }
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
    let Limits { max_ack_pending, account_max_ack_pending, stream_max_ack_pending, .. } = *limits;
    for limit in [max_ack_pending, account_max_ack_pending, stream_max_ack_pending] {
        if limit > 0 && config.max_ack_pending > limit {
            return Err(ApiError::ConsumerMaxPendingAckExcess { limit: limit.to_string().into() });
        }
    }
    if limits.inactive_threshold > 0 && config.inactive_threshold > limits.inactive_threshold {
        let limit = go_duration(limits.inactive_threshold).into();
        return Err(ApiError::ConsumerInactiveThresholdExcess { limit });
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
