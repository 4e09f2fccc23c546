//! `natterjack sub`: prints messages as they come.

mod report;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use natterjack::codec::Binary;
use natterjack::{Connector, Msg};
use serde_json::Map;

use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::message::{Received, Show, dump, translated};
use crate::output::Paint;
use crate::units;
use report::Report;

/// Subscribe, and print what comes.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// Subjects; * and > are wildcards
    #[arg(required_unless_present_any = ["inbox"])]
    subjects: Vec<String>,
    /// Queue group that shares the messages
    #[arg(short = 'Q', long, value_name = "GROUP")]
    queue: Option<String>,
    /// End after this many messages
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
    /// Rows of a report
    #[arg(long, default_value_t = 10, value_name = "N")]
    report_top: usize,
}

/// Requests whose answers are still waited for with `--match-replies`.
const REQUESTS_MAX: usize = 10_000;

/// A message and the place of its subscription in the list; `None` is the one for answers.
type Incoming = (Option<usize>, Msg<Bytes>);

impl Subscribe {
    pub(crate) async fn run(mut self, context: &Context) -> Outcome {
        let out = context.out;
        if let Some(directory) = self.dump.as_deref().filter(|directory| *directory != "-") {
            std::fs::create_dir_all(directory).map_err(|error| Failure::io(directory, &error))?;
        }
        let connector = context.connect().await?;
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
        let limit = connector.effective_options().request_timeout;
        let mut printer = Printer::new(&self, context);
        loop {
            let incoming: Option<Incoming> = tokio::select! {
                incoming = messages.next() => incoming,
                () = context.interrupt.raised() => break,
                () = idle(self.wait) => break,
                // The answers to what was counted are waited for as long as for any answer.
                () = idle(printer.is_done().then_some(limit)) => break,
            };
            let Some((at, message)) = incoming else { break };
            if printer.take(at, &message).await? {
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

/// Decides what of each message is shown, and shows it.
struct Printer<'a> {
    options: &'a Subscribe,
    context: &'a Context,
    show: Show,
    report: Option<Report>,
    requests: HashMap<String, u64>,
    last: Option<Instant>,
    seen: u64,
}

impl<'a> Printer<'a> {
    fn new(options: &'a Subscribe, context: &'a Context) -> Self {
        let reports = options.report_subjects || options.report_subscriptions;
        Self {
            options,
            context,
            show: options.show(),
            report: reports.then(|| Report::new(options.report_top)),
            requests: HashMap::new(),
            last: None,
            seen: 0,
        }
    }

    /// Takes one message; true when it was the last.
    async fn take(&mut self, at: Option<usize>, message: &Msg<Bytes>) -> Result<bool, Failure> {
        let answers = match at {
            Some(_) => None,
            None => match self.requests.remove(&message.subject) {
                Some(number) => Some(number),
                None => return Ok(false),
            },
        };
        if self.options.ignore_subject.iter().any(|pattern| matches(pattern, &message.subject)) {
            return Ok(false);
        }
        if answers.is_none() {
            if self.is_done() {
                return Ok(false);
            }
            self.seen += 1;
            if self.options.match_replies
                && let Some(reply) = &message.reply
                && self.requests.len() < REQUESTS_MAX
            {
                self.requests.insert(reply.clone(), self.seen);
            }
        }
        if let Some(report) = &mut self.report {
            let name = match at {
                Some(at) if self.options.report_subscriptions => &self.options.subjects[at],
                _ => &message.subject,
            };
            report.add(name, message.payload.len());
            report.refresh(&self.context.out);
        } else {
            self.print(message, answers).await?;
        }
        Ok(self.is_done() && self.requests.is_empty())
    }

    /// Whether all that was asked for has come, but for answers.
    fn is_done(&self) -> bool {
        self.options.count.is_some_and(|count| self.seen >= count)
    }

    async fn print(&mut self, message: &Msg<Bytes>, answers: Option<u64>) -> Outcome {
        let out = self.context.out;
        let received = Received {
            subject: &message.subject,
            reply: message.reply.as_deref(),
            headers: &message.headers,
            body: &message.payload,
        };
        let since = self.last.replace(Instant::now()).map(|last| last.elapsed());
        if out.json || self.options.dump.is_some() {
            let mut extra = Map::new();
            match answers {
                Some(number) => extra.insert("answers".to_owned(), number.into()),
                None => extra.insert("number".to_owned(), self.seen.into()),
            };
            extra.insert("received".to_owned(), jiff::Timestamp::now().to_string().into());
            let object = received.json(extra, &self.show);
            match &self.options.dump {
                Some(directory) => dump(directory, self.seen, &object, &out)?,
                None => out.object(&object),
            }
            return Ok(());
        }
        if self.show.subjects_only {
            out.line(&message.subject);
            return Ok(());
        }
        let body = translated(&self.show, &message.subject, &message.payload, &out).await?;
        if self.show.raw {
            let mut line = body;
            line.push(b'\n');
            out.data(&line);
            return Ok(());
        }
        let when = if self.options.timestamp {
            format!(" @ {}", jiff::Zoned::now().strftime("%H:%M:%S%.6f"))
        } else if self.options.delta_time {
            format!(" +{}", units::duration(since.unwrap_or_default()))
        } else {
            String::new()
        };
        let mut text = match (answers, &message.reply) {
            (Some(number), _) => {
                format!("[#{number}{when}] Matched reply on {:?}", message.subject)
            }
            (None, Some(reply)) => format!(
                "[#{}{when}] Received on {:?} with reply {reply:?}",
                self.seen, message.subject
            ),
            (None, None) => format!("[#{}{when}] Received on {:?}", self.seen, message.subject),
        };
        text = out.paint(Paint::Cyan, &text);
        text.push('\n');
        let mut block = text.into_bytes();
        block.extend(received.lines(&out, &self.show, &body));
        out.data(&block);
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(report) = &mut self.report {
            report.print(&self.context.out);
        }
    }
}

/// Whether a subject falls under a pattern.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_cover_subjects_as_on_the_server() {
        for (pattern, subject, covered) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a.b", "a", false),
        ] {
            assert_eq!(matches(pattern, subject), covered, "{pattern} {subject}");
        }
    }
}
