//! The subscriptions at one place of the trie: plain ones, and those of one queue group.

use std::sync::Arc;

/// Any number of values where one is by far the most frequent. 16 bytes for values up to 8.
#[derive(Default)]
pub(super) enum Subs<T> {
    #[default]
    None,
    One(T),
    /// Boxed, so that a place with one subscription does not pay for a vector.
    #[expect(clippy::box_collection, reason = "half a million nodes carry this field")]
    Many(Box<Vec<T>>),
}

impl<T> Subs<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn push(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(value),
            Self::One(first) => Self::Many(Box::new(vec![first, value])),
            Self::Many(mut values) => {
                values.push(value);
                Self::Many(values)
            }
        };
    }

    /// Takes out the first value that `pred` accepts. The order of the others is not kept.
    pub(super) fn remove(&mut self, mut pred: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.as_slice().iter().position(&mut pred)?;
        match std::mem::take(self) {
            Self::None => None,
            Self::One(value) => Some(value),
            Self::Many(mut values) => {
                let value = values.swap_remove(at);
                *self = match values.len() {
                    1 => values.pop().map_or(Self::None, Self::One),
                    len => {
                        if len * 4 < values.capacity() {
                            values.shrink_to(len * 2);
                        }
                        Self::Many(values)
                    }
                };
                Some(value)
            }
        }
    }
}

/// The members of one queue name at one pattern.
pub(super) struct Group<T> {
    /// Shared with the match sets that name it.
    pub(super) name: Arc<[u8]>,
    pub(super) members: Subs<T>,
}
