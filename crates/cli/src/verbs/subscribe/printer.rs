//! What of each message is shown, and how.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use async_nats::HeaderMap;
use serde_json::{Map, Value};

use super::Subscribe;
use super::report::Report;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::graph::{Graph, Unit};
use crate::message::{Received, Show, dump, translated};
use crate::output::{Output, Paint};
use crate::units;

/// Requests whose answers are still waited for with `--match-replies`.
const REQUESTS_MAX: usize = 10_000;

/// Answers that are kept in case their request is still on its way through another subscription.
const EARLY_MAX: usize = 256;

/// Where a message came from.
pub(super) enum Source<'a> {
    /// A subscription, by the subject it was made for.
    Subscription(&'a str),
    /// The subscription to all inboxes, for answers.
    Inboxes,
    /// A stream.
    Stream(Place),
}

/// A message's place in a stream.
pub(super) struct Place {
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) seq: u64,
    pub(super) delivered: u64,
    pub(super) pending: u64,
    pub(super) time: Option<jiff::Timestamp>,
}

/// An answer whose request has not been seen yet.
struct Early {
    subject: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Decides what of each message is shown, and shows it.
pub(super) struct Printer<'a> {
    options: &'a Subscribe,
    context: &'a Context,
    show: Show,
    report: Option<Report>,
    graph: Option<Curves>,
    /// Requests by the subject that their answer will have.
    requests: HashMap<String, u64>,
    early: VecDeque<Early>,
    inboxes: String,
    last: Option<Instant>,
    seen: u64,
}

/// What `--graph` draws.
struct Curves {
    graph: Graph,
    messages: u64,
    bytes: u64,
}

impl Curves {
    fn new(out: Output) -> Self {
        let curves = [("Messages/s", Unit::CountRate), ("Bytes/s", Unit::BytesRate)];
        let graph = Graph::new(out, "Messages Received".to_owned(), &curves);
        Self { graph, messages: 0, bytes: 0 }
    }
}

impl<'a> Printer<'a> {
    /// `inbox_prefix` begins the subjects of answers.
    pub(super) fn new(options: &'a Subscribe, context: &'a Context, inbox_prefix: &str) -> Self {
        let reports = options.report_subjects || options.report_subscriptions;
        Self {
            options,
            context,
            show: options.show(),
            report: reports.then(|| Report::new(options.report_top)),
            graph: options.graph.then(|| Curves::new(context.out)),
            requests: HashMap::new(),
            early: VecDeque::new(),
            inboxes: format!("{inbox_prefix}."),
            last: None,
            seen: 0,
        }
    }

    /// Takes one message; true when it was the last.
    pub(super) async fn take(
        &mut self,
        source: &Source<'_>,
        message: &Received<'_>,
    ) -> Result<bool, Failure> {
        let mut answers = None;
        if matches!(source, Source::Inboxes) {
            answers = self.requests.remove(message.subject);
            if answers.is_none() {
                self.keep_early(message);
                return Ok(false);
            }
        }
        if self.options.ignore_subject.iter().any(|pattern| matches(pattern, message.subject)) {
            return Ok(false);
        }
        if answers.is_none() {
            if self.is_done() {
                return Ok(false);
            }
            self.seen += 1;
            self.expect_answer(message);
        }
        if let Some(report) = &mut self.report {
            let name = match source {
                Source::Subscription(name) if self.options.report_subscriptions => name,
                _ => message.subject,
            };
            report.add(name, message.body.len());
            report.refresh(&self.context.out);
        } else if let Some(graph) = &mut self.graph {
            graph.messages += 1;
            graph.bytes += message.body.len() as u64;
        } else {
            self.print(source, message, answers).await?;
        }
        if let Some(early) = self.take_early(message) {
            let answers = self.requests.remove(&early.subject);
            let received = Received {
                subject: &early.subject,
                reply: None,
                headers: &early.headers,
                body: &early.body,
            };
            self.print(&Source::Inboxes, &received, answers).await?;
        }
        Ok(self.is_done() && self.requests.is_empty())
    }

    fn expect_answer(&mut self, request: &Received<'_>) {
        if self.options.match_replies
            && let Some(reply) = request.reply
            && reply.starts_with(&self.inboxes)
            && self.requests.len() < REQUESTS_MAX
        {
            self.requests.insert(reply.to_owned(), self.seen);
        }
    }

    fn keep_early(&mut self, message: &Received<'_>) {
        if self.early.len() == EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(Early {
            subject: message.subject.to_owned(),
            headers: message.headers.clone(),
            body: message.body.to_vec(),
        });
    }

    /// The answer to this request, if it came before it.
    fn take_early(&mut self, request: &Received<'_>) -> Option<Early> {
        let reply = request.reply.filter(|reply| self.requests.contains_key(*reply))?;
        let at = self.early.iter().position(|early| early.subject == reply)?;
        self.early.remove(at)
    }

    /// Whether all that was asked for has come, but for answers.
    pub(super) fn is_done(&self) -> bool {
        self.options.count.is_some_and(|count| count > 0 && self.seen >= count)
    }

    async fn print(
        &mut self,
        source: &Source<'_>,
        message: &Received<'_>,
        answers: Option<u64>,
    ) -> Outcome {
        let out = self.context.out;
        let since = self.last.replace(Instant::now()).map(|last| last.elapsed());
        if out.json || self.options.dump.is_some() {
            let object = message.json(self.facts(source, answers), &self.show);
            match &self.options.dump {
                Some(directory) => dump(directory, self.seen, &object, &out)?,
                None => out.object(&object),
            }
            return Ok(());
        }
        if self.show.subjects_only {
            out.line(message.subject);
            return Ok(());
        }
        let body = translated(&self.show, message.subject, message.body, &out).await?;
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
        let mut text = out.paint(Paint::Cyan, &self.head(source, message, answers, &when));
        text.push('\n');
        let mut block = text.into_bytes();
        block.extend(message.lines(&out, &self.show, &body));
        out.data(&block);
        Ok(())
    }

    /// The first line of a message.
    fn head(
        &self,
        source: &Source<'_>,
        message: &Received<'_>,
        answers: Option<u64>,
        when: &str,
    ) -> String {
        let (seen, subject) = (self.seen, message.subject);
        if let Some(number) = answers {
            return format!("[#{number}{when}] Matched reply on {subject:?}");
        }
        if let Source::Stream(place) = source {
            let Place { stream, seq, pending, .. } = place;
            let time = place.time.map_or_else(String::new, |time| {
                let zoned = time.to_zoned(jiff::tz::TimeZone::system());
                format!(" / time: {}", zoned.strftime("%Y-%m-%d %H:%M:%S%.3f"))
            });
            return format!(
                "[#{seen}{when}] Received JetStream message: stream: {stream} seq: {seq} / \
                 pending: {pending} / subject: {subject}{time}"
            );
        }
        match message.reply {
            Some(reply) => format!("[#{seen}{when}] Received on {subject:?} with reply {reply:?}"),
            None => format!("[#{seen}{when}] Received on {subject:?}"),
        }
    }

    /// What `--json` says besides the message itself.
    fn facts(&self, source: &Source<'_>, answers: Option<u64>) -> Map<String, Value> {
        let mut facts = Map::new();
        match answers {
            Some(number) => facts.insert("answers".to_owned(), number.into()),
            None => facts.insert("number".to_owned(), self.seen.into()),
        };
        facts.insert("received".to_owned(), jiff::Timestamp::now().to_string().into());
        if let Source::Stream(place) = source {
            facts.insert("stream".to_owned(), place.stream.as_str().into());
            facts.insert("consumer".to_owned(), place.consumer.as_str().into());
            facts.insert("seq".to_owned(), place.seq.into());
            facts.insert("delivered".to_owned(), place.delivered.into());
            facts.insert("pending".to_owned(), place.pending.into());
            facts.insert("time".to_owned(), place.time.map(|time| time.to_string()).into());
        }
        facts
    }

    /// Adds a value to the graph, if there is one.
    pub(super) fn tick(&mut self) {
        if let Some(Curves { graph, messages, bytes }) = &mut self.graph {
            graph.push(&[*messages, *bytes]);
        }
    }

    /// Prints the report or the graph, if there is one.
    pub(super) fn finish(&mut self) {
        self.tick();
        if let Some(curves) = self.graph.take() {
            curves.graph.finish();
        }
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
