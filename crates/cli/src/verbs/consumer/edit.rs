//! `natterjack consumer edit` and `rm`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::add::store;
use super::fields::Fields;
use super::{Name, consumer_info, sheet};
use crate::api::Api;
use crate::connect::Context;
use crate::diff;
use crate::exit::{Failure, Outcome};
use crate::json::text;
use crate::prompt;
use crate::verbs::stream::{by_hand, config_from};

/// Change a consumer. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    fields: Fields,
    /// JSON file with the whole new configuration; options change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Edit the configuration in your editor
    #[arg(short, long, conflicts_with = "config")]
    interactive: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only show the differences
    #[arg(long)]
    dry_run: bool,
}

/// Remove a consumer.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    name: Name,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Edit {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = consumer_info(&api, &self.name).await?;
        let mut before = info["config"].clone();
        before["name"] = consumer.as_str().into();
        let mut after = match &self.config {
            Some(path) => config_from(path)?,
            None if self.interactive => by_hand(&before)?,
            None => before.clone(),
        };
        self.fields.apply(&mut after)?;
        if text(&after, "/name").is_empty() {
            after["name"] = consumer.as_str().into();
        }
        if text(&after, "/name") != consumer {
            let text = format!("the configuration is of consumer {}", text(&after, "/name"));
            return Err(Failure::usage(text).hint("a consumer keeps its name"));
        }
        let what = format!("Consumer {stream} > {consumer}");
        let edit = diff::Edit { what: &what, force: self.force, dry_run: self.dry_run };
        let agreed = edit.agreed(context, &before, &after)?;
        if self.dry_run {
            connector.close().await?;
            return Ok(());
        }
        let info = match agreed {
            true => store(&api, stream, &after, "update").await?,
            false => info,
        };
        connector.close().await?;
        if context.out.json {
            context.out.document(&info);
        } else if agreed {
            context.out.say(format!("Consumer {stream} > {consumer} was updated\n"));
            sheet::sheet(&info).print(&context.out);
        }
        Ok(())
    }
}

impl Rm {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        consumer_info(&api, &self.name).await?;
        if self.dry_run {
            context.out.line(format!("would remove consumer {stream} > {consumer}"));
            return Ok(());
        }
        prompt::confirm(&format!("Really delete Consumer {stream} > {consumer}"), self.force)?;
        let call = format!("CONSUMER.DELETE.{stream}.{consumer}");
        let answer = api.ask(&call, &Value::Null).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&answer);
        } else {
            context.out.say(format!("Consumer {stream} > {consumer} was removed"));
        }
        Ok(())
    }
}
