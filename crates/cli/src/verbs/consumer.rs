//! `natterjack consumer`: who reads a stream, and how far.

use clap::Subcommand;
use serde_json::{Value, json};

use super::stream::{check_name, stream_info};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{flag, int, number, text, texts};
use crate::table::{Sheet, Table};
use crate::units;

/// Consumers of a stream.
#[derive(Debug, Subcommand)]
pub(crate) enum Consumer {
    /// List the consumers of a stream
    #[command(visible_alias = "list")]
    Ls {
        /// Name of the stream
        #[arg(add = complete::streams())]
        stream: String,
        /// Names only
        #[arg(short, long)]
        names: bool,
    },
    /// Show a consumer's configuration and state
    #[command(visible_aliases = ["nfo", "state"])]
    Info {
        /// Name of the stream
        #[arg(add = complete::streams())]
        stream: String,
        /// Name of the consumer
        #[arg(add = complete::consumers())]
        consumer: String,
    },
}

impl Consumer {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        match &self {
            Self::Ls { stream, names } => ls(context, &api, stream, *names).await?,
            Self::Info { stream, consumer } => info(context, &api, stream, consumer).await?,
        }
        connector.close().await?;
        Ok(())
    }
}

async fn ls(context: &Context, api: &Api, stream: &str, names: bool) -> Outcome {
    let out = context.out;
    // Tells a missing stream with the nearest name.
    stream_info(api, stream).await?;
    let list = api.list(&format!("CONSUMER.LIST.{stream}"), "consumers", Value::Null).await?;
    if names {
        let names: Vec<&str> = list.iter().map(|one| text(one, "/name")).collect();
        match out.json {
            true => out.document(&names),
            false => names.iter().for_each(|name| out.line(name)),
        }
        return Ok(());
    }
    if out.json {
        out.document(&list);
        return Ok(());
    }
    if list.is_empty() {
        out.say("No Consumers defined");
        return Ok(());
    }
    let head = ["Name", "Description", "Created", "Ack Pending", "Unprocessed", "Last Delivery"];
    let mut table = Table::new(format!("Consumers of {stream}"), &head).right(&[3, 4]);
    for one in &list {
        table.row([
            text(one, "/name").to_owned(),
            text(one, "/config/description").to_owned(),
            units::moment(text(one, "/created"), "-"),
            units::count(number(one, "/num_ack_pending")),
            units::count(number(one, "/num_pending")),
            units::ago(text(one, "/delivered/last_active")),
        ]);
    }
    table.print(&out);
    Ok(())
}

async fn info(context: &Context, api: &Api, stream: &str, consumer: &str) -> Outcome {
    check_name("stream", stream)?;
    check_name("consumer", consumer)?;
    let info = match api.ask(&format!("CONSUMER.INFO.{stream}.{consumer}"), &json!(null)).await {
        Ok(info) => info,
        Err(failure) => return Err(nearest_consumer(api, failure, stream, consumer).await),
    };
    if context.out.json {
        context.out.document(&info);
    } else {
        sheet(&info).print(&context.out);
    }
    Ok(())
}

async fn nearest_consumer(api: &Api, failure: Failure, stream: &str, consumer: &str) -> Failure {
    if failure.err_code != 10014 {
        return api.did_you_mean(failure, stream).await;
    }
    let names = api.list(&format!("CONSUMER.NAMES.{stream}"), "consumers", Value::Null).await;
    let names: Vec<String> = names
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let hint = match units::nearest(consumer, &names) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("natterjack consumer ls {stream} shows its consumers"),
    };
    let message = format!("consumer {consumer} of stream {stream} not found");
    Failure { message, hint, ..failure }
}

fn sheet(info: &Value) -> Sheet {
    let title = format!(
        "Information for Consumer {} > {} created {}",
        text(info, "/stream_name"),
        text(info, "/name"),
        units::moment(text(info, "/created"), "-")
    );
    let mut sheet = Sheet::new(title);
    let filled = |pointer| Some(text(info, pointer)).filter(|text| !text.is_empty());
    sheet.section("Configuration");
    sheet.row("Name", text(info, "/name"));
    sheet.row_if("Durable Name", filled("/config/durable_name"));
    sheet.row_if("Description", filled("/config/description"));
    match filled("/config/deliver_subject") {
        Some(subject) => sheet.row("Delivery Subject", subject),
        None => sheet.row("Pull Mode", "true"),
    }
    sheet.row_if("Delivery Queue Group", filled("/config/deliver_group"));
    let mut filters = texts(info, "/config/filter_subjects");
    filters.extend(filled("/config/filter_subject").map(str::to_owned));
    sheet.row_if("Filter Subjects", (!filters.is_empty()).then(|| filters.join(", ")));
    let start = match text(info, "/config/deliver_policy") {
        "by_start_sequence" => {
            format!("from sequence {}", units::count(number(info, "/config/opt_start_seq")))
        }
        "by_start_time" => {
            format!("from {}", units::moment(text(info, "/config/opt_start_time"), "-"))
        }
        other => other.replace('_', " "),
    };
    sheet.row("Deliver Policy", start);
    sheet.row("Ack Policy", text(info, "/config/ack_policy"));
    let ack_wait = int(info, "/config/ack_wait");
    sheet.row_if("Ack Wait", (ack_wait > 0).then(|| units::nanos(ack_wait, "")));
    sheet.row("Replay Policy", text(info, "/config/replay_policy"));
    let count = |name| units::limit(int(info, name), units::count);
    sheet.row("Maximum Deliveries", count("/config/max_deliver"));
    sheet.row("Max Ack Pending", count("/config/max_ack_pending"));
    sheet.row("Max Waiting Pulls", count("/config/max_waiting"));
    let inactive = int(info, "/config/inactive_threshold");
    sheet.row_if("Inactive Threshold", (inactive > 0).then(|| units::nanos(inactive, "")));
    sheet.section("State");
    for (label, path) in
        [("Last Delivered Message", "/delivered"), ("Acknowledgment Floor", "/ack_floor")]
    {
        let at = |name: &str| units::count(number(info, &format!("{path}/{name}")));
        let active = text(info, &format!("{path}/last_active"));
        let last = match units::parse_moment(active) {
            Some(_) => format!(" Last: {} ago", units::ago(active)),
            None => String::new(),
        };
        let seqs = format!(
            "Consumer sequence: {} Stream sequence: {}",
            at("consumer_seq"),
            at("stream_seq")
        );
        sheet.row(label, seqs + &last);
    }
    sheet.row("Outstanding Acks", units::count(number(info, "/num_ack_pending")));
    sheet.row("Redelivered Messages", units::count(number(info, "/num_redelivered")));
    sheet.row("Unprocessed Messages", units::count(number(info, "/num_pending")));
    sheet.row("Waiting Pulls", units::count(number(info, "/num_waiting")));
    sheet.row_if("Paused", flag(info, "/paused").then_some("true"));
    sheet
}
