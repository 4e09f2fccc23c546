//! `service list`, `info`, `stats` and `ping`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Name, discover, found};
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::{number, text};
use crate::output::Output;
use crate::table::{Sheet, Table};
use crate::units;

/// List the services.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only instances of this service
    name: Option<String>,
    /// Names only
    #[arg(short, long)]
    names: bool,
}

/// Ask services for a sign of life.
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// Only instances of this service
    name: Option<String>,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let all = discover(context, &connector, "INFO", self.name.as_deref(), None).await?;
        connector.close().await?;
        let all: Vec<Value> = all.into_iter().map(|answer| answer.value).collect();
        if self.names {
            let mut names: Vec<&str> = all.iter().map(|one| text(one, "/name")).collect();
            names.dedup();
            out.names(&names);
        } else if out.json {
            out.document(&all);
        } else if all.is_empty() {
            out.say("No services found");
        } else {
            let head = ["Name", "Version", "ID", "Endpoints", "Description"];
            let mut table = Table::new("All Micro Services", &head).right(&[3]);
            for one in &all {
                table.row([
                    text(one, "/name").to_owned(),
                    text(one, "/version").to_owned(),
                    text(one, "/id").to_owned(),
                    endpoints(one).len().to_string(),
                    text(one, "/description").to_owned(),
                ]);
            }
            table.print(&out);
        }
        Ok(())
    }
}

fn endpoints(service: &Value) -> &[Value] {
    service.get("endpoints").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) async fn info(context: &Context, name: &Name) -> Outcome {
    let out = context.out;
    let connector = context.connect().await?;
    let all = found(context, &connector, "INFO", name).await?;
    connector.close().await?;
    let all: Vec<Value> = all.into_iter().map(|answer| answer.value).collect();
    if out.json {
        out.document(&all);
        return Ok(());
    }
    for one in &all {
        sheet(one).print(&out);
        out.line("");
    }
    Ok(())
}

fn sheet(service: &Value) -> Sheet {
    let get = |pointer: &str| text(service, pointer);
    let mut sheet = Sheet::new("Service Information");
    sheet.row("Service", format!("{} ({})", get("/name"), get("/id")));
    sheet.row_if("Description", Some(get("/description")).filter(|text| !text.is_empty()));
    sheet.row("Version", get("/version"));
    metadata(&mut sheet, service);
    for endpoint in endpoints(service) {
        sheet.section(&format!("Endpoint {}", text(endpoint, "/name")));
        sheet.row("Subject", text(endpoint, "/subject"));
        sheet.row("Queue Group", text(endpoint, "/queue_group"));
        metadata(&mut sheet, endpoint);
    }
    sheet
}

fn metadata(sheet: &mut Sheet, of: &Value) {
    let pairs = of.get("metadata").and_then(Value::as_object);
    for (name, value) in pairs.into_iter().flatten() {
        sheet.row(&format!("Metadata {name}"), value.as_str().unwrap_or_default());
    }
}

pub(super) async fn stats(context: &Context, name: &Name) -> Outcome {
    let out = context.out;
    let connector = context.connect().await?;
    let all = found(context, &connector, "STATS", name).await?;
    connector.close().await?;
    let all: Vec<Value> = all.into_iter().map(|answer| answer.value).collect();
    if out.json {
        out.document(&all);
        return Ok(());
    }
    print_stats(&out, &name.name, &all);
    Ok(())
}

fn print_stats(out: &Output, name: &str, all: &[Value]) {
    let head = [
        "ID",
        "Endpoint",
        "Requests",
        "Queue Group",
        "Errors",
        "Processing Time",
        "Average Time",
        "Last Error",
    ];
    let mut table = Table::new(format!("{name} Service Statistics"), &head).right(&[2, 4, 5, 6]);
    let span =
        |value: &Value, pointer| units::duration(Duration::from_nanos(number(value, pointer)));
    let (mut requests, mut errors, mut time) = (0_u64, 0_u64, Duration::ZERO);
    for one in all {
        for endpoint in endpoints(one) {
            requests = requests.saturating_add(number(endpoint, "/num_requests"));
            errors = errors.saturating_add(number(endpoint, "/num_errors"));
            time = time.saturating_add(Duration::from_nanos(number(endpoint, "/processing_time")));
            table.row([
                text(one, "/id").to_owned(),
                text(endpoint, "/name").to_owned(),
                units::count(number(endpoint, "/num_requests")),
                text(endpoint, "/queue_group").to_owned(),
                units::count(number(endpoint, "/num_errors")),
                span(endpoint, "/processing_time"),
                span(endpoint, "/average_processing_time"),
                text(endpoint, "/last_error").to_owned(),
            ]);
        }
    }
    let average = match requests {
        0 => Duration::ZERO,
        requests => Duration::from_nanos(
            u64::try_from(time.as_nanos() / u128::from(requests)).unwrap_or(u64::MAX),
        ),
    };
    table.row([
        "all".to_owned(),
        String::new(),
        units::count(requests),
        String::new(),
        units::count(errors),
        units::duration(time),
        units::duration(average),
        String::new(),
    ]);
    table.print(out);
}

impl Ping {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let mut all = discover(context, &connector, "PING", self.name.as_deref(), None).await?;
        connector.close().await?;
        all.sort_by_key(|answer| answer.rtt);
        for answer in &all {
            let get = |pointer: &str| text(&answer.value, pointer);
            if out.json {
                let nanos = u64::try_from(answer.rtt.as_nanos()).unwrap_or(u64::MAX);
                out.object(&json!({
                    "name": get("/name"), "id": get("/id"), "version": get("/version"), "rtt_ns": nanos,
                }));
            } else {
                let rtt = units::duration(answer.rtt);
                out.line(format!("{:<40} {} rtt={rtt}", get("/name"), get("/id")));
            }
        }
        match (all.is_empty(), &self.name) {
            (false, _) => Ok(()),
            (true, name) => {
                let what = name.as_ref().map_or("no service".to_owned(), |name| {
                    format!("no instance of service {name}")
                });
                Err(Failure::new(status::TIMEOUT, "service.no_answer", format!("{what} answers"))
                    .hint("natterjack service serve NAME starts one"))
            }
        }
    }
}
