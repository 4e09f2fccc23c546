//! `natterjack stream edit` and `seal`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::add::config_from;
use super::fields::Fields;
use super::{dry_run, list, stream_info};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::diff;
use crate::editor;
use crate::exit::{Failure, Outcome};
use crate::json::text;
use crate::prompt;

/// Change a stream. What is not given stays.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
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

/// Seal a stream: from then on nothing in it can be changed, for ever.
#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Edit {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = stream_info(&api, &self.stream).await?;
        let before = &info["config"];
        let mut after = match &self.config {
            Some(path) => config_from(path)?,
            None if self.interactive => by_hand(before)?,
            None => before.clone(),
        };
        self.fields.apply(&mut after)?;
        if text(&after, "/name") != self.stream {
            let text = format!("the configuration is of stream {}", text(&after, "/name"));
            return Err(Failure::usage(text).hint("a stream keeps its name"));
        }
        let what = format!("Stream {}", self.stream);
        let edit = diff::Edit { what: &what, force: self.force, dry_run: self.dry_run };
        let agreed = edit.agreed(context, before, &after)?;
        if self.dry_run {
            connector.close().await?;
            return Ok(());
        }
        let info = match agreed {
            true => api.ask(&format!("STREAM.UPDATE.{}", self.stream), &after).await?,
            false => info,
        };
        connector.close().await?;
        if context.out.json {
            context.out.document(&info);
        } else if agreed {
            context.out.say(format!("Stream {} was updated\n", self.stream));
            list::sheet(&info).print(&context.out);
        }
        Ok(())
    }
}

/// A configuration out of the user's editor.
pub(crate) fn by_hand(config: &Value) -> Result<Value, Failure> {
    let text = serde_json::to_string_pretty(config).expect("a value of JSON encodes") + "\n";
    let edited = editor::edit(&text, ".json")?;
    serde_json::from_str(&edited).map_err(|error| {
        Failure::usage(format!("what you wrote is no configuration: {error}"))
            .hint("nothing was changed")
    })
}

impl Seal {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let mut config = stream_info(&api, &self.stream).await?["config"].take();
        if self.dry_run {
            dry_run(context, "seal stream", &self.stream);
            return Ok(());
        }
        let question =
            format!("Really seal Stream {}, sealed streams can not be unsealed", self.stream);
        prompt::confirm(&question, self.force)?;
        config["sealed"] = true.into();
        let info = api.ask(&format!("STREAM.UPDATE.{}", self.stream), &config).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&info);
        } else {
            context.out.say(format!("Stream {} was sealed\n", self.stream));
            list::sheet(&info).print(&context.out);
        }
        Ok(())
    }
}
