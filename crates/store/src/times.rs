//! Exact time stamps of a chunk's messages in a few bytes each.
//!
//! Stamps nearly always grow by little, so each is kept as the difference to the one before
//! (zigzag, seven bits a byte), with an absolute value every [`STRIDE`] entries to start from.
//! That is 2 to 4 bytes a message at usual rates where a plain array takes 8.

const STRIDE: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Times {
    marks: Vec<(i64, u32)>,
    deltas: Vec<u8>,
    count: usize,
    last: i64,
    max: i64,
}

impl Times {
    pub(crate) fn push(&mut self, time: i64) {
        if self.count.is_multiple_of(STRIDE) {
            self.marks.push((time, self.deltas.len() as u32));
        } else {
            put(&mut self.deltas, time.wrapping_sub(self.last));
        }
        self.max = if self.count == 0 { time } else { self.max.max(time) };
        self.count += 1;
        self.last = time;
    }

    /// The stamp of entry `index`, which must have been pushed.
    pub(crate) fn get(&self, index: usize) -> i64 {
        let (mut time, at) = self.marks[index / STRIDE];
        let mut rest = &self.deltas[at as usize..];
        for _ in 0..index % STRIDE {
            time = time.wrapping_add(take(&mut rest));
        }
        time
    }

    /// All stamps in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        let (mut last, mut rest) = (0i64, &self.deltas[..]);
        (0..self.count).map(move |at| {
            last = match at % STRIDE {
                0 => self.marks[at / STRIDE].0,
                _ => last.wrapping_add(take(&mut rest)),
            };
            last
        })
    }

    /// The highest stamp, 0 when empty.
    pub(crate) fn max(&self) -> i64 {
        self.max
    }

    /// The arrays and what goes on from them, for a sidecar.
    pub(crate) fn parts(&self) -> (&[(i64, u32)], &[u8], i64) {
        (&self.marks, &self.deltas, self.last)
    }

    /// The inverse of [`Times::parts`] for `count` stamps of which the highest is `max`; `None` if
    /// the arrays do not fit together: between two marks stands one difference for each stamp but the first,
    /// and the last stamp is `last`.
    pub(crate) fn from_parts(
        marks: Vec<(i64, u32)>,
        deltas: Vec<u8>,
        last: i64,
        count: usize,
        max: i64,
    ) -> Option<Times> {
        if marks.len() != count.div_ceil(STRIDE) || marks.first().is_some_and(|&(_, at)| at != 0) {
            return None;
        }
        for (index, &(_, begin)) in marks.iter().enumerate() {
            let end = marks.get(index + 1).map_or(deltas.len(), |&(_, at)| at as usize);
            let between = deltas.get(begin as usize..end)?;
            let stamps = STRIDE.min(count - index * STRIDE);
            let whole = between.last().is_none_or(|&byte| ends(byte));
            if !whole || between.iter().filter(|&&byte| ends(byte)).count() != stamps - 1 {
                return None;
            }
        }
        let times = Times { marks, deltas, count, last, max };
        (count == 0 || times.get(count - 1) == last).then_some(times)
    }

    pub(crate) fn shrink(&mut self) {
        self.marks.shrink_to_fit();
        self.deltas.shrink_to_fit();
    }
}

fn put(out: &mut Vec<u8>, delta: i64) {
    let mut bits = ((delta << 1) ^ (delta >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Whether a difference ends with this byte.
fn ends(byte: u8) -> bool {
    byte < 0x80
}

/// Bits beyond the 64th, which only a damaged file has, do not count.
fn take(from: &mut &[u8]) -> i64 {
    let (mut bits, mut shift) = (0u64, 0);
    while let Some((&byte, rest)) = from.split_first() {
        *from = rest;
        bits |= u64::from(byte & 0x7f).unbounded_shl(shift);
        shift += 7;
        if ends(byte) {
            break;
        }
    }
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stamps_come_back() {
        let mut times = Times::default();
        let stamps: Vec<i64> = (0..200)
            .map(|i| 1_700_000_000_000_000_000 + i * i * 977)
            .chain([0, i64::MAX, i64::MIN, -1, 5])
            .collect();
        stamps.iter().for_each(|&t| times.push(t));
        for (index, &stamp) in stamps.iter().enumerate() {
            assert_eq!(times.get(index), stamp);
        }
        assert!(times.iter().eq(stamps.iter().copied()));
        assert_eq!(times.max(), i64::MAX);
        let (marks, deltas, last) = times.parts();
        let again = Times::from_parts(marks.to_vec(), deltas.to_vec(), last, 205, i64::MAX);
        assert!(again.expect("they fit").iter().eq(stamps));
    }

    #[test]
    fn arrays_that_do_not_fit_together_are_no_stamps() {
        let mut times = Times::default();
        (0..40).for_each(|i| times.push(1_700_000_000 + i * 1_000));
        let (marks, deltas, last) = times.parts();
        let read = |marks: &[(i64, u32)], deltas: &[u8], last| {
            Times::from_parts(marks.to_vec(), deltas.to_vec(), last, 40, last).is_some()
        };
        assert!(read(marks, deltas, last));
        assert!(!read(marks, deltas, last + 1), "another last stamp");
        assert!(!read(marks, &deltas[..deltas.len() - 1], last), "a difference is cut off");
        assert!(
            !read(&[marks[0], (marks[1].0, marks[1].1 + 1)], deltas, last),
            "a mark is elsewhere"
        );
        assert!(!read(&[marks[0], (marks[1].0, u32::MAX)], deltas, last), "a mark is outside");

        // One difference of more bytes than 64 bits take, as many differences as before.
        let endless: Vec<u8> = [0xff; 12].into_iter().chain(deltas.iter().copied()).collect();
        let begin = marks[1].1 + 12;
        assert!(
            read(&[marks[0], (marks[1].0, begin)], &endless, last),
            "the last stamp is not among them"
        );
        let times = Times::from_parts(vec![marks[0], (marks[1].0, begin)], endless, last, 40, last);
        assert_eq!(times.expect("they fit").iter().last(), Some(last));
    }
}
