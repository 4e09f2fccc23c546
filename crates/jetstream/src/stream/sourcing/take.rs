//! Taking what an origin sends: messages, heartbeats, requests for flow control.
//!
//! The consumer's sequence shows what is missing; then a new consumer is asked for behind what was
//! taken. Requests for flow control are answered when what came before them is durable: the origin
//! sends no more than a window ahead of the disk, and a work queue removes nothing that could be lost.

use natterjack_store::SEQ_MAX;

use super::Sourcing;
use super::arrivals::{Arrival, Arrivals};
use super::feed::{Feed, Phase};
use super::header;
use crate::ack_subject;
use crate::error::ApiError;
use crate::host::Host;
use crate::stream::config::Discard;
use crate::stream::counter::Counted;
use crate::stream::headers::{self, PublishHeaders};
use crate::stream::publish::{Admitted, Inbound, RECORD_MAX, Rollup, number};
use crate::stream::ttl::Ttl;
use crate::stream::{FLAG_SOURCED, Stream};
use crate::time::Now;

/// Where consumers listen for answers to flow control.
const FLOW_CONTROL: &[u8] = b"$JS.FC.";

/// What comes after something that arrived.
enum Then {
    /// The next one.
    Next,
    /// What came before this answer.
    Answered,
    /// It came before the answer, and is taken after it.
    Early,
    /// It has to wait, and all behind it.
    Wait,
}

/// Why a message was not taken.
enum Stop {
    /// Something is missing before it, or it cannot be stored now: it is asked for again.
    Again,
    /// It is not from the consumer that was asked for, or was taken before.
    Ignore,
    /// Something has to be read from disk first: it stays in the queue.
    Later,
}

impl From<ApiError> for Stop {
    fn from(_: ApiError) -> Self {
        Self::Again
    }
}

impl Stream {
    /// Takes what waits in the queue.
    pub(crate) fn take_arrivals(&mut self, host: &mut dyn Host, now: Now, arrivals: &Arrivals) {
        let mut arrived = arrivals.take();
        let Some(mut sourcing) = self.sourcing.take() else { return };
        self.unsettled = true;
        while let Some(arrival) = arrived.pop() {
            match self.arrived(host, now, &mut sourcing, &arrival) {
                Then::Next => {}
                Then::Answered => arrived = arrived.behind(sourcing.early(arrival.token)),
                Then::Early => sourcing.keep_early(arrival),
                Then::Wait => {
                    arrived.unpop(arrival);
                    arrivals.put_back(arrived);
                    break;
                }
            }
        }
        self.sourcing = Some(sourcing);
    }

    /// Takes one.
    fn arrived(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        sourcing: &mut Sourcing,
        arrival: &Arrival,
    ) -> Then {
        let Sourcing { feeds, places, .. } = sourcing;
        let current = |feed: &&mut Feed| feed.token != 0 && feed.token == arrival.token & !1;
        let Some(feed) = feeds.iter_mut().find(current) else { return Then::Next };
        if arrival.token == feed.token {
            self.origin_answered(host, now, feed, arrival);
            return Then::Answered;
        }
        match feed.phase {
            Phase::Following => {}
            Phase::Asking(_) => return Then::Early,
            Phase::Waiting(_) => return Then::Next,
        }
        feed.heard = Some(now.mono_ns);
        let taken = match arrival.is_control() {
            true => self.control(feed, arrival),
            false => self.message(host, now, feed, arrival),
        };
        match taken {
            Ok(true) if !feed.mirror => places.set(&feed.index, feed.seq, &feed.identity),
            Ok(_) | Err(Stop::Ignore) => {}
            Err(Stop::Again) => {
                let (account, id) = (self.scope.account.clone(), self.scope.stream_id);
                feed.again(host, &account, id, now);
            }
            Err(Stop::Later) => return Then::Wait,
        }
        Then::Next
    }

    /// A heartbeat, or a request for flow control.
    fn control(&mut self, feed: &mut Feed, arrival: &Arrival) -> Result<bool, Stop> {
        if !arrival.reply().is_empty() {
            let text = format!(
                "NATS/1.0\r\nNats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n\r\n",
                feed.delivered, feed.seq
            );
            self.answer_flow(feed, arrival.reply(), text.as_bytes());
            return Ok(false);
        }
        let value = |name: &[u8]| headers::get(arrival.headers(), name);
        let sent = value(b"Nats-Last-Consumer").and_then(number).unwrap_or(0);
        if sent > 0 && sent != feed.delivered {
            return Err(Stop::Again);
        }
        if let Some(stalled) = value(b"Nats-Consumer-Stalled") {
            self.answer_flow(feed, stalled, &[]);
        }
        Ok(false)
    }

    /// Answers a request for flow control once what was taken before is durable.
    fn answer_flow(&mut self, feed: &mut Feed, reply: &[u8], headers: &[u8]) {
        // Whoever plays the origin must not have the server publish anywhere else.
        if !reply.starts_with(FLOW_CONTROL) {
            return;
        }
        if self.scope.memory {
            feed.replies.push((reply.into(), headers.into()));
        } else {
            let (end, last) = (self.log.end(), self.log.state().last_seq);
            self.answers.republish(end, last, reply, headers, &[]);
        }
    }

    /// A message. True when it was taken, and not when it was before.
    fn message(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        feed: &mut Feed,
        arrival: &Arrival,
    ) -> Result<bool, Stop> {
        let ack = ack_subject::parse(arrival.reply()).ok_or(Stop::Ignore)?;
        let token = ack.token;
        if ack.consumer != feed.consumer.as_bytes() || token.deliveries > 1 {
            return Err(Stop::Ignore);
        }
        if token.consumer_seq != feed.delivered + 1 {
            return Err(if token.consumer_seq > feed.delivered {
                Stop::Again
            } else {
                Stop::Ignore
            });
        }
        if token.stream_seq > SEQ_MAX {
            // No stream comes so far.
            return Err(Stop::Again);
        }
        if feed.mirror {
            // A purge may have moved it on.
            feed.seq = feed.seq.max(self.log.state().last_seq);
        }
        if token.stream_seq <= feed.seq {
            feed.delivered += 1;
            return Ok(false);
        }
        // By the reference's count the last message is no lag; one that is not taken shows it too.
        feed.lag = token.pending.saturating_sub(1);
        let before = feed.seq;
        feed.seq = token.stream_seq;
        let at = feed.mirror.then_some((token.stream_seq, token.time_ns));
        match self.store_from(host, now, feed, arrival, at) {
            Ok(Some(own)) if !feed.mirror => feed.took(own, self.log.visible_last()),
            Ok(_) => {}
            // The rest of what comes from this consumer is ignored: it is asked for again from here.
            Err(stop) => {
                feed.seq = before;
                return Err(stop);
            }
        }
        feed.delivered += 1;
        feed.pending(token.pending);
        Ok(true)
    }

    /// Stores a message under its name here. The sequence, or none for a duplicate.
    fn store_from(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        feed: &Feed,
        arrival: &Arrival,
        at: Option<(u64, i64)>,
    ) -> Result<Option<u64>, Stop> {
        let origin = arrival.subject();
        let mut renamed = feed.rename(origin, host.random());
        if let Some(rule) = &self.rules.transform {
            let subject = renamed.as_deref().unwrap_or(origin);
            if let Some(own) = rule.apply_literal(subject, host.random()) {
                renamed = Some(own.to_vec());
            }
        }
        let block = match feed.mirror {
            true => header::without_conditions(arrival.headers()),
            false => header::with_origin(
                arrival.headers(),
                &feed.index,
                feed.seq,
                origin,
                &feed.identity,
            )
            .into(),
        };
        let msg = Inbound {
            subject: renamed.as_deref().unwrap_or(origin),
            reply: None,
            headers: &block,
            payload: arrival.payload(),
        };
        let found = headers::scan(&block);
        let time = at.map_or(now.unix_ns.max(self.log.state().last_time), |(_, time)| time);
        if at.is_none()
            && let Some(id) = found.msg_id
            && self.config.duplicate_window > 0
        {
            let oldest = time.saturating_sub(self.config.duplicate_window);
            if self.dedupe.find(id, oldest).is_some() {
                return Ok(None);
            }
        }
        let counted = match self.config.allow_msg_counter {
            true => Some(self.count_sourced(&msg, &found)?.ok_or(Stop::Later)?),
            false => None,
        };
        let (msg, found) = match &counted {
            Some(Counted { headers, payload, .. }) => {
                (Inbound { headers, payload, ..msg }, headers::scan(headers))
            }
            None => (msg, found),
        };
        let Some(admitted) = self.admit_sourced(&msg, &found)? else {
            // Nobody would receive it here.
            let skipped = match at {
                Some((seq, _)) => {
                    self.log.skip_to(seq);
                    seq
                }
                None => self.log.skip(time).seq,
            };
            return Ok(Some(skipped));
        };
        let (seq, flags) = match at {
            Some((seq, _)) => (Some(seq), 0),
            None => (None, FLAG_SOURCED),
        };
        let (seq, _) = self.store_at(host, (seq, flags), time, &msg, &found, &admitted);
        if let Some(counted) = counted {
            self.keep_counted(renamed.as_deref().unwrap_or(origin), seq, counted);
        }
        Ok(Some(seq))
    }

    /// The checks that count for a message another stream has accepted before; none where nobody would
    /// receive it.
    fn admit_sourced(
        &mut self,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Option<Admitted>, ApiError> {
        if msg.subject.len() + msg.headers.len() + msg.payload.len() > RECORD_MAX {
            return Err(ApiError::StreamStoreFailed { err: "message too large".into() });
        }
        if self.config.sealed {
            return Err(ApiError::StreamSealed);
        }
        self.check_size(msg)?;
        if !self.wants(msg.subject) {
            return Ok(None);
        }
        let bytes = self.log.message_bytes(msg.subject.len(), msg.headers.len(), msg.payload.len());
        self.check_room(bytes)?;
        let rolls = self.config.allow_rollup_hdrs && !self.config.deny_purge;
        let rollup = match found.rollup.filter(|_| rolls) {
            Some(value) if value.eq_ignore_ascii_case(b"sub") => Some(Rollup::Subject),
            Some(value) if value.eq_ignore_ascii_case(b"all") => Some(Rollup::All),
            _ => None,
        };
        let ttl = found.ttl.filter(|_| self.config.allow_msg_ttl).and_then(Ttl::parse);
        if self.config.discard == Discard::New {
            self.check_discard_new(msg.subject, bytes)?;
        }
        self.check_blocked()?;
        Ok(Some(Admitted { ttl, rollup, since: 0, is_part: false }))
    }
}
