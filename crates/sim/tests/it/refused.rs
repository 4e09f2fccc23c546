//! A message that the disk refuses replaces nothing.

use natterjack_sim::{Fault, SimDisk, Survival};
use natterjack_store::{
    Disk, DiskRequest, FileOptions, Get, Limits, Log, NewMessage, Next, Purge, Recovery, Replay,
    SubjectState,
};
use std::collections::BTreeMap;

const KIND: u8 = 7;

fn options() -> FileOptions {
    FileOptions::new("streams/1", 1, 5)
}

/// Counters, subjects and messages, as anybody may ask for them.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Seen {
    counters: (u64, u64, u64, i64),
    subjects: BTreeMap<Vec<u8>, SubjectState>,
    messages: Vec<(u64, Vec<u8>)>,
    deleted: u64,
}

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) log: Log,
    options: FileOptions,
}

impl World {
    fn new(limits: Limits) -> World {
        World::with(3, limits, options())
    }

    pub(crate) fn with(seed: u64, limits: Limits, options: FileOptions) -> World {
        let log = Log::file(1, limits, options.clone());
        World { disk: SimDisk::new(seed), log, options }
    }

    pub(crate) fn put(&mut self, subject: &str, payload: &str) -> u64 {
        self.put_flagged(subject, payload, 0)
    }

    pub(crate) fn put_flagged(&mut self, subject: &str, payload: &str, flags: u8) -> u64 {
        let time = self.log.state().last_time + 1;
        let (subject, payload) = (subject.as_bytes(), payload.as_bytes());
        self.log.append(NewMessage { subject, headers: b"", payload, time, flags }).seq
    }

    pub(crate) fn run(&mut self) {
        loop {
            let mut requests = Vec::new();
            self.log.take_requests(&mut requests);
            if requests.is_empty() {
                return;
            }
            self.complete(requests);
        }
    }

    fn complete(&mut self, requests: Vec<DiskRequest>) {
        for request in requests {
            let result = request.run(&self.disk);
            self.log.completed(request.id, result);
        }
    }

    pub(crate) fn seen(&mut self) -> Seen {
        let state = self.log.state().clone();
        let mut subjects = BTreeMap::new();
        self.log.subjects_matching(b">", |name, state| {
            subjects.insert(name.to_vec(), *state);
        });
        for (name, state) in &subjects {
            let name = std::str::from_utf8(name).expect("a subject");
            assert_eq!(self.log.last_on(name.as_bytes()), Next::Found(state.last));
        }
        let (mut messages, mut from) = (Vec::new(), 0);
        while let Next::Found(seq) = self.log.next_match(&[], from) {
            match self.log.get(seq) {
                Get::Pending => {
                    let mut requests = Vec::new();
                    self.log.take_requests(&mut requests);
                    self.complete(requests);
                    continue;
                }
                Get::Found(found) => messages.push((seq, found.payload.to_vec())),
                other => panic!("{seq}: {other:?}"),
            }
            from = seq + 1;
        }
        let last = messages.last().map_or(0, |(seq, _)| *seq);
        let deleted = self.log.deleted().filter(|run| run.first <= last).map(|r| r.count()).sum();
        let counters = (state.messages, state.bytes, state.first_seq, state.first_time);
        Seen { counters, subjects, messages, deleted }
    }

    fn recover(&mut self, survival: Survival) {
        self.disk.crash(survival);
        self.disk.mend();
        self.reopen(&mut ());
    }

    /// A world with what is on `disk`.
    pub(crate) fn on(&self, disk: SimDisk, replay: &mut dyn Replay) -> (World, Recovery) {
        let (limits, options) = (*self.log.limits(), self.options.clone());
        let opened = Log::recover(&disk, 1, limits, options.clone(), replay);
        let (log, found) = opened.expect("it opens");
        (World { disk, log, options }, found)
    }

    pub(crate) fn reopen(&mut self, replay: &mut dyn Replay) -> Recovery {
        let limits = *self.log.limits();
        let opened = Log::recover(&self.disk, 1, limits, self.options.clone(), replay);
        let (log, found) = opened.expect("it opens");
        self.log = log;
        found
    }
}

fn per_subject(max: u64) -> Limits {
    Limits { max_msgs_per_subject: Some(max), ..Limits::default() }
}

/// Limits, and what is published in vain.
type Way = (&'static str, Limits, fn(&mut World));

fn ways() -> Vec<Way> {
    let at_most = |max| Limits { max_msgs: Some(max), ..Limits::default() };
    let bytes = Limits { max_bytes: Some(400), ..Limits::default() };
    vec![
        ("a new revision", per_subject(1), |world| _ = world.put("kv.a", "new")),
        ("later revisions", per_subject(3), |world| {
            (0..5).for_each(|_| _ = world.put("kv.a", "new"));
        }),
        ("the count of the stream", at_most(4), |world| _ = world.put("kv.c", "new")),
        ("the size of the stream", bytes, |world| _ = world.put("kv.c", &"new".repeat(90))),
        ("a rollup of a subject", Limits::default(), |world| {
            world.put("kv.a", "new");
            world.log.replace(&Purge { filter: Some(b"kv.a"), below_seq: None, keep: Some(1) });
        }),
        ("a rollup of all", Limits::default(), |world| {
            world.put("kv.a", "new");
            world.log.replace(&Purge { filter: None, below_seq: None, keep: Some(1) });
        }),
        ("a batch that ends with rollups", Limits::default(), |world| {
            world.log.note(KIND, b"a batch begins");
            let first = world.put("kv.c", "new");
            let last = world.put("kv.a", "new");
            world.log.replace(&Purge { filter: Some(b"kv.a"), below_seq: Some(last), keep: None });
            world.log.replace(&Purge { filter: None, below_seq: Some(first), keep: None });
        }),
    ]
}

fn filled(limits: Limits) -> World {
    let mut world = World::new(limits);
    for (subject, payload) in
        [("kv.a", "precious"), ("kv.b", "other"), ("kv.a", "second"), ("kv.a", "third"), ("x", "y")]
    {
        world.put(subject, payload);
        world.run();
    }
    world
}

#[test]
fn a_refused_message_replaces_nothing() {
    for (way, limits, publish) in ways() {
        for fault in [Fault::NoRoom, Fault::Write, Fault::Sync] {
            let mut world = filled(limits);
            let before = world.seen();
            publish(&mut world);
            assert_ne!(world.seen(), before, "{way}");
            world.disk.fail(fault, 0);
            let mut requests = Vec::new();
            world.log.take_requests(&mut requests);
            world.complete(requests);
            let refused = world.log.refused();
            assert_eq!(refused.len(), 1, "{way} {fault:?}");
            assert_eq!(refused[0].seqs.map(|seqs| seqs.first), Some(6));
            assert_eq!(world.seen(), before, "{way} {fault:?}");
            let (mut told, present) = (Vec::new(), before.messages.iter().map(|(seq, _)| *seq));
            world.log.take_evicted(&mut told);
            assert!(present.into_iter().all(|seq| !told.contains(&seq)), "{way} {told:?}");
            world.disk.mend();
            world.log.probe();
            world.run();
            assert_eq!(world.log.blocked(), None);
            assert_eq!(world.seen(), before, "{way} {fault:?} with room");
            world.recover(Survival::Nothing);
            assert_eq!(world.seen(), before, "{way} {fault:?} after a restart");
            // The same once more, with success.
            publish(&mut world);
            let after = world.seen();
            world.run();
            world.recover(Survival::Nothing);
            assert_eq!(world.seen(), after, "{way} {fault:?}");
        }
    }
}

#[test]
fn removals_that_nobody_refused_last() {
    let mut world = filled(Limits { max_msgs: Some(4), ..Limits::default() });
    // Evicts 2; then it is purged, and 4 is removed for its own sake, and the limits change.
    world.put("kv.c", "new");
    world.log.purge(&Purge { filter: Some(b"kv.b"), below_seq: None, keep: None });
    world.log.remove(4, false).expect("it is there");
    world.log.set_limits(Limits { max_msgs: Some(2), ..Limits::default() });
    world.disk.fail(Fault::Sync, 0);
    world.run();
    let left = |world: &mut World| -> Vec<u64> {
        world.seen().messages.iter().map(|(seq, _)| *seq).collect()
    };
    assert_eq!(left(&mut world), [3, 5]);
    world.disk.mend();
    world.log.probe();
    world.run();
    assert_eq!(left(&mut world), [3, 5]);
    world.recover(Survival::Nothing);
    assert_eq!(left(&mut world), [3, 5]);
}

#[test]
fn a_second_failure_brings_nothing_twice_and_forgets_nothing() {
    let mut world = filled(per_subject(1));
    let before = world.seen();
    world.put("kv.a", "in flight");
    let mut requests = Vec::new();
    world.log.take_requests(&mut requests);
    // Evicts the one in flight.
    world.put("kv.a", "behind it");
    world.disk.fail(Fault::Sync, 0);
    world.complete(requests);
    assert_eq!(world.seen(), before);
    world.log.probe();
    world.disk.fail(Fault::Write, 0);
    world.run();
    assert_eq!(world.seen(), before);
    world.disk.mend();
    world.log.probe();
    world.run();
    assert_eq!(world.seen(), before);
    world.recover(Survival::Nothing);
    assert_eq!(world.seen(), before);
}

fn left(world: &mut World) -> Vec<u64> {
    world.seen().messages.iter().map(|(seq, _)| *seq).collect()
}

/// What is there after a failure of what is in flight, or of what follows it, and whether that stays.
fn left_after_failure(world: &mut World, flight_fails: bool, behind: fn(&mut World)) -> Vec<u64> {
    let mut requests = Vec::new();
    world.log.take_requests(&mut requests);
    behind(world);
    if !flight_fails {
        world.complete(std::mem::take(&mut requests));
    }
    world.disk.fail(Fault::Sync, 0);
    world.complete(requests);
    world.run();
    let found = left(world);
    world.disk.mend();
    world.log.probe();
    world.run();
    assert_eq!(left(world), found);
    world.recover(Survival::Nothing);
    assert_eq!(left(world), found);
    found
}

#[test]
fn a_purge_keeps_as_many_of_what_the_disk_took() {
    let all: fn(&mut World) = |world| {
        world.log.purge(&Purge { filter: None, below_seq: None, keep: Some(2) });
    };
    let one: fn(&mut World) = |world| {
        world.log.purge(&Purge { filter: Some(b"kv.a"), below_seq: None, keep: Some(1) });
    };
    let more: fn(&mut World) = |world| {
        world.put("kv.a", "behind");
        world.log.purge(&Purge { filter: None, below_seq: None, keep: Some(2) });
    };
    let at_most = |max| Limits { max_msgs: Some(max), ..Limits::default() };
    for (limits, behind, first_fails, second_fails) in [
        (Limits::default(), all, vec![4, 5], vec![5, 6]),
        (Limits::default(), one, vec![2, 4, 5], vec![2, 5, 6]),
        (Limits::default(), more, vec![4, 5], vec![5, 6]),
        // The message in flight evicted another.
        (at_most(5), all, vec![4, 5], vec![5, 6]),
        (per_subject(3), one, vec![2, 4, 5], vec![2, 5, 6]),
        (at_most(1), all, vec![5], vec![6]),
    ] {
        let mut world = filled(limits);
        world.put("kv.a", "in flight");
        assert_eq!(left_after_failure(&mut world, true, behind), first_fails);
        let mut world = filled(limits);
        world.put("kv.a", "in flight");
        assert_eq!(left_after_failure(&mut world, false, behind), second_fails);
    }
    // What is purged besides does not come back.
    let mut world = filled(Limits::default());
    world.put("kv.a", "in flight");
    let found = left_after_failure(&mut world, true, |world| {
        world.log.purge(&Purge { filter: None, below_seq: None, keep: Some(2) });
        world.log.purge(&Purge { filter: None, below_seq: Some(3), keep: None });
    });
    assert_eq!(found, [4, 5]);
}

#[test]
fn lower_limits_leave_as_many_of_what_the_disk_took() {
    for (flight_fails, expected) in [(true, vec![4, 5]), (false, vec![5, 6])] {
        let mut world = filled(Limits { max_msgs: Some(5), ..Limits::default() });
        // Evicts 1.
        world.put("kv.a", "in flight");
        let lower: fn(&mut World) = |world| {
            world.log.set_limits(Limits { max_msgs: Some(2), ..Limits::default() });
        };
        let mut requests = Vec::new();
        world.log.take_requests(&mut requests);
        lower(&mut world);
        if flight_fails {
            world.disk.fail(Fault::Sync, 0);
        }
        world.complete(requests);
        world.disk.mend();
        world.log.probe();
        world.run();
        assert_eq!(left(&mut world), expected);
        world.recover(Survival::Nothing);
        assert_eq!(left(&mut world), expected);
    }
}

fn holds(disk: &SimDisk, bytes: &str) -> bool {
    let has = |path: String| {
        let len = disk.len(&path).expect("it is listed");
        let data = disk.read_at(&path, 0, len as usize).expect("it is listed");
        data.windows(bytes.len()).any(|window| window == bytes.as_bytes())
    };
    disk.paths().into_iter().any(has)
}

#[test]
fn what_is_removed_for_good_is_overwritten_although_the_disk_fails_in_between() {
    // The round with the removal, or one that overwrites: its write or its sync.
    for (fault, nth) in [
        (Fault::Write, 0),
        (Fault::Sync, 0),
        (Fault::NoRoom, 0),
        (Fault::Write, 1),
        (Fault::Sync, 1),
    ] {
        for crash in [false, true] {
            let mut world = filled(Limits::default());
            assert!(holds(&world.disk, "precious"));
            world.log.remove(1, true).expect("it is there");
            world.disk.fail(fault, nth);
            world.run();
            world.disk.mend();
            world.log.probe();
            world.run();
            if crash {
                world.recover(Survival::Nothing);
            }
            // The disk takes something again.
            world.put("x", "later");
            world.run();
            assert!(!holds(&world.disk, "precious"), "{fault:?} {nth} {crash}");
            world.recover(Survival::Nothing);
            assert!(!world.log.contains(1));
            assert!(!holds(&world.disk, "precious"), "{fault:?} {nth} {crash}");
        }
    }
}
