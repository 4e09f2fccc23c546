//! `bench js consume`, `fetch` and `ordered`: reading a stream through consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::Message;
use async_nats::client::Request;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::core::unsent;
use super::facts::Facts;
use super::harness::{Job, Kind, Measured, Run, Seat, Share};
use super::jetstream::{StreamAdmin, With};
use super::options::pause;
use super::pull::Puller;
use super::report;
use super::service::unanswered;
use super::stats::Meter;
use crate::complete;
use crate::exit::{Failure, Outcome};
use crate::{json, units};

/// Options of reading through a durable consumer.
#[derive(Debug, Args)]
pub(super) struct Durable {
    /// Durable consumer; one of another name than the default must exist
    #[arg(long, default_value = CONSUMER, value_name = "NAME", add = complete::consumers())]
    consumer: String,
    /// Messages to have asked for at once, for each client
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// What is acknowledged, with the default consumer
    #[arg(long, default_value = "explicit", value_name = "MODE")]
    acks: Acks,
    /// Wait for the server's answer to each acknowledgement
    #[arg(long)]
    doubleack: bool,
    /// Only messages of these subjects, with the default consumer; may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    filter: Vec<String>,
    /// Remove all messages of the stream first
    #[arg(long)]
    purge: bool,
}

/// The consumer that is made and removed.
const CONSUMER: &str = "nats-bench";

/// After this time without a reader the server removes what an aborted run has left.
pub(super) const INACTIVE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Acks {
    /// Each message.
    Explicit,
    /// Nothing.
    None,
    /// Each message, which acknowledges those before it too.
    All,
}

impl Acks {
    fn name(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::None => "none",
            Self::All => "all",
        }
    }
}

const CONSUME: Kind = Kind {
    form: "js consume",
    label: "JetStream durable consumer (callback)",
    doing: "expecting",
    letter: 'S',
};

const FETCH: Kind = Kind {
    form: "js fetch",
    label: "JetStream durable consumer (fetch)",
    doing: "expecting",
    letter: 'S',
};

impl Durable {
    pub(super) async fn consume(self, with: &With<'_>) -> Outcome {
        self.run(with, CONSUME).await
    }

    pub(super) async fn fetch(self, with: &With<'_>) -> Outcome {
        self.run(with, FETCH).await
    }

    async fn run(self, with: &With<'_>, kind: Kind) -> Outcome {
        let With { context, common, js } = *with;
        let mut stream = StreamAdmin::open(context, &js.stream, None).await?;
        if self.purge {
            stream.purge(context).await?;
        }
        let own = self.consumer == CONSUMER;
        let info = match own {
            true => self.make(&stream, common.clients).await?,
            false => self.find(&stream).await?,
        };
        let acks = json::text(&info, "/config/ack_policy").to_owned();
        let (waiting, wanted) = (json::number(&info, "/num_pending"), common.messages());
        if waiting < wanted {
            context.out.log(format!(
                "{} of {} messages are there: waiting for the others; Ctrl-C ends it",
                units::count(waiting),
                units::count(wanted)
            ));
        }
        let mut facts = Facts::default()
            .text("stream", &js.stream)
            .text("consumer", &self.consumer)
            .text("acks", &acks)
            .flag("double-acked", self.doubleack)
            .number("batch", self.batch.into())
            .flag("purge", self.purge)
            .span("sleep", js.sleep);
        if !self.filter.is_empty() {
            facts = facts.text("filter", &self.filter.join(","));
        }
        let share = Share::Split(wanted);
        let run = Run { context, common, kind, facts, share };
        let reader = Reader {
            next: format!(
                "{}.CONSUMER.MSG.NEXT.{}.{}",
                stream.prefix(context),
                js.stream,
                self.consumer
            ),
            batch: self.batch.into(),
            sleep: js.sleep,
            acks: acks != Acks::None.name(),
            doubly: self.doubleack,
        };
        let short = Arc::new(AtomicU64::new(0));
        let measured = if kind.form == FETCH.form {
            run.measure(Fetches { reader, short: short.clone() }).await
        } else {
            run.measure(reader).await
        };
        if own {
            self.remove(&stream).await?;
        }
        stream.close().await?;
        let mut measured: Measured = measured?;
        let short = short.load(Ordering::Relaxed);
        if short > 0 {
            let text = format!("{} fetches ended without all their messages", units::count(short));
            measured.warnings.push(text);
        }
        report::finish(&context.out, common, measured)
    }

    /// Makes the consumer anew, so that it begins at the first message.
    async fn make(&self, stream: &StreamAdmin, clients: u32) -> Result<Value, Failure> {
        self.remove(stream).await?;
        let mut config = json!({
            "durable_name": self.consumer,
            "name": self.consumer,
            "deliver_policy": "all",
            "ack_policy": self.acks.name(),
            "replay_policy": "instant",
            "inactive_threshold": u64::try_from(INACTIVE.as_nanos()).unwrap_or(0),
            "max_waiting": u64::from(clients).saturating_mul(4).max(512),
        });
        if self.acks != Acks::None {
            config["max_ack_pending"] = u64::from(self.batch).saturating_mul(clients.into()).into();
        }
        put_filters(&mut config, &self.filter);
        let request = json!({"stream_name": stream.name, "config": config, "action": ""});
        let subject = format!("CONSUMER.DURABLE.CREATE.{}.{}", stream.name, self.consumer);
        stream.api.ask(&subject, &request).await
    }

    async fn find(&self, stream: &StreamAdmin) -> Result<Value, Failure> {
        let bad = |c: char| ".*>/\\".contains(c) || c.is_whitespace();
        if self.consumer.is_empty() || self.consumer.contains(bad) {
            let text = format!("`{}` is no name of a consumer", self.consumer);
            return Err(Failure::usage(text));
        }
        let subject = format!("CONSUMER.INFO.{}.{}", stream.name, self.consumer);
        stream.api.ask(&subject, &Value::Null).await.map_err(|failure| match failure.err_code {
            10014 => failure.hint("leave out --consumer, and one is made"),
            _ => failure,
        })
    }

    async fn remove(&self, stream: &StreamAdmin) -> Outcome {
        let subject = format!("CONSUMER.DELETE.{}.{}", stream.name, self.consumer);
        match stream.api.ask(&subject, &Value::Null).await {
            // There is none.
            Err(failure) if failure.err_code != 10014 => Err(failure),
            _ => Ok(()),
        }
    }
}

pub(super) fn put_filters(config: &mut Value, filters: &[String]) {
    match filters {
        [] => {}
        [one] => config["filter_subject"] = one.as_str().into(),
        several => config["filter_subjects"] = several.into(),
    }
}

/// Reads through a consumer, asking for more when half of the last batch has come.
struct Reader {
    /// Where to ask.
    next: String,
    batch: u64,
    sleep: Duration,
    acks: bool,
    doubly: bool,
}

const ACK: Bytes = Bytes::from_static(b"+ACK");

impl Reader {
    /// Does what there is to do with a message; how long a doubled acknowledgement took.
    async fn handle(&self, seat: &Seat, message: Message) -> Result<Option<Duration>, Failure> {
        pause(self.sleep).await;
        let (true, Some(reply)) = (self.acks, message.reply) else { return Ok(None) };
        if !self.doubly {
            let sent = seat.client.publish(reply, ACK).await;
            return sent.map(|()| None).map_err(|error| unsent(&error));
        }
        let asked = Instant::now();
        let answer = seat.client.send_request(reply.clone(), Request::new().payload(ACK)).await;
        answer.map_err(|error| {
            unanswered(error.kind(), &error, &reply, seat.limit, || {
                "the consumer may be gone; see natterjack consumer ls".to_owned()
            })
        })?;
        Ok(Some(asked.elapsed()))
    }

    /// Waits until the server has the acknowledgements.
    async fn settle(&self, seat: &Seat) -> Outcome {
        if self.acks { seat.settle().await } else { Ok(()) }
    }
}

impl Job for Reader {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let mut puller = Puller::lasting(seat, self.next.clone()).await?;
        seat.begin().await?;
        while meter.messages() < seat.share {
            // Never more than this client's share: what it does not take, others would not get.
            let left = seat.share - meter.messages();
            let more = left.min(self.batch).saturating_sub(puller.asked);
            if puller.asked <= self.batch / 2 && more > 0 {
                puller.ask(more).await?;
            }
            let Some(message) = puller.next(meter).await? else { continue };
            meter.start();
            let size = message.payload.len();
            if let Some(took) = self.handle(seat, message).await? {
                meter.time(took);
            }
            meter.add(size);
        }
        self.settle(seat).await
    }
}

/// Reads through a consumer, a whole batch at a time.
struct Fetches {
    reader: Reader,
    /// Batches that did not come whole.
    short: Arc<AtomicU64>,
}

impl Job for Fetches {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let Self { reader, short } = self;
        let mut puller = Puller::short(seat, reader.next.clone()).await?;
        seat.begin().await?;
        let mut batch = Vec::new();
        while meter.messages() < seat.share {
            let wanted = (seat.share - meter.messages()).min(reader.batch);
            let began = Instant::now();
            puller.ask(wanted).await?;
            while (batch.len() as u64) < wanted {
                let Some(message) = puller.next(meter).await? else { break };
                meter.start();
                batch.push(message);
            }
            if batch.len() as u64 == wanted {
                meter.time(began.elapsed());
            } else {
                short.fetch_add(1, Ordering::Relaxed);
            }
            for message in batch.drain(..) {
                let size = message.payload.len();
                reader.handle(seat, message).await?;
                meter.add(size);
            }
        }
        reader.settle(seat).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_filter_and_several_are_written_differently() {
        let with = |filters: &[&str]| {
            let mut config = json!({});
            put_filters(&mut config, &filters.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
            config
        };
        assert_eq!(with(&[]), json!({}));
        assert_eq!(with(&["a"]), json!({"filter_subject": "a"}));
        assert_eq!(with(&["a", "b"]), json!({"filter_subjects": ["a", "b"]}));
    }
}
