//! `natterjack stream add` and `copy`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::fields::Fields;
use super::{check_name, list, stream_info};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::text;

/// Make a stream. What is not given has the server's default; nothing is asked.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the stream; with --config it may stand there
    stream: Option<String>,
    /// Where messages are kept (file)
    #[arg(long)]
    storage: Option<Storage>,
    /// Sequence of the first message
    #[arg(long, value_name = "SEQ")]
    first_sequence: Option<u64>,
    /// How soon messages are safe on the disk
    #[arg(long, value_name = "MODE", value_parser = ["default", "async"])]
    persist_mode: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// JSON file with a configuration; options change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Taken for the nats tool's sake: nothing is asked anyway
    #[arg(long, hide = true)]
    defaults: bool,
    /// Print the configuration instead of making the stream
    #[arg(long)]
    dry_run: bool,
}

/// Make a stream with the configuration of another one; its messages are not copied.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Name of the stream to copy
    #[arg(id = "stream", add = complete::streams())]
    source: String,
    /// Name of the new stream
    destination: String,
    /// Where messages are kept
    #[arg(long)]
    storage: Option<Storage>,
    #[command(flatten)]
    fields: Fields,
    /// Print the configuration instead of making the stream
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Storage {
    #[value(alias = "f")]
    File,
    #[value(alias = "m")]
    Memory,
}

impl Storage {
    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let config = self.configuration()?;
        let name = text(&config, "/name").to_owned();
        check_name("stream", &name)?;
        create(context, None, &name, &config, self.dry_run).await
    }

    fn configuration(&self) -> Result<Value, Failure> {
        let mut config = match &self.config {
            Some(path) => config_from(path)?,
            None => {
                let name = self.stream.as_deref().unwrap_or_default();
                if !self.fields.have_a_source() {
                    return Err(Failure::usage("a stream needs subjects")
                        .hint(format!("natterjack stream add {name} --subjects \"orders.>\"")));
                }
                json!({
                    "name": name,
                    "subjects": [],
                    "retention": "limits",
                    "storage": "file",
                    "discard": "old",
                    "num_replicas": 1,
                    "max_msgs": -1,
                    "max_msgs_per_subject": -1,
                    "max_bytes": -1,
                    "max_age": 0,
                    "max_msg_size": -1,
                    "max_consumers": -1,
                    "allow_direct": true,
                })
            }
        };
        if let Some(name) = &self.stream {
            config["name"] = name.as_str().into();
        }
        if let Some(storage) = self.storage {
            config["storage"] = storage.word().into();
        }
        if let Some(seq) = self.first_sequence {
            config["first_seq"] = seq.into();
        }
        if let Some(mode) = &self.persist_mode {
            config["persist_mode"] = mode.as_str().into();
        }
        self.fields.apply(&mut config)?;
        Ok(config)
    }
}

impl Copy {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        check_name("stream", &self.destination)?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let mut config = stream_info(&api, &self.source).await?["config"].take();
        let subjects = config["subjects"].clone();
        config["name"] = self.destination.as_str().into();
        if let Some(storage) = self.storage {
            config["storage"] = storage.word().into();
        }
        self.fields.apply(&mut config)?;
        // What the server wrote there about the other stream.
        if let Some(metadata) = config["metadata"].as_object_mut() {
            metadata.retain(|key, _| !key.starts_with("_nats."));
        }
        if !self.fields.have_a_source() && subjects.as_array().is_some_and(|list| !list.is_empty())
        {
            return Err(Failure::usage("two streams cannot listen on the same subjects")
                .hint("give the new one its --subjects"));
        }
        create(context, Some(api), &self.destination, &config, self.dry_run).await?;
        connector.close().await?;
        Ok(())
    }
}

async fn create(
    context: &Context,
    api: Option<Api>,
    name: &str,
    config: &Value,
    dry_run: bool,
) -> Outcome {
    if dry_run {
        context.out.document(config);
        return Ok(());
    }
    let call = format!("STREAM.CREATE.{name}");
    let info = match api {
        Some(api) => api.ask(&call, config).await?,
        None => {
            let connector = context.connect().await?;
            let info = Api::new(&connector, context).ask(&call, config).await?;
            connector.close().await?;
            info
        }
    };
    if context.out.json {
        context.out.document(&info);
    } else {
        context.out.say(format!("Stream {name} was created\n"));
        list::sheet(&info).print(&context.out);
    }
    Ok(())
}

/// A configuration alone, or the object that `info --json` printed.
pub(crate) fn config_from(path: &Path) -> Result<Value, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
    let bad = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let config = match value.get("config") {
        Some(config) => config.clone(),
        None => value,
    };
    match config.is_object() {
        true => Ok(config),
        false => Err(bad("no object".to_owned())),
    }
}
