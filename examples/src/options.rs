//! The flags.

use std::time::Duration;

use natterjack::pretty;

use crate::{Failure, Outcome, Stop};

/// What every program takes.
#[derive(Debug, Clone, clap::Parser)]
#[command(version)]
pub struct Options {
    /// The server, or several separated by commas
    #[arg(long, env = "NATS_URL", default_value = "nats://localhost:4222", hide_env_values = true)]
    pub url: String,
    /// How many messages; 0 goes on until Ctrl-C
    #[arg(long, default_value_t = 10)]
    pub count: u64,
    /// The time between two messages
    #[arg(long, default_value = "500ms", value_parser = duration)]
    pub interval: Duration,
    /// The longest wait for an answer, for a lost server, and, once messages come, for the next one
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// The subject
    #[arg(long, default_value = "foo")]
    pub subject: String,
    /// Print an object per line
    #[arg(long)]
    pub json: bool,
    /// The wait between two attempts to reconnect
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub reconnect_wait: Duration,
}

impl AsRef<Options> for Options {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Options {
    /// The numbers of the messages to send, from 1.
    #[must_use]
    pub fn numbers(&self) -> std::ops::RangeInclusive<u64> {
        1..=if self.count == 0 { u64::MAX } else { self.count }
    }

    /// Whether `received` messages are not all yet.
    #[must_use]
    pub fn wants_more(&self, received: u64) -> bool {
        self.count == 0 || received < self.count
    }

    /// How long to wait for the next message: for the first one as long as it takes, since either side
    /// may start first.
    #[must_use]
    pub fn silence(&self, received: u64) -> Option<Duration> {
        (received > 0).then_some(self.timeout)
    }

    /// Fails if messages are missing though nobody asked to stop.
    ///
    /// # Errors
    /// Exit code 6.
    pub fn complete(&self, received: u64, stop: &Stop) -> Outcome {
        if stop.is_raised() || !self.wants_more(received) {
            return Ok(());
        }
        let text = format!(
            "{received} of {} messages, then nothing for {}",
            self.count,
            pretty(self.timeout)
        );
        Err(Failure::new("silence", 6, text).hint("start the publisher"))
    }
}

/// Reads `500ms`, `2s`, `1m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| "write it as 500ms, 2s or 1m".to_owned())?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("unknown unit `{unit}`; write it as 500ms, 2s or 1m")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2000),
            ("2", 2000),
            ("1.5s", 1500),
            ("1m", 60_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1x", "-1s", "1.2.3s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
