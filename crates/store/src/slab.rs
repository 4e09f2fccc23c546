//! The records of a memory log, one behind the other in a few large buffers.
//!
//! A record is found by its offset, which the index keeps anyway, so a stored message costs its
//! bytes and no allocation of its own. A buffer is given back when its last record is dead; the
//! chunk that owns them is copied together when most of it is dead.
//!
//! A stream of a megabyte and more takes its buffers from the system (memmap2, anonymous maps only)
//! with all their pages in them: one call for 256 pages costs half of what the first touch of each
//! does, and they go back when they are freed. Huge pages were tried; where the machine is itself
//! virtual they were three times slower.

use bytes::BufMut;
use memmap2::{MmapMut, MmapOptions};

/// The first buffer of a stream; each next one doubles what there is …
const FIRST: usize = 4 << 10;
/// … up to this, which comes from the system.
const PAGES: usize = 1 << 20;
/// Larger records have buffers of their own.
const SHARED: usize = 256 << 10;

/// What writes a record.
pub(crate) trait Fill {
    /// Writes all of it.
    fn fill(self, out: &mut impl BufMut);
}

/// A record that is there already.
impl Fill for &[u8] {
    fn fill(self, out: &mut impl BufMut) {
        out.put_slice(self);
    }
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Pages { pages: MmapMut, len: usize },
}

impl Memory {
    /// Room for `len` bytes at least, in a stream that has `room` bytes.
    fn new(room: usize, len: usize) -> Memory {
        if len > SHARED {
            return Memory::Heap(Vec::with_capacity(len));
        }
        if room >= PAGES
            && let Ok(pages) = MmapOptions::new().len(PAGES).populate().map_anon()
        {
            return Memory::Pages { pages, len: 0 };
        }
        Memory::Heap(Vec::with_capacity(room.clamp(FIRST, PAGES).max(len)))
    }

    fn data(&self) -> &[u8] {
        match self {
            Memory::Heap(data) => data,
            Memory::Pages { pages, len } => &pages[..*len],
        }
    }

    fn room(&self) -> usize {
        match self {
            Memory::Heap(data) => data.capacity(),
            Memory::Pages { pages, .. } => pages.len(),
        }
    }

    fn append(&mut self, more: usize, fill: impl Fill) {
        match self {
            Memory::Heap(data) => fill.fill(data),
            Memory::Pages { pages, len } => {
                fill.fill(&mut &mut pages[*len..*len + more]);
                *len += more;
            }
        }
    }
}

#[derive(Debug)]
struct Slab {
    /// The offset of its first byte.
    start: u32,
    /// Bytes of live records.
    live: u32,
    data: Memory,
}

impl Slab {
    fn free(&mut self) {
        self.data = Memory::Heap(Vec::new());
    }
}

/// The buffers of one chunk.
#[derive(Debug, Default)]
pub(crate) struct Slabs {
    list: Vec<Slab>,
    /// How large the stream is known to be, but for records with buffers of their own; since the
    /// last of these, for between two of them there may be little.
    room: usize,
}

impl Slabs {
    /// None yet, for a stream of about `room` bytes.
    pub(crate) fn of(room: usize) -> Slabs {
        Slabs { list: Vec::new(), room }
    }

    /// How large the stream is known to be.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Appends a record of `len` bytes at `offset`, which is above all earlier ones.
    pub(crate) fn append(&mut self, offset: u32, len: usize, fill: impl Fill) {
        let fits = |slab: &Slab| {
            let used = slab.data.data().len();
            slab.start as usize + used == offset as usize && slab.data.room() - used >= len
        };
        if !self.list.last().is_some_and(fits) {
            if let Some(full) = self.list.last_mut().filter(|slab| slab.live == 0) {
                full.free();
            }
            let data = Memory::new(self.room, len);
            self.room = if len > SHARED { 0 } else { self.room + data.room() };
            self.list.push(Slab { start: offset, live: 0, data });
        }
        if let Some(slab) = self.list.last_mut() {
            slab.data.append(len, fill);
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
        slab.data.data().get(start..start + len as usize)
    }

    /// A record is dead.
    pub(crate) fn kill(&mut self, offset: u32, len: u32) {
        let at = self.at(offset);
        let is_last = at + 1 == self.list.len();
        let Some(slab) = self.list.get_mut(at) else { return };
        slab.live = slab.live.saturating_sub(len);
        if slab.live == 0 && !is_last {
            slab.free();
        }
    }

    /// All records are dead.
    pub(crate) fn clear(&mut self) {
        *self = Slabs::default();
    }

    /// Bytes of all buffers.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.list.iter().map(|slab| slab.data.data().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many bytes of one kind.
    struct Bytes(usize, u8);

    impl Fill for Bytes {
        fn fill(self, out: &mut impl BufMut) {
            out.put_bytes(self.1, self.0);
        }
    }

    #[test]
    fn records_are_found_and_dead_buffers_given_back() {
        let mut slabs = Slabs::default();
        let (mut offset, mut places) = (0, Vec::new());
        for n in 0..80_000_u32 {
            let len = if n % 40_000 == 500 { 3 << 20 } else { 100 + n % 50 };
            slabs.append(offset, len as usize, Bytes(len as usize, n as u8));
            places.push((offset, len, n as u8));
            offset += len;
        }
        assert_eq!(slabs.bytes(), offset as usize);
        let pages = |slab: &&Slab| matches!(slab.data, Memory::Pages { .. });
        assert!(slabs.list.iter().filter(pages).count() >= 2);
        for &(offset, len, n) in &places {
            let found = slabs.get(slabs.at(offset), offset, len).unwrap();
            assert!(found.len() == len as usize && found.iter().all(|byte| *byte == n));
        }
        // Nothing that still lives goes with what is dead.
        for &(offset, len, _) in &places[..79_000] {
            slabs.kill(offset, len);
        }
        assert!(slabs.bytes() <= 2 * PAGES);
        for &(offset, len, n) in &places[79_000..] {
            assert_eq!(slabs.get(slabs.at(offset), offset, len).unwrap()[0], n);
        }
    }

    #[test]
    fn little_between_large_records_takes_little() {
        let (mut slabs, mut offset) = (Slabs::of(64 << 20), 0);
        for n in 0..20 {
            let len = if n % 2 == 0 { 300 << 10 } else { 200 };
            slabs.append(offset, len as usize, Bytes(len as usize, 1));
            offset += len;
        }
        let room: usize = slabs.list.iter().map(|slab| slab.data.room()).sum();
        assert!(room < offset as usize + 10 * FIRST);
    }

    #[test]
    fn a_small_stream_takes_little() {
        let mut slabs = Slabs::default();
        for n in 0..10 {
            slabs.append(n * 200, 200, Bytes(200, 1));
        }
        assert_eq!(slabs.room(), FIRST);
    }
}
