//! `natterjack object`: files in buckets (ADR-20).

mod bucket;
mod get;
mod list;
mod put;
mod watch;

use clap::{Args, Subcommand};
use natterjack::error::ObjectError;
use natterjack::objects::ObjectInfo;
use natterjack::{Connector, Objects};
use serde_json::{Value, json};

use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::prompt;
use crate::units;

/// Object Store buckets.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a bucket
    #[command(visible_alias = "new")]
    Add(bucket::Add),
    /// Store a file
    Put(put::Put),
    /// Fetch a file
    Get(get::Get),
    /// Show a bucket, or a file in it
    #[command(visible_aliases = ["show", "i"])]
    Info(list::Info),
    /// List buckets, or the files of one
    #[command(visible_alias = "list")]
    Ls(list::Ls),
    /// Delete a file; without a file, delete the bucket
    #[command(visible_alias = "rm")]
    Del(Del),
    /// Print changes as they happen
    Watch(watch::Watch),
    /// Allow no change any more
    Seal(bucket::Seal),
    /// Change a bucket
    #[command(visible_alias = "update")]
    Edit(bucket::Edit),
}

/// Delete a file; without a file, delete the bucket.
#[derive(Debug, Args)]
pub(crate) struct Del {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    /// Name of the file; without one the bucket is deleted
    file: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Add(verb) => verb.run(context).await,
            Self::Put(verb) => verb.run(context).await,
            Self::Get(verb) => verb.run(context).await,
            Self::Info(verb) => verb.run(context).await,
            Self::Ls(verb) => verb.run(context).await,
            Self::Del(verb) => verb.run(context).await,
            Self::Watch(verb) => Box::pin(verb.run(context)).await,
            Self::Seal(verb) => verb.run(context).await,
            Self::Edit(verb) => verb.run(context).await,
        }
    }
}

/// A bucket on a connection.
struct Bucket {
    connector: Connector,
    objects: Objects,
    api: Api,
    /// The server's object of the stream behind it.
    info: Value,
}

impl Bucket {
    async fn open(context: &Context, name: &str) -> Result<Self, Failure> {
        bucket::check(name)?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let stream = format!("OBJ_{name}");
        let info = match api.ask(&format!("STREAM.INFO.{stream}"), &Value::Null).await {
            Ok(info) => info,
            Err(failure) => return Err(api.did_you_mean(failure, &stream).await),
        };
        let objects = context.jetstream(&connector).objects(name).open().await?;
        Ok(Self { connector, objects, api, info })
    }

    /// What is known of a file.
    async fn find(&self, name: &str) -> Result<ObjectInfo, Failure> {
        match self.objects.info(name).await {
            Ok(info) => Ok(info),
            Err(ObjectError::NotFound(_)) => Err(self.missing(name).await),
            Err(error) => Err(error.into()),
        }
    }

    async fn missing(&self, name: &str) -> Failure {
        let names: Vec<String> = match self.objects.list().await {
            Ok(list) => list.into_iter().map(|info| info.name).collect(),
            Err(_) => Vec::new(),
        };
        let hint = match units::nearest(name, &names) {
            Some(near) => format!("did you mean {near}?"),
            None => "natterjack object ls BUCKET shows its files".to_owned(),
        };
        let text = format!("object {name} not found");
        Failure::new(status::NOT_FOUND, "js.not_found", text).hint(hint)
    }

    async fn close(self) -> Outcome {
        self.connector.close().await?;
        Ok(())
    }
}

impl Del {
    async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let Some(file) = &self.file else {
            if self.dry_run {
                crate::verbs::stream::dry_run(context, "delete bucket", &self.bucket);
                return Ok(());
            }
            let question = format!("Delete bucket {} with all its files", self.bucket);
            prompt::confirm(&question, self.force)?;
            let call = format!("STREAM.DELETE.OBJ_{}", self.bucket);
            let answer = bucket.api.ask(&call, &Value::Null).await?;
            if out.json {
                out.document(&answer);
            } else {
                out.say(format!("Bucket {} was deleted", self.bucket));
            }
            return bucket.close().await;
        };
        let info = bucket.find(file).await?;
        if self.dry_run {
            out.line(format!("would delete {} > {file}", self.bucket));
            return Ok(());
        }
        let size = units::size(info.size);
        prompt::confirm(&format!("Delete {size} file {} > {file}", self.bucket), self.force)?;
        bucket.objects.delete(file).await?;
        if out.json {
            out.object(&json!({ "bucket": self.bucket, "name": file, "deleted": true }));
        } else {
            out.say(format!("Removed {} > {file}", self.bucket));
        }
        bucket.close().await
    }
}

/// An error of the client library below the connector.
fn failed(error: impl std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        let why_text = why.to_string();
        if !text.contains(&why_text) {
            text = format!("{text}: {why_text}");
        }
        cause = why.source();
    }
    Failure::new(status::FAILED, "js.object", text)
}

/// A file's object, as `--json` prints it.
fn object_json(info: &ObjectInfo) -> Value {
    serde_json::to_value(info).expect("what is known of a file encodes")
}
