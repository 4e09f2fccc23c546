//! Ours beside nats-server, by our own load (`natterjack bench`): the project's own judge.
//!
//! Each scenario runs on a fresh server with a fresh store, theirs, ours, theirs, ours .., so that both
//! meet the same machine. A figure is a ratio; beside it stand the server's processor time and memory.
//! The load is the same program in both runs and costs more than either server, so ratios are smaller
//! here than with a load that costs little.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::flood::Flood;
use super::process::{Places, Usage, pinned};
use super::scenarios::{Beside, Figure, SCENARIOS, Scenario, Setting};
use super::table::{Outcome, Row, render};
use crate::arguments::Arguments;
use crate::cluster::monitor;
use crate::peers::Peers;
use crate::servers::{Make, Server, built, free_ports};

/// How long one command of the load may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// With `--quick`, messages are divided by this.
const QUICK: u64 = 10;

/// `cargo xtask bench`.
pub(super) fn run(arguments: &mut Arguments) -> Result<()> {
    let runs = arguments.number("--runs")?.unwrap_or(3_u32);
    let only = arguments.options("--only")?;
    let (markdown, quick) = (arguments.switch("--markdown"), arguments.switch("--quick"));
    let (ours, reference) = (arguments.path("--ours")?, arguments.path("--reference")?);
    arguments.end()?;
    ensure!(cfg!(target_os = "linux"), "it reads /proc, which only Linux has");
    let selected = |name: &str| only.is_empty() || only.iter().any(|part| name.starts_with(part));
    let scenarios: Vec<&Scenario> =
        SCENARIOS.iter().filter(|scenario| selected(scenario.name)).collect();
    ensure!(!scenarios.is_empty(), "no scenario begins with {only:?}");
    let reference = match reference {
        Some(reference) => reference,
        None => Peers::get()?.nats_server(),
    };
    let load = match &ours {
        Some(ours) => ours.clone(),
        None => built()?,
    };
    let makes = [Make::Reference(reference), Make::ours(ours)?];
    let places = Places::here();
    match places {
        Places { server: Some(server), load: Some(load) } => {
            eprintln!("the server on CPU {server}, its load on CPU {load}; {runs} runs");
        }
        _ => eprintln!("nothing is bound to a CPU; {runs} runs"),
    }

    let mut failed = Vec::new();
    let mut rows = Vec::new();
    for scenario in scenarios {
        let (name, figure) = (scenario.name, scenario.figure);
        let mut row = Row { name, figure, theirs: Vec::new(), ours: Vec::new() };
        let messages = if quick { scenario.messages / QUICK } else { scenario.messages };
        for _ in 0..runs {
            for make in &makes {
                let bench = Bench { make, load: &load, places, scenario, messages };
                match bench.run() {
                    Ok(outcome) if *make == makes[0] => row.theirs.push(outcome),
                    Ok(outcome) => row.ours.push(outcome),
                    Err(error) => {
                        eprintln!("{name} on {}: {error:#}", make.name());
                        failed.push(format!("{name} on {}", make.name()));
                    }
                }
            }
        }
        let text = render(std::slice::from_ref(&row), false);
        eprint!("{}", text.lines().nth(1).map(|line| format!("{line}\n")).unwrap_or_default());
        rows.push(row);
    }
    print!("{}", render(&rows, markdown));
    failed.dedup();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// One run of a scenario on one server.
struct Bench<'a> {
    make: &'a Make,
    load: &'a Path,
    places: Places,
    scenario: &'a Scenario,
    messages: u64,
}

impl Bench<'_> {
    fn run(&self) -> Result<Outcome> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        let store = path("store");
        let store = store.to_str().context("the temporary directory is not UTF-8")?;
        let [monitor] = free_ports()?;
        let mut arguments = vec!["-m".to_owned(), monitor.to_string()];
        match self.scenario.setting.config(store) {
            Some(config) => {
                let file = path("server.conf");
                std::fs::write(&file, config)?;
                arguments.extend(["-c".to_owned(), file.display().to_string()]);
            }
            None if self.scenario.setting == Setting::Default => {
                arguments.extend(["-js", "-sd", store].map(str::to_owned));
            }
            None => {}
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = path("server.log");
        let place = self.places.server;
        let mut server = Server::start_on(place, self.make, &arguments, &log)?;
        let outcome = self.measure(&server, monitor, directory.path());
        if outcome.is_ok() {
            server.stop()?;
        }
        outcome
    }

    fn measure(&self, server: &Server, monitor: u16, directory: &Path) -> Result<Outcome> {
        let url = server.url();
        let pid = server.pid().context("the server does not run")?;
        for (number, command) in self.scenario.prepare.iter().enumerate() {
            let output = directory.join(format!("prepare-{number}.json"));
            self.start(command, &url, output)?.finish()?;
        }
        let beside = match self.scenario.beside {
            Beside::Nothing => None,
            Beside::Service(command) | Beside::Flood(command, _) => Some((command, 1)),
            Beside::Subscribers(command, number) => Some((command, number)),
        };
        let beside = match beside {
            Some((command, number)) => {
                let before = counted(monitor, "subscriptions")?;
                let load = self.start(command, &url, directory.join("beside.json"))?;
                wait_until(|| Ok(counted(monitor, "subscriptions")? >= before + number))
                    .context("the subscriptions did not come")?;
                Some(load)
            }
            None => None,
        };
        let _flood = match self.scenario.beside {
            Beside::Flood(_, clients) => Some(Flood::start(&url, clients, self.places)?),
            _ => None,
        };
        let (before, received) = (Usage::of(pid)?, counted(monitor, "in_msgs")?);
        let measured = self.start(self.scenario.measured, &url, directory.join("load.json"))?;
        let mut report = measured.finish()?;
        if let (Beside::Subscribers(..), Some(beside)) = (self.scenario.beside, beside) {
            report = beside.finish()?;
        }
        let after = Usage::of(pid)?;
        let (mut messages, value) = figures(&report, self.scenario.figure)?;
        if matches!(self.scenario.beside, Beside::Flood(..)) {
            // What the server did meanwhile was for the flood.
            messages = (counted(monitor, "in_msgs")? - received) as f64;
        }
        let cpu_per_million = (after.cpu - before.cpu) / messages * 1e6;
        Ok(Outcome { value, cpu_per_million, memory: after.memory as f64 })
    }

    /// Starts `natterjack bench COMMAND`, which writes its figures to `output`.
    fn start(&self, command: &str, url: &str, output: PathBuf) -> Result<Load> {
        let messages = self.messages.to_string();
        let mut bench = Command::new(self.load);
        bench.arg("bench").args(["--json", "--no-progress", "--server", url]);
        bench.args(command.split(' ').map(|word| word.replace("{msgs}", &messages)));
        let mut bench = pinned(bench, self.places.load);
        // Neither a context nor a variable of the user's shall say otherwise.
        bench.arg("--no-context").env_remove("NATS_URL").env_remove("NATS_CONTEXT");
        let errors = output.with_extension("err");
        bench.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(File::create(&errors)?);
        let child = bench.spawn().with_context(|| format!("{bench:?}"))?;
        Ok(Load { child, command: command.to_owned(), output, errors })
    }
}

/// A command of the load; dropping it ends it.
struct Load {
    child: Child,
    command: String,
    output: PathBuf,
    errors: PathBuf,
}

impl Load {
    /// Waits for its end, which must be a success, and returns its figures.
    fn finish(mut self) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    bail!("bench {}: not done in {PATIENCE:?}", self.command)
                }
                None => std::thread::sleep(LOOK),
            }
        };
        let errors = std::fs::read_to_string(&self.errors)?;
        ensure!(status.success(), "bench {}: {status}\n{errors}", self.command);
        let output = std::fs::read(&self.output)?;
        serde_json::from_slice(&output).with_context(|| format!("what bench {} says", self.command))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail only when it is over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of `/varz`.
fn counted(monitor: u16, name: &str) -> Result<u64> {
    let varz = monitor::get(monitor, "/varz")?;
    varz[name].as_u64().with_context(|| format!("/varz without {name}"))
}

fn wait_until(mut test: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !test()? {
        ensure!(Instant::now() < deadline, "not in {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// How many messages a measurement had, and the figure that is compared.
fn figures(report: &Value, figure: Figure) -> Result<(f64, f64)> {
    let number = |path: &str| {
        let value = report.pointer(path).and_then(Value::as_f64).filter(|value| *value > 0.0);
        value.with_context(|| format!("no {path} in {report}"))
    };
    ensure!(report["complete"] == true, "incomplete: {report}");
    let value = match figure {
        Figure::Rate => number("/total/msgs_per_second")?,
        Figure::Median => number("/total/latency_us/p50")?,
        Figure::Tail => number("/total/latency_us/p99")?,
    };
    Ok((number("/total/msgs")?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_all_clients() {
        let report = serde_json::json!({
            "complete": true,
            "total": {"msgs": 300, "msgs_per_second": 150.5, "latency_us": {"p50": 40.25}},
        });
        assert_eq!(figures(&report, Figure::Rate).unwrap(), (300.0, 150.5));
        assert_eq!(figures(&report, Figure::Median).unwrap(), (300.0, 40.25));
        let none = serde_json::json!({"complete": true, "total": {"msgs": 0}});
        assert!(figures(&none, Figure::Rate).is_err());
        let early = serde_json::json!({"complete": false, "total": report["total"]});
        assert!(figures(&early, Figure::Rate).is_err());
    }
}
