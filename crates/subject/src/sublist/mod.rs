//! The sublist: an account's subscriptions by pattern.
//!
//! A trie whose edges are labelled with one or more whole tokens. A pattern without a sibling below
//! its last fork is one node, however many tokens it has; children are found by the hash of their
//! first token, wildcard children stand apart. A published subject therefore touches the nodes on its
//! path and the wildcard branches that leave it, and each node at most once.
//!
//! No walk recurses: depth is chosen by clients.

mod match_set;
mod node;
mod subs;
mod walk;

use std::fmt;
use std::ops::ControlFlow;

use smallvec::{SmallVec, smallvec};

pub use match_set::MatchSet;
use node::{Branch, Node};

use crate::grammar::{SEPARATOR, has_empty_token, is_wildcard_token, token_end};
use crate::hash;

/// How many first-token buckets the generation has. A power of two.
const BUCKETS: usize = 128;

/// An index of subscriptions by subject pattern and queue name.
///
/// `T` is what the caller keeps per subscription, as a rule a small handle: it is cloned into each
/// match. Costs about 85 bytes per literal subscription for handles of up to 8 bytes.
///
/// Patterns are expected to be valid subscriptions
/// ([`is_valid_subscription`](crate::is_valid_subscription)); others are stored and match nothing.
///
/// ```
/// use natterjack_subject::Sublist;
///
/// let mut sublist = Sublist::new();
/// sublist.insert(b"a.>", None, "first");
/// assert!(sublist.has_interest(b"a.b"));
/// assert_eq!(sublist.remove(b"a.>", None, |value| *value == "first"), Some("first"));
/// assert!(!sublist.has_interest(b"a.b"));
/// ```
pub struct Sublist<T> {
    root: Node<T>,
    len: usize,
    seed: u64,
    /// Counts changes under each hash of a literal first token; empty before the first.
    changes: Box<[u64]>,
    /// Counts changes to patterns that start with a wildcard.
    wild_changes: u64,
}

impl<T> Sublist<T> {
    /// An empty sublist with the hash key 0, for tests and for trusted subjects.
    ///
    /// ```
    /// assert!(natterjack_subject::Sublist::<u32>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty sublist whose hash key clients cannot guess, so that they cannot make tokens collide.
    ///
    /// ```
    /// let sublist = natterjack_subject::Sublist::<u32>::with_seed(0x5eed);
    /// assert!(sublist.is_empty());
    /// ```
    pub fn with_seed(seed: u64) -> Self {
        Self { root: Node::root(), len: 0, seed, changes: Box::default(), wild_changes: 0 }
    }

    /// How many subscriptions there are.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"a", None, 1);
    /// sublist.insert(b"a", None, 1);
    /// assert_eq!(sublist.len(), 2, "equal subscriptions count apart");
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no subscription.
    ///
    /// ```
    /// assert!(natterjack_subject::Sublist::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a subscription to `subject`, as a member of `queue` if one is named. Equal subscriptions
    /// may be added any number of times.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"orders.>", None, 1);
    /// sublist.insert(b"orders.>", Some(b"workers"), 2);
    /// assert_eq!(sublist.len(), 2);
    /// ```
    pub fn insert(&mut self, subject: &[u8], queue: Option<&[u8]>, value: T) {
        self.root.make(self.seed, subject).push(queue, value);
        self.len += 1;
        self.count_change(subject);
    }

    /// Takes out one subscription to exactly this `subject` and `queue` that `pred` accepts. `None`
    /// if there is none.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"a.*", Some(b"q"), 1);
    /// assert_eq!(sublist.remove(b"a.b", Some(b"q"), |_| true), None);
    /// assert_eq!(sublist.remove(b"a.*", None, |_| true), None);
    /// assert_eq!(sublist.remove(b"a.*", Some(b"q"), |id| *id == 1), Some(1));
    /// ```
    pub fn remove(
        &mut self,
        subject: &[u8],
        queue: Option<&[u8]>,
        pred: impl FnMut(&T) -> bool,
    ) -> Option<T> {
        // Walk to the parent of the node in question: no node above it can be affected.
        let mut rest = subject;
        let mut parent = &mut self.root;
        let mut parent_is_root = true;
        loop {
            let child = parent.next()?.child(self.seed, rest)?;
            let stripped = child.strip(rest)?;
            if stripped == rest.len() {
                break;
            }
            parent = parent.more.as_mut()?.next.child_mut(self.seed, rest)?;
            parent_is_root = false;
            rest = &rest[stripped + 1..];
        }
        let branch = &mut parent.more.as_mut()?.next;
        let node = branch.child_mut(self.seed, rest)?;
        let value = node.take(queue, pred)?;
        if node.tidy() {
            branch.detach(self.seed, rest);
            if parent_is_root {
                parent.drop_unused();
            } else {
                parent.tidy();
            }
        }
        self.len -= 1;
        self.count_change(subject);
        Some(value)
    }

    /// Replaces the content of `out` by the subscriptions that a message published on `subject`
    /// reaches. Allocates only where `out` must grow.
    ///
    /// ```
    /// use natterjack_subject::{MatchSet, Sublist};
    ///
    /// let mut sublist = Sublist::new();
    /// sublist.insert(b"a.*", None, 1);
    /// sublist.insert(b"*.b", None, 2);
    /// let mut found = MatchSet::new();
    /// sublist.matches(b"a.b", &mut found);
    /// found.plain.sort();
    /// assert_eq!(found.plain, [1, 2]);
    /// ```
    pub fn matches(&self, subject: &[u8], out: &mut MatchSet<T>)
    where
        T: Clone,
    {
        self.matches_within(subject, out);
    }

    /// As [`Sublist::matches`], and tells how many bytes of `subject`, up to the end of a token,
    /// decided: every subject that begins with the same tokens and has as many, none of them empty,
    /// reaches the same.
    ///
    /// ```
    /// use natterjack_subject::{MatchSet, Sublist};
    ///
    /// let mut sublist = Sublist::new();
    /// sublist.insert(b"_INBOX.me.*", None, 1);
    /// sublist.insert(b"svc.*", None, 2);
    /// let mut found = MatchSet::new();
    /// assert_eq!(sublist.matches_within(b"_INBOX.me.17", &mut found), "_INBOX.me".len());
    /// assert_eq!(sublist.matches_within(b"events.me.17", &mut found), "events".len());
    /// ```
    pub fn matches_within(&self, subject: &[u8], out: &mut MatchSet<T>) -> usize
    where
        T: Clone,
    {
        out.clear();
        let mut decided = 0;
        let _ = self.visit(subject, &mut decided, |node| {
            out.plain.extend_from_slice(node.plain.as_slice());
            let groups = node.groups();
            if !groups.is_empty() {
                out.add_groups(groups);
            }
            ControlFlow::Continue(())
        });
        decided
    }

    /// As [`matches`](Self::matches), and tells whether each subject that differs from this one in its
    /// last token only is known to reach the same: as the replies to one inbox do, where a client
    /// subscribes once to `_INBOX.x.*`. A single token has no such siblings.
    ///
    /// ```
    /// use natterjack_subject::{MatchSet, Sublist};
    ///
    /// let (mut sublist, mut found) = (Sublist::new(), MatchSet::new());
    /// sublist.insert(b"_INBOX.x.*", None, 1);
    /// assert!(sublist.matches_siblings(b"_INBOX.x.1", &mut found));
    /// assert_eq!(found.plain, [1]);
    /// sublist.insert(b"_INBOX.x.7", None, 2);
    /// assert!(!sublist.matches_siblings(b"_INBOX.x.1", &mut found));
    /// ```
    pub fn matches_siblings(&self, subject: &[u8], out: &mut MatchSet<T>) -> bool
    where
        T: Clone,
    {
        let decided = self.matches_within(subject, out);
        subject.iter().rposition(|byte| *byte == SEPARATOR).is_some_and(|last| decided <= last)
    }

    /// Whether a message published on `subject` reaches anyone. Stops at the first.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"a.*", Some(b"q"), ());
    /// assert!(sublist.has_interest(b"a.b"));
    /// assert!(!sublist.has_interest(b"a"));
    /// ```
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        self.any(subject, Node::has_subs)
    }

    /// A number that changes whenever the match of `subject` may have changed: a result computed
    /// earlier holds while the number is the same. Never decreases.
    ///
    /// It counts changes to patterns whose first token shares a hash bucket with that of `subject`, or
    /// is a wildcard. Unrelated subscriptions that come and go mostly leave it alone.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// let before = sublist.generation(b"orders.new");
    /// sublist.insert(b"orders.*", None, 1);
    /// assert_ne!(sublist.generation(b"orders.new"), before);
    /// ```
    pub fn generation(&self, subject: &[u8]) -> u64 {
        let token = &subject[..token_end(subject, 0)];
        self.changes.get(self.bucket(token)).copied().unwrap_or(0) + self.wild_changes
    }

    fn count_change(&mut self, pattern: &[u8]) {
        let token = &pattern[..token_end(pattern, 0)];
        if is_wildcard_token(token) {
            self.wild_changes += 1;
        } else {
            if self.changes.is_empty() {
                self.changes = Box::new([0; BUCKETS]);
            }
            self.changes[self.bucket(token)] += 1;
        }
    }

    fn bucket(&self, token: &[u8]) -> usize {
        hash::token(self.seed, token) as usize % BUCKETS
    }

    /// Whether somebody subscribed to exactly this `pattern`: with `queue` as a member of that group, else
    /// without one.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"a.b", None, ());
    /// sublist.insert(b"b.*", Some(b"q"), ());
    /// assert!(sublist.holds(b"a.b", None));
    /// assert!(!sublist.holds(b"a.b", Some(b"q")));
    /// assert!(sublist.holds(b"b.*", Some(b"q")));
    /// assert!(!sublist.holds(b"b.a", Some(b"q")));
    /// ```
    pub fn holds(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        let (mut node, mut rest) = (&self.root, pattern);
        loop {
            let Some(child) = node.next().and_then(|next| next.child(self.seed, rest)) else {
                return false;
            };
            match child.strip(rest) {
                None => return false,
                Some(used) if used == rest.len() => return child.holds(queue),
                Some(used) => (node, rest) = (child, &rest[used + 1..]),
            }
        }
    }

    fn any(&self, subject: &[u8], mut test: impl FnMut(&Node<T>) -> bool) -> bool {
        let test = |node: &Node<T>| {
            if test(node) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.visit(subject, &mut 0, test).is_break()
    }

    /// Calls `found` with the node of each stored pattern that matches `subject`. `decided` is raised to
    /// the end of the last token whose text mattered.
    fn visit(
        &self,
        subject: &[u8],
        decided: &mut usize,
        mut found: impl FnMut(&Node<T>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if has_empty_token(subject) {
            *decided = subject.len();
            return ControlFlow::Continue(());
        }
        // Branches still to be searched, each with the start of the token it is asked for.
        let mut open: SmallVec<[(&Branch<T>, usize); 8]> = SmallVec::new();
        open.extend(self.root.next().map(|branch| (branch, 0)));
        while let Some((branch, at)) = open.pop() {
            let rest = &subject[at..];
            let token = &rest[..token_end(rest, 0)];
            if !branch.literals.is_empty() {
                *decided = (*decided).max(at + token.len());
            }
            // A wildcard token in a published subject is reached by wildcards only.
            let literal = (!is_wildcard_token(token))
                .then(|| branch.literals.get(self.seed, token))
                .flatten();
            let nodes = [branch.rest.as_deref(), branch.star.as_deref(), literal];
            for node in nodes.into_iter().flatten() {
                let (used, within) = node.consume(rest);
                if within > 0 {
                    *decided = (*decided).max(at + within);
                }
                match used {
                    None => {}
                    Some(used) if used == rest.len() => found(node)?,
                    Some(used) => open.extend(node.next().map(|next| (next, at + used + 1))),
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl<T> Default for Sublist<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Sublist<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sublist").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T> Drop for Sublist<T> {
    /// Takes the trie apart in a loop: nested drops would need a stack as deep as the trie.
    fn drop(&mut self) {
        let mut open: SmallVec<[Box<node::More<T>>; 8]> = smallvec![];
        open.extend(self.root.more.take());
        while let Some(more) = open.pop() {
            open.extend(more.next.into_children().filter_map(|mut node| node.more.take()));
        }
    }
}

#[cfg(test)]
mod tests;
