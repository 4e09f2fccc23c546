//! The bytes on an edge of a tree, inside the node when they are few.

use std::ops::Deref;

/// What a label may hold without an allocation. With the tag and the length it makes 24 bytes, the
/// size of a `Vec`.
const INLINE: usize = 22;

/// An immutable byte string of 24 bytes: up to 22 inline, more on the heap.
#[derive(Debug)]
pub(crate) enum Label {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Label {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self::concat(bytes, b"", b"")
    }

    /// The three parts in a row.
    pub(crate) fn concat(a: &[u8], b: &[u8], c: &[u8]) -> Self {
        let len = a.len() + b.len() + c.len();
        if len <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..a.len()].copy_from_slice(a);
            bytes[a.len()..a.len() + b.len()].copy_from_slice(b);
            bytes[a.len() + b.len()..len].copy_from_slice(c);
            Self::Inline { len: len as u8, bytes }
        } else {
            Self::Heap([a, b, c].concat().into_boxed_slice())
        }
    }
}

impl Default for Label {
    fn default() -> Self {
        Self::Inline { len: 0, bytes: [0; INLINE] }
    }
}

impl Deref for Label {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_bytes_on_both_sides_of_the_inline_limit() {
        assert_eq!(size_of::<Label>(), 24);
        for len in 0..60 {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(&*Label::new(&bytes), bytes);
            for cut in 0..bytes.len() {
                let (a, rest) = bytes.split_at(cut);
                let (b, c) = rest.split_at(rest.len() / 2);
                assert_eq!(&*Label::concat(a, b, c), bytes);
            }
        }
    }
}
