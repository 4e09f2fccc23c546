//! `service request`: a request to an endpoint, by its name.

use std::time::Instant;

use bytes::Bytes;
use clap::Args;
use natterjack::codec::Binary;
use serde_json::{Map, Value};

use super::{Name, found};
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::message::{Blueprint, Bodies, Received, Show, Templates, read_stdin};
use crate::template::Facts;
use crate::units;

/// Send a request to an endpoint of a service.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Name of the service
    name: String,
    /// Name of the endpoint
    endpoint: String,
    /// Body; `-` reads it from standard input
    body: Option<String>,
    /// Header, may be given several times
    #[arg(short = 'H', long, value_name = "KEY:VALUE")]
    header: Vec<String>,
    /// Subject, for an endpoint that takes several by wildcards
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Print the body only
    #[arg(short, long)]
    raw: bool,
    /// Send double braces as they are
    #[arg(long)]
    no_templates: bool,
}

/// The headers of an answer that is an error (ADR-32).
const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";

impl Request {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let templates = Templates { on: !self.no_templates, out };
        let body = match self.body.as_deref() {
            Some("-") => Bodies::Bytes(read_stdin().await?),
            body => Bodies::Text(templates.read("body", body.unwrap_or_default())),
        };
        let connector = context.connect().await?;
        let name = Name { name: self.name.clone(), id: None };
        let all = found(context, &connector, "INFO", &name).await?;
        let infos: Vec<Value> = all.into_iter().map(|answer| answer.value).collect();
        let subject = self.subject_of(&infos)?;
        let facts = Facts { count: 1, ..Facts::default() };
        let message = Blueprint::new(&subject, &self.header, templates)?.fill(&facts);
        let mut ask = connector.ask(&message.subject).codec(Binary).timeout(context.timeout()?);
        for (name, value) in &message.headers {
            ask = ask.header(name, value);
        }
        if !self.raw {
            out.log(format!("Sending request on {:?}", message.subject));
        }
        let began = Instant::now();
        let answer = ask.send_msg::<[u8], Bytes>(&body.fill(&facts)).await?;
        let rtt = began.elapsed();
        connector.close().await?;
        if let Some(error) = answer.header(ERROR) {
            let code = answer.header(ERROR_CODE).unwrap_or("?");
            let text = format!("{} {} refused: {error} (code {code})", self.name, self.endpoint);
            return Err(Failure::new(status::FAILED, "service.error", text));
        }
        let received = Received {
            subject: &answer.subject,
            reply: answer.reply.as_deref(),
            headers: &answer.headers,
            body: &answer.payload,
        };
        let show = Show { raw: self.raw, ..Show::default() };
        if out.json {
            let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
            let extra = Map::from_iter([("rtt_ns".to_owned(), nanos.into())]);
            out.object(&received.json(extra, &show));
        } else if self.raw {
            out.data(&[&answer.payload[..], b"\n"].concat());
        } else {
            out.log(format!("Received with rtt {}", units::duration(rtt)));
            out.data(&received.lines(&out, &show, &answer.payload));
        }
        Ok(())
    }

    /// The subject of the endpoint, as the service says it.
    fn subject_of(&self, infos: &[Value]) -> Result<String, Failure> {
        let endpoints = || {
            let lists = infos.iter().filter_map(|info| info.get("endpoints")?.as_array());
            lists.flatten()
        };
        let Some(found) = endpoints().find(|one| text(one, "/name") == self.endpoint) else {
            let names: Vec<String> = endpoints().map(|one| text(one, "/name").to_owned()).collect();
            let hint = match units::nearest(&self.endpoint, &names) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("natterjack service info {} shows its endpoints", self.name),
            };
            let text = format!("service {} has no endpoint {}", self.name, self.endpoint);
            return Err(Failure::new(status::NOT_FOUND, "service.not_found", text).hint(hint));
        };
        let subject = text(found, "/subject");
        match &self.subject {
            Some(subject) => Ok(subject.clone()),
            None if subject.contains(['*', '>']) => {
                let text = format!("endpoint {} takes all of {subject}", self.endpoint);
                Err(Failure::usage(text).hint("name one of them with --subject"))
            }
            None => Ok(subject.to_owned()),
        }
    }
}
