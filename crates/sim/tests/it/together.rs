//! Messages that count only together: a crash leaves all of them or none, and without them what they
//! had replaced.

use natterjack_sim::{Rng, SimDisk, Survival};
use natterjack_store::{
    DiskOp, DiskRequest, FileOptions, Limits, Purge, Replay, RequestId, SeqRange, Together,
};

use crate::refused::{Seen, World};

const BATCH: u8 = 9;
const PART: u8 = 8;

struct Owner;

impl Replay for Owner {
    fn is_part(&self, flags: u8) -> bool {
        flags == PART
    }

    fn together(&self, kind: u8, body: &[u8]) -> Together {
        assert_eq!(kind, BATCH);
        let number = |at: usize| {
            let bytes = body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes)
        };
        match (number(0), number(8)) {
            (Some(first), Some(last)) => Together::Begin(SeqRange { first, last }),
            _ => Together::End,
        }
    }
}

/// Starts on what a crash left. Tells whether something was taken back, which is made final as the
/// owner of a log does it.
fn restart(world: &mut World) -> bool {
    let Some(run) = world.reopen(&mut Owner).taken_back else { return false };
    let last = run.last.min(world.log.state().last_seq);
    if run.first <= last {
        world.log.remove_runs(&[SeqRange { first: run.first, last }]);
    }
    world.log.note(BATCH, b"");
    world.run();
    true
}

fn filled(rng: &mut Rng) -> World {
    let limits = *rng.pick(&[
        Limits { max_msgs_per_subject: Some(1), ..Limits::default() },
        Limits { max_msgs_per_subject: Some(3), max_msgs: Some(12), ..Limits::default() },
        Limits { max_msgs: Some(10), ..Limits::default() },
        Limits { max_bytes: Some(9_000), ..Limits::default() },
    ]);
    let mut options = FileOptions::new("streams/1", 1, rng.bits());
    options.segment_bytes = *rng.pick(&[4_000, 30_000, 1 << 20]);
    let mut world = World::with(rng.bits(), limits, options);
    for _ in 0..rng.below(30) + 5 {
        put(&mut world, rng, 300, 0);
        if rng.chance(1, 2) {
            world.run();
        }
    }
    world.run();
    world
}

fn put(world: &mut World, rng: &mut Rng, size: u64, flags: u8) {
    let subject = format!("s.{}", rng.below(8));
    let payload = "x".repeat(rng.below(size) as usize);
    world.put_flagged(&subject, &payload, flags);
}

/// Appends a batch; the operations of its round.
fn batch(world: &mut World, rng: &mut Rng) -> Vec<DiskOp> {
    let first = world.log.state().last_seq + 1;
    let run = SeqRange { first, last: first + 1 + rng.below(20) };
    world.log.note(BATCH, &[run.first.to_le_bytes(), run.last.to_le_bytes()].concat());
    world.log.hold(run);
    let size = *rng.pick(&[50, 1_000, 12_000]);
    (0..run.count()).for_each(|_| put(world, rng, size, PART));
    if rng.chance(1, 3) {
        let filter = rng.chance(1, 2).then_some(&b"s.3"[..]);
        world.log.replace(&Purge { filter, below_seq: Some(run.first), keep: None });
    }
    let mut requests = Vec::new();
    world.log.take_requests(&mut requests);
    requests.swap_remove(0).ops
}

fn check(world: &World, disk: &dyn Fn() -> SimDisk, outcomes: [&Seen; 2]) -> bool {
    let (mut world, found) = world.on(disk(), &mut Owner);
    let first = world.seen();
    assert!(outcomes.contains(&&first), "{:?}", found.taken_back);
    // Whoever starts and falls again before anything is written sees the same.
    let again = restart(&mut world);
    assert_eq!(again, found.taken_back.is_some());
    assert_eq!(world.seen(), first);
    world.disk.crash(Survival::Nothing);
    assert!(!restart(&mut world));
    assert_eq!(world.seen(), first);
    // What follows is no part of it.
    world.put("s.1", "later");
    world.run();
    let later = world.seen();
    world.disk.crash(Survival::Nothing);
    assert!(!restart(&mut world));
    assert_eq!(world.seen(), later);
    first == *outcomes[0]
}

#[test]
fn a_crash_at_any_write_of_a_batch_leaves_all_of_it_or_nothing() {
    let counts = std::sync::Mutex::new([0_u64; 2]);
    super::each(super::seeds(1, 60), |seed| {
        let mut rng = Rng::new(seed);
        let mut world = filled(&mut rng);
        let before = world.seen();
        let untouched = world.disk.copy();
        let ops = batch(&mut world, &mut rng);
        let after = world.seen();
        for done in 0..=ops.len() {
            for survival in
                [Survival::Nothing, Survival::Everything, Survival::Sectors, Survival::Bytes]
            {
                let torn = || {
                    let disk = untouched.copy();
                    let ops = ops[..done].to_vec();
                    DiskRequest { id: RequestId(1), ops }.run(&disk);
                    disk.crash(survival);
                    disk
                };
                let is_gone = check(&world, &torn, [&before, &after]);
                counts.lock().expect("nobody panics")[usize::from(is_gone)] += 1;
            }
        }
    });
    let counts = counts.into_inner().expect("nobody panics");
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}
