//! `natterjack kv watch`: changes as they happen, over restarts of the server.

use bytes::Bytes;
use clap::Args;
use natterjack::kv::{Found, WatchEvent, WatchFrom};
use serde_json::json;

use super::{Bucket, Change, printable};
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::output::{Output, Paint};

/// Print changes as they happen.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key; * and > are wildcards
    #[arg(default_value = ">", add = complete::keys())]
    key: String,
    /// Begin with all changes that the bucket has
    #[arg(long, conflicts_with_all = ["updates", "revision"])]
    history: bool,
    /// Only what changes from now on
    #[arg(long, conflicts_with = "revision")]
    updates: bool,
    /// Begin with this revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Leave out deletions
    #[arg(long)]
    no_deletes: bool,
    /// End after this many changes
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Watch {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let from = match (self.history, self.updates, self.revision) {
            (true, ..) => WatchFrom::History,
            (_, true, _) => WatchFrom::New,
            (.., Some(revision)) => WatchFrom::Revision(revision),
            _ => WatchFrom::Latest,
        };
        let mut watch = bucket.kv.watch(&self.key).from(from);
        if self.no_deletes {
            watch = watch.ignore_deletes();
        }
        let mut watch = watch.start().await?;
        context.interrupt.finish_gracefully();
        let mut seen = 0_u64;
        while self.count.is_none_or(|count| seen < count) {
            let event = tokio::select! {
                event = watch.next() => event,
                () = context.interrupt.raised() => break,
            };
            let found = match event {
                Some(WatchEvent::Put(entry)) => Found::Put(entry),
                Some(WatchEvent::Deleted(meta)) => Found::Deleted(meta),
                Some(WatchEvent::Purged(meta)) => Found::Purged(meta),
                Some(WatchEvent::Expired(meta)) => Found::Expired(meta),
                Some(WatchEvent::Ready) => {
                    self.tell(&out, "READY", format!("up to date ({seen} changes)"), seen);
                    continue;
                }
                Some(WatchEvent::Resumed { missed }) => {
                    self.tell(
                        &out,
                        "RESUMED",
                        format!("resumed, {missed} changes to come"),
                        missed,
                    );
                    continue;
                }
                // Bytes always decode, and bodies are always asked for.
                Some(_) => continue,
                None => {
                    return Err(Failure::new(
                        status::FAILED,
                        "conn.closed",
                        "the connection is over",
                    ));
                }
            };
            seen += 1;
            self.print(&out, &Change::of(found));
        }
        drop(watch);
        bucket.close().await
    }

    fn tell(&self, out: &Output, op: &str, text: String, changes: u64) {
        if out.json {
            out.object(&json!({ "bucket": self.bucket, "op": op, "changes": changes }));
        } else {
            out.log(text);
        }
    }

    fn print(&self, out: &Output, change: &Change) {
        if out.json {
            out.object(&change.json(&self.bucket));
            return;
        }
        let op = match change.op {
            "PUT" => out.paint(Paint::Cyan, "PUT"),
            op => out.paint(Paint::Yellow, op),
        };
        let value = change
            .value
            .as_ref()
            .map_or_else(String::new, |value: &Bytes| format!(": {}", printable(value)));
        let time = change.local_time();
        out.line(format!("[{time}] {op} {} > {}{value}", self.bucket, change.key));
    }
}
