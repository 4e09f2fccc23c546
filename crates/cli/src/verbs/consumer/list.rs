//! Consumers as a table.

use clap::Args;
use serde_json::Value;

use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{number, text};
use crate::table::Table;
use crate::units;
use crate::verbs::stream::stream_info;

/// List the consumers of a stream.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Names only
    #[arg(short, long)]
    names: bool,
}

impl Ls {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let list = all(&api, &self.stream).await?;
        connector.close().await?;
        print(context, &self.stream, &list, self.names);
        Ok(())
    }
}

/// The consumers of a stream, by name. Tells a missing stream with the nearest name.
pub(super) async fn all(api: &Api, stream: &str) -> Result<Vec<Value>, Failure> {
    stream_info(api, stream).await?;
    let mut all = api.list(&format!("CONSUMER.LIST.{stream}"), "consumers", Value::Null).await?;
    all.sort_by(|one, other| text(one, "/name").cmp(text(other, "/name")));
    Ok(all)
}

pub(super) fn print(context: &Context, stream: &str, list: &[Value], names: bool) {
    let out = context.out;
    if names {
        let names: Vec<&str> = list.iter().map(|one| text(one, "/name")).collect();
        out.names(&names);
    } else if out.json {
        out.document(&list);
    } else if list.is_empty() {
        out.say("No Consumers defined");
    } else {
        let head =
            ["Name", "Description", "Created", "Ack Pending", "Unprocessed", "Last Delivery"];
        let mut table = Table::new(format!("Consumers of {stream}"), &head).right(&[3, 4]);
        for one in list {
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
    }
}
