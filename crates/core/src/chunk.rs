//! Pieces of what waits for a client.
//!
//! The first bytes wait in the buffers in which they were encoded. When much waits, it is in segments of
//! pages that come from the system and go back to it. From the heap they would not: between them lie
//! small things that stay, and a burst of slow readers would keep its memory for ever.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;

/// The size of a segment. Pages of it that are not written yet take no memory.
const SEGMENT: usize = 256 * 1024;
/// Segments kept for the next who needs one, so that a client that is a little slow all the time costs
/// no system calls.
const SPARE: usize = 8;

static SPARES: Mutex<Vec<MmapMut>> = Mutex::new(Vec::new());

/// Encoded bytes in the order of arrival.
#[derive(Debug)]
pub struct Chunk(Memory);

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Segment { pages: Option<MmapMut>, len: usize },
}

impl Chunk {
    /// An empty segment; `None` when the system gives none.
    pub(crate) fn segment() -> Option<Self> {
        let spare = SPARES.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pages = spare.or_else(|| MmapMut::map_anon(SEGMENT).ok())?;
        Some(Chunk(Memory::Segment { pages: Some(pages), len: 0 }))
    }

    /// Adds what fits without another allocation than for `join` bytes in all, and tells how much that
    /// was.
    pub(crate) fn fill(&mut self, bytes: &[u8], join: usize) -> usize {
        match &mut self.0 {
            Memory::Heap(heap) if heap.len() + bytes.len() <= join => {
                heap.extend_from_slice(bytes);
                bytes.len()
            }
            Memory::Heap(_) | Memory::Segment { pages: None, .. } => 0,
            Memory::Segment { pages: Some(pages), len } => {
                let count = bytes.len().min(pages.len() - *len);
                pages[*len..*len + count].copy_from_slice(&bytes[..count]);
                *len += count;
                count
            }
        }
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Chunk(Memory::Heap(bytes))
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Heap(heap) => heap,
            Memory::Segment { pages: Some(pages), len } => &pages[..*len],
            Memory::Segment { pages: None, .. } => &[],
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Segment { pages, .. } = self
            && let Some(pages) = pages.take()
        {
            let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
            if spares.len() < SPARE {
                spares.push(pages);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_takes_what_fits_and_a_buffer_what_joins() {
        let mut segment = Chunk::segment().unwrap();
        assert!(segment.is_empty());
        assert_eq!(segment.fill(&[1; 10], 0), 10);
        assert_eq!(segment.fill(&vec![2; SEGMENT], 0), SEGMENT - 10);
        assert_eq!(segment.fill(&[3], 0), 0);
        assert_eq!((segment.len(), segment[9], segment[10]), (SEGMENT, 1, 2));
        let mut buffer = Chunk::from(vec![1; 10]);
        assert_eq!((buffer.fill(&[2; 10], 20), buffer.fill(&[3], 20)), (10, 0));
        assert_eq!(buffer.len(), 20);
    }
}
