//! What a server does when clients misbehave: its memory, what a well-behaved client notices, and how
//! each scene ends. Ours and nats-server one after the other, with the same configuration.

mod probe;
mod scenes;
mod sockets;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::arguments::Arguments;
use crate::bench::Usage;
use crate::peers::Peers;
use crate::servers::{Make, Server};
use probe::{Latency, Probe};

/// Between two looks at the memory of the server.
const LOOK: Duration = Duration::from_millis(50);

/// A scene and what it needs of the server.
struct Scene {
    name: &'static str,
    what: &'static str,
    config: &'static str,
    play: fn(&Stage) -> Result<String>,
}

/// A running server in a scene.
struct Stage {
    port: u16,
    pid: u32,
    /// A tenth of everything.
    quick: bool,
}

impl Stage {
    fn count(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }

    fn memory(&self) -> Result<u64> {
        Ok(Usage::of(self.pid)?.memory)
    }

    /// Waits until something holds; false after `limit`.
    fn wait(&self, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<bool> {
        let deadline = Instant::now() + limit;
        while !holds()? {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
        Ok(true)
    }
}

/// `cargo xtask storm`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let only = arguments.options("--only")?;
    let quick = arguments.switch("--quick");
    let ours = Make::ours(arguments.path("--ours")?)?;
    let reference = match arguments.path("--reference")? {
        Some(reference) => reference,
        None => Peers::get()?.nats_server(),
    };
    arguments.end()?;
    sockets::allow_many()?;
    println!(
        "| Scene | Server | Memory before, most, after (MB) | Quiet client, before (us) | During (us) | \
         Outcome |\n|---|---|---|---|---|---|"
    );
    for scene in scenes::ALL {
        if !only.is_empty() && !only.iter().any(|wanted| scene.name.starts_with(wanted.as_str())) {
            continue;
        }
        for make in [&ours, &Make::Reference(reference.clone())] {
            let row = play(scene, make, quick)
                .with_context(|| format!("{} against {}", scene.name, make.name()))?;
            println!("| {} | {} | {row} |", scene.what, make.name());
        }
    }
    Ok(())
}

fn play(scene: &Scene, make: &Make, quick: bool) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("conf");
    std::fs::write(&config, scene.config)?;
    let config = config.to_str().context("the temporary directory is not UTF-8")?;
    let mut server = Server::start(make, &["-c", config], &directory.path().join("log"))?;
    let pid = server.pid().context("it runs")?;
    let stage = Stage { port: server.port, pid, quick };
    let quiet = Probe::start(server.port)?;
    std::thread::sleep(Duration::from_secs(1));
    let quiet = quiet.end()?;
    let before = stage.memory()?;
    let probe = Probe::start(server.port)?;
    let meter = Meter::start(pid);
    let outcome = (scene.play)(&stage);
    let most = meter.end();
    let during = probe.end();
    let outcome = outcome.inspect_err(|_| eprintln!("its log:\n{}", server.log_text()))?;
    let during = during.context("the quiet client")?;
    // What was given back, as far as a system takes it at once.
    std::thread::sleep(Duration::from_secs(1));
    let after = stage.memory()?;
    let still = Probe::start(server.port)?;
    std::thread::sleep(LOOK);
    still.end().context("a client that comes afterwards")?;
    server.stop()?;
    let mega = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    let Latency { median, high } = quiet;
    Ok(format!(
        "{}, {}, {} | {median:.0}, {high:.0} | {:.0}, {:.0} | {outcome}",
        mega(before),
        mega(most.max(before)),
        mega(after),
        during.median,
        during.high
    ))
}

/// Looks at the memory of a server again and again.
struct Meter {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<u64>,
}

impl Meter {
    fn start(pid: u32) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            loop {
                most = most.max(Usage::of(pid).map_or(0, |usage| usage.memory));
                if stopped.recv_timeout(LOOK) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return most;
                }
            }
        });
        Self { stop, thread }
    }

    fn end(self) -> u64 {
        // It is gone only if it has ended.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}

/// An error of a scene unless it holds.
fn must(holds: bool, what: &str) -> Result<()> {
    ensure!(holds, "{what}");
    Ok(())
}
