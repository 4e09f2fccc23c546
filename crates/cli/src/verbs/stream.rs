//! `natterjack stream`: streams and their messages.

mod add;
mod list;
mod messages;
mod remove;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

pub(crate) use add::metadata;
pub(crate) use messages::first_since;

use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};

/// Streams and their messages.
#[derive(Debug, Subcommand)]
pub(crate) enum Stream {
    /// List streams
    #[command(visible_alias = "list")]
    Ls(list::Ls),
    /// Show a stream's configuration and state
    #[command(visible_aliases = ["nfo", "state"])]
    Info(Name),
    /// Make a stream
    #[command(visible_aliases = ["create", "new"])]
    Add(Box<add::Add>),
    /// Remove a stream with all its messages
    #[command(visible_aliases = ["del", "delete"])]
    Rm(remove::Rm),
    /// Remove messages, keep the stream
    Purge(remove::Purge),
    /// Print messages of a stream
    View(messages::View),
    /// Print one message of a stream
    Get(messages::Get),
}

/// The name of a stream.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
}

impl Stream {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Ls(verb) => verb.run(context).await,
            Self::Info(Name { stream }) => info(context, &stream).await,
            Self::Add(verb) => verb.run(context).await,
            Self::Rm(verb) => verb.run(context).await,
            Self::Purge(verb) => verb.run(context).await,
            Self::View(verb) => verb.run(context).await,
            Self::Get(verb) => verb.run(context).await,
        }
    }
}

/// Checks a name that becomes a token of a subject (ADR-6).
pub(crate) fn check_name(kind: &str, name: &str) -> Outcome {
    let bad = |why: String| {
        Err(Failure::new(2, "js.bad_name", format!("bad {kind} name `{name}`: {why}")))
    };
    if name.is_empty() {
        return bad("it is empty".to_owned());
    }
    let wrong =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '/' | '\\');
    match name.char_indices().find(|(_, c)| wrong(*c)) {
        Some((at, c)) => bad(format!("{c:?} at position {}", at + 1)),
        None => Ok(()),
    }
}

/// The server's object for a stream.
pub(crate) async fn stream_info(api: &Api, stream: &str) -> Result<Value, Failure> {
    check_name("stream", stream)?;
    match api.ask(&format!("STREAM.INFO.{stream}"), &Value::Null).await {
        Ok(info) => Ok(info),
        Err(failure) => Err(api.did_you_mean(failure, stream).await),
    }
}

async fn info(context: &Context, stream: &str) -> Outcome {
    let connector = context.connect().await?;
    let info = stream_info(&Api::new(&connector, context), stream).await?;
    connector.close().await?;
    if context.out.json {
        context.out.document(&info);
    } else {
        list::sheet(&info).print(&context.out);
    }
    Ok(())
}

/// The object that `--dry-run` prints instead of doing something.
pub(crate) fn dry_run(context: &Context, what: &str, stream: &str) {
    if context.out.json {
        context.out.document(&json!({"dry_run": true, "would": what, "stream": stream}));
    } else {
        context.out.line(format!("would {what} {stream}"));
    }
}
