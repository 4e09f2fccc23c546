//! `service serve`: a service for tries and tests.

use std::collections::HashMap;

use async_nats::service::ServiceExt as _;
use async_nats::service::error::Error as Refusal;
use clap::Args;
use futures_util::StreamExt as _;
use serde_json::json;

use super::check;
use crate::answer::Answer;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::message::Templates;
use crate::template::Facts;

/// Be a service, with one endpoint.
///
/// It answers with the request itself, with a body that may hold what that of `reply` may, or with what
/// a command writes.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Name of the service
    name: String,
    /// Body of the answers; without one the request comes back
    body: Option<String>,
    /// Answer with what this command writes
    #[arg(long, value_name = "CMD", conflicts_with = "body")]
    command: Option<String>,
    /// Name of the endpoint
    #[arg(long, default_value = "default", value_name = "NAME")]
    endpoint: String,
    /// Subject of the endpoint; the name of the service if there is none
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Version of the service, as 1.2.3
    // Not `version`: that option is clap's own.
    #[arg(long = "service-version", default_value = "1.0.0", value_name = "VERSION")]
    release: String,
    /// What the service is for
    #[arg(long, default_value = "made by natterjack service serve", value_name = "TEXT")]
    description: String,
    /// More about it, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
    /// End after this many requests
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Answer with double braces as they are
    #[arg(long)]
    no_templates: bool,
}

impl Serve {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        check(&self.name)?;
        let out = context.out;
        let templates = Templates { on: !self.no_templates, out };
        let answer = Answer::new(self.command.as_deref(), self.body.as_deref(), templates)?;
        let mut metadata = HashMap::new();
        for pair in &self.metadata {
            let (key, value) = pair.split_once(':').ok_or_else(|| {
                Failure::usage(format!("metadata `{pair}` is not of the form key:value"))
            })?;
            metadata.insert(key.to_owned(), value.to_owned());
        }
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(status::FAILED, "service.failed", error.to_string())
        };
        let connector = context.connect().await?;
        let client = connector.raw()?;
        let builder = client.service_builder().description(&self.description).metadata(metadata);
        let service = builder.start(&self.name, &self.release).await;
        let service = service.map_err(|error| failed(&error))?;
        let subject = self.subject.as_deref().unwrap_or(&self.name);
        let endpoint = service.endpoint_builder().name(&self.endpoint).add(subject).await;
        let mut requests = endpoint.map_err(|error| failed(&error))?;
        // Who asks now is heard.
        connector.barrier(context.timeout()?).await?;
        context.interrupt.finish_gracefully();
        out.log(format!(
            "Service {} ({}) listens on {subject:?}",
            self.name,
            service.info().await.id
        ));
        let mut seen = 0;
        while self.count.is_none_or(|count| seen < count) {
            let request = tokio::select! {
                request = requests.next() => request,
                () = context.interrupt.raised() => break,
            };
            let Some(request) = request else { break };
            seen += 1;
            let subject = request.message.subject.as_str();
            match out.json {
                true => out.object(&json!({"number": seen, "subject": subject,
                    "size": request.message.payload.len()})),
                false if !out.quiet => out.line(format!("[#{seen}] Received on {subject:?}")),
                false => {}
            }
            let message = &request.message;
            let text = String::from_utf8_lossy(&message.payload);
            let tokens: Vec<&str> = subject.split('.').collect();
            let facts = Facts { count: seen, request: Some(&text), tokens: &tokens };
            let body = answer.make(subject, &message.payload, &facts).await.map_err(|failure| {
                out.warn(&failure.message);
                Refusal { status: failure.message.replace(['\r', '\n'], " "), code: 500 }
            });
            request.respond(body).await.map_err(|error| failed(&error))?;
        }
        service.stop().await.map_err(|error| failed(&error))?;
        connector.close().await?;
        Ok(())
    }
}
