//! Curves over time: drawn anew with each value on a terminal, once at the end elsewhere, and with
//! `--json` an object for each value.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plot;
use crate::units;

/// Values that a curve goes back.
const WINDOW: usize = 120;

/// Lines of a curve, without its title.
const HEIGHT: u16 = 10;

/// How often, and how long.
#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// Time between two values
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = units::parse_duration)]
    interval: Duration,
    /// End after so many values
    #[arg(long, value_name = "N")]
    samples: Option<u64>,
}

/// What is drawn of a number, and how it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Count,
    Bytes,
    /// By how much a counter grows in a second.
    CountRate,
    BytesRate,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let whole = value.round().max(0.0) as u64;
        match self {
            Self::Count | Self::CountRate => units::count(whole),
            Self::Bytes | Self::BytesRate => units::size(whole),
        }
    }
}

/// A curve.
struct Curve {
    name: &'static str,
    unit: Unit,
    rate: Rate,
    values: VecDeque<f64>,
}

impl Curve {
    fn push(&mut self, number: u64) {
        self.values.push_back(match self.unit {
            Unit::Count | Unit::Bytes => number as f64,
            Unit::CountRate | Unit::BytesRate => self.rate.of(number),
        });
        if self.values.len() > WINDOW {
            self.values.pop_front();
        }
    }

    fn last(&self) -> f64 {
        self.values.back().copied().unwrap_or(0.0)
    }
}

/// Curves below each other.
pub(crate) struct Graph {
    out: Output,
    title: String,
    curves: Vec<Curve>,
    terminal: bool,
    /// Lines on the terminal that are ours.
    drawn: usize,
}

impl Graph {
    pub(crate) fn new(out: Output, title: String, curves: &[(&'static str, Unit)]) -> Self {
        let curve = |(name, unit): &(&'static str, Unit)| Curve {
            name,
            unit: *unit,
            rate: Rate::default(),
            values: VecDeque::new(),
        };
        Self {
            terminal: std::io::stdout().is_terminal() && !out.json,
            out,
            title,
            curves: curves.iter().map(curve).collect(),
            drawn: 0,
        }
    }

    /// Takes in a number for each curve, and shows them.
    pub(crate) fn push(&mut self, numbers: &[u64]) {
        for (curve, number) in self.curves.iter_mut().zip(numbers) {
            curve.push(*number);
        }
        if self.out.json {
            let mut object = Map::new();
            object.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
            for curve in &self.curves {
                object.insert(curve.name.replace([' ', '/'], "_"), curve.last().into());
            }
            self.out.object(&Value::Object(object));
        } else if self.terminal {
            let text = self.text();
            let up = match self.drawn {
                0 => String::new(),
                lines => format!("\x1b[{lines}A\x1b[J"),
            };
            self.drawn = text.lines().count();
            self.out.data(format!("{up}{text}").as_bytes());
        }
    }

    /// Writes them once, where they have not been shown.
    pub(crate) fn finish(self) {
        if !self.terminal && !self.out.json {
            self.out.line(self.text().trim_end());
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        let width = if self.terminal { plot::width() } else { plot::WIDTH };
        for curve in &self.curves {
            let show = |value| curve.unit.show(value);
            let title = format!("{}: {}", curve.name, show(curve.last()));
            let values: Vec<f64> = curve.values.iter().copied().collect();
            text.push_str(&plot::line(&title, &values, (width, HEIGHT), show));
            text.push('\n');
        }
        text
    }
}

/// Draws what `look` brings, a number for each curve, at each interval until Ctrl-C or the last sample.
///
/// # Errors
/// The first look fails; a later one that does is a warning.
pub(crate) async fn watch(
    context: &Context,
    pace: &Pace,
    title: String,
    curves: &[(&'static str, Unit)],
    mut look: impl AsyncFnMut() -> Result<Vec<u64>, Failure>,
) -> Outcome {
    if pace.interval.is_zero() {
        return Err(Failure::usage("--interval must be above zero"));
    }
    let mut graph = Graph::new(context.out, title, curves);
    context.interrupt.finish_gracefully();
    let mut ticks = tokio::time::interval(pace.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = 0;
    while pace.samples.is_none_or(|samples| seen < samples) {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.interrupt.raised() => break,
        }
        match look().await {
            Ok(numbers) => graph.push(&numbers),
            Err(failure) if seen == 0 => return Err(failure),
            Err(failure) => context.out.warn(failure.message),
        }
        seen += 1;
    }
    graph.finish();
    Ok(())
}

/// Turns a counter into a rate per second.
#[derive(Default)]
struct Rate(Option<(u64, std::time::Instant)>);

impl Rate {
    /// The rate since the time before; 0 at first, and when the counter began anew.
    fn of(&mut self, count: u64) -> f64 {
        let now = std::time::Instant::now();
        let before = self.0.replace((count, now));
        let Some((old, at)) = before else { return 0.0 };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(old) as f64 / seconds } else { 0.0 }
    }
}
