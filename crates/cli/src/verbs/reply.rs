//! `natterjack reply`: answers requests with a text, with themselves, or with what a program writes.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use natterjack::codec::Binary;
use natterjack::{Connector, Msg};

use crate::answer::Answer;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::message::{Received, Show, Templates};
use crate::template::{Facts, Template};
use crate::units;

/// Answer requests.
///
/// The body may hold what `pub` knows, and {{Request}}. A --command may also hold the tokens of the
/// request's subject, {{0}}, {{1}}, and finds NATS_REQUEST_SUBJECT and NATS_REQUEST_BODY in its
/// environment and the body on its standard input.
#[derive(Debug, Args)]
pub(crate) struct Reply {
    /// Subject to listen on
    subject: String,
    /// Body of the answers
    body: Option<String>,
    /// Answer with the request itself
    #[arg(long)]
    echo: bool,
    /// Answer with what this command writes
    #[arg(long, value_name = "CMD", conflicts_with = "echo")]
    command: Option<String>,
    /// Queue group that shares the requests
    #[arg(short = 'Q', long, value_name = "GROUP", default_value = "NATS-RPLY-22")]
    queue: String,
    /// Wait before each answer
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    sleep: Option<Duration>,
    /// End after this many requests
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Header of the answers, may be given several times
    #[arg(short = 'H', long, value_name = "KEY:VALUE")]
    header: Vec<String>,
    /// Send double braces as they are
    #[arg(long)]
    no_templates: bool,
}

impl Reply {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let templates = Templates { on: !self.no_templates, out };
        if self.command.is_none() && self.body.is_none() && !self.echo {
            return Err(Failure::usage("what to answer?").hint("a BODY, --echo or --command"));
        }
        let text = self.body.as_deref().filter(|_| !self.echo);
        let answer = Answer::new(self.command.as_deref(), text, templates)?;
        let headers = self
            .header
            .iter()
            .map(|header| match header.split_once(':') {
                Some((name, value)) => {
                    Ok((name.trim().to_owned(), templates.read("header", value.trim())))
                }
                None => {
                    Err(Failure::usage(format!("header `{header}` is not of the form Key:Value")))
                }
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let connector = context.connect().await?;
        let mut requests =
            connector.on(&self.subject).queue(&self.queue).codec(Binary).open::<Bytes>().await?;
        context.interrupt.finish_gracefully();
        out.log(format!("Listening on {:?} in group {:?}", self.subject, self.queue));
        let mut seen = 0_u64;
        while self.count.is_none_or(|count| seen < count) {
            let request = tokio::select! {
                request = requests.next() => request,
                () = context.interrupt.raised() => break,
            };
            let Some(Ok(request)) = request else { break };
            if request.reply.is_none() {
                out.log(format!(
                    "ignored a message on {:?} that expects no answer",
                    request.subject
                ));
                continue;
            }
            seen += 1;
            if let Some(pause) = self.sleep {
                tokio::time::sleep(pause).await;
            }
            print(context, &request, seen);
            respond(context, &connector, &answer, &headers, &request, seen).await?;
        }
        connector.drain().await?;
        Ok(())
    }
}

/// One line for each request, or an object.
fn print(context: &Context, request: &Msg<Bytes>, number: u64) {
    let out = context.out;
    if out.json {
        let received = Received {
            subject: &request.subject,
            reply: request.reply.as_deref(),
            headers: &request.headers,
            body: &request.payload,
        };
        let mut extra = serde_json::Map::new();
        extra.insert("number".to_owned(), number.into());
        out.object(&received.json(extra, &Show::default()));
    } else if !out.quiet {
        out.line(format!("[#{number}] Received on {:?}", request.subject));
    }
}

async fn respond(
    context: &Context,
    connector: &Connector,
    answer: &Answer,
    headers: &[(String, Template)],
    request: &Msg<Bytes>,
    number: u64,
) -> Outcome {
    let Some(reply) = &request.reply else { return Ok(()) };
    let text = String::from_utf8_lossy(&request.payload);
    let tokens: Vec<&str> = request.subject.split('.').collect();
    let facts = Facts { count: number, request: Some(&text), tokens: &tokens };
    let mut publish = connector.to(reply);
    for (name, value) in headers {
        publish = publish.header(name, value.fill(&facts));
    }
    if let Answer::Echo = answer {
        // The request's own headers go back with it.
        for (name, values) in request.headers.iter() {
            for value in values {
                publish = publish.header(name.as_ref(), value.as_str());
            }
        }
    }
    let body = match answer.make(&request.subject, &request.payload, &facts).await {
        Ok(body) => body,
        Err(failure) => {
            context.out.warn(failure.to_string());
            publish = publish.header("Nats-Error", failure.message.replace(['\r', '\n'], " "));
            Bytes::new()
        }
    };
    if let Err(error) = publish.send_bytes(body).await {
        context.out.warn(Failure::from(error).to_string());
    }
    Ok(())
}
