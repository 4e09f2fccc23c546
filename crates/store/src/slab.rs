//! The records of a memory log, one behind the other in a few large buffers.
//!
//! A record is found by its offset, which the index keeps anyway, so a stored message costs its
//! bytes and no allocation of its own. A buffer is given back when its last record is dead; the
//! chunk that owns them is copied together when most of it is dead.

/// The first buffer of a chunk; each next one doubles what there is …
const FIRST: usize = 4 << 10;
/// … up to this. Records of more than a quarter of it have buffers of their own.
const LARGEST: usize = 1 << 20;

#[derive(Debug)]
struct Slab {
    /// The offset of its first byte.
    start: u32,
    /// Bytes of live records.
    live: u32,
    data: Vec<u8>,
}

/// The buffers of one chunk.
#[derive(Debug, Default)]
pub(crate) struct Slabs {
    list: Vec<Slab>,
    /// Room of all buffers there ever were.
    room: usize,
}

impl Slabs {
    /// Appends a record of `len` bytes at `offset`, which is above all earlier ones.
    pub(crate) fn append(&mut self, offset: u32, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let fits = |slab: &Slab| {
            slab.start as usize + slab.data.len() == offset as usize
                && slab.data.capacity() - slab.data.len() >= len
        };
        if !self.list.last().is_some_and(fits) {
            if let Some(full) = self.list.last_mut().filter(|slab| slab.live == 0) {
                full.data = Vec::new();
            }
            let usual = self.room.clamp(FIRST, LARGEST).max(len);
            let room = if len > LARGEST / 4 { len } else { usual };
            self.room += room;
            self.list.push(Slab { start: offset, live: 0, data: Vec::with_capacity(room) });
        }
        if let Some(slab) = self.list.last_mut() {
            write(&mut slab.data);
            slab.live += len as u32;
        }
    }

    /// Which buffer holds what is at `offset`.
    pub(crate) fn at(&self, offset: u32) -> usize {
        self.list.partition_point(|slab| slab.start <= offset).saturating_sub(1)
    }

    /// The bytes at a place of a buffer, if it has them.
    pub(crate) fn get(&self, slab: usize, offset: u32, len: u32) -> Option<&[u8]> {
        let slab = self.list.get(slab)?;
        let start = offset.checked_sub(slab.start)? as usize;
        slab.data.get(start..start + len as usize)
    }

    /// A record is dead.
    pub(crate) fn kill(&mut self, offset: u32, len: u32) {
        let at = self.at(offset);
        let is_last = at + 1 == self.list.len();
        let Some(slab) = self.list.get_mut(at) else { return };
        slab.live = slab.live.saturating_sub(len);
        if slab.live == 0 && !is_last {
            slab.data = Vec::new();
        }
    }

    /// All records are dead.
    pub(crate) fn clear(&mut self) {
        *self = Slabs::default();
    }

    /// Bytes of all buffers.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.list.iter().map(|slab| slab.data.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_and_dead_buffers_given_back() {
        let mut slabs = Slabs::default();
        let (mut offset, mut places) = (0, Vec::new());
        for n in 0..4000_u32 {
            let len = if n % 1000 == 500 { 3 << 20 } else { 100 + n % 50 };
            slabs.append(offset, len as usize, |out| out.resize(out.len() + len as usize, n as u8));
            places.push((offset, len, n as u8));
            offset += len;
        }
        assert_eq!(slabs.bytes(), offset as usize);
        for &(offset, len, n) in &places {
            let found = slabs.get(slabs.at(offset), offset, len).unwrap();
            assert!(found.len() == len as usize && found.iter().all(|byte| *byte == n));
        }
        // Nothing that still lives goes with what is dead.
        for &(offset, len, _) in &places[..3900] {
            slabs.kill(offset, len);
        }
        assert!(slabs.bytes() < 2 * LARGEST);
        for &(offset, len, n) in &places[3900..] {
            assert_eq!(slabs.get(slabs.at(offset), offset, len).unwrap()[0], n);
        }
    }
}
