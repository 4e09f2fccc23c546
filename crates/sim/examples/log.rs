//! What the log costs in processor time and memory, without a disk: each request succeeds at once.
//!
//! `cargo run --release -p natterjack-sim --example log [COUNT [PART OF A NAME]]`; the bytes of a
//! message are right for the first line only, since later ones use memory that was given back.
#![allow(clippy::print_stdout, reason = "it prints a table")]

use natterjack_sim::{Rng, SimDisk};
use natterjack_store::{
    DiskResult, FileOptions, Filter, Get, Limits, Log, NewMessage, Next, Purge,
};
use std::time::Duration;

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000u64);
    let none = Limits::default();
    let history = |n| Limits { max_msgs_per_subject: Some(n), ..none };
    let newest = Limits { max_msgs: Some(10_000), ..none };
    run("memory, one subject", Log::memory(1, none), count, 1);
    run("memory, 100000 subjects", Log::memory(1, none), count, 100_000);
    run("memory, 100000 keys, history 1", Log::memory(1, history(1)), count, 100_000);
    run("file, one subject", file(none), count, 1);
    run("file, 100000 subjects", file(none), count, 100_000);
    run("file, 100000 keys, history 1", file(history(1)), count, 100_000);
    run("file, 100 keys, history 1000", file(history(1000)), count, 100);
    run("file, 10000 newest", file(newest), count, 1);
    recover(count);
    println!("(processor time; 64 messages a round)");
}

fn file(limits: Limits) -> Log {
    Log::file(1, limits, FileOptions::new("streams/1", 1, 42))
}

/// Time that this thread spent on a processor, which other programs do not spoil.
struct Watch(Duration);

impl Watch {
    fn time() -> Duration {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Duration::from_nanos(stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
    }

    fn now() -> Watch {
        Watch(Watch::time())
    }

    fn elapsed(&self) -> Duration {
        Watch::time().saturating_sub(self.0)
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn pump(log: &mut Log) {
    let mut requests = Vec::new();
    loop {
        log.take_requests(&mut requests);
        if requests.is_empty() {
            return;
        }
        for request in requests.drain(..) {
            if !request.is_read() {
                log.completed(request.id, DiskResult::Done);
            }
        }
        if log.wants_checkpoint() {
            log.checkpoint(&[]);
        }
    }
}

fn fill(log: &mut Log, count: u64, subjects: u64) {
    let mut rng = Rng::new(1);
    let payload = [7; 128];
    for n in 0..count {
        let subject = format!("orders.{:06}", rng.below(subjects));
        let time = 1_700_000_000_000_000_000 + n as i64 * 20_000;
        let subject = subject.as_bytes();
        log.append(NewMessage { subject, headers: b"", payload: &payload, time, flags: 0 });
        if n % 64 == 63 {
            pump(log);
        }
    }
    pump(log);
}

fn run(name: &str, mut log: Log, count: u64, subjects: u64) {
    let part = std::env::args().nth(2).unwrap_or_default();
    if !name.contains(&part) {
        return;
    }
    let before = resident();
    let start = Watch::now();
    fill(&mut log, count, subjects);
    let append = start.elapsed().as_nanos() as u64 / count;
    let held = resident().saturating_sub(before) / log.state().messages.max(1);

    let wild = [Filter::new(b"*.000007")];
    let start = Watch::now();
    let pending = log.num_pending(&wild, log.state().first_seq + 1);
    let counted = start.elapsed().as_micros();
    let last = log.state().last_seq;
    let (mut at, mut steps) = (last.saturating_sub(10_000), 0u32);
    let start = Watch::now();
    while let Next::Found(seq) = log.next_match(&[], at) {
        if let Get::Found(message) = log.get(seq) {
            std::hint::black_box(message.payload);
        }
        (at, steps) = (seq + 1, steps + 1);
    }
    let get = start.elapsed().as_nanos() / u128::from(steps.max(1));
    let start = Watch::now();
    log.purge(&Purge::default());
    let purge = start.elapsed().as_micros();
    println!(
        "{name:34} append {append:5} ns  get {get:4} ns  {held:4} B each  \
         count of {pending} {counted} us  purge {purge} us"
    );
}

fn recover(count: u64) {
    let disk = SimDisk::new(1);
    let options = FileOptions::new("streams/1", 1, 42);
    let mut log = Log::file(1, Limits::default(), options.clone());
    let mut rng = Rng::new(1);
    let mut requests = Vec::new();
    for n in 0..count {
        let subject = format!("orders.{:06}", rng.below(1000));
        let (subject, payload) = (subject.as_bytes(), &[7; 128]);
        log.append(NewMessage { subject, headers: b"", payload, time: n as i64, flags: 0 });
        if n % 10_000 == 9_999 {
            log.take_requests(&mut requests);
            requests.drain(..).for_each(|r| log.completed(r.id, r.run(&disk)));
        }
    }
    let start = Watch::now();
    let opened = Log::recover(&disk, 1, Limits::default(), options, &mut ());
    let messages = opened.map_or(0, |(log, _)| log.state().messages);
    println!("recovery of {messages} messages: {} ms", start.elapsed().as_millis());
}
