//! The command `natterjack`: server, client verbs, credentials, guided tour.
//!
//! `serve` is the whole of the server and takes nats-server's flags, so its arguments never pass
//! through clap; a link named `nats-server` is that verb, one named `nats` the client tree.

mod answer;
mod api;
mod args;
mod candidates;
mod complete;
mod connect;
mod contexts;
mod diff;
mod editor;
mod exit;
mod global;
mod graph;
mod interrupt;
mod json;
mod message;
mod monitor;
mod output;
mod plot;
mod progress;
mod prompt;
mod socks;
mod table;
mod template;
mod tour;
mod units;
mod verbs;

use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};
use natterjack::logging::{self, LogConfig, LogGuard};

use args::{Cli, Verb};
use connect::Context;
use exit::{Failure, Outcome, status};
use global::Global;
use interrupt::Interrupt;
use output::{ColorChoice, Format, Output};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|text| text.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    let called_as = Path::new(&program).file_stem().and_then(|name| name.to_str()).unwrap_or("");
    let arguments: Vec<String> = arguments.collect();
    if called_as == "nats-server" {
        return serve("nats-server", &arguments);
    }
    if let [verb, flags @ ..] = arguments.as_slice()
        && verb == "serve"
    {
        return serve("natterjack", flags);
    }
    complete::answer_shell(Cli::command);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &arguments),
    };
    run(cli)
}

fn serve(program: &str, flags: &[String]) -> ExitCode {
    let code = natterjack_server::run::run(program, flags.iter().cloned());
    ExitCode::from(u8::try_from(code).unwrap_or(status::FAILED))
}

/// Answers a command line that clap does not take, or `--help` and `--version`.
fn refuse(error: &clap::Error, arguments: &[String]) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked_for || !arguments.iter().any(|argument| argument == "--json") {
        // Nothing can be done about a help text that nobody reads.
        let _ = error.print();
    } else {
        let out = Output::new(true, false, Format::Json, ColorChoice::Never);
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ");
        let hint: Vec<&str> = lines.take_while(|line| !line.starts_with("Usage")).collect();
        out.failure(&Failure::usage(message).hint(hint.join("; ")));
    }
    ExitCode::from(if asked_for { 0 } else { status::USAGE })
}

fn run(cli: Cli) -> ExitCode {
    let global = cli.global;
    let format = global.output.unwrap_or_default();
    let mut out = Output::new(global.json, global.quiet, format, global.color);
    out.scheme = connect::scheme(&global);
    let _logging = logging(&global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads(&cli.verb))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            out.failure(&Failure::io("starting threads", &error));
            return ExitCode::from(status::FAILED);
        }
    };
    let outcome = runtime.block_on(async {
        let context = Context { global, out, interrupt: Interrupt::listen() };
        Box::pin(dispatch(&context, cli.verb)).await
    });
    // A thread may still wait for standard input: it must not hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

/// What measures takes the whole machine; the others only talk.
fn threads(verb: &Verb) -> usize {
    const TALKING: usize = 2;
    match verb {
        Verb::Bench(_) => {
            std::thread::available_parallelism().map_or(TALKING, usize::from).max(TALKING)
        }
        _ => TALKING,
    }
}

/// Logs to standard error if that is asked for; lines that matter to everybody are said anyway.
fn logging(global: &Global) -> Option<LogGuard> {
    let filtered = ["NATTERJACK_LOG", "RUST_LOG"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|filter| !filter.is_empty()));
    let color = match global.color {
        ColorChoice::Auto => logging::Color::Auto,
        ColorChoice::Always => logging::Color::Always,
        ColorChoice::Never => logging::Color::Never,
    };
    let config = LogConfig::new().color(color).filter("debug,async_nats=warn");
    (global.verbose || filtered).then(|| logging::init(config))
}

async fn dispatch(context: &Context, verb: Verb) -> Outcome {
    match verb {
        // Only reached with options before the verb, as in `natterjack --json serve`.
        Verb::Serve { .. } => Err(Failure::usage("`serve` must come first")
            .hint("natterjack serve -js; `natterjack serve --help` lists its flags")),
        Verb::Publish(verb) => verb.run(context).await,
        Verb::Subscribe(verb) => verb.run(context).await,
        Verb::Request(verb) => verb.run(context).await,
        Verb::Reply(verb) => verb.run(context).await,
        Verb::Kv { verb } => verb.run(context).await,
        Verb::Object { verb } => verb.run(context).await,
        Verb::Stream { verb } => verb.run(context).await,
        Verb::Consumer { verb } => verb.run(context).await,
        Verb::Service { verb } => verb.run(context).await,
        Verb::Events(verb) => verb.run(context).await,
        Verb::Errors { verb } => verb.run(context),
        Verb::Top(verb) => verb.run(context).await,
        Verb::Doctor(verb) => verb.run(context).await,
        Verb::Health(verb) => verb.run(context).await,
        Verb::Latency(verb) => verb.run(context).await,
        Verb::Bench(verb) => verb.run(context).await,
        Verb::Server { verb } => verb.run(context).await,
        Verb::Context { verb } => verb.run(context).await,
        Verb::Rtt(verb) => verb.run(context).await,
        Verb::Auth { verb } => verb.run(context).await,
        Verb::Config { verb } => verb.run(context),
        Verb::Man(verb) => verb.run(Cli::command(), context.out),
        Verb::Completions(verb) => verb.run(context.out),
        Verb::Tour(verb) => verb.run(context).await,
        Verb::Account { verb } => verb.run(context).await,
    }
}
