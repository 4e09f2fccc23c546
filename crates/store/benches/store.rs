//! Append and read: what a stored message costs without a disk, whose requests succeed at once.

use std::hint::black_box;

use natterjack_store::{DiskRequest, DiskResult, FileOptions, Get, Limits, Log, NewMessage, Next};
use natterjack_workload::{Numbers, Round, Workload, divan};

/// Messages between two looks at the disk: about what one read buffer of 128-byte messages holds.
const BATCH: usize = 256;

const WORKLOADS: &[Workload] = &[
    Workload::new("append/memory-128", || append(memory(), 128, 1)),
    Workload::new("append/memory-1024", || append(memory(), 1024, 1)),
    Workload::new("append/memory-128-10k-subjects", || append(memory(), 128, 10_000)),
    Workload::new("append/file-128", || append(file(), 128, 1)),
    Workload::new("append/file-1024", || append(file(), 1024, 1)),
    Workload::new("append/file-128-10k-subjects", || append(file(), 128, 10_000)),
    Workload::new("append/file-128-10k-keys", || {
        // As a Key/Value bucket with a history of one: each message removes another.
        let history = Limits { max_msgs_per_subject: Some(1), ..Limits::default() };
        append(Log::file(1, history, options()), 128, 10_000)
    }),
    Workload::new("get/memory-128", || get(memory())),
    Workload::new("get/file-128", || get(file())),
    Workload::new("get/last-on-subject", || {
        let mut log = memory();
        let names = names(10_000);
        fill(&mut log, &names, 10_000);
        Round::new(BATCH, move || {
            for name in &names[..BATCH] {
                let Next::Found(seq) = log.last_on(black_box(name)) else { panic!("it is stored") };
                black_box(log.get(seq));
            }
        })
    }),
];

fn memory() -> Log {
    Log::memory(1, Limits::default())
}

fn options() -> FileOptions {
    FileOptions::new("streams/1", 1, 42)
}

fn file() -> Log {
    Log::file(1, Limits::default(), options())
}

fn names(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("orders.{number:06}").into_bytes()).collect()
}

/// Performs what the log asks of its disk.
fn settle(log: &mut Log, requests: &mut Vec<DiskRequest>) {
    loop {
        log.take_requests(requests);
        if requests.is_empty() {
            return;
        }
        for request in requests.drain(..) {
            assert!(!request.is_read(), "what was just written is read from memory");
            log.completed(request.id, DiskResult::Done);
        }
    }
}

fn message<'a>(subject: &'a [u8], payload: &'a [u8], number: usize) -> NewMessage<'a> {
    let time = 1_700_000_000_000_000_000 + number as i64 * 2000;
    NewMessage { subject, headers: b"", payload, time, flags: 0 }
}

fn append(mut log: Log, size: usize, subjects: u64) -> Round {
    let names = names(subjects as usize);
    let payload = vec![b'x'; size];
    let mut numbers = Numbers::new(9);
    let mut requests = Vec::new();
    let mut number = 0;
    Round::new(BATCH, move || {
        for _ in 0..BATCH {
            let name = &names[numbers.below(subjects) as usize];
            black_box(log.append(message(name, &payload, number)));
            number += 1;
        }
        settle(&mut log, &mut requests);
        if log.wants_checkpoint() {
            log.checkpoint(&[]);
        }
    })
}

fn fill(log: &mut Log, names: &[Vec<u8>], count: usize) {
    for number in 0..count {
        log.append(message(&names[number % names.len()], &[b'x'; 128], number));
    }
    settle(log, &mut Vec::new());
}

/// Reads the newest messages in order, as a consumer that keeps up does.
fn get(mut log: Log) -> Round {
    fill(&mut log, &names(100), 10_000);
    Round::new(BATCH, move || {
        for seq in 10_001 - BATCH as u64..=10_000 {
            let Get::Found(message) = log.get(seq) else { panic!("it is stored") };
            black_box(&message);
        }
    })
}

#[divan::bench(crate = divan, args = WORKLOADS)]
fn time(bencher: divan::Bencher<'_, '_>, workload: &Workload) {
    workload.time(bencher);
}

fn main() {
    natterjack_workload::main(WORKLOADS);
}
