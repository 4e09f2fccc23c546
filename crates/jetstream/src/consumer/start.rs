//! Where a consumer starts in its stream (jetstream.md 3.4).

use natterjack_store::Next;

use super::Consumer;
use super::config::DeliverPolicy;
use crate::ctx::Ctx;

impl Consumer {
    /// Decides where to start, if that is still open. False while the log has to read first.
    pub(super) fn start(&mut self, ctx: &mut Ctx<'_>) -> bool {
        if !self.unstarted {
            return true;
        }
        let Some(next) = self.first_sequence(ctx) else { return false };
        self.unstarted = false;
        let list = std::mem::take(&mut self.state.list);
        let list_end = self.state.list_end;
        self.state.reset(next);
        (self.state.list, self.state.list_end) = (list, list_end);
        let Self { state, .. } = self;
        let mut notes = std::mem::take(&mut state.notes);
        notes.snapshot(state);
        state.notes = notes;
        self.pace.replay(&self.config, ctx.log.state().last_seq);
        self.count.forget();
        true
    }

    /// The first stream sequence to consider; `None` while the log has to read first.
    fn first_sequence(&mut self, ctx: &mut Ctx<'_>) -> Option<u64> {
        let (first, end) = {
            let state = ctx.log.state();
            (state.first_seq.max(1), state.last_seq.saturating_add(1))
        };
        let start = match self.config.deliver_policy {
            DeliverPolicy::All | DeliverPolicy::Undefined => first,
            DeliverPolicy::New => end,
            // A sequence that was asked for may be ahead of the stream.
            DeliverPolicy::ByStartSequence => return Some(self.config.opt_start_seq.max(first)),
            DeliverPolicy::ByStartTime => {
                match ctx.log.seq_at_time(self.config.opt_start_time.unwrap_or(0)) {
                    Next::Found(seq) => seq,
                    Next::End => end,
                    Next::Pending => return None,
                }
            }
            DeliverPolicy::Last => self.last_match(ctx)?.unwrap_or(first),
            DeliverPolicy::LastPerSubject => {
                let last = end - 1;
                let list = ctx.log.last_per_subject(&self.filters, last);
                self.state.list = list.into();
                // Without any match it waits at the last message, which other filters may yet select.
                self.state.list_end = if self.state.list.is_empty() { 0 } else { last };
                self.state.list.front().copied().unwrap_or(last)
            }
        };
        Some(start.clamp(first, end.max(first)))
    }

    /// The last message that any filter selects; `None` while the log has to read first.
    fn last_match(&mut self, ctx: &mut Ctx<'_>) -> Option<Option<u64>> {
        let mut last = None;
        let subjects = self.filters.iter().map(|filter| filter.subject());
        let all: &[u8] = b">";
        for subject in subjects.chain(self.filters.is_empty().then_some(all)) {
            match ctx.log.last_on(subject) {
                Next::Found(seq) => last = last.max(Some(seq)),
                Next::End => {}
                Next::Pending => return None,
            }
        }
        Some(last)
    }
}
