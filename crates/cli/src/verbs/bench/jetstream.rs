//! `bench js`: its forms, and the stream that they use.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use natterjack::Connector;
use serde_json::{Value, json};

use super::options::Common;
use super::{consume, get, ordered, publish};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::{json, units};

/// Streams.
#[derive(Debug, Args)]
pub(super) struct Js {
    #[command(flatten)]
    common: JsCommon,
    #[command(subcommand)]
    form: Form,
}

/// Options of all forms with streams.
#[derive(Clone, Debug, Args)]
pub(super) struct JsCommon {
    /// Stream to use
    #[arg(long, global = true, default_value = "benchstream", value_name = "NAME", add = complete::streams())]
    pub(super) stream: String,
    /// Wait after each message
    #[arg(long, global = true, default_value = "0s", value_name = "DURATION", value_parser = units::parse_duration)]
    pub(super) sleep: Duration,
}

#[derive(Debug, Subcommand)]
enum Form {
    /// Publish to a stream, and wait for its acknowledgements
    Pub {
        #[command(subcommand)]
        form: publish::Form,
    },
    /// Read through an ordered consumer for each client; each receives --msgs messages
    Ordered(ordered::Ordered),
    /// Read through a durable consumer that all clients share, asking on before messages run out
    Consume(consume::Durable),
    /// Read through a durable consumer that all clients share, a batch at a time
    Fetch(consume::Durable),
    /// Get messages by their sequence numbers; each client gets --msgs messages
    Get {
        #[command(subcommand)]
        form: get::Form,
    },
}

impl Js {
    pub(super) async fn run(self, context: &Context, common: &Common) -> Outcome {
        let js = &self.common;
        let with = With { context, common, js };
        match self.form {
            Form::Pub { form } => form.run(&with).await,
            Form::Ordered(form) => form.run(&with).await,
            Form::Consume(form) => form.consume(&with).await,
            Form::Fetch(form) => form.fetch(&with).await,
            Form::Get { form } => form.run(&with).await,
        }
    }
}

/// What a form is given.
pub(super) struct With<'a> {
    pub(super) context: &'a Context,
    pub(super) common: &'a Common,
    pub(super) js: &'a JsCommon,
}

/// Where messages are kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Storage {
    File,
    Memory,
}

impl Storage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

/// How much a stream or bucket may hold.
pub(super) fn most_bytes(text: &str) -> Result<i64, String> {
    match units::parse_size(text)? {
        0 => Err("0 bytes hold nothing; write 1GB, or -1 for no limit".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A stream, for the time before and after a measurement.
pub(super) struct StreamAdmin {
    connector: Connector,
    pub(super) api: Api,
    pub(super) name: String,
    /// The server's own object.
    pub(super) config: Value,
    pub(super) messages: u64,
    pub(super) first: u64,
}

impl StreamAdmin {
    /// Makes the stream of `create` first, or gives it that configuration; then looks at it.
    ///
    /// # Errors
    /// There is none, or no JetStream.
    pub(super) async fn open(
        context: &Context,
        name: &str,
        create: Option<Value>,
    ) -> Result<Self, Failure> {
        if name.is_empty() || name.contains(|c: char| ".*>/\\".contains(c) || c.is_whitespace()) {
            return Err(Failure::usage(format!("`{name}` is no name of a stream")));
        }
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        if let Some(config) = create {
            let made = api.ask(&format!("STREAM.CREATE.{name}"), &config).await;
            match made {
                // Exists, and is another one.
                Err(failure) if failure.err_code == 10058 => {
                    api.ask(&format!("STREAM.UPDATE.{name}"), &config).await.map_err(
                        |failure| {
                            failure.hint(format!(
                            "natterjack stream rm {name}, or leave out --create to use it as it is"
                        ))
                        },
                    )?;
                }
                made => drop(made?),
            }
        }
        let info = match api.ask(&format!("STREAM.INFO.{name}"), &Value::Null).await {
            Ok(info) => info,
            Err(failure) if failure.err_code == 10059 => {
                let failure = api.did_you_mean(failure, name).await;
                let hint = match failure.hint.starts_with("did you mean") {
                    true => failure.hint.clone(),
                    false => "natterjack bench js pub async SUBJECT --create makes one".to_owned(),
                };
                return Err(failure.hint(hint));
            }
            Err(failure) => return Err(failure),
        };
        Ok(Self {
            connector,
            api,
            name: name.to_owned(),
            config: info.get("config").cloned().unwrap_or_default(),
            messages: json::number(&info, "/state/messages"),
            first: json::number(&info, "/state/first_seq"),
        })
    }

    /// Removes all messages.
    pub(super) async fn purge(&mut self, context: &Context) -> Outcome {
        context.out.log("Purging the stream");
        self.api.ask(&format!("STREAM.PURGE.{}", self.name), &json!({})).await?;
        self.messages = 0;
        Ok(())
    }

    pub(super) async fn close(self) -> Outcome {
        self.connector.close().await?;
        Ok(())
    }
}

/// The first tokens of the API's subjects.
pub(super) fn prefix(context: &Context, connector: &Connector) -> Arc<str> {
    context.jetstream(connector).prefix().into()
}

impl StreamAdmin {
    /// The first tokens of the API's subjects.
    pub(super) fn prefix(&self, context: &Context) -> Arc<str> {
        prefix(context, &self.connector)
    }
}
