//! Pull requests, and what a consumer delivers.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use natterjack::Connector;
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
    pub(super) async fn next(&mut self) -> Result<Option<Delivered>, Failure> {
        while self.left > 0 {
            let Some(answer) = self.answers.next().await else {
                return Err(broken("the connection is over"));
            };
            let words = answer.description.clone().unwrap_or_default();
            match answer.status.map(|status| status.as_u16()) {
                None => {
                    self.left -= 1;
                    return Delivered::read(answer, &self.jetstream).map(Some);
                }
                // A heartbeat.
                Some(100) => {}
                // Nothing more, or not in time.
                Some(404 | 408) => self.left = 0,
                Some(503) => {
                    let text = "nobody answers for this consumer: it is gone, or has no leader";
                    return Err(Failure::new(status::TIMEOUT, "request.no_responders", text));
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

/// A message that a consumer delivered.
pub(super) struct Delivered {
    message: jetstream::Message,
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) seq: u64,
    pub(super) consumer_seq: u64,
    pub(super) tries: i64,
    pub(super) pending: u64,
    pub(super) time: Option<jiff::Timestamp>,
}

impl Delivered {
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
        Ok(Self {
            stream: info.stream.to_owned(),
            consumer: info.consumer.to_owned(),
            seq: info.stream_sequence,
            consumer_seq: info.consumer_sequence,
            tries: info.delivered,
            pending: info.pending,
            time: jiff::Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok(),
            message,
        })
    }

    /// Tells the server what became of it. An ack returns when the server has taken it.
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
                let text =
                    format!("message {} was not settled in {}", self.seq, units::duration(limit));
                Err(Failure::new(status::TIMEOUT, "conn.timeout", text))
            }
        }
    }

    /// Prints it: an object with what became of it, or as the `nats` tool does.
    pub(super) fn print(&self, out: &Output, raw: bool, how: Settle) {
        let headers = self.message.headers.clone().unwrap_or_default();
        let body: &Bytes = &self.message.payload;
        let received =
            Received { subject: &self.message.subject, reply: None, headers: &headers, body };
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
            self.message.subject,
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
