//! `natterjack stream report`.

use clap::Args;
use serde_json::{Value, json};

use super::list::{capital, is_internal};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{flag, int, number, text};
use crate::table::Table;
use crate::units;

/// Show all streams with what they hold, the largest last.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Only streams that listen on this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only streams of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// By number of consumers
    #[arg(short = 'o', long, group = "order")]
    consumers: bool,
    /// By number of messages
    #[arg(short, long, group = "order")]
    messages: bool,
    /// By name
    #[arg(short, long, group = "order")]
    name: bool,
    /// By storage
    #[arg(short = 't', long, group = "order")]
    storage: bool,
    /// Plain numbers
    #[arg(short, long)]
    raw: bool,
    /// Also how leaders are spread over servers
    #[arg(short, long)]
    leaders: bool,
    /// Without streams of buckets and other systems
    #[arg(long)]
    no_all: bool,
}

impl Report {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let filter = match &self.subject {
            Some(subject) => json!({ "subject": subject }),
            None => Value::Null,
        };
        let mut streams = api.list("STREAM.LIST", "streams", filter).await?;
        connector.close().await?;
        streams.retain(|one| !self.no_all || !is_internal(text(one, "/config/name")));
        if let Some(cluster) = &self.cluster {
            streams.retain(|one| text(one, "/cluster/name") == cluster);
        }
        self.sort(&mut streams);
        if out.json {
            out.document(&streams);
            return Ok(());
        }
        if streams.is_empty() {
            out.say("No Streams defined");
            return Ok(());
        }
        self.streams(&streams).print(&out);
        let replicating =
            |one: &&Value| one.pointer("/mirror").is_some() || one.pointer("/sources").is_some();
        if streams.iter().any(|one| replicating(&one)) {
            out.line("");
            self.replication(streams.iter().filter(replicating)).print(&out);
        }
        if self.leaders {
            out.line("");
            leaders(&streams, "Streams").print(&out);
        }
        Ok(())
    }

    fn sort(&self, streams: &mut [Value]) {
        let name = |one: &Value| text(one, "/config/name").to_owned();
        streams.sort_by_key(name);
        match (self.consumers, self.messages, self.name, self.storage) {
            (true, ..) => streams.sort_by_key(|one| number(one, "/state/consumer_count")),
            (_, true, ..) => streams.sort_by_key(|one| number(one, "/state/messages")),
            (_, _, true, _) => {}
            (.., true) => streams.sort_by_key(|one| text(one, "/config/storage").to_owned()),
            _ => streams.sort_by_key(|one| number(one, "/state/bytes")),
        }
    }

    fn count(&self, value: u64) -> String {
        if self.raw { value.to_string() } else { units::count(value) }
    }

    fn streams(&self, streams: &[Value]) -> Table {
        let head = [
            "Stream",
            "Storage",
            "Placement",
            "Consumers",
            "Messages",
            "Bytes",
            "Lost",
            "Deleted",
            "Replicas",
        ];
        let mut table = Table::new("Stream Report", &head).right(&[3, 4, 5, 6, 7]);
        for one in streams {
            let count = |pointer| self.count(number(one, pointer));
            let bytes = number(one, "/state/bytes");
            let lost =
                one.pointer("/state/lost/msgs").and_then(Value::as_array).map_or(0, Vec::len);
            table.row([
                text(one, "/config/name").to_owned(),
                capital(text(one, "/config/storage")),
                text(one, "/config/placement/cluster").to_owned(),
                count("/state/consumer_count"),
                count("/state/messages"),
                if self.raw { bytes.to_string() } else { units::size(bytes) },
                self.count(lost as u64),
                count("/state/num_deleted"),
                replicas(one),
            ]);
        }
        table
    }

    fn replication<'a>(&self, streams: impl Iterator<Item = &'a Value>) -> Table {
        let head = ["Stream", "Kind", "API Prefix", "Source Stream", "Active", "Lag", "Error"];
        let mut table = Table::new("Replication Report", &head).right(&[5]);
        for one in streams {
            let sources = one.pointer("/sources").and_then(Value::as_array);
            let sources = sources.into_iter().flatten().map(|source| ("Source", source));
            let mirror = one.pointer("/mirror").map(|mirror| ("Mirror", mirror));
            for (kind, from) in mirror.into_iter().chain(sources) {
                let active = int(from, "/active");
                table.row([
                    text(one, "/config/name").to_owned(),
                    kind.to_owned(),
                    text(from, "/external/api").to_owned(),
                    text(from, "/name").to_owned(),
                    units::nanos(active, "never"),
                    self.count(number(from, "/lag")),
                    text(from, "/error/description").to_owned(),
                ]);
            }
        }
        table
    }
}

/// The servers of a stream or consumer: the leader with `*`, those that do not follow with `!`.
pub(crate) fn replicas(info: &Value) -> String {
    let leader = text(info, "/cluster/leader");
    // A server alone names itself.
    if text(info, "/cluster/name").is_empty() {
        return String::new();
    }
    let mut names = Vec::new();
    if !leader.is_empty() {
        names.push(format!("{leader}*"));
    }
    for replica in info.pointer("/cluster/replicas").and_then(Value::as_array).into_iter().flatten()
    {
        let behind = !flag(replica, "/current") || flag(replica, "/offline");
        names.push(format!("{}{}", text(replica, "/name"), if behind { "!" } else { "" }));
    }
    names.sort();
    names.join(", ")
}

/// How many of these each server leads.
pub(crate) fn leaders(infos: &[Value], what: &'static str) -> Table {
    let mut count = std::collections::BTreeMap::<(String, String), u64>::new();
    for one in infos {
        let leader = text(one, "/cluster/leader").to_owned();
        if !leader.is_empty() && !text(one, "/cluster/name").is_empty() {
            *count.entry((text(one, "/cluster/name").to_owned(), leader)).or_default() += 1;
        }
    }
    let mut table = Table::new("Leaders", &["Server", "Cluster", what]).right(&[2]);
    for ((cluster, leader), led) in count {
        table.row([leader, cluster, units::count(led)]);
    }
    table
}
