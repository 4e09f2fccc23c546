//! Messages whose handler ends its process each time.
//!
//! Nobody settles such a message, and after its last delivery nobody gets it any more. The server tells of
//! that (nats-server 2.15, `JSAdvisoryConsumerMaxDeliveryExceedPre`): then whoever runs the consumer keeps a copy. One of
//! several workers does it, and a copy that was kept already is not stored again. The server tells once, when
//! the last ack wait is over: a worker has to be there by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::JetStream;
use super::api::Target;
use super::dead_letter::{DeadLetter, Letter};
use super::meta::Meta;
use super::stream::parse_stored;
use crate::connect::Backoff;
use crate::error::{Error, Timeout};
use crate::event::Event;

/// The workers of a consumer, for whom one advisory is enough.
const GROUP: &str = "natterjack-dead-letters";

/// Listens for as long as it is kept.
pub(super) struct Crashes {
    task: JoinHandle<()>,
    kept: Arc<AtomicU64>,
}

impl Drop for Crashes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Crashes {
    /// Begins to listen. What the server tells from the next request on is heard.
    pub(super) async fn listen(
        js: &JetStream,
        (stream, consumer): (&str, &str),
        dead_letter: DeadLetter,
        (limit, backoff): (Duration, Backoff),
    ) -> Result<Self, Error> {
        let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.{consumer}");
        let subscribed = js.link().client()?.queue_subscribe(subject, GROUP.to_owned());
        let advisories = match tokio::time::timeout(limit, subscribed).await {
            Ok(Ok(advisories)) => advisories,
            Ok(Err(_)) => return Err(js.link().offline()),
            Err(_) => return Err(Timeout { what: "subscribe".into(), after: limit }.into()),
        };
        let kept = Arc::new(AtomicU64::new(0));
        let keeper = Keeper {
            js: js.clone(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            dead_letter,
            limit,
            backoff,
        };
        let task = tokio::spawn(keeper.run(advisories, kept.clone()));
        Ok(Self { task, kept })
    }

    /// Copies that were kept.
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }
}

struct Keeper {
    js: JetStream,
    stream: String,
    consumer: String,
    dead_letter: DeadLetter,
    limit: Duration,
    backoff: Backoff,
}

/// What is read of an advisory.
#[derive(Deserialize)]
struct Advisory {
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
}

impl Keeper {
    async fn run(self, mut advisories: Subscriber, kept: Arc<AtomicU64>) {
        while let Some(message) = advisories.next().await {
            let Ok(advisory) = serde_json::from_slice::<Advisory>(&message.payload) else {
                continue;
            };
            match self.keep(&advisory).await {
                Ok(()) => drop(kept.fetch_add(1, Ordering::Relaxed)),
                Err(error) => self.js.link().emit(Event::Background { error }),
            }
        }
    }

    /// Keeps a copy, trying again for as long as the connection lives: nobody will be told again.
    async fn keep(&self, advisory: &Advisory) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            match self.try_keep(advisory).await {
                Err(error)
                    if (error.retryable() || matches!(error, Error::NotFound(_)))
                        && self.js.link().check_open().is_ok()
                        && !gone(&error) =>
                {
                    if tries == 0 {
                        self.js.link().emit(Event::Background { error });
                    }
                    tokio::time::sleep(self.backoff.wait(tries, rand::random())).await;
                    tries = tries.saturating_add(1);
                }
                done => return done,
            }
        }
    }

    async fn try_keep(&self, advisory: &Advisory) -> Result<(), Error> {
        let seq = advisory.stream_seq;
        let name = seq.to_string();
        let target = Target::of("get", "message", &name);
        let call = format!("STREAM.MSG.GET.{}", self.stream);
        let link = self.js.link();
        let body = json!({ "seq": seq });
        let answer: Value = self.js.api.call(link, &call, Some(&body), &target).await?;
        let stored = parse_stored(&answer)?;
        let meta = Meta::of(&self.stream, &self.consumer, seq, advisory.deliveries);
        let letter = Letter {
            subject: &stored.subject,
            original: &stored.headers,
            body: &stored.payload,
            meta: &meta,
            reason: "max deliveries",
            error: "no delivery was settled",
        };
        self.dead_letter.keep(link, &letter, self.limit).await
    }
}

/// Whether the message itself is not there any more: then there is nothing to keep.
fn gone(error: &Error) -> bool {
    matches!(error, Error::NotFound(missing) if missing.kind == "message")
}
