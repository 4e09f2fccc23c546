//! `natterjack stream find`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::list;
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{number, text};
use crate::units;

/// Find streams for which all of what is asked is true.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Without messages
    #[arg(long)]
    empty: bool,
    /// Without new messages and deliveries for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    idle: Option<Duration>,
    /// Made longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    created: Option<Duration>,
    /// With fewer consumers than this
    #[arg(long, value_name = "N")]
    consumers: Option<u64>,
    /// That listen on this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// With at most so many replicas
    #[arg(long, value_name = "N")]
    replicas: Option<u64>,
    /// That take from other streams
    #[arg(long)]
    sourced: bool,
    /// That mirror another stream
    #[arg(long)]
    mirrored: bool,
    /// Led by this server
    #[arg(long, value_name = "SERVER")]
    leader: Option<String>,
    /// The others
    #[arg(long)]
    invert: bool,
    /// Also streams of buckets and other systems
    #[arg(short, long)]
    all: bool,
    /// Names only
    #[arg(short, long)]
    names: bool,
}

impl Find {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let filter = match &self.subject {
            Some(subject) => json!({ "subject": subject }),
            None => Value::Null,
        };
        let mut streams = api.list("STREAM.LIST", "streams", filter).await?;
        streams.retain(|one| self.all || !list::is_internal(text(one, "/config/name")));
        let mut found = Vec::new();
        for stream in streams {
            if self.matches(&api, &stream).await? != self.invert {
                found.push(stream);
            }
        }
        connector.close().await?;
        list::print(context, found, self.names);
        Ok(())
    }

    async fn matches(&self, api: &Api, info: &Value) -> Result<bool, crate::exit::Failure> {
        let is_old = |moment: &str, span: Duration| match units::parse_moment(moment) {
            Some(at) => units::since(at) >= span,
            None => true,
        };
        let has = |pointer: &str| match info.pointer(pointer) {
            Some(Value::Array(list)) => !list.is_empty(),
            Some(value) => !value.is_null(),
            None => false,
        };
        let plainly = (!self.empty || number(info, "/state/messages") == 0)
            && self.created.is_none_or(|span| is_old(text(info, "/created"), span))
            && self.consumers.is_none_or(|count| number(info, "/state/consumer_count") < count)
            && self.replicas.is_none_or(|count| number(info, "/config/num_replicas") <= count)
            && (!self.sourced || has("/config/sources"))
            && (!self.mirrored || has("/config/mirror"))
            && self.leader.as_deref().is_none_or(|name| text(info, "/cluster/leader") == name);
        let Some(idle) = self.idle else { return Ok(plainly) };
        if !plainly || !is_old(text(info, "/state/last_ts"), idle) {
            return Ok(false);
        }
        let call = format!("CONSUMER.LIST.{}", text(info, "/config/name"));
        let consumers = api.list(&call, "consumers", Value::Null).await?;
        Ok(consumers.iter().all(|one| is_old(text(one, "/delivered/last_active"), idle)))
    }
}
