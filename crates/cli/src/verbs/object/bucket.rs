//! `natterjack object add`, `edit` and `seal`: buckets.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Bucket, list};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::diff;
use crate::exit::{Failure, Outcome, status};
use crate::prompt;
use crate::verbs::bucket::Common;

/// Make a bucket.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the bucket
    bucket: String,
    /// Where files are kept
    #[arg(long, default_value = "file")]
    storage: Storage,
    #[command(flatten)]
    common: Common,
    /// Print the configuration instead of making the bucket
    #[arg(long)]
    dry_run: bool,
}

/// Change a bucket. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    #[command(flatten)]
    common: Common,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only show the differences
    #[arg(long)]
    dry_run: bool,
}

/// Seal a bucket: from then on nothing in it can be changed, for ever.
#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Storage {
    #[value(alias = "f")]
    File,
    #[value(alias = "m")]
    Memory,
}

/// A bucket's name: letters, digits, `-` and `_` (ADR-20).
pub(super) fn check(name: &str) -> Outcome {
    let bad = |why: String| {
        Err(Failure::new(status::USAGE, "js.bad_name", format!("bad bucket name `{name}`: {why}")))
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match name.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        _ if name.is_empty() => bad("it is empty".to_owned()),
        Some((at, c)) => bad(format!("{c:?} at position {}", at + 1)),
        None => Ok(()),
    }
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let name = &self.bucket;
        check(name)?;
        // The stream behind the bucket (ADR-20).
        let mut config = json!({
            "name": format!("OBJ_{name}"),
            "subjects": [format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
            "retention": "limits",
            "storage": match self.storage { Storage::File => "file", Storage::Memory => "memory" },
            "discard": "new",
            "num_replicas": 1,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "max_consumers": -1,
            "max_bytes": -1,
            "max_age": 0,
            "allow_rollup_hdrs": true,
            "allow_direct": true,
        });
        self.common.apply(&mut config)?;
        if self.dry_run {
            context.out.document(&config);
            return Ok(());
        }
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let call = format!("STREAM.CREATE.OBJ_{name}");
        let info = api.ask(&call, &config).await.map_err(|failure| match failure.err_code {
            10058 => Failure {
                message: format!("bucket {name} exists with another configuration"),
                hint: format!("natterjack object info {name}; natterjack object edit {name}"),
                ..failure
            },
            _ => failure,
        })?;
        connector.close().await?;
        list::show_bucket(context, &info);
        Ok(())
    }
}

impl Edit {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        let before = bucket.info["config"].clone();
        let mut after = before.clone();
        self.common.apply(&mut after)?;
        let what = format!("bucket {}", self.bucket);
        let edit = diff::Edit { what: &what, force: self.force, dry_run: self.dry_run };
        let agreed = edit.agreed(context, &before, &after)?;
        if self.dry_run {
            return bucket.close().await;
        }
        let info = match agreed {
            true => {
                let call = format!("STREAM.UPDATE.OBJ_{}", self.bucket);
                bucket.api.ask(&call, &after).await?
            }
            false => bucket.info.clone(),
        };
        bucket.close().await?;
        list::show_bucket(context, &info);
        Ok(())
    }
}

impl Seal {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        if self.dry_run {
            crate::verbs::stream::dry_run(context, "seal bucket", &self.bucket);
            return Ok(());
        }
        let question = format!(
            "Really seal bucket {}, sealed buckets can not be unsealed or modified",
            self.bucket
        );
        prompt::confirm(&question, self.force)?;
        let mut config = bucket.info["config"].clone();
        config["sealed"] = true.into();
        let call = format!("STREAM.UPDATE.OBJ_{}", self.bucket);
        let info = bucket.api.ask(&call, &config).await?;
        bucket.close().await?;
        context.out.say(format!("Bucket {} was sealed\n", self.bucket));
        list::show_bucket(context, &info);
        Ok(())
    }
}
