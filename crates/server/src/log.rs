//! The server's log in nats-server's format: `[pid] 2026/01/31 12:00:00.123456 [INF] text`.
//!
//! Lines go to stderr, to a file, or as plain texts to the system's log. A line is one write. Rotation by size: when a line has made the file
//! larger than the limit, it is renamed to `FILE.YYYY.MM.DD.hh.mm.ss.nnnnnnnnn` and a new one begun
//! (nats-server 2.15.1).

use std::fmt::Arguments;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::syslog::{Syslog, Target};

/// How a line is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `[INF]`
    Info,
    /// `[DBG]`, only with debug on.
    Debug,
    /// `[WRN]`
    Warn,
    /// `[ERR]`
    Error,
    /// `[FTL]`
    Fatal,
    /// `[TRC]`, only with trace on.
    Trace,
}

impl Level {
    fn label(self) -> &'static str {
        match self {
            Level::Info => "INF",
            Level::Debug => "DBG",
            Level::Warn => "WRN",
            Level::Error => "ERR",
            Level::Fatal => "FTL",
            Level::Trace => "TRC",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Level::Info => "32",
            Level::Debug => "36",
            Level::Warn => "0;93",
            Level::Error | Level::Fatal => "31",
            Level::Trace => "33",
        }
    }
}

/// Where and how the log is written.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// The file; `None` is stderr.
    pub file: Option<PathBuf>,
    /// Bytes after which the file is rotated; 0 never.
    pub size_limit: u64,
    /// Files kept in all, the live one included; 0 keeps all.
    pub max_files: usize,
    /// Whether lines carry the time.
    pub time: bool,
    /// Whether that time is UTC instead of local.
    pub utc: bool,
    /// Whether debug lines are written.
    pub debug: bool,
    /// Whether protocol traces are written.
    pub trace: bool,
    /// Nothing is written at all (the default of an embedded server).
    pub off: bool,
    /// The log of this machine in place of stderr.
    pub syslog: bool,
    /// The log of another machine, as `udp://host:514`, in place of both.
    pub remote_syslog: Option<String>,
}

enum Sink {
    None,
    Stderr { colour: bool },
    File { file: File, path: PathBuf, size: u64 },
    System(Syslog),
}

struct Inner {
    options: LogOptions,
    sink: Sink,
}

/// The log of one server.
pub struct Log {
    inner: Mutex<Inner>,
    debug: AtomicBool,
    trace: AtomicBool,
    pid: u32,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640);
    }
    let file = options.open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Log {
    /// Opens the log.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(options: LogOptions) -> io::Result<Self> {
        let log = Log {
            debug: AtomicBool::new(options.debug),
            trace: AtomicBool::new(options.trace),
            pid: std::process::id(),
            inner: Mutex::new(Inner { options: LogOptions::default(), sink: Sink::None }),
        };
        log.replace(options)?;
        Ok(log)
    }

    /// Applies other options, as a reload does.
    ///
    /// # Errors
    /// The file cannot be opened; the old log stays.
    pub fn replace(&self, options: LogOptions) -> io::Result<()> {
        let sink = match &options.file {
            _ if options.off => Sink::None,
            // A file wins over a log elsewhere, and that over the one here (nats-server 2.15.1).
            Some(path) => {
                let (file, size) = open(path)?;
                Sink::File { file, path: path.clone(), size }
            }
            None => match &options.remote_syslog {
                Some(url) => Sink::System(Syslog::open(Target::parse(url)?)?),
                None if options.syslog => Sink::System(Syslog::open(Target::Local)?),
                None => Sink::Stderr { colour: io::stderr().is_terminal() },
            },
        };
        self.debug.store(options.debug, Ordering::Relaxed);
        self.trace.store(options.trace, Ordering::Relaxed);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner { options, sink };
        if let Sink::File { size, .. } = &inner.sink
            && inner.options.size_limit > 0
            && *size > inner.options.size_limit
        {
            self.rotate(&mut inner);
        }
        Ok(())
    }

    /// Opens the file anew, after an outside tool moved it away.
    ///
    /// # Errors
    /// The file cannot be opened; the old one stays.
    pub fn reopen(&self) -> io::Result<()> {
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Sink::File { path, .. } = &inner.sink else { return Ok(()) };
            let path = path.clone();
            let (file, size) = open(&path)?;
            inner.sink = Sink::File { file, path, size };
        }
        self.write(Level::Info, format_args!("File log re-opened"));
        Ok(())
    }

    /// Whether debug lines are written.
    pub fn is_debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// Whether protocol traces are written.
    pub fn is_trace(&self) -> bool {
        self.trace.load(Ordering::Relaxed)
    }

    /// Writes a line. What cannot be written is lost: a log must not stop a server.
    pub fn write(&self, level: Level, text: Arguments<'_>) {
        if (level == Level::Debug && !self.is_debug())
            || (level == Level::Trace && !self.is_trace())
        {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_line(&mut inner, level, text);
        if let Sink::File { size, .. } = &inner.sink
            && inner.options.size_limit > 0
            && *size > inner.options.size_limit
        {
            self.rotate(&mut inner);
        }
    }

    fn write_line(&self, inner: &mut Inner, level: Level, text: Arguments<'_>) {
        let mut line = String::with_capacity(96);
        let time = if inner.options.time { stamp(inner.options.utc) } else { String::new() };
        let pid = self.pid;
        let label = level.label();
        // Control bytes of peers must not forge lines.
        let text = text.to_string().replace(['\n', '\r'], " ");
        if let Sink::System(syslog) = &mut inner.sink {
            syslog.write(level, &text);
            return;
        }
        use std::fmt::Write as _;
        let _ = match &inner.sink {
            Sink::None => return,
            Sink::Stderr { colour: true } => {
                let colour = level.colour();
                writeln!(line, "[{pid}] {time}[\x1b[{colour}m{label}\x1b[0m] {text}")
            }
            _ => writeln!(line, "[{pid}] {time}[{label}] {text}"),
        };
        match &mut inner.sink {
            Sink::None | Sink::System(_) => {}
            Sink::Stderr { .. } => {
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
            Sink::File { file, size, .. } => {
                if file.write_all(line.as_bytes()).is_ok() {
                    *size += line.len() as u64;
                }
            }
        }
    }

    fn rotate(&self, inner: &mut Inner) {
        let Sink::File { path, .. } = &inner.sink else { return };
        let path = path.clone();
        let mut backup = path.clone().into_os_string();
        backup.push(now(inner.options.utc).strftime(".%Y.%m.%d.%H.%M.%S.%9f").to_string());
        if std::fs::rename(&path, &backup).is_err() {
            return;
        }
        let Ok((file, size)) = open(&path) else { return };
        inner.sink = Sink::File { file, path: path.clone(), size };
        let backup = PathBuf::from(backup);
        self.write_line(
            inner,
            Level::Info,
            format_args!("Rotated log, backup saved as \"{}\"", backup.display()),
        );
        if inner.options.max_files > 0 {
            for old in surplus_backups(&path, inner.options.max_files.saturating_sub(1)) {
                if std::fs::remove_file(&old).is_ok() {
                    self.write_line(
                        inner,
                        Level::Info,
                        format_args!("Purged log file \"{}\"", old.display()),
                    );
                }
            }
        }
    }
}

fn surplus_backups(path: &Path, keep: usize) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let prefix = format!("{name}.");
    let mut backups: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)).is_some_and(
                |rest| {
                    rest.len() == 29
                        && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
                },
            )
        })
        .map(|entry| entry.path())
        .collect();
    backups.sort();
    backups.truncate(backups.len().saturating_sub(keep));
    backups
}

fn now(utc: bool) -> DateTime {
    let zone = if utc { TimeZone::UTC } else { crate::zone::local() };
    zone.to_datetime(Timestamp::now())
}

fn stamp(utc: bool) -> String {
    let at = now(utc);
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let micros = at.subsec_nanosecond() / 1000;
    format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} ")
}

/// Writes an `[INF]` line.
#[macro_export]
#[doc(hidden)]
macro_rules! log_info { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Info, format_args!($($arg)*)) } }
/// Writes a `[DBG]` line.
#[macro_export]
#[doc(hidden)]
macro_rules! log_debug { ($log:expr, $($arg:tt)*) => { if $log.is_debug() { $log.write($crate::log::Level::Debug, format_args!($($arg)*)) } } }
/// Writes a `[WRN]` line.
#[macro_export]
#[doc(hidden)]
macro_rules! log_warn { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Warn, format_args!($($arg)*)) } }
/// Writes an `[ERR]` line.
#[macro_export]
#[doc(hidden)]
macro_rules! log_error { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Error, format_args!($($arg)*)) } }

#[cfg(test)]
mod tests {
    use super::*;

    // Shows U-117.
    #[test]
    fn lines_have_the_format_of_the_reference() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        let log = Log::open(LogOptions {
            file: Some(path.clone()),
            time: true,
            utc: true,
            ..LogOptions::default()
        })
        .unwrap();
        log.write(Level::Info, format_args!("Server is ready"));
        log.write(Level::Debug, format_args!("not shown"));
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.strip_prefix(&format!("[{}] ", std::process::id())).unwrap();
        let (time, rest) = line.split_at(26);
        assert_eq!(rest, " [INF] Server is ready\n");
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000/00/00 00:00:00.000000");
    }

    // Shows U-118.
    #[test]
    fn a_size_limit_keeps_backups_up_to_the_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        let options = LogOptions {
            file: Some(path.clone()),
            size_limit: 200,
            max_files: 3,
            ..LogOptions::default()
        };
        let log = Log::open(options).unwrap();
        for number in 0..100 {
            log.write(Level::Info, format_args!("line {number} {}", "x".repeat(40)));
        }
        log.reopen().unwrap();
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 3);
        assert!(std::fs::metadata(path).unwrap().len() <= 400);
    }
}
