//! One source of a stream, or what it is a mirror of: where it stands, and when it is asked again.

use std::collections::VecDeque;

use natterjack_subject::Transform;
use serde::{Deserialize, Serialize};

use super::arrivals::Queue;
use super::ask::api_subject;
use super::header;
use crate::error::ApiError;
use crate::host::{Host, Outgoing};
use crate::stream::config::Source;
use crate::time::Now;

const SECOND: u64 = 1_000_000_000;
/// Requests for one consumer are at least this far apart (nats-server 2.15.1).
const ASK_EVERY: u64 = 2 * SECOND;
/// After failures the wait doubles up to this.
const WAIT_MAX: u64 = 120 * SECOND;
/// Silence after which a consumer is taken for gone: ten heartbeats.
pub(super) const SILENCE: u64 = 10 * SECOND;

/// With fewer messages to come a mirror may answer for its origin (nats-server 2.15.1).
const CAUGHT_UP: u64 = 10;

/// What the origin said it is wrong with, as info shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct SourceError {
    pub code: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub err_code: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl From<ApiError> for SourceError {
    fn from(error: ApiError) -> Self {
        // Numbers and a string, which always are what they were.
        let shown = serde_json::to_value(&error).unwrap_or_default();
        serde_json::from_value(shown).unwrap_or_default()
    }
}

/// A subject and a header block.
type Reply = (Box<[u8]>, Box<[u8]>);

/// What a feed waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// To ask for a consumer at this time, monotonic.
    Waiting(u64),
    /// The answer, until this time.
    Asking(u64),
    /// Messages.
    Following,
}

/// What the server of the origin knows; it is asked again for less when it refuses (nats-server 2.15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Identities of streams.
    Identity,
    /// Sourcing consumers.
    Sourcing,
    /// Neither.
    Plain,
}

/// A source with its progress.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) source: Source,
    /// It is what the stream mirrors: sequences and times stay.
    pub(super) mirror: bool,
    /// The name of the source in headers.
    pub(super) index: String,
    rules: Vec<Transform>,
    pub(super) phase: Phase,
    /// Stands for the attempt that runs: answers come under it, messages under the next number.
    pub(super) token: u64,
    /// The subjects that are open for it; empty for none.
    pub(super) inbox: String,
    pub(super) deliver: String,
    /// The origin's consumer.
    pub(super) consumer: String,
    pub(super) level: Level,
    /// Which stream the origin is; empty while that is not known.
    pub(super) identity: String,
    /// The origin is another one than before: it is taken from its beginning.
    pub(super) recreated: bool,
    asked: Option<u64>,
    fails: u32,
    /// When something was last heard, monotonic.
    pub(super) heard: Option<u64>,
    /// The last sequence of the origin that was taken.
    pub(super) seq: u64,
    /// The last sequence of its consumer.
    pub(super) delivered: u64,
    pub(super) lag: u64,
    /// It was close behind its origin once.
    pub(super) caught_up: bool,
    pub(super) error: Option<SourceError>,
    /// Answers to flow control of a stream in memory, which has no disk to wait for: with the next tick,
    /// so that a long catch-up lets others have their turn. Subject and headers.
    pub(super) replies: Vec<Reply>,
    /// What came before the origin's answer: a consumer that is kept delivers before it is on disk.
    pub(super) early: Queue,
    /// Own and origin's sequences of what is not known to be durable.
    flight: VecDeque<(u64, u64)>,
    /// The origin's sequence before those.
    settled: u64,
}

impl Feed {
    pub(super) fn new(source: &Source, mirror: bool, now: Now) -> Self {
        let rule = |rule: &crate::stream::config::Transform| {
            (!rule.dest.is_empty()).then(|| Transform::new(&rule.src, &rule.dest).ok()).flatten()
        };
        Self {
            mirror,
            index: header::index(source),
            rules: source.subject_transforms.iter().filter_map(rule).collect(),
            source: source.clone(),
            phase: Phase::Waiting(now.mono_ns),
            token: 0,
            inbox: String::new(),
            deliver: String::new(),
            consumer: String::new(),
            level: if mirror { Level::Sourcing } else { Level::Identity },
            identity: String::new(),
            recreated: false,
            asked: None,
            fails: 0,
            heard: None,
            seq: 0,
            delivered: 0,
            lag: 0,
            caught_up: false,
            error: None,
            replies: Vec::new(),
            early: Queue::default(),
            flight: VecDeque::new(),
            settled: 0,
        }
    }

    /// Goes on behind `seq` of the stream with this identity.
    pub(super) fn resume(&mut self, seq: u64, identity: &str) {
        (self.seq, self.settled) = (seq, seq);
        identity.clone_into(&mut self.identity);
    }

    /// When it has something to do next.
    pub(super) fn deadline(&self) -> u64 {
        if !self.replies.is_empty() {
            return 0;
        }
        match self.phase {
            Phase::Waiting(at) | Phase::Asking(at) => at,
            Phase::Following => self.heard.unwrap_or(0).saturating_add(SILENCE),
        }
    }

    /// A request goes out, and the answer is awaited for so long.
    pub(super) fn asked(&mut self, now: Now, wait: u64) {
        self.asked = Some(now.mono_ns);
        self.error = None;
        self.phase = Phase::Asking(now.mono_ns.saturating_add(wait));
    }

    /// So many messages are still to come.
    pub(super) fn pending(&mut self, pending: u64) {
        self.caught_up |= pending < CAUGHT_UP;
    }

    /// The origin answered and will send.
    pub(super) fn follow(&mut self, now: Now, consumer: String) {
        self.consumer = consumer;
        self.phase = Phase::Following;
        self.heard = Some(now.mono_ns);
        self.delivered = 0;
        self.fails = 0;
    }

    /// Asks again, as soon as requests may be.
    pub(super) fn again(&mut self, host: &mut dyn Host, account: &str, stream_id: u64, now: Now) {
        self.close(host, account, stream_id);
        let soonest = self.asked.map_or(0, |asked| asked.saturating_add(ASK_EVERY));
        self.phase = Phase::Waiting(soonest.max(now.mono_ns));
    }

    /// As [`again`](Self::again) after a failure: longer for each one in a row.
    pub(super) fn failed(
        &mut self,
        host: &mut dyn Host,
        account: &str,
        stream_id: u64,
        now: Now,
        error: Option<SourceError>,
    ) {
        self.close(host, account, stream_id);
        self.error = error;
        let wait = (ASK_EVERY << self.fails.min(6)).min(WAIT_MAX);
        // Not all of them at once.
        let wait = wait + host.random() % (ASK_EVERY / 8);
        self.fails = self.fails.saturating_add(1);
        self.phase = Phase::Waiting(now.mono_ns.saturating_add(wait));
    }

    /// Asks at once: something about the origin changed.
    pub(super) fn hurry(&mut self, now: Now) {
        self.fails = 0;
        self.phase = Phase::Waiting(now.mono_ns);
    }

    /// Takes nothing any more of what the attempt that ran asked for.
    pub(super) fn close(&mut self, host: &mut dyn Host, account: &str, stream_id: u64) {
        self.token = 0;
        self.replies.clear();
        self.early = Queue::default();
        for subject in [std::mem::take(&mut self.inbox), std::mem::take(&mut self.deliver)] {
            if !subject.is_empty() {
                host.close_inlet(account, subject.as_bytes(), stream_id);
            }
        }
    }

    /// As [`close`](Self::close) for good: the origin need not keep the consumer, which in a work queue
    /// would hold its messages for ever (nats-server 2.15.1).
    pub(super) fn leave(&mut self, host: &mut dyn Host, account: &str, stream_id: u64) {
        self.close(host, account, stream_id);
        let name = std::mem::take(&mut self.consumer);
        if name.is_empty() || self.source.consumer.is_some() {
            return;
        }
        let endpoint = format!("CONSUMER.DELETE.{}.{name}", self.source.name);
        let subject = api_subject(self, &endpoint);
        host.deliver(&Outgoing {
            account,
            route: subject.as_bytes(),
            subject: subject.as_bytes(),
            reply: None,
            headers: &[],
            payload: &[],
        });
    }

    /// The subject under which a message is stored.
    pub(super) fn rename(&self, subject: &[u8], random: u64) -> Option<Vec<u8>> {
        self.rules.iter().find_map(|rule| rule.apply_literal(subject, random))
    }

    /// The message that was just taken is the stream's `own`; all up to `durable` are safe.
    pub(super) fn took(&mut self, own: u64, durable: u64) {
        self.flight.push_back((own, self.seq));
        while self.flight.front().is_some_and(|(own, _)| *own <= durable)
            && let Some((_, seq)) = self.flight.pop_front()
        {
            self.settled = seq;
        }
    }

    /// The stream lost its messages from `own` on.
    pub(super) fn lost(&mut self, own: u64) {
        while self.flight.back().is_some_and(|(taken, _)| *taken >= own) {
            self.flight.pop_back();
        }
        self.seq = self.flight.back().map_or(self.settled, |(_, seq)| *seq);
    }

    /// The origin begins anew.
    pub(super) fn rewind(&mut self) {
        self.flight.clear();
        (self.seq, self.settled) = (0, 0);
    }
}
