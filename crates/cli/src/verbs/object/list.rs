//! `natterjack object ls` and `info`.

use base64::Engine as _;
use clap::Args;
use natterjack::objects::ObjectInfo;
use serde_json::{Value, json};

use super::{Bucket, object_json};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{bucket_name, flag, int, number, text};
use crate::table::{Sheet, Table};
use crate::units;

/// List buckets, or the files of one.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Name of a bucket, to list its files
    #[arg(add = complete::object_buckets())]
    bucket: Option<String>,
    /// Names only
    #[arg(short, long)]
    names: bool,
}

/// Show a bucket, or a file in it.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    /// Name of the file
    file: Option<String>,
}

impl Info {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let bucket = Bucket::open(context, &self.bucket).await?;
        match &self.file {
            None => show_bucket(context, &bucket.info),
            Some(file) => show_object(context, &bucket.find(file).await?),
        }
        bucket.close().await
    }
}

impl Ls {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match &self.bucket {
            Some(bucket) => files(context, bucket, self.names).await,
            None => buckets(context, self.names).await,
        }
    }
}

async fn buckets(context: &Context, names: bool) -> Outcome {
    let out = context.out;
    let connector = context.connect().await?;
    let api = Api::new(&connector, context);
    let filter = json!({ "subject": "$O.>" });
    let mut streams = api.list("STREAM.LIST", "streams", filter).await?;
    connector.close().await?;
    streams.retain(|stream| text(stream, "/config/name").starts_with("OBJ_"));
    streams.sort_by(|one, other| text(one, "/config/name").cmp(text(other, "/config/name")));
    let name = |stream: &Value| bucket_name(text(stream, "/config/name"), "OBJ_").to_owned();
    if names {
        let names: Vec<String> = streams.iter().map(name).collect();
        out.names(&names);
    } else if out.json {
        out.document(&streams);
    } else if streams.is_empty() {
        out.say("No Object Store buckets found");
    } else {
        let head = ["Bucket", "Description", "Created", "Size", "Last Update"];
        let mut table = Table::new("Object Store Buckets", &head).right(&[3]);
        for stream in &streams {
            table.row([
                name(stream),
                text(stream, "/config/description").to_owned(),
                units::moment(text(stream, "/created"), "-"),
                units::size(number(stream, "/state/bytes")),
                units::ago(text(stream, "/state/last_ts")),
            ]);
        }
        table.print(&out);
    }
    Ok(())
}

async fn files(context: &Context, name: &str, names: bool) -> Outcome {
    let out = context.out;
    let bucket = Bucket::open(context, name).await?;
    let files = bucket.objects.list().await?;
    bucket.close().await?;
    if names {
        let names: Vec<&String> = files.iter().map(|file| &file.name).collect();
        out.names(&names);
    } else if out.json {
        out.document(&files.iter().map(object_json).collect::<Vec<_>>());
    } else if files.is_empty() {
        out.say("No entries found");
    } else {
        let mut table = Table::new("Bucket Contents", &["Name", "Size", "Time"]).right(&[1]);
        for file in &files {
            table.row([file.name.clone(), units::size(file.size), modified(file)]);
        }
        table.print(&out);
    }
    Ok(())
}

/// When a file was stored, in local time.
pub(super) fn modified(info: &ObjectInfo) -> String {
    units::moment(&info.mtime, "-")
}

/// The server's object of the bucket's stream, or a sheet.
pub(super) fn show_bucket(context: &Context, info: &Value) {
    if context.out.json {
        context.out.document(info);
        return;
    }
    let name = bucket_name(text(info, "/config/name"), "OBJ_").to_owned();
    let created = units::moment(text(info, "/created"), "-");
    let title = format!("Information for Object Store Bucket {name} created {created}");
    let mut sheet = Sheet::new(title);
    sheet.section("Configuration");
    sheet.row("Bucket Name", name);
    let description = Some(text(info, "/config/description")).filter(|text| !text.is_empty());
    sheet.row_if("Description", description);
    sheet.row("Replicas", int(info, "/config/num_replicas").to_string());
    sheet.row("TTL", units::nanos(int(info, "/config/max_age"), "unlimited"));
    sheet.row("Sealed", flag(info, "/config/sealed").to_string());
    sheet.row("Size", units::size(number(info, "/state/bytes")));
    sheet.row("Maximum Bucket Size", units::limit(int(info, "/config/max_bytes"), units::size));
    let compressed = !matches!(text(info, "/config/compression"), "" | "none");
    sheet.row_if("Compressed", compressed.then_some("true"));
    sheet.row("Storage", text(info, "/config/storage"));
    sheet.row("JetStream Stream", text(info, "/config/name"));
    sheet.print(&context.out);
}

/// A file's object, or a sheet.
pub(super) fn show_object(context: &Context, info: &ObjectInfo) {
    if context.out.json {
        context.out.document(&object_json(info));
        return;
    }
    let title = format!("Object information for {} > {}", info.bucket, info.name);
    let mut sheet = Sheet::new(title);
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    sheet.row_if("Description", given(&info.description));
    sheet.row("Size", units::size(info.size));
    sheet.row("Modification Time", modified(info));
    sheet.row("Chunks", units::count(info.chunks));
    sheet.row_if("Digest", given(&info.digest).as_deref().map(digest));
    let link = info.link().map(|to| {
        let name = given(&to.name).unwrap_or_else(|| "(the bucket)".to_owned());
        format!("{} > {name}", to.bucket)
    });
    sheet.row_if("Link To", link);
    for (name, values) in &info.headers {
        for value in values {
            sheet.row("Header", format!("{name}: {value}"));
        }
    }
    if !info.metadata.is_empty() {
        sheet.section("Metadata");
        for (key, value) in &info.metadata {
            sheet.row(key, value.as_str());
        }
    }
    sheet.print(&context.out);
}

/// `SHA-256=` and base64 as `SHA-256` and hexadecimal digits, which other programs print.
fn digest(text: &str) -> String {
    let engine = base64::engine::general_purpose::URL_SAFE;
    match text.split_once('=').map(|(kind, sum)| (kind, engine.decode(sum))) {
        Some((kind, Ok(sum))) => {
            let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{kind} {digits}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_shown_as_sha256sum_does() {
        let empty = "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=";
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(empty), format!("SHA-256 {digits}"));
        assert_eq!(digest("?"), "?");
    }
}
