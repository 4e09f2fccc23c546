//! A line at the terminal that says how far long work is.

use std::time::{Duration, Instant};

use crate::output::Output;
use crate::units;

/// Characters of the bar.
const WIDTH: usize = 30;

/// How often it is drawn at most.
const PACE: Duration = Duration::from_millis(100);

/// How far a transfer is. Drawn on a terminal only, never with `-q` or `--json`.
pub(crate) struct Bar {
    out: Output,
    label: String,
    /// Bytes in all; 0 is not known.
    total: u64,
    done: u64,
    started: Instant,
    drawn: Option<Instant>,
    on: bool,
}

impl Bar {
    pub(crate) fn new(out: Output, label: impl Into<String>, total: u64, on: bool) -> Self {
        let on = on && out.has_progress();
        let label = label.into();
        Self { out, label, total, done: 0, started: Instant::now(), drawn: None, on }
    }

    /// So many bytes more are done.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.on && self.drawn.is_none_or(|at| at.elapsed() >= PACE) {
            self.drawn = Some(Instant::now());
            self.out.progress(&self.line(self.started.elapsed()), false);
        }
    }

    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// The work is over; the last line stays.
    pub(crate) fn finish(self) {
        if self.on {
            self.out.progress(&self.line(self.started.elapsed()), true);
        }
    }

    fn line(&self, took: Duration) -> String {
        let rate = self.done as f64 / took.as_secs_f64().max(0.001);
        let rate = format!("{}/s", units::size(rate as u64));
        let done = units::size(self.done);
        if self.total == 0 {
            return format!("{}  {done}  {rate}", self.label);
        }
        let share = (self.done as f64 / self.total as f64).min(1.0);
        let full = (share * WIDTH as f64) as usize;
        let bar = "█".repeat(full) + &"░".repeat(WIDTH - full);
        let percent = (share * 100.0) as u64;
        format!("{}  {bar} {percent:>3}%  {done} / {}  {rate}", self.label, units::size(self.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{ColorChoice, Format};

    #[test]
    fn a_bar_fills_up() {
        let out = Output::new(false, true, Format::Table, ColorChoice::Never);
        let mut bar = Bar::new(out, "up", 2048, true);
        bar.add(1024);
        let line = bar.line(Duration::from_secs(1));
        assert!(line.contains(" 50%  1.0 KiB / 2.0 KiB  1.0 KiB/s"), "{line}");
        assert_eq!(line.matches('█').count(), 15);
        bar.add(4096);
        assert!(bar.line(Duration::from_secs(1)).contains("100%"));
        let unknown = Bar::new(out, "up", 0, true);
        assert_eq!(unknown.line(Duration::ZERO), "up  0 B  0 B/s");
    }
}
