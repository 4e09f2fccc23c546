//! `natterjack consumer report`.

use clap::Args;
use serde_json::Value;

use super::list;
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{int, number, text};
use crate::table::Table;
use crate::units;
use crate::verbs::stream::{capital, leaders, replicas, stream_info};

/// Show how far all consumers of a stream are.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Plain numbers
    #[arg(short, long)]
    raw: bool,
    /// Also how leaders are spread over servers
    #[arg(short, long)]
    leaders: bool,
}

impl Report {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let stream = stream_info(&api, &self.stream).await?;
        let all = list::all(&api, &self.stream).await?;
        connector.close().await?;
        if out.json {
            out.document(&all);
            return Ok(());
        }
        let messages = number(&stream, "/state/messages");
        let count = |value: u64| match self.raw {
            true => value.to_string(),
            false => units::count(value),
        };
        let unprocessed = |pending: u64| match (pending * 100).checked_div(messages) {
            Some(share) if pending > 0 && !self.raw => {
                format!("{} / {}%", units::count(pending), share.min(100))
            }
            _ => count(pending),
        };
        let head = [
            "Consumer",
            "Mode",
            "Ack Policy",
            "Ack Wait",
            "Ack Pending",
            "Redelivered",
            "Unprocessed",
            "Ack Floor",
            "Cluster",
        ];
        let title = format!("Consumer report for {} with {} consumers", self.stream, all.len());
        let mut table = Table::new(title, &head).right(&[4, 5, 6, 7]);
        for one in &all {
            table.row([
                text(one, "/name").to_owned(),
                mode(one).to_owned(),
                capital(text(one, "/config/ack_policy")),
                units::nanos(int(one, "/config/ack_wait"), ""),
                count(number(one, "/num_ack_pending")),
                count(number(one, "/num_redelivered")),
                unprocessed(number(one, "/num_pending")),
                count(number(one, "/ack_floor/stream_seq")),
                replicas(one),
            ]);
        }
        table.print(&out);
        if self.leaders {
            out.line("");
            leaders(&all, "Consumers").print(&out);
        }
        Ok(())
    }
}

fn mode(info: &Value) -> &'static str {
    if text(info, "/config/deliver_subject").is_empty() { "Pull" } else { "Push" }
}
