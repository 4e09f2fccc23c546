//! `natterjack sub`: prints messages as they come.

mod printer;
mod report;
mod stream;

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use natterjack::codec::Binary;
use natterjack::{Connector, Msg};

use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::message::{Received, Show};
use crate::units;
use printer::{Printer, Source};

/// Subscribe, and print what comes.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// Subjects; * and > are wildcards
    #[arg(required_unless_present_any = ["inbox", "stream"])]
    subjects: Vec<String>,
    /// Queue group that shares the messages
    #[arg(short = 'Q', long, value_name = "GROUP")]
    queue: Option<String>,
    /// End after this many messages; 0 never ends
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print bodies only
    #[arg(short, long)]
    raw: bool,
    /// End when nothing has come for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    wait: Option<Duration>,
    /// Print headers, no bodies
    #[arg(long)]
    headers_only: bool,
    /// Print subjects only
    #[arg(long, conflicts_with = "headers_only")]
    subjects_only: bool,
    /// Show the time at which each message came
    #[arg(short = 't', long)]
    timestamp: bool,
    /// Show the time since the message before
    #[arg(short = 'd', long, conflicts_with = "timestamp")]
    delta_time: bool,
    /// Program that bodies are passed through before they are printed; {{Subject}} is the subject
    #[arg(long, value_name = "CMD")]
    translate: Option<String>,
    /// Write each message into a JSON file below DIR, or to standard output for `-`
    #[arg(long, value_name = "DIR")]
    dump: Option<String>,
    /// Also show the answers to requests that are seen
    #[arg(long)]
    match_replies: bool,
    /// Subscribe to a new inbox
    #[arg(short, long, conflicts_with = "subjects")]
    inbox: bool,
    /// Leave out these subjects, may be given several times
    #[arg(short = 'I', long, value_name = "SUBJECT")]
    ignore_subject: Vec<String>,
    /// Count messages by subject and print a table
    #[arg(long)]
    report_subjects: bool,
    /// Count messages by subscription and print a table
    #[arg(long, conflicts_with = "report_subjects")]
    report_subscriptions: bool,
    /// Read a stream instead of what is published from now on; subjects are filters
    #[arg(long, value_name = "NAME", conflicts_with_all = ["queue", "inbox", "match_replies"], add = complete::streams())]
    stream: Option<String>,
    /// Read through this consumer, which is made if need be and remembers what was acknowledged
    #[arg(long, value_name = "NAME", add = complete::consumers())]
    durable: Option<String>,
    /// Do not acknowledge what a durable consumer delivers
    #[arg(long, requires = "durable")]
    no_ack: bool,
    /// Acknowledge what a durable consumer delivers (the default)
    #[arg(long, requires = "durable", overrides_with = "no_ack")]
    ack: bool,
    /// Stream: all messages (the default)
    #[arg(long, group = "start")]
    all: bool,
    /// Stream: only what comes from now on
    #[arg(long, group = "start")]
    new: bool,
    /// Stream: the last message and what follows
    #[arg(long, group = "start")]
    last: bool,
    /// Stream: the last message of each subject and what follows
    #[arg(long, group = "start")]
    last_per_subject: bool,
    /// Stream: messages younger than this
    #[arg(long, group = "start", value_name = "DURATION", value_parser = units::parse_duration)]
    since: Option<Duration>,
    /// Stream: from this sequence on
    #[arg(long, group = "start", value_name = "SEQ")]
    start_sequence: Option<u64>,
    /// Stream: end when all that it holds has been printed
    #[arg(short = 'T', long)]
    terminate_at_end: bool,
    /// Draw how many messages come
    #[arg(long, conflicts_with_all = ["report_subjects", "report_subscriptions", "stream", "raw"])]
    graph: bool,
    /// Rows of a report
    #[arg(long, default_value_t = 10, value_name = "N")]
    report_top: usize,
}

impl Subscribe {
    pub(crate) async fn run(mut self, context: &Context) -> Outcome {
        let out = context.out;
        if let Some(directory) = self.dump.as_deref().filter(|directory| *directory != "-") {
            std::fs::create_dir_all(directory).map_err(|error| Failure::io(directory, &error))?;
        }
        let connector = context.connect().await?;
        if self.reads_stream() {
            return self.read_stream(context, &connector).await;
        }
        if self.inbox {
            self.subjects.push(connector.raw()?.new_inbox());
        }
        let mut streams = Vec::new();
        for (at, subject) in self.subjects.iter().enumerate() {
            let mut on = connector.on(subject);
            if let Some(queue) = &self.queue {
                on = on.queue(queue);
            }
            let subscription = on.codec(Binary).open::<Bytes>().await?;
            streams.push(subscription.map(move |item| (Some(at), item)).boxed());
        }
        if self.match_replies {
            let inboxes = format!("{}.>", connector.effective_options().inbox_prefix);
            let subscription = connector.on(inboxes).codec(Binary).open::<Bytes>().await?;
            streams.push(subscription.map(|item| (None, item)).boxed());
        }
        context.interrupt.finish_gracefully();
        let group = match &self.queue {
            Some(queue) => format!(" in queue group {queue:?}"),
            None => String::new(),
        };
        out.log(format!("Subscribing on {}{group}", self.subjects.join(", ")));
        let mut messages = select_all(streams).filter_map(|(at, item)| {
            // Bytes always decode as bytes.
            std::future::ready(item.ok().map(|message| (at, message)))
        });
        let options = connector.effective_options();
        let mut printer = Printer::new(&self, context, &options.inbox_prefix);
        let mut ticks = tokio::time::interval(GRAPH_PACE);
        let mut heard = Instant::now();
        loop {
            let silence = self.wait.map(|wait| wait.saturating_sub(heard.elapsed()));
            let incoming: Option<(Option<usize>, Msg<Bytes>)> = tokio::select! {
                incoming = messages.next() => incoming,
                _ = ticks.tick(), if self.graph => {
                    printer.tick();
                    continue;
                }
                () = context.interrupt.raised() => break,
                () = idle(silence) => break,
                // The answers to what was counted are waited for as long as for any answer.
                () = idle(printer.is_done().then_some(options.request_timeout)) => break,
            };
            let Some((at, message)) = incoming else { break };
            heard = Instant::now();
            let source = match at {
                Some(at) => Source::Subscription(&self.subjects[at]),
                None => Source::Inboxes,
            };
            let received = Received {
                subject: &message.subject,
                reply: message.reply.as_deref(),
                headers: &message.headers,
                body: &message.payload,
            };
            if printer.take(&source, &received).await? {
                break;
            }
        }
        drop(messages);
        printer.finish();
        end(&connector).await
    }

    fn show(&self) -> Show {
        Show {
            raw: self.raw,
            headers_only: self.headers_only,
            subjects_only: self.subjects_only,
            translate: self.translate.clone(),
        }
    }
}

/// How often a value is added to the graph.
const GRAPH_PACE: Duration = Duration::from_secs(1);

/// Returns after `wait` without a message; never if there is no such limit.
async fn idle(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Leaves the server. What it was told before is all that matters to a reader.
async fn end(connector: &Connector) -> Outcome {
    connector.close().await?;
    Ok(())
}
