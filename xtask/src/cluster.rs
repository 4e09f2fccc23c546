//! A cluster by URL: three real nats-servers on the loopback address, for what connects to a cluster.

pub(crate) mod monitor;
mod nodes;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;

pub(crate) use nodes::Cluster;

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// `cargo xtask cluster`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let after = arguments.number::<f64>("--kill-after")?.map(Duration::try_from_secs_f64);
    let after = after.transpose().context("--kill-after")?;
    let text = arguments.option("--kill-on")?;
    let nats_server = arguments.path("--nats-server")?;
    arguments.end()?;
    let kill = match (after, text) {
        (None, None) => Kill::Never,
        (Some(after), None) => Kill::After(after),
        (None, Some(text)) => Kill::On(text),
        (Some(_), Some(_)) => bail!("--kill-after or --kill-on, not both"),
    };
    let command = std::mem::take(&mut arguments.command);

    let stop = Stop::listen()?;
    let mut cluster = Cluster::start(nats_server)?;
    println!("cluster ready: {}", cluster.urls());
    let Some((program, rest)) = command.split_first() else {
        println!("Ctrl-C stops it");
        while !stop.asked() {
            std::thread::sleep(LOOK);
        }
        return cluster.stop();
    };
    let mut command = Command::new(program);
    command.args(rest.iter().map(|word| word.replace("{urls}", &cluster.urls())));
    command.env("NATS_URL", cluster.urls());
    let outcome = watch(&mut command, kill, &mut cluster, &stop);
    cluster.stop()?;
    outcome
}

/// When the node with the command's connections is to be killed.
enum Kill {
    Never,
    After(Duration),
    On(String),
}

fn watch(command: &mut Command, kill: Kill, cluster: &mut Cluster, stop: &Stop) -> Result<()> {
    if matches!(kill, Kill::On(_)) {
        command.stdout(Stdio::piped());
    }
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let seen = match &kill {
        Kill::On(text) => Some(echo(&mut child, text)?),
        _ => None,
    };
    let mut first_connection = None;
    let mut killed = matches!(kill, Kill::Never);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Ctrl-C reaches the command too, which may want to end in its own way; SIGTERM does not.
        if stop.asked_to_terminate() {
            child.kill()?;
        }
        if !killed {
            let due = match &kill {
                Kill::Never => false,
                Kill::On(_) => seen.as_ref().is_some_and(|seen| seen.try_recv().is_ok()),
                Kill::After(after) => {
                    if first_connection.is_none() && cluster.connections()? > 0 {
                        first_connection = Some(Instant::now());
                    }
                    first_connection.is_some_and(|first| first.elapsed() >= *after)
                }
            };
            if due {
                println!("killed {}", cluster.kill_busiest()?);
                killed = true;
            }
        }
        std::thread::sleep(LOOK);
    };
    ensure!(status.success(), "{command:?}: {status}");
    ensure!(killed, "the command ended before a node was killed");
    Ok(())
}

/// Passes on what the command prints; a word arrives at the first line that contains `text`.
fn echo(child: &mut Child, text: &str) -> Result<Receiver<()>> {
    let (sender, receiver) = channel();
    let output = child.stdout.take().context("the command's output is not piped")?;
    let text = text.to_owned();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // A closed terminal is no reason to stop reading: the command would block.
            let _ = writeln!(std::io::stdout(), "{line}");
            if line.contains(&text) {
                let _ = sender.send(());
            }
        }
    });
    Ok(receiver)
}

/// Whether this program was asked to stop: then the nodes must be ended first.
struct Stop {
    interrupted: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl Stop {
    fn listen() -> Result<Self> {
        let stop = Self { interrupted: Arc::default(), terminated: Arc::default() };
        let (interrupted, terminated) = (stop.interrupted.clone(), stop.terminated.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = tokio::signal::ctrl_c() => interrupted.store(true, Ordering::Relaxed),
                        () = termination() => terminated.store(true, Ordering::Relaxed),
                    }
                }
            });
        });
        Ok(stop)
    }

    fn asked(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.asked_to_terminate()
    }

    fn asked_to_terminate(&self) -> bool {
        self.terminated.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn termination() {
    std::future::pending().await
}
