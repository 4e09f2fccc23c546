//! `natterjack stream rm`, `purge` and `rmm`.

use clap::Args;
use serde_json::{Value, json};

use super::{dry_run, stream_info};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::number;
use crate::prompt;
use crate::units;

/// Remove a stream with all its messages.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Rm {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        // A misspelled name is told before the question.
        stream_info(&api, &self.stream).await?;
        if self.dry_run {
            dry_run(context, "remove stream", &self.stream);
            return Ok(());
        }
        prompt::confirm(&format!("Really delete Stream {}", self.stream), self.force)?;
        let answer = api.ask(&format!("STREAM.DELETE.{}", self.stream), &Value::Null).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&answer);
        } else {
            context.out.say(format!("Stream {} was removed", self.stream));
        }
        Ok(())
    }
}

/// Remove one message: what it held is overwritten.
#[derive(Debug, Args)]
pub(crate) struct Rmm {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Sequence of the message
    seq: u64,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Do not overwrite it on the disk
    #[arg(long)]
    no_erase: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Rmm {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Self { stream, seq, force, no_erase, .. } = self;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        stream_info(&api, &stream).await?;
        if self.dry_run {
            dry_run(context, &format!("remove message {seq} of stream"), &stream);
            return Ok(());
        }
        prompt::confirm(&format!("Really remove message {seq} from Stream {stream}"), force)?;
        let body = json!({ "seq": seq, "no_erase": no_erase });
        let answer = api.ask(&format!("STREAM.MSG.DELETE.{stream}"), &body).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&answer);
        } else {
            context.out.say(format!("Removed message {seq} from Stream {stream}"));
        }
        Ok(())
    }
}

/// Remove messages, keep the stream.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Only messages of this subject; wildcards are allowed
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only messages before this sequence
    #[arg(long, value_name = "SEQ", conflicts_with = "keep")]
    seq: Option<u64>,
    /// Keep the newest messages
    #[arg(long, value_name = "N")]
    keep: Option<u64>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Purge {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        stream_info(&api, &self.stream).await?;
        if self.dry_run {
            dry_run(context, "purge stream", &self.stream);
            return Ok(());
        }
        prompt::confirm(&format!("Really purge Stream {}", self.stream), self.force)?;
        let mut body = json!({});
        if let Some(subject) = &self.subject {
            body["filter"] = subject.as_str().into();
        }
        for (name, value) in [("seq", self.seq), ("keep", self.keep)] {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        let answer = api.ask(&format!("STREAM.PURGE.{}", self.stream), &body).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&answer);
        } else {
            let purged = units::count(number(&answer, "/purged"));
            context.out.say(format!("Purged {purged} messages from Stream {}", self.stream));
        }
        Ok(())
    }
}
