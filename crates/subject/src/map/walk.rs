//! Walks over the tree in byte order, with an explicit stack: subjects can be long.

use std::ops::ControlFlow;
use std::slice;

use super::SubjectMap;
use super::filter::{Filter, State};
use super::node::Node;

/// The subjects of a map in byte order, with their values: what [`SubjectMap::iter`] returns.
///
/// ```
/// let map = natterjack_subject::SubjectMap::<u32>::new();
/// let mut iter: natterjack_subject::Iter<'_, u32> = map.iter();
/// assert_eq!(iter.next(), None);
/// ```
pub struct Iter<'a, V> {
    walk: Walk<'a, 'static, V>,
}

/// A walk over what a filter accepts. `path` is the subject of the last value it yielded.
struct Walk<'a, 'f, V> {
    filter: Filter<'f>,
    path: Vec<u8>,
    open: Vec<Level<slice::Iter<'a, Node<V>>>>,
}

/// Siblings still to be visited.
struct Level<I> {
    nodes: I,
    /// The length of the path above them, and the filter's state there.
    above: usize,
    state: State,
}

impl<V> SubjectMap<V> {
    /// All subjects and values, in byte order of the subjects. Each item copies its subject;
    /// [`SubjectMap::for_each_matching`] does not.
    ///
    /// ```
    /// use natterjack_subject::SubjectMap;
    ///
    /// let mut map = SubjectMap::new();
    /// map.insert(b"b", 2);
    /// map.insert(b"a.b", 1);
    /// let all: Vec<_> = map.iter().collect();
    /// assert_eq!(all, [(b"a.b".to_vec(), &1), (b"b".to_vec(), &2)]);
    /// ```
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { walk: Walk::new(self, Filter::All) }
    }

    /// Calls `f` with each subject that matches `filter`, and its value, in byte order, until it
    /// breaks. Parts of the tree that cannot match are not visited.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use natterjack_subject::SubjectMap;
    ///
    /// let mut map = SubjectMap::new();
    /// for (subject, value) in [(b"eu.new", 1), (b"eu.old", 2), (b"us.new", 3)] {
    ///     map.insert(subject, value);
    /// }
    /// let mut sum = 0;
    /// map.for_each_matching(b"*.new", |_subject, value| {
    ///     sum += *value;
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(sum, 4);
    /// ```
    pub fn for_each_matching(
        &self,
        filter: &[u8],
        mut f: impl FnMut(&[u8], &V) -> ControlFlow<()>,
    ) {
        let filter = Filter::Pattern(filter);
        if let Some(subject) = filter.literal() {
            if filter.run(Filter::START, subject).is_some_and(|end| filter.accepts(end))
                && let Some(value) = self.get(subject)
            {
                // There is nothing to break off.
                let _ = f(subject, value);
            }
            return;
        }
        let mut walk = Walk::new(self, filter);
        while let Some(value) = walk.next_value() {
            if f(&walk.path, value).is_break() {
                return;
            }
        }
    }

    /// [`SubjectMap::for_each_matching`] with values that `f` may change.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use natterjack_subject::SubjectMap;
    ///
    /// let mut map = SubjectMap::new();
    /// map.insert(b"a.b", 1);
    /// map.for_each_matching_mut(b"a.>", |_, value| {
    ///     *value += 1;
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(map.get(b"a.b"), Some(&2));
    /// ```
    pub fn for_each_matching_mut(
        &mut self,
        filter: &[u8],
        mut f: impl FnMut(&[u8], &mut V) -> ControlFlow<()>,
    ) {
        let filter = Filter::Pattern(filter);
        let mut path = Vec::new();
        let nodes = slice::from_mut(&mut self.root).iter_mut();
        let mut open = vec![Level { nodes, above: 0, state: Filter::START }];
        while let Some(level) = open.last_mut() {
            let Some(node) = level.nodes.next() else {
                open.pop();
                continue;
            };
            path.truncate(level.above);
            let Some(state) = filter.run(level.state, &node.label) else { continue };
            path.extend_from_slice(&node.label);
            if let Some(value) = &mut node.value
                && filter.accepts(state)
                && f(&path, value).is_break()
            {
                return;
            }
            if let Some(kids) = &mut node.kids {
                let nodes = kids.candidates_mut(&filter, state).iter_mut();
                open.push(Level { nodes, above: path.len(), state });
            }
        }
    }
}

impl<'a, 'f, V> Walk<'a, 'f, V> {
    fn new(map: &'a SubjectMap<V>, filter: Filter<'f>) -> Self {
        let nodes = slice::from_ref(&map.root).iter();
        let top = Level { nodes, above: 0, state: Filter::START };
        Self { filter, path: Vec::new(), open: vec![top] }
    }

    fn next_value(&mut self) -> Option<&'a V> {
        loop {
            let level = self.open.last_mut()?;
            let Some(node) = level.nodes.next() else {
                self.open.pop();
                continue;
            };
            self.path.truncate(level.above);
            let Some(state) = self.filter.run(level.state, &node.label) else { continue };
            self.path.extend_from_slice(&node.label);
            if let Some(kids) = &node.kids {
                let nodes = kids.candidates(&self.filter, state).iter();
                self.open.push(Level { nodes, above: self.path.len(), state });
            }
            if let Some(value) = &node.value
                && self.filter.accepts(state)
            {
                return Some(value);
            }
        }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (Vec<u8>, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.walk.next_value()?;
        Some((self.walk.path.clone(), value))
    }
}

impl<'a, V> IntoIterator for &'a SubjectMap<V> {
    type Item = (Vec<u8>, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}
