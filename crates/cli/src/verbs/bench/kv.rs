//! `bench kv put` and `bench kv get`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, Subcommand};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::facts::Facts;
use super::get::Source;
use super::harness::{Job, Kind, Run, Seat, Share};
use super::jetstream::{Storage, StreamAdmin, most_bytes};
use super::options::{Common, Pacing, pause};
use super::publish::store;
use super::report;
use super::stats::Meter;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::{json, units};

/// Key/Value buckets.
#[derive(Debug, Args)]
pub(super) struct Kv {
    /// Bucket to use; one of another name than the default must exist
    #[arg(long, global = true, default_value = BUCKET, value_name = "NAME", add = complete::buckets())]
    bucket: String,
    /// Wait after each operation
    #[arg(long, global = true, default_value = "0s", value_name = "DURATION", value_parser = units::parse_duration)]
    sleep: Duration,
    #[command(subcommand)]
    form: Form,
}

/// The bucket that is made.
const BUCKET: &str = "benchbucket";

#[derive(Debug, Subcommand)]
enum Form {
    /// Set the keys 0, 1, 2 .., each client one at a time
    Put(Put),
    /// Read the keys 0, 1, 2 .., each client one at a time
    Get(Get),
}

#[derive(Debug, Args)]
struct Put {
    /// Any of so many keys; 0 takes one after the other
    #[arg(long, default_value_t = 0, value_name = "N")]
    randomize: u64,
    /// Remove all keys of the bucket first
    #[arg(long)]
    purge: bool,
    /// Changes that the default bucket keeps of a key
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    history: u8,
    /// Where the default bucket keeps values
    #[arg(long, default_value = "file", value_name = "WHERE")]
    storage: Storage,
    /// Servers that keep a copy of the default bucket
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicas: u8,
    /// Most bytes of the default bucket
    #[arg(long, default_value = "1GB", value_name = "SIZE", value_parser = most_bytes, allow_negative_numbers = true)]
    maxbytes: i64,
    #[command(flatten)]
    pacing: Pacing,
}

#[derive(Debug, Args)]
struct Get {
    /// Any of so many keys; 0 takes one after the other
    #[arg(long, default_value_t = 0, value_name = "N")]
    randomize: u64,
}

const PUT: Kind =
    Kind { form: "kv put", label: "JetStream KV putter", doing: "putting", letter: 'P' };

const GET: Kind =
    Kind { form: "kv get", label: "JetStream KV getter", doing: "getting", letter: 'S' };

impl Kv {
    pub(super) async fn run(self, context: &Context, common: &Common) -> Outcome {
        let Self { bucket, sleep, form } = self;
        match form {
            Form::Put(form) => form.run(context, common, bucket, sleep).await,
            Form::Get(form) => form.run(context, common, bucket, sleep).await,
        }
    }
}

fn stream_of(bucket: &str) -> Result<String, Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !bucket.is_empty() && bucket.chars().all(good) {
        true => Ok(format!("KV_{bucket}")),
        false => Err(Failure::usage(format!("`{bucket}` is no name of a bucket"))),
    }
}

async fn open(
    context: &Context,
    bucket: &str,
    create: Option<Value>,
) -> Result<StreamAdmin, Failure> {
    StreamAdmin::open(context, &stream_of(bucket)?, create).await.map_err(|failure| {
        match (failure.err_code, bucket) {
            (10059, BUCKET) => failure.hint("natterjack bench kv put makes it and its keys"),
            (10059, _) if !failure.hint.starts_with("did you mean") => {
                failure.hint(format!("natterjack kv add {bucket}"))
            }
            _ => failure,
        }
    })
}

impl Put {
    async fn run(
        self,
        context: &Context,
        common: &Common,
        bucket: String,
        sleep: Duration,
    ) -> Outcome {
        let create = (bucket == BUCKET).then(|| self.config(&bucket));
        let mut stream = open(context, &bucket, create).await?;
        if self.purge {
            stream.purge(context).await?;
        }
        let prefix = put_prefix(&stream.prefix(context), &bucket);
        stream.close().await?;
        let body = Bytes::from(vec![0; common.size]);
        let facts = Facts::default()
            .text("bucket", &bucket)
            .size("msg-size", body.len() as u64)
            .number("randomize", self.randomize)
            .flag("purge", self.purge)
            .span("sleep", sleep)
            .text("storage", self.storage.name())
            .and(self.pacing.facts());
        let share = Share::Split(self.pacing.messages(common)?);
        let run = Run { context, common, kind: PUT, facts, share };
        let Self { randomize, pacing, .. } = self;
        let job = Putter { prefix, body, randomize, sleep, pacing, clients: common.clients };
        let measured = run.measure(job).await?;
        report::finish(&context.out, common, measured)
    }

    /// As clients make buckets (ADR-8).
    fn config(&self, bucket: &str) -> Value {
        json!({
            "name": format!("KV_{bucket}"),
            "subjects": [format!("$KV.{bucket}.>")],
            "description": "natterjack bench",
            "retention": "limits",
            "discard": "new",
            "storage": self.storage.name(),
            "num_replicas": self.replicas,
            "max_bytes": self.maxbytes,
            "max_msgs": -1,
            "max_msgs_per_subject": self.history,
            "max_msg_size": -1,
            "max_consumers": -1,
            "max_age": 0,
            "duplicate_window": 120_000_000_000_u64,
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        })
    }
}

/// What comes before a key: through the API of another domain or account, if that is in use (ADR-8).
fn put_prefix(api: &Arc<str>, bucket: &str) -> String {
    match &**api {
        "$JS.API" => format!("$KV.{bucket}."),
        other => format!("{other}.$KV.{bucket}."),
    }
}

fn key(randomize: u64, nth: u64) -> u64 {
    if randomize > 0 { rand::rng().random_range(0..randomize) } else { nth }
}

struct Putter {
    /// What comes before a key.
    prefix: String,
    body: Bytes,
    randomize: u64,
    sleep: Duration,
    pacing: Pacing,
    clients: u32,
}

impl Job for Putter {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        seat.begin().await?;
        meter.start();
        let pacer = self.pacing.pacer(self.sleep, self.clients);
        for nth in 0..seat.share {
            let key = key(self.randomize, seat.offset + nth);
            let subject = format!("{}{key}", self.prefix).into();
            let began = Instant::now();
            store(seat, subject, None, self.body.clone()).await?;
            meter.time(began.elapsed());
            meter.add(self.body.len());
            pacer.after(nth + 1).await;
        }
        Ok(())
    }
}

impl Get {
    async fn run(
        self,
        context: &Context,
        common: &Common,
        bucket: String,
        sleep: Duration,
    ) -> Outcome {
        let stream = open(context, &bucket, None).await?;
        let direct = json::flag(&stream.config, "/allow_direct");
        let from = Source::new(&stream.prefix(context), &stream.name, direct);
        stream.close().await?;
        let facts = Facts::default()
            .text("bucket", &bucket)
            .number("randomize", self.randomize)
            .span("sleep", sleep);
        let share = Share::Split(common.messages());
        let run = Run { context, common, kind: GET, facts, share };
        let prefix = format!("$KV.{bucket}.");
        let measured =
            run.measure(Getter { from, prefix, randomize: self.randomize, sleep }).await?;
        report::finish(&context.out, common, measured)
    }
}

struct Getter {
    from: Source,
    /// What comes before a key.
    prefix: String,
    randomize: u64,
    sleep: Duration,
}

impl Job for Getter {
    async fn work(&self, seat: &Seat, meter: &mut Meter) -> Outcome {
        seat.begin().await?;
        meter.start();
        for nth in 0..seat.share {
            let key = key(self.randomize, seat.offset + nth);
            let subject = format!("{}{key}", self.prefix);
            let began = Instant::now();
            let size = self.from.last(seat, &subject).await?.ok_or_else(|| missing(key))?;
            meter.time(began.elapsed());
            meter.add(size);
            pause(self.sleep).await;
        }
        Ok(())
    }
}

fn missing(key: u64) -> Failure {
    Failure::new(status::NOT_FOUND, "kv.not_found", format!("key {key} not found")).hint(
        "first natterjack bench kv put with as many --msgs, or --randomize with as many keys as there are",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_put_through_the_api_in_use() {
        assert_eq!(put_prefix(&"$JS.API".into(), "b"), "$KV.b.");
        assert_eq!(put_prefix(&"$JS.hub.API".into(), "b"), "$JS.hub.API.$KV.b.");
    }

    #[test]
    fn names_of_buckets_are_checked() {
        assert_eq!(stream_of("a-b_1").unwrap(), "KV_a-b_1");
        for name in ["", "a.b", "a b", "a>"] {
            assert!(stream_of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn keys_are_in_order_or_any_of_some() {
        assert_eq!(key(0, 7), 7);
        for nth in 0..50 {
            assert!(key(3, nth) < 3);
        }
    }
}
