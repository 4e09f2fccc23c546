//! `natterjack server request`: the objects of servers as they are, one per line.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::sys;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};

/// Ask servers for their own objects.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// What to ask for
    what: What,
    /// How many servers there should be
    expect: Option<usize>,
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
        }
    }
}

impl Request {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut body = match &self.options {
            None => Map::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(object)) => object,
                Ok(_) | Err(_) => {
                    return Err(Failure::usage("--options is no JSON object")
                        .hint("--options '{\"auth\": true}'"));
                }
            },
        };
        if let Some(name) = &self.name {
            body.insert("server_name".to_owned(), name.as_str().into());
        }
        if let Some(cluster) = &self.cluster {
            body.insert("cluster".to_owned(), cluster.as_str().into());
        }
        if !self.tags.is_empty() {
            body.insert("tags".to_owned(), self.tags.clone().into());
        }
        let connector = context.connect().await?;
        let body = Value::Object(body);
        let kind = self.what.token();
        let all = sys::ask_all(context, &connector, kind, &body, self.expect).await?;
        connector.close().await?;
        all.iter().for_each(|answer| context.out.object(answer));
        Ok(())
    }
}
