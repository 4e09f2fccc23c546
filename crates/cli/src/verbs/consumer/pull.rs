//! Pull requests, and what a consumer delivers.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use natterjack::{Connector, Delivery};
use serde_json::{Map, json};

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::message::{Received, Show};
use crate::output::Output;
use crate::units;

/// One pull request (ADR-13) and its answers.
pub(super) struct Pull {
    client: Client,
    answers: Subscriber,
    inbox: String,
    subject: String,
    jetstream: jetstream::Context,
    /// Messages that the request may still bring.
    left: usize,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    Ack,
    Nak,
    Term,
    /// Left to be delivered again.
    Nothing,
}

impl Settle {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::Term => "term",
            Self::Nothing => "none",
        }
    }
}

impl Pull {
    pub(super) async fn open(
        context: &Context,
        connector: &Connector,
        stream: &str,
        consumer: &str,
    ) -> Result<Self, Failure> {
        let client = connector.raw()?;
        let prefix = context.jetstream(connector).prefix().to_owned();
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await.map_err(broken)?;
        Ok(Self {
            subject: format!("{prefix}.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            jetstream: jetstream::with_prefix(client.clone(), &prefix),
            client,
            answers,
            inbox,
            left: 0,
        })
    }

    /// Asks for so many messages, for so long.
    pub(super) async fn ask(&mut self, batch: usize, expires: Duration) -> Outcome {
        self.left = batch;
        let expires = u64::try_from(expires.as_nanos()).unwrap_or(u64::MAX);
        let body = json!({ "batch": batch, "expires": expires }).to_string();
        self.client
            .publish_with_reply(self.subject.clone(), self.inbox.clone(), body.into())
            .await
            .map_err(broken)
    }

    /// The next message; `None` when the request has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Came>, Failure> {
        while self.left > 0 {
            let Some(answer) = self.answers.next().await else {
                return Err(broken("the connection is over"));
            };
            let words = answer.description.clone().unwrap_or_default();
            match answer.status.map(|status| status.as_u16()) {
                None => {
                    self.left -= 1;
                    return Came::read(answer, &self.jetstream).map(Some);
                }
                // A heartbeat.
                Some(100) => {}
                // Nothing more, or not in time.
                Some(404 | 408) => self.left = 0,
                Some(503) => {
                    let text = "nobody answers for this consumer: it is gone, or has no leader";
                    return Err(Failure::new(status::TIMEOUT, "request.no_responders", text));
                }
                // The server goes, or another one takes over: the request is made again.
                Some(409) if ["Server Shutdown", "Leadership Change"].contains(&&*words) => {
                    self.left = 0;
                }
                Some(409) if words.to_lowercase().contains("deleted") => {
                    let text = "the consumer was deleted";
                    return Err(Failure::new(status::NOT_FOUND, "js.not_found", text));
                }
                Some(code) => {
                    let text = format!("the consumer refused: {code} {words}");
                    return Err(Failure::new(status::FAILED, "js.pull", text));
                }
            }
        }
        Ok(None)
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(status::FAILED, "conn.closed", error.to_string())
}

/// A message that a consumer delivered, for printing.
pub(super) struct Delivered {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
    stream: String,
    consumer: String,
    seq: u64,
    consumer_seq: u64,
    tries: u64,
    pending: u64,
    time: Option<jiff::Timestamp>,
}

impl From<&Delivery<Bytes>> for Delivered {
    fn from(delivery: &Delivery<Bytes>) -> Self {
        let meta = &delivery.meta;
        Self {
            subject: delivery.subject.clone(),
            headers: delivery.headers.clone(),
            body: delivery.payload.clone(),
            stream: meta.stream.clone(),
            consumer: meta.consumer.clone(),
            seq: meta.stream_seq,
            consumer_seq: meta.consumer_seq,
            tries: meta.delivered,
            pending: meta.pending,
            time: jiff::Timestamp::try_from(meta.timestamp).ok(),
        }
    }
}

impl Delivered {
    /// Prints it: an object with what became of it, or as the `nats` tool does.
    pub(super) fn print(&self, out: &Output, raw: bool, how: Settle) {
        let body: &[u8] = &self.body;
        let received =
            Received { subject: &self.subject, reply: None, headers: &self.headers, body };
        let show = Show { raw, ..Show::default() };
        if out.json {
            let mut extra = Map::new();
            for (name, value) in [
                ("stream", self.stream.as_str().into()),
                ("consumer", self.consumer.as_str().into()),
                ("seq", self.seq.into()),
                ("consumer_seq", self.consumer_seq.into()),
                ("delivered", self.tries.into()),
                ("pending", self.pending.into()),
                ("time", self.time.map(|time| time.to_string()).into()),
                ("settled", how.word().into()),
            ] {
                extra.insert(name.to_owned(), value);
            }
            out.object(&received.json(extra, &show));
            return;
        }
        if raw {
            let mut line = body.to_vec();
            line.push(b'\n');
            out.data(&line);
            return;
        }
        let time = jiff::Zoned::now().strftime("%H:%M:%S");
        let head = format!(
            "[{time}] subj: {} / tries: {} / cons seq: {} / str seq: {} / pending: {}\n\n",
            self.subject,
            self.tries,
            self.consumer_seq,
            self.seq,
            units::count(self.pending)
        );
        let mut block = head.into_bytes();
        block.extend(received.lines(out, &show, body));
        out.data(&block);
    }
}

/// A message that came to a subject, to be printed and settled.
pub(super) struct Came {
    pub(super) shown: Delivered,
    message: jetstream::Message,
}

impl Came {
    /// Reads the place of a message out of its ack subject.
    pub(super) fn read(
        message: async_nats::Message,
        jetstream: &jetstream::Context,
    ) -> Result<Self, Failure> {
        let message = jetstream::Message { message, context: jetstream.clone() };
        let info = message.info().map_err(|error| {
            Failure::new(
                status::FAILED,
                "js.bad_reply",
                format!("no message of a consumer: {error}"),
            )
        })?;
        let shown = Delivered {
            subject: message.subject.to_string(),
            headers: message.headers.clone().unwrap_or_default(),
            body: message.payload.clone(),
            stream: info.stream.to_owned(),
            consumer: info.consumer.to_owned(),
            seq: info.stream_sequence,
            consumer_seq: info.consumer_sequence,
            tries: u64::try_from(info.delivered).unwrap_or(0),
            pending: info.pending,
            time: jiff::Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok(),
        };
        Ok(Self { shown, message })
    }

    /// Tells the server what became of it, and returns when the server has taken it.
    pub(super) async fn settle(&self, how: Settle, limit: Duration) -> Outcome {
        let kind = match how {
            Settle::Ack => AckKind::Ack,
            Settle::Nak => AckKind::Nak(None),
            Settle::Term => AckKind::Term,
            Settle::Nothing => return Ok(()),
        };
        let settled = tokio::time::timeout(limit, self.message.double_ack_with(kind)).await;
        match settled {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => {
                let seq = self.shown.seq;
                let text = format!("message {seq} was not settled in {}", units::duration(limit));
                Err(Failure::new(status::TIMEOUT, "conn.timeout", text))
            }
        }
    }
}
