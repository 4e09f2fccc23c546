//! Starting again at another place (jetstream.md 3.12, nats-server 2.14).

use natterjack_store::Next;

use super::Consumer;
use super::config::DeliverPolicy;
use crate::ctx::Ctx;
use crate::error::ApiError;

impl Consumer {
    /// Starts again at `seq`, or behind the ack floor when it is 0. Returns the sequence that is
    /// next (`reset_seq` of the answer). Call [`pump`](Consumer::pump) afterwards.
    ///
    /// # Errors
    /// 10204 where the deliver policy does not allow the sequence.
    pub fn reset(&mut self, ctx: &mut Ctx<'_>, seq: u64) -> Result<u64, ApiError> {
        self.state.clock(ctx.now);
        let next = if seq == 0 {
            self.state.floor.stream.saturating_add(1)
        } else {
            self.may_reset(ctx, seq)?;
            seq
        };
        self.unstarted = false;
        self.state.reset(next);
        self.searched = 0;
        self.roused = true;
        self.count.forget();
        Ok(next)
    }

    fn may_reset(&mut self, ctx: &mut Ctx<'_>, seq: u64) -> Result<(), ApiError> {
        let refuse = |err: &'static str| Err(ApiError::ConsumerInvalidReset { err: err.into() });
        match self.config.deliver_policy {
            DeliverPolicy::All | DeliverPolicy::Undefined => Ok(()),
            DeliverPolicy::ByStartSequence if seq >= self.config.opt_start_seq => Ok(()),
            DeliverPolicy::ByStartSequence => refuse("below start seq"),
            DeliverPolicy::ByStartTime => {
                let first = match ctx.log.seq_at_time(self.config.opt_start_time.unwrap_or(0)) {
                    Next::Found(first) => first,
                    Next::End => ctx.log.state().last_seq.saturating_add(1),
                    Next::Pending => return Err(ApiError::ClusterNotAvail),
                };
                if seq >= first { Ok(()) } else { refuse("below start time") }
            }
            DeliverPolicy::Last | DeliverPolicy::New | DeliverPolicy::LastPerSubject => {
                refuse("not allowed")
            }
        }
    }
}
