//! What becomes of a message of a fast batch.

use super::{Flow, Op, Place, ack_body, error_body, gap_body};
use crate::error::ApiError;
use crate::host::Host;
use crate::stream::headers::{self, PublishHeaders};
use crate::stream::publish::{Inbound, Put, number};
use crate::stream::{Stream, meta};
use crate::time::Now;

impl Stream {
    /// Takes a message whose reply subject is one of a fast batch.
    #[cold]
    pub(in crate::stream) fn publish_fast(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        reply: Option<&[u8]>,
    ) {
        if let Err(error) = self.take_fast(host, now, msg, found) {
            self.answer_error(host, reply, &error);
        }
    }

    fn take_fast(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<(), ApiError> {
        if self.config.sealed {
            return Err(ApiError::StreamSealed);
        }
        let bytes = self.log.message_bytes(msg.subject.len(), msg.headers.len(), msg.payload.len());
        self.check_room(bytes)?;
        self.check_size(msg)?;
        if !self.config.allow_batched {
            return Err(ApiError::BatchPublishDisabled);
        }
        // Within a batch also a stream without acks answers (nats-server 2.15.1).
        let reply = msg.reply;
        let place = reply.and_then(Place::read).ok_or(ApiError::BatchPublishInvalidPattern)?;
        let held = &self.shared.batches;
        let Place { id, seq, op, .. } = place;
        let batch = self.fast.enter(held, now.mono_ns, &place)?;
        let level = found.required_level.map(number);
        if level.is_some_and(|level| level.is_none_or(|level| level > meta::API_LEVEL)) {
            self.fast.close(held, id);
            return Err(ApiError::RequiredApiLevel);
        }
        let (expected, gaps) = (batch.seq + 1, batch.gaps);
        if op == Op::Ping {
            // A ping comes after the message of its sequence.
            let behind = seq >= expected;
            if behind {
                if gaps {
                    batch.seq = seq;
                }
                self.say(reply, 0, &gap_body(expected, seq.saturating_add(1)));
                if !gaps {
                    self.end_fast(reply, id);
                    return Ok(());
                }
            }
            match self.fast.due(id).filter(|_| behind) {
                Some(flow) => self.say_flow(reply, id, flow),
                None => self.tell_flow(reply, id),
            }
            return Ok(());
        }
        let fits = seq == expected || (seq > expected && gaps);
        if fits {
            batch.seq = if op == Op::End { seq - 1 } else { seq };
        }
        if seq != expected {
            self.say(reply, 0, &gap_body(expected, seq));
        }
        // Also what comes once more ends the batch: it cannot be said what the publisher means.
        if op == Op::End || !fits {
            self.end_fast(reply, id);
            return Ok(());
        }
        if seq == 1 && op != Op::Commit {
            // But not that it begins.
            self.tell_flow(self.answered(msg), id);
        }
        self.store_fast(host, now, msg, found, &place);
        Ok(())
    }

    /// Stores a message of a batch, or says why not.
    fn store_fast(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        place: &Place<'_>,
    ) {
        let Place { id, gaps, seq, op, .. } = *place;
        let (reply, commit) = (msg.reply, op == Op::Commit);
        let put = if found.required_level.is_some() {
            let block = headers::without_line(msg.headers, b"Nats-Required-Api-Level");
            let msg = Inbound { headers: &block, ..*msg };
            self.put_fast(host, now, &msg, &headers::scan(&block))
        } else {
            self.put_fast(host, now, msg, found)
        };
        let first = !gaps && seq == 1;
        match put {
            Ok(Put::Stored { seq: stored, .. } | Put::Counted { seq: stored, .. }) => {
                if let Some(batch) = self.fast.open.get_mut(id) {
                    batch.stored = stored;
                }
                if commit {
                    self.end_fast(reply, id);
                } else if let Some(flow) = self.fast.due(id) {
                    self.say_flow(reply, id, flow);
                }
            }
            Ok(Put::Duplicate(known)) => {
                if let Some(flow) = self.fast.due(id) {
                    self.say_flow(reply, id, flow);
                }
                if !commit {
                    return;
                }
                if first {
                    self.fast.close(&self.shared.batches, id);
                    if let Some(reply) = reply {
                        self.answers.batch_duplicate(self.log.end(), reply, known, id, seq);
                    }
                } else {
                    self.end_fast(reply, id);
                }
            }
            Err(error) if first => {
                self.fast.close(&self.shared.batches, id);
                self.answer_error(host, reply, &error);
            }
            Err(error) => {
                self.say(reply, 0, &error_body(seq, &error));
                if gaps && !commit {
                    return;
                }
                if let Some(batch) = self.fast.open.get_mut(id) {
                    batch.seq -= 1;
                }
                self.end_fast(reply, id);
            }
        }
    }

    /// Ends a batch: its publisher hears how much of it was taken.
    fn end_fast(&mut self, reply: Option<&[u8]>, id: &[u8]) {
        let Some(batch) = self.fast.close(&self.shared.batches, id) else { return };
        if let Some(reply) = reply {
            let end = self.log.end();
            self.answers.batch_ack(end, reply, batch.stored, id, batch.seq);
        }
    }

    /// The ack that was due last, again.
    fn tell_flow(&mut self, reply: Option<&[u8]>, id: &[u8]) {
        let Some(batch) = self.fast.open.get(id) else { return };
        let flow = Flow { seq: batch.told, messages: batch.flow };
        self.say_flow(reply, id, flow);
    }

    fn say_flow(&mut self, reply: Option<&[u8]>, id: &[u8], flow: Flow) {
        let stored = self.fast.open.get(id).map_or(0, |batch| batch.stored);
        self.say(reply, stored, &ack_body(flow));
    }

    /// Answers once all before is durable. It becomes an error where the disk does not take the message
    /// of the stream that it tells of.
    fn say(&mut self, reply: Option<&[u8]>, stored: u64, body: &[u8]) {
        if let Some(reply) = reply {
            self.answers.told(self.log.end(), reply, stored, body);
        }
    }
}
