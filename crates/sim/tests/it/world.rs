//! A log on a simulated disk with the model of it, across crashes.

use natterjack_sim::{Fault, Message, Model, Rng, SimDisk, Survival};
use natterjack_store::{
    Disk, DiskOp, DiskRequest, DiskResult, FileOptions, Filter, Get, Limits, Log, LogPos, Next,
    Recovery, Replay, ReplayedMessage, SyncPolicy,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::workload::{Op, apply, choose, filters, replay};

/// Owner's notes: one adds a number, the other is all of them.
const ADD: u8 = 1;
const ALL: u8 = 2;

/// What the owner rebuilds from its notes and the messages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) numbers: BTreeSet<u64>,
    pub(crate) told: BTreeMap<u64, (i64, u8, Vec<u8>, Vec<u8>)>,
    /// It wants to hear of messages with one of these flags, not older than this; of all if there
    /// is none.
    picky: Option<(u8, i64)>,
}

impl Owner {
    fn picky(flags: u8, since: i64) -> Owner {
        Owner { picky: Some((flags, since)), ..Owner::default() }
    }

    fn all(&self) -> Vec<u8> {
        self.numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }
}

impl Replay for Owner {
    fn wants(&self, time: i64, flags: u8) -> bool {
        self.picky.is_none_or(|(mask, since)| flags & mask != 0 && time >= since)
    }

    fn message(&mut self, m: &ReplayedMessage<'_>) {
        let content = (m.time, m.flags, m.subject.to_vec(), m.headers.to_vec());
        assert!(self.told.insert(m.seq, content).is_none(), "{} told twice", m.seq);
    }

    fn note(&mut self, kind: u8, body: &[u8]) {
        let numbers =
            body.chunks(8).map(|n| u64::from_le_bytes(n.try_into().expect("eight bytes")));
        match kind {
            ADD => self.numbers.extend(numbers),
            ALL => self.numbers = numbers.collect(),
            other => panic!("a note of kind {other}"),
        }
    }
}

/// Something that was appended and is not durable yet.
#[derive(Debug, Clone)]
enum Waiting {
    Op(Op),
    Note(u64),
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("NATTERJACK_TRACE").is_some() {
            eprintln!("\n{}\n{:?}", self.trace.join("\n"), self.log);
        }
    }
}

/// Position, sequence, message, and whether it is still to be told.
type Evicted = (LogPos, u64, Message, bool);

/// A purge that kept some of the messages that were there or could come back.
struct Kept {
    pos: LogPos,
    count: usize,
    /// Sequences, and what removed them before, if anything did.
    candidates: Vec<(u64, Option<LogPos>)>,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) disk: SimDisk,
    pub(crate) log: Log,
    /// What the log holds now, and what of it is durable.
    pub(crate) model: Model,
    pub(crate) safe: Model,
    pub(crate) numbers: BTreeSet<u64>,
    pub(crate) safe_numbers: BTreeSet<u64>,
    next_number: u64,
    waiting: VecDeque<(LogPos, Waiting)>,
    /// What messages evicted that are not durable yet; it comes back if they are refused.
    evicted: Vec<Evicted>,
    kept: Vec<Kept>,
    /// Sequences that were refused, and came back, since all was durable.
    refused: BTreeSet<u64>,
    restored: BTreeSet<u64>,
    pub(crate) came_back: u64,
    queue: VecDeque<DiskRequest>,
    /// All messages that a sequence was ever given to, since the last crash took it back.
    ever: BTreeMap<u64, Vec<Message>>,
    pub(crate) subjects: u64,
    pub(crate) calm: bool,
    /// The disk fills up and fails now and then.
    pub(crate) faults: bool,
    /// The planted bug: syncs are not done.
    pub(crate) no_sync: bool,
    /// What stands beside the segments is damaged at each crash: cut off, flipped, exchanged,
    /// replaced by what was there before, removed.
    pub(crate) meddle: bool,
    stash: BTreeMap<String, Vec<u8>>,
    /// A write failed, so that what survives a crash is not one of few states.
    faulty: bool,
    /// The positions are those of another run.
    reopening: bool,
    /// What was done since the last crash, for a failure's message.
    trace: Vec<String>,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) options: FileOptions,
}

impl World {
    pub(crate) fn new(seed: u64, first: u64, limits: Limits, sync: SyncPolicy) -> World {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.bits());
        let mut options = FileOptions::new("streams/7", 7, rng.bits());
        options.segment_bytes = *rng.pick(&[300, 2_000, 20_000]);
        options.tail_bytes = *rng.pick(&[0, 1_000, 1 << 20]);
        options.block_bytes = *rng.pick(&[0, 2_000, 1 << 20]);
        options.sync = sync;
        let log = Log::file(first, limits, options.clone());
        let model = Model::new(first, limits, false);
        World {
            disk,
            log,
            safe: model.clone(),
            model,
            numbers: BTreeSet::new(),
            safe_numbers: BTreeSet::new(),
            next_number: 1,
            waiting: VecDeque::new(),
            evicted: Vec::new(),
            kept: Vec::new(),
            refused: BTreeSet::new(),
            restored: BTreeSet::new(),
            came_back: 0,
            queue: VecDeque::new(),
            ever: BTreeMap::new(),
            subjects: *rng.pick(&[1, 3, 40]),
            calm: rng.chance(1, 3),
            faults: false,
            no_sync: false,
            meddle: false,
            stash: BTreeMap::new(),
            faulty: false,
            reopening: false,
            trace: Vec::new(),
            recoveries: Vec::new(),
            options,
            rng,
        }
    }

    fn disturb(&mut self) {
        if self.rng.chance(1, 30) {
            let room = self.disk.used() + self.rng.below(5000);
            let nth = self.rng.below(12);
            match self.rng.below(4) {
                0 => self.disk.set_capacity(room),
                1 => self.disk.fail(Fault::NoRoom, nth),
                2 => self.disk.fail(Fault::Write, nth),
                _ => self.disk.fail(Fault::Sync, nth),
            }
        }
        if self.rng.chance(1, 20) {
            self.disk.mend();
        }
        if self.log.blocked().is_some() && self.rng.chance(1, 3) {
            self.log.probe();
        }
    }

    /// Appends something.
    pub(crate) fn act(&mut self) {
        if self.faults {
            self.disturb();
        }
        if self.log.wants_checkpoint() || self.rng.chance(1, 60) {
            let body = Owner { numbers: self.numbers.clone(), ..Owner::default() }.all();
            self.log.checkpoint(&[(ALL, body)]);
        }
        if self.rng.chance(1, 6) {
            let number = self.next_number;
            self.next_number += 1;
            let pos = self.log.note(ADD, &number.to_le_bytes());
            self.numbers.insert(number);
            self.waiting.push_back((pos, Waiting::Note(number)));
            return;
        }
        if self.meddle && self.rng.chance(1, 40) {
            self.keep();
        }
        let op = choose(&mut self.rng, &self.model, self.subjects, self.calm);
        self.trace.push(format!("{op:?}"));
        let pos = self.apply(&op);
        self.trace.push(format!("{} {pos:?} {op:?}", self.model.last_seq));
        if let Op::Append(m) | Op::AppendAt(_, m) = &op {
            self.ever.entry(self.model.last_seq).or_default().push(m.clone());
        }
        if let Some(pos) = pos {
            self.waiting.push_back((pos, Waiting::Op(op)));
        }
        self.settle();
    }

    /// Appends a message of the caller's choice.
    pub(crate) fn publish(&mut self, message: Message) {
        self.apply(&Op::Append(message));
    }

    fn apply(&mut self, op: &Op) -> Option<LogPos> {
        let before = self.model.messages.clone();
        let unsure = self.log.visible_last() < self.log.state().last_seq;
        let pos = apply(op, &mut self.log, &mut self.model, true);
        let after = &self.model.messages;
        let gone = || before.iter().filter(|(seq, _)| !after.contains_key(seq));
        match (op, pos) {
            (Op::Append(_) | Op::AppendAt(..), Some(pos)) => {
                let gone = gone().map(|(&seq, message)| (pos, seq, message.clone(), true));
                self.evicted.extend(gone);
                let own = self.model.last_seq;
                if let (false, Op::Append(m) | Op::AppendAt(_, m)) = (after.contains_key(&own), op)
                {
                    self.evicted.push((pos, own, m.clone(), true));
                }
            }
            (Op::Limits(_), Some(pos)) if unsure => {
                // Perhaps for messages that are refused.
                let gone = gone().map(|(&seq, message)| (pos, seq, message.clone(), false));
                self.evicted.extend(gone);
            }
            (Op::Purge { filter, keep: Some(count @ 1..), .. }, Some(pos)) if unsure => {
                let filter = Filter::new(filter.as_deref().unwrap_or(b">"));
                let live = before.iter().filter(|(_, m)| filter.matches(&m.subject));
                let mut candidates: Vec<_> = live.map(|(seq, _)| (*seq, None)).collect();
                let back = self.evicted.iter().filter(|(.., m, _)| filter.matches(&m.subject));
                candidates.extend(back.map(|(pos, seq, ..)| (*seq, Some(*pos))));
                candidates.sort_unstable_by_key(|candidate| candidate.0);
                candidates.dedup_by_key(|candidate| candidate.0);
                self.kept.push(Kept { pos, count: *count as usize, candidates });
                let gone: Vec<_> = gone().map(|(&seq, m)| (pos, seq, m.clone(), false)).collect();
                self.evicted.extend(gone);
            }
            (Op::Purge { filter, below, keep }, _) => {
                // It takes what would come back as well.
                let below = match keep.unwrap_or(0) {
                    0 => below.unwrap_or(u64::MAX),
                    _ => gone().next_back().map_or(0, |(seq, _)| seq + 1),
                };
                let filter = Filter::new(filter.as_deref().unwrap_or(b">"));
                self.evicted.retain(|(_, seq, m, _)| *seq >= below || !filter.matches(&m.subject));
            }
            _ => {}
        }
        pos
    }

    fn collect(&mut self) {
        let mut requests = Vec::new();
        self.log.take_requests(&mut requests);
        for request in requests {
            // Reads overtake, everything else stays in order.
            if request.is_read() && self.rng.chance(1, 2) {
                self.queue.push_front(request);
            } else {
                self.queue.push_back(request);
            }
        }
    }

    /// Lets the disk do one request. False if it has nothing to do.
    pub(crate) fn step(&mut self) -> bool {
        self.collect();
        let Some(mut request) = self.queue.pop_front() else { return false };
        if self.no_sync {
            request.ops.retain(|op| !matches!(op, DiskOp::Sync(_)));
        }
        let result = request.run(&self.disk);
        self.trace.push(format!("{request:?}"));
        if let DiskResult::Failed { step, error } = &result {
            self.trace.push(format!("DiskRequest step {step}: {error}"));
        }
        self.faulty |= matches!(result, DiskResult::Failed { .. });
        self.log.completed(request.id, result);
        self.take_refused();
        self.settle();
        true
    }

    pub(crate) fn idle(&mut self) {
        while self.step() {}
    }

    fn take_refused(&mut self) {
        for refused in self.log.refused() {
            self.trace.push(format!("DiskRequest {refused:?}"));
            let end = self.log.end();
            for waiting in &mut self.waiting {
                if waiting.0 > refused.after && waiting.0 <= refused.upto {
                    // Messages are gone, all else is appended again.
                    waiting.0 = end;
                }
            }
            let gone = |waiting: &(LogPos, Waiting)| {
                waiting.0 == end
                    && matches!(waiting.1, Waiting::Op(Op::Append(_) | Op::AppendAt(..)))
            };
            self.waiting.retain(|waiting| !gone(waiting));
            let first = refused.seqs.map_or(u64::MAX, |seqs| seqs.first);
            if let Some(seqs) = refused.seqs {
                self.model.messages.retain(|&seq, _| seq < seqs.first || seq > seqs.last);
                self.refused.extend(seqs.first..=seqs.last);
            }
            let kept = |(pos, ..): &Evicted| *pos <= refused.after;
            let (kept, mut back): (Vec<Evicted>, Vec<Evicted>) =
                std::mem::take(&mut self.evicted).into_iter().partition(kept);
            self.evicted = kept;
            let mut purged: BTreeSet<u64> = BTreeSet::new();
            let unsure = |purge: &Kept| purge.pos > refused.after;
            for purge in std::mem::take(&mut self.kept).into_iter().filter(unsure) {
                let there = |&(seq, gone): &(u64, Option<LogPos>)| {
                    seq < first
                        && gone.is_none_or(|pos| pos > refused.after)
                        && !purged.contains(&seq)
                };
                let there: Vec<u64> =
                    purge.candidates.into_iter().filter(there).map(|(seq, _)| seq).collect();
                purged.extend(&there[..there.len().saturating_sub(purge.count)]);
            }
            back.retain(|(_, seq, ..)| !purged.contains(seq));
            for (_, seq, message, _) in back {
                if seq < first {
                    self.model.messages.insert(seq, message);
                    self.restored.insert(seq);
                    self.came_back += 1;
                }
            }
            let more = self.model.set_limits(self.model.limits);
            let mut told = Vec::new();
            self.log.take_evicted(&mut told);
            told.sort_unstable();
            assert_eq!(told, more, "evicted by limits that are others by now");
        }
    }

    /// Compares what the log says that messages evicted which are durable.
    fn tell_evicted(&mut self) {
        let durable = self.log.durable();
        let (due, rest) =
            std::mem::take(&mut self.evicted).into_iter().partition(|(pos, ..)| *pos <= durable);
        self.evicted = rest;
        let due: Vec<Evicted> = due;
        let mut due: Vec<u64> =
            due.into_iter().filter_map(|(_, seq, _, tell)| tell.then_some(seq)).collect();
        let mut told = Vec::new();
        self.log.take_evicted(&mut told);
        due.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, due, "evicted by durable messages");
    }

    /// Moves what became durable into the safe model.
    fn settle(&mut self) {
        if self.reopening {
            return;
        }
        self.tell_evicted();
        let durable = self.log.durable();
        while self.waiting.front().is_some_and(|waiting| waiting.0 <= durable) {
            let Some((_, waiting)) = self.waiting.pop_front() else { break };
            match waiting {
                Waiting::Op(op) if !self.faulty => drop(replay(&op, &mut self.safe)),
                Waiting::Op(_) => {}
                Waiting::Note(number) => drop(self.safe_numbers.insert(number)),
            }
        }
        if self.waiting.is_empty() && self.log.durable() == self.log.end() {
            self.safe = self.model.clone();
            self.refused.clear();
            self.restored.clear();
            self.faulty = self.log.blocked().is_some();
        }
    }

    /// Checks the log against the model.
    pub(crate) fn check(&mut self) {
        let last = self.model.last_seq;
        let mut from = || self.rng.below(last + 3);
        let froms = [0, from(), from(), from()];
        let seqs = [froms, [from(), from(), last, last.saturating_sub(1)]].concat();
        self.model.check_index(&mut self.log, &filters(), &froms);
        for seq in seqs {
            self.check_get(seq);
        }
    }

    pub(crate) fn check_get(&mut self, seq: u64) {
        for _ in 0..50 {
            let got = self.log.get(seq);
            self.model.check_get(seq, &got);
            if got != Get::Pending {
                return;
            }
            self.step();
        }
        panic!("{seq} is pending for ever");
    }

    /// Crashes, possibly in the middle of a request, recovers and compares.
    pub(crate) fn crash(&mut self, survival: Survival) {
        self.collect();
        let requests = self.rng.below(self.queue.len() as u64 + 1);
        for _ in 0..requests {
            self.step();
        }
        if let Some(request) = self.queue.front() {
            let upto = self.rng.below(request.ops.len() as u64 + 1) as usize;
            let done = DiskRequest { id: request.id, ops: request.ops[..upto].to_vec() };
            done.run(&self.disk);
        }
        self.queue.clear();
        self.disk.crash(survival);
        self.disk.mend();
        if self.meddle {
            self.meddle();
        }
        self.reopen();
    }

    /// Keeps what stands beside the segments for later.
    fn keep(&mut self) {
        for path in beside(&self.disk) {
            if self.rng.chance(1, 8) {
                let len = self.disk.len(&path).expect("it is there") as usize;
                let content = self.disk.read_at(&path, 0, len).expect("it is there");
                self.stash.insert(path, content.to_vec());
            }
        }
    }

    fn meddle(&mut self) {
        let paths = beside(&self.disk);
        let stashed: Vec<String> = self.stash.keys().cloned().collect();
        for path in &paths {
            let len = self.disk.len(path).expect("it is there");
            let other = self.rng.pick(&paths).clone();
            let content =
                match self.rng.below(24) {
                    0 => self.disk.remove(path).map(|()| None),
                    1 => self.disk.truncate(path, self.rng.below(len + 1)).map(|()| None),
                    2 => Ok(self.disk.len(&other).ok().map(|len| {
                        self.disk.read_at(&other, 0, len as usize).expect("a sound disk")
                    })),
                    3 | 4 => {
                        self.disk.flip(path, self.rng.below(len * 8 + 1));
                        Ok(None)
                    }
                    5 if !stashed.is_empty() => {
                        Ok(Some(self.stash[self.rng.pick(&stashed)].clone().into()))
                    }
                    6..9 => Ok(self.stash.get(path).map(|content| content.clone().into())),
                    _ => Ok(None),
                };
            if let Some(content) = content.expect("a sound disk") {
                self.disk.truncate(path, 0).expect("a sound disk");
                self.disk.write_at(path, 0, &content).expect("a sound disk");
            }
        }
        // What was removed long ago may be back.
        for path in stashed {
            if self.rng.chance(1, 20) && !paths.contains(&path) {
                self.disk.write_at(&path, 0, &self.stash[&path]).expect("a sound disk");
            }
        }
    }

    /// Loses what is not synced, although it may count as durable, and opens the log again.
    pub(crate) fn power_cut(&mut self) {
        self.disk.crash(Survival::Sectors);
        let opened = Log::recover(
            &self.disk,
            1,
            self.safe.limits,
            self.options.clone(),
            &mut Owner::default(),
        );
        (self.log, _) = opened.expect("it opens");
        self.reopening = true;
        for (seq, message) in self.read_all() {
            assert!(self.ever[&seq].contains(&message), "{seq} was never {message:?}");
        }
    }

    /// Opens the log again and compares it with what must be there.
    pub(crate) fn reopen(&mut self) {
        let mut owner = match self.rng.below(4) {
            0 => Owner::default(),
            1 => Owner::picky(0, 0),
            2 => Owner::picky(1, i64::MIN),
            _ => Owner::picky(6, self.safe.last_time - self.rng.below(100_000_000_000) as i64),
        };
        let open = |disk: &SimDisk, owner: &mut Owner| {
            let (first, limits) = (self.safe.last_seq + 1, self.safe.limits);
            Log::recover(disk, first, limits, self.options.clone(), owner).expect("it opens")
        };
        let mut scanned_owner = Owner::default();
        let (mut scanned, scan) = open(&self.disk.copy(), &mut scanned_owner);
        let (mut log, report) = open(&self.disk, &mut owner);
        assert_eq!(scan.taken_over, 0);
        if report != scan {
            // Whether the segments were scanned or not makes no difference.
            self.trace.push(format!("{scan:?}"));
            same(&mut log, &mut scanned);
            assert_eq!(owner.numbers, scanned_owner.numbers);
            let last = |owner: &Owner| owner.told.last_key_value().map(|(&seq, _)| seq);
            let told = last(&scanned_owner).filter(|&seq| log.contains(seq));
            assert!(told <= last(&owner), "the last message is told");
        }
        self.log = log;
        self.recoveries.push(report.clone());
        if std::env::var_os("NATTERJACK_TRACE").is_some() {
            eprintln!("\n{}\n{report:?}", self.trace.join("\n"));
        }
        self.trace.clear();
        self.reopening = true;
        let found = self.read_all();
        self.reopening = false;
        self.compare(&found, &owner, &report);
        let limits = *self.log.limits();
        self.model = Model::new(1, limits, false);
        self.model.messages = found;
        self.model.last_seq = self.log.state().last_seq;
        self.model.last_time = self.log.state().last_time;
        self.safe = self.model.clone();
        self.ever = self.model.messages.iter().map(|(&seq, m)| (seq, vec![m.clone()])).collect();
        self.numbers = owner.numbers;
        self.safe_numbers = self.numbers.clone();
        self.waiting.clear();
        self.evicted.clear();
        self.kept.clear();
        self.refused.clear();
        self.restored.clear();
        self.faulty = false;
        self.check();
    }

    fn read_all(&mut self) -> BTreeMap<u64, Message> {
        let mut found = BTreeMap::new();
        let mut from = 0;
        while let Next::Found(seq) = self.log.next_match(&[], from) {
            match self.log.get(seq) {
                Get::Pending => {
                    assert!(self.step());
                    continue;
                }
                Get::Found(stored) => {
                    found.insert(seq, stored.into());
                }
                other => panic!("{seq}: {other:?}"),
            }
            from = seq + 1;
        }
        found
    }

    fn compare(&self, found: &BTreeMap<u64, Message>, owner: &Owner, report: &Recovery) {
        // Nothing that was durable is missing, unless what was appended later removed it.
        // A message that was refused may have reached the disk, and replaced what it would have.
        let stored_nevertheless = found.keys().any(|seq| self.refused.contains(seq));
        for (seq, message) in &self.safe.messages {
            let excused = stored_nevertheless && self.restored.contains(seq);
            if self.model.messages.contains_key(seq) && !excused {
                assert_eq!(found.get(seq), Some(message), "durable {seq} of {report:?}");
            }
        }
        // Nothing is invented, and nothing returns that was removed durably.
        for (seq, message) in found {
            let given = self.ever.get(seq).is_some_and(|given| given.contains(message));
            assert!(given, "{seq} was never {message:?}");
            if *seq <= self.safe.last_seq && !self.faulty {
                assert!(self.safe.messages.contains_key(seq), "{seq} returned");
            }
        }
        let last = self.log.state().last_seq;
        assert!(last >= self.safe.last_seq, "{last} is below {}", self.safe.last_seq);
        assert!(self.safe_numbers.is_subset(&owner.numbers), "a note is lost");
        assert!(owner.numbers.is_subset(&self.numbers), "a note is invented");
        for (seq, message) in found {
            let told = owner.told.get(seq);
            let (time, flags) = (message.time, message.flags);
            if told.is_none() && !owner.wants(time, flags) {
                continue;
            }
            let expected = (time, flags, message.subject.clone(), message.headers.clone());
            assert_eq!(told, Some(&expected), "the owner was told of {seq}");
        }
        // What was not durable is there or not, record by record.
        let waiting: Vec<&Op> = self
            .waiting
            .iter()
            .filter_map(|(_, waiting)| match waiting {
                Waiting::Op(op) => Some(op),
                Waiting::Note(_) => None,
            })
            .collect();
        if waiting.len() <= 7 && !self.faulty {
            let fits = (0..1u32 << waiting.len()).any(|set| {
                let mut model = self.safe.clone();
                let mut seq = model.last_seq;
                for (bit, op) in waiting.iter().enumerate() {
                    // Each keeps the sequence that it was given.
                    seq = match op {
                        Op::Append(_) | Op::Skip(_) => seq + 1,
                        Op::AppendAt(at, _) => *at,
                        Op::Purge { filter: None, below: Some(n), .. } => seq.max(n - 1),
                        _ => seq,
                    };
                    if set >> bit & 1 == 1 {
                        match op {
                            Op::Append(m) => drop(model.append_at(seq, m.clone())),
                            Op::Skip(time) => {
                                model.last_seq = seq - 1;
                                model.skip(*time);
                            }
                            op => drop(replay(op, &mut model)),
                        }
                    }
                }
                model.messages == *found && model.limits == *self.log.limits()
            });
            assert!(fits, "no part of what was appended explains what is there: {report:?}");
        }
    }
}

/// The files that stand beside the segments.
fn beside(disk: &SimDisk) -> Vec<String> {
    let mut paths = disk.paths();
    paths.retain(|path| path.ends_with(".idx") || path.ends_with(".tab"));
    paths
}

/// Compares all that two logs tell without their messages.
fn same(one: &mut Log, two: &mut Log) {
    assert_eq!(one.state(), two.state());
    assert_eq!(one.limits(), two.limits());
    assert!(one.deleted().eq(two.deleted()));
    let subjects = |log: &Log| {
        let mut all = BTreeMap::new();
        log.subjects_matching(b">", |name, state| {
            all.insert(name.to_vec(), *state);
        });
        all
    };
    assert_eq!(subjects(one), subjects(two));
    assert_eq!(one.num_subjects(), two.num_subjects());
    let state = one.state().clone();
    for seq in state.first_seq..=state.last_seq {
        let tell = |log: &Log| (log.contains(seq), log.time_of(seq), log.stored_bytes(seq));
        assert_eq!(tell(one), tell(two), "{seq}");
    }
    for filter in filters() {
        for from in [0, state.last_seq / 3, state.last_seq / 2] {
            assert_eq!(one.next_match(&filter, from), two.next_match(&filter, from));
            assert_eq!(one.num_pending(&filter, from), two.num_pending(&filter, from));
        }
    }
}
