//! The file log: what was durable is there after any crash.

use natterjack_sim::{Message, Rng, Survival};
use natterjack_store::{Disk, DiskResult, Limits, Log, SyncPolicy};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::workload::{limits, message};
use crate::world::World;
use crate::{each, seeds};

const SURVIVALS: [Survival; 4] =
    [Survival::Nothing, Survival::Everything, Survival::Sectors, Survival::Bytes];

fn world(seed: u64) -> World {
    world_with(seed, SyncPolicy::Always)
}

fn world_with(seed: u64, sync: SyncPolicy) -> World {
    let mut rng = Rng::new(seed);
    let limits = if rng.chance(1, 2) { limits(&mut rng) } else { Limits::default() };
    World::new(seed, rng.below(4), limits, sync)
}

fn run(mut world: World, steps: usize) -> World {
    for step in 0..steps {
        world.act();
        while world.rng.chance(1, 2) && world.step() {}
        if step % 50 == 49 {
            world.check();
        }
        if world.rng.chance(1, 80) {
            let survival = *world.rng.pick(&SURVIVALS);
            world.crash(survival);
        }
    }
    world.idle();
    world.check();
    world
}

#[test]
fn without_crashes_it_is_the_model() {
    each(seeds(0, 30), |seed| {
        let mut world = world(seed);
        for step in 0..300 {
            world.act();
            while world.rng.chance(1, 2) && world.step() {}
            if step % 20 == 0 {
                world.check();
            }
        }
        world.idle();
        assert_eq!(world.log.durable(), world.log.end());
        assert_eq!(world.log.visible_last(), world.log.state().last_seq);
        world.reopen();
    });
}

// Shows J-208.
#[test]
fn any_crash_keeps_what_was_durable() {
    each(seeds(1000, 60), |seed| {
        let world = run(world(seed), 400);
        for report in &world.recoveries {
            // Nothing tore but what was not durable, or was about to be overwritten.
            let lost =
                |damage: &natterjack_store::Damage| damage.durable && !damage.seqs.is_empty();
            assert!(!report.damage.iter().any(lost), "{report:?}");
        }
    });
}

#[test]
fn what_stands_beside_the_segments_may_be_lost_torn_stale_or_wrong() {
    let used = std::cell::Cell::new((0, 0));
    each(seeds(3000, 60), |seed| {
        let mut world = world(seed);
        world.meddle = true;
        let world = run(world, 500);
        let taken = world.recoveries.iter().filter(|report| report.taken_over > 0).count();
        used.set((used.get().0 + taken, used.get().1 + world.recoveries.len()));
    });
    // It is used at all, and not always.
    let (used, all) = used.get();
    assert!(used * 8 > all && used < all, "{used} of {all}");
}

#[test]
fn a_log_that_is_durable_before_its_sync_is_caught() {
    let caught = (0..20).filter(|&seed| {
        let run = || {
            let mut world = world(seed);
            world.no_sync = true;
            run(world, 400);
        };
        catch_unwind(AssertUnwindSafe(run)).is_err()
    });
    assert!(caught.count() >= 15);
}

#[test]
fn a_disk_that_fails_loses_nothing_that_was_durable() {
    let came_back = std::cell::Cell::new(0);
    each(seeds(5000, 60), |seed| {
        let mut world = world(seed);
        world.faults = true;
        let mut world = run(world, 400);
        world.disk.mend();
        world.log.probe();
        world.idle();
        assert_eq!(world.log.blocked(), None);
        assert_eq!(world.log.durable(), world.log.end());
        world.check();
        came_back.set(came_back.get() + world.came_back);
        world.crash(Survival::Nothing);
    });
    // What refused messages had evicted.
    assert!(came_back.get() > 100, "{}", came_back.get());
}

#[test]
fn a_relaxed_log_survives_a_kill_and_is_whole_after_a_power_cut() {
    each(seeds(7000, 30), |seed| {
        let mut world = world_with(seed, SyncPolicy::Interval(Duration::from_nanos(1)));
        for step in 0..300u64 {
            world.act();
            world.log.tick(step);
            while world.rng.chance(1, 2) && world.step() {}
            if world.rng.chance(1, 60) {
                world.crash(Survival::Everything);
            }
        }
        world.idle();
        assert_eq!(world.log.durable(), world.log.end());
        // A power cut takes what was not synced; the rest is what was stored.
        world.power_cut();
    });
}

#[test]
fn a_secure_removal_is_finished_although_a_checkpoint_came_between() {
    const SECRET: &[u8] = b"the launch code is twelve zeros";
    each(seeds(11_000, 20), |seed| {
        let mut world = World::new(seed, 1, Limits::default(), SyncPolicy::Always);
        let message = Message { payload: SECRET.to_vec(), ..message(&mut world.rng, 1, 1) };
        world.publish(message);
        world.idle();
        let seq = world.log.state().last_seq;
        world.log.remove(seq, true).expect("it is there");
        world.log.checkpoint(&[]);
        // The checkpoint is written, and perhaps what comes after it.
        for _ in 0..1 + world.rng.below(3) {
            world.step();
        }
        world.disk.crash(Survival::Everything);
        let (log, _) =
            Log::recover(&world.disk, 1, Limits::default(), world.options.clone(), &mut ())
                .expect("it opens");
        world.log = log;
        world.idle();
        for path in world.disk.paths() {
            let len = world.disk.len(&path).expect("it is there") as usize;
            let content = world.disk.read_at(&path, 0, len).expect("it is there");
            assert!(!content.windows(SECRET.len()).any(|part| part == SECRET), "{path}");
        }
    });
}

#[test]
fn a_destroyed_log_leaves_nothing() {
    each(seeds(9000, 10), |seed| {
        let mut world = run(world(seed), 200);
        world.act();
        let mut requests = Vec::new();
        world.log.take_requests(&mut requests);
        requests.extend(world.log.destroy());
        for request in requests {
            assert!(matches!(request.run(&world.disk), DiskResult::Done | DiskResult::Read(_)));
        }
        assert_eq!(world.disk.paths(), Vec::<String>::new());
        assert!(world.disk.list("streams/7").is_err());
    });
}
