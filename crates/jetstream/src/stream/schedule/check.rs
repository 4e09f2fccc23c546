//! Whether what a message says of schedules holds.

use natterjack_store::{LogPos, Purge};
use natterjack_subject::{is_valid_literal, matches};

use super::Pattern;
use crate::error::ApiError;
use crate::stream::publish::Inbound;
use crate::stream::ttl::Ttl;
use crate::stream::{Stream, headers};

/// What ends a schedule together with a publish.
const PURGE: &[u8] = b"purge";

impl Stream {
    /// The headers of a schedule with the rollup that each has, whether its publisher says so or not.
    #[cold]
    pub(in crate::stream) fn schedule_headers(&self, block: &[u8]) -> Option<Vec<u8>> {
        let plain = self.config.allow_msg_schedules
            && headers::get(block, b"Nats-Schedule").is_some()
            && headers::get(block, b"Nats-Rollup").is_none();
        plain.then(|| headers::append_line(block, b"Nats-Rollup", b"sub"))
    }

    /// Judges a message with headers of schedules. Of a subject on which a batch has a message already,
    /// `staged` says whether its last is a schedule.
    ///
    /// # Errors
    /// 10166, 10188..10192, 10203, 10212 and 10223.
    #[cold]
    pub(in crate::stream) fn check_schedules(
        &self,
        time: i64,
        msg: &Inbound<'_>,
        staged: impl Fn(&[u8]) -> Option<bool>,
    ) -> Result<(), ApiError> {
        let allowed = self.config.allow_msg_schedules;
        let read = Pattern::read(msg.headers, &self.shared.options.zone);
        let pattern = read.and_then(|pattern| {
            pattern.as_ref().map_or(Ok(()), |pattern| pattern.next(time).map(drop))?;
            Ok(pattern)
        });
        match pattern {
            Ok(None) => {}
            _ if !allowed => return Err(ApiError::MessageSchedulesDisabled),
            Err(error) => return Err(error),
            Ok(Some(_)) => self.check_schedule(msg)?,
        }
        let scheduler = headers::get(msg.headers, b"Nats-Scheduler");
        let invalid = Err(ApiError::MessageSchedulesSchedulerInvalid);
        match headers::get(msg.headers, b"Nats-Schedule-Next") {
            None if scheduler.is_none() => return Ok(()),
            Some(PURGE) => {}
            _ => return invalid,
        }
        let Some(scheduler) = scheduler.filter(|own| *own != msg.subject && is_valid_literal(own))
        else {
            return invalid;
        };
        if !allowed {
            return Err(ApiError::MessageSchedulesDisabled);
        }
        // One that is gone already is none that could be ended wrongly.
        let last = self.log.subject(scheduler).map(|state| self.plan.contains(state.last));
        if staged(scheduler).or(last) == Some(false) { invalid } else { Ok(()) }
    }

    fn check_schedule(&self, msg: &Inbound<'_>) -> Result<(), ApiError> {
        let get = |name: &[u8]| headers::get(msg.headers, name);
        let ttl = get(b"Nats-Schedule-TTL");
        if ttl.is_some_and(|ttl| Ttl::parse(ttl).is_none()) {
            return Err(ApiError::MessageSchedulesTtlInvalid);
        }
        if get(b"Nats-Schedule-Rollup").is_some_and(|rollup| rollup != b"sub") {
            return Err(ApiError::MessageSchedulesRollupInvalid);
        }
        if ttl.is_some() && !self.config.allow_msg_ttl {
            return Err(ApiError::MessageTtlDisabled);
        }
        let target = get(b"Nats-Schedule-Target");
        let Some(target) = target.filter(|own| is_valid_literal(own) && *own != msg.subject) else {
            return Err(ApiError::MessageSchedulesTargetInvalid);
        };
        let source = get(b"Nats-Schedule-Source");
        let distinct = |own: &[u8]| own != target && own != msg.subject && is_valid_literal(own);
        if source.is_some_and(|own| !distinct(own)) {
            return Err(ApiError::MessageSchedulesSourceInvalid);
        }
        let listens = |own: &[u8]| {
            self.config.subjects.iter().any(|subject| matches(subject.as_bytes(), own))
        };
        if !listens(target) {
            return Err(ApiError::MessageSchedulesTargetInvalid);
        }
        if source.is_some_and(|own| !listens(own)) {
            return Err(ApiError::MessageSchedulesSourceInvalid);
        }
        if get(b"Nats-Rollup").is_some_and(|rollup| !rollup.eq_ignore_ascii_case(b"sub")) {
            return Err(ApiError::MessageSchedulesRollupInvalid);
        }
        Ok(())
    }

    /// Plans a message that was stored at `seq`, if it is a schedule.
    pub(in crate::stream) fn plan_schedule(&mut self, seq: u64, time: i64, block: &[u8]) {
        if let Some(due) = first_due(block, time, &self.shared.options.zone) {
            self.plan.add(seq, due);
        }
    }

    /// Ends the schedule that a message which was stored just now ends.
    pub(in crate::stream) fn end_schedule(&mut self, block: &[u8]) -> Option<LogPos> {
        let filter = Some(ended(block)?);
        Some(self.roll_up(&Purge { filter, below_seq: None, keep: None }))
    }
}

/// The subject of the schedule that a message ends.
pub(in crate::stream) fn ended(block: &[u8]) -> Option<&[u8]> {
    headers::get(block, b"Nats-Schedule-Next").filter(|next| *next == PURGE)?;
    headers::get(block, b"Nats-Scheduler")
}

/// When a stored message is due for the first time, if it is a schedule.
pub(crate) fn first_due(block: &[u8], time: i64, local: &jiff::tz::TimeZone) -> Option<i64> {
    Pattern::read(block, local).ok()??.next(time).ok()
}
