//! Filling in what a configuration leaves out (jetstream.md 3.2; nats-server 2.15.1).

use super::config::{AckPolicy, Config, DeliverPolicy, PriorityPolicy};
use super::validate::{Limits, SOURCING_HEARTBEAT};
use crate::error::ApiError;

const ACK_WAIT: i64 = 30_000_000_000;
const MAX_ACK_PENDING: i64 = 1000;
const MAX_WAITING: i64 = 512;
const INACTIVE: i64 = 5_000_000_000;
/// For how long a pinned client may ask for nothing.
const PRIORITY_TIMEOUT: i64 = 120_000_000_000;

/// Corrects what a request may not leave to the server if it is pedantic.
struct Corrector {
    pedantic: bool,
}

impl Corrector {
    fn set(&self, value: &mut i64, to: i64, text: &'static str) -> Result<(), ApiError> {
        if self.pedantic {
            return Err(ApiError::pedantic(text));
        }
        *value = to;
        Ok(())
    }

    fn at_least(&self, value: &mut i64, least: i64, text: &'static str) -> Result<(), ApiError> {
        if *value < least { self.set(value, least, text) } else { Ok(()) }
    }
}

/// Gives a consumer that need not last an end, if its configuration names none. Whether it need not is
/// what it `was` so far, if it is there already (nats-server 2.15.1).
pub(crate) fn fill_threshold(config: &mut Config, was: Option<&Config>) {
    let new = was.is_none_or(|was| was.inactive_threshold != config.inactive_threshold);
    let durable = was.unwrap_or(config).is_durable();
    if new && !durable && config.inactive_threshold <= 0 {
        config.inactive_threshold = INACTIVE;
    }
}

/// Fills in what was left out and corrects what may be corrected, but for what
/// `fill_threshold` adds.
///
/// # Errors
/// 10157 with `pedantic` where something would be corrected silently.
pub fn fill_defaults(
    config: &mut Config,
    limits: &Limits<'_>,
    pedantic: bool,
) -> Result<(), ApiError> {
    let correct = Corrector { pedantic };
    if config.deliver_policy == DeliverPolicy::Undefined {
        config.deliver_policy = DeliverPolicy::All;
    }
    if config.max_deliver == 0 {
        config.max_deliver = -1;
    }
    correct.at_least(&mut config.max_deliver, -1, "max_deliver must be set to -1")?;
    correct.at_least(&mut config.max_waiting, 0, "max_waiting must not be negative")?;
    correct.at_least(&mut config.max_ack_pending, -1, "max_ack_pending must be set to -1")?;
    correct.at_least(&mut config.max_batch, 0, "max_batch must not be negative")?;
    correct.at_least(&mut config.max_expires, 0, "max_expires must not be negative")?;
    correct.at_least(&mut config.max_bytes, 0, "max_bytes must not be negative")?;
    correct.at_least(&mut config.idle_heartbeat, 0, "idle_heartbeat must not be negative")?;
    correct.at_least(
        &mut config.inactive_threshold,
        0,
        "inactive_threshold must not be negative",
    )?;
    correct.at_least(&mut config.priority_timeout, 0, "priority_timeout must not be negative")?;
    if config.max_waiting == 0 && config.is_pull() {
        config.max_waiting = MAX_WAITING;
    }
    if config.ack_wait == 0 && matches!(config.ack_policy, AckPolicy::All | AckPolicy::Explicit) {
        config.ack_wait = ACK_WAIT;
    }
    if let Some(first) = config.backoff.first().copied()
        && config.ack_wait != first
    {
        let text = "first backoff value has to equal batch AckWait";
        correct.set(&mut config.ack_wait, first, text)?;
    }
    if config.max_ack_pending == 0 && limits.stream_max_ack_pending > 0 {
        let text = "max_ack_pending must be set if it's configured in stream limits";
        correct.set(&mut config.max_ack_pending, limits.stream_max_ack_pending, text)?;
    }
    if config.inactive_threshold == 0 && limits.inactive_threshold > 0 {
        let text = "inactive_threshold must be set if it's configured in stream limits";
        correct.set(&mut config.inactive_threshold, limits.inactive_threshold, text)?;
    }
    if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
        let caps = [limits.max_ack_pending, limits.account_max_ack_pending];
        let caps = caps.into_iter().filter(|cap| *cap > 0);
        config.max_ack_pending = caps.fold(MAX_ACK_PENDING, i64::min);
    }
    if config.max_batch == 0 && config.is_pull() && limits.max_request_batch > 0 {
        let text = "max_request_batch must be set if it's JetStream limits are set";
        correct.set(&mut config.max_batch, limits.max_request_batch, text)?;
    }
    if config.priority_policy == PriorityPolicy::PinnedClient && config.priority_timeout == 0 {
        config.priority_timeout = PRIORITY_TIMEOUT;
    }
    if config.ack_policy == AckPolicy::FlowControl && !pedantic {
        config.flow_control = true;
        config.idle_heartbeat = SOURCING_HEARTBEAT;
    }
    config.stamp_level();
    Ok(())
}
