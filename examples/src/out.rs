//! What the programs print.
//!
//! On a terminal a line of text in a colour, with `--json` an object; the tour takes the lines instead
//! and shows both sides beside each other.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use natterjack::{CloseReason, Connector, Event, EventStream, pretty};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use crate::{Failure, number};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first line: connected.
    Connected,
    /// A message was sent.
    Sent,
    /// A message was received.
    Received,
    /// Something good happened to the connection.
    Good,
    /// Something to know.
    Note,
    /// Something that mends itself or was meant to fail.
    Warn,
    /// Something failed.
    Error,
    /// The last line.
    Summary,
}

impl Kind {
    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Good => "good",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Summary => "summary",
        }
    }

    /// Its colour on a terminal, as the number of an SGR sequence.
    fn colour(self) -> &'static str {
        match self {
            Self::Connected | Self::Good => "32",
            Self::Sent => "36",
            Self::Received => "35",
            Self::Note => "90",
            Self::Warn => "33",
            Self::Error => "31;1",
            Self::Summary => "1",
        }
    }
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is about.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// The same as values.
    pub fields: Map<String, Value>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

type Sink = Arc<dyn Fn(&Line) + Send + Sync>;

/// Where the lines go. Cheap to clone.
#[derive(Clone)]
pub struct Out {
    print: Sink,
    tap: Option<Sink>,
    began: Instant,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").finish_non_exhaustive()
    }
}

impl Out {
    /// To standard output.
    pub(crate) fn terminal(json: bool) -> Self {
        let colour = colours();
        let print = move |line: &Line| {
            let mut out = std::io::stdout().lock();
            // A reader that has gone is no reason to stop sending.
            let _ = if json {
                let mut object = json!({ "line": line.kind.name(), "text": line.text });
                if let Value::Object(map) = &mut object {
                    map.extend(line.fields.clone());
                }
                writeln!(out, "{object}")
            } else if colour {
                writeln!(out, "\x1b[{}m{}\x1b[0m", line.kind.colour(), line.text)
            } else {
                writeln!(out, "{}", line.text)
            };
        };
        Self { print: Arc::new(print), tap: None, began: Instant::now() }
    }

    /// To a function, and to no terminal.
    pub fn to(tap: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        Self { print: Arc::new(|_| {}), tap: Some(Arc::new(tap)), began: Instant::now() }
    }

    /// To this function in place of the terminal. Lines of other tasks reach the `tracing` subscriber
    /// that is current now.
    #[must_use]
    pub fn through(mut self, print: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        let subscriber = tracing::dispatcher::get_default(Clone::clone);
        self.print = Arc::new(move |line| {
            tracing::dispatcher::with_default(&subscriber, || print(line));
        });
        self
    }

    fn line(&self, kind: Kind, text: String, fields: Map<String, Value>) {
        let line = Line { kind, text, fields };
        (self.print)(&line);
        if let Some(tap) = &self.tap {
            tap(&line);
        }
    }

    /// The first line: where to, under which name, and how far away it is.
    ///
    /// # Errors
    /// The connection was lost before the server answered.
    pub async fn connected(&self, connector: &Connector) -> Result<(), Failure> {
        let rtt = connector.rtt().await?;
        let name = connector.effective_options().name;
        let server = connector.server();
        let address = server.as_ref().map_or("", |server| &server.address);
        let (id, version) =
            server.as_ref().map_or(("", ""), |server| (&server.name, &server.version));
        let text = format!(
            "connected to nats://{address} as \"{name}\" (server {id} v{version}, rtt {})",
            pretty(rtt)
        );
        let fields = [
            ("url", format!("nats://{address}").into()),
            ("name", name.into()),
            ("server", id.into()),
            ("version", version.into()),
            ("rtt_ms", millis(rtt)),
        ];
        self.line(Kind::Connected, text, map(&fields));
        Ok(())
    }

    /// A message was sent. `details` are shown behind it.
    pub fn sent(&self, subject: &str, text: &str, details: &[(&str, Value)]) {
        self.message(Kind::Sent, "->", subject, text, None, details);
    }

    /// A message was received, `took` after it was sent.
    pub fn received(
        &self,
        subject: &str,
        text: &str,
        took: Option<Duration>,
        details: &[(&str, Value)],
    ) {
        self.message(Kind::Received, "<-", subject, text, took, details);
    }

    fn message(
        &self,
        kind: Kind,
        arrow: &str,
        subject: &str,
        body: &str,
        took: Option<Duration>,
        details: &[(&str, Value)],
    ) {
        let mut text = format!("{arrow} {subject} ");
        let mut fields = map(&[("subject", subject.into()), ("body", body.into())]);
        if let Some(number) = number(body) {
            text += &format!("#{number} ");
            fields.insert("number".into(), number.into());
        }
        text += &format!("\"{}\"", body.escape_debug());
        if let Some(took) = took {
            text += &format!(" ({})", pretty(took));
            fields.insert("latency_ms".into(), millis(took));
        }
        let shown: Vec<String> = details
            .iter()
            .map(|(name, value)| match value {
                Value::String(value) => format!("{name} {value}"),
                value => format!("{name} {value}"),
            })
            .collect();
        if !shown.is_empty() {
            text += &format!(" {}", shown.join(", "));
        }
        fields.extend(map(details));
        self.line(kind, text, fields);
    }

    /// A key of a bucket was put (then it has a value), deleted, purged, or it expired, `age` ago.
    pub fn change(
        &self,
        operation: &str,
        key: &str,
        value: Option<&str>,
        revision: u64,
        age: Duration,
    ) {
        if let Some(value) = value {
            let details = [("PUT revision", revision.into())];
            return self.message(Kind::Received, "<-", key, value, Some(age), &details);
        }
        let text = format!("<- {key} ({}) {operation} revision {revision}", pretty(age));
        let fields = [
            ("subject", key.into()),
            ("operation", operation.into()),
            ("revision", revision.into()),
            ("latency_ms", millis(age)),
        ];
        self.line(Kind::Received, text, map(&fields));
    }

    /// Shows what happens to the connection, as pair 4 does, until it has ended.
    pub fn follow(&self, mut events: EventStream) -> JoinHandle<()> {
        let out = self.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                out.event(&event);
            }
        })
    }

    fn event(&self, event: &Event) {
        let line = format!("{} {event}", self.offset());
        match event {
            Event::Reconnected { .. } | Event::ServersChanged { .. } | Event::Draining { .. } => {
                self.good(line);
            }
            Event::Closed { reason: CloseReason::Drained } => self.good(line),
            Event::Disconnected { .. }
            | Event::ReconnectFailed { .. }
            | Event::SlowConsumer { .. }
            | Event::LameDuck { .. } => self.warn(line),
            _ => self.error(line),
        }
    }

    /// Something to know.
    pub fn note(&self, text: impl fmt::Display) {
        self.line(Kind::Note, text.to_string(), Map::new());
    }

    /// Something good happened.
    pub fn good(&self, text: impl fmt::Display) {
        self.line(Kind::Good, text.to_string(), Map::new());
    }

    /// Something that mends itself, or was meant to fail.
    pub fn warn(&self, text: impl fmt::Display) {
        self.line(Kind::Warn, text.to_string(), Map::new());
    }

    /// Something failed, and the program goes on.
    pub fn error(&self, text: impl fmt::Display) {
        self.line(Kind::Error, text.to_string(), Map::new());
    }

    /// The time since the program began, as `+3.021s`.
    #[must_use]
    pub fn offset(&self) -> String {
        format!("+{:.3}s", self.began.elapsed().as_secs_f64())
    }

    /// The last line of a sender.
    pub fn total_sent(&self, sent: u64, confirmed: u64, failed: u64, took: Duration) {
        let text =
            format!("sent {sent}, confirmed {confirmed}, failed {failed} in {}", pretty(took));
        let fields = [
            ("sent", sent.into()),
            ("confirmed", confirmed.into()),
            ("failed", failed.into()),
            ("took_ms", millis(took)),
        ];
        self.line(Kind::Summary, text, map(&fields));
    }

    /// The last line of a receiver.
    pub fn total_received(&self, received: u64, dropped: u64, redelivered: u64, drained: Duration) {
        let text = format!(
            "received {received}, dropped {dropped}, redelivered {redelivered}; drained in {}",
            pretty(drained)
        );
        let fields = [
            ("received", received.into()),
            ("dropped", dropped.into()),
            ("redelivered", redelivered.into()),
            ("drained_ms", millis(drained)),
        ];
        self.line(Kind::Summary, text, map(&fields));
    }
}

fn map(fields: &[(&str, Value)]) -> Map<String, Value> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn millis(span: Duration) -> Value {
    // Microseconds are as fine as it gets; more digits would be noise.
    json!((span.as_secs_f64() * 1e6).round() / 1e3)
}

/// Whether standard output takes colours (no-color.org, bixense.com/clicolors).
fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    if set("NO_COLOR") {
        return false;
    }
    set("CLICOLOR_FORCE") || std::io::stdout().is_terminal()
}
