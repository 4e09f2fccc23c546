//! Messages whose handler ends its process each time.
//!
//! Nobody settles such a message, and after its last delivery nobody gets it any more. The server tells of
//! that once (nats-server 2.15, `JSAdvisoryConsumerMaxDeliveryExceedPre`), most likely while no worker is
//! there to hear it. So a stream keeps what it tells, and whoever runs the consumer then reads it from
//! there and keeps a copy of the message (D-0025). One of several workers does it, and a copy that was kept
//! already is not stored again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::JetStream;
use super::api::Target;
use super::config::{Deliver, Retention};
use super::consumer::{ConsumerBuilder, IfDeleted};
use super::dead_letter::{DeadLetter, Letter};
use super::delivery::{Delivery, Verdict};
use super::meta::Meta;
use super::run::RunEnd;
use super::stream::{StreamMessage, parse_stored};
use crate::connect::Backoff;
use crate::error::Error;
use crate::event::Event;
use crate::signal::raised;
use crate::units::days;

/// What the server tells of, before the names of stream and consumer.
const ADVISORIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES";

/// The stream that keeps it, unless one of the account does already.
const STREAM: &str = "natterjack_max_deliveries";

/// How long, and how many, for workers that do not come back.
const KEPT: Duration = days(7);
const MOST: u64 = 100_000;

/// Reads what the server told for as long as it is kept.
pub(super) struct Crashes {
    end: watch::Sender<bool>,
    /// The one task, which ends with this.
    run: JoinSet<u64>,
}

type Started<'a> = Pin<Box<dyn Future<Output = Result<Option<Crashes>, Error>> + Send + 'a>>;

impl Crashes {
    /// Begins. What the server tells from now on is kept. Nothing if the account or its stream does not
    /// allow that, which is told as an event.
    ///
    /// Boxed, because it runs a consumer within the run of a consumer. That one has no dead letters, so
    /// nothing is watched within it.
    pub(super) fn watch<'a>(
        js: &'a JetStream,
        (stream, consumer): (&'a str, &'a str),
        dead_letter: DeadLetter,
        backoff: Backoff,
    ) -> Started<'a> {
        Box::pin(async move {
            let keeper = Arc::new(Keeper {
                js: js.clone(),
                stream: stream.to_owned(),
                consumer: consumer.to_owned(),
                dead_letter,
                backoff,
            });
            match keeper.prepare().await {
                Ok(kept_by) => {
                    let (end, ended) = watch::channel(false);
                    let mut run = JoinSet::new();
                    run.spawn(keeper.run(kept_by, ended));
                    Ok(Some(Crashes { end, run }))
                }
                Err(error) if error.retryable() || js.link().check_open().is_err() => Err(error),
                Err(error) => {
                    js.link().emit(Event::Background { error });
                    Ok(None)
                }
            }
        })
    }

    /// Ends when what is in hand is done, at most after `limit`: what is not done then comes again to
    /// another worker. The number of copies that were kept.
    pub(super) async fn end(mut self, limit: Duration) -> u64 {
        self.end.send_replace(true);
        let ended = tokio::time::timeout(limit, self.run.join_next()).await;
        ended.ok().flatten().and_then(Result::ok).unwrap_or(0)
    }
}

struct Keeper {
    js: JetStream,
    stream: String,
    consumer: String,
    dead_letter: DeadLetter,
    backoff: Backoff,
}

/// What is read of an advisory.
#[derive(Deserialize)]
struct Advisory {
    timestamp: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
}

impl Advisory {
    /// Whether it tells of this message: one that is younger has the sequence in a stream that was made
    /// anew.
    fn is_about(&self, message: &StreamMessage) -> bool {
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let times = time(&message.time).zip(time(&self.timestamp));
        times.is_none_or(|(stored, told)| stored <= told)
    }
}

impl Keeper {
    fn subject(&self) -> String {
        format!("{ADVISORIES}.{}.{}", self.stream, self.consumer)
    }

    /// The consumer that reads the advisories. It is removed by the server when no worker has come for as
    /// long as they are kept.
    fn reading(&self, kept_by: &str) -> ConsumerBuilder<Advisory> {
        let name = name_of(&self.stream, &self.consumer);
        self.js
            .consumer::<Advisory>(kept_by, name)
            .filter(self.subject())
            .deliver(Deliver::New)
            .inactive_threshold(KEPT)
            .backoff(self.backoff)
            .if_deleted(IfDeleted::Stop)
    }

    /// Makes sure that from here on nothing is missed. The name of the stream that keeps it.
    async fn prepare(&self) -> Result<String, Error> {
        let kept_by = stream_of(&self.js, &self.subject()).await?;
        self.reading(&kept_by).ensure().await?;
        Ok(kept_by)
    }

    /// Keeps copies until it is told to end. The number of them.
    async fn run(self: Arc<Self>, mut kept_by: String, ended: watch::Receiver<bool>) -> u64 {
        let mut kept = 0;
        loop {
            let (keeper, mut ended) = (self.clone(), ended.clone());
            let reading = self.reading(&kept_by).until(async move { raised(&mut ended).await });
            let done = reading.run(move |advisory| keeper.clone().handle(advisory)).await;
            let made_anew = match done {
                Ok(report) => {
                    kept += report.acked;
                    if report.end != RunEnd::Deleted {
                        return kept;
                    }
                    self.prepare().await
                }
                Err(error) => Err(error.into()),
            };
            match made_anew {
                Ok(name) => kept_by = name,
                Err(error) => {
                    self.js.link().emit(Event::Background { error });
                    return kept;
                }
            }
        }
    }

    async fn handle(self: Arc<Self>, advisory: Delivery<Advisory>) -> Result<Verdict, Error> {
        let kept = self.keep(advisory.value()).await;
        if let Err(error) = &kept
            && advisory.meta.delivered == 1
        {
            self.js.link().emit(Event::Background { error: error.clone() });
        }
        kept
    }

    async fn keep(&self, advisory: &Advisory) -> Result<Verdict, Error> {
        let seq = advisory.stream_seq;
        let name = seq.to_string();
        let target = Target::of("get", "message", &name);
        let call = format!("STREAM.MSG.GET.{}", self.stream);
        let link = self.js.link();
        let body = json!({ "seq": seq });
        let stored = match self.js.api.call::<Value>(link, &call, Some(&body), &target).await {
            Ok(answer) => parse_stored(&answer)?,
            Err(Error::NotFound(missing)) => {
                return Ok(Verdict::Reject(format!("{} is gone", missing.kind)));
            }
            Err(error) => return Err(error),
        };
        if !advisory.is_about(&stored) {
            return Ok(Verdict::Reject("the message is another one".into()));
        }
        let meta = Meta::of(&self.stream, &self.consumer, seq, advisory.deliveries);
        let letter = Letter {
            subject: &stored.subject,
            original: &stored.headers,
            body: &stored.payload,
            meta: &meta,
            reason: "max deliveries",
            error: "no delivery was settled",
        };
        self.dead_letter.keep(link, &letter, self.js.api.limit).await?;
        Ok(Verdict::Ack)
    }
}

/// A name of its own for each consumer of each stream, in the characters that both names may have
/// (ADR-6). Names that make one longer than the server takes (255 bytes) are refused by it.
fn name_of(stream: &str, consumer: &str) -> String {
    let escaped = |name: &str| name.replace('%', "%25").replace(':', "%3A");
    format!("{}:{}", escaped(stream), escaped(consumer))
}

/// The stream that keeps what is told on `subject`; ours is made if there is none. It keeps nothing that
/// no worker wants.
async fn stream_of(js: &JetStream, subject: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Names {
        streams: Option<Vec<String>>,
    }
    let target = Target::plain("look up the stream of max deliveries");
    let body = json!({ "subject": subject });
    let names: Names = js.api.call(js.link(), "STREAM.NAMES", Some(&body), &target).await?;
    if let Some(name) = names.streams.into_iter().flatten().next() {
        return Ok(name);
    }
    let made = js
        .stream(STREAM)
        .subjects([format!("{ADVISORIES}.>")])
        .retention(Retention::Interest)
        .max_age(KEPT)
        .max_msgs(MOST)
        .description("Messages given up by consumers whose workers keep dead letters")
        .ensure()
        .await?;
    Ok(made.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_consumer_has_a_name_of_its_own() {
        for (stream, consumer, name) in [
            ("S", "c", "S:c"),
            ("a", ":b", "a:%3Ab"),
            ("a:", "b", "a%3A:b"),
            ("a%3A", "b", "a%253A:b"),
        ] {
            assert_eq!(name_of(stream, consumer), name);
        }
    }

    #[test]
    fn an_advisory_is_not_about_a_younger_message() {
        let advisory = r#"{"timestamp":"2026-11-23T10:00:00.5Z","stream_seq":1,"deliveries":3}"#;
        let advisory: Advisory = serde_json::from_str(advisory).unwrap();
        for (time, about) in [
            ("2026-11-23T10:00:00.4Z", true),
            ("2026-11-23T10:00:00.50Z", true),
            ("2026-11-23T10:00:00.500000001Z", false),
        ] {
            let stored = json!({"message": {"subject": "a", "seq": 1, "time": time}});
            assert_eq!(advisory.is_about(&parse_stored(&stored).unwrap()), about, "{time}");
        }
    }
}
