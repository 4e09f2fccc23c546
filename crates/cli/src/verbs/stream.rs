//! `natterjack stream`: streams and their messages.

mod add;
mod backup;
mod edit;
mod fields;
mod find;
mod graph;
mod list;
mod messages;
mod remove;
mod report;
mod restore;
mod subjects;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

pub(crate) use add::config_from;
pub(crate) use backup::{Backup, How, META, save};
pub(crate) use edit::by_hand;
pub(crate) use fields::{metadata, nanos};
pub(crate) use list::capital;
pub(crate) use messages::{first_since, get};
pub(crate) use report::{leaders, replicas};
pub(crate) use restore::{Place, read_meta, restore};

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
    /// Find streams by what is in them
    #[command(visible_alias = "query")]
    Find(find::Find),
    /// Show all streams with what they hold
    Report(report::Report),
    /// Draw what a stream holds, and how fast messages come and go
    Graph(graph::Graph),
    /// Show a stream's configuration and state
    #[command(visible_aliases = ["nfo", "i"])]
    Info(Info),
    /// Show a stream's state
    State(Name),
    /// Show the subjects of a stream's messages, and how many each has
    #[command(visible_alias = "subj")]
    Subjects(subjects::Subjects),
    /// Show where messages were deleted between others
    Gaps(Name),
    /// Make a stream
    #[command(visible_aliases = ["create", "new"])]
    Add(Box<add::Add>),
    /// Change a stream
    #[command(visible_alias = "update")]
    Edit(Box<edit::Edit>),
    /// Make a stream with the configuration of another one
    #[command(visible_alias = "cp")]
    Copy(Box<add::Copy>),
    /// Remove a stream with all its messages
    #[command(visible_aliases = ["del", "delete"])]
    Rm(remove::Rm),
    /// Remove messages, keep the stream
    Purge(remove::Purge),
    /// Remove one message
    Rmm(remove::Rmm),
    /// Print messages of a stream
    View(messages::View),
    /// Print one message of a stream
    Get(messages::Get),
    /// Save a stream into a directory
    #[command(visible_alias = "snapshot")]
    Backup(Backup),
    /// Make a stream from a backup
    Restore(restore::Restore),
    /// Allow no change any more
    Seal(edit::Seal),
}

/// The name of a stream.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
}

/// Show a stream's configuration and state.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// The state only
    #[arg(long)]
    state: bool,
}

impl Stream {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Ls(verb) => verb.run(context).await,
            Self::Find(verb) => verb.run(context).await,
            Self::Report(verb) => verb.run(context).await,
            Self::Graph(verb) => verb.run(context).await,
            Self::Info(Info { stream, state }) => info(context, &stream, state).await,
            Self::State(Name { stream }) => info(context, &stream, true).await,
            Self::Subjects(verb) => verb.run(context).await,
            Self::Gaps(Name { stream }) => subjects::gaps(context, &stream).await,
            Self::Add(verb) => verb.run(context).await,
            Self::Edit(verb) => verb.run(context).await,
            Self::Copy(verb) => verb.run(context).await,
            Self::Rm(verb) => verb.run(context).await,
            Self::Purge(verb) => verb.run(context).await,
            Self::Rmm(verb) => verb.run(context).await,
            Self::View(verb) => verb.run(context).await,
            Self::Get(verb) => verb.run(context).await,
            Self::Backup(verb) => verb.run(context).await,
            Self::Restore(verb) => verb.run(context).await,
            Self::Seal(verb) => verb.run(context).await,
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

async fn info(context: &Context, stream: &str, state: bool) -> Outcome {
    let connector = context.connect().await?;
    let info = stream_info(&Api::new(&connector, context), stream).await?;
    connector.close().await?;
    match (context.out.json, state) {
        (true, true) => context.out.document(&info["state"]),
        (true, false) => context.out.document(&info),
        (false, true) => list::state_sheet(&info).print(&context.out),
        (false, false) => list::sheet(&info).print(&context.out),
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
