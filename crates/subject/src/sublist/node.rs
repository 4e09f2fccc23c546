//! The trie's nodes: one per pattern that is subscribed to or where patterns part.
//!
//! Wildcard tokens are stored like any other, so that `_INBOX.x.*` is one node as well. What a node
//! spends is what counts: half a million subscriptions to distinct literals are half a million nodes.
//! With values of up to 8 bytes a node is 56 bytes, which an allocator serves in 64; the table above it
//! adds 9 to 18.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::subs::{Group, Subs};
use crate::grammar::{SEPARATOR, is_wildcard_token, token_end, tokens};
use crate::hash;
use crate::label::Label;
use crate::pattern::consume_within;

/// Up to this many children are scanned; more go to a hash table.
const FEW: usize = 8;

/// The end of a pattern, or of a common prefix of patterns.
///
/// Invariant: a node other than the root has a subscription or at least two children.
pub(super) struct Node<T> {
    /// The tokens from the parent to here, at least one.
    pub(super) label: Label,
    /// Of the label's first token.
    hash: u32,
    /// Whether the label holds a wildcard token.
    wild: bool,
    pub(super) plain: Subs<T>,
    /// Absent in a node that has plain subscriptions only.
    pub(super) more: Option<Box<More<T>>>,
}

/// What few nodes have: queue groups, and patterns that go on.
pub(super) struct More<T> {
    /// Sorted by name.
    pub(super) groups: Vec<Group<T>>,
    pub(super) next: Branch<T>,
}

/// The nodes below a node, by their first token.
pub(super) struct Branch<T> {
    pub(super) star: Option<Box<Node<T>>>,
    pub(super) rest: Option<Box<Node<T>>>,
    pub(super) literals: Literals<T>,
}

/// Children whose first token is no wildcard.
pub(super) enum Literals<T> {
    /// With the hash beside the pointer, so that a scan touches no other node.
    Few(Vec<(u32, Box<Node<T>>)>),
    Many(HashTable<Box<Node<T>>>),
}

impl<T> Node<T> {
    /// The root has no label.
    pub(super) fn root() -> Self {
        Self { label: Label::default(), hash: 0, wild: false, plain: Subs::None, more: None }
    }

    fn leaf(hash: u32, label: &[u8]) -> Self {
        let wild = tokens(label).any(is_wildcard_token);
        Self { label: Label::new(label), hash, wild, plain: Subs::None, more: None }
    }

    /// Matches the label against the first tokens of `rest`; yields how many bytes they cover, and up to
    /// where the text of `rest` decided.
    pub(super) fn consume(&self, rest: &[u8]) -> (Option<usize>, usize) {
        if !self.wild
            && let Some(used) = self.strip(rest)
        {
            return (Some(used), used);
        }
        consume_within(&self.label, rest)
    }

    /// Like [`Node::consume`], with wildcard tokens standing for themselves.
    pub(super) fn strip(&self, rest: &[u8]) -> Option<usize> {
        let tail = rest.strip_prefix(&*self.label)?;
        matches!(tail.first(), None | Some(&SEPARATOR)).then_some(self.label.len())
    }

    pub(super) fn has_subs(&self) -> bool {
        !self.plain.is_empty() || !self.groups().is_empty()
    }

    /// Whether there is a subscription of group `queue`, or one without a group.
    pub(super) fn holds(&self, queue: Option<&[u8]>) -> bool {
        match queue {
            None => !self.plain.is_empty(),
            Some(queue) => self.groups().binary_search_by(|group| (*group.name).cmp(queue)).is_ok(),
        }
    }

    pub(super) fn groups(&self) -> &[Group<T>] {
        self.more.as_ref().map_or(&[], |more| &more.groups)
    }

    pub(super) fn next(&self) -> Option<&Branch<T>> {
        self.more.as_ref().map(|more| &more.next)
    }

    pub(super) fn more_mut(&mut self) -> &mut More<T> {
        self.more.get_or_insert_with(Box::default)
    }

    /// The node of exactly `pattern`, counted from this one; made if it is missing.
    pub(super) fn make(&mut self, seed: u64, pattern: &[u8]) -> &mut Self {
        let mut node = self;
        let mut rest = pattern;
        loop {
            node = node.more_mut().next.child_or_leaf(seed, rest);
            let common = common_tokens(&node.label, rest);
            if common < node.label.len() {
                node.split(seed, common);
            }
            if common == rest.len() {
                return node;
            }
            rest = &rest[common + 1..];
        }
    }

    /// Puts a value under `queue`.
    pub(super) fn push(&mut self, queue: Option<&[u8]>, value: T) {
        let Some(name) = queue else { return self.plain.push(value) };
        let groups = &mut self.more_mut().groups;
        match groups.binary_search_by(|group| (*group.name).cmp(name)) {
            Ok(at) => groups[at].members.push(value),
            Err(at) => {
                groups.insert(at, Group { name: Arc::from(name), members: Subs::One(value) });
            }
        }
    }

    /// Takes out one value under `queue` that `pred` accepts. The caller restores the invariant.
    pub(super) fn take(&mut self, queue: Option<&[u8]>, pred: impl FnMut(&T) -> bool) -> Option<T> {
        let Some(name) = queue else { return self.plain.remove(pred) };
        let groups = &mut self.more.as_mut()?.groups;
        let at = groups.binary_search_by(|group| (*group.name).cmp(name)).ok()?;
        let value = groups[at].members.remove(pred)?;
        if groups[at].members.is_empty() {
            groups.remove(at);
        }
        Some(value)
    }

    /// Restores the invariant after a removal here or in a child: a node that only joins one child
    /// to its parent becomes that child. Yields whether the node is now of no use at all.
    pub(super) fn tidy(&mut self) -> bool {
        let children = self.next().map_or(0, Branch::len);
        self.drop_unused();
        if children == 1
            && !self.has_subs()
            && let Some(child) = self.more.take().and_then(|more| more.next.into_only_child())
        {
            self.label = Label::concat(&self.label, &[SEPARATOR], &child.label);
            self.wild |= child.wild;
            self.plain = child.plain;
            self.more = child.more;
        }
        children == 0 && !self.has_subs()
    }

    /// Gives back what only groups and children need.
    pub(super) fn drop_unused(&mut self) {
        if self.groups().is_empty() && self.next().is_none_or(|next| next.len() == 0) {
            self.more = None;
        }
    }

    /// Cuts the label after `at` bytes; what it led to becomes the only child.
    fn split(&mut self, seed: u64, at: usize) {
        let tail = &self.label[at + 1..];
        let hash = hash::token(seed, &tail[..token_end(tail, 0)]);
        let mut child = Self::leaf(hash, tail);
        child.plain = std::mem::take(&mut self.plain);
        child.more = self.more.take();
        *self = Self::leaf(self.hash, &self.label[..at]);
        self.more_mut().next.adopt(Box::new(child));
    }
}

impl<T> Default for More<T> {
    fn default() -> Self {
        let literals = Literals::Few(Vec::new());
        Self { groups: Vec::new(), next: Branch { star: None, rest: None, literals } }
    }
}

impl<T> Branch<T> {
    pub(super) fn len(&self) -> usize {
        usize::from(self.star.is_some()) + usize::from(self.rest.is_some()) + self.literals.len()
    }

    /// The child that stores patterns with the same first token as `rest`.
    pub(super) fn child(&self, seed: u64, rest: &[u8]) -> Option<&Node<T>> {
        match &rest[..token_end(rest, 0)] {
            b"*" => self.star.as_deref(),
            b">" => self.rest.as_deref(),
            token => self.literals.get(seed, token),
        }
    }

    pub(super) fn child_mut(&mut self, seed: u64, rest: &[u8]) -> Option<&mut Node<T>> {
        match &rest[..token_end(rest, 0)] {
            b"*" => self.star.as_deref_mut(),
            b">" => self.rest.as_deref_mut(),
            token => match &mut self.literals {
                Literals::Few(few) => {
                    let hash = hash::token(seed, token);
                    few.iter_mut()
                        .find(|(known, node)| *known == hash && node.starts_with(token))
                        .map(|(_, node)| &mut **node)
                }
                Literals::Many(table) => {
                    let hash = hash::token(seed, token);
                    table
                        .find_mut(hash::spread(hash), |node| {
                            node.hash == hash && node.starts_with(token)
                        })
                        .map(|node| &mut **node)
                }
            },
        }
    }

    /// The child for the first token of `rest`, or a new leaf for all of it.
    fn child_or_leaf(&mut self, seed: u64, rest: &[u8]) -> &mut Node<T> {
        match &rest[..token_end(rest, 0)] {
            b"*" => self.star.get_or_insert_with(|| Box::new(Node::leaf(0, rest))),
            b">" => self.rest.get_or_insert_with(|| Box::new(Node::leaf(0, rest))),
            token => self.literals.get_or_leaf(hash::token(seed, token), token, rest),
        }
    }

    /// Adds a child whose first token is new here.
    fn adopt(&mut self, child: Box<Node<T>>) {
        match &child.label[..token_end(&child.label, 0)] {
            b"*" => self.star = Some(child),
            b">" => self.rest = Some(child),
            _ => self.literals.adopt(child),
        }
    }

    /// Drops the child for the first token of `rest`.
    pub(super) fn detach(&mut self, seed: u64, rest: &[u8]) {
        match &rest[..token_end(rest, 0)] {
            b"*" => self.star = None,
            b">" => self.rest = None,
            token => self.literals.detach(hash::token(seed, token), token),
        }
    }

    /// The child of a branch that has one.
    fn into_only_child(self) -> Option<Box<Node<T>>> {
        self.into_children().next()
    }

    pub(super) fn into_children(self) -> impl Iterator<Item = Box<Node<T>>> {
        let (few, many) = match self.literals {
            Literals::Few(few) => (Some(few), None),
            Literals::Many(table) => (None, Some(table)),
        };
        let few = few.into_iter().flatten().map(|(_, node)| node);
        self.star.into_iter().chain(self.rest).chain(few).chain(many.into_iter().flatten())
    }

    pub(super) fn children(&self) -> impl Iterator<Item = &Node<T>> {
        let wild = self.star.iter().chain(&self.rest).map(|node| &**node);
        wild.chain(self.literals.iter())
    }
}

impl<T> Literals<T> {
    fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(table) => table.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node<T>> {
        let (few, many) = match self {
            Self::Few(few) => (Some(few), None),
            Self::Many(table) => (None, Some(table)),
        };
        let few = few.into_iter().flatten().map(|(_, node)| &**node);
        few.chain(many.into_iter().flatten().map(|node| &**node))
    }

    pub(super) fn get(&self, seed: u64, token: &[u8]) -> Option<&Node<T>> {
        match self {
            Self::Few(few) if few.is_empty() => None,
            // Hashing costs more than one comparison.
            Self::Few(few) if few.len() == 1 => {
                few.first().map(|(_, node)| &**node).filter(|node| node.starts_with(token))
            }
            Self::Few(few) => {
                let hash = hash::token(seed, token);
                few.iter()
                    .find(|(known, node)| *known == hash && node.starts_with(token))
                    .map(|(_, node)| &**node)
            }
            Self::Many(table) => {
                let hash = hash::token(seed, token);
                table
                    .find(hash::spread(hash), |node| node.hash == hash && node.starts_with(token))
                    .map(|node| &**node)
            }
        }
    }

    fn get_or_leaf(&mut self, hash: u32, token: &[u8], label: &[u8]) -> &mut Node<T> {
        if let Self::Few(few) = self
            && few.len() >= FEW
            && !few.iter().any(|(known, node)| *known == hash && node.starts_with(token))
        {
            let mut table = HashTable::with_capacity(FEW * 2);
            for (known, node) in few.drain(..) {
                table.insert_unique(hash::spread(known), node, |node| hash::spread(node.hash));
            }
            *self = Self::Many(table);
        }
        match self {
            Self::Few(few) => {
                let known =
                    few.iter().position(|(known, node)| *known == hash && node.starts_with(token));
                let at = known.unwrap_or_else(|| {
                    few.push((hash, Box::new(Node::leaf(hash, label))));
                    few.len() - 1
                });
                &mut few[at].1
            }
            Self::Many(table) => {
                let entry = table.entry(
                    hash::spread(hash),
                    |node| node.hash == hash && node.starts_with(token),
                    |node| hash::spread(node.hash),
                );
                match entry {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        entry.insert(Box::new(Node::leaf(hash, label))).into_mut()
                    }
                }
            }
        }
    }

    fn adopt(&mut self, child: Box<Node<T>>) {
        match self {
            Self::Few(few) => few.push((child.hash, child)),
            Self::Many(table) => {
                table
                    .insert_unique(hash::spread(child.hash), child, |node| hash::spread(node.hash));
            }
        }
    }

    fn detach(&mut self, hash: u32, token: &[u8]) {
        match self {
            Self::Few(few) => {
                if let Some(at) =
                    few.iter().position(|(known, node)| *known == hash && node.starts_with(token))
                {
                    few.swap_remove(at);
                }
            }
            Self::Many(table) => {
                let found = table.find_entry(hash::spread(hash), |node| {
                    node.hash == hash && node.starts_with(token)
                });
                if let Ok(entry) = found {
                    entry.remove();
                }
                // An eighth full at most: memory goes back, and a refill does not thrash.
                if table.len() * 8 < table.capacity() {
                    table.shrink_to(table.len() * 2, |node| hash::spread(node.hash));
                }
            }
        }
    }
}

impl<T> Node<T> {
    /// Whether `token` is the label's first token.
    fn starts_with(&self, token: &[u8]) -> bool {
        self.label
            .strip_prefix(token)
            .is_some_and(|tail| matches!(tail.first(), None | Some(&SEPARATOR)))
    }
}

/// The length in bytes of the longest common prefix of whole tokens, without a trailing separator.
/// Both start with the same token.
fn common_tokens(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let ends = |bytes: &[u8]| matches!(bytes.get(same), None | Some(&SEPARATOR));
    if ends(a) && ends(b) {
        return same;
    }
    a[..same].iter().rposition(|byte| *byte == SEPARATOR).unwrap_or(0)
}
