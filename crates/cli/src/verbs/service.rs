//! `natterjack service`: micro-services (ADR-32), who they are and what they do.

mod request;
mod serve;
mod show;

use clap::{Args, Subcommand};
use natterjack::Connector;
use serde_json::Value;

use super::server::{Answer, collect};
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::units;

/// Micro-services.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the services
    #[command(visible_alias = "ls")]
    List(show::List),
    /// Show a service and its endpoints
    #[command(visible_alias = "i")]
    Info(Name),
    /// Show how many requests the endpoints of a service have had, and how long they took
    #[command(visible_alias = "report")]
    Stats(Name),
    /// Ask services for a sign of life
    Ping(show::Ping),
    /// Send a request to an endpoint of a service
    #[command(visible_alias = "req")]
    Request(request::Request),
    /// Be a service, with one endpoint
    Serve(serve::Serve),
}

/// A service, or one of its instances.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the service
    name: String,
    /// Id of an instance; without one, all
    id: Option<String>,
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(verb) => verb.run(context).await,
            Self::Info(name) => show::info(context, &name).await,
            Self::Stats(name) => show::stats(context, &name).await,
            Self::Ping(verb) => verb.run(context).await,
            Self::Request(verb) => verb.run(context).await,
            Self::Serve(verb) => verb.run(context).await,
        }
    }
}

/// What all services, or those that are meant, answer to `PING`, `INFO` or `STATS`; by name and id.
async fn discover(
    context: &Context,
    connector: &Connector,
    verb: &str,
    name: Option<&str>,
    id: Option<&str>,
) -> Result<Vec<Answer>, Failure> {
    let mut subject = format!("$SRV.{verb}");
    for part in [name, id].into_iter().flatten() {
        check(part)?;
        subject.push('.');
        subject.push_str(part);
    }
    let expect = id.map(|_| 1);
    let mut answers = collect(context, connector, &subject, &Value::Null, expect).await?;
    let key = |answer: &Answer| {
        (text(&answer.value, "/name").to_owned(), text(&answer.value, "/id").to_owned())
    };
    answers.sort_by_key(key);
    Ok(answers)
}

/// As [`discover`], for a service that has to be there.
async fn found(
    context: &Context,
    connector: &Connector,
    verb: &str,
    Name { name, id }: &Name,
) -> Result<Vec<Answer>, Failure> {
    let answers = discover(context, connector, verb, Some(name), id.as_deref()).await?;
    if !answers.is_empty() {
        return Ok(answers);
    }
    let others = discover(context, connector, "PING", None, None).await.unwrap_or_default();
    let others: Vec<String> =
        others.iter().map(|answer| text(&answer.value, "/name").to_owned()).collect();
    let hint = match units::nearest(name, &others) {
        Some(near) if near != name => format!("did you mean {near}?"),
        _ => "natterjack service list shows the services".to_owned(),
    };
    let what = match id {
        Some(id) => format!("instance {id} of service {name}"),
        None => format!("service {name}"),
    };
    Err(Failure::new(status::NOT_FOUND, "service.not_found", format!("{what} not found"))
        .hint(hint))
}

/// A name becomes a token of a subject.
fn check(name: &str) -> Outcome {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match name.chars().find(|c| !good(*c)) {
        None if !name.is_empty() => Ok(()),
        _ => Err(Failure::usage(format!("bad service name `{name}`"))
            .hint("letters, digits, - and _, as ADR-32 wants them")),
    }
}
