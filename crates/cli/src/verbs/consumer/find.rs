//! `natterjack consumer find`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::list;
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{flag, number, text};
use crate::units;

/// Find consumers of a stream for which all of what is asked is true.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Of pull mode
    #[arg(long)]
    pull: bool,
    /// Of push mode
    #[arg(long, conflicts_with = "pull")]
    push: bool,
    /// That somebody listens to, or pulls from
    #[arg(long)]
    bound: bool,
    /// With fewer waiting pulls
    #[arg(long, value_name = "N")]
    waiting: Option<u64>,
    /// With fewer messages that wait for an ack
    #[arg(long, value_name = "N")]
    ack_pending: Option<u64>,
    /// With fewer messages before them
    #[arg(long, value_name = "N")]
    pending: Option<u64>,
    /// Without deliveries for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    idle: Option<Duration>,
    /// Made longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    created: Option<Duration>,
    /// With at most so many replicas
    #[arg(long, value_name = "N")]
    replicas: Option<u64>,
    /// Led by this server
    #[arg(long, value_name = "SERVER")]
    leader: Option<String>,
    /// The others
    #[arg(long)]
    invert: bool,
    /// Names only
    #[arg(short, long)]
    names: bool,
}

impl Find {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let mut found = list::all(&api, &self.stream).await?;
        connector.close().await?;
        found.retain(|one| self.matches(one) != self.invert);
        list::print(context, &self.stream, &found, self.names);
        Ok(())
    }

    fn matches(&self, info: &Value) -> bool {
        let is_push = !text(info, "/config/deliver_subject").is_empty();
        let is_bound = flag(info, "/push_bound") || number(info, "/num_waiting") > 0;
        let below =
            |limit: Option<u64>, pointer| limit.is_none_or(|limit| number(info, pointer) < limit);
        let is_old = |span: Option<Duration>, pointer| {
            let at = units::parse_moment(text(info, pointer));
            span.is_none_or(|span| at.is_none_or(|at| units::since(at) >= span))
        };
        (!self.pull || !is_push)
            && (!self.push || is_push)
            && (!self.bound || is_bound)
            && below(self.waiting, "/num_waiting")
            && below(self.ack_pending, "/num_ack_pending")
            && below(self.pending, "/num_pending")
            && is_old(self.idle, "/delivered/last_active")
            && is_old(self.created, "/created")
            && self.replicas.is_none_or(|count| number(info, "/config/num_replicas") <= count)
            && self.leader.as_deref().is_none_or(|name| text(info, "/cluster/leader") == name)
    }
}
