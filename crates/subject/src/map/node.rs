//! The nodes of the per-subject tree: a radix tree over bytes.

use smallvec::SmallVec;

use super::filter::{Filter, State};
use crate::label::Label;

/// A subject, or what several subjects start with. 32 bytes and the value.
///
/// Invariant: a node other than the root has a value or at least two children.
pub(super) struct Node<V> {
    /// The bytes from the parent to here; empty in the root only.
    pub(super) label: Label,
    pub(super) value: Option<V>,
    pub(super) kids: Option<Box<Kids<V>>>,
}

/// The children of a node, in byte order. First bytes differ, so that there are at most 256.
pub(super) struct Kids<V> {
    /// The first byte of each label, beside the nodes so that a search reads one cache line.
    keys: SmallVec<[u8; 16]>,
    pub(super) nodes: Vec<Node<V>>,
}

impl<V> Node<V> {
    pub(super) fn leaf(label: &[u8]) -> Self {
        Self { label: Label::new(label), value: None, kids: None }
    }

    pub(super) fn kid(&self, first: u8) -> Option<&Self> {
        let kids = self.kids.as_ref()?;
        kids.nodes.get(kids.position(first)?)
    }

    pub(super) fn kid_mut(&mut self, first: u8) -> Option<&mut Self> {
        let kids = self.kids.as_mut()?;
        let at = kids.position(first)?;
        kids.nodes.get_mut(at)
    }

    /// The node of exactly `subject`, counted from this one; made if it is missing.
    pub(super) fn make(&mut self, subject: &[u8]) -> &mut Self {
        let mut node = self;
        let mut rest = subject;
        while let Some(first) = rest.first() {
            node = node.kids.get_or_insert_default().get_or_leaf(*first, rest);
            let common = node.label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < node.label.len() {
                node.split(common);
            }
            rest = &rest[common..];
        }
        node
    }

    /// Restores the invariant after a removal here or in a child. Yields whether the node is now of
    /// no use at all.
    pub(super) fn tidy(&mut self) -> bool {
        let count = self.kids.as_ref().map_or(0, |kids| kids.nodes.len());
        if count == 0 {
            self.kids = None;
        }
        if count == 1
            && self.value.is_none()
            && let Some(only) = self.kids.take().and_then(|mut kids| kids.nodes.pop())
        {
            self.label = Label::concat(&self.label, &only.label, b"");
            self.value = only.value;
            self.kids = only.kids;
        }
        count == 0 && self.value.is_none()
    }

    /// Cuts the label after `at` bytes; what it led to becomes the only child.
    fn split(&mut self, at: usize) {
        let tail = Self {
            label: Label::new(&self.label[at..]),
            value: self.value.take(),
            kids: self.kids.take(),
        };
        self.label = Label::new(&self.label[..at]);
        let keys = tail.label.iter().copied().take(1).collect();
        self.kids = Some(Box::new(Kids { keys, nodes: vec![tail] }));
    }
}

impl<V> Kids<V> {
    /// The children that a subject accepted from `state` on may go through.
    pub(super) fn candidates(&self, filter: &Filter<'_>, state: State) -> &[Node<V>] {
        &self.nodes[self.range(filter, state)]
    }

    pub(super) fn candidates_mut(&mut self, filter: &Filter<'_>, state: State) -> &mut [Node<V>] {
        let range = self.range(filter, state);
        &mut self.nodes[range]
    }

    fn range(&self, filter: &Filter<'_>, state: State) -> std::ops::Range<usize> {
        match filter.only_byte(state) {
            None => 0..self.nodes.len(),
            Some(byte) => self.position(byte).map_or(0..0, |at| at..at + 1),
        }
    }

    fn position(&self, first: u8) -> Option<usize> {
        memchr::memchr(first, &self.keys)
    }

    /// The child for `first`, or a new leaf for `label`, which starts with it.
    fn get_or_leaf(&mut self, first: u8, label: &[u8]) -> &mut Node<V> {
        let at = self.position(first).unwrap_or_else(|| {
            let at = self.keys.partition_point(|key| *key < first);
            if self.nodes.len() == self.nodes.capacity() {
                // By a quarter rather than double: with millions of nodes the slack counts.
                self.nodes.reserve_exact(self.nodes.len() / 4 + 1);
            }
            self.keys.insert(at, first);
            self.nodes.insert(at, Node::leaf(label));
            at
        });
        &mut self.nodes[at]
    }

    pub(super) fn detach(&mut self, first: u8) {
        if let Some(at) = self.position(first) {
            self.keys.remove(at);
            self.nodes.remove(at);
            let len = self.nodes.len();
            if len * 2 < self.nodes.capacity() {
                self.nodes.shrink_to(len + len / 4);
            }
        }
    }
}

impl<V> Default for Kids<V> {
    fn default() -> Self {
        Self { keys: SmallVec::new(), nodes: Vec::new() }
    }
}
