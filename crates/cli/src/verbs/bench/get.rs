//! `bench js get`: messages by their sequence numbers, without a consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::client::Request;
use async_nats::{Client, Message, StatusCode};
use bytes::Bytes;
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use super::core::{ended, unlistened, unsent};
use super::facts::Facts;
use super::harness::{Job, Kind, Run, Seat, Share};
use super::jetstream::{StreamAdmin, With};
use super::options::{Common, pause};
use super::report;
use super::service::unanswered;
use super::stats::Meter;
use crate::exit::{Failure, Outcome, status};
use crate::{json, units};

/// How messages are got.
#[derive(Debug, Subcommand)]
pub(super) enum Form {
    /// One at a time
    Sync,
    /// A batch at a time, without going through the stream's leader
    Batch(Batch),
}

#[derive(Debug, Args)]
pub(super) struct Batch {
    /// Messages to ask for at once
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Only messages of these subjects
    #[arg(long, default_value = ">", value_name = "SUBJECT")]
    filter: String,
}

const SYNC: Kind = Kind {
    form: "js get sync",
    label: "JetStream synchronous getter",
    doing: "expecting",
    letter: 'S',
};

const BATCH: Kind = Kind {
    form: "js get batch",
    label: "JetStream batched direct getter",
    doing: "expecting",
    letter: 'S',
};

impl Form {
    pub(super) async fn run(self, with: &With<'_>) -> Outcome {
        let With { context, common, js } = *with;
        let stream = StreamAdmin::open(context, &js.stream, None).await?;
        let messages = messages(common, &stream)?;
        let (prefix, first) = (stream.prefix(context), stream.first);
        let direct = json::flag(&stream.config, "/allow_direct");
        stream.close().await?;
        let facts = Facts::default().text("stream", &js.stream).span("sleep", js.sleep);
        let share = Share::Each(messages);
        let sleep = js.sleep;
        let measured = match self {
            Self::Sync => {
                let run = Run { context, common, kind: SYNC, facts, share };
                let from = Source::new(&prefix, &js.stream, direct);
                run.measure(OneByOne { from, first, sleep }).await?
            }
            Self::Batch(Batch { batch, filter }) => {
                if !direct {
                    let text = format!("stream {} does not answer direct gets", js.stream);
                    return Err(Failure::new(status::FAILED, "js.no_direct_get", text)
                        .hint("bench js pub --create makes one that does; or bench js get sync"));
                }
                let facts = facts.number("batch", batch.into()).text("filter", &filter);
                let run = Run { context, common, kind: BATCH, facts, share };
                let short = Arc::new(AtomicU64::new(0));
                let subject = format!("{prefix}.DIRECT.GET.{}", js.stream);
                let size = batch.into();
                let job = Batches { subject, filter, size, first, sleep, short: short.clone() };
                let mut measured = run.measure(job).await?;
                let short = short.load(Ordering::Relaxed);
                if short > 0 {
                    let text =
                        format!("{short} clients found no more messages before they had all");
                    measured.warnings.push(text);
                }
                measured
            }
        };
        report::finish(&context.out, common, measured)
    }
}

/// What each client gets: what was asked for, or up to the usual number of what is there.
fn messages(common: &Common, stream: &StreamAdmin) -> Result<u64, Failure> {
    let there = stream.messages;
    if there == 0 {
        let text = format!("stream {} holds no messages", stream.name);
        return Err(Failure::new(status::NOT_FOUND, "js.not_found", text)
            .hint("natterjack bench js pub async SUBJECT --create stores some"));
    }
    match common.msgs {
        Some(asked) if asked > there => {
            let there = units::count(there);
            Err(Failure::usage(format!("stream {} holds {there} messages only", stream.name))
                .hint(format!("--msgs {there} or less").replace(',', "")))
        }
        _ => Ok(common.messages().min(there)),
    }
}

/// Where messages are asked for, and how.
pub(super) struct Source {
    subject: String,
    direct: bool,
}

/// The answer of a get that is not direct.
#[derive(Deserialize)]
struct Stored {
    message: Option<StoredMessage>,
}

#[derive(Deserialize)]
struct StoredMessage {
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

impl Source {
    pub(super) fn new(prefix: &str, stream: &str, direct: bool) -> Self {
        let call = if direct { "DIRECT.GET" } else { "STREAM.MSG.GET" };
        Self { subject: format!("{prefix}.{call}.{stream}"), direct }
    }

    /// The message with a sequence number; the length of its body.
    pub(super) async fn by_sequence(&self, seat: &Seat, seq: u64) -> Result<usize, Failure> {
        let body = json!({"seq": seq}).to_string();
        let found = self.get(seat, self.subject.clone(), body.into()).await?;
        found.ok_or_else(|| {
            let text = format!("there is no message with sequence {seq}");
            Failure::new(status::NOT_FOUND, "js.not_found", text)
                .hint("the stream has gaps: natterjack bench js get batch passes over them")
        })
    }

    /// The last message of a subject that was not deleted; the length of its body.
    pub(super) async fn last(&self, seat: &Seat, subject: &str) -> Result<Option<usize>, Failure> {
        if self.direct {
            return self.get(seat, format!("{}.{subject}", self.subject), Bytes::new()).await;
        }
        let body = json!({"last_by_subj": subject}).to_string();
        self.get(seat, self.subject.clone(), body.into()).await
    }

    async fn get(
        &self,
        seat: &Seat,
        subject: String,
        body: Bytes,
    ) -> Result<Option<usize>, Failure> {
        let answer = seat.client.send_request(subject.clone(), Request::new().payload(body)).await;
        let answer = answer.map_err(|error| {
            unanswered(error.kind(), &error, &subject, seat.limit, || {
                "see natterjack stream info".to_owned()
            })
        })?;
        if self.direct {
            return direct(&answer);
        }
        use base64::Engine as _;
        match serde_json::from_slice(&answer.payload) {
            Ok(Stored { message: Some(message) }) => {
                let body = base64::engine::general_purpose::STANDARD.decode(message.data);
                let headers = base64::engine::general_purpose::STANDARD.decode(message.hdrs);
                let gone = headers.is_ok_and(|headers| {
                    String::from_utf8_lossy(&headers).contains("\r\nKV-Operation:")
                });
                Ok(body.ok().filter(|_| !gone).map(|body| body.len()))
            }
            _ => {
                let answer = serde_json::from_slice(&answer.payload).unwrap_or_default();
                match json::number(&answer, "/error/err_code") {
                    10037 => Ok(None),
                    err_code => Err(Failure::api(
                        json::number(&answer, "/error/code"),
                        err_code,
                        json::text(&answer, "/error/description"),
                        &subject,
                    )),
                }
            }
        }
    }
}

/// The length of a direct get's body (ADR-31); `None` if there is no such message, or a deletion.
fn direct(answer: &Message) -> Result<Option<usize>, Failure> {
    let header = |name: &str| answer.headers.as_ref().and_then(|headers| headers.get(name));
    match answer.status {
        None => Ok(header("KV-Operation").is_none().then_some(answer.payload.len())),
        Some(StatusCode::NOT_FOUND) => Ok(None),
        Some(code) => {
            let words = answer.description.as_deref().unwrap_or_default();
            let text = format!("the server refuses a get: {words} ({code})");
            Err(Failure::new(status::FAILED, "js.get_refused", text))
        }
    }
}

struct OneByOne {
    from: Source,
    first: u64,
    sleep: Duration,
}

impl Job for OneByOne {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        seat.begin().await?;
        meter.start();
        for nth in 0..seat.share {
            let asked = Instant::now();
            let size = self.from.by_sequence(seat, self.first + nth).await?;
            meter.time(asked.elapsed());
            meter.add(size);
            pause(self.sleep).await;
        }
        Ok(())
    }
}

struct Batches {
    subject: String,
    filter: String,
    size: u64,
    first: u64,
    sleep: Duration,
    /// Clients that did not find all.
    short: Arc<AtomicU64>,
}

impl Job for Batches {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let inbox = seat.client.new_inbox();
        let subscribed = seat.client.subscribe(inbox.clone()).await;
        let mut answers = subscribed.map_err(|error| unlistened(&error))?;
        seat.begin().await?;
        meter.start();
        let mut next = self.first;
        while meter.messages() < seat.share {
            let wanted = (seat.share - meter.messages()).min(self.size);
            let began = Instant::now();
            self.ask(&seat.client, &inbox, next, wanted).await?;
            let before = meter.messages();
            loop {
                let answer = tokio::time::timeout(seat.limit, answers.next()).await;
                let answer = answer.map_err(|_| self.late(seat.limit))?.ok_or_else(ended)?;
                match answer.status.map(|code| code.as_u16()) {
                    // The batch is over, or there are no more.
                    Some(204 | 404) => break,
                    Some(503) => return Err(self.late(seat.limit)),
                    Some(_) => drop(direct(&answer)?),
                    None => {
                        next = place(&answer)? + 1;
                        meter.add(answer.payload.len());
                    }
                }
            }
            meter.time(began.elapsed());
            if meter.messages() == before {
                self.short.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            pause(self.sleep).await;
        }
        Ok(())
    }
}

impl Batches {
    async fn ask(&self, client: &Client, inbox: &str, from: u64, batch: u64) -> Outcome {
        let mut body = json!({"seq": from, "batch": batch});
        if self.filter != ">" {
            body["next_by_subj"] = self.filter.as_str().into();
        }
        let body = body.to_string().into();
        let asked = client.publish_with_reply(self.subject.clone(), inbox.to_owned(), body).await;
        asked.map_err(|error| unsent(&error))
    }

    fn late(&self, limit: Duration) -> Failure {
        let text = format!("no answer on {} within {}", self.subject, units::duration(limit));
        Failure::new(status::TIMEOUT, "conn.timeout", text).hint("a longer --timeout")
    }
}

/// The sequence of a message in a batch. A server that knows no batches answers with one message, which
/// does not say how many follow.
fn place(answer: &Message) -> Result<u64, Failure> {
    let header = |name: &str| answer.headers.as_ref().and_then(|headers| headers.get(name));
    let seq = header("Nats-Sequence").and_then(|seq| seq.as_str().parse().ok());
    match (seq, header("Nats-Num-Pending")) {
        (Some(seq), Some(_)) => Ok(seq),
        _ => {
            let text = "the server does not know batches of direct gets";
            Err(Failure::new(status::FAILED, "js.no_get_batches", text)
                .hint("nats-server does from 2.11 on; natterjack bench js get sync goes anywhere"))
        }
    }
}
