//! A log whose owner appends the same message at the same sequence again, as a mirror does: whatever a
//! disk refuses, tears or forgets, it ends with all of them in their places.

use natterjack_sim::{Fault, Rng, SimDisk, Survival};
use natterjack_store::{FileOptions, Get, Limits, Log, NewMessage, Next};

use crate::{each, seeds};

fn options() -> FileOptions {
    let mut options = FileOptions::new("streams/1", 1, 5);
    options.segment_bytes = 2048;
    options.reuse = true;
    options
}

/// A gap that is wider than the index of a segment can be.
const FAR: u64 = 1 << 33;

/// What the mirror copies: sequences with gaps, and payloads.
fn origin(rng: &mut Rng) -> Vec<(u64, Vec<u8>)> {
    let mut seq = 0;
    let mut next = |at: usize| {
        // Mostly the next one; now and then a gap, also one that makes a chunk sparse, or that none spans.
        seq += *rng.pick(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 200, 300, FAR]);
        (seq, format!("{at} {}", "x".repeat(rng.below(90) as usize)).into_bytes())
    };
    (0..60).map(&mut next).collect()
}

fn run(log: &mut Log, disk: &SimDisk, most: usize) {
    for _ in 0..most {
        let mut requests = Vec::new();
        log.take_requests(&mut requests);
        if requests.is_empty() {
            return;
        }
        for request in requests {
            let result = request.run(disk);
            log.completed(request.id, result);
        }
        drop(log.refused());
    }
}

fn all(log: &mut Log, disk: &SimDisk) -> Vec<(u64, Vec<u8>)> {
    let (mut messages, mut from) = (Vec::new(), 0);
    while let Next::Found(seq) = log.next_match(&[], from) {
        match log.get(seq) {
            Get::Pending => run(log, disk, 1),
            Get::Found(found) => {
                messages.push((seq, found.payload.to_vec()));
                from = seq + 1;
            }
            other => panic!("{seq}: {other:?}"),
        }
    }
    messages
}

fn numbers(messages: &[(u64, Vec<u8>)]) -> Vec<u64> {
    messages.iter().map(|message| message.0).collect()
}

#[test]
fn all_messages_end_at_their_sequences() {
    each(seeds(1, 300), |seed| {
        let mut rng = Rng::new(seed);
        let origin = origin(&mut rng);
        let last = origin.last().expect("there are some").0;
        let disk = SimDisk::new(seed);
        let mut log = Log::file(1, Limits::default(), options());
        for step in 0.. {
            assert!(step < 5000, "seed {seed}: it does not end");
            let reached = log.state().last_seq;
            if reached == last && log.durable() >= log.end() && log.blocked().is_none() {
                break;
            }
            let next = origin.iter().find(|(seq, _)| *seq > reached);
            match (rng.below(20), next) {
                (0..12, Some((seq, payload))) if log.blocked().is_none() => {
                    let message = NewMessage {
                        subject: b"o",
                        headers: b"",
                        payload,
                        time: *seq as i64,
                        flags: 0,
                    };
                    assert_eq!(log.append_at(*seq, message).seq, *seq, "seed {seed}");
                }
                (0..16, _) => run(&mut log, &disk, 1),
                (16, _) => disk.fail(*rng.pick(&[Fault::NoRoom, Fault::Sync]), 0),
                (17, _) => {
                    disk.mend();
                    log.probe();
                    run(&mut log, &disk, 4);
                }
                (18, _) if log.is_idle() => drop(log.checkpoint(&[])),
                (18, _) => {}
                _ => {
                    let survival = [
                        Survival::Nothing,
                        Survival::Everything,
                        Survival::Sectors,
                        Survival::Bytes,
                    ];
                    disk.crash(*rng.pick(&survival));
                    disk.mend();
                    let opened = Log::recover(&disk, 1, Limits::default(), options(), &mut ());
                    log = opened.expect("it opens").0;
                }
            }
        }
        assert_eq!(numbers(&all(&mut log, &disk)), numbers(&origin), "seed {seed}");
        assert!(all(&mut log, &disk) == origin, "seed {seed}");
        disk.crash(Survival::Nothing);
        let opened = Log::recover(&disk, 1, Limits::default(), options(), &mut ());
        let (mut log, report) = opened.expect("it opens");
        assert_eq!(numbers(&all(&mut log, &disk)), numbers(&origin), "seed {seed}: {report:?}");
        assert!(all(&mut log, &disk) == origin, "seed {seed} after a restart");
        let deleted: u64 = log.deleted().map(|run| run.count()).sum();
        assert_eq!(deleted + origin.len() as u64, last - origin[0].0 + 1, "seed {seed}");
    });
}

#[test]
fn sequences_far_apart_stay_what_they_are_when_segments_are_compacted() {
    let disk = SimDisk::new(1);
    let options = FileOptions { reuse: false, ..options() };
    let mut log = Log::file(1, Limits::default(), options.clone());
    let mut wanted = Vec::new();
    for seq in (0..4).flat_map(|part| part * FAR + 1..part * FAR + 21) {
        let payload = seq.to_string().into_bytes();
        let message =
            NewMessage { subject: b"o", headers: b"", payload: &payload, time: 1, flags: 0 };
        assert_eq!(log.append_at(seq, message).seq, seq);
        run(&mut log, &disk, 9);
        wanted.push((seq, payload));
    }
    let before = disk.used();
    for at in (0..wanted.len()).rev().filter(|at| at % 10 != 5) {
        let (seq, _) = wanted.remove(at);
        log.remove(seq, false).expect("it is there");
    }
    for _ in 0..3 {
        run(&mut log, &disk, 99);
        log.checkpoint(&[]);
    }
    run(&mut log, &disk, 99);
    assert!(disk.used() < before, "nothing was compacted");
    assert!(all(&mut log, &disk) == wanted);
    let (mut log, _) =
        Log::recover(&disk, 1, Limits::default(), options, &mut ()).expect("it opens");
    assert!(all(&mut log, &disk) == wanted);
}
