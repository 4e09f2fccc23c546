//! The catalog: what was durable is known after any crash and any flipped bit.

use natterjack_sim::{Fault, Rng, SimDisk, Survival};
use natterjack_store::{Catalog, DiskRequest, LogPos, directory};
use std::collections::{BTreeMap, VecDeque};

use crate::{each, seeds};

type Entries = BTreeMap<(u8, u64), Vec<u8>>;

struct World {
    rng: Rng,
    disk: SimDisk,
    catalog: Catalog,
    now: Entries,
    /// The state at each position that is not durable yet; the first is durable.
    states: VecDeque<(LogPos, Entries)>,
    queue: VecDeque<DiskRequest>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.bits());
        directory::open(&disk).expect("a new directory");
        let (catalog, _) = Catalog::recover(&disk, rng.bits()).expect("a new catalog");
        let states = VecDeque::from([(LogPos(0), Entries::new())]);
        World { rng, disk, catalog, now: Entries::new(), states, queue: VecDeque::new() }
    }

    fn act(&mut self) {
        let (kind, id) = (1 + self.rng.below(2) as u8, 1 + self.rng.below(30));
        let pos = if self.rng.chance(1, 3) {
            self.now.remove(&(kind, id));
            self.catalog.delete(kind, id)
        } else {
            let body: Vec<u8> = (0..self.rng.below(3000)).map(|_| self.rng.bits() as u8).collect();
            self.now.insert((kind, id), body.clone());
            self.catalog.put(kind, id, &body)
        };
        self.states.push_back((pos, self.now.clone()));
    }

    fn step(&mut self) -> bool {
        let mut requests = Vec::new();
        self.catalog.take_requests(&mut requests);
        self.queue.extend(requests);
        let Some(request) = self.queue.pop_front() else { return false };
        let result = request.run(&self.disk);
        self.catalog.completed(request.id, result);
        for refused in self.catalog.refused() {
            // All of it is written again.
            let end = self.catalog.end();
            let late = self.states.iter_mut().filter(|state| state.0 > refused.after);
            late.for_each(|state| state.0 = end);
        }
        while self.states.get(1).is_some_and(|state| state.0 <= self.catalog.durable()) {
            self.states.pop_front();
        }
        true
    }

    fn found(&self) -> Entries {
        let of = |kind| self.catalog.iter(kind).map(move |(id, body)| ((kind, id), body.to_vec()));
        of(1).chain(of(2)).collect()
    }

    fn reopen(&mut self) {
        self.queue.clear();
        (self.catalog, _) = Catalog::recover(&self.disk, 5).expect("it opens");
    }

    fn crash(&mut self, survival: Survival) {
        if let Some(request) = self.queue.front() {
            let upto = self.rng.below(request.ops.len() as u64 + 1) as usize;
            DiskRequest { id: request.id, ops: request.ops[..upto].to_vec() }.run(&self.disk);
        }
        self.disk.crash(survival);
        self.disk.mend();
        self.reopen();
        let found = self.found();
        // Each entry is as it was at some time since the durable state.
        for key in self.states.iter().flat_map(|state| state.1.keys()).chain(found.keys()) {
            let known = self.states.iter().any(|state| state.1.get(key) == found.get(key));
            assert!(known, "{key:?} was never that");
        }
        self.now = found.clone();
        self.states = VecDeque::from([(LogPos(0), found)]);
    }
}

#[test]
fn crashes_and_failures_forget_nothing_durable() {
    each(seeds(0, 20), |seed| {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.act();
            if world.rng.chance(1, 50) {
                let fault = *world.rng.pick(&[Fault::NoRoom, Fault::Write, Fault::Sync]);
                world.disk.fail(fault, world.rng.clone().below(8));
            }
            if world.catalog.blocked().is_some() && world.rng.chance(1, 4) {
                world.disk.mend();
                world.catalog.probe();
            }
            while world.rng.chance(1, 2) && world.step() {}
            if world.rng.chance(1, 40) {
                let all = [Survival::Nothing, Survival::Sectors, Survival::Bytes];
                let survival = *world.rng.pick(&all);
                world.crash(survival);
            }
        }
        world.disk.mend();
        world.catalog.probe();
        while world.step() {}
        assert_eq!(world.states.len(), 1);
        assert_eq!(world.found(), world.now);
        // It does not keep all that was ever written.
        let live: usize = world.now.values().map(Vec::len).sum();
        assert!(world.disk.used() < 3_000_000 + 8 * live as u64, "{}", world.disk.used());
    });
}

#[test]
fn more_entries_than_a_segment_holds_come_to_rest() {
    let mut world = World::new(7);
    for id in 0..700 {
        world.catalog.put(1, id, &[7; 1000]);
        while world.step() {}
    }
    // Each entry is written twice, and checkpoints about as much again.
    let written = world.disk.written();
    assert!(written < 10 * 2 * 700 * 1000, "{written}");
}

#[test]
fn one_flipped_bit_forgets_nothing() {
    each(seeds(100, 4), |seed| {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.act();
            while world.step() {}
        }
        for path in world.disk.paths().into_iter().filter(|path| path.starts_with("catalog")) {
            for _ in 0..60 {
                let bit =
                    world.rng.below(natterjack_store::Disk::len(&world.disk, &path).unwrap() * 8);
                world.disk.flip(&path, bit);
                // The tail may be cut off and damage be fenced: look at a copy of the world.
                let copy = world.disk.copy();
                let (catalog, report) = Catalog::recover(&copy, 5).expect("it opens");
                let found = |kind| catalog.iter(kind).map(|(id, body)| (id, body.to_vec()));
                for kind in [1, 2] {
                    let expected = world.now.iter().filter(|(key, _)| key.0 == kind);
                    let expected: Vec<_> =
                        expected.map(|(key, body)| (key.1, body.clone())).collect();
                    assert_eq!(
                        found(kind).collect::<Vec<_>>(),
                        expected,
                        "{path} {bit} {report:?}"
                    );
                }
                world.disk.flip(&path, bit);
            }
        }
    });
}

#[test]
fn a_directory_of_a_newer_program_is_left_alone() {
    use natterjack_store::Disk;
    let disk = SimDisk::new(1);
    directory::open(&disk).expect("a new directory");
    directory::open(&disk).expect("an old directory");
    disk.truncate("FORMAT", 0).unwrap();
    disk.write_at("FORMAT", 0, b"natterjack store 2\n").unwrap();
    let refused = directory::open(&disk);
    assert_eq!(refused, Err(directory::DirectoryError::Newer { found: 2 }));
    assert!(!directory::has_nats_server_store(&disk));
    disk.create_dir("jetstream/$G").unwrap();
    assert!(directory::has_nats_server_store(&disk));
}
