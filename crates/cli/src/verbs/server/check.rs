//! `natterjack server check`: what monitoring systems ask.
//!
//! The forms, names and thresholds are those of `nats server check`, so that a monitoring system needs no
//! change. A failure of the check itself is critical: something is not as it should be.

mod account;
mod connection;
mod consumer;
mod credential;
mod kv;
mod message;
mod meta;
mod result;
mod stream;
mod varz;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use result::{Format, Report};

/// Check something: exits with 0 OK, 1 warning, 2 critical.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// How the result is written
    #[arg(long, global = true, default_value = "nagios")]
    format: Format,
    /// First part of the names of metrics
    #[arg(long, global = true, default_value = "nats_server_check", value_name = "NAME")]
    namespace: String,
    /// Write the result into a file
    #[arg(long, global = true, value_name = "FILE")]
    outfile: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

/// What is checked.
#[derive(Debug, Subcommand)]
enum What {
    /// Connecting, round trip, and a message to oneself
    #[command(visible_alias = "conn")]
    Connection(connection::Connection),
    /// A stream: what it holds, its copies and sources
    Stream(stream::Stream),
    /// A consumer: what waits in it
    Consumer(consumer::Consumer),
    /// The last message of a subject in a stream
    Message(message::Message),
    /// The servers that keep the metadata of JetStream, through the system account
    Meta(meta::Meta),
    /// Somebody who answers requests
    #[command(visible_alias = "req")]
    Request(message::Request),
    /// What the account uses of its JetStream limits
    #[command(visible_alias = "js")]
    Jetstream(account::Jetstream),
    /// A server, through the system account
    Server(varz::Server),
    /// A Key/Value bucket, and a key in it
    Kv(kv::Kv),
    /// When a credentials file expires
    #[command(visible_alias = "cred")]
    Credential(credential::Credential),
}

impl Check {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut report = self.what.report();
        let checked = match &self.what {
            What::Connection(check) => check.run(context, &mut report).await,
            What::Stream(check) => check.run(context, &mut report).await,
            What::Consumer(check) => check.run(context, &mut report).await,
            What::Message(check) => check.run(context, &mut report).await,
            What::Meta(check) => check.run(context, &mut report).await,
            What::Request(check) => check.run(context, &mut report).await,
            What::Jetstream(check) => check.run(context, &mut report).await,
            What::Server(check) => check.run(context, &mut report).await,
            What::Kv(check) => check.run(context, &mut report).await,
            What::Credential(check) => check.run(&mut report),
        };
        if let Err(failure) = checked {
            report.critical(failure.message);
        }
        let format = if context.global.json { Format::Json } else { self.format };
        let text = report.render(format, &self.namespace);
        match &self.outfile {
            Some(file) => write(file, &text)?,
            None => context.out.line(text.trim_end()),
        }
        match (report.status(), format) {
            (0, _) | (_, Format::Prometheus) => Ok(()),
            (status, _) => Err(Failure::said(status)),
        }
    }
}

impl What {
    fn report(&self) -> Report {
        match self {
            Self::Connection(_) => Report::new("connections", "Connection"),
            Self::Stream(check) => Report::new("stream", check.name()),
            Self::Consumer(check) => Report::new("consumer", check.name()),
            Self::Message(_) => Report::new("message", "Stream Message"),
            Self::Meta(_) => Report::new("meta", "JetStream Meta Cluster"),
            Self::Request(check) => Report::new("request", check.name()),
            Self::Jetstream(_) => Report::new("jetstream", "JetStream"),
            Self::Server(check) => Report::new("server", check.name()),
            Self::Kv(check) => Report::new("kv", check.name()),
            Self::Credential(_) => Report::new("credential", "Credential"),
        }
    }
}

/// Replaced as a whole: a reader never sees half of it.
fn write(path: &Path, text: &str) -> Outcome {
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file =
        tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    writeln!(file, "{}", text.trim_end()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
