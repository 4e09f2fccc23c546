//! `natterjack server request`: the objects of servers as they are, one per line.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::sys;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::text;

/// Ask servers for their own objects.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// What to ask for
    what: What,
    /// How many servers there should be; with kick, the number of the connection
    expect: Option<u64>,
    /// Only the server of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only servers of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only servers with this tag, may be given several times
    #[arg(long, value_name = "TAG")]
    tags: Vec<String>,
    /// JSON object with more options of the question
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
}

/// The endpoints of servers.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    #[value(aliases = ["variables", "var", "varz"])]
    Variables,
    #[value(aliases = ["conns", "conn", "connz"])]
    Connections,
    #[value(aliases = ["route", "routez"])]
    Routes,
    #[value(aliases = ["gateway", "gatewayz", "gw"])]
    Gateways,
    #[value(aliases = ["leaf", "leafz"])]
    Leafnodes,
    #[value(aliases = ["subs", "subz", "subsz"])]
    Subscriptions,
    #[value(aliases = ["js", "jsz"])]
    Jetstream,
    #[value(aliases = ["acct", "accountz"])]
    Accounts,
    #[value(aliases = ["healthz"])]
    Health,
    #[value(aliases = ["statz", "statsz", "stats"])]
    Statistics,
    #[value(aliases = ["idz"])]
    Id,
    /// Close a connection of one server
    Kick,
}

impl What {
    fn token(self) -> &'static str {
        match self {
            Self::Variables => "VARZ",
            Self::Connections => "CONNZ",
            Self::Routes => "ROUTEZ",
            Self::Gateways => "GATEWAYZ",
            Self::Leafnodes => "LEAFZ",
            Self::Subscriptions => "SUBSZ",
            Self::Jetstream => "JSZ",
            Self::Accounts => "ACCOUNTZ",
            Self::Health => "HEALTHZ",
            Self::Statistics => "STATSZ",
            Self::Id => "IDZ",
            Self::Kick => "KICK",
        }
    }
}

impl Request {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if let What::Kick = self.what {
            return self.kick(context).await;
        }
        let question = match &self.options {
            None => Map::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(object)) => object,
                Ok(_) | Err(_) => {
                    return Err(Failure::usage("--options is no JSON object")
                        .hint("--options '{\"auth\": true}'"));
                }
            },
        };
        let (name, cluster) = (self.name.as_deref(), self.cluster.as_deref());
        let body = sys::narrow(question, name, cluster, &self.tags);
        let connector = context.connect().await?;
        let kind = self.what.token();
        let expect = self.expect.and_then(|count| usize::try_from(count).ok());
        let all = sys::ask_all(context, &connector, kind, &body, expect).await?;
        connector.close().await?;
        all.iter().for_each(|answer| context.out.object(answer));
        Ok(())
    }

    /// Asks the server that is named, or the one that is connected to.
    async fn kick(&self, context: &Context) -> Outcome {
        let Some(cid) = self.expect else {
            return Err(Failure::usage("which connection?")
                .hint("natterjack server request kick CID; server report connections lists them"));
        };
        let connector = context.connect().await?;
        let id = match &self.name {
            None => connector.raw()?.server_info().server_id,
            Some(name) => {
                let body = json!({ "server_name": name, "exact_match": true });
                let found = sys::ask_all(context, &connector, "IDZ", &body, Some(1)).await?;
                found.first().map(|one| text(one, "/id").to_owned()).unwrap_or_default()
            }
        };
        let subject = format!("$SYS.REQ.SERVER.{id}.KICK");
        let body = json!({ "cid": cid });
        let answers = sys::ask(context, &connector, &subject, &body, Some(1)).await?;
        connector.close().await?;
        answers.iter().for_each(|answer| context.out.object(&answer.value));
        Ok(())
    }
}
