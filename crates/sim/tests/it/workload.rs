//! Random operations, applied to a log and to the model of it.

use natterjack_sim::{Message, Model, Rng};
use natterjack_store::{Filter, Limits, Log, LogPos, NewMessage, Purge};

/// One operation with all that was chosen for it.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Append(Message),
    AppendAt(u64, Message),
    Skip(i64),
    Remove(u64, bool),
    Purge { filter: Option<Vec<u8>>, below: Option<u64>, keep: Option<u64> },
    Limits(Limits),
}

pub(crate) const FILTERS: [&[&str]; 9] = [
    &[">"],
    &["k.*"],
    &["k.1"],
    &["k.1", "k.2"],
    &["k.*", "k.1"],
    &["*.1", "other.>"],
    &["nothing.*"],
    &["k.1", "nothing"],
    &["other.>"],
];

pub(crate) fn filters() -> Vec<Vec<Filter>> {
    FILTERS.iter().map(|set| set.iter().map(|f| Filter::new(f.as_bytes())).collect()).collect()
}

pub(crate) fn message(rng: &mut Rng, time: i64, subjects: u64) -> Message {
    let n = rng.below(subjects);
    let subject = match rng.below(8) {
        0 => format!("other.{n}.x"),
        _ => format!("k.{n}"),
    };
    let headers = if rng.chance(1, 4) { &b"NATS/1.0\r\nA: b\r\n\r\n"[..] } else { b"" };
    let size = if rng.chance(1, 30) { 3000 } else { 40 };
    let payload = (0..rng.below(size)).map(|_| rng.bits() as u8).collect();
    Message {
        time,
        flags: rng.bits() as u8,
        subject: subject.into(),
        headers: headers.into(),
        payload,
    }
}

pub(crate) fn limits(rng: &mut Rng) -> Limits {
    Limits {
        max_msgs: rng.chance(1, 3).then(|| rng.below(200)),
        max_bytes: rng.chance(1, 4).then(|| rng.below(20_000)),
        max_msgs_per_subject: rng.chance(1, 3).then(|| 1 + rng.below(150)),
    }
}

/// Something to do next. `calm` runs append mostly, so that streams grow long.
pub(crate) fn choose(rng: &mut Rng, model: &Model, subjects: u64, calm: bool) -> Op {
    let time = model.last_time + rng.below(1_000_000_000) as i64 - 100;
    let seq = |rng: &mut Rng| 1 + rng.below(model.last_seq + 2);
    match rng.below(if calm { 2000 } else { 100 }) {
        0 => Op::Purge {
            filter: rng
                .chance(1, 2)
                .then(|| rng.pick(&["k.1", "k.*", "other.>", "nothing"]).as_bytes().to_vec()),
            below: None,
            keep: rng.chance(1, 2).then(|| rng.below(40)),
        },
        1 => Op::Purge {
            filter: rng.chance(1, 2).then(|| b"k.*".to_vec()),
            below: Some(seq(rng) + rng.below(3)),
            keep: None,
        },
        2 => Op::Limits(limits(rng)),
        3..6 => Op::Skip(time),
        6..8 => Op::AppendAt(model.last_seq + 1 + rng.below(300), message(rng, time, subjects)),
        8..28 => Op::Remove(seq(rng), rng.chance(1, 2)),
        _ => Op::Append(message(rng, time, subjects)),
    }
}

fn new(m: &Message) -> NewMessage<'_> {
    NewMessage {
        subject: &m.subject,
        headers: &m.headers,
        payload: &m.payload,
        time: m.time,
        flags: m.flags,
    }
}

/// Applies an operation to the model alone.
pub(crate) fn replay(op: &Op, model: &mut Model) -> Vec<u64> {
    match op {
        Op::Append(m) => model.append_at(model.last_seq + 1, m.clone()),
        Op::AppendAt(seq, m) => model.append_at(*seq, m.clone()),
        Op::Skip(time) => {
            model.skip(*time);
            Vec::new()
        }
        Op::Remove(seq, _) => {
            model.messages.remove(seq);
            Vec::new()
        }
        Op::Purge { filter, below, keep } => {
            let filter = filter.as_deref();
            model.purge(&Purge { filter, below_seq: *below, keep: *keep });
            Vec::new()
        }
        Op::Limits(limits) => model.set_limits(*limits),
    }
}

/// Applies an operation to both and compares the answers; tells the position to wait for. With
/// `later` what a new message evicts is told when it is durable.
pub(crate) fn apply(op: &Op, log: &mut Log, model: &mut Model, later: bool) -> Option<LogPos> {
    let had = model.messages.len();
    let held = matches!(op, Op::Remove(seq, _) if model.messages.contains_key(seq));
    let evicted = replay(op, model);
    let pos = match op {
        Op::Append(m) => {
            let appended = log.append(new(m));
            assert_eq!(appended.seq, model.last_seq);
            Some(appended.pos)
        }
        Op::AppendAt(seq, m) => {
            let appended = log.append_at(*seq, new(m));
            assert_eq!(appended.seq, *seq);
            Some(appended.pos)
        }
        Op::Skip(time) => Some(log.skip(*time).pos),
        Op::Remove(seq, secure) => {
            let pos = log.remove(*seq, *secure);
            assert_eq!(pos.is_some(), held);
            pos
        }
        Op::Purge { filter, below, keep } => {
            let filter = filter.as_deref();
            let purged = log.purge(&Purge { filter, below_seq: *below, keep: *keep });
            assert_eq!(purged.count, (had - model.messages.len()) as u64);
            Some(purged.pos)
        }
        Op::Limits(limits) => Some(log.set_limits(*limits)),
    };
    let mut told = Vec::new();
    log.take_evicted(&mut told);
    told.sort_unstable();
    let later = later && matches!(op, Op::Append(_) | Op::AppendAt(..));
    assert_eq!(told, if later { Vec::new() } else { evicted }, "evicted by {op:?}");
    pos
}
