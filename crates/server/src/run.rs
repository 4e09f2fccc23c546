//! `natterjack serve`: nats-server's command line around a [`Server`].

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use natterjack_config::Options;
use natterjack_config::flags::{self, Command, Overrides, Signal};
use tokio::sync::watch;

use crate::builder::Builder;
use crate::files::RealSource;
use crate::hub::{COMPATIBLE_VERSION, Hub};
use crate::log::{Level, LogOptions};
use crate::server::Server;
use crate::start::StartError;
use crate::{log_error, log_info, signals};

/// Runs the server with nats-server's arguments (without the program's name) until it is told to stop.
/// Returns the exit code: 0 after an orderly stop, 1 after an error.
pub fn run(program: &str, arguments: impl IntoIterator<Item = String>) -> i32 {
    let command = match flags::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            if error.shows_usage() {
                say(&format!("{error}\n{}", flags::usage(program)));
            } else {
                say(&format!("{program}: {error}"));
            }
            return i32::from(error.exit_code());
        }
    };
    let outcome = match command {
        Command::Serve(overrides) => serve(program, &overrides),
        Command::Check(overrides) => check(program, &overrides),
        Command::Version => {
            tell(&format!("{program}: v{COMPATIBLE_VERSION}"));
            Ok(())
        }
        Command::Help => {
            tell(&flags::usage(program));
            Ok(())
        }
        Command::HelpTls => {
            tell(flags::usage_tls());
            Ok(())
        }
        Command::Signal { signal, target } => signals::send(program, signal, target.as_deref()),
        _ => Err("this command is not supported yet".to_owned()),
    };
    match outcome {
        Ok(()) => 0,
        Err(text) => {
            say(&format!("{program}: {text}"));
            1
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn tell(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The options of a file (if any) with the flags on top.
pub(crate) fn load(overrides: &Overrides) -> Result<Options, StartError> {
    let mut options = match overrides.config.as_deref() {
        Some(path) => Options::load(path, &RealSource)?,
        None => Options::default(),
    };
    overrides.apply(&mut options);
    Ok(options)
}

/// Reads a configuration file and all that it names, as `-t` does, and says what is wrong with it.
///
/// # Errors
/// The first thing that a server would not start with, or all wrong values.
pub fn check_file(path: &str) -> Result<Options, String> {
    let options = Options::load(path, &RealSource).map_err(|error| error.to_string())?;
    options.check_deprecated().map_err(|error| error.to_string())?;
    crate::sharing::check(&options).map_err(|error| error.to_string())?;
    crate::transport::tls::Transports::load(&options)?;
    Ok(options)
}

fn check(program: &str, overrides: &Overrides) -> Result<(), String> {
    let path = overrides
        .config
        .as_deref()
        .ok_or("must specify [-c, --config] option to check configuration file syntax")?;
    let options = check_file(path)?;
    say(&format!("{program}: configuration file {path} is valid ({})", options.config_digest));
    Ok(())
}

/// How the log is written with these options.
pub(crate) fn log_options(options: &Options) -> LogOptions {
    LogOptions {
        file: options.log_file.as_deref().filter(|file| !file.is_empty()).map(PathBuf::from),
        size_limit: options.log_size_limit,
        max_files: usize::try_from(options.log_max_num).unwrap_or(usize::MAX),
        time: options.logtime,
        utc: options.logtime_utc,
        debug: options.debug,
        trace: options.trace,
        off: false,
        syslog: options.syslog,
        remote_syslog: options.remote_syslog.clone().filter(|url| !url.is_empty()),
    }
}

fn serve(program: &str, overrides: &Overrides) -> Result<(), String> {
    let options = load(overrides).map_err(|error| error.to_string())?;
    for warning in &overrides.warnings {
        say(&format!("{program}: {warning}"));
    }
    crate::process::raise_file_limit();
    crate::tasks::note_places();
    let log = log_options(&options);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Builder::default()
        .options(options)
        .overrides(overrides.clone())
        .log(log.clone())
        .workers(workers)
        .program(program)
        .start_blocking()
        .map_err(|error| match error {
            StartError::Listen { .. } => {
                // The reference logs this one as fatal instead of printing it.
                fatal(log, &error)
            }
            other => other.to_string(),
        })?;
    wait(server)
}

fn fatal(log: LogOptions, error: &StartError) -> String {
    if let Ok(log) = crate::log::Log::open(log) {
        log.write(Level::Fatal, format_args!("{error}"));
    }
    error.to_string()
}

/// How long a server may take to stop after a panic.
const PANICKED: Duration = Duration::from_secs(10);

/// Waits for the end.
///
/// # Errors
/// It came by a panic.
pub(crate) fn wait(mut server: Server) -> Result<(), String> {
    let Some(runtime) = server.runtime.take() else { return Ok(()) };
    runtime.block_on(async {
        let late = async {
            server.hub.runtime().panic().await;
            tokio::time::sleep(PANICKED).await;
        };
        tokio::select! {
            () = server.stopped() => {}
            () = late => {}
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let why = server.panicked().map(|said| format!("the server stopped after a panic: {said}"));
    why.map_or(Ok(()), Err)
}

/// What a trapped signal asks for.
pub(crate) fn on_signal(hub: &Arc<Hub>, stop: &watch::Sender<bool>, signal: Signal, name: &str) {
    log_info!(hub.log(), "Trapped \"{name}\" signal");
    match signal {
        Signal::Reload => {
            let task_hub = hub.clone();
            // Files are read, and another change may be under way: not on a worker.
            drop(hub.runtime().spawn_blocking(move || {
                if let Err(error) = crate::reload::reload(&task_hub) {
                    log_error!(task_hub.log(), "Failed to reload server configuration: {error}");
                }
            }));
        }
        Signal::Reopen => {
            if let Err(error) = hub.log().reopen() {
                log_error!(hub.log(), "File log could not be re-opened: {error}");
            }
        }
        Signal::LameDuck => crate::start::enter_lame_duck(hub, stop.clone()),
        // A server on its way out in lame duck mode is not cut short by TERM (nats-server 2.15.1).
        Signal::Term if hub.is_lame_duck() => {}
        _ => drop(stop.send(true)),
    }
}
