//! How far the clients are: bars on a terminal, else a line now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use tokio::time::{Interval, MissedTickBehavior};

use super::options::Common;
use crate::output::Output;
use crate::units;

/// More clients share one bar.
const BARS: usize = 8;

/// How often bars move. Clients only count: they never wait for this.
const FRAME: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Shows how far the clients are.
pub(super) struct Progress {
    out: Output,
    ticks: Interval,
    seen: Vec<Arc<AtomicU64>>,
    /// 0 if there is no end.
    total: u64,
    show: Show,
}

enum Show {
    Nothing,
    Lines,
    /// One for each client, or one for all.
    Bars(Vec<ProgressBar>),
}

impl Progress {
    /// `seen` counts the messages of each client, `shares` says how many they will be.
    pub(super) fn new(
        out: &Output,
        common: &Common,
        shares: &[u64],
        seen: Vec<Arc<AtomicU64>>,
    ) -> Self {
        let open = shares.contains(&u64::MAX);
        let total = if open {
            0
        } else {
            shares.iter().fold(0, |sum: u64, share| sum.saturating_add(*share))
        };
        let show = match (common.no_progress, out.has_progress()) {
            (true, _) => Show::Nothing,
            (false, false) => Show::Lines,
            (false, true) => Show::Bars(bars(open, total, shares)),
        };
        let mut ticks =
            tokio::time::interval(if matches!(show, Show::Bars(_)) { FRAME } else { LINE });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.reset();
        Self { out: *out, ticks, seen, total, show }
    }

    /// Shows it when it is time to.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
        match &self.show {
            Show::Nothing => {}
            Show::Lines => {
                let done: u64 = self.counts().sum();
                let end = match self.total {
                    0 => String::new(),
                    total => format!(" of {}", units::count(total)),
                };
                self.out.log(format!("{}{end} messages", units::count(done)));
            }
            Show::Bars(_) => self.draw(),
        }
    }

    /// Leaves the bars as they are.
    pub(super) fn finish(self) {
        self.draw();
        if let Show::Bars(bars) = self.show {
            for bar in bars {
                bar.abandon();
            }
        }
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.seen.iter().map(|seen| seen.load(Ordering::Relaxed))
    }

    fn draw(&self) {
        let Show::Bars(bars) = &self.show else { return };
        match bars.as_slice() {
            [bar] => bar.set_position(self.counts().sum()),
            bars => bars.iter().zip(self.counts()).for_each(|(bar, seen)| bar.set_position(seen)),
        }
    }
}

fn bars(open: bool, total: u64, shares: &[u64]) -> Vec<ProgressBar> {
    let group = MultiProgress::new();
    let template = if open {
        "{spinner} {elapsed:>4} {human_pos} messages {rate}"
    } else {
        "{elapsed:>4} [{bar:40}] {percent:>3}% {human_pos}/{human_len} {rate}"
    };
    // A template that is wrong costs its beauty only.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            // Writes into a text, which cannot fail.
            let _ = write!(to, "{}/s", units::count(state.per_sec() as u64));
        })
        .progress_chars("=> ");
    let each = shares.len() <= BARS && !open;
    let lengths: Vec<u64> = if each { shares.to_vec() } else { vec![total] };
    let bar = |length| {
        let bar = if open { ProgressBar::no_length() } else { ProgressBar::new(length) };
        group.add(bar.with_style(style.clone()))
    };
    lengths.into_iter().map(bar).collect()
}
