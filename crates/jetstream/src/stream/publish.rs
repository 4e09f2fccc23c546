//! Ingest: whether a message is stored, and what its publisher hears (jetstream.md 2.4).

use natterjack_store::{Filter, LogPos, NewMessage, Next, Purge, Stored};

use super::config::Discard;
use super::decimal::Decimal;
use super::fast::is_fast;
use super::headers::{self, PublishHeaders};
use super::rules::{Republished, republish_headers};
use super::ttl::Ttl;
use super::{FLAG_BATCH, FLAG_MARKER, FLAG_MSG_ID, FLAG_SCHEDULE, FLAG_SOURCED, FLAG_TTL, Stream};
use crate::error::ApiError;
use crate::host::{Host, Outgoing};
use crate::time::Now;

const HEADER_MAX: usize = 65_535;
pub(super) const RECORD_MAX: usize = 32 << 20;

/// A publish that matched one of the stream's subjects.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// The subject.
    pub subject: &'a [u8],
    /// Where the publisher waits for its PubAck.
    pub reply: Option<&'a [u8]>,
    /// The complete header block, or empty.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl Inbound<'_> {
    pub(super) fn size(&self) -> usize {
        let reply = self.reply.map_or(0, <[u8]>::len);
        self.subject.len() + reply + self.headers.len() + self.payload.len()
    }
}

/// What rollup asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollup {
    Subject,
    All,
}

/// A message that passed all checks.
pub(super) struct Admitted {
    pub(super) ttl: Option<Ttl>,
    pub(super) rollup: Option<Rollup>,
    /// Messages before this one are about to be rolled up: none of them counts as the last one.
    pub(super) since: u64,
    /// It counts only together with others.
    pub(super) is_part: bool,
}

pub(super) enum Verdict {
    Store(Admitted),
    Duplicate(u64),
    /// No consumer would receive it: a sequence is used up, and nothing stored.
    Unwanted,
    /// It goes to a counter, which judges it by its own rules.
    Counter,
}

/// What became of a message.
pub(super) enum Put {
    Stored { seq: u64, pos: LogPos },
    Duplicate(u64),
    Counted { seq: u64, pos: LogPos, total: String },
}

/// What the headers of a message say.
pub(super) enum Checked {
    New(Option<Rollup>),
    Duplicate(u64),
}

impl Stream {
    /// Admits or refuses one message; the answer waits in the queue.
    pub(super) fn publish(&mut self, host: &mut dyn Host, now: Now, msg: &Inbound<'_>) {
        let reply = self.answered(msg);
        if self.is_overloaded(msg.size()) {
            return self.turn_away(host, reply);
        }
        let (subject, renamed);
        let mut msg = msg;
        if let Some(rule) = &self.rules.transform
            && let Some(other) = rule.apply_literal(msg.subject, host.random())
        {
            subject = other;
            renamed = Inbound { subject: &subject, ..*msg };
            msg = &renamed;
        }
        let (block, completed, mut scanned);
        let found = if msg.headers.is_empty() {
            &headers::NONE
        } else {
            scanned = headers::scan(msg.headers);
            if scanned.scheduling
                && let Some(headers) = self.schedule_headers(msg.headers)
            {
                block = headers;
                completed = Inbound { headers: &block, ..*msg };
                msg = &completed;
                scanned = headers::scan(&block);
            }
            &scanned
        };
        if self.config.allow_msg_counter && self.must_park(msg, found) {
            return self.park(host, msg, reply);
        }
        self.take(host, now, msg, found, reply);
    }

    /// Where the publisher is answered, if it is.
    pub(super) fn answered<'a>(&self, msg: &Inbound<'a>) -> Option<&'a [u8]> {
        msg.reply.filter(|reply| !self.config.no_ack && !reply.is_empty())
    }

    /// As [`publish`](Self::publish), for a message that was parked.
    #[cold]
    pub(super) fn publish_parked(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        reply: Option<&[u8]>,
    ) {
        self.take(host, now, msg, found, reply);
    }

    // Every publish runs through this and what it calls: in one piece it takes 70 instructions less.
    #[inline(always)]
    fn take(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        reply: Option<&[u8]>,
    ) {
        if msg.reply.is_some_and(is_fast) {
            return self.publish_fast(host, now, msg, found, reply);
        }
        if found.batch_id.is_some() {
            return self.publish_batch(host, now, msg, found, reply);
        }
        match self.put(host, now, msg, found) {
            Ok(Put::Stored { seq, pos }) => {
                if let Some(reply) = reply {
                    self.answers.ack(pos, reply, seq);
                }
            }
            Ok(Put::Duplicate(seq)) => {
                if let Some(reply) = reply {
                    self.answers.duplicate(self.log.end(), reply, seq);
                }
            }
            Ok(Put::Counted { seq, pos, total }) => {
                if let Some(reply) = reply {
                    self.answers.counted(pos, reply, seq, &total);
                }
            }
            Err(error) => self.answer_error(host, reply, &error),
        }
    }

    /// Stores a message of a fast batch, or says why not.
    #[cold]
    pub(super) fn put_fast(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Put, ApiError> {
        self.put(host, now, msg, found)
    }

    /// Stores a message, or says why not.
    #[inline(always)]
    fn put(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Put, ApiError> {
        let time = now.unix_ns.max(self.log.state().last_time);
        let (seq, mut pos) = match self.admit(time, msg, found)? {
            Verdict::Store(admitted) => self.store(host, time, msg, found, &admitted),
            Verdict::Unwanted => {
                let skipped = self.log.skip(time);
                self.remember_id(found.msg_id, skipped.seq, time);
                (skipped.seq, skipped.pos)
            }
            Verdict::Duplicate(seq) => return Ok(Put::Duplicate(seq)),
            Verdict::Counter => return self.put_counted(host, time, msg, found),
        };
        if found.scheduling {
            pos = self.end_schedule(msg.headers).unwrap_or(pos);
        }
        Ok(Put::Stored { seq, pos })
    }

    /// A refusal, which keeps its place among the answers where it can.
    pub(super) fn answer_error(
        &mut self,
        host: &mut dyn Host,
        reply: Option<&[u8]>,
        error: &ApiError,
    ) {
        let Some(reply) = reply else { return };
        if self.log.blocked().is_some() {
            // Nothing becomes durable now, so there is nothing to wait for.
            self.send_error(host, reply, &[], error);
        } else {
            self.answers.error(self.log.end(), reply, error);
        }
    }

    /// Refuses a message because a queue is full.
    #[cold]
    pub(super) fn turn_away(&mut self, host: &mut dyn Host, reply: Option<&[u8]>) {
        if let Some(reply) = reply {
            // At once: the queue that keeps the order is what is full.
            let headers = b"NATS/1.0 429 Too Many Requests\r\n\r\n";
            self.send_error(host, reply, headers, &ApiError::StreamTooManyRequests);
        }
        self.turned_away += 1;
    }

    /// A refusal that does not keep its place among the answers.
    fn send_error(&self, host: &mut dyn Host, reply: &[u8], headers: &[u8], error: &ApiError) {
        host.deliver(&Outgoing {
            account: &self.scope.account,
            route: reply,
            subject: reply,
            reply: None,
            headers,
            payload: &self.answers.error_payload(error),
        });
    }

    /// The checks in the order of jetstream.md 2.4, which decides what a message that breaks two
    /// rules hears.
    #[inline(always)]
    fn admit(
        &mut self,
        time: i64,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Verdict, ApiError> {
        let size = msg.headers.len() + msg.payload.len();
        if msg.subject.len() + size > RECORD_MAX {
            return Err(ApiError::StreamStoreFailed { err: "message too large".into() });
        }
        if self.rules.guarded {
            return if self.config.sealed {
                Err(ApiError::StreamSealed)
            } else {
                Ok(Verdict::Counter)
            };
        }
        let mut rollup = None;
        if !msg.headers.is_empty() {
            check_no_incr(found)?;
            rollup = match self.check_headers(time, msg, found)? {
                Checked::New(rollup) => rollup,
                Checked::Duplicate(seq) => return Ok(Verdict::Duplicate(seq)),
            };
        }
        self.judge_storing(msg, found, rollup)
    }

    /// The checks of a message with headers, but for those that take no other.
    pub(super) fn check_headers(
        &mut self,
        time: i64,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Checked, ApiError> {
        if found.expected_stream.is_some_and(|name| name != self.config.name.as_bytes()) {
            return Err(ApiError::StreamNotMatch);
        }
        // One that is none is found out later.
        if found.ttl.is_some_and(|ttl| Ttl::parse(ttl).is_some()) && !self.config.allow_msg_ttl {
            return Err(ApiError::MessageTtlDisabled);
        }
        self.check_expected_sequences(msg.subject, found, 0)?;
        if found.scheduling {
            self.check_schedules(time, msg, |_| None)?;
        }
        if found.stream_source.is_some() {
            return Err(ApiError::MessageSourceHdrNotAllowed);
        }
        if let Some(id) = found.msg_id
            && self.config.duplicate_window > 0
        {
            let oldest = time.saturating_sub(self.config.duplicate_window);
            if let Some(seq) = self.dedupe.find(id, oldest) {
                return Ok(Checked::Duplicate(seq));
            }
        }
        if found.expected_last_msg_id.is_some_and(|id| id != self.last_msg_id) {
            let id = String::from_utf8_lossy(&self.last_msg_id).into_owned();
            return Err(ApiError::StreamWrongLastMsgId { id: id.into() });
        }
        Ok(Checked::New(self.check_rollup(found)?))
    }

    /// Whether there is room for a message, and somebody who wants it.
    #[cold]
    pub(super) fn check_storing(
        &mut self,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        rollup: Option<Rollup>,
    ) -> Result<Verdict, ApiError> {
        self.judge_storing(msg, found, rollup)
    }

    #[inline(always)]
    fn judge_storing(
        &mut self,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        rollup: Option<Rollup>,
    ) -> Result<Verdict, ApiError> {
        self.check_size(msg)?;
        if !self.wants(msg.subject) {
            return Ok(Verdict::Unwanted);
        }
        let bytes = self.log.message_bytes(msg.subject.len(), msg.headers.len(), msg.payload.len());
        self.check_room(bytes)?;
        let ttl = match found.ttl {
            Some(value) => Some(Ttl::parse(value).ok_or(ApiError::MessageTtlInvalid)?),
            None => None,
        };
        if self.config.discard == Discard::New {
            self.check_discard_new(msg.subject, bytes)?;
        }
        self.check_blocked()?;
        Ok(Verdict::Store(Admitted { ttl, rollup, since: 0, is_part: false }))
    }

    pub(super) fn check_size(&self, msg: &Inbound<'_>) -> Result<(), ApiError> {
        let size = msg.headers.len() + msg.payload.len();
        let max = usize::try_from(self.config.max_msg_size);
        if max.is_ok_and(|max| size > max) {
            return Err(ApiError::StreamMessageExceedsMaximum);
        }
        if msg.headers.len() > HEADER_MAX {
            return Err(ApiError::StreamHeaderExceedsMaximum);
        }
        Ok(())
    }

    /// `ahead` messages are to be stored before this one.
    pub(super) fn check_expected_sequences(
        &mut self,
        subject: &[u8],
        found: &PublishHeaders<'_>,
        ahead: u64,
    ) -> Result<(), ApiError> {
        if let Some(value) = found.expected_last_subject_seq {
            let filter = found.expected_last_subject_seq_subject.unwrap_or(subject);
            let last = self.last_on(filter);
            if number(value) != Some(last) {
                return Err(ApiError::StreamWrongLastSequence { seq: last });
            }
        } else if found.expected_last_subject_seq_subject.is_some() {
            return Err(ApiError::StreamExpectedLastSeqPerSubjectInvalid);
        }
        if let Some(value) = found.expected_last_seq {
            let last = self.log.state().last_seq + ahead;
            if number(value) != Some(last) {
                return Err(ApiError::StreamWrongLastSequence { seq: last });
            }
        }
        Ok(())
    }

    /// The last sequence on a subject or wildcard, 0 when there is none.
    pub(super) fn last_on(&mut self, filter: &[u8]) -> u64 {
        if Filter::new(filter).is_literal() {
            return self.log.subject(filter).map_or(0, |state| state.last);
        }
        match self.log.last_on(filter) {
            Next::Found(seq) => seq,
            Next::End | Next::Pending => 0,
        }
    }

    pub(super) fn check_rollup(
        &self,
        found: &PublishHeaders<'_>,
    ) -> Result<Option<Rollup>, ApiError> {
        let Some(value) = found.rollup else { return Ok(None) };
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(ApiError::StreamRollupFailed { err: "rollup not permitted".into() });
        }
        if value.eq_ignore_ascii_case(b"sub") {
            Ok(Some(Rollup::Subject))
        } else if value.eq_ignore_ascii_case(b"all") {
            Ok(Some(Rollup::All))
        } else {
            let value = crate::json::go_quote(&String::from_utf8_lossy(value));
            Err(ApiError::StreamRollupFailed {
                err: format!("rollup value invalid: {value}").into(),
            })
        }
    }

    /// 10077 where the policy is to refuse rather than to remove (jetstream.md 2.5).
    pub(super) fn check_discard_new(&mut self, subject: &[u8], bytes: u64) -> Result<(), ApiError> {
        // What was acked just now has made room.
        self.release_settled();
        let refused = |err: &'static str| Err(ApiError::StreamStoreFailed { err: err.into() });
        let mut replaced = None;
        if let Some(max) = limit(self.config.max_msgs_per_subject)
            && let Some(state) = self.log.subject(subject)
            && state.count >= max
        {
            if self.config.discard_new_per_subject {
                return refused("maximum messages per subject exceeded");
            }
            replaced = Some(state.first);
        }
        let (messages, used) = (self.log.state().messages, self.log.state().bytes);
        if limit(self.config.max_msgs).is_some_and(|max| messages >= max) && replaced.is_none() {
            return refused("maximum messages exceeded");
        }
        if let Some(max) = limit(self.config.max_bytes)
            && used + bytes > max
        {
            // A replacement may not be larger than what it replaces.
            let freed = replaced.and_then(|seq| self.log.stored_bytes(seq));
            if freed.is_none_or(|freed| freed < bytes) {
                return refused("maximum bytes exceeded");
            }
        }
        Ok(())
    }

    /// Appends the message and does what its headers imply. The position covers all of it.
    pub(super) fn store(
        &mut self,
        host: &mut dyn Host,
        time: i64,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        admitted: &Admitted,
    ) -> (u64, LogPos) {
        self.store_at(host, (None, 0), time, msg, found, admitted)
    }

    /// As [`store`](Self::store), with more flags, and at a sequence that the stream did not reach yet.
    pub(super) fn store_at(
        &mut self,
        host: &mut dyn Host,
        (seq, flags): (Option<u64>, u8),
        time: i64,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        admitted: &Admitted,
    ) -> (u64, LogPos) {
        let mut stored = headers::stored_form(msg.headers);
        let mut ttl = admitted.ttl;
        let marker = self.config.subject_delete_marker_ttl / 1_000_000_000;
        if let Some(Ttl::Seconds(seconds)) = ttl
            && seconds < marker
            && self.config.max_msgs_per_subject != 1
        {
            // A message that went before its own marker would leave none that lasts (ADR-43).
            ttl = Some(Ttl::Seconds(marker));
            stored = headers::with_ttl(&stored, marker.unsigned_abs()).into();
        }
        let more = if msg.headers.is_empty() { 0 } else { self::flags(found, ttl, msg.headers) };
        // A schedule of another stream fires there.
        let elsewhere = seq.is_some() || flags & FLAG_SOURCED != 0;
        let mut flags = flags | if elsewhere { more & !FLAG_SCHEDULE } else { more };
        flags |= if admitted.is_part { FLAG_BATCH } else { 0 };
        let last = self.last_to_tell(msg.subject, admitted.since);
        let message = NewMessage {
            subject: msg.subject,
            headers: &stored,
            payload: msg.payload,
            time,
            flags,
        };
        let appended = match seq {
            Some(seq) => self.log.append_at(seq, message),
            None => self.log.append(message),
        };
        if let Some(ttl) = ttl {
            self.expiry.add(appended.seq, time, ttl);
        }
        if flags & FLAG_SCHEDULE != 0 {
            self.plan_schedule(appended.seq, time, msg.headers);
        }
        self.remember_id(found.msg_id, appended.seq, time);
        let mut pos = appended.pos;
        if let Some(rollup) = admitted.rollup {
            let filter = (rollup == Rollup::Subject).then_some(msg.subject);
            let purge = Purge { filter, below_seq: None, keep: Some(1) };
            pos = self.roll_up(&purge);
        }
        if let Some(last) = last {
            let stored = Stored {
                seq: appended.seq,
                time,
                flags,
                subject: msg.subject,
                headers: &stored,
                payload: msg.payload,
            };
            self.republish(host, pos, &stored, last);
        }
        (appended.seq, pos)
    }

    /// The last sequence on the subject of a message that comes, where it will be published again; 0 for
    /// one before `since`.
    fn last_to_tell(&self, subject: &[u8], since: u64) -> Option<u64> {
        self.rules.republish.as_ref()?;
        let last = self.log.subject(subject).map_or(0, |state| state.last);
        Some(if last < since { 0 } else { last })
    }

    /// Publishes a message again, where the configuration asks for it, once it is durable.
    fn republish(&mut self, host: &mut dyn Host, pos: LogPos, message: &Stored<'_>, last: u64) {
        let Some((rule, headers_only)) = &self.rules.republish else { return };
        let Some(subject) = rule.apply_literal(message.subject, host.random()) else { return };
        let Stored { seq, time, .. } = *message;
        let of = Republished {
            stream: &self.config.name,
            subject: message.subject,
            seq,
            time,
            last,
            size: headers_only.then_some(message.payload.len()),
        };
        let headers = republish_headers(message.headers, &of);
        let payload = if *headers_only { &[] } else { message.payload };
        self.answers.republish(pos, seq, &subject, &headers, payload);
    }

    pub(super) fn remember_id(&mut self, id: Option<&[u8]>, seq: u64, time: i64) {
        self.last_msg_id.clear();
        if let Some(id) = id {
            self.last_msg_id.extend_from_slice(id);
            if self.config.duplicate_window > 0 {
                self.dedupe.insert(id, seq, time);
            }
        }
    }

    /// Stores a message that the stream itself makes. It passes no checks but the limits.
    /// `last` was the last one on the subject.
    pub(super) fn store_own(
        &mut self,
        host: &mut dyn Host,
        last: u64,
        time: i64,
        subject: &[u8],
        headers: &[u8],
        ttl: Option<Ttl>,
    ) {
        let flags = FLAG_MARKER | if ttl.is_some() { FLAG_TTL } else { 0 };
        let time = time.max(self.log.state().last_time);
        let appended = self.log.append(NewMessage { subject, headers, payload: &[], time, flags });
        if let Some(ttl) = ttl {
            self.expiry.add(appended.seq, time, ttl);
            self.expiry.exempt_from_age(appended.seq);
        }
        let stored = Stored { seq: appended.seq, time, flags, subject, headers, payload: &[] };
        self.republish(host, appended.pos, &stored, last);
        self.last_msg_id.clear();
    }
}

/// What a message for a counter hears where there are none.
///
/// # Errors
/// 10168 and 10171.
pub(super) fn check_no_incr(found: &PublishHeaders<'_>) -> Result<(), ApiError> {
    let Some(value) = found.incr else { return Ok(()) };
    Err(match Decimal::parse(value) {
        Some(_) => ApiError::MessageIncrDisabled,
        None => ApiError::MessageIncrInvalid,
    })
}

/// What a start has to know of a message with headers.
pub(super) fn flags(found: &PublishHeaders<'_>, ttl: Option<Ttl>, block: &[u8]) -> u8 {
    let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
    flag(ttl.is_some(), FLAG_TTL)
        | flag(found.msg_id.is_some(), FLAG_MSG_ID)
        | flag(found.marker_reason.is_some(), FLAG_MARKER)
        | flag(found.scheduling && headers::get(block, b"Nats-Schedule").is_some(), FLAG_SCHEDULE)
}

/// A limit of the configuration: -1 is none.
pub(super) fn limit(value: i64) -> Option<u64> {
    (value >= 0).then_some(value.unsigned_abs())
}

/// A decimal number as Go's parser of sequences reads it.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}
