//! `natterjack request`: asks, and prints the answers with their round trip times.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use natterjack::codec::Binary;
use natterjack::{Connector, Msg, Until};

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::message::{
    Blueprint, Bodies, Filled, Received, Show, Templates, read_stdin, translated,
};
use crate::template::Facts;
use crate::units;

/// Send a request and print the answer.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Subject to ask on
    subject: String,
    /// Body; `-` reads it from standard input
    body: Option<String>,
    /// Answers to wait for; 0 takes all until --timeout
    #[arg(long, default_value_t = 1, value_name = "N")]
    replies: usize,
    /// Longest wait between two answers, when there are several
    #[arg(long, default_value = "300ms", value_name = "DURATION", value_parser = units::parse_duration)]
    reply_timeout: Duration,
    /// Take answers until one has an empty body
    #[arg(long)]
    wait_for_empty: bool,
    /// How many requests to send
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: u64,
    /// Wait between requests
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    sleep: Option<Duration>,
    /// Header, may be given several times
    #[arg(short = 'H', long, value_name = "KEY:VALUE")]
    header: Vec<String>,
    /// Print bodies only
    #[arg(short, long)]
    raw: bool,
    /// Program that bodies are passed through before they are printed
    #[arg(long, value_name = "CMD")]
    translate: Option<String>,
    /// Send double braces as they are
    #[arg(long)]
    no_templates: bool,
}

impl Request {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let templates = Templates { on: !self.no_templates, out };
        let blueprint = Blueprint::new(&self.subject, &self.header, templates)?;
        let bodies = match self.body.as_deref() {
            Some("-") => Bodies::Bytes(read_stdin().await?),
            body => Bodies::Text(templates.read("body", body.unwrap_or_default())),
        };
        let connector = context.connect().await?;
        for nth in 1..=self.count {
            if nth > 1
                && let Some(pause) = self.sleep
            {
                tokio::time::sleep(pause).await;
            }
            let facts = Facts { count: nth, ..Facts::default() };
            let message = blueprint.fill(&facts);
            if !self.raw {
                out.log(format!("Sending request on {:?}", message.subject));
            }
            self.ask(context, &connector, message, bodies.fill(&facts)).await?;
        }
        connector.close().await?;
        Ok(())
    }

    async fn ask(
        &self,
        context: &Context,
        connector: &Connector,
        message: Filled,
        body: Bytes,
    ) -> Outcome {
        let subject = message.subject.clone();
        let limit = connector.effective_options().request_timeout;
        let mut ask = connector.ask(message.subject).codec(Binary).timeout(limit);
        for (name, value) in &message.headers {
            ask = ask.header(name, value);
        }
        let started = Instant::now();
        if self.replies == 1 && !self.wait_for_empty {
            let answer = ask.send_msg::<[u8], Bytes>(&body).await.map_err(|e| nobody(e.into()))?;
            return self.print(context, &answer, started.elapsed()).await;
        }
        let until = match self.replies {
            _ if self.wait_for_empty => Until::Sentinel,
            0 => Until::Idle(limit),
            _ => Until::Count(self.replies),
        };
        let mut answers = ask.many(until).stream::<[u8], Bytes>(&body).await?;
        let end = tokio::time::Instant::now() + limit;
        let mut seen = 0;
        // The first answer has the whole time; with a number to wait for, each further one comes
        // within the average round trip so far plus --reply-timeout, as in the `nats` tool.
        let mut deadline = end;
        let mut total = Duration::ZERO;
        loop {
            let answer = match tokio::time::timeout_at(deadline, answers.next()).await {
                Ok(Some(answer)) => answer.map_err(|error| nobody(error.into()))?,
                Ok(None) | Err(_) => break,
            };
            let rtt = started.elapsed();
            self.print(context, &answer, rtt).await?;
            seen += 1;
            total += rtt;
            if self.replies > 0 || self.wait_for_empty {
                deadline = tokio::time::Instant::now() + total / seen + self.reply_timeout;
            }
        }
        if seen == 0 && !self.wait_for_empty {
            let text = format!("no answer on {subject} within {}", units::duration(limit));
            return Err(Failure::new(status::TIMEOUT, "conn.timeout", text)
                .hint("a longer --timeout, or see whether the service is up"));
        }
        Ok(())
    }

    async fn print(&self, context: &Context, answer: &Msg<Bytes>, rtt: Duration) -> Outcome {
        let out = context.out;
        let show = Show { raw: self.raw, translate: self.translate.clone(), ..Show::default() };
        let received = Received {
            subject: &answer.subject,
            reply: answer.reply.as_deref(),
            headers: &answer.headers,
            body: &answer.payload,
        };
        if out.json {
            let mut extra = serde_json::Map::new();
            extra.insert(
                "rtt_ns".to_owned(),
                u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).into(),
            );
            out.object(&received.json(extra, &show));
            return Ok(());
        }
        let body = translated(&show, &answer.subject, &answer.payload, &out).await?;
        if show.raw {
            let mut line = body;
            line.push(b'\n');
            out.data(&line);
            return Ok(());
        }
        out.log(format!("Received with rtt {}", units::duration(rtt)));
        out.data(&received.lines(&out, &show, &body));
        Ok(())
    }
}

/// Says it as the `nats` tool does.
fn nobody(failure: Failure) -> Failure {
    match failure.code {
        "request.no_responders" => Failure {
            message: format!("No responders are available ({})", failure.message),
            ..failure
        },
        _ => failure,
    }
}
