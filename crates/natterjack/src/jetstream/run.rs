//! The loop that feeds messages of a durable consumer to a handler.
//!
//! Messages come from the [`Puller`], wait here if their key is busy or all handlers are, and are
//! handled and settled in tasks of their own. It ends by shutdown, by a limit, when the consumer is gone
//! for good, or with the connection; then messages that were not started go back at once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Message;
use futures_util::FutureExt;
use serde::Serialize;
use tokio::task::JoinSet;

use super::consumer::{ConsumerBuilder, KeyFn};
use super::crashes::Crashes;
use super::dead_letter::{DeadLetter, Letter};
use super::delivery::{Delivery, IntoOutcome, Outcome, Verdict};
use super::meta::Meta;
use super::puller::{Pulled, Puller};
use super::settle::{Progress, Settler};
use crate::codec::{Decode, Decoder};
use crate::connect::{Backoff, Link};
use crate::error::{Error, StreamError};
use crate::event::{ConnState, Event};
use crate::otel::{Kind, Span};
use crate::signal::reached;
use crate::units::pretty;

/// Messages in hand for each handler: one that it works on, and one that waits for it.
const HAND_PER_HANDLER: usize = 2;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEnd {
    /// `until` was over, or the connection was drained.
    Shutdown,
    /// As many messages were handled as `limit` says.
    Limit,
    /// The consumer was deleted.
    Deleted,
    /// The connection was closed.
    Closed,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunReport {
    /// Messages whose handler finished.
    pub handled: u64,
    /// Messages that were acknowledged.
    pub acked: u64,
    /// Messages that were sent back to be delivered again.
    pub retried: u64,
    /// Messages that were rejected for good.
    pub rejected: u64,
    /// Messages that were kept on the dead-letter subject.
    pub dead_lettered: u64,
    /// Messages that had been delivered before.
    pub redelivered: u64,
    /// Messages that were sent back at the end because they were not started.
    pub returned: u64,
    /// How long it took.
    pub took: Duration,
    /// Why it ended.
    pub end: RunEnd,
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} handled, {} acked, {} retried, {} rejected, {} dead-lettered, {} redelivered, {} returned in {}",
            self.handled,
            self.acked,
            self.retried,
            self.rejected,
            self.dead_lettered,
            self.redelivered,
            self.returned,
            pretty(self.took)
        )
    }
}

/// How a message was settled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settled {
    Acked,
    Retried,
    Rejected,
    DeadLettered,
}

/// What the tasks that handle messages share.
struct Rules {
    link: Arc<Link>,
    dead_letter: Option<DeadLetter>,
    backoff: Backoff,
    max_deliver: Option<u64>,
    limit: Duration,
}

/// A message in hand.
struct Held {
    settler: Settler,
    /// When its handler began.
    started: Option<Instant>,
}

struct Waiting<T> {
    id: u64,
    key: Option<String>,
    delivery: Delivery<T>,
}

struct Done {
    id: u64,
    key: Option<String>,
    settled: Settled,
}

struct Run<T, F> {
    rules: Arc<Rules>,
    handle: Arc<F>,
    decoder: Decoder<T>,
    key: Option<KeyFn<T>>,
    concurrency: usize,
    left: Option<u64>,
    next_id: u64,
    held: HashMap<u64, Held>,
    ready: VecDeque<Waiting<T>>,
    /// Keys that are busy, and what waits for each.
    busy: HashMap<String, VecDeque<Waiting<T>>>,
    tasks: JoinSet<Done>,
    report: RunReport,
}

impl<T, C> ConsumerBuilder<T, C>
where
    T: Send + 'static,
    C: Decode<T>,
{
    /// Makes sure that the consumer exists, and calls an async function with each message. The function
    /// returns a [`Verdict`], nothing (which acknowledges), or a `Result`: an error means another try by
    /// the backoff until `max_deliver`, then the dead letter. A panic counts as an error. A message whose
    /// handler ended its process at each delivery is kept, too, by who runs the consumer then: the server's
    /// advisories of such messages are read from the stream `natterjack_max_deliveries`, which is made
    /// unless one of the account has them already.
    ///
    /// It goes on over restarts, missed heartbeats and leader changes, and ends by
    /// [`until`](Self::until), [`limit`](Self::limit), a drain, a deleted consumer (by
    /// [`if_deleted`](Self::if_deleted)), or the end of the connection. At the end running handlers
    /// finish, and messages that were not started go back at once, so that another worker gets them.
    ///
    /// Dropping the future abandons messages in hand; they are delivered again after `ack_wait`.
    ///
    /// # Errors
    /// As for [`ensure`](Self::ensure); later only if the consumer cannot be pulled from at all.
    pub async fn run<F, Fut>(mut self, handle: F) -> Result<RunReport, StreamError>
    where
        F: Fn(Delivery<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoOutcome> + Send + 'static,
    {
        let started = Instant::now();
        let info = self.spec.ensure().await?;
        let link = self.spec.js.link().clone();
        let _work = link.work.begin();
        let limit = self.spec.js.api.limit;
        let rules = Rules {
            link: link.clone(),
            dead_letter: self.dead_letter.take(),
            backoff: self.backoff,
            max_deliver: info.max_deliver,
            limit,
        };
        // Before the first request for messages, so that nothing is told that nobody hears.
        let crashes = match (&rules.dead_letter, rules.max_deliver) {
            (Some(to), Some(_)) => {
                let (js, names) = (&self.spec.js, (&*self.spec.stream, &*self.spec.name));
                Crashes::watch(js, names, to.clone(), self.backoff).await?
            }
            _ => None,
        };
        let mut until = self.until.take().unwrap_or_else(|| Box::pin(std::future::pending()));
        let mut ticks = progress_ticks(self.progress, info.ack_wait);
        let mut puller = Puller::new(self.spec).await?;
        let mut state = link.watch_state();
        let mut run = Run {
            rules: Arc::new(rules),
            handle: Arc::new(handle),
            decoder: Decoder::of::<C>(),
            key: self.key,
            concurrency: self.concurrency,
            left: self.limit,
            next_id: 0,
            held: HashMap::new(),
            ready: VecDeque::new(),
            busy: HashMap::new(),
            tasks: JoinSet::new(),
            report: RunReport {
                handled: 0,
                acked: 0,
                retried: 0,
                rejected: 0,
                dead_lettered: 0,
                redelivered: 0,
                returned: 0,
                took: Duration::ZERO,
                end: RunEnd::Shutdown,
            },
        };
        run.report.end = loop {
            run.start_ready();
            if run.left == Some(0) && run.held.is_empty() {
                break RunEnd::Limit;
            }
            let free = run.free();
            tokio::select! {
                () = &mut until => break RunEnd::Shutdown,
                () = reached(&mut state, ending) => break RunEnd::Shutdown,
                Some(done) = run.tasks.join_next() => run.finished(done),
                _ = ticks.tick() => run.show_progress(self.max_processing).await,
                pulled = puller.next(free) => match pulled? {
                    Pulled::Message(message) => run.take_in(message).await,
                    Pulled::Gone => break RunEnd::Deleted,
                    Pulled::Closed => break RunEnd::Closed,
                },
            }
        };
        if link.check_open().is_err() {
            run.report.end = RunEnd::Closed;
        }
        run.give_back(puller).await;
        while !run.tasks.is_empty() && link.check_open().is_ok() {
            tokio::select! {
                Some(done) = run.tasks.join_next() => run.finished(done),
                _ = ticks.tick() => run.show_progress(self.max_processing).await,
                () = reached(&mut state, |s| matches!(s, ConnState::Closed { .. })) => {}
            }
        }
        if let Some(crashes) = crashes {
            run.report.dead_lettered += crashes.end(limit).await;
        }
        run.report.took = started.elapsed();
        Ok(run.report)
    }
}

fn ending(state: &ConnState) -> bool {
    matches!(state, ConnState::Draining | ConnState::Closed { .. })
}

/// Ticks at half the ack wait, or (practically) never.
fn progress_ticks(progress: Progress, ack_wait: Duration) -> tokio::time::Interval {
    let period = match progress {
        Progress::Auto if !ack_wait.is_zero() => (ack_wait / 2).max(Duration::from_millis(20)),
        Progress::Auto => Duration::from_secs(15),
        Progress::Off => Duration::from_secs(86_400),
    };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

impl<T, F, Fut> Run<T, F>
where
    T: Send + 'static,
    F: Fn(Delivery<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    /// How many more messages may come.
    fn free(&self) -> usize {
        let room = (self.concurrency * HAND_PER_HANDLER).saturating_sub(self.held.len());
        match self.left {
            Some(left) => {
                // Messages in hand count against the limit when they are handled.
                let wanted =
                    usize::try_from(left).unwrap_or(usize::MAX).saturating_sub(self.held.len());
                room.min(wanted)
            }
            None => room,
        }
    }

    async fn take_in(&mut self, message: Message) {
        let reply = message.reply.as_ref().map(|reply| reply.to_string()).unwrap_or_default();
        let meta = match Meta::parse(&reply) {
            Ok(meta) => meta,
            Err(error) => {
                self.rules.link.emit(Event::Background { error: error.into() });
                return;
            }
        };
        let settler = Settler { link: self.rules.link.clone(), reply, limit: self.rules.limit };
        if meta.delivered > 1 {
            self.report.redelivered += 1;
            self.rules.link.meters.redelivered();
        }
        let copy = message.clone();
        let delivery = match Delivery::decode(message, meta.clone(), self.decoder) {
            Ok(delivery) => delivery,
            Err(error) => {
                let text = error.to_string();
                self.rules.link.emit(Event::Background { error: error.into() });
                let story = Story::new(copy, meta);
                let settled = self.rules.set_aside(&settler, &story, "undecodable", &text).await;
                self.count(settled);
                return;
            }
        };
        let id = self.next_id;
        self.next_id += 1;
        self.held.insert(id, Held { settler, started: None });
        let key = self.key.as_ref().map(|key| key(&delivery));
        let waiting = Waiting { id, key, delivery };
        match waiting.key.as_ref().and_then(|key| self.busy.get_mut(key)) {
            Some(queue) => queue.push_back(waiting),
            None => {
                if let Some(key) = &waiting.key {
                    self.busy.insert(key.clone(), VecDeque::new());
                }
                self.ready.push_back(waiting);
            }
        }
    }

    fn start_ready(&mut self) {
        while self.tasks.len() < self.concurrency
            && let Some(waiting) = self.ready.pop_front()
        {
            let Some(held) = self.held.get_mut(&waiting.id) else { continue };
            held.started = Some(Instant::now());
            let (rules, handle, settler) =
                (self.rules.clone(), self.handle.clone(), held.settler.clone());
            let Waiting { id, key, delivery } = waiting;
            self.tasks.spawn(async move {
                let story = Story::of(&delivery);
                let handling = rules.link.meters.handling(&story.subject);
                let kind = Kind::Delivery { headers: &story.headers, meta: &story.meta };
                let span = Span::begin(&kind, &rules.link, &story.subject, story.body.len());
                let future = AssertUnwindSafe(async { handle(delivery).await.into_outcome() });
                let outcome = match span.within(future.catch_unwind()).await {
                    Ok(outcome) => outcome,
                    Err(_) => Outcome::Failed("the handler panicked".into()),
                };
                if let Outcome::Failed(why) = &outcome {
                    span.failed(why);
                }
                span.end();
                handling.end();
                let settled = rules.settle(&settler, &story, outcome).await;
                rules.link.work.handled();
                Done { id, key, settled }
            });
        }
    }

    fn finished(&mut self, done: Result<Done, tokio::task::JoinError>) {
        // Tasks are not aborted and do not panic outside the handler, which is caught.
        let Ok(Done { id, key, settled }) = done else { return };
        self.held.remove(&id);
        self.report.handled += 1;
        self.count(settled);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        let Some(key) = key else { return };
        match self.busy.get_mut(&key).and_then(VecDeque::pop_front) {
            Some(next) => self.ready.push_back(next),
            None => {
                self.busy.remove(&key);
            }
        }
    }

    fn count(&mut self, settled: Settled) {
        self.rules.link.meters.settled(settled);
        match settled {
            Settled::Acked => self.report.acked += 1,
            Settled::Retried => self.report.retried += 1,
            Settled::Rejected => self.report.rejected += 1,
            Settled::DeadLettered => self.report.dead_lettered += 1,
        }
    }

    async fn show_progress(&self, max_processing: Duration) {
        for held in self.held.values() {
            if held.started.is_none_or(|started| started.elapsed() < max_processing) {
                // Lost progress means another delivery, which is allowed.
                let _ = held.settler.progress().await;
            }
        }
    }

    /// Sends back what was not started.
    async fn give_back(&mut self, puller: Puller) {
        let waiting = self.ready.drain(..).chain(self.busy.drain().flat_map(|(_, queue)| queue));
        let ids: Vec<u64> = waiting.map(|waiting| waiting.id).collect();
        for id in ids {
            if let Some(held) = self.held.remove(&id) {
                self.report.returned += 1;
                let _ = held.settler.nak(None).await;
            }
        }
        for message in puller.stop().await {
            if let Some(reply) = message.reply {
                let link = self.rules.link.clone();
                let settler = Settler { link, reply: reply.into_string(), limit: self.rules.limit };
                self.report.returned += 1;
                let _ = settler.nak(None).await;
            }
        }
    }
}

/// What a dead letter needs of a message.
struct Story {
    subject: String,
    headers: async_nats::HeaderMap,
    body: bytes::Bytes,
    meta: Meta,
}

impl Story {
    fn new(message: Message, meta: Meta) -> Self {
        Self {
            subject: message.subject.into_string(),
            headers: message.headers.unwrap_or_default(),
            body: message.payload,
            meta,
        }
    }

    fn of<T>(delivery: &Delivery<T>) -> Self {
        Self {
            subject: delivery.subject.clone(),
            headers: delivery.headers.clone(),
            body: delivery.payload.clone(),
            meta: delivery.meta.clone(),
        }
    }
}

impl Rules {
    /// Settles a message by its outcome. A settlement that cannot be sent is no error of the run: the
    /// message is delivered again.
    async fn settle(&self, settler: &Settler, story: &Story, outcome: Outcome) -> Settled {
        let (told, settled) = match outcome {
            Outcome::Verdict(Verdict::Ack) => (settler.ack().await, Settled::Acked),
            Outcome::Verdict(Verdict::AckSync) => (settler.ack_sync().await, Settled::Acked),
            Outcome::Verdict(Verdict::Retry) => (settler.nak(None).await, Settled::Retried),
            Outcome::Verdict(Verdict::RetryAfter(wait)) => {
                (settler.nak(Some(wait)).await, Settled::Retried)
            }
            Outcome::Verdict(Verdict::Reject(reason)) => {
                (settler.term(&reason).await, Settled::Rejected)
            }
            Outcome::Verdict(Verdict::DeadLetter(reason)) => {
                return self.set_aside(settler, story, &reason, "").await;
            }
            Outcome::Failed(error) => {
                let delivered = story.meta.delivered;
                let last = self.max_deliver.is_some_and(|max| delivered >= max);
                if last && self.dead_letter.is_some() {
                    return self.set_aside(settler, story, "max deliveries", &error).await;
                }
                let nth = u32::try_from(delivered.saturating_sub(1)).unwrap_or(u32::MAX);
                let wait = self.backoff.wait(nth, rand::random());
                tracing::debug!(seq = story.meta.stream_seq, delivered, "handler failed: {error}");
                (settler.nak(Some(wait)).await, Settled::Retried)
            }
        };
        if let Err(error) = told {
            self.link.emit(Event::Background { error });
        }
        settled
    }

    /// Keeps a copy and terminates the message, or only terminates it if copies are not asked for. If
    /// the copy cannot be kept, the message is sent back.
    async fn set_aside(
        &self,
        settler: &Settler,
        story: &Story,
        reason: &str,
        error: &str,
    ) -> Settled {
        let Some(dead_letter) = &self.dead_letter else {
            let _ = settler.term(reason).await;
            return Settled::Rejected;
        };
        let letter = Letter {
            subject: &story.subject,
            original: &story.headers,
            body: &story.body,
            meta: &story.meta,
            reason,
            error,
        };
        let mut tries = 0;
        loop {
            match dead_letter.keep(&self.link, &letter, self.limit).await {
                Ok(()) => {
                    let _ = settler.term(reason).await;
                    return Settled::DeadLettered;
                }
                Err(failure) => {
                    let retry = failure.retryable() || matches!(failure, Error::NotFound(_));
                    if tries == 0 {
                        self.link.emit(Event::Background { error: failure });
                    }
                    // At its last delivery the server would not bring it again: keep trying here,
                    // in progress, for as long as the connection lives.
                    let last = self.max_deliver.is_some_and(|max| story.meta.delivered >= max);
                    if !retry || !last || self.link.check_open().is_err() {
                        let _ = settler.nak(Some(self.backoff.wait(0, 0.0))).await;
                        return Settled::Retried;
                    }
                    tokio::time::sleep(self.backoff.wait(tries, rand::random())).await;
                    tries += 1;
                }
            }
        }
    }
}
