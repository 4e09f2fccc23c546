//! Options that several forms take, and what they make of them: subjects, bodies, pauses.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::subject::Subject;
use bytes::Bytes;
use clap::Args;
use rand::RngExt as _;

use super::facts::Facts;
use crate::exit::{Failure, Outcome};
use crate::units;

/// Options of all forms.
#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// Clients at once, each with a connection of its own
    #[arg(long, global = true, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) clients: u32,
    /// Messages to publish, receive or ask for (100000) [`service serve`: no end]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) msgs: Option<u64>,
    /// Bytes of a message's body
    #[arg(long, global = true, default_value = "128", value_name = "SIZE", value_parser = body_size)]
    pub(super) size: usize,
    /// Show no progress
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
    /// Show progress, which is the default
    #[arg(long, global = true, hide = true, overrides_with = "no_progress")]
    progress: bool,
    /// Write the figures of each client to this file, as comma separated values
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Compare with an earlier measurement, which --json has written to this file
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
}

/// What --msgs is when it is not given, as in the `nats` tool.
const MESSAGES: u64 = 100_000;

impl Common {
    /// Refuses files that cannot be used before a long measurement, not after it.
    pub(super) fn check(&self) -> Outcome {
        if let Some(path) = &self.csv {
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|error| Failure::io(path.display(), &error))?;
        }
        super::report::earlier(self.compare.as_ref()).map(|_| ())
    }

    pub(super) fn messages(&self) -> u64 {
        self.msgs.unwrap_or(MESSAGES)
    }
}

fn body_size(text: &str) -> Result<usize, String> {
    usize::try_from(units::parse_size(text)?)
        .map_err(|_| format!("`{text}` is no size of a body; write 0, 128 or 16K"))
}

/// How fast at the most.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Pacing {
    /// Most messages per second, of all clients together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    throughput: Option<u64>,
    /// How long to run, instead of --msgs; with --throughput
    #[arg(long, value_name = "DURATION", requires = "throughput", value_parser = units::parse_duration)]
    duration: Option<Duration>,
}

impl Pacing {
    /// How many messages that makes.
    ///
    /// # Errors
    /// A duration in which not one is due.
    pub(super) fn messages(self, common: &Common) -> Result<u64, Failure> {
        let (Some(rate), Some(duration)) = (self.throughput, self.duration) else {
            return Ok(common.messages());
        };
        match (rate as f64 * duration.as_secs_f64()).round() as u64 {
            0 => Err(Failure::usage("no message is due in so short a --duration")
                .hint("a longer --duration or a higher --throughput")),
            messages => Ok(messages),
        }
    }

    pub(super) fn facts(self) -> Facts {
        let facts = match self.throughput {
            Some(rate) => Facts::default().number("throughput", rate),
            None => Facts::default(),
        };
        match self.duration {
            Some(duration) => facts.span("duration", duration),
            None => facts,
        }
    }

    /// For one of `clients`, beginning now.
    pub(super) fn pacer(self, sleep: Duration, clients: u32) -> Pacer {
        let share = self.throughput.map(|rate| rate as f64 / f64::from(clients));
        Pacer { began: Instant::now(), rate: share, sleep }
    }
}

/// Keeps a client from being faster than it shall be.
pub(super) struct Pacer {
    began: Instant,
    /// Messages per second.
    rate: Option<f64>,
    sleep: Duration,
}

impl Pacer {
    /// Waits after message number `sent`; how long it took.
    pub(super) async fn after(&self, sent: u64) -> Duration {
        if self.rate.is_none() && self.sleep.is_zero() {
            return Duration::ZERO;
        }
        let before = Instant::now();
        pause(self.sleep).await;
        if let Some(rate) = self.rate {
            // A rate that no clock can hold: no wait at all.
            let due = Duration::try_from_secs_f64(sent as f64 / rate).unwrap_or_default();
            let ahead = due.saturating_sub(self.began.elapsed());
            // Timers count milliseconds: what is less comes due with a later message.
            if ahead >= Duration::from_millis(1) {
                tokio::time::sleep(ahead).await;
            }
        }
        before.elapsed()
    }
}

/// Timers are late by up to this.
const TIMER: Duration = Duration::from_millis(2);

/// Waits, exactly also where timers are too coarse; other tasks go on meanwhile.
pub(super) async fn pause(span: Duration) {
    if span.is_zero() {
        return;
    }
    if span >= TIMER {
        tokio::time::sleep(span).await;
        return;
    }
    let began = Instant::now();
    while began.elapsed() < span {
        tokio::task::yield_now().await;
    }
}

/// What messages look like.
#[derive(Clone, Debug, Args)]
pub(super) struct Content {
    /// Publish on SUBJECT.N, with the message's number as N
    #[arg(long)]
    multisubject: bool,
    /// How many subjects --multisubject makes at most; 0 is no limit
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    multisubjectmax: u64,
    /// With --multisubject: any of the subjects, not one after the other
    #[arg(long, requires = "multisubject")]
    multisubjectrandomize: bool,
    #[command(flatten)]
    body: BodyOptions,
}

/// What is in messages.
#[derive(Clone, Debug, Args)]
pub(super) struct BodyOptions {
    /// File with the body, instead of --size
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// Header, may be given several times
    #[arg(short = 'H', long, value_name = "KEY:VALUE")]
    header: Vec<String>,
}

impl Content {
    pub(super) fn facts(&self, subject: &str) -> Facts {
        let facts = Facts::default()
            .text("subject", &listened(subject, self.multisubject))
            .flag("multi-subject", self.multisubject);
        match self.multisubject {
            true => facts
                .number("multi-subject-max", self.multisubjectmax)
                .flag("multi-subject-randomize", self.multisubjectrandomize),
            false => facts,
        }
    }

    /// What a subscriber, or a stream, has to listen on.
    pub(super) fn listened(&self, subject: &str) -> String {
        listened(subject, self.multisubject)
    }

    pub(super) fn shape(&self, subject: &str, size: usize) -> Result<Shape, Failure> {
        let many = self
            .multisubject
            .then_some(Many { max: self.multisubjectmax, random: self.multisubjectrandomize });
        Shape::new(subject, many, &self.body, size)
    }
}

/// SUBJECT or SUBJECT.*
pub(super) fn listened(subject: &str, many: bool) -> String {
    if many { format!("{subject}.*") } else { subject.to_owned() }
}

/// What a client publishes.
#[derive(Clone)]
pub(super) struct Shape {
    subject: Subject,
    many: Option<Many>,
    pub(super) body: Bytes,
    pub(super) headers: Option<HeaderMap>,
}

#[derive(Clone, Copy)]
struct Many {
    /// 0 is no limit.
    max: u64,
    random: bool,
}

impl Shape {
    /// # Errors
    /// A subject that nobody may publish to; a header that is none; a file that cannot be read.
    fn new(
        subject: &str,
        many: Option<Many>,
        body: &BodyOptions,
        size: usize,
    ) -> Result<Self, Failure> {
        if subject.split('.').any(|token| token == "*" || token == ">") {
            return Err(Failure::usage(format!("nothing can be published on {subject}"))
                .hint("a subject without * and >; --multisubject makes several"));
        }
        let checked = Subject::validated(subject)
            .map_err(|_| Failure::usage(format!("`{subject}` is no subject")))?;
        let mut headers = HeaderMap::new();
        for header in &body.header {
            let bad = || Failure::usage(format!("header `{header}` is not of the form Key:Value"));
            let (name, value) = header.split_once(':').ok_or_else(bad)?;
            let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
            let value: HeaderValue = value.trim().parse().map_err(|_| bad())?;
            headers.append(name, value);
        }
        let headers = (!headers.is_empty()).then_some(headers);
        let body = match &body.payload {
            Some(path) => {
                std::fs::read(path).map_err(|error| Failure::io(path.display(), &error))?.into()
            }
            None => vec![0; size].into(),
        };
        Ok(Self { subject: checked, many, body, headers })
    }

    /// For requests.
    pub(super) fn plain(subject: &str, body: &BodyOptions, size: usize) -> Result<Self, Failure> {
        Self::new(subject, None, body, size)
    }

    /// The subject of message number `nth`, from 0.
    pub(super) fn subject(&self, nth: u64) -> Subject {
        let Some(Many { max, random }) = self.many else { return self.subject.clone() };
        let subject = &self.subject;
        if max == 0 {
            return format!("{subject}.{nth}").into();
        }
        let number = if random { rand::rng().random_range(0..max) } else { nth % max };
        // All of the same length, as with the `nats` tool.
        let width = max.checked_ilog10().unwrap_or(0) as usize + 1;
        format!("{subject}.{number:0width$}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: BodyOptions = BodyOptions { payload: None, header: Vec::new() };

    fn shape(max: u64, random: bool) -> Shape {
        Shape::new("a", Some(Many { max, random }), &BODY, 3).unwrap()
    }

    #[test]
    fn subjects_come_round_and_have_one_length() {
        let ten = shape(10, false);
        assert_eq!(ten.subject(3).as_str(), "a.03");
        assert_eq!(ten.subject(13).as_str(), "a.03");
        assert_eq!(shape(0, false).subject(1234).as_str(), "a.1234");
        let random = shape(3, true);
        for nth in 0..50 {
            let subject = random.subject(nth);
            assert!(["a.0", "a.1", "a.2"].contains(&subject.as_str()), "{subject}");
        }
        let one = Shape::plain("a.b", &BODY, 3).unwrap();
        assert_eq!((one.subject(7).as_str(), one.body.len()), ("a.b", 3));
        assert_eq!((listened("a", false), listened("a", true)), ("a".into(), "a.*".into()));
    }

    #[test]
    fn what_cannot_be_published_is_refused() {
        for subject in ["a.*", ">", "a..b", "", "a b"] {
            assert!(Shape::plain(subject, &BODY, 0).is_err(), "{subject}");
        }
        let options = |header: &str| BodyOptions { payload: None, header: vec![header.into()] };
        for header in ["nothing", "a b:c"] {
            assert!(Shape::plain("a", &options(header), 0).is_err(), "{header}");
        }
        let shape = Shape::plain("a", &options("Key: a:b"), 0).unwrap();
        assert_eq!(shape.headers.unwrap().get("Key").unwrap().as_str(), "a:b");
        let missing = BodyOptions { payload: Some("/no/such".into()), header: Vec::new() };
        assert!(Shape::plain("a", &missing, 0).is_err());
    }

    #[test]
    fn a_duration_makes_a_number_of_messages() {
        let common = Common {
            clients: 1,
            msgs: Some(7),
            size: 0,
            no_progress: true,
            progress: false,
            csv: None,
            compare: None,
        };
        let pacing = |throughput, millis| Pacing {
            throughput,
            duration: Some(Duration::from_millis(millis)),
        };
        assert_eq!(Pacing::default().messages(&common).unwrap(), 7);
        assert_eq!(pacing(Some(1000), 2500).messages(&common).unwrap(), 2500);
        assert!(pacing(Some(1), 100).messages(&common).is_err());
    }

    #[test]
    fn bodies_have_sizes_that_are_not_negative() {
        assert_eq!(body_size("128B"), Ok(128));
        assert_eq!(body_size("16K"), Ok(16 << 10));
        assert!(body_size("-1").is_err());
    }
}
