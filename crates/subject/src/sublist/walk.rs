//! Walks over stored patterns: all of them, or those in a relation to a given pattern.

use super::Sublist;
use super::node::{Branch, Node};
use crate::grammar::{SEPARATOR, is_wildcard_token, token_end};

/// How a stored pattern must relate to the given one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// The given pattern matches all that the stored one matches.
    Covered,
    /// Some subject matches both.
    Overlaps,
}

/// How far a label got through the given pattern.
enum Progress {
    /// Out of the relation, and so is all below.
    Lost,
    /// Within the relation, and so is all below.
    All,
    /// Within the relation, and nothing below is.
    Here,
    /// The given pattern goes on at this byte; what is below must meet the rest.
    Rest(usize),
}

/// A node still to be met, the length of the path above it, and what is left of the given pattern
/// (`None`: the node is wanted as it is).
type Open<'a, 'p, T> = (&'a Node<T>, usize, Option<&'p [u8]>);

impl<T> Sublist<T> {
    /// Calls `f` with each subscription: its pattern, its queue name, its value. In no useful order.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"a.b", Some(b"q"), 7);
    /// sublist.for_each(|subject, queue, value| {
    ///     assert_eq!((subject, queue, *value), (&b"a.b"[..], Some(&b"q"[..]), 7));
    /// });
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&[u8], Option<&[u8]>, &T)) {
        self.walk(b">", Relation::Covered, &mut f);
    }

    /// Calls `f` with each subscription whose pattern shares a subject with `pattern`.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"*.created", None, 1);
    /// sublist.insert(b"users.created", None, 2);
    /// let mut seen = Vec::new();
    /// sublist.overlapping(b"orders.>", |_, _, value| seen.push(*value));
    /// assert_eq!(seen, [1]);
    /// ```
    pub fn overlapping(&self, pattern: &[u8], mut f: impl FnMut(&[u8], Option<&[u8]>, &T)) {
        self.walk(pattern, Relation::Overlaps, &mut f);
    }

    /// Calls `f` with each subscription that `pattern` covers: whose every subject matches `pattern`.
    ///
    /// ```
    /// let mut sublist = natterjack_subject::Sublist::new();
    /// sublist.insert(b"orders.*", None, 1);
    /// sublist.insert(b"*.new", None, 2);
    /// let mut seen = Vec::new();
    /// sublist.reverse(b"orders.>", |_, _, value| seen.push(*value));
    /// assert_eq!(seen, [1]);
    /// ```
    pub fn reverse(&self, pattern: &[u8], mut f: impl FnMut(&[u8], Option<&[u8]>, &T)) {
        self.walk(pattern, Relation::Covered, &mut f);
    }

    fn walk(
        &self,
        pattern: &[u8],
        relation: Relation,
        f: &mut impl FnMut(&[u8], Option<&[u8]>, &T),
    ) {
        let mut path = Vec::new();
        let mut open = Vec::new();
        if let Some(branch) = self.root.next() {
            self.fan_out(branch, 0, Some(pattern), relation, &mut open);
        }
        while let Some((node, above, rest)) = open.pop() {
            path.truncate(above);
            if above > 0 {
                path.push(SEPARATOR);
            }
            path.extend_from_slice(&node.label);
            let progress = rest.map_or(Progress::All, |rest| relation.meet(&node.label, rest));
            if matches!(progress, Progress::All | Progress::Here) {
                for value in node.plain.as_slice() {
                    f(&path, None, value);
                }
                for group in node.groups() {
                    for value in group.members.as_slice() {
                        f(&path, Some(&group.name), value);
                    }
                }
            }
            let left = match progress {
                Progress::All => None,
                Progress::Rest(from) => rest.map(|rest| &rest[from..]),
                Progress::Lost | Progress::Here => continue,
            };
            if let Some(next) = node.next() {
                self.fan_out(next, path.len(), left, relation, &mut open);
            }
        }
    }

    /// Opens the children that the first token of `rest` cannot rule out.
    fn fan_out<'a, 'p>(
        &'a self,
        branch: &'a Branch<T>,
        above: usize,
        rest: Option<&'p [u8]>,
        relation: Relation,
        open: &mut Vec<Open<'a, 'p, T>>,
    ) {
        let token = rest.map_or(&b">"[..], |rest| &rest[..token_end(rest, 0)]);
        if is_wildcard_token(token) {
            open.extend(branch.children().map(|node| (node, above, rest)));
            return;
        }
        let literal = branch.literals.get(self.seed, token);
        open.extend(literal.map(|node| (node, above, rest)));
        if relation == Relation::Overlaps {
            let wild = branch.star.iter().chain(&branch.rest);
            open.extend(wild.map(|node| (&**node, above, rest)));
        }
    }
}

impl Relation {
    /// Compares a label with what is left of the given pattern, token by token.
    fn meet(self, label: &[u8], pattern: &[u8]) -> Progress {
        let (mut l, mut p) = (0, 0);
        loop {
            let (l_end, p_end) = (token_end(label, l), token_end(pattern, p));
            let (own, given) = (&label[l..l_end], &pattern[p..p_end]);
            let label_ends = l_end == label.len();
            let pattern_ends = p_end == pattern.len();
            if given == b">" {
                return if pattern_ends { Progress::All } else { Progress::Lost };
            }
            if own == b">" {
                let here = label_ends && self == Self::Overlaps;
                return if here { Progress::Here } else { Progress::Lost };
            }
            let fits = match self {
                Self::Covered => own == given || given == b"*",
                Self::Overlaps => own == given || given == b"*" || own == b"*",
            };
            match (fits, label_ends, pattern_ends) {
                (false, ..) | (_, false, true) => return Progress::Lost,
                (true, true, true) => return Progress::Here,
                (true, true, false) => return Progress::Rest(p_end + 1),
                (true, false, false) => (l, p) = (l_end + 1, p_end + 1),
            }
        }
    }
}
