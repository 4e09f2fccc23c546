//! `natterjack stream add`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{check_name, list};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::units;

/// Make a stream. What is not given has the server's default; nothing is asked.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the stream; with --config it may stand there
    stream: Option<String>,
    /// Subjects to listen on, separated by commas or given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    subjects: Vec<String>,
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Where messages are kept
    #[arg(long, default_value = "file")]
    storage: Storage,
    /// When messages are removed
    #[arg(long, default_value = "limits")]
    retention: Retention,
    /// What makes room when a limit is reached
    #[arg(long, default_value = "old")]
    discard: Discard,
    /// Refuse new messages also for --max-msgs-per-subject; needs --discard new
    #[arg(long)]
    discard_per_subject: bool,
    /// Most messages; -1 is no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_msgs: Option<i64>,
    /// Most messages of one subject
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_msgs_per_subject: Option<i64>,
    /// Most bytes
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_bytes: Option<i64>,
    /// Age at which messages are removed
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    max_age: Option<Duration>,
    /// Most bytes of one message
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_negative_numbers = true)]
    max_msg_size: Option<i64>,
    /// Most consumers
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_consumers: Option<i64>,
    /// Servers that keep a copy
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicas: u8,
    /// How long message ids are remembered
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    dupe_window: Option<Duration>,
    /// How messages are compressed
    #[arg(long, value_name = "NAME", value_parser = ["none", "s2"])]
    compression: Option<String>,
    /// Answer gets without going through the leader
    #[arg(long)]
    allow_direct: bool,
    /// Take messages that replace all before them
    #[arg(long)]
    allow_rollup: bool,
    /// Take messages with a time to live of their own
    #[arg(long)]
    allow_msg_ttl: bool,
    /// Refuse to delete messages
    #[arg(long)]
    deny_delete: bool,
    /// Refuse to purge
    #[arg(long)]
    deny_purge: bool,
    /// Key and value for people, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
    /// JSON file with a configuration; options do not change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration instead of making the stream
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Storage {
    File,
    Memory,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Retention {
    Limits,
    Interest,
    #[value(alias = "work")]
    Workqueue,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Discard {
    Old,
    New,
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let config = match &self.config {
            Some(path) => self.config_from(path)?,
            None => self.config()?,
        };
        let name = config.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        check_name("stream", &name)?;
        if self.dry_run {
            context.out.document(&config);
            return Ok(());
        }
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = api.ask(&format!("STREAM.CREATE.{name}"), &config).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&info);
        } else {
            context.out.say(format!("Stream {name} was created\n"));
            list::sheet(&info).print(&context.out);
        }
        Ok(())
    }

    fn config_from(&self, path: &PathBuf) -> Result<Value, Failure> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
        let bad = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        // The configuration alone, or the object that `stream info --json` printed.
        let mut config = match value.get("config") {
            Some(config) => config.clone(),
            None => value,
        };
        let Some(map) = config.as_object_mut() else { return Err(bad("no object".to_owned())) };
        if let Some(name) = &self.stream {
            map.insert("name".to_owned(), name.as_str().into());
        }
        Ok(config)
    }

    fn config(&self) -> Result<Value, Failure> {
        let name = self.stream.as_deref().unwrap_or_default();
        if self.subjects.is_empty() {
            return Err(Failure::usage("a stream needs subjects")
                .hint(format!("natterjack stream add {name} --subjects \"orders.>\"")));
        }
        let nanos = |span: &Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let mut config = json!({
            "name": name,
            "subjects": self.subjects,
            "retention": match self.retention {
                Retention::Limits => "limits",
                Retention::Interest => "interest",
                Retention::Workqueue => "workqueue",
            },
            "storage": match self.storage { Storage::File => "file", Storage::Memory => "memory" },
            "discard": match self.discard { Discard::Old => "old", Discard::New => "new" },
            "num_replicas": self.replicas,
            "max_msgs": self.max_msgs.unwrap_or(-1),
            "max_msgs_per_subject": self.max_msgs_per_subject.unwrap_or(-1),
            "max_bytes": self.max_bytes.unwrap_or(-1),
            "max_age": self.max_age.as_ref().map_or(0, nanos),
            "max_msg_size": self.max_msg_size.unwrap_or(-1),
            "max_consumers": self.max_consumers.unwrap_or(-1),
        });
        if let Some(window) = &self.dupe_window {
            config["duplicate_window"] = nanos(window).into();
        }
        for (name, text) in [("description", &self.description), ("compression", &self.compression)]
        {
            if let Some(text) = text {
                config[name] = text.as_str().into();
            }
        }
        for (name, on) in [
            ("allow_direct", self.allow_direct),
            ("allow_rollup_hdrs", self.allow_rollup),
            ("allow_msg_ttl", self.allow_msg_ttl),
            ("deny_delete", self.deny_delete),
            ("deny_purge", self.deny_purge),
            ("discard_new_per_subject", self.discard_per_subject),
        ] {
            if on {
                config[name] = true.into();
            }
        }
        if !self.metadata.is_empty() {
            config["metadata"] = metadata(&self.metadata)?.into();
        }
        Ok(config)
    }
}

/// `Key:Value` pairs as an object.
pub(crate) fn metadata(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    let pair = |pair: &String| match pair.split_once(':') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().into())),
        None => Err(Failure::usage(format!("metadata `{pair}` is not of the form Key:Value"))),
    };
    pairs.iter().map(pair).collect()
}
