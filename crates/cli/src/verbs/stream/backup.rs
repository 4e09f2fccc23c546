//! `natterjack stream backup`: a stream as a directory that `nats stream restore` reads, too:
//! `backup.json` with configuration and state, `stream.tar.s2` as the server sends it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::StreamExt as _;
use natterjack::Connector;
use serde_json::{Value, json};

use super::stream_info;
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::number;
use crate::progress::Bar;
use crate::units;

/// Name of the file with the messages.
pub(super) const DATA: &str = "stream.tar.s2";

/// Name of the file with configuration and state.
pub(crate) const META: &str = "backup.json";

/// Save a stream into a directory, with its consumers.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Directory to write into; it is made if need be
    #[arg(value_name = "DIR")]
    target: PathBuf,
    #[command(flatten)]
    how: How,
}

/// How a stream is saved.
#[derive(Clone, Debug, Args)]
pub(crate) struct How {
    /// Let the server check all messages before
    #[arg(long)]
    check: bool,
    /// Without consumers
    #[arg(long)]
    no_consumers: bool,
    /// Bytes of one message of the transfer
    #[arg(long, value_name = "SIZE", default_value = "128K", value_parser = units::parse_size)]
    chunk_size: i64,
    /// Without progress bar
    #[arg(long)]
    no_progress: bool,
}

impl Backup {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let saved = save(context, &connector, &api, &self.stream, &self.target, &self.how).await?;
        connector.close().await?;
        if context.out.json {
            context.out.document(&saved);
        } else {
            context.out.say(format!(
                "Saved stream {} with {} messages, {}, into {}",
                self.stream,
                units::count(number(&saved, "/messages")),
                units::size(number(&saved, "/bytes")),
                self.target.display()
            ));
        }
        Ok(())
    }
}

/// Saves one stream, and tells what was saved. Files appear only when they are whole.
pub(crate) async fn save(
    context: &Context,
    connector: &Connector,
    api: &Api,
    stream: &str,
    target: &Path,
    how: &How,
) -> Result<Value, Failure> {
    // A misspelled name is told before a directory is made.
    stream_info(api, stream).await?;
    let failed = |error: std::io::Error| Failure::io(target.display(), &error);
    std::fs::create_dir_all(target).map_err(failed)?;
    let client = connector.raw()?;
    let inbox = client.new_inbox();
    let chunks = client.subscribe(inbox.clone()).await;
    let mut chunks = chunks.map_err(|error| transfer(error.to_string()))?;
    let body = json!({
        "deliver_subject": inbox,
        "no_consumers": how.no_consumers,
        "jsck": how.check,
        "chunk_size": how.chunk_size.max(0),
    });
    let answer = api.ask(&format!("STREAM.SNAPSHOT.{stream}"), &body).await?;
    let total = number(&answer, "/state/bytes");
    let mut bar = Bar::new(context.out, format!("Saving {stream}"), total, !how.no_progress);
    let mut data = tempfile::NamedTempFile::new_in(target).map_err(failed)?;
    let limit = context.timeout()?.max(std::time::Duration::from_secs(30));
    loop {
        let next = tokio::time::timeout(limit, chunks.next()).await;
        let Ok(Some(chunk)) = next else {
            let after = units::duration(limit);
            return Err(transfer(format!("nothing came for {after}")));
        };
        if chunk.payload.is_empty() {
            match chunk.status {
                None => break,
                Some(status) if status.as_u16() == 204 => break,
                Some(status) => {
                    let why = chunk.description.unwrap_or_default();
                    return Err(transfer(format!("{status} {why}")));
                }
            }
        }
        // At once: the server waits for these, and what came is in memory already.
        if let Some(reply) = chunk.reply {
            let answered = client.publish(reply, bytes::Bytes::new()).await;
            answered.map_err(|error| transfer(error.to_string()))?;
        }
        data.write_all(&chunk.payload).map_err(failed)?;
        bar.add(chunk.payload.len());
    }
    let size = bar.done();
    bar.finish();
    let meta = json!({ "config": answer["config"], "state": answer["state"] });
    let text = serde_json::to_string_pretty(&meta).expect("a value of JSON encodes");
    let mut file = tempfile::NamedTempFile::new_in(target).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    for (file, name) in [(data, DATA), (file, META)] {
        let file = file.persist(target.join(name)).map_err(|error| failed(error.error))?;
        File::sync_all(&file).map_err(failed)?;
    }
    Ok(json!({
        "stream": stream,
        "directory": target.display().to_string(),
        "messages": number(&answer, "/state/messages"),
        "bytes": size,
    }))
}

/// The transfer broke off.
pub(super) fn transfer(why: impl std::fmt::Display) -> Failure {
    Failure::new(status::FAILED, "js.transfer", format!("the transfer broke off: {why}"))
}
