//! Telling the owner of messages in segments that were taken over unread.

use std::collections::VecDeque;

use super::replay::Replayer;
use super::{Damage, Opener, RecoverError, ReplayedMessage};
use crate::SeqRange;
use crate::file::Segment;
use crate::file::sidecar::Runs;
use crate::record::{Seal, kind, layout, stamp};

/// With more messages to read than this a segment is read as a whole.
const SINGLY: usize = 16;

impl Opener<'_> {
    /// Tells the owner of the messages before the checkpoint that it wants to know of, and of the
    /// very last one. Tells which segments are damaged.
    pub(super) fn tell(
        &mut self,
        replayer: &mut Replayer<'_>,
        segments: &VecDeque<Segment>,
        runs: &[Runs],
        salt: u64,
    ) -> Result<Vec<usize>, RecoverError> {
        let last = replayer.index.prev_live(u64::MAX);
        let mut bad = Vec::new();
        for (at, (segment, runs)) in segments.iter().zip(runs).enumerate() {
            let places = replayer.wanted(at, runs, last);
            if places.is_empty() {
                continue;
            }
            let whole = match places.len() > SINGLY {
                true => Some(self.disk.read_at(&segment.path, 0, segment.len as usize)?),
                false => None,
            };
            let seal = Seal { salt, segment: segment.id };
            for place in places {
                let (offset, len, _) = replayer.index.chunks[at].record(place);
                let seq = replayer.index.chunks[at].seq(place);
                let (from, to) = (offset as usize, offset as usize + len as usize);
                let record = match &whole {
                    Some(data) => data.get(from..to).map(|_| data.slice(from..to)),
                    None => {
                        Some(self.disk.read_at(&segment.path, u64::from(offset), len as usize)?)
                    }
                };
                let fits = |record: &bytes::Bytes| {
                    seal.check(offset, record) == Some(len as usize)
                        && stamp(record).is_some_and(|stamp| stamp.0 == seq)
                };
                if let Some(record) = record.filter(fits) {
                    replayer.tell(&record);
                    continue;
                }
                let seqs = SeqRange { first: seq, last: seq };
                replayer.lose(seqs);
                bad.push(at);
                self.report.damage.push(Damage {
                    path: segment.path.to_string(),
                    offset: u64::from(offset),
                    len: u64::from(len),
                    seqs: vec![seqs],
                    durable: true,
                });
            }
        }
        Ok(bad)
    }
}

impl Replayer<'_> {
    /// The places of the messages in a chunk that the owner is to be told of; `last` is the last
    /// message of all.
    fn wanted(&mut self, at: usize, runs: &Runs, last: Option<u64>) -> Vec<usize> {
        let chunk = &self.index.chunks[at];
        let mut places = Vec::new();
        for &(first, upto, flags) in &runs.0 {
            if chunk.live() == 0 || !self.owner.wants(chunk.time_max(), flags) {
                continue;
            }
            let from = chunk.lower_bound(first);
            let mine = chunk.iter_live(from).take_while(|&place| chunk.seq(place) <= upto);
            places.extend(mine.filter(|&place| self.owner.wants(chunk.time(place), flags)));
        }
        if let Some(place) = last.and_then(|last| chunk.find(last))
            && places.last() != Some(&place)
        {
            places.push(place);
        }
        places
    }

    /// Tells the owner of a message whose whole record this is.
    fn tell(&mut self, record: &[u8]) {
        if record[2] == kind::MESSAGE
            && let (Some((seq, time)), Some([subject, headers, payload, _])) =
                (stamp(record), layout(record))
        {
            let (subject, headers) = (&record[subject..headers], &record[headers..payload]);
            let message = ReplayedMessage { seq, time, flags: record[3], subject, headers };
            self.owner.message(&message);
        }
    }
}
