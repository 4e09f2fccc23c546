//! `natterjack server report`: what servers do, as tables.

mod links;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::sys;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::{int, number, text};
use crate::table::Table;
use crate::units;

/// What is shown.
#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// Connections
    #[command(visible_aliases = ["conn", "conns", "connz"])]
    Connections(Connections),
    /// What each account sends and receives
    #[command(visible_alias = "acct")]
    Accounts(Accounts),
    /// JetStream by server
    #[command(visible_aliases = ["js", "jsz"])]
    Jetstream(Servers),
    /// Use of processors
    Cpu(Servers),
    /// Use of memory
    Mem(Servers),
    /// Whether servers are healthy
    Health(Servers),
    /// Links between the servers of a cluster
    #[command(visible_alias = "route")]
    Routes(Servers),
    /// Links between clusters
    #[command(visible_aliases = ["gateway", "super"])]
    Gateways(Servers),
    /// Servers that are attached as leafnodes
    #[command(visible_aliases = ["leaf", "leafz"])]
    Leafnodes(Servers),
}

/// Which servers are asked.
#[derive(Debug, Args)]
pub(crate) struct Servers {
    /// How many servers there should be
    limit: Option<usize>,
    /// Only the server of this name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Only servers of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only servers with this tag, may be given several times
    #[arg(long, value_name = "TAG")]
    tags: Vec<String>,
    /// Highest first
    #[arg(short = 'R', long)]
    reverse: bool,
}

/// Connections.
#[derive(Debug, Args)]
pub(crate) struct Connections {
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    filter: Filter,
}

/// Which connections are shown, and in which order.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only this user
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// Only with a subscription that this subject reaches
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Open ones, closed ones, or all
    #[arg(long, default_value = "open", value_parser = ["open", "closed", "all"])]
    state: String,
    /// In which order
    #[arg(long, default_value = "subs")]
    sort: Sort,
    /// Most rows
    #[arg(long, default_value_t = 1000, value_name = "N")]
    top: usize,
}

/// What each account sends and receives.
#[derive(Debug, Args)]
pub(crate) struct Accounts {
    /// Only this account
    account: Option<String>,
    #[command(flatten)]
    servers: Servers,
    /// Most rows
    #[arg(long, default_value_t = 1000, value_name = "N")]
    top: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    InBytes,
    OutBytes,
    InMsgs,
    OutMsgs,
    Uptime,
    Cid,
    Subs,
}

impl Report {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Connections(verb) => verb.run(context).await,
            Self::Accounts(verb) => verb.run(context).await,
            Self::Jetstream(servers) => jetstream(context, &servers).await,
            Self::Cpu(servers) => usage(context, &servers, Use::Cpu).await,
            Self::Mem(servers) => usage(context, &servers, Use::Mem).await,
            Self::Health(servers) => health(context, &servers).await,
            Self::Routes(servers) => links::print(context, &servers, links::Kind::Routes).await,
            Self::Gateways(servers) => links::print(context, &servers, links::Kind::Gateways).await,
            Self::Leafnodes(servers) => {
                links::print(context, &servers, links::Kind::Leafnodes).await
            }
        }
    }
}

impl Servers {
    /// Asks those that are meant.
    async fn ask(
        &self,
        context: &Context,
        subject: &str,
        more: Value,
    ) -> Result<Vec<Value>, Failure> {
        let question = match more {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        let (name, cluster) = (self.host.as_deref(), self.cluster.as_deref());
        let body = sys::narrow(question, name, cluster, &self.tags);
        let connector = context.connect().await?;
        let answers = sys::ask(context, &connector, subject, &body, self.limit).await?;
        connector.close().await?;
        Ok(answers.into_iter().map(|answer| answer.value).collect())
    }

    /// As [`ask`](Self::ask), without more to the question; by name, or the other way round.
    async fn ask_in_order(&self, context: &Context, subject: &str) -> Result<Vec<Value>, Failure> {
        let mut answers = self.ask(context, subject, Value::Null).await?;
        if self.reverse {
            answers.reverse();
        }
        Ok(answers)
    }
}

impl Filter {
    /// The question of `CONNZ`.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "auth": true, "limit": 1024 });
        body["state"] = match self.state.as_str() {
            "closed" => 1,
            "all" => 2,
            _ => 0,
        }
        .into();
        for (name, value) in
            [("acc", &self.account), ("user", &self.username), ("filter_subject", &self.subject)]
        {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        body
    }

    /// Writes the connections of all answers.
    pub(crate) fn print(&self, context: &Context, answers: &[Value], reverse: bool) {
        let out = context.out;
        let mut rows: Vec<(String, Value)> = Vec::new();
        for answer in answers {
            let list = answer.pointer("/data/connections").and_then(Value::as_array);
            let server = text(answer, "/server/name");
            rows.extend(list.into_iter().flatten().map(|one| (server.to_owned(), one.clone())));
        }
        let key = |pointer: &'static str| move |(_, one): &(String, Value)| number(one, pointer);
        match self.sort {
            Sort::InBytes => rows.sort_by_key(key("/in_bytes")),
            Sort::OutBytes => rows.sort_by_key(key("/out_bytes")),
            Sort::InMsgs => rows.sort_by_key(key("/in_msgs")),
            Sort::OutMsgs => rows.sort_by_key(key("/out_msgs")),
            Sort::Uptime => {
                rows.sort_by(|(_, one), (_, other)| text(other, "/start").cmp(text(one, "/start")))
            }
            Sort::Cid => rows.sort_by_key(key("/cid")),
            Sort::Subs => rows.sort_by_key(key("/subscriptions")),
        }
        // The highest are what is asked for, so they stay when there are too many.
        let from = rows.len().saturating_sub(self.top);
        let mut rows = rows.split_off(from);
        if reverse {
            rows.reverse();
        }
        if out.json {
            let object = |(server, mut one): (String, Value)| {
                one["server"] = server.into();
                one
            };
            out.document(&rows.into_iter().map(object).collect::<Vec<_>>());
            return;
        }
        let head = [
            "CID",
            "Name",
            "Server",
            "IP",
            "Account",
            "Uptime",
            "In Msgs",
            "Out Msgs",
            "In Bytes",
            "Out Bytes",
            "Subs",
        ];
        let title = format!(
            "Top {} Connections out of {}",
            units::count(rows.len()),
            units::count(from + rows.len())
        );
        let mut table = Table::new(title, &head).right(&[0, 5, 6, 7, 8, 9, 10]);
        for (server, one) in &rows {
            let count = |pointer| units::count(number(one, pointer));
            table.row([
                number(one, "/cid").to_string(),
                text(one, "/name").to_owned(),
                server.clone(),
                format!("{}:{}", text(one, "/ip"), number(one, "/port")),
                text(one, "/account").to_owned(),
                text(one, "/uptime").to_owned(),
                count("/in_msgs"),
                count("/out_msgs"),
                units::size(number(one, "/in_bytes")),
                units::size(number(one, "/out_bytes")),
                count("/subscriptions"),
            ]);
        }
        table.print(&out);
    }
}

impl Connections {
    async fn run(self, context: &Context) -> Outcome {
        let subject = "$SYS.REQ.SERVER.PING.CONNZ";
        let answers = self.servers.ask(context, subject, self.filter.body()).await?;
        self.filter.print(context, &answers, self.servers.reverse);
        Ok(())
    }
}

impl Accounts {
    async fn run(self, context: &Context) -> Outcome {
        let body = match &self.account {
            Some(account) => json!({ "accounts": [account] }),
            None => json!({ "include_unused": true }),
        };
        let answers = self.servers.ask(context, "$SYS.REQ.ACCOUNT.PING.STATZ", body).await?;
        let mut rows = statistics(&answers);
        rows.truncate(self.top);
        if self.servers.reverse {
            rows.reverse();
        }
        print_statistics(context, "Accounts Overview", &rows);
        Ok(())
    }
}

/// The statistics of accounts, added up over servers; the one with most subscriptions first.
pub(crate) fn statistics(answers: &[Value]) -> Vec<Value> {
    let mut sums = std::collections::BTreeMap::<String, Value>::new();
    for answer in answers {
        let list = answer.pointer("/data/account_statz").and_then(Value::as_array);
        for one in list.into_iter().flatten() {
            let sum = sums.entry(text(one, "/acc").to_owned()).or_insert_with(|| json!({}));
            sum["account"] = one["acc"].clone();
            for (name, pointer) in [
                ("connections", "/conns"),
                ("leafnodes", "/leafnodes"),
                ("subscriptions", "/num_subscriptions"),
                ("in_msgs", "/received/msgs"),
                ("out_msgs", "/sent/msgs"),
                ("in_bytes", "/received/bytes"),
                ("out_bytes", "/sent/bytes"),
                ("slow_consumers", "/slow_consumers"),
            ] {
                sum[name] = (sum[name].as_u64().unwrap_or(0) + number(one, pointer)).into();
            }
        }
    }
    let mut rows: Vec<Value> = sums.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(number(row, "/subscriptions")));
    rows
}

pub(crate) fn print_statistics(context: &Context, title: &str, rows: &[Value]) {
    let out = context.out;
    if out.json {
        out.document(&rows);
        return;
    }
    let head = [
        "Account",
        "Connections",
        "Leafnodes",
        "Subs",
        "In Msgs",
        "Out Msgs",
        "In Bytes",
        "Out Bytes",
        "Slow",
    ];
    let mut table = Table::new(title, &head).right(&[1, 2, 3, 4, 5, 6, 7, 8]);
    for row in rows {
        let count = |pointer| units::count(number(row, pointer));
        table.row([
            text(row, "/account").to_owned(),
            count("/connections"),
            count("/leafnodes"),
            count("/subscriptions"),
            count("/in_msgs"),
            count("/out_msgs"),
            units::size(number(row, "/in_bytes")),
            units::size(number(row, "/out_bytes")),
            count("/slow_consumers"),
        ]);
    }
    table.print(&out);
}

async fn jetstream(context: &Context, servers: &Servers) -> Outcome {
    let out = context.out;
    let all = servers.ask_in_order(context, "$SYS.REQ.SERVER.PING.JSZ").await?;
    if out.json {
        out.document(&all);
        return Ok(());
    }
    let head = [
        "Server",
        "Cluster",
        "Domain",
        "Streams",
        "Consumers",
        "Messages",
        "Bytes",
        "Memory",
        "File",
        "API Req",
        "API Err",
    ];
    let mut table = Table::new("JetStream Summary", &head).right(&[3, 4, 5, 6, 7, 8, 9, 10]);
    for one in &all {
        let count = |pointer| units::count(number(one, pointer));
        let size = |pointer| units::size(number(one, pointer));
        table.row([
            text(one, "/server/name").to_owned(),
            text(one, "/server/cluster").to_owned(),
            text(one, "/server/domain").to_owned(),
            count("/data/streams"),
            count("/data/consumers"),
            count("/data/messages"),
            size("/data/bytes"),
            size("/data/memory"),
            size("/data/storage"),
            count("/data/api/total"),
            count("/data/api/errors"),
        ]);
    }
    table.print(&out);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Cpu,
    Mem,
}

async fn usage(context: &Context, servers: &Servers, what: Use) -> Outcome {
    let out = context.out;
    let mut all = servers.ask(context, "$SYS.REQ.SERVER.PING.STATSZ", json!({})).await?;
    let cpu = |one: &Value| one.pointer("/statsz/cpu").and_then(Value::as_f64).unwrap_or(0.0);
    match what {
        Use::Cpu => all.sort_by(|one, other| cpu(one).total_cmp(&cpu(other))),
        Use::Mem => all.sort_by_key(|one| int(one, "/statsz/mem")),
    }
    if servers.reverse {
        all.reverse();
    }
    if out.json {
        let row = |one: &Value| {
            json!({
                "server": text(one, "/server/name"),
                "cpu": cpu(one),
                "mem": number(one, "/statsz/mem"),
            })
        };
        out.document(&all.iter().map(row).collect::<Vec<_>>());
        return Ok(());
    }
    let (title, column) = match what {
        Use::Cpu => ("CPU Usage", "CPU %"),
        Use::Mem => ("Memory Usage", "Memory"),
    };
    let mut table = Table::new(title, &["Server", column]).right(&[1]);
    for one in &all {
        let value = match what {
            Use::Cpu => format!("{:.1}", cpu(one)),
            Use::Mem => units::size(number(one, "/statsz/mem")),
        };
        table.row([text(one, "/server/name").to_owned(), value]);
    }
    table.print(&out);
    Ok(())
}

async fn health(context: &Context, servers: &Servers) -> Outcome {
    let out = context.out;
    let all = servers.ask_in_order(context, "$SYS.REQ.SERVER.PING.HEALTHZ").await?;
    let bad = all.iter().filter(|one| text(one, "/data/status") != "ok").count();
    if out.json {
        out.document(&all);
    } else {
        let head = ["Server", "Cluster", "Domain", "Status", "Error"];
        let mut table = Table::new("Health Report", &head);
        for one in &all {
            let status = text(one, "/data/status");
            let code = number(one, "/data/status_code");
            table.row([
                text(one, "/server/name").to_owned(),
                text(one, "/server/cluster").to_owned(),
                text(one, "/server/domain").to_owned(),
                format!("{status} ({code})"),
                text(one, "/data/error").to_owned(),
            ]);
        }
        table.print(&out);
    }
    match bad {
        0 => Ok(()),
        bad => {
            let text = format!("{bad} of {} servers are not healthy", all.len());
            Err(Failure::new(status::FAILED, "sys.unhealthy", text))
        }
    }
}
