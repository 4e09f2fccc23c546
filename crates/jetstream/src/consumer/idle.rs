//! What can wake a consumer that has nothing to do, so that nothing else does.

use super::Consumer;
use super::deliver::Lull;

/// What wakes a consumer after [`Consumer::pump`] had nothing more to do. Requests, acks, clocks,
/// interest and room at its targets always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Nothing that is stored: it could deliver nothing.
    Deaf,
    /// A read of the log that is under way.
    Reading,
    /// Any new message.
    Any,
    /// A new message that its filters match. It has seen everything before; when it is woken, say
    /// so by [`Consumer::passed`].
    Matching,
}

impl Consumer {
    /// What wakes it now.
    pub fn idle(&self) -> Idle {
        match self.lull {
            Lull::Reading => return Idle::Reading,
            _ if self.unstarted => return Idle::Any,
            Lull::Full | Lull::Held => return Idle::Deaf,
            Lull::End | Lull::None => {}
        }
        let hears = if self.config.is_pull() {
            self.requests.are_waiting()
        } else {
            self.push.active && !self.parked && !self.push.flow.is_stalled()
        };
        match self.lull {
            _ if !hears => Idle::Deaf,
            Lull::End if !self.filters.is_empty() && self.state.list.is_empty() => Idle::Matching,
            _ => Idle::Any,
        }
    }

    /// Nothing up to `seq` is left for it.
    pub fn passed(&mut self, seq: u64) {
        if seq >= self.horizon() {
            self.searched = seq.saturating_add(1);
            self.count.none_left(seq);
        }
    }

    /// The removal of messages below this sequence changes nothing for it.
    pub fn removal_floor(&self) -> u64 {
        let state = &self.state;
        [
            self.count.counts_from(self.horizon()),
            state.list.front().copied(),
            state.exhausted.first_key_value().map(|(seq, _)| *seq),
            state.pending.first().map(|entry| entry.seq),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(u64::MAX)
    }
}
