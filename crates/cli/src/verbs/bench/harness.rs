//! Starts clients, lets them begin together, watches them, and stops them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use natterjack::{Connector, Event, EventStream, ServerId};
use tokio::sync::{Barrier, Notify, watch};
use tokio::task::JoinSet;

use super::facts::Facts;
use super::options::Common;
use super::progress::Progress;
use super::stats::{Meter, Sample};
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::units;

/// A form, for people and programs.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// As it is typed.
    pub(super) form: &'static str,
    /// In words.
    pub(super) label: &'static str,
    /// What a client does with its messages.
    pub(super) doing: &'static str,
    /// P for what sends, S for what receives, as in the `nats` tool's files.
    pub(super) letter: char,
}

/// How the messages are shared out among the clients.
#[derive(Clone, Copy)]
pub(super) enum Share {
    /// All together.
    Split(u64),
    /// Each of them so many.
    Each(u64),
    /// No end.
    Open,
}

/// What one client does.
pub(super) trait Job: Send + Sync + 'static {
    /// Prepares, waits at [`Seat::begin`], and measures.
    fn work(&self, seat: &Seat, meter: &mut Meter) -> impl Future<Output = Outcome> + Send;
}

/// A client's place.
pub(super) struct Seat {
    pub(super) connector: Connector,
    pub(super) client: Client,
    /// Its messages.
    pub(super) share: u64,
    /// The messages of the clients before it.
    pub(super) offset: u64,
    /// How long an answer may take.
    pub(super) limit: Duration,
    gate: Arc<Gate>,
}

/// Where clients wait for each other.
struct Gate {
    clients: Barrier,
    passed: Notify,
}

/// How long the server may take to work off what was sent, at the least.
const SETTLE: Duration = Duration::from_secs(30);

impl Seat {
    /// Waits until the server has seen what was prepared, and until all clients are ready.
    pub(super) async fn begin(&self) -> Outcome {
        self.connector.barrier(self.limit).await?;
        if self.gate.clients.wait().await.is_leader() {
            self.gate.passed.notify_one();
        }
        Ok(())
    }

    /// Waits until the server has seen all that was sent.
    pub(super) async fn settle(&self) -> Outcome {
        self.connector.barrier(self.limit.max(SETTLE)).await?;
        Ok(())
    }
}

/// What waits in a subscription, without the turns that tokio gives to others after 128 messages: the
/// task that fills it takes thousands in one of its own.
pub(super) fn waiting(messages: &mut Subscriber) -> Option<Option<Message>> {
    tokio::task::unconstrained(messages.next()).now_or_never()
}

/// What is to be measured, and how.
pub(super) struct Run<'a> {
    pub(super) context: &'a Context,
    pub(super) common: &'a Common,
    pub(super) kind: Kind,
    pub(super) facts: Facts,
    pub(super) share: Share,
}

/// What came out.
pub(super) struct Measured {
    pub(super) kind: Kind,
    pub(super) facts: Facts,
    pub(super) server: Option<ServerId>,
    pub(super) samples: Vec<Sample>,
    /// Why the figures may be worse than they could be.
    pub(super) warnings: Vec<String>,
    pub(super) interrupted: bool,
    /// Why it ended early.
    pub(super) failure: Option<Failure>,
}

/// Connections that are made at a time.
const DIALS: usize = 32;

/// With more clients there is no line for each.
const LINES: usize = 16;

/// The longest wait for a connection to end.
const CLOSE: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// # Errors
    /// A client cannot connect. What fails later is part of what was measured.
    pub(super) async fn measure<J: Job>(self, job: J) -> Result<Measured, Failure> {
        let Self { context, common, kind, facts, share } = self;
        let out = context.out;
        let shares = shares(share, common.clients);
        let facts = facts
            .and(match share {
                Share::Split(msgs) | Share::Each(msgs) => Facts::default().number("msgs", msgs),
                Share::Open => Facts::default(),
            })
            .number("clients", shares.len() as u64);
        out.log(format!("Starting {} benchmark [{}]", kind.label, facts.line()));
        let connectors: Vec<(Connector, EventStream)> = stream::iter(0..shares.len())
            .map(async |_| {
                let connector = context.connect().await?;
                let events = connector.events();
                Ok::<_, Failure>((connector, events))
            })
            .buffered(DIALS)
            .try_collect()
            .await?;
        let server = connectors.first().and_then(|(connector, _)| connector.server());
        context.interrupt.finish_gracefully();

        let (stop, stopped) = watch::channel(false);
        let gate = Gate { clients: Barrier::new(shares.len()), passed: Notify::new() };
        let gate = Arc::new(gate);
        let job = Arc::new(job);
        let mut tasks = JoinSet::new();
        let (mut seen, mut offset) = (Vec::new(), 0_u64);
        for (nth, ((connector, events), share)) in connectors.into_iter().zip(&shares).enumerate() {
            if shares.len() <= LINES {
                out.log(format!("[{}] Starting {}, {}", nth + 1, kind.label, told(kind, *share)));
            }
            let seat = Seat {
                client: connector.raw()?,
                limit: connector.effective_options().request_timeout,
                connector,
                share: *share,
                offset,
                gate: gate.clone(),
            };
            offset = offset.saturating_add(*share);
            let cell = Arc::new(AtomicU64::new(0));
            seen.push(cell.clone());
            let (job, stopped) = (job.clone(), stopped.clone());
            tasks.spawn(async move {
                let ended = Box::pin(sit(&*job, seat, Meter::new(cell), events, stopped)).await;
                (nth, ended)
            });
        }

        let mut progress = Progress::new(&out, common, &shares, seen);
        let mut ended: Vec<Option<Ended>> = shares.iter().map(|_| None).collect();
        let (mut interrupted, mut failure) = (false, None);
        loop {
            let next = tokio::select! {
                next = tasks.join_next() => next,
                () = context.interrupt.raised(), if !interrupted => {
                    interrupted = true;
                    stop.send_replace(true);
                    continue;
                }
                // For those who start the other side by hand, or by a script.
                () = gate.passed.notified(), if kind.letter == 'S' => {
                    out.log("Ready");
                    continue;
                }
                () = progress.tick() => continue,
            };
            let why = match next {
                None => break,
                Some(Ok((nth, mut end))) => {
                    let why = end.failure.take();
                    ended[nth] = Some(end);
                    why
                }
                Some(Err(error)) => {
                    Some(Failure::new(status::FAILED, "bench.client", error.to_string()))
                }
            };
            if let Some(why) = why {
                stop.send_replace(true);
                failure.get_or_insert(why);
            }
        }
        progress.finish();
        let ended: Vec<Ended> = ended.into_iter().flatten().collect();
        let warnings = Notes::warnings(ended.iter().map(|end| &end.notes));
        let samples = ended.into_iter().map(|end| end.sample).collect();
        Ok(Measured { kind, facts, server, samples, warnings, interrupted, failure })
    }
}

fn told(kind: Kind, share: u64) -> String {
    match share {
        u64::MAX => format!("{}, hit control-c to stop", kind.doing),
        share => format!("{} {} messages", kind.doing, units::count(share)),
    }
}

/// The messages of each client. Those that would have none are left out.
fn shares(share: Share, clients: u32) -> Vec<u64> {
    let number = u64::from(clients);
    match share {
        Share::Split(messages) => (0..number.min(messages))
            .map(|nth| messages / number + u64::from(nth < messages % number))
            .collect(),
        Share::Each(messages) => vec![messages; clients as usize],
        Share::Open => vec![u64::MAX; clients as usize],
    }
}

/// How a client ended.
struct Ended {
    sample: Sample,
    notes: Notes,
    failure: Option<Failure>,
}

/// Lets a client work until it has done its share, fails, or is stopped.
async fn sit<J: Job>(
    job: &J,
    seat: Seat,
    mut meter: Meter,
    mut events: EventStream,
    mut stopped: watch::Receiver<bool>,
) -> Ended {
    let mut notes = Notes::default();
    let worked = tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => None,
        refused = notes.watch(&mut events) => Some(Err(refused)),
        worked = job.work(&seat, &mut meter) => Some(worked),
    };
    let mut failure = None;
    if let Some(worked) = worked {
        meter.rest();
        failure = worked.err();
        if failure.is_none() {
            // What was refused before a round trip is on its way to us when the round trip ends; a
            // second one is more than the time that it takes through the client.
            failure = seat.settle().await.err();
        }
        while let Some(Some(event)) = events.next().now_or_never() {
            // A refusal is the cause, and the timeout of an answer its consequence.
            failure = notes.take(&event).or(failure);
        }
    }
    let sample = meter.finish();
    let _ = tokio::time::timeout(CLOSE, seat.connector.close()).await;
    Ended { sample, notes, failure }
}

/// What went wrong on the way without ending it.
#[derive(Default)]
struct Notes {
    losses: u64,
    errors: u64,
    error: Option<String>,
}

impl Notes {
    /// Returns when the server refuses something.
    async fn watch(&mut self, events: &mut EventStream) -> Failure {
        while let Some(event) = events.next().await {
            if let Some(failure) = self.take(&event) {
                return failure;
            }
        }
        std::future::pending().await
    }

    fn take(&mut self, event: &Event) -> Option<Failure> {
        match event {
            Event::PermissionDenied { .. } => {
                return Some(
                    Failure::new(4, "auth.permission", event.to_string())
                        .hint("the user's permissions do not cover this subject"),
                );
            }
            Event::Disconnected { .. } => self.losses += 1,
            Event::ServerError { .. } | Event::SlowConsumer { .. } => {
                self.errors += 1;
                self.error.get_or_insert_with(|| event.to_string());
            }
            _ => {}
        }
        None
    }

    fn warnings<'a>(all: impl Iterator<Item = &'a Self>) -> Vec<String> {
        let (mut losses, mut errors, mut first) = (0, 0, None);
        for notes in all {
            losses += notes.losses;
            errors += notes.errors;
            first = first.or(notes.error.as_ref());
        }
        let mut warnings = Vec::new();
        if losses > 0 {
            let text = format!(
                "connections were lost {losses} times: the figures are not those of a quiet run"
            );
            warnings.push(text);
        }
        if let Some(first) = first {
            warnings.push(format!("{errors} errors of the server, the first: {first}"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shared_out_evenly() {
        assert_eq!(shares(Share::Split(10), 3), [4, 3, 3]);
        assert_eq!(shares(Share::Split(2), 3), [1, 1]);
        assert_eq!(shares(Share::Each(5), 2), [5, 5]);
        assert_eq!(shares(Share::Open, 1), [u64::MAX]);
        assert_eq!(shares(Share::Split(u64::MAX), 2).iter().sum::<u64>(), u64::MAX);
    }

    #[test]
    fn losses_and_errors_become_warnings() {
        let quiet = Notes::default();
        let mut loud = Notes::default();
        let event = Event::ServerError { code: "x".to_owned(), text: "words".to_owned() };
        assert!(loud.take(&event).is_none());
        assert!(loud.take(&event).is_none());
        loud.losses = 3;
        let warnings = Notes::warnings([&quiet, &loud].into_iter());
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("3 times"), "{warnings:?}");
        assert_eq!(warnings[1], "2 errors of the server, the first: server error: words");
        assert!(Notes::warnings([&quiet].into_iter()).is_empty());
    }
}
