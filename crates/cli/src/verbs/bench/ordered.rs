//! `bench js ordered`: reading a stream in order, through consumers that are made anew after a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::client::Request;
use clap::Args;
use serde_json::{Value, json};

use super::consume::{INACTIVE, put_filters};
use super::facts::Facts;
use super::harness::{Job, Kind, Run, Seat, Share};
use super::jetstream::{StreamAdmin, With};
use super::options::pause;
use super::pull::Puller;
use super::report;
use super::service::unanswered;
use super::stats::Meter;
use crate::exit::{Failure, Outcome, status};
use crate::{json, units};

/// Read through an ordered consumer for each client; each receives --msgs messages.
#[derive(Debug, Args)]
pub(super) struct Ordered {
    /// Messages to have asked for at once, for each client
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Only messages of these subjects; may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    filter: Vec<String>,
    /// Remove all messages of the stream first
    #[arg(long)]
    purge: bool,
}

const ORDERED: Kind = Kind {
    form: "js ordered",
    label: "JetStream ordered ephemeral consumer",
    doing: "expecting",
    letter: 'S',
};

impl Ordered {
    pub(super) async fn run(self, with: &With<'_>) -> Outcome {
        let With { context, common, js } = *with;
        let mut stream = StreamAdmin::open(context, &js.stream, None).await?;
        if self.purge {
            stream.purge(context).await?;
        }
        if stream.messages < common.messages() {
            context.out.log(format!(
                "{} of {} messages are there: waiting for the others; Ctrl-C ends it",
                units::count(stream.messages),
                units::count(common.messages())
            ));
        }
        let prefix = stream.prefix(context);
        stream.close().await?;
        let mut facts = Facts::default()
            .text("stream", &js.stream)
            .number("batch", self.batch.into())
            .flag("purge", self.purge)
            .span("sleep", js.sleep);
        if !self.filter.is_empty() {
            facts = facts.text("filter", &self.filter.join(","));
        }
        let share = Share::Each(common.messages());
        let run = Run { context, common, kind: ORDERED, facts, share };
        let anew = Arc::new(AtomicU64::new(0));
        let job = InOrder {
            prefix,
            stream: js.stream.clone(),
            filter: self.filter,
            batch: self.batch.into(),
            sleep: js.sleep,
            anew: anew.clone(),
        };
        let mut measured = run.measure(job).await?;
        let anew = anew.load(Ordering::Relaxed);
        if anew > 0 {
            measured.warnings.push(format!("consumers were made anew {anew} times after a gap"));
        }
        report::finish(&context.out, common, measured)
    }
}

struct InOrder {
    prefix: Arc<str>,
    stream: String,
    filter: Vec<String>,
    batch: u64,
    sleep: Duration,
    /// Consumers that were made after a gap.
    anew: Arc<AtomicU64>,
}

impl InOrder {
    /// Makes a consumer that begins at `from`; its name.
    async fn make(&self, seat: &Seat, from: u64) -> Result<String, Failure> {
        let name = format!("bench{:032x}", rand::random::<u128>());
        let mut config = json!({
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": from,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": u64::try_from(INACTIVE.as_nanos()).unwrap_or(0),
        });
        put_filters(&mut config, &self.filter);
        let request = json!({"stream_name": self.stream, "config": config, "action": "create"});
        self.ask(seat, &format!("CONSUMER.CREATE.{}.{name}", self.stream), request.to_string())
            .await?;
        Ok(name)
    }

    async fn ask(&self, seat: &Seat, call: &str, body: String) -> Outcome {
        let subject = format!("{}.{call}", self.prefix);
        let request = Request::new().payload(body.into());
        let answer = seat.client.send_request(subject.clone(), request).await.map_err(|error| {
            unanswered(error.kind(), &error, &subject, seat.limit, || {
                "start the server with -js".to_owned()
            })
        })?;
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
        match answer.get("error") {
            None => Ok(()),
            Some(_) => Err(Failure::api(
                json::number(&answer, "/error/code"),
                json::number(&answer, "/error/err_code"),
                json::text(&answer, "/error/description"),
                call,
            )),
        }
    }

    async fn puller(&self, seat: &Seat, name: &str) -> Result<Puller, Failure> {
        let next = format!("{}.CONSUMER.MSG.NEXT.{}.{name}", self.prefix, self.stream);
        Puller::lasting(seat, next).await
    }
}

impl Job for InOrder {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let mut name = self.make(seat, 1).await?;
        let mut puller = self.puller(seat, &name).await?;
        seat.begin().await?;
        // The last message, by the stream's and by the consumer's count.
        let (mut stored, mut delivered) = (0, 0);
        while meter.messages() < seat.share {
            let left = seat.share - meter.messages();
            let more = left.min(self.batch).saturating_sub(puller.asked);
            if puller.asked <= self.batch / 2 && more > 0 {
                puller.ask(more).await?;
            }
            let next = match puller.next(meter).await {
                Ok(None) => continue,
                Ok(Some(message)) => {
                    let place = message.reply.as_deref().and_then(sequences);
                    let (sequence, nth) = place.ok_or_else(no_place)?;
                    (nth == delivered + 1).then_some((message, sequence, nth))
                }
                // An ephemeral consumer goes with its server.
                Err(failure) if failure.code == "js.not_found" => None,
                Err(failure) => return Err(failure),
            };
            let Some((message, sequence, nth)) = next else {
                self.anew.fetch_add(1, Ordering::Relaxed);
                name = self.make(seat, stored + 1).await?;
                puller = self.puller(seat, &name).await?;
                delivered = 0;
                continue;
            };
            (stored, delivered) = (sequence, nth);
            meter.start();
            pause(self.sleep).await;
            meter.add(message.payload.len());
        }
        meter.rest();
        // If it fails, the server does it by itself soon.
        let _ =
            self.ask(seat, &format!("CONSUMER.DELETE.{}.{name}", self.stream), String::new()).await;
        Ok(())
    }
}

fn no_place() -> Failure {
    let text = "a message of the consumer does not say its sequence";
    Failure::new(status::FAILED, "js.bad_reply", text)
}

/// The sequence in the stream and the one of the consumer, of a message's reply subject (ADR-15):
/// `$JS.ACK.stream.consumer.deliveries.stored.delivered.time.pending`, or with the domain and the
/// account's hash after `$JS.ACK`.
fn sequences(reply: &str) -> Option<(u64, u64)> {
    let tokens: Vec<&str> = reply.split('.').collect();
    let at = match tokens.len() {
        9 => 5,
        11.. => 7,
        _ => return None,
    };
    if tokens[..2] != ["$JS", "ACK"] {
        return None;
    }
    Some((tokens[at].parse().ok()?, tokens[at + 1].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_found_in_both_forms() {
        assert_eq!(sequences("$JS.ACK.S.C.1.17.4.1700000000.0"), Some((17, 4)));
        assert_eq!(sequences("$JS.ACK.hub.ACCHASH.S.C.1.17.4.1700000000.0"), Some((17, 4)));
        assert_eq!(sequences("$JS.ACK._.ACCHASH.S.C.1.17.4.1700000000.0.rnd"), Some((17, 4)));
        for reply in ["", "_INBOX.x", "$JS.ACK.S.C.1.x.4.5.0", "a.b.S.C.1.2.3.4.5"] {
            assert_eq!(sequences(reply), None, "{reply}");
        }
    }
}
