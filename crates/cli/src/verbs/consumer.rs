//! `natterjack consumer`: who reads a stream, and how far.

mod add;
mod edit;
mod fields;
mod find;
mod graph;
mod list;
mod next;
mod pause;
mod pull;
mod report;
mod reset;
mod sheet;
mod sub;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::stream::check_name;
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::units;

/// Consumers of a stream.
#[derive(Debug, Subcommand)]
pub(crate) enum Consumer {
    /// List the consumers of a stream
    #[command(visible_alias = "list")]
    Ls(list::Ls),
    /// Find consumers of a stream by how they are doing
    #[command(visible_alias = "query")]
    Find(find::Find),
    /// Show how far all consumers of a stream are
    Report(report::Report),
    /// Draw how far a consumer is behind, and how fast it goes
    Graph(graph::Graph),
    /// Show a consumer's configuration and state
    #[command(visible_alias = "nfo")]
    Info(Name),
    /// Show a consumer's state
    State(Name),
    /// Make a consumer
    #[command(visible_aliases = ["create", "new"])]
    Add(Box<add::Add>),
    /// Change a consumer
    #[command(visible_alias = "update")]
    Edit(Box<edit::Edit>),
    /// Make a consumer with the configuration of another one
    #[command(visible_alias = "cp")]
    Copy(Box<add::Copy>),
    /// Remove a consumer
    #[command(visible_aliases = ["del", "delete"])]
    Rm(edit::Rm),
    /// Take messages from a pull consumer, and settle them
    Next(next::Next),
    /// Print what a consumer delivers as it comes
    Sub(sub::Sub),
    /// Stop deliveries until a moment
    Pause(pause::Pause),
    /// Let deliveries go on
    Resume(pause::Resume),
    /// Begin again, at the ack floor or a sequence
    Reset(reset::Reset),
    /// Take the pin of a priority group from the client that has it
    Unpin(reset::Unpin),
}

/// A consumer.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the stream
    #[arg(add = complete::streams())]
    pub(crate) stream: String,
    /// Name of the consumer
    #[arg(add = complete::consumers())]
    pub(crate) consumer: String,
}

impl Consumer {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Ls(verb) => verb.run(context).await,
            Self::Find(verb) => verb.run(context).await,
            Self::Report(verb) => verb.run(context).await,
            Self::Graph(verb) => verb.run(context).await,
            Self::Info(name) => info(context, &name, false).await,
            Self::State(name) => info(context, &name, true).await,
            Self::Add(verb) => verb.run(context).await,
            Self::Edit(verb) => verb.run(context).await,
            Self::Copy(verb) => verb.run(context).await,
            Self::Rm(verb) => verb.run(context).await,
            Self::Next(verb) => verb.run(context).await,
            Self::Sub(verb) => verb.run(context).await,
            Self::Pause(verb) => verb.run(context).await,
            Self::Resume(verb) => verb.run(context).await,
            Self::Reset(verb) => verb.run(context).await,
            Self::Unpin(verb) => verb.run(context).await,
        }
    }
}

/// The server's object for a consumer.
pub(crate) async fn consumer_info(api: &Api, name: &Name) -> Result<Value, Failure> {
    let Name { stream, consumer } = name;
    check_name("stream", stream)?;
    check_name("consumer", consumer)?;
    match api.ask(&format!("CONSUMER.INFO.{stream}.{consumer}"), &json!(null)).await {
        Ok(info) => Ok(info),
        Err(failure) => Err(nearest_consumer(api, failure, stream, consumer).await),
    }
}

async fn info(context: &Context, name: &Name, state: bool) -> Outcome {
    let connector = context.connect().await?;
    let mut info = consumer_info(&Api::new(&connector, context), name).await?;
    connector.close().await?;
    match (context.out.json, state) {
        (true, true) => {
            if let Some(object) = info.as_object_mut() {
                ["type", "config", "created", "ts"].iter().for_each(|key| {
                    object.remove(*key);
                });
            }
            context.out.document(&info);
        }
        (true, false) => context.out.document(&info),
        (false, true) => sheet::state(&info).print(&context.out),
        (false, false) => sheet::sheet(&info).print(&context.out),
    }
    Ok(())
}

async fn nearest_consumer(api: &Api, failure: Failure, stream: &str, consumer: &str) -> Failure {
    if failure.err_code != 10014 {
        return api.did_you_mean(failure, stream).await;
    }
    let names = api.list(&format!("CONSUMER.NAMES.{stream}"), "consumers", Value::Null).await;
    let names: Vec<String> = names
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let hint = match units::nearest(consumer, &names) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("natterjack consumer ls {stream} shows its consumers"),
    };
    let message = format!("consumer {consumer} of stream {stream} not found");
    Failure { message, hint, ..failure }
}
