//! `natterjack server list`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::sys::{self, Answer};
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{flag, number, text};
use crate::table::Table;
use crate::units;

/// List the servers.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// How many servers there should be
    expect: Option<usize>,
    /// In which order
    #[arg(long, default_value = "rtt")]
    sort: Sort,
    /// In the other order
    #[arg(short = 'R', long)]
    reverse: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Name,
    Cluster,
    Conns,
    Subs,
    Routes,
    Gws,
    Mem,
    Cpu,
    Slow,
    Uptime,
    Rtt,
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let subject = "$SYS.REQ.SERVER.PING";
        let mut all = sys::ask(context, &connector, subject, &Value::Null, self.expect).await?;
        connector.close().await?;
        self.sort(&mut all);
        if out.json {
            let object = |answer: &Answer| {
                let mut object = answer.value.clone();
                let nanos = u64::try_from(answer.rtt.as_nanos()).unwrap_or(u64::MAX);
                object["rtt_ns"] = nanos.into();
                object
            };
            out.document(&all.iter().map(object).collect::<Vec<Value>>());
            return Ok(());
        }
        let head = [
            "Name", "Cluster", "Host", "Version", "JS", "Conns", "Subs", "Routes", "GWs", "Mem",
            "CPU %", "Cores", "Slow", "Uptime", "RTT",
        ];
        let mut table =
            Table::new("Server Overview", &head).right(&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        for Answer { value, rtt } in &all {
            let count = |pointer| units::count(number(value, pointer));
            let peers = |pointer| {
                let list = value.pointer(pointer).and_then(Value::as_array);
                units::count(list.map_or(0, Vec::len))
            };
            table.row([
                text(value, "/server/name").to_owned(),
                text(value, "/server/cluster").to_owned(),
                text(value, "/server/host").to_owned(),
                text(value, "/server/ver").to_owned(),
                if flag(value, "/server/jetstream") { "yes" } else { "no" }.to_owned(),
                count("/statsz/connections"),
                count("/statsz/subscriptions"),
                peers("/statsz/routes"),
                peers("/statsz/gateways"),
                units::size(number(value, "/statsz/mem")),
                format!("{:.1}", cpu(value)),
                count("/statsz/cores"),
                count("/statsz/slow_consumers"),
                units::ago(text(value, "/statsz/start")),
                units::duration(*rtt),
            ]);
        }
        table.print(&out);
        Ok(())
    }

    fn sort(&self, all: &mut [Answer]) {
        let by = |pointer: &'static str| move |one: &Answer| text(&one.value, pointer).to_owned();
        let count = |pointer: &'static str| move |one: &Answer| number(&one.value, pointer);
        let peers = |pointer: &'static str| {
            move |one: &Answer| {
                one.value.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
            }
        };
        match self.sort {
            Sort::Name => all.sort_by_key(by("/server/name")),
            Sort::Cluster => all.sort_by_key(by("/server/cluster")),
            Sort::Conns => all.sort_by_key(count("/statsz/connections")),
            Sort::Subs => all.sort_by_key(count("/statsz/subscriptions")),
            Sort::Routes => all.sort_by_key(peers("/statsz/routes")),
            Sort::Gws => all.sort_by_key(peers("/statsz/gateways")),
            Sort::Mem => all.sort_by_key(count("/statsz/mem")),
            Sort::Cpu => all.sort_by(|one, other| cpu(&one.value).total_cmp(&cpu(&other.value))),
            Sort::Slow => all.sort_by_key(count("/statsz/slow_consumers")),
            // The one that began last has been up for the shortest time.
            Sort::Uptime => all.sort_by(|one, other| {
                text(&other.value, "/statsz/start").cmp(text(&one.value, "/statsz/start"))
            }),
            Sort::Rtt => all.sort_by_key(|one| one.rtt),
        }
        if self.reverse {
            all.reverse();
        }
    }
}

fn cpu(value: &Value) -> f64 {
    value.pointer("/statsz/cpu").and_then(Value::as_f64).unwrap_or(0.0)
}
