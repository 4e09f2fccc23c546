//! A bit flips or a file ends early: what was not touched is there, what was is reported, and no
//! sequence is handed out again.

use natterjack_sim::{Message, Rng, SimDisk, Survival};
use natterjack_store::{
    Damage, Disk, DiskError, DiskErrorKind, DiskResult, Get, Limits, Log, NewMessage, SyncPolicy,
};
use std::collections::BTreeMap;

use crate::workload::message;
use crate::world::World;
use crate::{each, seeds};

/// A log with removals, checkpoints and compacted segments, all of it durable and some of it
/// followed by a later round.
fn grown(seed: u64) -> World {
    let mut world = World::new(seed, 1, Limits::default(), SyncPolicy::Always);
    world.calm = true;
    for _ in 0..150 {
        world.act();
        world.idle();
    }
    world
}

/// What of a message was found, `None` where it is damaged.
type Found = BTreeMap<u64, Option<Message>>;

fn read(disk: &SimDisk, world: &World) -> (Log, Found, natterjack_store::Recovery) {
    let options = world.options.clone();
    let (mut log, mut report) =
        Log::recover(disk, 1, Limits::default(), options, &mut ()).expect("it opens");
    report.damage.append(&mut verify(&mut log, disk));
    let mut found = BTreeMap::new();
    for seq in 1..=log.state().last_seq {
        while log.get(seq) == Get::Pending {
            let mut requests = Vec::new();
            log.take_requests(&mut requests);
            requests.into_iter().for_each(|r| log.completed(r.id, r.run(disk)));
        }
        match log.get(seq) {
            Get::Found(stored) => found.insert(seq, Some(stored.into())),
            Get::Missing => None,
            _ => found.insert(seq, None),
        };
    }
    (log, found, report)
}

/// Lets the log look at all that recovery took over.
fn verify(log: &mut Log, disk: &SimDisk) -> Vec<Damage> {
    let (mut now, mut requests) = (0, Vec::new());
    for _ in 0..10_000 {
        log.tick(now);
        log.take_requests(&mut requests);
        requests.drain(..).for_each(|r| log.completed(r.id, r.run(disk)));
        if log.is_verified() {
            return log.take_damage();
        }
        now = log.next_deadline().expect("there is more to look at");
    }
    panic!("it looks for ever");
}

fn is(got: Option<&Option<Message>>, m: &Message) -> bool {
    matches!(got, Some(Some(s)) if s.payload == m.payload && s.subject == m.subject
        && s.headers == m.headers && s.time == m.time)
}

fn append(log: &mut Log) -> u64 {
    let m = NewMessage { subject: b"k.1", headers: b"", payload: b"new", time: 1, flags: 0 };
    log.append(m).seq
}

fn segments(world: &World) -> Vec<String> {
    world.disk.paths().into_iter().filter(|path| path.ends_with(".seg")).collect()
}

#[test]
fn a_flipped_bit_takes_one_message_at_most_and_says_which() {
    each(seeds(0, 12), |seed| {
        let mut world = grown(seed);
        let paths = segments(&world);
        for _ in 0..60 {
            let path = world.rng.pick(&paths).clone();
            let bit = world.rng.below(world.disk.len(&path).unwrap() * 8);
            world.disk.flip(&path, bit);
            let (mut log, found, report) = read(&world.disk.copy(), &world);
            let all = &world.model.messages;
            let missing: Vec<u64> =
                all.iter().filter(|(seq, m)| !is(found.get(seq), m)).map(|(&seq, _)| seq).collect();
            assert!(missing.len() <= 1, "{path} {bit}: {missing:?} of {report:?}");
            for seq in missing {
                let told = |r: &natterjack_store::SeqRange| (r.first..=r.last).contains(&seq);
                let inside = report.damage.iter().any(|damage| damage.seqs.iter().any(told));
                assert!(inside || report.torn.is_some(), "{path} {bit}: {seq} of {report:?}");
                let lost = log.state().lost.iter().any(told);
                assert!(lost || report.torn.is_some() || report.damage.iter().any(|d| !d.durable));
            }
            // At most one that was removed is back: the one whose removal was damaged.
            let back = found.keys().filter(|seq| !all.contains_key(seq)).count();
            assert!(back <= 1, "{path} {bit}: {back} are back, {report:?}");
            assert!(append(&mut log) > world.model.last_seq, "{path} {bit} {report:?}");
            world.disk.flip(&path, bit);
        }
    });
}

#[test]
fn a_file_that_ends_early_takes_no_other_file_with_it() {
    each(seeds(100, 12), |seed| {
        let mut world = grown(seed);
        let paths = segments(&world);
        for _ in 0..20 {
            let path = world.rng.pick(&paths).clone();
            let keep = world.rng.below(world.disk.len(&path).unwrap()) as usize;
            let disk = world.disk.copy();
            disk.shorten(&path, keep);
            let gone = world.log.messages_in(&path, keep);
            let (mut log, found, report) = read(&disk, &world);
            for (seq, message) in &world.model.messages {
                let fine = is(found.get(seq), message) || gone.contains(seq);
                assert!(fine, "{path} to {keep}: {seq} of {report:?}");
            }
            let last = path == paths[paths.len() - 1];
            assert!(last || append(&mut log) > world.model.last_seq, "{path} {keep} {report:?}");
        }
    });
}

#[test]
fn a_bad_record_is_told_when_it_is_read() {
    let mut rng = Rng::new(1);
    let mut world = World::new(7, 1, Limits::default(), SyncPolicy::Always);
    world.log.set_cache(0, 0);
    let first = message(&mut rng, 1, 1);
    for _ in 0..3 {
        world.publish(first.clone());
        world.idle();
    }
    world.log.set_cache(0, 0);
    let path = segments(&world).remove(0);
    let len = world.disk.len(&path).unwrap();
    let content = world.disk.read_at(&path, 0, len as usize).unwrap();
    let at = content.windows(first.subject.len()).position(|w| w == first.subject).unwrap();
    world.disk.flip(&path, at as u64 * 8);
    while world.log.get(1) == Get::Pending {
        assert!(world.step());
    }
    assert_eq!(world.log.get(1), Get::Damaged);
    assert_eq!(world.log.state().lost.len(), 1);
    world.check_get(2);
    world.disk.crash(Survival::Everything);
}

#[test]
fn a_read_that_fails_for_a_moment_loses_nothing() {
    let mut rng = Rng::new(1);
    let mut world = World::new(7, 1, Limits::default(), SyncPolicy::Always);
    world.publish(message(&mut rng, 1, 1));
    world.idle();
    world.log.set_cache(0, 0);
    world.publish(message(&mut rng, 2, 1));
    world.idle();
    let fail = |world: &mut World| {
        assert_eq!(world.log.get(1), Get::Pending);
        let mut requests = Vec::new();
        world.log.take_requests(&mut requests);
        let error = DiskError {
            kind: DiskErrorKind::Other,
            op: "read",
            path: String::new(),
            message: "too many open files".into(),
        };
        let failed = DiskResult::Failed { step: 0, error };
        requests.into_iter().for_each(|r| world.log.completed(r.id, failed.clone()));
    };
    fail(&mut world);
    fail(&mut world);
    world.check_get(1);
    assert!(world.log.state().lost.is_empty());
}
