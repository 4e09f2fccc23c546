//! `natterjack object watch`.

use clap::Args;
use natterjack::objects::{ObjectEvent, ObjectInfo};
use serde_json::json;

use super::{Bucket, list, object_json};
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::output::Paint;
use crate::units;

/// Print changes as they happen, beginning with the files that are there, until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    /// Only what changes from now on
    #[arg(long)]
    updates: bool,
    /// End after this many changes
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Watch {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        let watch = match self.updates {
            true => bucket.objects.watch_new().await,
            false => bucket.objects.watch().await,
        };
        let mut watch = watch?;
        context.interrupt.finish_gracefully();
        context.out.log(format!("Watching bucket {}", self.bucket));
        let mut seen = 0;
        loop {
            let change = tokio::select! {
                change = watch.next() => change,
                () = context.interrupt.raised() => break,
            };
            match change {
                Some(ObjectEvent::Put(info) | ObjectEvent::Deleted(info)) => print(context, &info),
                Some(ObjectEvent::Resumed { missed }) => {
                    match context.out.json {
                        true => context.out.object(&json!({
                            "bucket": self.bucket,
                            "op": "RESUMED",
                            "changes": missed,
                        })),
                        false => context.out.log(format!("resumed, {missed} changes to come")),
                    }
                    continue;
                }
                Some(_) => continue,
                None => {
                    let text = format!("the watch of bucket {} is over", self.bucket);
                    return Err(Failure::new(status::FAILED, "js.object", text));
                }
            }
            seen += 1;
            if self.count.is_some_and(|count| seen >= count) {
                break;
            }
        }
        drop(watch);
        bucket.close().await
    }
}

fn print(context: &Context, info: &ObjectInfo) {
    let out = context.out;
    if out.json {
        let mut object = object_json(info);
        object["op"] = if info.deleted { "DEL" } else { "PUT" }.into();
        out.object(&object);
        return;
    }
    let time = list::modified(info);
    let place = format!("{} > {}", info.bucket, info.name);
    out.line(match info.deleted {
        true => format!("[{time}] {} {place}", out.paint(Paint::Red, "DEL")),
        false => {
            let (size, chunks) = (units::size(info.size), units::count(info.chunks));
            let put = out.paint(Paint::Cyan, "PUT");
            format!("[{time}] {put} {place}: {size} in {chunks} chunks")
        }
    });
}
