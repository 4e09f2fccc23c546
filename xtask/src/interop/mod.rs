//! Programs of other clients, run unmodified against our server and the real one: nats-py programs of the
//! eight kinds, everyday calls of the clients for Go, C and JavaScript, and the tests that async-nats ships.
//!
//! The programs lie in `interop/`; what each must print, and what happens to the server meanwhile, are
//! the scenarios. A scenario that only one of the two servers passes tells of a difference.

mod clients;
mod scenarios;
mod suite;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::peers::Peers;
use crate::programs::Program;
use crate::root;
use crate::servers::{Make, Server, built};

use scenarios::SCENARIOS;

/// How many of async-nats's tests run at a time: most of them wait most of the time.
const WORKERS: usize = 8;

/// `cargo xtask interop`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let witness = arguments.option("--witness")?.unwrap_or("both".into());
    let only = arguments.options("--only")?;
    let ours = arguments.path("--ours")?;
    let tool = ours.clone();
    let reference = arguments.path("--reference")?;
    let (all, async_nats) = (arguments.switch("--all"), arguments.switch("--async-nats"));
    let others = arguments.switch("--clients");
    let (prepare, lock) = (arguments.switch("--prepare"), arguments.switch("--update-lock"));
    let workers = arguments.number("--workers")?.unwrap_or(WORKERS);
    arguments.end()?;
    if prepare || lock {
        return suite::prepare(lock);
    }

    let peers = Peers::get()?;
    let mut makes = Vec::new();
    if matches!(witness.as_str(), "reference" | "both") {
        makes.push(Make::Reference(reference.unwrap_or_else(|| peers.nats_server())));
    }
    if matches!(witness.as_str(), "ours" | "both") {
        makes.push(Make::ours(ours)?);
    }
    ensure!(!makes.is_empty(), "--witness {witness:?}: ours, reference or both");

    let mut outcome = Ok(());
    if all || !(async_nats || others) {
        outcome = programs(&makes, &peers, SCENARIOS, &only);
    }
    if all || others {
        let tool = tool.map_or_else(built, Ok)?;
        outcome = outcome.and(clients::run(&makes, &tool, &peers, &only));
    }
    if all || async_nats {
        outcome = outcome.and(suite::run(&makes, &only, workers));
    }
    outcome
}

/// Runs each scenario on each of these makes.
fn programs<S: Fn(&Stage<'_>) -> Result<()>>(
    makes: &[Make],
    peers: &Peers,
    scenarios: &[(&str, S)],
    only: &[String],
) -> Result<()> {
    let (mut good, mut bad) = (0, 0);
    for (name, scenario) in scenarios {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        for make in makes {
            let begin = Instant::now();
            let stage = Stage::new(make, peers.python())?;
            let outcome = scenario(&stage);
            let took = begin.elapsed().as_secs_f64();
            match outcome {
                Ok(()) => {
                    good += 1;
                    println!("ok    {name:<12} {:<12} {took:>5.1} s", make.name());
                }
                Err(error) => {
                    bad += 1;
                    println!("FAIL  {name:<12} {:<12} {took:>5.1} s\n  {error:#}", make.name());
                    println!("  the server's log ends with:\n{}", stage.log_tail());
                }
            }
        }
    }
    println!("{good} passed, {bad} failed");
    if bad > 0 || good == 0 {
        bail!("the programs do not run as they should");
    }
    Ok(())
}

/// One scenario's place: a make of server, the interpreter, and a directory that goes with it.
struct Stage<'a> {
    make: &'a Make,
    python: PathBuf,
    directory: TempDir,
}

impl<'a> Stage<'a> {
    fn new(make: &'a Make, python: PathBuf) -> Result<Self> {
        Ok(Self { make, python, directory: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn server(&self, arguments: &[&str]) -> Result<Server> {
        Server::start(self.make, arguments, &self.log())
    }

    /// A server with JetStream, its store in the stage's directory.
    fn jetstream(&self, more: &[&str]) -> Result<Server> {
        let store = self.path("store");
        let store = store.to_str().context("the temporary directory is not UTF-8")?;
        self.server(&[&["-js", "-sd", store], more].concat())
    }

    /// Starts `interop/NAME.py` against `server`.
    fn program(&self, name: &str, server: &Server, variables: &[(&str, &str)]) -> Result<Program> {
        let mut command = self.python(&format!("{name}.py"));
        command.env("NATS_URL", server.url()).envs(variables.iter().copied());
        Program::start(name, &mut command)
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(root().join("interop").join(script)).current_dir(self.directory.path());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn log(&self) -> PathBuf {
        self.path("server.log")
    }

    fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    last.iter().map(|line| format!("    {line}\n")).collect()
}
