//! The flags.

use std::path::PathBuf;
use std::time::Duration;

use natterjack::jetstream::Storage;
use natterjack::{Secret, pretty};

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

/// The flags that every program has.
pub trait Flags {
    /// They.
    fn basic(&self) -> &Options;
}

impl Flags for Options {
    fn basic(&self) -> &Options {
        self
    }
}

/// Lets an option set be used as the smaller one inside it.
macro_rules! holds {
    ($outer:ty, $field:ident: $inner:ty $(, $param:ident)?) => {
        impl $(<$param: clap::Args + Flags>)? Flags for $outer {
            fn basic(&self) -> &Options {
                self.$field.basic()
            }
        }

        impl $(<$param: clap::Args>)? std::ops::Deref for $outer {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.$field
            }
        }
    };
}

/// Options with a credentials file: pair 2.
#[derive(Debug, Clone, clap::Parser)]
pub struct CredsOptions {
    #[command(flatten)]
    basic: Options,
    /// The credentials file; `natterjack auth quick DIR` makes some
    #[arg(long, env = "NATS_CREDS", value_name = "FILE")]
    pub creds: PathBuf,
    /// A subject that the user may not publish to
    #[arg(long, default_value = "demo.secret", value_name = "SUBJECT")]
    pub forbidden: String,
}
holds!(CredsOptions, basic: Options);

/// Options with a stream: publishers of pairs 3, 4, 7 and 8.
#[derive(Debug, Clone, clap::Parser)]
pub struct StreamOptions {
    #[command(flatten)]
    basic: Options,
    /// The stream
    #[arg(long, default_value = "sample_stream", value_name = "NAME")]
    pub stream: String,
    /// Where the stream keeps its messages; a new one is on disk unless this says otherwise
    #[arg(long, value_enum)]
    pub storage: Option<StorageOption>,
    /// How many servers of a cluster keep them
    #[arg(long, value_name = "N")]
    pub replicas: Option<usize>,
    /// Fail if the stream does not exist
    #[arg(long)]
    pub no_create: bool,
}
holds!(StreamOptions, basic: Options);

/// Options with a durable consumer: subscribers of pairs 3, 4, 7 and 8.
#[derive(Debug, Clone, clap::Parser)]
pub struct ConsumerOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// The durable consumer
    #[arg(long, default_value = "sample_subscriber", value_name = "NAME")]
    pub durable: String,
    /// After this time a message that was not acknowledged is delivered again
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub ack_wait: Duration,
    /// Exit at the Nth message without acknowledging it, as if the program had crashed
    #[arg(long, value_name = "N")]
    pub crash_at: Option<u64>,
}
holds!(ConsumerOptions, stream: StreamOptions);

/// Options that lose the connection on purpose: from pair 4 on.
#[derive(Debug, Clone, clap::Parser)]
pub struct Chaos<T: clap::Args> {
    #[command(flatten)]
    inner: T,
    /// Force a reconnect every 3 s
    #[arg(long)]
    chaos: bool,
    /// Another time between two of them
    #[arg(long, default_value = "3s", value_parser = duration, hide = true)]
    chaos_every: Duration,
}
holds!(Chaos<T>, inner: T, T);

impl<T: clap::Args> Chaos<T> {
    /// The time between two losses, if the connection is to be lost on purpose.
    pub fn chaos(&self) -> Option<Duration> {
        self.chaos.then_some(self.chaos_every)
    }
}

/// Options of the subscribers of pairs 4, 7 and 8.
#[derive(Debug, Clone, clap::Parser)]
pub struct SlowOptions {
    #[command(flatten)]
    chaos: Chaos<ConsumerOptions>,
    /// Subscribe to the subject a second time, and read that too slowly
    #[arg(long)]
    pub slow: bool,
}
holds!(SlowOptions, chaos: Chaos<ConsumerOptions>);

/// Options with a bucket: publishers of pairs 5 and 6.
#[derive(Debug, Clone, clap::Parser)]
pub struct BucketOptions {
    #[command(flatten)]
    basic: Options,
    /// The bucket
    #[arg(long, default_value = "sample_kv", value_name = "NAME")]
    pub bucket: String,
    /// Where the bucket keeps its values; a new one is on disk unless this says otherwise
    #[arg(long, value_enum)]
    pub storage: Option<StorageOption>,
    /// How many servers of a cluster keep them
    #[arg(long, value_name = "N")]
    pub replicas: Option<usize>,
}
holds!(BucketOptions, basic: Options);

/// Options of the subscribers of pairs 5 and 6.
#[derive(Debug, Clone, clap::Parser)]
pub struct WatchOptions {
    #[command(flatten)]
    chaos: Chaos<BucketOptions>,
    /// Fail if the bucket does not exist, in place of waiting for it
    #[arg(long)]
    pub no_wait: bool,
    /// Beside the watch, read the key again and again, and compare
    #[arg(long)]
    pub poll: bool,
}
holds!(WatchOptions, chaos: Chaos<BucketOptions>);

/// Options with a token: pair 6.
#[derive(Debug, Clone, clap::Parser)]
pub struct Token<T: clap::Args> {
    #[command(flatten)]
    inner: T,
    /// The token; better given by the variable, for a command line can be seen by others
    #[arg(long, env = "NATS_TOKEN", hide_env_values = true, default_value = "",
          hide_default_value = true, value_parser = secret)]
    pub token: Secret,
    /// A file that holds the token; it is read anew at each reconnect
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}
holds!(Token<T>, inner: T, T);

/// Options with log files: pair 8.
#[derive(Debug, Clone, clap::Parser)]
pub struct Logged<T: clap::Args> {
    #[command(flatten)]
    inner: T,
    /// The directory of the log files
    #[arg(long, default_value = "logs", value_name = "DIR")]
    pub log_dir: PathBuf,
    /// The size at which a log file is set aside, in bytes
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    pub log_size: u64,
    /// How many of them are kept
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub log_files: u32,
}
holds!(Logged<T>, inner: T, T);

impl<T: clap::Args> Logged<T> {
    /// The options of pair 7 among these.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// `file` or `memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StorageOption {
    /// On disk.
    File,
    /// In memory.
    Memory,
}

impl From<StorageOption> for Storage {
    fn from(option: StorageOption) -> Self {
        match option {
            StorageOption::File => Self::File,
            StorageOption::Memory => Self::Memory,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap asks for a Result")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(text.into())
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
