//! Buckets as a whole: making, listing, changing, removing.

use std::time::Duration;

use clap::{Args, ValueEnum};
use natterjack::kv::{Found, WatchEvent};
use serde_json::{Value, json};

use super::fields::Fields;
use super::history::shortened;
use super::{Bucket, Change, printable};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::diff;
use crate::exit::{Failure, Outcome, status};
use crate::json::{bucket_name, flag, int, number, text};
use crate::prompt;
use crate::table::{Sheet, Table};
use crate::units;

/// Make a bucket.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the bucket
    bucket: String,
    /// Where values are kept
    #[arg(long, default_value = "file")]
    storage: Storage,
    #[command(flatten)]
    fields: Fields,
    /// Hold what another bucket holds
    #[arg(long, value_name = "BUCKET", conflicts_with = "source")]
    mirror: Option<String>,
    /// JetStream domain of that bucket
    #[arg(long, value_name = "DOMAIN", requires = "mirror")]
    mirror_domain: Option<String>,
    /// Print the configuration instead of making the bucket
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

/// List buckets, or the keys of one; with -v their revision and time.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Name of a bucket, to list its keys
    #[arg(add = complete::buckets())]
    bucket: Option<String>,
    /// Only these keys; * and > are wildcards
    #[arg(default_value = ">")]
    filter: String,
    /// Names of buckets only
    #[arg(short, long)]
    names: bool,
    /// Show the value of each key
    #[arg(long)]
    display_value: bool,
}

/// Show a bucket's configuration and state.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
}

/// Change a bucket. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    #[command(flatten)]
    fields: Fields,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only show the differences
    #[arg(long)]
    dry_run: bool,
}

/// Forget deleted keys.
#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// Keep the marks of keys that were deleted more recently than this
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = units::parse_duration)]
    older_than: Duration,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// A bucket's name: letters, digits, `-` and `_` (ADR-8).
fn check_bucket(name: &str) -> Outcome {
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
        check_bucket(&self.bucket)?;
        let config = self.config()?;
        if self.dry_run {
            context.out.document(&config);
            return Ok(());
        }
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let call = format!("STREAM.CREATE.KV_{}", self.bucket);
        let info = api.ask(&call, &config).await.map_err(|failure| match failure.err_code {
            10058 => Failure {
                message: format!("bucket {} exists with another configuration", self.bucket),
                hint: format!("natterjack kv info {0}; natterjack kv edit {0}", self.bucket),
                ..failure
            },
            _ => failure,
        })?;
        connector.close().await?;
        show(context, &info);
        Ok(())
    }

    /// The stream behind the bucket (ADR-8).
    fn config(&self) -> Result<Value, Failure> {
        let mut config = json!({
            "name": format!("KV_{}", self.bucket),
            "subjects": [format!("$KV.{}.>", self.bucket)],
            "retention": "limits",
            "storage": match self.storage { Storage::File => "file", Storage::Memory => "memory" },
            "discard": "new",
            "num_replicas": 1,
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_consumers": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_age": 0,
            "duplicate_window": 120_000_000_000_u64,
            "allow_rollup_hdrs": true,
            "allow_direct": true,
            "deny_delete": true,
        });
        self.fields.apply(&self.bucket, &mut config)?;
        if let Some(from) = &self.mirror {
            config["mirror"] = json!({ "name": format!("KV_{}", bucket_name(from, "KV_")) });
            if let Some(domain) = &self.mirror_domain {
                config["mirror"]["external"] =
                    json!({ "api": format!("$JS.{domain}.API"), "deliver": "" });
            }
            config["mirror_direct"] = true.into();
            // A mirror listens on nothing.
            if let Some(object) = config.as_object_mut() {
                object.remove("subjects");
            }
        }
        Ok(config)
    }
}

impl Info {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        let status = bucket.kv.status().await?;
        bucket.close().await?;
        show(context, &status.raw);
        Ok(())
    }
}

/// The server's object of the bucket's stream, or a sheet.
fn show(context: &Context, info: &Value) {
    if context.out.json {
        context.out.document(info);
        return;
    }
    let name = bucket_name(text(info, "/config/name"), "KV_").to_owned();
    let created = units::moment(text(info, "/created"), "-");
    let mut sheet =
        Sheet::new(format!("Information for Key-Value Store Bucket {name} created {created}"));
    sheet.section("Configuration");
    sheet.row("Bucket Name", name);
    let description = Some(text(info, "/config/description")).filter(|text| !text.is_empty());
    sheet.row_if("Description", description);
    sheet.row("History Kept", int(info, "/config/max_msgs_per_subject").to_string());
    sheet.row("Values Stored", units::count(number(info, "/state/messages")));
    let compressed = !matches!(text(info, "/config/compression"), "" | "none");
    sheet.row("Compressed", compressed.to_string());
    let markers = flag(info, "/config/allow_msg_ttl");
    sheet.row("Per-Key TTL Supported", markers.to_string());
    let marker = int(info, "/config/subject_delete_marker_ttl");
    sheet.row_if("Limit Markers Kept", markers.then(|| units::nanos(marker, "none")));
    let size = |pointer| units::limit(int(info, pointer), units::size);
    sheet.row("Maximum Bucket Size", size("/config/max_bytes"));
    sheet.row("Maximum Value Size", size("/config/max_msg_size"));
    sheet.row("Maximum Age", units::nanos(int(info, "/config/max_age"), "unlimited"));
    sheet.row("Bucket Size", units::size(number(info, "/state/bytes")));
    sheet.row("JetStream Stream", text(info, "/config/name"));
    sheet.row("Storage", text(info, "/config/storage"));
    sheet.row("Replicas", int(info, "/config/num_replicas").to_string());
    sheet.row("Last Revision", units::count(number(info, "/state/last_seq")));
    sheet.print(&context.out);
}

impl Edit {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        let info = bucket.kv.status().await?.raw;
        let before = &info["config"];
        let mut after = before.clone();
        self.fields.apply(&self.bucket, &mut after)?;
        let what = format!("bucket {}", self.bucket);
        let edit = diff::Edit { what: &what, force: self.force, dry_run: self.dry_run };
        let agreed = edit.agreed(context, before, &after)?;
        if self.dry_run {
            return bucket.close().await;
        }
        let info = match agreed {
            true => bucket.api.ask(&format!("STREAM.UPDATE.KV_{}", self.bucket), &after).await?,
            false => info,
        };
        bucket.close().await?;
        show(context, &info);
        Ok(())
    }
}

impl Compact {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        if self.dry_run {
            out.line(format!("would compact bucket {}", self.bucket));
            return Ok(());
        }
        prompt::confirm(&format!("Forget deleted keys of bucket {}", self.bucket), self.force)?;
        let forgotten = bucket.kv.purge_deletes(self.older_than).await?;
        if out.json {
            out.object(&json!({ "bucket": self.bucket, "forgotten": forgotten }));
        } else {
            out.say(format!("Forgot {} deleted keys", units::count(forgotten)));
        }
        bucket.close().await
    }
}

/// Removes a bucket with all its keys.
pub(super) async fn delete(
    context: &Context,
    bucket: Bucket,
    name: &str,
    force: bool,
    dry_run: bool,
) -> Outcome {
    if dry_run {
        crate::verbs::stream::dry_run(context, "delete bucket", name);
        return Ok(());
    }
    prompt::confirm(&format!("Delete bucket {name} with all its keys"), force)?;
    let answer = bucket.api.ask(&format!("STREAM.DELETE.KV_{name}"), &Value::Null).await?;
    if context.out.json {
        context.out.document(&answer);
    } else {
        context.out.say(format!("Bucket {name} was deleted"));
    }
    bucket.close().await
}

impl Ls {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match &self.bucket {
            Some(bucket) => self.keys(context, bucket).await,
            None => self.buckets(context).await,
        }
    }

    async fn buckets(&self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let filter = json!({ "subject": "$KV.>" });
        let mut streams = api.list("STREAM.LIST", "streams", filter).await?;
        connector.close().await?;
        streams.retain(|stream| text(stream, "/config/name").starts_with("KV_"));
        streams.sort_by(|one, other| text(one, "/config/name").cmp(text(other, "/config/name")));
        let name = |stream: &Value| bucket_name(text(stream, "/config/name"), "KV_").to_owned();
        if self.names {
            let names: Vec<String> = streams.iter().map(name).collect();
            out.names(&names);
            return Ok(());
        }
        if out.json {
            out.document(&streams);
            return Ok(());
        }
        if streams.is_empty() {
            out.say("No Key-Value buckets found");
            return Ok(());
        }
        let head = ["Bucket", "Description", "Created", "Size", "Values", "Last Update"];
        let mut table = Table::new("Key-Value Buckets", &head).right(&[3, 4]);
        for stream in &streams {
            table.row([
                name(stream),
                text(stream, "/config/description").to_owned(),
                units::moment(text(stream, "/created"), "-"),
                units::size(number(stream, "/state/bytes")),
                units::count(number(stream, "/state/messages")),
                units::ago(text(stream, "/state/last_ts")),
            ]);
        }
        table.print(&out);
        Ok(())
    }

    async fn keys(&self, context: &Context, name: &str) -> Outcome {
        let out = context.out;
        let verbose = context.global.verbose;
        let bucket = Bucket::open(context, name).await?;
        let rows = self.read(&bucket).await?;
        bucket.close().await?;
        if out.json {
            let detailed = verbose || self.display_value;
            match detailed {
                true => out.document(&rows.iter().map(|row| row.json(name)).collect::<Vec<_>>()),
                false => out.document(&rows.iter().map(|row| &row.key).collect::<Vec<_>>()),
            }
            return Ok(());
        }
        if rows.is_empty() {
            out.say("No keys found in bucket");
            return Ok(());
        }
        if !verbose && !self.display_value {
            rows.iter().for_each(|row| out.line(&row.key));
            return Ok(());
        }
        let mut head = vec!["Key"];
        if verbose {
            head.extend(["Created", "Revision"]);
        }
        if self.display_value {
            head.push("Value");
        }
        let right: &[usize] = if verbose { &[2] } else { &[] };
        let mut table = Table::new(format!("Contents of bucket {name}"), &head).right(right);
        for row in rows {
            let mut cells = vec![row.key.clone()];
            if verbose {
                cells.extend([row.local_time(), units::count(row.revision)]);
            }
            if self.display_value {
                cells.push(shortened(&printable(row.value.as_deref().unwrap_or_default())));
            }
            table.row(cells);
        }
        table.print(&out);
        Ok(())
    }

    /// The keys that have a value, by name.
    async fn read(&self, bucket: &Bucket) -> Result<Vec<Change>, Failure> {
        let mut watch = bucket.kv.watch(&self.filter).ignore_deletes();
        if !self.display_value {
            watch = watch.meta_only();
        }
        let mut watch = watch.start().await?;
        let mut rows = Vec::new();
        loop {
            match watch.next().await {
                Some(WatchEvent::Put(entry)) => rows.push(Change::of(Found::Put(entry))),
                Some(WatchEvent::Touched(meta)) => rows.push(Change::touched(meta)),
                Some(WatchEvent::Ready) => break,
                Some(_) => {}
                None => {
                    let over = "the connection is over";
                    return Err(Failure::new(status::FAILED, "conn.closed", over));
                }
            }
        }
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(rows)
    }
}
