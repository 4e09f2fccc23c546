use super::*;
use crate::disk_memory::MemoryDisk;
use bytes::Bytes;
use natterjack_sim::SimDisk;
use std::sync::mpsc;

const OWNERS: u64 = 7;
/// Rounds of each of them.
const ROUNDS: u64 = 150;

fn write(path: &str, offset: u64, data: &'static [u8]) -> DiskOp {
    DiskOp::Write { path: path.into(), offset, data: Bytes::from_static(data) }
}

fn unwatched(work: &dyn Fn()) -> Result<(), Thrown> {
    work();
    Ok(())
}

/// Submits rounds of several owners and checks that each hears of its own, in order.
fn run(disk: &SharedDisk, options: Option<JournalOptions>) {
    let (sender, done) = mpsc::channel();
    let pool = IoPool::start(disk.clone(), unwatched, move |completions, _| {
        for (owner, id, result) in completions.drain(..) {
            assert_eq!(result, DiskResult::Done);
            sender.send((owner, id)).unwrap();
        }
    });
    if let Some(options) = options {
        pool.open_journal(options, 5, |error| panic!("{error}")).unwrap();
    }
    for number in 0..2100 {
        let (owner, at) = (number % OWNERS, number / OWNERS);
        let path = format!("{owner}");
        let mut ops = vec![write(&path, at, b"x"), DiskOp::Sync(path.as_str().into())];
        if at.is_multiple_of(50) {
            // One that the journal does not take.
            ops.insert(0, DiskOp::Truncate { path: path.as_str().into(), len: at });
        }
        pool.submit(owner, DiskRequest { id: RequestId(number), ops });
    }
    pool.stop();
    drop(pool);
    let all: Vec<_> = done.iter().collect();
    assert_eq!(all.len(), 2100);
    for owner in 0..OWNERS {
        let of_owner = all.iter().filter(|(of, _)| *of == owner);
        let ids: Vec<u64> = of_owner.map(|(_, id)| id.0).collect();
        assert!(ids.is_sorted(), "owner {owner}: {ids:?}");
        assert_eq!(disk.read_at(&format!("{owner}"), 0, 1000).unwrap(), vec![b'x'; 300]);
    }
}

#[test]
fn requests_of_one_owner_are_done_in_order_and_all_before_the_stop() {
    run(&(Arc::new(MemoryDisk::default()) as SharedDisk), None);
}

const SMALL: JournalOptions = JournalOptions {
    file_bytes: 64 << 10,
    file_bytes_max: 128 << 10,
    round_bytes: 1 << 10,
    batch_bytes: 8 << 10,
};

#[test]
fn so_are_those_that_share_syncs() {
    let disk: SharedDisk = Arc::new(MemoryDisk::default());
    run(&disk, Some(SMALL));
    // There is a journal, and nothing to be done again.
    assert!(disk.len("journal/0").unwrap() >= 64 << 10);
    let (_, redone) = Journal::open(disk.as_ref(), SMALL, 6).unwrap();
    assert_eq!(redone, Redone::default());
}

/// What a round of the owner writes: large ones are performed on their own.
fn round(owner: u64, number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(23) { 1500 } else { 100 };
    format!("<{owner}:{number}>{:.<len$}", "").into_bytes()
}

/// Compares what a power cut would leave now with what the owners were told.
fn compare(disk: &SimDisk, told: &[u64]) -> Result<Redone, String> {
    let left = disk.survivor();
    let (_, redone) = Journal::open(&left, SMALL, 9).map_err(|error| error.to_string())?;
    for (owner, &told) in told.iter().enumerate() {
        let expected: Vec<u8> = (0..told).flat_map(|it| round(owner as u64, it)).collect();
        let found = left.read_at(&format!("{owner}"), 0, expected.len());
        if found.map_err(|error| error.to_string())? != expected {
            return Err(format!("owner {owner} was told of {told}"));
        }
    }
    Ok(redone)
}

#[test]
fn what_owners_were_told_survives_a_power_cut_at_that_moment() {
    let disk = Arc::new(SimDisk::new(1));
    for owner in 0..OWNERS {
        let path = format!("{owner}");
        disk.write_at(&path, 0, b"").unwrap();
        disk.sync(&path).unwrap();
    }
    disk.sync_dir("").unwrap();
    let (sender, found) = mpsc::channel();
    let told = Mutex::new(vec![0; OWNERS as usize]);
    let seen = disk.clone();
    let pool = IoPool::start(disk, unwatched, move |completions, _| {
        let mut told: MutexGuard<'_, Vec<u64>> = guard(&told);
        for (owner, _, result) in completions.drain(..) {
            assert_eq!(result, DiskResult::Done);
            told[owner as usize] += 1;
        }
        let all: u64 = told.iter().sum();
        let looks = all.is_multiple_of(5) || all == ROUNDS * OWNERS;
        sender.send((all, looks.then(|| compare(&seen, &told)))).unwrap();
    });
    pool.open_journal(SMALL, 5, |error| panic!("{error}")).unwrap();
    let mut ends = [0; OWNERS as usize];
    for number in 0..ROUNDS {
        for owner in 0..OWNERS {
            let (path, data) = (Arc::<str>::from(format!("{owner}")), round(owner, number));
            let (offset, end) = (ends[owner as usize], &mut ends[owner as usize]);
            *end += data.len() as u64;
            let ops = vec![
                DiskOp::Write { path: path.clone(), offset, data: data.into() },
                DiskOp::Sync(path),
            ];
            pool.submit(owner, DiskRequest { id: RequestId(number), ops });
        }
    }
    pool.stop();
    drop(pool);
    let all: Vec<_> = found.iter().collect();
    assert_eq!(all.iter().map(|(count, _)| *count).max(), Some(ROUNDS * OWNERS));
    let looks: Vec<Redone> = all.into_iter().filter_map(|(_, it)| it).map(Result::unwrap).collect();
    // Some of what they were told was nowhere but in the journal.
    assert!(looks.iter().any(|redone| redone.bytes > 0));
}

#[test]
fn a_read_that_finds_the_thread_busy_is_counted() {
    let disk: SharedDisk = Arc::new(MemoryDisk::default());
    disk.write_at("a", 0, b"x").unwrap();
    let (told, is_told) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let pool = IoPool::start(disk, unwatched, move |completions, _| {
        completions.clear();
        told.send(()).unwrap();
        guard(&may_go).recv().unwrap();
    });
    let read = |number| DiskRequest {
        id: RequestId(number),
        ops: vec![DiskOp::Read { path: "a".into(), offset: 0, len: 1 }],
    };
    pool.submit(1, read(1));
    is_told.recv().unwrap();
    // The first one may have come before the thread.
    let count = pool.waits().count;
    pool.submit(2, read(2));
    let waits = pool.waits();
    assert_eq!((waits.waiting, waits.count), (1, count));
    go.send(()).unwrap();
    is_told.recv().unwrap();
    let waits = pool.waits();
    assert_eq!((waits.waiting, waits.count), (0, count + 1));
    assert!(waits.total_ns >= waits.longest_ns);
    go.send(()).unwrap();
    pool.stop();
}
