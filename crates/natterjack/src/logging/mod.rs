//! Logs of programs: a coloured console, a rotating file, JSON lines; each with a filter of its own that
//! can be changed while the program runs.
//!
//! ```no_run
//! use natterjack::logging::{self, LogConfig, LogFile};
//! use natterjack::mib;
//!
//! let guard = logging::init(
//!     LogConfig::new().file(LogFile::new("logs/publisher.log").max_bytes(mib(1)).backups(10)),
//! );
//! tracing::info!(bucket = "CONFIG", rev = 7, "watch ready");
//! drop(guard); // writes what is left
//! ```
//!
//! A line is `2026-01-31 12:00:00.123 INFO  natterjack::kv bucket=CONFIG rev=7 | watch ready`; in a
//! file the time has its date and offset in the form of RFC 3339. Files rotate as Python's
//! `RotatingFileHandler` does. Writing to them never blocks the program: lines wait for a thread, and
//! what does not fit or cannot be written is counted ([`LogGuard::lost_lines`]) and reported at the end.

mod file;
mod json;
mod line;

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt, reload};

pub use file::LogFile;

use file::Lost;

/// What is logged if nothing else is said: everything from `INFO` on, of async-nats from `WARN` on.
pub const DEFAULT_FILTER: &str = "info,async_nats=warn";

/// Waiting lines of a file beyond which new ones are lost (and counted).
const WAITING_LINES: usize = 128_000;

/// One of the places that logs go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// Standard error.
    Console,
    /// The file of lines.
    File,
    /// The file of JSON objects.
    Json,
}

/// When the console is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set; always if `CLICOLOR_FORCE` is.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to log, and where to.
#[derive(Debug, Clone)]
pub struct LogConfig {
    console: bool,
    color: Color,
    file: Option<LogFile>,
    json: Option<LogFile>,
    filter: String,
    console_filter: Option<String>,
    file_filter: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            console: true,
            color: Color::Auto,
            file: None,
            json: None,
            filter: DEFAULT_FILTER.into(),
            console_filter: None,
            file_filter: None,
        }
    }
}

impl LogConfig {
    /// A coloured console and no file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to log to standard error; default `true`.
    #[must_use]
    pub fn console(mut self, on: bool) -> Self {
        self.console = on;
        self
    }

    /// When the console is coloured.
    #[must_use]
    pub fn color(mut self, color: Color) -> Self {
        self.color = color;
        self
    }

    /// Also log lines to a file.
    #[must_use]
    pub fn file(mut self, file: LogFile) -> Self {
        self.file = Some(file);
        self
    }

    /// Also log one JSON object a line to a file, with `ts level target msg fields span trace_id`.
    #[must_use]
    pub fn json(mut self, file: LogFile) -> Self {
        self.json = Some(file);
        self
    }

    /// What to log where neither `NATTERJACK_LOG` nor `RUST_LOG` says it; default
    /// [`DEFAULT_FILTER`].
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// What to log to the console, whatever the environment says.
    #[must_use]
    pub fn console_filter(mut self, filter: impl Into<String>) -> Self {
        self.console_filter = Some(filter.into());
        self
    }

    /// What to log to the files, whatever the environment says.
    #[must_use]
    pub fn file_filter(mut self, filter: impl Into<String>) -> Self {
        self.file_filter = Some(filter.into());
        self
    }
}

/// A filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be parsed.
    #[error("bad log filter `{filter}`: {why}")]
    BadFilter {
        /// The filter.
        filter: String,
        /// What is wrong.
        why: String,
    },
    /// Nothing is logged there.
    #[error("nothing is logged to {0:?}")]
    NoSink(Sink),
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Keeps logging alive; dropping it writes what is left. Keep it until the end of `main`.
#[must_use = "logging to files ends when it is dropped"]
pub struct LogGuard {
    filters: Vec<(Sink, reload::Handle<EnvFilter, Registry>)>,
    files: Vec<file::Writing>,
    warnings: Vec<String>,
    installed: bool,
}

impl std::fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogGuard")
            .field("lost_lines", &self.lost_lines())
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Begins to log for the whole program. Never fails: what cannot be done (a file that cannot be opened, a
/// filter that cannot be parsed, logging that was set up before) is left out, logged as a warning, and
/// listed in [`LogGuard::warnings`].
pub fn init(config: LogConfig) -> LogGuard {
    let var = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (layers, mut guard) = build(config, &var);
    let subscriber = Registry::default().with(layers);
    match tracing::subscriber::set_global_default(subscriber) {
        Ok(()) => guard.installed = true,
        Err(_) => guard.warnings.push("logging was set up before; this set-up is not used".into()),
    }
    for warning in &guard.warnings {
        tracing::warn!(target: "natterjack::logging", "{warning}");
    }
    guard
}

/// As [`init`], but not for the whole program: for what runs under the subscriber that is returned, for
/// example a future by `tracing::instrument::WithSubscriber`. So two parts can log to different files.
pub fn local(config: LogConfig) -> (tracing::Dispatch, LogGuard) {
    let var = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (layers, guard) = build(config, &var);
    (tracing::Dispatch::new(Registry::default().with(layers)), guard)
}

/// Builds the layers; apart from [`init`] so that it can be tested without a global subscriber.
fn build(config: LogConfig, var: &dyn Fn(&str) -> Option<String>) -> (Vec<Boxed>, LogGuard) {
    let mut guard =
        LogGuard { filters: Vec::new(), files: Vec::new(), warnings: Vec::new(), installed: false };
    let mut layers: Vec<Boxed> = Vec::new();
    let common = var("NATTERJACK_LOG").or_else(|| var("RUST_LOG")).unwrap_or(config.filter);
    if config.console {
        let ansi = colored(config.color, var, std::io::stderr().is_terminal());
        let layer = fmt::layer()
            .with_ansi(ansi)
            .with_writer(std::io::stderr)
            .event_format(line::Line::console())
            .fmt_fields(line::Fields);
        let filter = guard.filter(Sink::Console, config.console_filter.as_ref().unwrap_or(&common));
        layers.push(layer.with_filter(filter).boxed());
    }
    let files = [(Sink::File, config.file), (Sink::Json, config.json)];
    for (sink, file) in files {
        let Some(file) = file else { continue };
        let writer = match file.open(WAITING_LINES) {
            Ok((writer, writing)) => {
                guard.files.push(writing);
                writer
            }
            Err(error) => {
                guard.warnings.push(format!("cannot log to {}: {error}", file.path().display()));
                continue;
            }
        };
        let filter = guard.filter(sink, config.file_filter.as_ref().unwrap_or(&common));
        let layer = fmt::layer().with_ansi(false).with_writer(writer).fmt_fields(line::Fields);
        layers.push(match sink {
            Sink::Json => layer.event_format(json::Json).with_filter(filter).boxed(),
            _ => layer.event_format(line::Line::file()).with_filter(filter).boxed(),
        });
    }
    (layers, guard)
}

fn colored(color: Color, var: &dyn Fn(&str) -> Option<String>, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if var("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        Color::Auto => terminal && var("NO_COLOR").is_none(),
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| LogError::BadFilter { filter: filter.to_owned(), why: error.to_string() })
}

impl LogGuard {
    fn filter(&mut self, sink: Sink, filter: &str) -> reload::Layer<EnvFilter, Registry> {
        let parsed = parse(filter).unwrap_or_else(|error| {
            self.warnings.push(format!("{error}; using {DEFAULT_FILTER}"));
            EnvFilter::new(DEFAULT_FILTER)
        });
        let (layer, handle) = reload::Layer::new(parsed);
        self.filters.push((sink, handle));
        layer
    }

    /// Changes what is logged to one place, from now on.
    ///
    /// # Errors
    /// `BadFilter`; `NoSink` if nothing is logged there.
    pub fn set_filter(&self, sink: Sink, filter: &str) -> Result<(), LogError> {
        let parsed = parse(filter)?;
        let (_, handle) =
            self.filters.iter().find(|(own, _)| *own == sink).ok_or(LogError::NoSink(sink))?;
        handle.reload(parsed).map_err(|_| LogError::NoSink(sink))
    }

    /// Lines that could not be written to files so far: the disk was full, or more came than could
    /// wait.
    #[must_use]
    pub fn lost_lines(&self) -> u64 {
        self.files.iter().map(|file| file.lost().lines()).sum()
    }

    /// What could not be done as configured.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let lost: Vec<Lost> = self.files.drain(..).map(file::Writing::finish).collect();
        for file in lost.iter().filter(|file| file.lines() > 0) {
            if self.installed {
                tracing::warn!(
                    target: "natterjack::logging",
                    "{} lines could not be written to {}",
                    file.lines(),
                    file.path().display()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteSize;

    fn no_vars(_: &str) -> Option<String> {
        None
    }

    fn read(path: &std::path::Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    // Shows U-116.
    #[test]
    fn lines_and_objects_have_the_documented_form() {
        let dir = tempfile::tempdir().unwrap();
        let (lines, objects) = (dir.path().join("a.log"), dir.path().join("a.json"));
        let config =
            LogConfig::new().console(false).file(LogFile::new(&lines)).json(LogFile::new(&objects));
        let (layers, guard) = build(config, &no_vars);
        tracing::subscriber::with_default(Registry::default().with(layers), || {
            tracing::info!(target: "natterjack::kv", bucket = "CONFIG", rev = 7, "watch ready");
            tracing::warn!(target: "x", "alone");
            let span = tracing::info_span!("order", id = 5, trace_id = "abc");
            span.in_scope(|| tracing::error!(target: "x", path = %"a b", "in a span"));
            tracing::debug!("not at this level");
            tracing::info!(target: "async_nats::connector", "not of this crate");
        });
        drop(guard);
        let text = read(&lines);
        let parts: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            parts,
            [
                "INFO  natterjack::kv bucket=CONFIG rev=7 | watch ready",
                "WARN  x | alone",
                "ERROR x id=5 trace_id=abc path=\"a b\" | in a span",
            ]
        );
        for line in text.lines() {
            let time = line.split(' ').next().unwrap();
            time.parse::<jiff::Timestamp>().unwrap();
            assert_eq!(time.find('.'), Some(19), "{time}");
        }
        let objects: Vec<serde_json::Value> =
            read(&objects).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 3);
        assert_eq!(objects[0]["level"], "INFO");
        assert_eq!(objects[0]["target"], "natterjack::kv");
        assert_eq!(objects[0]["msg"], "watch ready");
        assert_eq!(objects[0]["fields"], serde_json::json!({"bucket": "CONFIG", "rev": 7}));
        assert_eq!(objects[2]["span"], "order");
        assert_eq!(objects[2]["trace_id"], "abc");
        objects[1]["ts"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }

    // Shows U-116.
    #[test]
    fn a_filter_can_be_changed_while_logging() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let config = LogConfig::new().console(false).file(LogFile::new(&path));
        let (layers, guard) = build(config, &no_vars);
        tracing::subscriber::with_default(Registry::default().with(layers), || {
            tracing::debug!("one");
            guard.set_filter(Sink::File, "debug").unwrap();
            tracing::debug!("two");
            guard.set_filter(Sink::File, "warn").unwrap();
            tracing::info!("three");
        });
        assert_eq!(guard.set_filter(Sink::Json, "info"), Err(LogError::NoSink(Sink::Json)));
        assert!(matches!(guard.set_filter(Sink::File, "a=b=c"), Err(LogError::BadFilter { .. })));
        drop(guard);
        let text = read(&path);
        assert!(text.contains("two") && !text.contains("one") && !text.contains("three"), "{text}");
    }

    // Shows U-116.
    #[test]
    fn the_environment_wins_over_the_default_and_loses_to_a_sinks_own_filter() {
        let var = |name: &str| match name {
            "NATTERJACK_LOG" => Some("debug".to_owned()),
            "RUST_LOG" => Some("error".to_owned()),
            _ => None,
        };
        let dir = tempfile::tempdir().unwrap();
        let logged = |config: LogConfig, name: &str| {
            let path = dir.path().join(name);
            let (layers, guard) = build(config.console(false).file(LogFile::new(&path)), &var);
            tracing::subscriber::with_default(Registry::default().with(layers), || {
                tracing::debug!("a");
                tracing::warn!("b");
            });
            drop(guard);
            read(&path).lines().count()
        };
        assert_eq!(logged(LogConfig::new(), "1"), 2);
        assert_eq!(logged(LogConfig::new().file_filter("warn"), "2"), 1);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let blocker = dir.path().join("not-a-dir");
        std::fs::write(&blocker, "").unwrap();
        let config = LogConfig::new().console(false).file(LogFile::new(blocker.join("a.log")));
        let (layers, guard) = build(config, &no_vars);
        assert!(layers.is_empty());
        assert!(guard.warnings()[0].contains("a.log"), "{:?}", guard.warnings());
    }

    #[test]
    fn a_filter_that_cannot_be_parsed_is_a_warning() {
        let (layers, guard) = build(LogConfig::new().filter("a=b=c"), &no_vars);
        assert_eq!(layers.len(), 1);
        assert!(guard.warnings()[0].contains("a=b=c"));
    }

    #[test]
    fn colour_follows_the_conventions() {
        let check = |vars: &'static [&'static str], terminal| {
            let var = |name: &str| vars.contains(&name).then(|| "1".to_owned());
            colored(Color::Auto, &var, terminal)
        };
        assert!(check(&[], true));
        assert!(!check(&[], false));
        assert!(!check(&["NO_COLOR"], true));
        assert!(check(&["CLICOLOR_FORCE"], false));
    }

    #[test]
    fn rotation_loses_no_line_of_a_running_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let file = LogFile::new(&path).max_bytes(ByteSize::new(2000)).backups(1000);
        let (layers, guard) = build(LogConfig::new().console(false).file(file), &no_vars);
        tracing::subscriber::with_default(Registry::default().with(layers), || {
            for n in 0..2000 {
                tracing::info!(n, "line");
            }
        });
        assert_eq!(guard.lost_lines(), 0);
        drop(guard);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = read(&path);
            assert!(text.len() < 2000, "{}", path.display());
            for line in text.lines() {
                let n = line.split("n=").nth(1).unwrap().split(' ').next().unwrap();
                all.push(n.parse::<u32>().unwrap());
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..2000).collect::<Vec<_>>());
    }
}
