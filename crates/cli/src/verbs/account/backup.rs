//! `natterjack account backup` and `restore`: all streams, each in a directory of its own, as
//! `nats account backup` lays them out.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::prompt;
use crate::verbs::stream::{How, META, Place, read_meta, restore, save};

/// Save all streams into a directory.
#[derive(Debug, Args)]
pub(crate) struct BackupAll {
    /// Directory to write into; it is made if need be
    #[arg(value_name = "DIR")]
    target: PathBuf,
    #[command(flatten)]
    how: How,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Make streams from a backup of an account.
#[derive(Debug, Args)]
pub(crate) struct RestoreAll {
    /// Directory that holds the backup
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Without progress bar
    #[arg(long)]
    no_progress: bool,
}

impl BackupAll {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let streams = api.list("STREAM.LIST", "streams", Value::Null).await?;
        if streams.is_empty() {
            return Err(Failure::new(status::NOT_FOUND, "js.not_found", "no streams to save"));
        }
        let question = format!("Back up {} streams into {}", streams.len(), self.target.display());
        prompt::confirm(&question, self.force || !self.target.exists())?;
        let mut failed = Vec::new();
        for stream in &streams {
            let name = text(stream, "/config/name");
            let target = self.target.join(name);
            match save(context, &connector, &api, name, &target, &self.how).await {
                Ok(saved) => said(context, "Saved", name, &saved),
                Err(failure) => {
                    tell(context, name, &failure);
                    failed.push(failure);
                }
            }
        }
        connector.close().await?;
        ended(streams.len(), failed)
    }
}

impl RestoreAll {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let bad = |error: std::io::Error| Failure::io(self.directory.display(), &error);
        let mut directories = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(bad)? {
            let path = entry.map_err(bad)?.path();
            if path.join(META).is_file() {
                directories.push(path);
            }
        }
        directories.sort();
        if directories.is_empty() {
            let text = format!("no backups of streams below {}", self.directory.display());
            return Err(Failure::usage(text)
                .hint("give the directory that `natterjack account backup` wrote"));
        }
        // All are looked at before the first is sent.
        let metas: Vec<Value> = directories
            .iter()
            .map(|directory| read_meta(directory, None, &self.place))
            .collect::<Result<_, _>>()?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let mut failed = Vec::new();
        for (directory, meta) in directories.iter().zip(&metas) {
            let name = text(meta, "/config/name");
            let on = !self.no_progress;
            match restore(context, &connector, &api, directory, meta, on).await {
                Ok(info) => said(context, "Restored", name, &info),
                Err(failure) => {
                    tell(context, name, &failure);
                    failed.push(failure);
                }
            }
        }
        connector.close().await?;
        ended(directories.len(), failed)
    }
}

fn said(context: &Context, verb: &str, name: &str, object: &Value) {
    match context.out.json {
        true => context.out.object(object),
        false => context.out.say(format!("{verb} stream {name}")),
    }
}

fn tell(context: &Context, name: &str, failure: &Failure) {
    match context.out.json {
        true => {
            let mut object = failure.json();
            object["stream"] = json!(name);
            context.out.object(&object);
        }
        false => context.out.warn(format!("stream {name}: {}", failure.message)),
    }
}

/// Nothing, some, or none of it failed.
fn ended(all: usize, mut failed: Vec<Failure>) -> Outcome {
    match failed.len() {
        0 => Ok(()),
        count if count == all => Err(failed.swap_remove(0)),
        count => {
            Err(Failure::new(status::PARTLY, "partly", format!("{count} of {all} streams failed")))
        }
    }
}
