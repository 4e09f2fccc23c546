//! Streams as tables and sheets.

use clap::Args;
use serde_json::{Value, json};

use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{flag, int, number, text, texts};
use crate::table::{Sheet, Table};
use crate::units;

/// List streams.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only streams that listen on this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Names only
    #[arg(short, long)]
    names: bool,
    /// Also streams of buckets and other systems
    #[arg(short, long)]
    all: bool,
}

/// Whether a stream holds a bucket or is MQTT's.
pub(super) fn is_internal(name: &str) -> bool {
    ["KV_", "OBJ_", "$MQTT_"].iter().any(|prefix| name.starts_with(prefix))
}

impl Ls {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let filter = match &self.subject {
            Some(subject) => json!({ "subject": subject }),
            None => Value::Null,
        };
        let mut streams = api.list("STREAM.LIST", "streams", filter).await?;
        connector.close().await?;
        streams.retain(|stream| self.all || !is_internal(text(stream, "/config/name")));
        print(context, streams, self.names);
        Ok(())
    }
}

/// Writes a list of streams, by name.
pub(super) fn print(context: &Context, mut streams: Vec<Value>, names: bool) {
    let out = context.out;
    streams.sort_by(|one, other| text(one, "/config/name").cmp(text(other, "/config/name")));
    if names {
        let names: Vec<&str> = streams.iter().map(|one| text(one, "/config/name")).collect();
        out.names(&names);
    } else if out.json {
        out.document(&streams);
    } else if streams.is_empty() {
        out.say("No Streams defined");
    } else {
        let head = ["Name", "Description", "Created", "Messages", "Size", "Last Message"];
        let mut table = Table::new("Streams", &head).right(&[3, 4]);
        for stream in &streams {
            table.row([
                text(stream, "/config/name").to_owned(),
                text(stream, "/config/description").to_owned(),
                units::moment(text(stream, "/created"), "-"),
                units::count(number(stream, "/state/messages")),
                units::size(number(stream, "/state/bytes")),
                units::ago(text(stream, "/state/last_ts")),
            ]);
        }
        table.print(&out);
    }
}

/// A stream's object for people.
pub(crate) fn sheet(info: &Value) -> Sheet {
    let created = units::moment(text(info, "/created"), "-");
    let title = format!("Information for Stream {} created {created}", text(info, "/config/name"));
    let mut sheet = Sheet::new(title);
    let filled = |pointer| Some(text(info, pointer)).filter(|text| !text.is_empty());
    sheet.row_if("Description", filled("/config/description"));
    sheet.row("Subjects", texts(info, "/config/subjects").join(", "));
    sheet.row("Replicas", int(info, "/config/num_replicas").to_string());
    sheet.row("Storage", capital(text(info, "/config/storage")));
    options(&mut sheet, info);
    limits(&mut sheet, info);
    cluster(&mut sheet, info);
    state(&mut sheet, info);
    sheet
}

/// A stream's state for people.
pub(super) fn state_sheet(info: &Value) -> Sheet {
    let mut sheet = Sheet::new(format!("State for Stream {}", text(info, "/config/name")));
    cluster(&mut sheet, info);
    state(&mut sheet, info);
    sheet
}

/// `file` as `File`.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn options(sheet: &mut Sheet, info: &Value) {
    sheet.section("Options");
    let config = |name: &str| format!("/config/{name}");
    sheet.row("Retention", capital(text(info, "/config/retention")));
    sheet.row("Acknowledgments", (!flag(info, "/config/no_ack")).to_string());
    let per_subject = match flag(info, "/config/discard_new_per_subject") {
        true => " per subject",
        false => "",
    };
    sheet.row("Discard Policy", capital(text(info, "/config/discard")) + per_subject);
    sheet.row("Duplicate Window", units::nanos(int(info, "/config/duplicate_window"), "none"));
    for (label, name) in [
        ("Direct Get", "allow_direct"),
        ("Mirror Direct Get", "mirror_direct"),
        ("Allows Per-Message TTL", "allow_msg_ttl"),
        ("Allows Rollups", "allow_rollup_hdrs"),
        ("Sealed", "sealed"),
    ] {
        let on = flag(info, &config(name));
        sheet.row_if(label, (on || name == "allow_direct").then(|| on.to_string()));
    }
    let marker = int(info, "/config/subject_delete_marker_ttl");
    sheet.row_if("Delete Marker TTL", (marker > 0).then(|| units::nanos(marker, "none")));
    sheet.row("Allows Msg Delete", (!flag(info, "/config/deny_delete")).to_string());
    sheet.row("Allows Purge", (!flag(info, "/config/deny_purge")).to_string());
    let compression = Some(text(info, "/config/compression")).filter(|name| !name.is_empty());
    sheet.row_if("Compression", compression.map(capital));
    let mirror = Some(text(info, "/config/mirror/name")).filter(|name| !name.is_empty());
    sheet.row_if("Mirror", mirror);
    let sources = info.pointer("/config/sources").and_then(Value::as_array);
    let sources: Vec<&str> = sources.into_iter().flatten().map(|one| text(one, "/name")).collect();
    sheet.row_if("Sources", (!sources.is_empty()).then(|| sources.join(", ")));
    let republish = Some(text(info, "/config/republish/dest")).filter(|name| !name.is_empty());
    sheet.row_if("Republish", republish);
}

fn limits(sheet: &mut Sheet, info: &Value) {
    sheet.section("Limits");
    let count = |name| units::limit(int(info, name), units::count);
    let size = |name| units::limit(int(info, name), units::size);
    sheet.row("Maximum Messages", count("/config/max_msgs"));
    sheet.row("Maximum Per Subject", count("/config/max_msgs_per_subject"));
    sheet.row("Maximum Bytes", size("/config/max_bytes"));
    sheet.row("Maximum Age", units::nanos(int(info, "/config/max_age"), "unlimited"));
    sheet.row("Maximum Message Size", size("/config/max_msg_size"));
    sheet.row("Maximum Consumers", count("/config/max_consumers"));
}

fn cluster(sheet: &mut Sheet, info: &Value) {
    let name = text(info, "/cluster/name");
    let leader = text(info, "/cluster/leader");
    // A server alone names itself as leader.
    if name.is_empty() {
        return;
    }
    sheet.section("Cluster Information");
    sheet.row("Name", name);
    sheet.row("Leader", leader);
    for replica in info.pointer("/cluster/replicas").and_then(Value::as_array).into_iter().flatten()
    {
        let current = if flag(replica, "/current") { "current" } else { "outdated" };
        let offline = if flag(replica, "/offline") { ", OFFLINE" } else { "" };
        let seen = units::nanos(int(replica, "/active"), "0s");
        let value = format!("{}, {current}, seen {seen} ago{offline}", text(replica, "/name"));
        sheet.row("Replica", value);
    }
}

fn state(sheet: &mut Sheet, info: &Value) {
    sheet.section("State");
    sheet.row("Messages", units::count(number(info, "/state/messages")));
    sheet.row("Bytes", units::size(number(info, "/state/bytes")));
    for (label, seq, at) in [
        ("First Sequence", "/state/first_seq", "/state/first_ts"),
        ("Last Sequence", "/state/last_seq", "/state/last_ts"),
    ] {
        let moment = units::moment(text(info, at), "");
        let moment = if moment.is_empty() { moment } else { format!(" @ {moment}") };
        sheet.row(label, units::count(number(info, seq)) + &moment);
    }
    sheet.row("Active Consumers", units::count(number(info, "/state/consumer_count")));
    sheet.row("Number of Subjects", units::count(number(info, "/state/num_subjects")));
    let deleted = number(info, "/state/num_deleted");
    sheet.row_if("Number of Deleted", (deleted > 0).then(|| units::count(deleted)));
}
