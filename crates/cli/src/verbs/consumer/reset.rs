//! `natterjack consumer reset` and `unpin`.

use clap::Args;
use serde_json::{Value, json};

use super::{Name, consumer_info};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{number, text, texts};
use crate::prompt;
use crate::units;

/// Begin again: what waits for an ack is delivered anew, from the ack floor or a sequence.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    name: Name,
    /// Sequence of the stream to begin at
    #[arg(long, value_name = "SEQ")]
    sequence: Option<u64>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Take the pin of a priority group from the client that has it.
#[derive(Debug, Args)]
pub(crate) struct Unpin {
    #[command(flatten)]
    name: Name,
    /// The group; may be left out if there is one only
    group: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Reset {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        consumer_info(&api, &self.name).await?;
        if self.dry_run {
            context.out.line(format!("would reset consumer {stream} > {consumer}"));
            return Ok(());
        }
        prompt::confirm(&format!("Really reset Consumer {stream} > {consumer}"), self.force)?;
        let body = match self.sequence {
            Some(seq) => json!({ "seq": seq }),
            None => Value::Null,
        };
        let answer = api.ask(&format!("CONSUMER.RESET.{stream}.{consumer}"), &body).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&answer);
        } else {
            let seq = units::count(number(&answer, "/reset_seq"));
            context.out.say(format!("Consumer {stream} > {consumer} begins again at {seq}"));
        }
        Ok(())
    }
}

impl Unpin {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = consumer_info(&api, &self.name).await?;
        if text(&info, "/config/priority_policy") != "pinned_client" {
            let text = format!("consumer {stream} > {consumer} pins no client");
            return Err(Failure::usage(text).hint("only priority policy pinned_client does"));
        }
        let groups = texts(&info, "/config/priority_groups");
        let group = match (self.group, groups.as_slice()) {
            (Some(group), _) => group,
            (None, [group]) => group.clone(),
            (None, groups) => {
                let text = format!("say which group: {}", groups.join(", "));
                return Err(Failure::usage(text));
            }
        };
        if self.dry_run {
            context.out.line(format!("would unpin group {group} of {stream} > {consumer}"));
            return Ok(());
        }
        let question = format!("Really unpin client from group {group} of {stream} > {consumer}");
        prompt::confirm(&question, self.force)?;
        let call = format!("CONSUMER.UNPIN.{stream}.{consumer}");
        let answer = api.ask(&call, &json!({ "group": group })).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&answer);
        } else {
            context.out.say(format!("Unpinned group {group} of {stream} > {consumer}"));
        }
        Ok(())
    }
}
