//! `bench service request` and `bench service serve`.

use std::time::{Duration, Instant};

use async_nats::client::{Request as Question, RequestErrorKind};
use bytes::Bytes;
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;

use super::core::{ended, fits, unlistened, unsent};
use super::facts::Facts;
use super::harness::{Job, Kind, Run, Seat, Share};
use super::options::{BodyOptions, Common, Pacing, Shape, pause};
use super::report;
use super::stats::Meter;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::units;

/// Requests and their answers.
#[derive(Debug, Args)]
pub(super) struct Service {
    /// Wait after each answer, or before it with `serve`
    #[arg(long, global = true, default_value = "0s", value_name = "DURATION", value_parser = units::parse_duration)]
    sleep: Duration,
    #[command(subcommand)]
    form: Form,
}

#[derive(Debug, Subcommand)]
enum Form {
    /// Send requests, each client one at a time, and wait for the answers
    Request(Request),
    /// Answer requests until Ctrl-C, or so many as --msgs says
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Request {
    /// Subject to ask on
    subject: String,
    #[command(flatten)]
    body: BodyOptions,
    #[command(flatten)]
    pacing: Pacing,
}

#[derive(Debug, Args)]
struct Serve {
    /// Subject to answer on
    subject: String,
}

const REQUEST: Kind = Kind {
    form: "service request",
    label: "Core NATS service requester",
    doing: "requesting",
    letter: 'P',
};

const SERVE: Kind = Kind {
    form: "service serve",
    label: "Core NATS service server",
    doing: "answering",
    letter: 'S',
};

impl Service {
    pub(super) async fn run(self, context: &Context, common: &Common) -> Outcome {
        let sleep = self.sleep;
        match self.form {
            Form::Request(form) => form.run(context, common, sleep).await,
            Form::Serve(form) => form.run(context, common, sleep).await,
        }
    }
}

impl Request {
    async fn run(self, context: &Context, common: &Common, sleep: Duration) -> Outcome {
        let shape = Shape::plain(&self.subject, &self.body, common.size)?;
        let facts = Facts::default()
            .text("subject", &self.subject)
            .size("msg-size", shape.body.len() as u64)
            .span("sleep", sleep)
            .and(self.pacing.facts());
        let share = Share::Split(self.pacing.messages(common)?);
        let run = Run { context, common, kind: REQUEST, facts, share };
        let job = Requester { shape, sleep, pacing: self.pacing, clients: common.clients };
        let measured = run.measure(job).await?;
        report::finish(&context.out, common, measured)
    }
}

struct Requester {
    shape: Shape,
    sleep: Duration,
    pacing: Pacing,
    clients: u32,
}

impl Job for Requester {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let Shape { body, headers, .. } = &self.shape;
        fits(&seat.client, &self.shape)?;
        seat.begin().await?;
        meter.start();
        let pacer = self.pacing.pacer(self.sleep, self.clients);
        for nth in 0..seat.share {
            let mut question = Question::new().payload(body.clone());
            if let Some(headers) = headers {
                question = question.headers(headers.clone());
            }
            let subject = self.shape.subject(nth);
            let asked = Instant::now();
            let answer = seat.client.send_request(subject, question).await;
            let took = asked.elapsed();
            let answer = answer.map_err(|error| {
                let subject = self.shape.subject(nth);
                unanswered(error.kind(), &error, &subject, seat.limit, || {
                    format!("natterjack bench service serve {subject}, in another terminal")
                })
            })?;
            // ADR-32: how a service says that it could not.
            if let Some(error) = answer
                .headers
                .as_ref()
                .and_then(|headers| headers.get(async_nats::service::NATS_SERVICE_ERROR))
            {
                let text = format!("the service answered with an error: {error}");
                return Err(Failure::new(status::FAILED, "request.service_error", text));
            }
            meter.time(took);
            meter.add(body.len());
            pacer.after(nth + 1).await;
        }
        Ok(())
    }
}

/// A question without an answer. `hint` is what to do when nobody listens.
pub(super) fn unanswered(
    kind: RequestErrorKind,
    error: &(dyn std::error::Error + 'static),
    subject: &str,
    limit: Duration,
    hint: impl FnOnce() -> String,
) -> Failure {
    match kind {
        RequestErrorKind::NoResponders => {
            let text = format!("nobody answers on {subject}");
            Failure::new(status::TIMEOUT, "request.no_responders", text).hint(hint())
        }
        RequestErrorKind::TimedOut => {
            let text = format!("no answer on {subject} within {}", units::duration(limit));
            Failure::new(status::TIMEOUT, "conn.timeout", text).hint("a longer --timeout")
        }
        _ => {
            let text = format!("asking on {subject}: {error}");
            Failure::new(status::FAILED, "request.failed", text)
        }
    }
}

/// The queue group of services (ADR-32).
const GROUP: &str = "q";

const ANSWER: Bytes = Bytes::from_static(b"ok");

impl Serve {
    async fn run(self, context: &Context, common: &Common, sleep: Duration) -> Outcome {
        let facts = Facts::default().text("subject", &self.subject).span("sleep", sleep);
        // Clients get what the server gives them, so none can be told how many that will be.
        let share = Share::Open;
        let run = Run { context, common, kind: SERVE, facts, share };
        let left = common.msgs.map(Left::new);
        let open = left.is_none();
        let mut measured = run.measure(Server { subject: self.subject, sleep, left }).await?;
        // An interruption is how it ends.
        measured.interrupted &= !open;
        report::finish(&context.out, common, measured)
    }
}

/// Answers that all clients together have still to give.
struct Left {
    left: std::sync::atomic::AtomicU64,
    none: tokio::sync::watch::Sender<bool>,
}

impl Left {
    fn new(left: u64) -> Self {
        Self { left: left.into(), none: tokio::sync::watch::Sender::new(false) }
    }

    /// Takes one; false if there is none.
    fn take(&self) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        let before = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        if matches!(before, Ok(1) | Err(_)) {
            self.none.send_replace(true);
        }
        before.is_ok()
    }

    async fn gone(&self) {
        // Cannot fail: the sender is at hand.
        let _ = self.none.subscribe().wait_for(|none| *none).await;
    }
}

struct Server {
    subject: String,
    sleep: Duration,
    left: Option<Left>,
}

impl Job for Server {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let subject = self.subject.clone();
        let subscribed = seat.client.queue_subscribe(subject, GROUP.to_owned()).await;
        let mut requests = subscribed.map_err(|error| unlistened(&error))?;
        seat.begin().await?;
        let gone = async {
            match &self.left {
                Some(left) => left.gone().await,
                None => std::future::pending().await,
            }
        };
        let mut gone = std::pin::pin!(gone);
        loop {
            meter.rest();
            let request = tokio::select! {
                biased;
                request = requests.next() => request.ok_or_else(ended)?,
                () = &mut gone => return Ok(()),
            };
            let Some(reply) = request.reply else { continue };
            if self.left.as_ref().is_some_and(|left| !left.take()) {
                return Ok(());
            }
            meter.start();
            pause(self.sleep).await;
            let sent = seat.client.publish(reply, ANSWER).await;
            sent.map_err(|error| unsent(&error))?;
            meter.add(request.payload.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_answer_ends_it_for_all() {
        let left = Left::new(2);
        assert!(left.take());
        assert!(!*left.none.borrow());
        assert!(left.take());
        left.gone().await;
        assert!(!left.take());
    }
}
