//! What a subject matches.

use std::sync::Arc;

use hashbrown::HashTable;

use super::subs::Group;
use crate::hash;

/// With fewer groups than this a scan finds a name faster than a table.
const SCAN: usize = 16;

/// The subscriptions that match one subject. Reusable: filling it again allocates nothing while it
/// fits what it held before.
///
/// ```
/// use natterjack_subject::{MatchSet, Sublist};
///
/// let mut sublist = Sublist::new();
/// sublist.insert(b"q.*", Some(b"g"), 'a');
/// sublist.insert(b"q.a", Some(b"g"), 'b');
///
/// let mut found = MatchSet::new();
/// sublist.matches(b"q.a", &mut found);
/// assert!(found.plain.is_empty());
/// assert_eq!(found.queues.len(), 1, "the members of a queue name are pooled across patterns");
/// assert_eq!(found.queues[0].1.len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct MatchSet<T> {
    /// Each plain subscription gets its own copy of the message.
    pub plain: Vec<T>,
    /// For each distinct queue name one member gets a copy; names do not repeat, groups have a member.
    pub queues: Vec<(Arc<[u8]>, Vec<T>)>,
    /// Emptied member lists, kept for their capacity.
    spare: Vec<Vec<T>>,
    /// Positions in `queues` by name, filled only when there are many.
    index: HashTable<u32>,
}

impl<T> MatchSet<T> {
    /// An empty set.
    ///
    /// ```
    /// assert!(natterjack_subject::MatchSet::<u32>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self { plain: Vec::new(), queues: Vec::new(), spare: Vec::new(), index: HashTable::new() }
    }

    /// Forgets all matches and keeps the memory they used.
    ///
    /// ```
    /// let mut found = natterjack_subject::MatchSet::new();
    /// found.plain.push(1);
    /// found.clear();
    /// assert!(found.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.plain.clear();
        self.index.clear();
        self.spare.extend(self.queues.drain(..).map(|(_, mut members)| {
            members.clear();
            members
        }));
    }

    /// Whether nothing matched.
    ///
    /// ```
    /// let mut found = natterjack_subject::MatchSet::new();
    /// found.plain.push(1);
    /// assert!(!found.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    /// Adds the groups of one more matching pattern. `known` is how many groups there were before
    /// this pattern: its own names are distinct.
    pub(super) fn add_groups(&mut self, groups: &[Group<T>])
    where
        T: Clone,
    {
        let known = self.queues.len();
        for group in groups {
            let at = match self.find(known, &group.name) {
                Some(at) => at,
                None => self.start(Arc::clone(&group.name)),
            };
            self.queues[at].1.extend_from_slice(group.members.as_slice());
        }
    }

    /// Where the group `name` is, among the first `known`.
    fn find(&self, known: usize, name: &Arc<[u8]>) -> Option<usize> {
        if known == 0 {
            return None;
        }
        if self.index.is_empty() {
            return self.queues[..known].iter().position(|(have, _)| have == name);
        }
        self.index
            .find(name_hash(name), |at| self.queues[*at as usize].0 == *name)
            .map(|at| *at as usize)
    }

    fn start(&mut self, name: Arc<[u8]>) -> usize {
        let at = self.queues.len();
        self.queues.push((name, self.spare.pop().unwrap_or_default()));
        if at >= SCAN {
            let from = if self.index.is_empty() { 0 } else { at };
            let queues = &self.queues;
            for new in from..=at {
                let hash = name_hash(&queues[new].0);
                self.index.insert_unique(hash, new as u32, |at| name_hash(&queues[*at as usize].0));
            }
        }
        at
    }
}

impl<T> Default for MatchSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn name_hash(name: &[u8]) -> u64 {
    hash::spread(hash::token(0, name))
}
