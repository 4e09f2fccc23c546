//! `natterjack pub`: sends messages, with or without a stream's acknowledgement.

mod batch;
mod pipeline;
mod schedule;

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::FutureExt as _;
use natterjack::codec::Binary;
use natterjack::{Connector, Event, EventStream, Operation};
use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::message::{Blueprint, Bodies, Filled, Templates, read_stdin, stdin_lines};
use crate::output::Output;
use crate::template::Facts;
use crate::units;
use batch::Batch;
use pipeline::{Pipeline, Stored, no_stream, read_ack};
use schedule::Schedule;

/// Publish messages.
///
/// Subject, body and header values may hold {{Count}}, {{Time}}, {{TimeStamp}}, {{Unix}},
/// {{UnixNano}}, {{ID}} and {{Random 10 100}}.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Subject to publish to
    subject: String,
    /// Body; without one it is read from standard input
    body: Option<String>,
    /// How many messages to send
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: u64,
    /// Wait between messages
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    sleep: Option<Duration>,
    /// Header, may be given several times
    #[arg(short = 'H', long, value_name = "KEY:VALUE")]
    header: Vec<String>,
    /// Where answers are expected
    #[arg(long, value_name = "SUBJECT", conflicts_with = "jetstream")]
    reply: Option<String>,
    /// Wait for the acknowledgement of a stream
    #[arg(short = 'J', long)]
    jetstream: bool,
    /// Have a stream store all messages together, or none
    #[arg(long, conflicts_with_all = ["reply", "sleep"])]
    atomic: bool,
    #[command(flatten)]
    schedule: Schedule,
    /// Read the body from standard input, whatever else is given
    #[arg(long)]
    force_stdin: bool,
    /// When to send what standard input holds
    #[arg(long, value_name = "WHEN", default_value = "eof")]
    send_on: SendOn,
    /// Send double braces as they are
    #[arg(long)]
    no_templates: bool,
}

/// When standard input becomes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SendOn {
    /// Each line is one.
    Newline,
    /// All of it is one.
    Eof,
}

/// Above this many messages there is a progress line instead of a line for each.
const LINES_MAX: u64 = 20;

impl Publish {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let templates = Templates { on: !self.no_templates, out };
        let mut headers = self.header.clone();
        headers.extend(self.schedule.headers(jiff::Timestamp::now())?);
        let blueprint = Blueprint::new(&self.subject, &headers, templates)?;
        let connector = context.connect().await?;
        let mut run = Run {
            batch: self.atomic.then(|| Batch::new(&connector)),
            events: connector.events(),
            connector,
            out,
            reply: self.reply.clone(),
            jetstream: self.jetstream || self.atomic || self.schedule.is_set(),
            lines: self.count <= LINES_MAX,
            started: Instant::now(),
            sent: 0,
            bytes: 0,
        };
        let from_stdin = self.force_stdin || self.body.is_none();
        if from_stdin {
            out.log("Reading payload from STDIN");
        }
        if from_stdin && self.send_on == SendOn::Newline {
            let mut lines = stdin_lines();
            while let Some(line) = lines.recv().await {
                let line = line.map_err(|error| Failure::io("reading standard input", &error))?;
                let bodies = match String::from_utf8(line) {
                    Ok(text) => Bodies::Text(templates.read("body", &text)),
                    Err(error) => Bodies::Bytes(error.into_bytes().into()),
                };
                self.send_all(&mut run, &blueprint, &bodies).await?;
            }
        } else {
            let bodies = match &self.body {
                Some(text) if !from_stdin => Bodies::Text(templates.read("body", text)),
                _ => Bodies::Bytes(read_stdin().await?),
            };
            self.send_all(&mut run, &blueprint, &bodies).await?;
        }
        run.finish().await
    }

    async fn send_all(&self, run: &mut Run, blueprint: &Blueprint, bodies: &Bodies) -> Outcome {
        if run.jetstream && run.batch.is_none() && self.sleep.is_none() && self.count > 1 {
            return run.send_all_to_stream(self.count, blueprint, bodies).await;
        }
        for nth in 0..self.count {
            if nth > 0
                && let Some(pause) = self.sleep
            {
                tokio::time::sleep(pause).await;
            }
            let facts = Facts { count: run.sent + 1, ..Facts::default() };
            run.send(blueprint.fill(&facts), bodies.fill(&facts)).await?;
        }
        Ok(())
    }
}

/// Messages on their way.
struct Run {
    batch: Option<Batch>,
    connector: Connector,
    events: EventStream,
    out: Output,
    reply: Option<String>,
    jetstream: bool,
    /// Whether each message is shown.
    lines: bool,
    started: Instant,
    sent: u64,
    bytes: u64,
}

impl Run {
    /// Publishes to a stream with several acknowledgements on their way, and tells of them in order.
    async fn send_all_to_stream(
        &mut self,
        count: u64,
        blueprint: &Blueprint,
        bodies: &Bodies,
    ) -> Outcome {
        let mut pipeline = Pipeline::start(&self.connector).await?;
        let last = self.sent + count;
        let mut next = self.sent + 1;
        while self.sent < last {
            if next <= last && pipeline.has_room() {
                let facts = Facts { count: next, ..Facts::default() };
                pipeline.send(blueprint.fill(&facts), bodies.fill(&facts)).await?;
                next += 1;
                continue;
            }
            let Stored { subject, size, ack } = pipeline.next(&mut self.events).await?;
            self.sent += 1;
            self.bytes += size as u64;
            self.show(&subject, size, Some(ack));
        }
        Ok(())
    }

    async fn send(&mut self, message: Filled, body: Bytes) -> Outcome {
        let size = body.len();
        let subject = message.subject.clone();
        let ack = if let Some(batch) = &mut self.batch {
            batch.add(message, body).await?;
            None
        } else if self.jetstream {
            Some(send_to_stream(&self.connector, message, body).await?)
        } else {
            let mut publish = self.connector.to(message.subject);
            for (name, value) in &message.headers {
                publish = publish.header(name, value);
            }
            if let Some(reply) = &self.reply {
                publish = publish.reply(reply);
            }
            publish.send_bytes(body).await?;
            None
        };
        self.sent += 1;
        self.bytes += size as u64;
        self.show(&subject, size, ack);
        Ok(())
    }

    fn show(&self, subject: &str, size: usize, ack: Option<Value>) {
        if self.out.json {
            let mut object = json!({"subject": subject, "bytes": size});
            if let Some(ack) = ack {
                for name in ["stream", "seq", "duplicate", "domain"] {
                    if let Some(value) = ack.get(name) {
                        object[name] = value.clone();
                    }
                }
            }
            self.out.object(&object);
            return;
        }
        if !self.lines {
            let text = format!("{} messages, {}", units::count(self.sent), units::size(self.bytes));
            if self.sent.is_multiple_of(1000) {
                self.out.progress(&text, false);
            }
            return;
        }
        self.out.log(format!("Published {size} bytes to {subject:?}"));
        self.show_ack(ack.as_ref());
    }

    fn show_ack(&self, ack: Option<&Value>) {
        if let Some(ack) = ack {
            let text = |name| ack.get(name).and_then(Value::as_str).unwrap_or_default();
            let seq = ack.get("seq").and_then(Value::as_u64).unwrap_or(0);
            let mut line =
                format!("Stored in Stream: {} Sequence: {}", text("stream"), units::count(seq));
            if !text("domain").is_empty() {
                line.push_str(&format!(" Domain: {:?}", text("domain")));
            }
            if let Some(count) = ack.get("count").and_then(Value::as_u64) {
                line.push_str(&format!(" Batch of {}", units::count(count)));
            }
            if ack.get("duplicate") == Some(&Value::Bool(true)) {
                line.push_str(" Duplicate: true");
            }
            self.out.log(line);
        }
    }

    /// Waits until the server has seen all, and tells what it refused.
    async fn finish(mut self) -> Outcome {
        if let Some(batch) = self.batch.take() {
            let ack = batch.commit().await?;
            match (&ack, self.out.json) {
                (Some(ack), true) => self.out.object(ack),
                (ack, _) => self.show_ack(ack.as_ref()),
            }
        }
        let limit = self.connector.effective_options().request_timeout;
        let mut refused = Vec::new();
        if !self.jetstream {
            // The refusal of what was sent before a round trip is on its way to us when the round
            // trip ends; a second one is more than the time that it takes through the client.
            for _ in 0..2 {
                self.connector.barrier(limit).await?;
            }
            while let Some(Some(event)) = self.events.next().now_or_never() {
                if let Event::PermissionDenied { op: Operation::Publish, subject, .. } = event {
                    refused.push(subject);
                }
            }
        }
        if !self.lines && !self.out.json {
            self.out.progress("", false);
            let took = self.started.elapsed();
            let rate = self.sent as f64 / took.as_secs_f64().max(1e-9);
            self.out.log(format!(
                "Published {} messages, {} in {} ({} msgs/sec)",
                units::count(self.sent),
                units::size(self.bytes),
                units::duration(took),
                units::count(rate as u64),
            ));
        }
        self.connector.close().await?;
        match refused.first() {
            None => Ok(()),
            Some(subject) => {
                let exit = if (refused.len() as u64) < self.sent { status::PARTLY } else { 4 };
                let text = match refused.len() {
                    1 => format!("permission denied: publish {subject}"),
                    n => format!("permission denied: publish {subject}, and {} more", n - 1),
                };
                Err(Failure::new(exit, "auth.permission", text)
                    .hint("the user's permissions do not cover this subject"))
            }
        }
    }
}

/// Publishes as a request: the stream that stores the message answers (ADR-22).
async fn send_to_stream(
    connector: &Connector,
    message: Filled,
    body: Bytes,
) -> Result<Value, Failure> {
    let subject = message.subject.clone();
    let mut ask = connector.ask(message.subject).codec(Binary);
    for (name, value) in &message.headers {
        ask = ask.header(name, value);
    }
    let answer = ask.send_msg::<[u8], Bytes>(&body).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.code {
            "request.no_responders" => no_stream(&subject),
            _ => failure,
        }
    })?;
    read_ack(&subject, &answer.payload)
}
