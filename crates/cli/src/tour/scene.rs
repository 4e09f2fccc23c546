//! What each pair is given to play: where, how fast, under which names; and what it hands back.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use natterjack::error::StreamError;
use natterjack::{Auth, Connector};
use natterjack_examples::{Out, Outcome, Stop};

use super::Lang;
use super::arena::Embedded;
use super::check::{Check, Checks};
use super::show::{Role, Show};
use super::side::{Ended, Side};
use super::witness::Witness;

/// How many messages the main part of a pair sends.
pub(super) const COUNT: u64 = 10;

/// The speed of the tour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    /// Between two messages.
    pub(super) interval: Duration,
    /// Between two attempts to reconnect.
    pub(super) reconnect: Duration,
    /// Until an unacknowledged message is delivered again.
    pub(super) ack_wait: Duration,
    /// Between two losses by `--chaos`.
    pub(super) chaos: Duration,
}

/// Until an unacknowledged message is delivered again, where none gets lost: that of servers.
const PATIENT: Duration = Duration::from_secs(30);

impl Speed {
    pub(super) const NORMAL: Self = Self {
        interval: Duration::from_millis(50),
        reconnect: Duration::from_millis(500),
        ack_wait: Duration::from_millis(1000),
        chaos: Duration::from_millis(200),
    };
    pub(super) const FAST: Self = Self {
        interval: Duration::from_millis(10),
        reconnect: Duration::from_millis(250),
        ack_wait: Duration::from_millis(500),
        chaos: Duration::from_millis(100),
    };
}

/// Names on the server. On the user's own server they are new ones, and removed afterwards.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) subject: String,
    pub(super) stream: String,
    pub(super) durable: String,
    pub(super) bucket: String,
}

/// What the main part of a pair counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// In milliseconds.
    pub(super) latencies: Vec<f64>,
}

/// A pair at play.
pub(super) struct Scene<'t> {
    pub(super) show: Show,
    /// The embedded server that the pairs share; `None` if the user named one.
    pub(super) home: Option<&'t mut Embedded>,
    /// The servers, separated by commas.
    pub(super) url: String,
    /// A directory for what the pair writes.
    pub(super) dir: PathBuf,
    pub(super) speed: Speed,
    pub(super) chaos: bool,
    pub(super) replicas: Option<usize>,
    pub(super) names: Names,
    pub(super) checks: Checks,
    pub(super) tally: Tally,
}

impl Scene<'_> {
    /// A text in the tour's language.
    pub(super) fn words(&self, en: &'static str, ru: &'static str) -> &'static str {
        match self.show.lang {
            Lang::En => en,
            Lang::Ru => ru,
        }
    }

    /// Tells in a sentence what happens next.
    pub(super) fn narrate(&self, en: &'static str, ru: &'static str) {
        self.show.narrate(self.words(en, ru));
    }

    /// Notes whether a claim holds; `found` says what was found if not.
    pub(super) fn check(
        &mut self,
        en: &'static str,
        ru: &'static str,
        holds: bool,
        found: impl Into<String>,
    ) {
        let claim = self.words(en, ru).to_owned();
        let broken = (!holds).then(|| found.into());
        self.show.check(&claim, broken.as_deref());
        self.checks.add(Check { claim, broken });
    }

    /// The flags that all programs take, and more.
    pub(super) fn flags(&self, more: &[&str]) -> Vec<String> {
        let micros = |span: Duration| format!("{}us", span.as_micros());
        let mut flags = vec![
            "--url".into(),
            self.url.clone(),
            "--interval".into(),
            micros(self.speed.interval),
            "--subject".into(),
            self.names.subject.clone(),
            "--reconnect-wait".into(),
            micros(self.speed.reconnect),
            "--timeout".into(),
            "15s".into(),
        ];
        if !more.contains(&"--count") {
            flags.extend(["--count".into(), COUNT.to_string()]);
        }
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        // A flag that is given twice is an error: the later one is meant.
        keep_last(flags)
    }

    /// The flags for a stream, and more.
    pub(super) fn stream_flags(&self, more: &[&str]) -> Vec<String> {
        let mut flags = self.flags(&[]);
        flags.extend(["--stream".into(), self.names.stream.clone()]);
        flags.extend(self.replica_flags());
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        keep_last(flags)
    }

    /// The flags for a durable consumer, and more. Nothing comes twice only because the machine is slow.
    pub(super) fn consumer_flags(&self, more: &[&str]) -> Vec<String> {
        if self.chaos {
            return self.consumer_flags_with_losses(more);
        }
        self.durable_flags(PATIENT, more)
    }

    /// As [`consumer_flags`](Self::consumer_flags), where deliveries get lost: they come again soon.
    pub(super) fn consumer_flags_with_losses(&self, more: &[&str]) -> Vec<String> {
        self.durable_flags(self.speed.ack_wait, more)
    }

    fn durable_flags(&self, ack_wait: Duration, more: &[&str]) -> Vec<String> {
        let mut flags = self.stream_flags(&[]);
        let wait = format!("{}us", ack_wait.as_micros());
        flags.extend(["--durable".into(), self.names.durable.clone(), "--ack-wait".into(), wait]);
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        keep_last(flags)
    }

    /// The flags for a bucket, and more.
    pub(super) fn bucket_flags(&self, more: &[&str]) -> Vec<String> {
        let mut flags = self.flags(&[]);
        flags.extend(["--bucket".into(), self.names.bucket.clone()]);
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        keep_last(flags)
    }

    /// `--replicas`, for those who make a stream or a bucket.
    pub(super) fn replica_flags(&self) -> Vec<String> {
        self.replicas.map_or_else(Vec::new, |n| vec!["--replicas".into(), n.to_string()])
    }

    /// `--chaos` with the tour's rhythm, if `on`.
    pub(super) fn chaos_flags(&self, on: bool) -> Vec<String> {
        let every = format!("{}us", self.speed.chaos.as_micros());
        if on { vec!["--chaos".into(), "--chaos-every".into(), every] } else { Vec::new() }
    }

    /// Starts a publisher.
    pub(super) fn publisher<O, F, Fut>(&self, run: F, flags: &[String]) -> Result<Side, String>
    where
        O: clap::Parser + Send + 'static,
        F: FnOnce(O, Out, Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Side::start(self.show, Role::Publisher, run, flags, None)
    }

    /// Starts a subscriber.
    pub(super) fn subscriber<O, F, Fut>(&self, run: F, flags: &[String]) -> Result<Side, String>
    where
        O: clap::Parser + Send + 'static,
        F: FnOnce(O, Out, Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Side::start(self.show, Role::Subscriber, run, flags, None)
    }

    /// A witness on a subject of the pair's server.
    pub(super) async fn witness(&self, subject: &str) -> Result<Witness, String> {
        Witness::open(&self.url, Auth::None, subject).await
    }

    /// Notes what the main part of a pair has shown.
    pub(super) fn count(&mut self, publisher: &Ended, subscriber: &Ended) {
        self.tally.sent += publisher.total("sent");
        self.tally.received += subscriber.total("received");
        self.tally.latencies.extend(subscriber.latencies());
    }

    /// Checks first, message and last lines of both sides against what the specification says.
    pub(super) fn check_lines(&mut self, publisher: &Ended, subscriber: &Ended, name: &str) {
        let (subject, chaos) = (self.names.subject.clone(), self.chaos);
        let problems: Vec<String> =
            [(publisher, "publisher", "->"), (subscriber, "subscriber", "<-")]
                .into_iter()
                .filter_map(|(side, role, arrow)| {
                    let text = |line: Option<&natterjack_examples::Line>| {
                        line.map_or_else(String::new, |line| line.text.clone())
                    };
                    let (first, last) = (text(side.lines.first()), text(side.lines.last()));
                    let named = format!("as \"{name} {role}\" (server ");
                    let begins =
                        first.starts_with("connected to nats://") && first.contains(&named);
                    let message = format!("{arrow} {subject} #3 \"Hello #3 from NATS publisher\"");
                    let ends = match role {
                        "publisher" => last.starts_with("sent 10, confirmed 10, failed 0 in "),
                        // A lost connection may make a message come twice.
                        _ if chaos => last.starts_with("received 10, dropped 0, redelivered "),
                        _ => last.starts_with("received 10, dropped 0, redelivered 0; drained in "),
                    };
                    (!(begins && ends && side.said(&message)))
                        .then(|| format!("{role}: {first} .. {last}"))
                })
                .collect();
        self.check(
            "first, message and last lines are as documented",
            "первая строка, строки сообщений и последняя — как описано",
            problems.is_empty(),
            problems.join("; "),
        );
    }

    /// Stops the shared embedded server.
    pub(super) async fn stop_server(&mut self) {
        if let Some(home) = self.home.as_deref_mut() {
            home.stop().await;
        }
    }

    /// Starts it again.
    pub(super) async fn start_server(&mut self) -> Result<(), String> {
        match self.home.as_deref_mut() {
            Some(home) => home.start_again().await,
            None => Ok(()),
        }
    }

    /// A connection of the tour's own.
    pub(super) async fn connect(&self) -> Result<Connector, String> {
        let own = self.home.is_some();
        let builder = if own { Connector::builder() } else { Connector::from_env() };
        let builder = builder.servers(self.url.split(',')).name("natterjack tour");
        builder.build().await.map_err(|error| error.to_string())
    }

    /// Removes the pair's stream and bucket, so that the next pair finds the server as this one did.
    pub(super) async fn clean(&self) -> Result<(), String> {
        let connector = self.connect().await?;
        let js = connector.jetstream();
        for name in [self.names.stream.clone(), format!("KV_{}", self.names.bucket)] {
            let removed = match js.stream(&name).get().await {
                Ok(stream) => stream.delete().await,
                Err(error) => Err(error),
            };
            match removed {
                Ok(()) | Err(StreamError::NotFound(_) | StreamError::JetStreamDisabled(_)) => {}
                Err(error) => return Err(format!("removing {name}: {error}")),
            }
        }
        connector.close().await.map_err(|error| error.to_string())
    }

    /// A path below the pair's directory.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }
}

/// Keeps the last value of each flag.
fn keep_last(flags: Vec<String>) -> Vec<String> {
    let mut pairs: Vec<(String, Option<String>)> = Vec::new();
    let mut flags = flags.into_iter().peekable();
    while let Some(flag) = flags.next() {
        let value = flags.next_if(|next| !next.starts_with("--"));
        pairs.retain(|(name, _)| *name != flag);
        pairs.push((flag, value));
    }
    pairs.into_iter().flat_map(|(flag, value)| [Some(flag), value]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_flag_is_meant() {
        let flags = ["--a", "1", "--b", "--a", "2", "--c", ""].map(str::to_owned).to_vec();
        assert_eq!(keep_last(flags), ["--b", "--a", "2", "--c", ""]);
    }
}
