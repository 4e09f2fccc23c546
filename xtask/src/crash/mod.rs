//! The server is killed again and again under mixed load: what it has acknowledged must be there.
//!
//! Each kind of load is a thread with a connection and a memory of its own: what was confirmed, and what
//! was asked for and not answered. It connects again after each kill, checks what it knows, repeats what
//! had no answer, and goes on. At the end all streams are read from the beginning.

mod consumers;
mod keys;
mod publishers;
mod removals;
mod streams;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::lines::Client;
use crate::servers::{Make, Server};

/// Between attempts to connect to a server that is down.
const RETRY: Duration = Duration::from_millis(3);
/// How long one load may take to come to its end.
const PATIENCE: Duration = Duration::from_secs(300);
/// Words of the server that no kill excuses.
const NEVER: [&str; 5] =
    ["is lost", "damaged bytes", "holds nothing that can be read", "is offline", "panicked"];

/// Why a load stops.
pub(super) enum Trouble {
    /// The server is gone.
    Lost,
    /// The server is wrong.
    Wrong(anyhow::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Nobody kills a server that is only silent.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Trouble::Wrong(anyhow::anyhow!("the server says nothing: {error}"))
            }
            io::ErrorKind::Other => Trouble::Wrong(error.into()),
            _ => Trouble::Lost,
        }
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Wrong(error)
    }
}

pub(super) type Turn = std::result::Result<(), Trouble>;

/// One kind of load.
pub(super) trait Load: Send {
    /// After each connect: makes what it needs, checks what it knows, repeats what had no answer.
    fn resume(&mut self, client: &mut Client) -> Turn;
    /// A piece of work.
    fn work(&mut self, client: &mut Client) -> Turn;
    /// Checks everything. Says what was done.
    fn finish(&mut self, client: &mut Client) -> std::result::Result<String, Trouble>;
}

/// Small numbers that differ between loads and runs of one seed do not.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

/// `cargo xtask crash`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let kills = arguments.number("--kills")?.unwrap_or(20);
    let seed = arguments.number("--seed")?.unwrap_or(1);
    let make = match arguments.path("--reference")? {
        Some(reference) => Make::Reference(reference),
        None => Make::ours(arguments.path("--ours")?)?,
    };
    arguments.end()?;
    let directory = tempfile::tempdir()?;
    let store = directory.path().join("store");
    let store = store.to_str().context("the temporary directory is not UTF-8")?;
    let log = directory.path().join("server.log");
    let mut server = Server::start(&make, &["-js", "-sd", store], &log)?;
    let outcome = campaign(&mut server, kills, seed);
    if outcome.is_err() {
        let text = server.log_text();
        let lines: Vec<&str> = text.lines().collect();
        eprintln!(
            "the server's log ends with:\n{}",
            lines[lines.len().saturating_sub(60)..].join("\n")
        );
        let kept = directory.keep();
        eprintln!("its files are kept in {}", kept.display());
    }
    outcome?;
    let text = server.log_text();
    if let Make::Ours(_) = make
        && let Some(line) = text.lines().find(|line| NEVER.iter().any(|word| line.contains(word)))
    {
        bail!("the server said: {line}");
    }
    server.stop()
}

fn campaign(server: &mut Server, kills: u64, seed: u64) -> Result<()> {
    let begin = Instant::now();
    let loads: Vec<(&'static str, Box<dyn Load>)> = vec![
        ("sync publisher", Box::new(publishers::Sync::new())),
        ("async publisher", Box::new(publishers::Async::new())),
        ("memory stream", Box::new(publishers::Memory::default())),
        ("keys, history 1", Box::new(keys::Keys::new("K1", 1, seed))),
        ("keys, history 5", Box::new(keys::Keys::new("K5", 5, seed + 1))),
        ("consumer", Box::new(consumers::Worker::default())),
        ("work queue", Box::new(consumers::Queue::default())),
        ("deletes, purges", Box::new(removals::Removals::new(seed))),
        ("streams", Box::new(streams::Streams::new(seed))),
    ];
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let port = server.port;
    let mut threads: Vec<(&'static str, JoinHandle<Result<String>>)> = Vec::new();
    for (name, load) in loads {
        let thread = thread::Builder::new().name(name.into());
        threads.push((name, thread.spawn(move || drive(port, load, stop))?));
    }
    let mut dice = Dice::new(seed);
    let mut slowest = Duration::ZERO;
    for kill in 1..=kills {
        // Another time each round, so that kills meet writes, syncs and checkpoints.
        thread::sleep(Duration::from_millis(20 + dice.below(280)));
        server.kill()?;
        let down = Instant::now();
        server.start_again()?;
        slowest = slowest.max(down.elapsed());
        if let Some(at) = threads.iter().position(|(_, thread)| thread.is_finished()) {
            let (name, thread) = threads.swap_remove(at);
            let ended = thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
            ended.with_context(|| format!("{name}, after {kill} kills (seed {seed})"))?;
            bail!("{name} ended early");
        }
        if kill % 50 == 0 {
            println!("{kill} kills in {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    stop.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    for (name, thread) in threads {
        while !thread.is_finished() {
            ensure!(Instant::now() < deadline, "{name} does not come to an end");
            thread::sleep(RETRY);
        }
        let ended = thread.join().map_err(|_| anyhow::anyhow!("{name} panicked"))?;
        let done = ended.with_context(|| format!("{name} (seed {seed})"))?;
        println!("{name:<16} {done}");
    }
    println!(
        "{kills} kills in {:.1} s, the slowest start took {:.2} s: nothing that was confirmed is lost, \
         back, or twice",
        begin.elapsed().as_secs_f64(),
        slowest.as_secs_f64()
    );
    Ok(())
}

/// Keeps a load going over all kills.
fn drive(port: u16, mut load: Box<dyn Load>, stop: &AtomicBool) -> Result<String> {
    let name = thread::current().name().unwrap_or("load").replace([' ', ','], "");
    let mut connections = 0_u64;
    loop {
        connections += 1;
        let Ok(mut client) = Client::connect(port, &format!("{name}{connections}")) else {
            thread::sleep(RETRY);
            continue;
        };
        let mut turn = load.resume(&mut client);
        while turn.is_ok() && !stop.load(Ordering::Relaxed) {
            turn = load.work(&mut client);
        }
        let ended = match turn {
            Ok(()) => load.finish(&mut client),
            Err(trouble) => Err(trouble),
        };
        match ended {
            Ok(done) => return Ok(done),
            Err(Trouble::Wrong(error)) => return Err(error),
            Err(Trouble::Lost) => {}
        }
    }
}

/// Makes a stream unless it is there; with the same configuration that is no error.
pub(super) fn ensure_stream(client: &mut Client, name: &str, config: &str) -> Turn {
    let body = format!("{{\"name\":\"{name}\",{config}}}");
    let answer = client.api(&format!("STREAM.CREATE.{name}"), &body)?;
    good(&answer, "STREAM.CREATE")?;
    Ok(())
}

/// The answer, if it is no error.
pub(super) fn good<'a>(answer: &'a Value, what: &str) -> Result<&'a Value> {
    ensure!(answer["error"].is_null() && answer.is_object(), "{what}: {answer}");
    Ok(answer)
}

/// The code of an error; 0 if it is none.
pub(super) fn code(answer: &Value) -> u64 {
    answer["error"]["err_code"].as_u64().unwrap_or(0)
}

/// The sequence of an acknowledgement.
pub(super) fn acked(message: &crate::lines::Message) -> Result<u64> {
    let answer = message.json();
    good(&answer, "publish")?["seq"].as_u64().with_context(|| format!("no sequence: {answer}"))
}

/// A stored message.
pub(super) struct Stored {
    pub(super) seq: u64,
    pub(super) subject: String,
    /// Bodies are numbers here.
    pub(super) number: u64,
}

/// Reads all that a stream holds, which allows direct gets.
pub(super) fn read_all(
    client: &mut Client,
    stream: &str,
) -> std::result::Result<Vec<Stored>, Trouble> {
    let mut all: Vec<Stored> = Vec::new();
    let mut from = 1;
    let reply = client.inbox("all");
    loop {
        let body = format!("{{\"seq\":{from},\"batch\":2000}}");
        client.publish(&format!("$JS.API.DIRECT.GET.{stream}"), &reply, "", &body);
        client.flush()?;
        let before = all.len();
        loop {
            let message = client.next()?;
            if message.subject != reply {
                continue;
            }
            if let Some(seq) = message.header("Nats-Sequence").and_then(|seq| seq.parse().ok()) {
                let subject = message.header("Nats-Subject").unwrap_or_default().to_owned();
                let number = message.number().context("a body that nobody sent")?;
                if all.last().is_some_and(|last| last.seq >= seq) {
                    return Err(anyhow::anyhow!("{stream}: sequences do not rise").into());
                }
                all.push(Stored { seq, subject, number });
            } else {
                break;
            }
        }
        if all.len() == before {
            return Ok(all);
        }
        from = all.last().map_or(1, |last| last.seq + 1);
    }
}
