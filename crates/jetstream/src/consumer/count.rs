//! How many messages are pending: matching, stored and not delivered once (`num_pending`).
//!
//! Counted when asked for the first time, then kept up to date: minus one per delivery, plus what
//! was stored since, counted off the log's new end. What limits or deletes take away is subtracted
//! where it is known to have matched; else the next question counts anew.

use natterjack_store::{Filter, Log, Next};

use super::removed::Removed;

/// Beyond this many new sequences a fresh count is cheaper than looking at each.
const STEP_MAX: u64 = 4096;

#[derive(Debug, Default)]
pub(crate) struct Count {
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    messages: u64,
    /// Everything up to here is counted.
    through: u64,
}

impl Count {
    /// Counts anew at the next question.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// Messages at or after `from` that `filters` select.
    pub(crate) fn get(&mut self, log: &mut Log, filters: &[Filter], from: u64) -> u64 {
        let last = log.state().last_seq;
        let known = match self.known {
            Some(known) if known.through >= last => return known.messages,
            Some(known) if last - known.through <= STEP_MAX => {
                let start = from.max(known.through + 1);
                match count_from(log, filters, start) {
                    Some(more) => Known { messages: known.messages + more, through: last },
                    None => Known { messages: log.num_pending(filters, from), through: last },
                }
            }
            _ => Known { messages: log.num_pending(filters, from), through: last },
        };
        self.known = Some(known);
        known.messages
    }

    /// A message at or after `from` was delivered for the first time.
    pub(crate) fn delivered(&mut self) {
        if let Some(known) = &mut self.known {
            known.messages = known.messages.saturating_sub(1);
        }
    }

    /// The log has nothing left for this consumer up to `through`.
    pub(crate) fn none_left(&mut self, through: u64) {
        self.known = Some(Known { messages: 0, through });
    }

    /// The lowest sequence whose removal changes the count; `from` is the next one to consider.
    pub(crate) fn counts_from(&self, from: u64) -> Option<u64> {
        self.known.is_some_and(|known| known.messages > 0 && known.through >= from).then_some(from)
    }

    /// Messages were removed; `from` is the next sequence to consider.
    pub(crate) fn removed(&mut self, gone: &Removed, filters: &[Filter], from: u64) {
        let Some(known) = &mut self.known else { return };
        let count = gone.count(from, known.through);
        if count == 0 {
            return;
        }
        if filters.is_empty() {
            known.messages = known.messages.saturating_sub(count);
        } else {
            // Which of them matched is not known any more.
            self.known = None;
        }
    }
}

/// Matching messages from `start` to the end, looked at one by one.
fn count_from(log: &mut Log, filters: &[Filter], start: u64) -> Option<u64> {
    if filters.is_empty() {
        return Some(log.num_pending(filters, start));
    }
    let (mut count, mut at) = (0, start);
    loop {
        match log.next_match(filters, at) {
            Next::Found(seq) => {
                count += 1;
                at = seq + 1;
            }
            Next::End => return Some(count),
            Next::Pending => return None,
        }
    }
}
