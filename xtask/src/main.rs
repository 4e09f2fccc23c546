//! `cargo xtask`: what developers and the CI run.

#![allow(clippy::print_stdout, reason = "what a task finds goes to the terminal")]
#![allow(clippy::print_stderr, reason = "so do its errors")]

mod arguments;
mod bench;
mod ci;
mod cluster;
mod crash;
mod failover;
mod interop;
mod lines;
mod link_order;
mod peers;
mod programs;
mod purity;
mod servers;
mod storm;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;

const USAGE: &str = "\
cargo xtask ci             all checks below, with timings; --skip CHECK leaves one out
cargo xtask fmt            the format
cargo xtask tidy           lengths, both READMEs, decision records, the capability table
cargo xtask purity         the pure crates reach no runtime; arrows between crates point down
cargo xtask clippy         lints, all targets, warnings are errors
cargo xtask test           cargo test --workspace
cargo xtask doc            the documentation, warnings are errors
cargo xtask portable       the code for other systems, tested here
cargo xtask fuzz           the fuzz targets compile
cargo xtask bench          our server beside nats-server, interleaved, under natterjack bench: medians,
                           their ratio, processor time and memory of the servers
    --runs N               (3)
    --only NAME            scenarios whose name begins so; may be repeated
    --quick                a tenth of the messages
    --markdown             the table for docs/performance.md
    --ours PATH            our binary, which is the load too (else as with interop)
    --reference PATH       nats-server (else the one of the virtual environment)
cargo xtask bench --instructions
                           instructions per operation of the hot paths, under valgrind, compared with
                           docs/instructions.tsv
    --record               write that table instead
    --only NAME            workloads whose name begins so; may be repeated
cargo xtask interop        nats-py programs against our server and against nats-server
    --ours PATH            our binary (else natterjack in the target directory, release first)
    --reference PATH       nats-server (else the one of the virtual environment)
    --witness W            ours, reference or both (both)
    --only NAME            one scenario; may be repeated
    --async-nats           the tests that the crate async-nats ships instead, except on ours those that
                           interop/async-nats/without.tsv names; --only takes a part of a name
    --clients              the everyday calls of the clients for Go, C and JavaScript instead; what of these
                           is not at hand is installed, or named as left out; --only go-core, c-restart..
    --all                  all of these
    --workers N            how many of async-nats's tests run at a time (8)
    --prepare              only unpack async-nats's tests and fetch what they need
    --update-lock          the same with this workspace's versions, and record them
cargo xtask cluster [options] [-- COMMAND..]
                           three real nats-servers as a cluster with JetStream on free ports of the
                           loopback address; runs COMMAND, with the URLs in NATS_URL and in place of
                           {urls}, or waits for Ctrl-C; the exit code is the command's
    --kill-after SECONDS   ends the node with most connections so long after the first one
    --kill-on TEXT         ends it when the command prints this text
    --nats-server PATH     (else the one of the virtual environment)
cargo xtask crash          kills our server again and again under mixed load: publishers, memory, keys,
                           consumers, work queues, deletes, purges, streams that come and go. Nothing that
                           was confirmed may be lost, back, or twice
    --kills N              (20); 500 take some four minutes
    --seed N               (1)
    --ours PATH
    --reference PATH       a nats-server instead, which loses acks
cargo xtask storm          what misbehaving clients do to our server and to nats-server: silent and flooding
                           connections before login, storms of them, half-open ones, slow subscribers, long
                           subjects, deep wildcards, a million subscriptions. Memory, the latency of a quiet
                           client, and how each scene ends, as a table for docs/robustness.md
    --only NAME            scenes whose name begins so (silent, timeout, flood, storm, half-open, slow,
                           long-subject, long-line, wildcards, branches, million); may be repeated
    --quick                a tenth of everything
    --ours PATH
    --reference PATH
cargo xtask failover       publishes into such a cluster, kills the connected node in the middle, and
                           counts: no acknowledged message may be lost
    --messages N           (5000)
    --nats-server PATH
cargo xtask flood          what `bench` runs beside a quiet client: publishes until it is killed
    --url URL
    --clients N            (1)
cargo xtask link-order     builds the command for release, runs it under valgrind, and links it again with
                           what a start of the server runs side by side: it takes less memory (lld only)
    --ours PATH            a binary of this build, not stripped: spares the first build
cargo xtask peers          make the virtual environment of the real peers, print its directory
                           (NATTERJACK_VENV; else $HOME/.cache/natterjack)
";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let verb = arguments.word().unwrap_or_default();
    let outcome = match verb.as_str() {
        "bench" => bench::run(&mut arguments),
        "ci" => ci::run(&mut arguments),
        "cluster" => cluster::run(&mut arguments),
        "crash" => crash::run(&mut arguments),
        "flood" => bench::flood(&mut arguments),
        "failover" => failover::run(&mut arguments),
        "interop" => interop::run(&mut arguments),
        "storm" => storm::run(&mut arguments),
        "link-order" => link_order::run(&mut arguments),
        "peers" => peers::print(&mut arguments),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => match ci::find(other) {
            Some(check) => arguments.end().and_then(|()| check()),
            None => Err(anyhow::anyhow!("unknown task {other:?}\n{USAGE}")),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}
