//! The commit journal: what many logs were told is durable is there after any crash.

use bytes::Bytes;
use natterjack_sim::{Fault, Rng, SimDisk, Survival};
use natterjack_store::commit::{Journal, JournalOptions, Redone, Work, commit};
use natterjack_store::{
    Disk, DiskError, DiskErrorKind, DiskRequest, DiskResult, FileOptions, Get, Limits, Log, LogPos,
    NewMessage, Replay, ReplayedMessage,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use crate::{each, seeds};

const SIZES: JournalOptions = JournalOptions {
    file_bytes: 64 << 10,
    file_bytes_max: 100 << 10,
    round_bytes: 2 << 10,
    batch_bytes: 12 << 10,
};

struct Nobody;

impl Replay for Nobody {
    fn message(&mut self, _: &ReplayedMessage<'_>) {}
    fn note(&mut self, _: u8, _: &[u8]) {}
}

/// A disk whose power goes after a number of operations.
struct Cut<'a> {
    disk: &'a SimDisk,
    left: Cell<u64>,
}

impl Cut<'_> {
    fn step(&self) -> Result<(), DiskError> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left > 0 {
            return Ok(());
        }
        let message = "no power".into();
        Err(DiskError { kind: DiskErrorKind::Other, op: "cut", path: String::new(), message })
    }

    fn is_off(&self) -> bool {
        self.left.get() == 0
    }
}

impl Disk for Cut<'_> {
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }
    fn len(&self, path: &str) -> Result<u64, DiskError> {
        self.disk.len(path)
    }
    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.disk.read_at(path, offset, len)
    }
    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.step()?;
        self.disk.write_at(path, offset, data)
    }
    fn sync(&self, path: &str) -> Result<(), DiskError> {
        self.step()?;
        self.disk.sync(path)
    }
    fn truncate(&self, path: &str, len: u64) -> Result<(), DiskError> {
        self.step()?;
        self.disk.truncate(path, len)
    }
    fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        self.step()?;
        self.disk.create_dir(path)
    }
    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.step()?;
        self.disk.remove(path)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.step()?;
        self.disk.rename(from, to)
    }
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.step()?;
        self.disk.sync_dir(dir)
    }
}

/// One log, with what its users were told.
struct Lane {
    options: FileOptions,
    log: Log,
    queue: VecDeque<DiskRequest>,
    /// Appended and not known to be durable.
    waiting: Vec<(LogPos, u64, Vec<u8>)>,
    /// Removed, and that not known to be durable.
    leaving: Vec<(LogPos, u64, Vec<u8>)>,
    stored: BTreeMap<u64, Vec<u8>>,
    gone: BTreeMap<u64, Vec<u8>>,
}

struct World {
    rng: Rng,
    disk: Arc<SimDisk>,
    journal: Mutex<Journal>,
    work: Option<Work>,
    lanes: Vec<Lane>,
    number: u64,
    committed: u64,
    redone: Redone,
}

impl World {
    fn new(seed: u64, lanes: u64) -> World {
        let mut rng = Rng::new(seed);
        let disk = Arc::new(SimDisk::new(rng.bits()));
        natterjack_store::directory::open(&*disk).expect("a new directory");
        let (journal, _) = Journal::open(&*disk, SIZES, rng.bits()).expect("a new journal");
        let mut lane = |id| {
            let mut options = FileOptions::new(&format!("streams/{id}"), id, rng.bits());
            options.segment_bytes = *rng.pick(&[1_000, 20_000, 100_000]);
            options.tail_bytes = *rng.pick(&[0, 1 << 20]);
            Lane {
                log: Log::file(1, Limits::default(), options.clone()),
                options,
                queue: VecDeque::new(),
                waiting: Vec::new(),
                leaving: Vec::new(),
                stored: BTreeMap::new(),
                gone: BTreeMap::new(),
            }
        };
        let lanes = (1..=lanes).map(&mut lane).collect();
        let (journal, redone) = (Mutex::new(journal), Redone::default());
        World { rng, disk, journal, work: None, lanes, number: 0, committed: 0, redone }
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().expect("no panic before")
    }

    /// Appends or removes something somewhere.
    fn act(&mut self) {
        let at = self.rng.below(self.lanes.len() as u64) as usize;
        let lane = &mut self.lanes[at];
        if self.rng.chance(1, 12)
            && let Some((&seq, payload)) = lane.stored.iter().next()
        {
            let payload = payload.clone();
            let secure = self.rng.chance(2, 3);
            if let Some(pos) = lane.log.remove(seq, secure) {
                // A removal that is not durable may be undone or not.
                lane.stored.remove(&seq);
                if secure {
                    lane.leaving.push((pos, seq, payload));
                }
            }
            return;
        }
        self.number += 1;
        let long = if self.rng.chance(1, 15) { 5000 } else { 200 };
        let fill = self.rng.below(long) as usize;
        let payload = [format!("<{}>", self.number).as_bytes(), &vec![b'.'; fill]].concat();
        let message =
            NewMessage { subject: b"s", headers: b"", payload: &payload, time: 1, flags: 0 };
        let appended = lane.log.append(message);
        lane.waiting.push((appended.pos, appended.seq, payload));
    }

    fn collect(&mut self) {
        for lane in &mut self.lanes {
            let mut requests = Vec::new();
            lane.log.take_requests(&mut requests);
            lane.queue.extend(requests);
        }
    }

    /// Lets the disk do something. False if there is nothing to do, or the power went.
    fn step(&mut self, disk: &Cut<'_>) -> bool {
        self.collect();
        if let Some(work) = self.work.take() {
            if self.rng.chance(1, 3) {
                let _ = work.run(disk, &self.journal);
                if disk.is_off() {
                    return false;
                }
            } else {
                self.work = Some(work);
            }
        } else if self.rng.chance(1, 2) {
            if self.rng.chance(1, 20) {
                self.journal().rest();
            }
            let work = self.journal().work();
            self.work = work;
        }
        let busy: Vec<usize> =
            (0..self.lanes.len()).filter(|&at| !self.lanes[at].queue.is_empty()).collect();
        if busy.is_empty() {
            return false;
        }
        let (mut batch, mut weight) = (Vec::new(), 0);
        for &at in &busy {
            let head = &self.lanes[at].queue[0];
            let more = weight + Journal::weight(head);
            let fits = SIZES.takes(head) && more <= SIZES.batch_bytes;
            if fits && self.rng.chance(4, 5) && self.journal().has_room(more) {
                weight = more;
                batch.push(at);
            }
        }
        let done: Vec<(usize, DiskResult)> = if batch.is_empty() {
            let at = *self.rng.pick(&busy);
            let request = &self.lanes[at].queue[0];
            self.journal().begin(request);
            let mut result = request.run(disk);
            let _ = self.journal().end(request, &result);
            if result == DiskResult::Done && self.journal().brings_back(request) {
                match self.journal().replaced(disk, request) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => result = DiskResult::Failed { step: 0, error },
                    // Done again later: that changes nothing.
                    None => return !disk.is_off(),
                }
            }
            vec![(at, result)]
        } else {
            let requests: Vec<&DiskRequest> =
                batch.iter().map(|&at| &self.lanes[at].queue[0]).collect();
            let results = commit(disk, &self.journal, &requests);
            self.committed += batch.len() as u64;
            batch.into_iter().zip(results).collect()
        };
        // Nobody is told any more.
        if disk.is_off() {
            return false;
        }
        for (at, result) in done {
            let lane = &mut self.lanes[at];
            if let Some(request) = lane.queue.pop_front() {
                lane.log.completed(request.id, result);
            }
            lane.settle();
        }
        true
    }

    /// Lets the disk do all that is asked of it.
    fn idle(&mut self) {
        let disk = Arc::clone(&self.disk);
        let cut = Cut { disk: &disk, left: Cell::new(u64::MAX) };
        for _ in 0..20_000 {
            if !self.step(&cut) && self.lanes.iter().all(|lane| lane.queue.is_empty()) {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// The power goes in the middle of something; then the store is opened again.
    fn crash(&mut self, survival: Survival) {
        let disk = Arc::clone(&self.disk);
        let cut = Cut { disk: &disk, left: Cell::new(1 + self.rng.below(60)) };
        while self.step(&cut) {}
        disk.crash(survival);
        disk.mend();
        self.reopen(survival);
    }

    /// Opens the store, perhaps only at a second try after another power cut, and compares.
    fn reopen(&mut self, survival: Survival) {
        let disk = Arc::clone(&self.disk);
        self.work = None;
        if self.rng.chance(1, 3) {
            let cut = Cut { disk: &disk, left: Cell::new(self.rng.below(40)) };
            let _ = Journal::open(&cut, SIZES, self.rng.bits());
            disk.crash(survival);
        }
        let (journal, redone) =
            Journal::open(&*disk, SIZES, self.rng.bits()).expect("the journal opens");
        (self.journal, self.redone) = (Mutex::new(journal), redone);
        for lane in &mut self.lanes {
            lane.reopen(&disk);
        }
    }

    /// Checks that everything is there that was told to be, and nothing that was removed.
    fn check(&mut self) {
        let disk = Arc::clone(&self.disk);
        for at in 0..self.lanes.len() {
            for seq in self.lanes[at].stored.keys().copied().collect::<Vec<_>>() {
                while self.lanes[at].log.get(seq) == Get::Pending {
                    let cut = Cut { disk: &disk, left: Cell::new(u64::MAX) };
                    assert!(self.step(&cut), "{at}: {seq} is pending for ever");
                }
                let Lane { log, stored, .. } = &mut self.lanes[at];
                let found = log.get(seq);
                let Get::Found(message) = found else { panic!("{at}: {seq} is {found:?}") };
                assert_eq!(message.payload[..], stored[&seq], "{at}: {seq}");
            }
            for seq in self.lanes[at].gone.keys() {
                assert!(!self.lanes[at].log.contains(*seq), "{at}: {seq} returned");
            }
        }
    }

    /// Checks that no segment has the bytes of a message that was removed securely.
    fn check_erased(&self) {
        let segments = self.disk.paths().into_iter().filter(|path| path.ends_with(".seg"));
        let mut marks = BTreeSet::new();
        for path in segments {
            let content = self.disk.read_at(&path, 0, 1 << 20).expect("listed");
            for part in content.split(|byte| *byte == b'<') {
                marks.extend(part.split(|byte| *byte == b'>').next().map(<[u8]>::to_vec));
            }
        }
        for payload in self.lanes.iter().flat_map(|lane| lane.gone.values()) {
            let mark = payload[1..].split(|byte| *byte == b'>').next().unwrap_or_default();
            assert!(!marks.contains(mark), "{} is still there", String::from_utf8_lossy(mark));
        }
    }
}

impl Lane {
    /// Takes over what became durable.
    fn settle(&mut self) {
        for refused in self.log.refused() {
            let end = self.log.end();
            self.waiting.retain(|(pos, ..)| *pos <= refused.after || *pos > refused.upto);
            for (pos, ..) in self.leaving.iter_mut().filter(|(pos, ..)| *pos > refused.after) {
                *pos = end.max(*pos);
            }
        }
        let durable = self.log.durable();
        let log = &self.log;
        for (_, seq, payload) in self.waiting.extract_if(.., |(pos, ..)| *pos <= durable) {
            if log.contains(seq) {
                self.stored.insert(seq, payload);
            }
        }
        for (_, seq, payload) in self.leaving.extract_if(.., |(pos, ..)| *pos <= durable) {
            self.gone.insert(seq, payload);
        }
    }

    fn reopen(&mut self, disk: &SimDisk) {
        self.queue.clear();
        (self.waiting, self.leaving) = (Vec::new(), Vec::new());
        let opened = Log::recover(disk, 1, Limits::default(), self.options.clone(), &mut Nobody);
        let (log, report) = opened.expect("the log opens");
        let lost: Vec<_> = report.damage.iter().filter(|damage| damage.durable).collect();
        assert!(lost.iter().all(|damage| damage.seqs.is_empty()), "{report:?}");
        self.log = log;
    }
}

#[test]
fn what_was_told_survives_any_crash() {
    each(seeds(0, 24), |seed| {
        let lanes = 2 + seed % 7;
        let mut world = World::new(seed, lanes);
        let disk = Arc::clone(&world.disk);
        let all = [Survival::Nothing, Survival::Sectors, Survival::Bytes, Survival::Everything];
        for _ in 0..6 {
            for _ in 0..world.rng.below(400) {
                world.act();
                let cut = Cut { disk: &disk, left: Cell::new(u64::MAX) };
                while world.rng.chance(1, 2) && world.step(&cut) {}
            }
            let survival = *world.rng.pick(&all);
            world.crash(survival);
            assert_eq!(world.redone.damage, []);
            world.check();
            // What a crash kept from being erased is erased now, and for good.
            world.idle();
            world.disk.crash(Survival::Nothing);
            world.reopen(Survival::Nothing);
            world.check();
            world.idle();
            world.check_erased();
        }
        assert!(world.committed > 50, "{}", world.committed);
    });
}

#[test]
fn failures_of_the_disk_lose_nothing_that_was_told() {
    each(seeds(1000, 24), |seed| {
        let mut world = World::new(seed, 2 + seed % 5);
        let disk = Arc::clone(&world.disk);
        for _ in 0..6 {
            for _ in 0..world.rng.below(400) {
                world.act();
                if world.rng.chance(1, 40) {
                    let nth = world.rng.below(10);
                    let fault = *world.rng.pick(&[Fault::NoRoom, Fault::Write, Fault::Sync]);
                    disk.fail(fault, nth);
                }
                if world.rng.chance(1, 20) {
                    disk.mend();
                    world.lanes.iter_mut().for_each(|lane| lane.log.probe());
                }
                let cut = Cut { disk: &disk, left: Cell::new(u64::MAX) };
                while world.rng.chance(1, 2) && world.step(&cut) {}
            }
            world.crash(Survival::Sectors);
            assert_eq!(world.redone.damage, []);
            world.check();
        }
    });
}

#[test]
fn a_damaged_record_is_reported_and_the_others_count() {
    each(seeds(2000, 20), |seed| {
        let mut world = World::new(seed, 6);
        // Until there is a journal, and something in it.
        while world.committed < 60 {
            world.act();
            world.idle();
        }
        let before: Vec<_> = world.lanes.iter().map(|lane| lane.stored.clone()).collect();
        // Only the journal has what was committed last.
        world.disk.crash(Survival::Nothing);
        let live: Vec<String> = world.disk.paths();
        let live: Vec<&String> = live.iter().filter(|path| path.starts_with("journal/")).collect();
        let whole = world.disk.copy();
        let (_, expected) = Journal::open(&whole, SIZES, 1).expect("it opens");
        assert!(expected.damage.is_empty());
        if expected.records < 3 {
            return;
        }
        let path = (*world.rng.pick(&live)).clone();
        let disk = world.disk.copy();
        // A bit of the first record, which others follow.
        let bit = 8192 * 8 + world.rng.below(28 * 8);
        disk.flip(&path, bit);
        let (_, found) = Journal::open(&disk, SIZES, 1).expect("it opens");
        assert!(found.records + 1 >= expected.records, "{found:?} of {expected:?}");
        if found.records < expected.records && found.records > 0 {
            for damage in &found.damage {
                assert_eq!((&damage.path, damage.offset), (&path, 8192));
                assert_eq!(disk.len(&damage.copy).unwrap(), damage.len);
            }
        }
        assert!(before.iter().any(|stored| !stored.is_empty()));
    });
}
