//! The per-subject state tree: a value for each of millions of literal subjects.
//!
//! A radix tree over bytes, not tokens: what subjects share is stored once, also within a token (most
//! subjects of a large stream differ in a number), and byte order comes for free. Children lie side by
//! side in one allocation, so that a subject costs no allocation of its own while its last part is
//! short. No walk recurses: depth is chosen by clients.

mod filter;
mod node;
mod walk;

use std::fmt;

use node::Node;
pub use walk::Iter;

/// A map from literal subjects to values, ordered by bytes.
///
/// Costs about 40 to 50 bytes beside the value for subjects that differ in a number; a subject whose
/// last distinct part is longer than 22 bytes costs that part too.
///
/// Keys are expected to be valid literals ([`is_valid_literal`](crate::is_valid_literal)); others are
/// kept and match no filter.
///
/// ```
/// use natterjack_subject::SubjectMap;
///
/// let mut count = SubjectMap::new();
/// for subject in [b"a.1", b"a.2", b"a.1"] {
///     *count.get_or_insert_with(subject, || 0) += 1;
/// }
/// assert_eq!(count.get(b"a.1"), Some(&2));
/// assert_eq!(count.remove(b"a.2"), Some(1));
/// assert_eq!(count.len(), 1);
/// ```
pub struct SubjectMap<V> {
    /// Without a label.
    root: Node<V>,
    len: usize,
}

impl<V> SubjectMap<V> {
    /// An empty map.
    ///
    /// ```
    /// assert!(natterjack_subject::SubjectMap::<u32>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self { root: Node::leaf(b""), len: 0 }
    }

    /// How many subjects have a value.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// map.insert(b"a", 1);
    /// assert_eq!(map.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no subject has a value.
    ///
    /// ```
    /// assert!(natterjack_subject::SubjectMap::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `subject`. Wildcards mean nothing here.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// map.insert(b"a.b", 1);
    /// assert_eq!(map.get(b"a.b"), Some(&1));
    /// assert_eq!(map.get(b"a.*"), None);
    /// ```
    pub fn get(&self, subject: &[u8]) -> Option<&V> {
        let mut node = &self.root;
        let mut rest = subject;
        while let Some(first) = rest.first() {
            node = node.kid(*first)?;
            rest = rest.strip_prefix(&*node.label)?;
        }
        node.value.as_ref()
    }

    /// The value of `subject`, to be changed.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// map.insert(b"a.b", 1);
    /// if let Some(value) = map.get_mut(b"a.b") {
    ///     *value = 2;
    /// }
    /// assert_eq!(map.get(b"a.b"), Some(&2));
    /// ```
    pub fn get_mut(&mut self, subject: &[u8]) -> Option<&mut V> {
        let mut node = &mut self.root;
        let mut rest = subject;
        while let Some(first) = rest.first() {
            node = node.kid_mut(*first)?;
            rest = rest.strip_prefix(&*node.label)?;
        }
        node.value.as_mut()
    }

    /// The value of `subject`, which is first set to what `value` returns if there is none.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// *map.get_or_insert_with(b"a", || 0) += 1;
    /// *map.get_or_insert_with(b"a", || 0) += 1;
    /// assert_eq!(map.get(b"a"), Some(&2));
    /// ```
    pub fn get_or_insert_with(&mut self, subject: &[u8], value: impl FnOnce() -> V) -> &mut V {
        let len = &mut self.len;
        self.root.make(subject).value.get_or_insert_with(|| {
            *len += 1;
            value()
        })
    }

    /// Sets the value of `subject` and returns the one it had.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// assert_eq!(map.insert(b"a", 1), None);
    /// assert_eq!(map.insert(b"a", 2), Some(1));
    /// ```
    pub fn insert(&mut self, subject: &[u8], value: V) -> Option<V> {
        let old = self.root.make(subject).value.replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Forgets `subject` and returns its value.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// map.insert(b"a", 1);
    /// assert_eq!(map.remove(b"a"), Some(1));
    /// assert_eq!(map.remove(b"a"), None);
    /// ```
    pub fn remove(&mut self, subject: &[u8]) -> Option<V> {
        if subject.is_empty() {
            let value = self.root.value.take()?;
            self.len -= 1;
            return Some(value);
        }
        // Walk to the parent of the node in question: no node above it can be affected.
        let mut rest = subject;
        let mut parent = &mut self.root;
        let mut parent_is_root = true;
        let first = loop {
            let first = *rest.first()?;
            let tail = rest.strip_prefix(&*parent.kid(first)?.label)?;
            if tail.is_empty() {
                break first;
            }
            parent = parent.kid_mut(first)?;
            parent_is_root = false;
            rest = tail;
        };
        let node = parent.kid_mut(first)?;
        let value = node.value.take()?;
        if node.tidy() {
            if let Some(kids) = &mut parent.kids {
                kids.detach(first);
            }
            if !parent_is_root {
                parent.tidy();
            } else if parent.kids.as_ref().is_some_and(|kids| kids.nodes.is_empty()) {
                parent.kids = None;
            }
        }
        self.len -= 1;
        Some(value)
    }

    /// Forgets all subjects.
    ///
    /// ```
    /// let mut map = natterjack_subject::SubjectMap::new();
    /// map.insert(b"a", 1);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<V> Default for SubjectMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> fmt::Debug for SubjectMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectMap").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<V> Drop for SubjectMap<V> {
    /// Takes the tree apart in a loop: nested drops would need a stack as deep as the tree.
    fn drop(&mut self) {
        let mut open: Vec<_> = self.root.kids.take().into_iter().collect();
        while let Some(kids) = open.pop() {
            open.extend(kids.nodes.into_iter().filter_map(|mut node| node.kids.take()));
        }
    }
}

#[cfg(test)]
mod tests;
