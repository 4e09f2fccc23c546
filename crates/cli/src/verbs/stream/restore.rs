//! `natterjack stream restore`: a stream from a directory of `stream backup`, ours or that of `nats`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use natterjack::Connector;
use natterjack::codec::Binary;
use serde_json::{Value, json};

use super::add::config_from;
use super::backup::{DATA, META, transfer};
use super::{check_name, list};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{number, text};
use crate::progress::Bar;

/// Bytes of one message of the transfer.
const CHUNK: usize = 64 * 1024;

/// How long a server may take to build the stream when it has everything.
const BUILDING: Duration = Duration::from_secs(3600);

/// Make a stream from a backup.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Directory that holds the backup
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// JSON file with another configuration; the name must be the same
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Without progress bar
    #[arg(long)]
    no_progress: bool,
    /// Print the configuration instead of making the stream
    #[arg(long)]
    dry_run: bool,
}

/// Where a restored stream is put.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Servers that keep a copy
    #[arg(long, value_name = "N")]
    replicas: Option<u8>,
    /// Only servers of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only servers with this tag, may be given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
}

impl Place {
    fn apply(&self, config: &mut Value) {
        if let Some(replicas) = self.replicas {
            config["num_replicas"] = replicas.into();
        }
        if let Some(cluster) = &self.cluster {
            config["placement"]["cluster"] = cluster.as_str().into();
        }
        if !self.tag.is_empty() {
            config["placement"]["tags"] = json!(self.tag);
        }
    }
}

impl Restore {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let replacement = self.config.as_deref().map(config_from).transpose()?;
        let meta = read_meta(&self.directory, replacement, &self.place)?;
        if self.dry_run {
            context.out.document(&meta["config"]);
            return Ok(());
        }
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let on = !self.no_progress;
        let info = restore(context, &connector, &api, &self.directory, &meta, on).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&info);
        } else {
            let name = text(&info, "/config/name");
            context.out.say(format!("Restored stream {name}\n"));
            list::sheet(&info).print(&context.out);
        }
        Ok(())
    }
}

/// Configuration and state of a backup.
pub(crate) fn read_meta(
    directory: &Path,
    replacement: Option<Value>,
    place: &Place,
) -> Result<Value, Failure> {
    let path = directory.join(META);
    let failed = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {why}", path.display()))
            .hint("give the directory that `natterjack stream backup` wrote")
    };
    let content = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
    let mut meta: Value = serde_json::from_str(&content).map_err(|error| failed(&error))?;
    let name = text(&meta, "/config/name").to_owned();
    check_name("stream", &name)?;
    if let Some(config) = replacement {
        if text(&config, "/name") != name {
            let text = format!("the backup is of stream {name}, the configuration of another");
            return Err(Failure::usage(text).hint("a stream keeps its name when it is restored"));
        }
        meta["config"] = config;
    }
    place.apply(&mut meta["config"]);
    Ok(meta)
}

/// Sends a backup to the server, which answers with the stream when it stands.
pub(crate) async fn restore(
    context: &Context,
    connector: &Connector,
    api: &Api,
    directory: &Path,
    meta: &Value,
    progress: bool,
) -> Result<Value, Failure> {
    let path = directory.join(DATA);
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    let mut data = std::fs::File::open(&path).map_err(failed)?;
    let total = data.metadata().map_err(failed)?.len();
    let name = text(meta, "/config/name");
    let answer = api.ask(&format!("STREAM.RESTORE.{name}"), meta).await?;
    let target = text(&answer, "/deliver_subject").to_owned();
    let mut bar = Bar::new(context.out, format!("Restoring {name}"), total, progress);
    let mut chunk = vec![0; CHUNK];
    loop {
        let size = data.read(&mut chunk).map_err(failed)?;
        if size == 0 {
            break;
        }
        let ask = connector.ask(&target).codec(Binary);
        let answer = ask.send_msg::<[u8], Bytes>(&chunk[..size]).await;
        let answer = answer.map_err(|error| transfer(error.to_string()))?;
        if !answer.payload.is_empty() {
            refused(&answer.payload, name)?;
        }
        bar.add(size);
    }
    bar.finish();
    let ask = connector.ask(&target).codec(Binary).timeout(BUILDING);
    let answer = ask.send_msg::<[u8], Bytes>(b"").await;
    let answer = answer.map_err(|error| transfer(error.to_string()))?;
    refused(&answer.payload, name)?;
    serde_json::from_slice(&answer.payload).map_err(transfer)
}

/// The error of an answer, if it is one.
fn refused(answer: &[u8], name: &str) -> Outcome {
    let answer: Value = serde_json::from_slice(answer).unwrap_or(Value::Null);
    match answer.get("error") {
        Some(error) => {
            let words = text(error, "/description");
            let request = format!("STREAM.RESTORE.{name}");
            Err(Failure::api(number(error, "/code"), number(error, "/err_code"), words, &request))
        }
        None if answer.is_string() => Err(transfer(answer)),
        None => Ok(()),
    }
}
