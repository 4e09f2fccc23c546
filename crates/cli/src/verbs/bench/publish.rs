//! `bench js pub`: one at a time, many at a time, and in batches that are stored together or not at all.

use std::time::{Duration, Instant};

use async_nats::client::Request;
use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use async_nats::subject::Subject;
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::core::{fits, unsent};
use super::facts::Facts;
use super::harness::{Job, Kind, Run, Seat, Share};
use super::jetstream::{Storage, StreamAdmin, With, most_bytes};
use super::options::{Content, Pacing, Shape};
use super::report;
use super::service::unanswered;
use super::stats::Meter;
use super::window::Window;
use crate::exit::{Failure, Outcome, status};
use crate::{json, units};

/// How a stream is written to.
#[derive(Debug, Subcommand)]
pub(super) enum Form {
    /// Each client waits for the acknowledgement of a message before it sends the next
    Sync(Sync),
    /// Up to --batch messages of a client are without their acknowledgements
    Async(Batched),
    /// Batches that are stored together or not at all
    #[command(visible_alias = "batch")]
    Atomic(Batched),
}

#[derive(Debug, Args)]
pub(super) struct Sync {
    /// Subject to publish to
    subject: String,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Args)]
pub(super) struct Batched {
    /// Subject to publish to
    subject: String,
    /// Messages that are on their way at once, or that are stored together
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    #[command(flatten)]
    to: To,
}

/// What is published, and where to.
#[derive(Debug, Args)]
struct To {
    /// Make the stream first, or give it the configuration that these options say
    #[arg(long)]
    create: bool,
    /// Remove all messages of the stream first
    #[arg(long)]
    purge: bool,
    /// Where the stream keeps messages; with --create
    #[arg(long, default_value = "file", value_name = "WHERE")]
    storage: Storage,
    /// Servers that keep a copy; with --create
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicas: u8,
    /// Most bytes of the stream; with --create
    #[arg(long, default_value = "1GB", value_name = "SIZE", value_parser = most_bytes, allow_negative_numbers = true)]
    maxbytes: i64,
    /// Send a message id with each message, for the stream to find duplicates
    #[arg(long)]
    dedup: bool,
    /// How long the stream remembers message ids; with --create
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = units::parse_duration)]
    dedupwindow: Duration,
    /// Let the stream acknowledge before a message is on the disk; with --create
    #[arg(long)]
    persistasync: bool,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    pacing: Pacing,
}

const SYNC: Kind = Kind {
    form: "js pub sync",
    label: "JetStream synchronous publisher",
    doing: "publishing",
    letter: 'P',
};

const ASYNC: Kind = Kind {
    form: "js pub async",
    label: "JetStream asynchronous publisher",
    doing: "publishing",
    letter: 'P',
};

const ATOMIC: Kind = Kind {
    form: "js pub atomic",
    label: "JetStream atomic batch publisher",
    doing: "publishing",
    letter: 'P',
};

/// The most messages that a server stores together (ADR-50).
const ATOMIC_MAX: u32 = 1000;

impl Form {
    pub(super) async fn run(self, with: &With<'_>) -> Outcome {
        let (kind, subject, batch, to) = match self {
            Self::Sync(Sync { subject, to }) => (SYNC, subject, 1, to),
            Self::Async(Batched { subject, batch, to }) => (ASYNC, subject, batch, to),
            Self::Atomic(Batched { subject, batch, to }) => (ATOMIC, subject, batch, to),
        };
        let atomic = kind.form == ATOMIC.form;
        if atomic && batch > ATOMIC_MAX {
            return Err(Failure::usage(format!("a server stores {ATOMIC_MAX} messages together"))
                .hint(format!("--batch {ATOMIC_MAX} or less")));
        }
        if to.persistasync && (atomic || to.replicas != 1) {
            return Err(Failure::usage(
                "--persistasync is for streams with one replica and without atomic batches",
            ));
        }
        let With { context, common, js } = *with;
        let shape = to.content.shape(&subject, common.size)?;
        let create = to.create.then(|| to.config(&js.stream, &subject, atomic));
        let opened = StreamAdmin::open(context, &js.stream, create).await;
        let mut stream =
            opened.map_err(|failure| match failure.message.contains("allow_atomic") {
                true => no_batches(&js.stream, true),
                false => failure,
            })?;
        if atomic && !json::flag(&stream.config, "/allow_atomic") {
            return Err(no_batches(&js.stream, to.create));
        }
        context.out.log(format!("Using stream: {}", js.stream));
        if to.purge {
            stream.purge(context).await?;
        }
        stream.close().await?;
        let facts = to.facts(&subject, &shape).text("stream", &js.stream).span("sleep", js.sleep);
        let facts = match batch {
            1 => facts,
            batch => facts.number("batch", batch.into()),
        };
        let share = Share::Split(to.pacing.messages(common)?);
        let run = Run { context, common, kind, facts, share };
        let ids = to.dedup.then(|| format!("{:012x}", rand::random::<u64>() >> 16));
        let line = Line { shape, ids, sleep: js.sleep, pacing: to.pacing, clients: common.clients };
        let window = batch as usize;
        let measured = match kind.form {
            form if form == SYNC.form => run.measure(OneByOne(line)).await?,
            form if form == ASYNC.form => run.measure(Many { line, window }).await?,
            _ => run.measure(Batches { line, size: batch.into() }).await?,
        };
        report::finish(&context.out, common, measured)
    }
}

fn no_batches(stream: &str, created: bool) -> Failure {
    let text = format!("stream {stream} does not take atomic batches");
    let hint = match created {
        true => {
            "the server does not know them (nats-server does from 2.12 on); js pub async goes anywhere"
        }
        false => "--create allows them, or use js pub async",
    };
    Failure::new(status::FAILED, "js.no_atomic_batches", text).hint(hint)
}

impl To {
    fn config(&self, stream: &str, subject: &str, atomic: bool) -> serde_json::Value {
        let window = i64::try_from(self.dedupwindow.as_nanos()).unwrap_or(i64::MAX);
        let mut config = json!({
            "name": stream,
            "subjects": [self.content.listened(subject)],
            "retention": "limits",
            "discard": "new",
            "storage": self.storage.name(),
            "num_replicas": self.replicas,
            "max_bytes": self.maxbytes,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "max_consumers": -1,
            "max_age": 0,
            "duplicate_window": window,
            "allow_direct": true,
        });
        if atomic {
            config["allow_atomic"] = true.into();
        }
        if self.persistasync {
            config["persist_mode"] = "async".into();
        }
        config
    }

    fn facts(&self, subject: &str, shape: &Shape) -> Facts {
        let facts = self
            .content
            .facts(subject)
            .size("msg-size", shape.body.len() as u64)
            .flag("purge", self.purge)
            .flag("deduplication", self.dedup)
            .and(self.pacing.facts());
        if !self.create {
            return facts;
        }
        let facts = match u64::try_from(self.maxbytes) {
            Ok(bytes) => facts.size("max-bytes", bytes),
            Err(_) => facts.text("max-bytes", "unlimited"),
        };
        facts
            .text("storage", self.storage.name())
            .number("replicas", self.replicas.into())
            .span("dedup-window", self.dedupwindow)
    }
}

/// What all kinds of publishers share.
struct Line {
    shape: Shape,
    /// What message ids begin with.
    ids: Option<String>,
    sleep: Duration,
    pacing: Pacing,
    clients: u32,
}

impl Line {
    /// The headers of message number `nth` of all.
    fn headers(&self, nth: u64) -> Option<HeaderMap> {
        let Some(ids) = &self.ids else { return self.shape.headers.clone() };
        let mut headers = self.shape.headers.clone().unwrap_or_default();
        headers.insert(NATS_MESSAGE_ID, format!("{ids}-{nth}"));
        Some(headers)
    }
}

/// A stream's answer (ADR-22).
#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    stream: String,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// An empty answer is the server's word that nobody listens.
pub(super) fn check_ack(subject: &str, answer: &[u8]) -> Outcome {
    if answer.is_empty() {
        return Err(no_stream(subject));
    }
    match serde_json::from_slice::<Ack>(answer) {
        Ok(Ack { error: Some(error), .. }) => {
            Err(Failure::api(error.code, error.err_code, &error.description, subject))
        }
        Ok(ack) if !ack.stream.is_empty() => Ok(()),
        _ => {
            let text = format!("{subject} was answered by something that is no stream");
            Err(Failure::new(status::FAILED, "js.bad_reply", text)
                .hint("another subject; `natterjack bench service request` asks services"))
        }
    }
}

fn no_stream(subject: &str) -> Failure {
    let text = format!("no stream takes {subject}");
    Failure::new(status::TIMEOUT, "request.no_responders", text)
        .hint("--create makes one for this subject; --stream takes a name")
}

/// Publishes and waits for the stream's answer.
pub(super) async fn store(
    seat: &Seat,
    subject: Subject,
    headers: Option<HeaderMap>,
    body: Bytes,
) -> Outcome {
    let mut request = Request::new().payload(body);
    if let Some(headers) = headers {
        request = request.headers(headers);
    }
    let answer = seat.client.send_request(subject.clone(), request).await.map_err(|error| {
        unanswered(error.kind(), &error, &subject, seat.limit, || no_stream(&subject).hint)
    })?;
    check_ack(&subject, &answer.payload)
}

struct OneByOne(Line);

impl Job for OneByOne {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let line = &self.0;
        fits(&seat.client, &line.shape)?;
        seat.begin().await?;
        meter.start();
        let pacer = line.pacing.pacer(line.sleep, line.clients);
        for nth in 0..seat.share {
            let number = seat.offset + nth;
            let (subject, headers) = (line.shape.subject(number), line.headers(number));
            let sent = Instant::now();
            store(seat, subject, headers, line.shape.body.clone()).await?;
            meter.time(sent.elapsed());
            meter.add(line.shape.body.len());
            pacer.after(nth + 1).await;
        }
        Ok(())
    }
}

struct Many {
    line: Line,
    window: usize,
}

impl Job for Many {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let Self { line, window } = self;
        fits(&seat.client, &line.shape)?;
        let places = usize::try_from(seat.share).unwrap_or(*window).min(*window);
        let mut window = Window::open(seat, places).await?;
        seat.begin().await?;
        meter.start();
        let pacer = line.pacing.pacer(line.sleep, line.clients);
        let size = line.shape.body.len();
        // Answers come in bursts: to refill for each one of them costs both sides a wakeup.
        let refill = (places / 10).max(1);
        let mut sent = 0;
        while meter.messages() < seat.share {
            if sent < seat.share && window.free.len() >= refill {
                while sent < seat.share && !window.free.is_empty() {
                    let number = seat.offset + sent;
                    let (subject, headers) = (line.shape.subject(number), line.headers(number));
                    window.send(subject, headers, line.shape.body.clone()).await?;
                    sent += 1;
                    pacer.after(sent).await;
                }
            }
            window.receive(meter, size).await?;
        }
        Ok(())
    }
}

struct Batches {
    line: Line,
    size: u64,
}

impl Job for Batches {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        let Self { line, size } = self;
        fits(&seat.client, &line.shape)?;
        seat.begin().await?;
        meter.start();
        let pacer = line.pacing.pacer(line.sleep, line.clients);
        let mut done = 0;
        while done < seat.share {
            // Never two of one name, also among programs.
            let batch = format!("{:032x}", rand::random::<u128>());
            let messages = (*size).min(seat.share - done);
            let began = Instant::now();
            let mut paused = Duration::ZERO;
            for nth in 1..=messages {
                let number = seat.offset + done + nth - 1;
                let subject = line.shape.subject(number);
                let mut headers = line.headers(number).unwrap_or_default();
                headers.insert("Nats-Batch-Id", batch.as_str());
                headers.insert("Nats-Batch-Sequence", nth.to_string());
                let body = line.shape.body.clone();
                if nth == messages {
                    headers.insert("Nats-Batch-Commit", "1");
                    store(seat, subject, Some(headers), body).await?;
                    break;
                }
                let sent = seat.client.publish_with_headers(subject, headers, body).await;
                sent.map_err(|error| unsent(&error))?;
                paused += pacer.after(done + nth).await;
            }
            meter.time(began.elapsed().saturating_sub(paused));
            for _ in 0..messages {
                meter.add(line.shape.body.len());
            }
            done += messages;
            pacer.after(done).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let code = |answer: &str| check_ack("s", answer.as_bytes()).map_err(|failure| failure.code);
        assert_eq!(code(r#"{"stream":"S","seq":1,"duplicate":true}"#), Ok(()));
        assert_eq!(code(""), Err("request.no_responders"));
        assert_eq!(code("pong"), Err("js.bad_reply"));
        assert_eq!(code("{}"), Err("js.bad_reply"));
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        assert_eq!(code(full), Err("js.api"));
    }
}
