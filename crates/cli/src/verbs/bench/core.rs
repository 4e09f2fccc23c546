//! `bench pub` and `bench sub`: messages without answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::subject::Subject;
use clap::Args;
use futures_util::StreamExt as _;

use super::facts::Facts;
use super::harness::{Job, Kind, Run, Seat, Share, waiting};
use super::options::{Common, Content, Pacing, Shape, listened};
use super::report;
use super::stats::Meter;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::units;

/// Publish; nothing is waited for but the end.
///
/// The clock stops when the server has seen the last message.
#[derive(Debug, Args)]
pub(super) struct Pub {
    /// Subject to publish to
    subject: String,
    /// Wait after each message
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = units::parse_duration)]
    sleep: Duration,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    pacing: Pacing,
}

const PUB: Kind =
    Kind { form: "pub", label: "Core NATS publisher", doing: "publishing", letter: 'P' };

impl Pub {
    pub(super) async fn run(self, context: &Context, common: &Common) -> Outcome {
        let shape = self.content.shape(&self.subject, common.size)?;
        let facts = self
            .content
            .facts(&self.subject)
            .size("msg-size", shape.body.len() as u64)
            .span("sleep", self.sleep)
            .and(self.pacing.facts());
        let share = Share::Split(self.pacing.messages(common)?);
        let run = Run { context, common, kind: PUB, facts, share };
        let Self { sleep, pacing, .. } = self;
        let job = Publisher { shape, sleep, pacing, clients: common.clients };
        let measured = run.measure(job).await?;
        report::finish(&context.out, common, measured)
    }
}

struct Publisher {
    shape: Shape,
    sleep: Duration,
    pacing: Pacing,
    clients: u32,
}

impl Job for Publisher {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        fits(&seat.client, &self.shape)?;
        seat.begin().await?;
        meter.start();
        let pacer = self.pacing.pacer(self.sleep, self.clients);
        for nth in 0..seat.share {
            send(&seat.client, self.shape.subject(seat.offset + nth), &self.shape).await?;
            meter.add(self.shape.body.len());
            pacer.after(nth + 1).await;
        }
        seat.settle().await
    }
}

/// Publishes, without an answer.
async fn send(client: &Client, subject: Subject, shape: &Shape) -> Outcome {
    let body = shape.body.clone();
    let sent = match &shape.headers {
        None => client.publish(subject, body).await,
        Some(headers) => client.publish_with_headers(subject, headers.clone(), body).await,
    };
    sent.map_err(|error| unsent(&error))
}

/// A message that cannot go out.
pub(super) fn unsent(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(status::FAILED, "publish.failed", format!("publishing: {error}"))
}

/// Refuses bodies that are too large for the server.
pub(super) fn fits(client: &Client, shape: &Shape) -> Outcome {
    let (size, most) = (shape.body.len(), client.max_payload());
    if size <= most {
        return Ok(());
    }
    let (size, most) = (units::size(size as u64), units::size(most as u64));
    let text = format!("a body of {size} is too large: the server takes {most}");
    Err(Failure::new(status::FAILED, "msg.too_large", text)
        .hint("a smaller --size, or a higher max_payload in the server's configuration"))
}

/// Receive what is published.
///
/// Each client receives --msgs messages. The clock starts with a client's first message.
#[derive(Debug, Args)]
pub(super) struct Sub {
    /// Subject to subscribe to
    subject: String,
    /// Listen on SUBJECT.*, where `bench pub --multisubject` publishes
    #[arg(long)]
    multisubject: bool,
}

const SUB: Kind =
    Kind { form: "sub", label: "Core NATS subscriber", doing: "expecting", letter: 'S' };

impl Sub {
    pub(super) async fn run(self, context: &Context, common: &Common) -> Outcome {
        let subject = listened(&self.subject, self.multisubject);
        let facts =
            Facts::default().text("subject", &subject).flag("multi-subject", self.multisubject);
        let share = Share::Each(common.messages());
        let run = Run { context, common, kind: SUB, facts, share };
        let measured = run.measure(Subscriber { subject }).await?;
        report::finish(&context.out, common, measured)
    }
}

struct Subscriber {
    subject: String,
}

/// Messages after which a reader lets others have their turn, and an interruption.
const TURN: u64 = 1 << 16;

/// How often a reader who waits looks whether what it waits for can still come.
const LOOK: Duration = Duration::from_secs(1);

impl Job for Subscriber {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let subscribed = seat.client.subscribe(self.subject.clone()).await;
        let mut messages = subscribed.map_err(|error| unlistened(&error))?;
        seat.begin().await?;
        let arrived = || seat.client.statistics().in_messages.load(Ordering::Relaxed);
        let before = arrived();
        while meter.messages() < seat.share {
            if meter.messages() % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let next = match waiting(&mut messages) {
                Some(next) => next,
                None => {
                    meter.rest();
                    match tokio::time::timeout(LOOK, messages.next()).await {
                        Ok(next) => next,
                        Err(_) => {
                            lost(arrived() - before, meter.messages(), seat.share)?;
                            continue;
                        }
                    }
                }
            };
            let Some(message) = next else { return Err(ended()) };
            meter.start();
            meter.add(message.payload.len());
        }
        Ok(())
    }
}

/// Ends the wait for messages that have come and were dropped because too many waited.
fn lost(arrived: u64, taken: u64, share: u64) -> Outcome {
    let lost = arrived.saturating_sub(taken);
    if lost == 0 || arrived < share {
        return Ok(());
    }
    let (lost, arrived) = (units::count(lost), units::count(arrived));
    let text = format!("{lost} of {arrived} messages came too fast for this program");
    Err(Failure::new(status::PARTLY, "sub.slow", text)
        .hint("bench pub with --throughput, or fewer clients on this machine"))
}

/// A subscription that cannot be made.
pub(super) fn unlistened(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(status::FAILED, "subscribe.failed", format!("subscribing: {error}"))
}

/// The connection is over, for good.
pub(super) fn ended() -> Failure {
    Failure::new(status::FAILED, "conn.closed", "the connection was closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_goes_on_while_the_rest_may_come() {
        assert!(lost(5, 5, 10).is_ok());
        assert!(lost(9, 5, 10).is_ok());
        let failure = lost(10, 5, 10).unwrap_err();
        assert_eq!(failure.exit, status::PARTLY);
        assert_eq!(failure.message, "5 of 10 messages came too fast for this program");
    }
}
