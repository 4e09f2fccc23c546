//! A chunk's arrays as bytes, as they are in memory, and back.
//!
//! ```text
//!  0  u64  base            8  u64  bytes of live records   16  i64  last stamp   24  i64  highest
//! 32  u32  end            36  u32  live                    40  u32  entries
//! 44  u32  sequences (0 where they are dense, else as many as entries)
//! 48  u32  others         52  u32  marks of the stamps     56  u32  bytes of their differences
//! 60       words, subjects, sequences, others (u32 each), marks (i64, u32), differences
//! ```

use super::{Chunk, DEAD, OFFSET};
use crate::SEQ_END;
use crate::index::RECORD_OVERHEAD;
use crate::record::{u32_at, u64_at};
use crate::subjects::NO_SUBJECT;
use crate::times::Times;

const FIXED: usize = 60;
const MARK: usize = 12;

impl Chunk {
    /// Appends the arrays of a chunk of a file log.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let (marks, deltas, last) = self.times.parts();
        let seqs = self.seqs.as_deref().unwrap_or_default();
        let arrays = [&self.words[..], &self.subjects, seqs, &self.others];
        let numbers: usize = arrays.iter().map(|array| array.len()).sum();
        out.reserve(FIXED + 4 * numbers + MARK * marks.len() + deltas.len());
        out.extend(self.base.to_le_bytes());
        out.extend(self.live_len.to_le_bytes());
        out.extend(last.to_le_bytes());
        out.extend(self.times.max().to_le_bytes());
        let lens = [self.words.len(), seqs.len(), self.others.len(), marks.len(), deltas.len()];
        let lens = lens.map(|len| len as u32);
        [self.end, self.live].iter().chain(&lens).for_each(|n| out.extend(n.to_le_bytes()));
        arrays.iter().for_each(|array| put_numbers(out, array));
        for (time, at) in marks {
            out.extend(time.to_le_bytes());
            out.extend(at.to_le_bytes());
        }
        out.extend_from_slice(deltas);
    }

    /// The inverse of [`Chunk::save`]; `None` if the arrays do not fit together, so that no later
    /// look at them fails. Subjects are below `ids`.
    pub(crate) fn load(id: u64, bytes: &[u8], ids: usize) -> Option<Chunk> {
        let n = |at| u32_at(bytes, at);
        let (end, live, entries, sparse) = (n(32)?, n(36)?, n(40)? as usize, n(44)? as usize);
        let (others, marks, deltas) = (n(48)? as usize, n(52)? as usize, n(56)? as usize);
        let mut rest = bytes.get(FIXED..)?;
        let mut numbers = |count: usize| {
            let (array, after) = rest.split_at_checked(count.checked_mul(4)?)?;
            rest = after;
            Some(take_numbers(array))
        };
        let (words, subjects) = (numbers(entries)?, numbers(entries)?);
        let (seqs, others) = (numbers(sparse)?, numbers(others)?);
        let (marks, deltas) = match rest.split_at_checked(marks.checked_mul(MARK)?)? {
            (marks, rest) if rest.len() == deltas => (marks, rest.to_vec()),
            _ => return None,
        };
        let marks = marks.as_chunks().0.iter().map(take_mark).collect();
        let (last, max) = (u64_at(bytes, 16)? as i64, u64_at(bytes, 24)? as i64);
        let chunk = Chunk {
            id,
            base: u64_at(bytes, 0)?,
            seqs: (sparse > 0).then_some(seqs),
            times: Times::from_parts(marks, deltas, last, entries, max)?,
            words,
            subjects,
            others,
            end,
            live,
            live_len: u64_at(bytes, 8)?,
            bodies: None,
        };
        chunk.fits(ids).then_some(chunk)
    }

    /// Whether the arrays agree with each other.
    fn fits(&self, ids: usize) -> bool {
        // Sums without branches: this is most of the work of a start.
        let dead = self.words.iter().map(|word| word / DEAD).sum::<u32>();
        let (mut gone, mut wild) = (0, 0);
        for &id in &self.subjects {
            gone += u32::from(id == NO_SUBJECT);
            wild += u32::from(id as usize >= ids);
        }
        let ends = self.words.last().map_or(0, |word| word & OFFSET);
        let others = self.others.last().copied().unwrap_or(0);
        let sparse = self.seqs.as_ref().is_none_or(|seqs| {
            seqs.len() == self.words.len() && seqs.windows(2).all(|two| two[0] < two[1])
        });
        dead.checked_add(self.live) == Some(self.words.len() as u32)
            && gone == dead
            && wild == dead
            && ends.max(others) <= self.end
            && self.end <= OFFSET
            && self.base <= SEQ_END
            && sparse
            && ascend(&self.words, OFFSET)
            && ascend(&self.others, u32::MAX)
            && self.live_records() == Some(self.live_len)
    }

    /// Bytes of the records of live messages, which are all long enough to be ones.
    fn live_records(&self) -> Option<u64> {
        let (mut sum, mut shortest) = (0, u32::MAX);
        let mut others = self.others.iter().copied().chain([self.end]);
        let mut other = others.next()?;
        let after = self.words.iter().skip(1).chain([&self.end]);
        for (word, after) in self.words.iter().zip(after) {
            let start = word & OFFSET;
            while other <= start {
                let Some(next) = others.next() else { break };
                other = next;
            }
            if word & DEAD == 0 {
                let len = (after & OFFSET).min(other).saturating_sub(start);
                sum += u64::from(len);
                shortest = shortest.min(len);
            }
        }
        (shortest >= RECORD_OVERHEAD as u32).then_some(sum)
    }
}

/// Whether the masked numbers never fall.
fn ascend(numbers: &[u32], mask: u32) -> bool {
    let after = numbers.get(1..).unwrap_or_default();
    numbers.iter().zip(after).fold(true, |yes, (one, two)| yes & (one & mask <= two & mask))
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    let at = out.len();
    out.resize(at + 4 * numbers.len(), 0);
    let slots = out[at..].as_chunks_mut().0;
    slots.iter_mut().zip(numbers).for_each(|(slot, n)| *slot = n.to_le_bytes());
}

fn take_mark(mark: &[u8; MARK]) -> (i64, u32) {
    let &[a, b, c, d, e, f, g, h, i, j, k, l] = mark;
    (i64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
}

fn take_numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Entry;

    fn chunk(gap: u64) -> Chunk {
        let mut chunk = Chunk::new(3, 0, 160, false);
        for n in 0..100u64 {
            let offset = 160 + n as u32 * 60;
            let (seq, time) = (1000 + n * gap, 5_000_000 + n as i64 * 977);
            let (headers, subject) = (n % 3 == 0, n as u32 % 7);
            chunk.push(Entry { seq, offset, len: 50, headers, subject, time });
            chunk.push_other(offset + 50, 10);
        }
        let last = chunk.seq(29);
        chunk.kill_range(1005, last);
        chunk
    }

    #[test]
    fn a_chunk_comes_back() {
        for gap in [1, 3, 900] {
            let chunk = chunk(gap);
            let mut bytes = Vec::new();
            chunk.save(&mut bytes);
            let loaded = Chunk::load(3, &bytes, 7).expect("it fits");
            assert_eq!(format!("{loaded:?}"), format!("{chunk:?}"));
            // A subject that there is not, and any part that is missing.
            assert!(Chunk::load(3, &bytes, 6).is_none());
            assert!((0..bytes.len()).all(|len| Chunk::load(3, &bytes[..len], 7).is_none()));
        }
    }

    #[test]
    fn arrays_that_disagree_are_refused_or_can_be_asked() {
        let mut bytes = Vec::new();
        chunk(900).save(&mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let Some(mut chunk) = Chunk::load(3, &bad, 7) else { continue };
            for at in 0..chunk.len() {
                std::hint::black_box((chunk.seq(at), chunk.time(at), chunk.record(at)));
            }
            let live: Vec<usize> = chunk.iter_live(0).collect();
            let killed: u64 = live.into_iter().map(|at| u64::from(chunk.kill(at).1)).sum();
            assert_eq!(killed, Chunk::load(3, &bad, 7).expect("it did").live_len());
        }
    }
}
