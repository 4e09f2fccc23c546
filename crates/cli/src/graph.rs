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

/// How values are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Count,
    Bytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let whole = value.round().max(0.0) as u64;
        match self {
            Self::Count => units::count(whole),
            Self::Bytes => units::size(whole),
        }
    }
}

/// A curve.
struct Curve {
    name: &'static str,
    unit: Unit,
    values: VecDeque<f64>,
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

    /// Takes in a value for each curve, and shows them.
    pub(crate) fn push(&mut self, values: &[f64]) {
        for (curve, value) in self.curves.iter_mut().zip(values) {
            curve.values.push_back(*value);
            if curve.values.len() > WINDOW {
                curve.values.pop_front();
            }
        }
        if self.out.json {
            let mut object = Map::new();
            object.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
            for (curve, value) in self.curves.iter().zip(values) {
                object.insert(curve.name.replace([' ', '/'], "_"), (*value).into());
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
        for Curve { name, unit, values } in &self.curves {
            let last = values.back().copied().unwrap_or(0.0);
            let title = format!("{name}: {}", unit.show(last));
            let values: Vec<f64> = values.iter().copied().collect();
            text.push_str(&plot::line(&title, &values, (width, HEIGHT), |value| unit.show(value)));
            text.push('\n');
        }
        text
    }
}

/// Asks `look` for values at each interval until Ctrl-C or the last sample.
///
/// # Errors
/// The first look fails; a later one that does is a warning.
pub(crate) async fn watch(
    context: &Context,
    pace: &Pace,
    mut graph: Graph,
    mut look: impl AsyncFnMut() -> Result<Vec<f64>, Failure>,
) -> Outcome {
    if pace.interval.is_zero() {
        return Err(Failure::usage("--interval must be above zero"));
    }
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
            Ok(values) => graph.push(&values),
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
pub(crate) struct Rate(Option<(u64, std::time::Instant)>);

impl Rate {
    /// The rate since the time before; 0 at first, and when the counter began anew.
    pub(crate) fn of(&mut self, count: u64) -> f64 {
        let now = std::time::Instant::now();
        let before = self.0.replace((count, now));
        let Some((old, at)) = before else { return 0.0 };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(old) as f64 / seconds } else { 0.0 }
    }
}
