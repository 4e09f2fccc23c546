//! Reading and writing keys.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use natterjack::codec::Binary;
use serde_json::json;

use super::{Bucket, Change};
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::message::read_stdin;
use crate::prompt;
use crate::units;

/// Set a key.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key
    #[arg(add = complete::keys())]
    key: String,
    /// The value; without one it is read from standard input
    value: Option<String>,
}

/// Set a key that has no value yet.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    put: Put,
    /// How long the value is kept; the bucket needs --marker-ttl
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    ttl: Option<Duration>,
}

/// Set a key whose last change has a revision that you know.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key
    #[arg(add = complete::keys())]
    key: String,
    /// The value; `-` reads it from standard input
    value: String,
    /// The revision that the key must have
    revision: u64,
}

/// Read a key.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key
    #[arg(add = complete::keys())]
    key: String,
    /// An earlier revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Write the value only, as it is
    #[arg(short, long)]
    raw: bool,
}

/// Delete a key and keep its history; without a key, delete the bucket.
#[derive(Debug, Args)]
pub(crate) struct Del {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key; without one the bucket is deleted
    #[arg(add = complete::keys())]
    key: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Delete a key and its history.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key
    #[arg(add = complete::keys())]
    key: String,
    /// How long the mark of the purge is kept; the bucket needs --marker-ttl
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    ttl: Option<Duration>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Set a key to the value it had at an earlier revision.
#[derive(Debug, Args)]
pub(crate) struct Revert {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key
    #[arg(add = complete::keys())]
    key: String,
    /// The revision to go back to
    revision: u64,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Create {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        self.put.store(context, true, self.ttl).await
    }
}

impl Put {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        self.store(context, false, None).await
    }

    async fn store(self, context: &Context, new: bool, ttl: Option<Duration>) -> Outcome {
        let value = match self.value {
            Some(value) => Bytes::from(value),
            None => read_stdin().await?,
        };
        let bucket = Bucket::open(context, &self.bucket).await?;
        let revision = match (new, ttl) {
            (true, Some(ttl)) => bucket.kv.create_for(&self.key, &value, ttl).await?,
            (true, None) => bucket.kv.create(&self.key, &value).await?,
            (false, _) => bucket.kv.put(&self.key, &value).await?,
        };
        stored(context, &self.bucket, &self.key, revision, &value);
        bucket.close().await
    }
}

impl Update {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let value = match self.value.as_str() {
            "-" => read_stdin().await?,
            _ => Bytes::from(self.value),
        };
        let bucket = Bucket::open(context, &self.bucket).await?;
        let revision = bucket.kv.update(&self.key, &value, self.revision).await?;
        stored(context, &self.bucket, &self.key, revision, &value);
        bucket.close().await
    }
}

/// Says what was written: the value, as the `nats` tool does, or the revision as JSON.
fn stored(context: &Context, bucket: &str, key: &str, revision: u64, value: &Bytes) {
    let out = context.out;
    if out.json {
        out.object(&json!({ "bucket": bucket, "key": key, "revision": revision }));
        return;
    }
    let mut line = value.to_vec();
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    out.data(&line);
    out.say(format!("{bucket} > {key} revision: {revision}"));
}

/// "No such key" with where to look.
fn no_key(bucket: &str, key: &str, revision: Option<u64>) -> Failure {
    let at = revision.map_or_else(String::new, |revision| format!(" at revision {revision}"));
    Failure::new(status::NOT_FOUND, "kv.not_found", format!("key {bucket} > {key} not found{at}"))
        .hint(match revision {
            Some(_) => format!("natterjack kv history {bucket} {key} shows its revisions"),
            None => format!("natterjack kv ls {bucket} shows the keys"),
        })
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let found = match self.revision {
            Some(revision) => bucket.kv.at(&self.key, revision).await?,
            None => bucket.kv.entry(&self.key).await?,
        };
        bucket.close().await?;
        let missing = || no_key(&self.bucket, &self.key, self.revision);
        let change = Change::of(found.ok_or_else(missing)?);
        let Some(value) = &change.value else {
            let how = match change.op {
                "PURGE" => "was purged",
                "EXPIRED" => "expired",
                _ => "was deleted",
            };
            let failure = missing();
            let message = format!("{}: it {how} at revision {}", failure.message, change.revision);
            return Err(Failure { message, ..failure });
        };
        if out.json {
            out.document(&change.json(&self.bucket));
        } else if self.raw {
            out.data(value);
        } else {
            let created = change.local_time();
            let head = format!(
                "{} > {} revision: {} created @ {created}\n",
                self.bucket, self.key, change.revision
            );
            out.line(head);
            let mut body = value.to_vec();
            body.push(b'\n');
            out.data(&body);
        }
        Ok(())
    }
}

impl Del {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let Some(key) = &self.key else {
            return super::bucket::delete(context, bucket, &self.bucket, self.force, self.dry_run)
                .await;
        };
        if self.dry_run {
            return would(context, "delete", &self.bucket, key);
        }
        prompt::confirm(&format!("Delete key {} > {key}", self.bucket), self.force)?;
        let revision = bucket.kv.delete(key).await?;
        if out.json {
            out.object(
                &json!({ "bucket": self.bucket, "key": key, "op": "DEL", "revision": revision }),
            );
        } else {
            out.say(format!("Deleted {} > {key}", self.bucket));
        }
        bucket.close().await
    }
}

impl Purge {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        if self.dry_run {
            return would(context, "purge", &self.bucket, &self.key);
        }
        prompt::confirm(&format!("Purge key {} > {}", self.bucket, self.key), self.force)?;
        let revision = match self.ttl {
            None => bucket.kv.purge(&self.key).await?,
            Some(ttl) => {
                let subject = format!("$KV.{}.{}", self.bucket, self.key);
                let jetstream = context.jetstream(&bucket.connector);
                let empty = Bytes::new();
                let mark = jetstream.publish(&subject, &empty).codec(Binary);
                let mark = mark.header("KV-Operation", "PURGE").header("Nats-Rollup", "sub");
                mark.ttl(ttl).await?.seq
            }
        };
        if out.json {
            let key = &self.key;
            out.object(
                &json!({ "bucket": self.bucket, "key": key, "op": "PURGE", "revision": revision }),
            );
        } else {
            out.say(format!("Purged {} > {}", self.bucket, self.key));
        }
        bucket.close().await
    }
}

impl Revert {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        let found = bucket.kv.at(&self.key, self.revision).await?;
        let old = found.map(Change::of).and_then(|change| change.value);
        let old = old.ok_or_else(|| no_key(&self.bucket, &self.key, Some(self.revision)))?;
        if self.dry_run {
            let what = format!("revert to revision {} of", self.revision);
            return would(context, &what, &self.bucket, &self.key);
        }
        let question =
            format!("Revert {} > {} to revision {}", self.bucket, self.key, self.revision);
        prompt::confirm(&question, self.force)?;
        let revision = bucket.kv.put(&self.key, &old).await?;
        stored(context, &self.bucket, &self.key, revision, &old);
        bucket.close().await
    }
}

/// Says what `--dry-run` left undone.
fn would(context: &Context, what: &str, bucket: &str, key: &str) -> Outcome {
    if context.out.json {
        context
            .out
            .object(&json!({ "dry_run": true, "would": what, "bucket": bucket, "key": key }));
    } else {
        context.out.line(format!("would {what} {bucket} > {key}"));
    }
    Ok(())
}
