//! Where answers to an account's requests are awaited, and what happens when nobody listens there any more.
//!
//! The end of a subscription without wildcards concerns one reply subject. That of one with wildcards may
//! concern all: a few are looked at on the spot, the others in steps, by the account's clock. Whatever
//! ends in the meantime is found by the same look, so a client that subscribes and unsubscribes all day
//! causes no more work than one step after the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use natterjack_subject::{has_wildcard, matches};

use super::answers::{Awaited, Requests};

/// Reply subjects that are looked at on the spot.
pub(super) const NEAR: usize = if cfg!(test) { 4 } else { 128 };
/// … and in each step.
pub(super) const STEP: usize = if cfg!(test) { 8 } else { 1024 };
/// The time between two steps, nanoseconds.
const STEP_EVERY: u64 = 5_000_000;

/// The requests that wait, by reply subject.
#[derive(Default)]
pub(super) struct Waiters {
    by_reply: BTreeMap<Arc<[u8]>, Requests>,
    sweep: Option<Sweep>,
}

/// A look at all reply subjects that is not over yet.
#[derive(Default)]
struct Sweep {
    /// The last one that was looked at.
    after: Option<Arc<[u8]>>,
    /// More subscriptions ended since it began.
    again: bool,
    /// When the next step is due, on the monotonic clock.
    due_ns: u64,
}

impl Waiters {
    /// How many reply subjects there are.
    pub(super) fn len(&self) -> usize {
        self.by_reply.len()
    }

    pub(super) fn insert(&mut self, reply: Arc<[u8]>, request: Awaited) {
        match self.by_reply.entry(reply) {
            Entry::Occupied(mut known) => known.get_mut().push(request),
            Entry::Vacant(place) => {
                place.insert(Requests::One(request));
            }
        }
    }

    pub(super) fn remove(&mut self, reply: &[u8], request: &Awaited) {
        if self.by_reply.get_mut(reply).is_some_and(|requests| requests.remove(request)) {
            self.by_reply.remove(reply);
        }
    }

    /// Takes all that wait on a reply subject.
    pub(super) fn take(&mut self, reply: &[u8]) -> Vec<Awaited> {
        self.by_reply.remove(reply).map(Requests::into_all).unwrap_or_default()
    }

    /// Interest in `subject` ended: takes those whose answers nobody would hear. True when not all
    /// could be looked at: call [`sweep`](Self::sweep).
    pub(super) fn lost(
        &mut self,
        subject: &[u8],
        is_lost: impl Fn(&[u8]) -> bool,
        lost: &mut Vec<Awaited>,
    ) -> bool {
        if !has_wildcard(subject) {
            if self.by_reply.contains_key(subject) && is_lost(subject) {
                lost.extend(self.take(subject));
            }
            return false;
        }
        let is_begun = self.is_begun();
        if let Some(sweep) = &mut self.sweep {
            sweep.again |= is_begun;
            return true;
        }
        let start = subject.iter().position(|byte| matches!(byte, b'*' | b'>')).unwrap_or(0);
        let prefix = &subject[..start];
        let near = self
            .by_reply
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(reply, _)| reply.starts_with(prefix));
        let (mut seen, mut gone) = (0, Vec::new());
        for (reply, _) in near.take(NEAR + 1) {
            seen += 1;
            if seen <= NEAR && matches(subject, reply) && is_lost(reply) {
                gone.push(reply.clone());
            }
        }
        gone.iter().for_each(|reply| lost.extend(self.take(reply)));
        if seen > NEAR {
            self.sweep = Some(Sweep::default());
        }
        seen > NEAR
    }

    fn is_begun(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.after.is_some())
    }

    /// Takes the next step, if it is due. Returns when to come again.
    pub(super) fn sweep(
        &mut self,
        now_ns: u64,
        is_lost: impl Fn(&[u8]) -> bool,
        lost: &mut Vec<Awaited>,
    ) -> Option<u64> {
        let sweep = self.sweep.as_mut()?;
        if sweep.due_ns > now_ns {
            return Some(sweep.due_ns);
        }
        let from = sweep.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut seen, mut gone) = (None, 0, Vec::new());
        for (reply, _) in self.by_reply.range::<[u8], _>((from, Bound::Unbounded)).take(STEP) {
            seen += 1;
            last = Some(reply.clone());
            if is_lost(reply) {
                gone.push(reply.clone());
            }
        }
        sweep.after = last;
        sweep.due_ns = now_ns.saturating_add(STEP_EVERY);
        if seen < STEP {
            let again = std::mem::take(&mut sweep.again);
            sweep.after = None;
            if !again {
                self.sweep = None;
            }
        }
        gone.iter().for_each(|reply| lost.extend(self.take(reply)));
        self.sweep.as_ref().map(|sweep| sweep.due_ns)
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(super) fn requests(&self) -> usize {
        self.by_reply.values().map(Requests::len).sum()
    }
}
