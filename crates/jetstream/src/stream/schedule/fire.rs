//! What schedules make when they are due.

use natterjack_store::{Get, Next, Purge};

use super::plan::Plan;
use super::{Pattern, SECOND};
use crate::ctx::NOTE_SCHEDULE;
use crate::error::ApiError;
use crate::host::Host;
use crate::stream::Stream;
use crate::stream::headers::{self, VERSION_LINE};
use crate::stream::publish::{Inbound, Rollup, Verdict};
use crate::time::Now;

/// Schedules that one call serves; the timer comes back at once for the rest.
const BATCH: usize = 256;
/// After which time one that found no room is tried again.
const RETRY: i64 = 5 * SECOND;

impl Stream {
    /// Makes what is due. True when more is due already.
    pub(in crate::stream) fn run_schedules(&mut self, host: &mut dyn Host, now: Now) -> bool {
        for _ in 0..BATCH {
            let first = self.plan.first().filter(|(due, _)| *due <= now.unix_ns);
            let Some((due, seq)) = first else { return false };
            if self.is_overloaded(0) || !self.fire(host, now, seq, due) {
                // The next completion calls again.
                self.expiry_reads = true;
                return false;
            }
        }
        true
    }

    /// Makes what the schedule at `seq` asks for. False when a message has to be read first.
    fn fire(&mut self, host: &mut dyn Host, now: Now, seq: u64, due: i64) -> bool {
        let own = match self.log.get(seq) {
            Get::Pending => return false,
            Get::Found(message) => Some(Content {
                headers: message.headers.to_vec(),
                payload: message.payload.to_vec(),
                subject: message.subject.to_vec(),
            }),
            Get::Missing | Get::Damaged => None,
        };
        // A message that came later on the subject has replaced it, a schedule or not.
        let own = own.filter(|own| self.log.subject(&own.subject).is_some_and(|on| on.last == seq));
        let zone = &self.shared.options.zone;
        let order = own.as_ref().and_then(|own| {
            let pattern = Pattern::read(&own.headers, zone).ok()??;
            let target = headers::get(&own.headers, b"Nats-Schedule-Target")?;
            Some((own, pattern, target))
        });
        let Some((own, pattern, target)) = order else {
            self.plan.forget(seq);
            // What replaced it may be refused by the disk yet.
            let (durable, end) = (self.log.durable(), self.log.end());
            if durable < end {
                self.plan.fired(durable, end, seq, due);
            }
            return true;
        };
        let mut sample = None;
        if let Some(source) = headers::get(&own.headers, b"Nats-Schedule-Source")
            && let Next::Found(last) = self.log.last_on(source)
        {
            match self.log.get(last) {
                Get::Pending => return false,
                Get::Found(message) => {
                    sample = Some((message.headers.to_vec(), message.payload.to_vec()));
                }
                Get::Missing | Get::Damaged => {}
            }
        }
        let again = pattern.again(due, now.unix_ns);
        let next = again.map(|next| pattern.shown(next));
        let (block, payload) = match &sample {
            Some((block, payload)) => (block, payload),
            None => (&own.headers, &own.payload),
        };
        let block = own.made(block, next.as_deref().unwrap_or("purge"));
        let transformed = match &self.rules.transform {
            Some(rule) => rule.apply_literal(target, host.random()),
            None => None,
        };
        let subject = transformed.as_deref().unwrap_or(target);
        let msg = Inbound { subject, reply: None, headers: &block, payload };
        let made = self.make(host, now, &msg);
        let Some(made) = made else {
            let retry = now.unix_ns.saturating_add(RETRY);
            self.plan.postpone(seq, again.map_or(retry, |next| next.min(retry)));
            return true;
        };
        let pos = match again {
            Some(next) => {
                self.plan.postpone(seq, next);
                self.log.note(NOTE_SCHEDULE, &Plan::note(seq, next))
            }
            None => {
                self.plan.forget(seq);
                let filter = Some(&*own.subject);
                self.roll_up(&Purge { filter, below_seq: None, keep: None })
            }
        };
        self.plan.fired(self.log.durable(), pos.max(made), seq, due);
        true
    }

    /// Stores a message that a schedule made; `None` where it cannot be now.
    fn make(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
    ) -> Option<natterjack_store::LogPos> {
        let found = headers::scan(msg.headers);
        let rollup = found.rollup.map(|_| Rollup::Subject);
        let verdict = if self.config.sealed {
            Err(ApiError::StreamSealed)
        } else {
            self.check_storing(msg, &found, rollup)
        };
        let time = now.unix_ns.max(self.log.state().last_time);
        self.unsettled = true;
        match verdict.ok()? {
            Verdict::Store(admitted) => Some(self.store(host, time, msg, &found, &admitted).1),
            Verdict::Unwanted => Some(self.log.skip(time).pos),
            Verdict::Duplicate(_) | Verdict::Counter => None,
        }
    }
}

/// A schedule as it is stored.
struct Content {
    headers: Vec<u8>,
    payload: Vec<u8>,
    subject: Vec<u8>,
}

impl Content {
    /// The headers of what it makes: those of `block`, which is its own or its source's, without what
    /// steers schedules or would keep it from being stored; then who made it and what comes next.
    fn made(&self, block: &[u8], next: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.len() + self.subject.len() + 96);
        out.extend_from_slice(VERSION_LINE);
        let steers = |name: &[u8]| {
            name.starts_with(b"Nats-Schedule")
                || name.starts_with(b"Nats-Expected-")
                || matches!(name, b"Nats-Msg-Id" | b"Nats-TTL" | b"Nats-Rollup")
        };
        for line in headers::raw_lines(block) {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            if !steers(name) {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
        }
        let mut line = |name: &[u8], value: &[u8]| {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        };
        line(b"Nats-Scheduler", &self.subject);
        line(b"Nats-Schedule-Next", next.as_bytes());
        if let Some(ttl) = headers::get(&self.headers, b"Nats-Schedule-TTL") {
            line(b"Nats-TTL", ttl);
        }
        if let Some(rollup) = headers::get(&self.headers, b"Nats-Schedule-Rollup") {
            line(b"Nats-Rollup", rollup);
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_carries_what_the_publisher_wrote() {
        let own = Content {
            headers:
                b"NATS/1.0\r\nA:b\r\nNats-Schedule: @daily\r\nNats-Schedule-Target: t\r\n\
                Nats-Schedule-TTL: 5m\r\nNats-Schedule-Rollup: sub\r\nNats-Msg-Id: 1\r\n\
                Nats-TTL: 1h\r\nNats-Rollup: sub\r\nNats-Expected-Last-Sequence: 1\r\nC:  d\r\n\r\n"
                    .to_vec(),
            payload: Vec::new(),
            subject: b"s.a".to_vec(),
        };
        let made = own.made(&own.headers, "purge");
        let expected = "NATS/1.0\r\nA:b\r\nC:  d\r\nNats-Scheduler: s.a\r\n\
            Nats-Schedule-Next: purge\r\nNats-TTL: 5m\r\nNats-Rollup: sub\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&made), expected);
        let sampled = own.made(b"", "purge");
        assert!(sampled.starts_with(b"NATS/1.0\r\nNats-Scheduler: s.a\r\n"));
    }
}
