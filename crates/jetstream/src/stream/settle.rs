//! The end of a batch: disk requests out, durable answers out, deliveries out, timer set.

use natterjack_store::Blocked;

use super::Stream;
use crate::ctx::NOTE_SCHEDULE;
use crate::error::ApiError;
use crate::host::Host;
use crate::time::Now;

/// How often a log that the disk refuses is tried again, nanoseconds.
const PROBE_INTERVAL: u64 = 1_000_000_000;

impl Stream {
    /// Does all that the inputs since the last call made possible.
    pub(crate) fn settle(&mut self, host: &mut dyn Host, now: Now) {
        self.take_refusals(host, now);
        self.answers.release(self.log.durable(), &self.scope.account, host);
        if self.closed {
            self.unsettled = false;
            return self.send_requests(host);
        }
        self.retry_reads(host);
        if !self.parked.is_empty() {
            self.retry_parked(host, now);
        }
        if self.config.allow_msg_counter {
            self.trim_totals();
        }
        self.log.take_evicted_ranges(self.evicted.runs_mut());
        self.tell_removed(host, now);
        if std::mem::take(&mut self.purged) | self.take_rolled() {
            self.tell_purged(host, now);
        }
        self.start_consumers();
        let more = self.pump(host, now);
        self.write_due_notes(now);
        if !self.holds_notes() && self.log.wants_checkpoint() {
            self.checkpoint();
        }
        self.send_requests(host);
        // In memory, and where a policy asks for less, what was just written is durable already.
        self.answers.release(self.log.durable(), &self.scope.account, host);
        self.compact_dues();
        let bytes = self.log.state().bytes;
        self.report_usage(bytes);
        self.announce_room(host, now);
        self.report(host);
        self.set_timer(host, now, more);
        self.unsettled = false;
        host.seal(self.scope.stream_id);
    }

    pub(super) fn send_requests(&mut self, host: &mut dyn Host) {
        self.log.take_requests(&mut self.requests);
        for request in self.requests.drain(..) {
            host.disk(self.scope.stream_id, request);
        }
    }

    /// Tells publishers of messages that the disk did not take (jetstream.md 6, invariant 1).
    fn take_refusals(&mut self, host: &mut dyn Host, now: Now) {
        for refused in self.log.refused() {
            if let Some(gone) = refused.seqs {
                self.dedupe.forget_seqs(gone.first, gone.last);
                self.last_msg_id.clear();
                self.fast.refuse(&self.shared.batches, gone.first);
            }
            // What was replaced is there again; consumers count anew.
            self.mortal_from = 0;
            self.expire_again(refused.after, now.unix_ns);
            self.release_again();
            (self.rolled, self.purged) = (None, true);
            self.narrowed.clear();
            self.refuse_batches(&refused);
            if let Some(note) = self.plan.rearm(refused.after) {
                self.log.note(NOTE_SCHEDULE, &note);
            }
            if let Some(gone) = refused.seqs {
                self.feeds_refused(host, now, gone);
            }
            let err = refused.error.to_string().into();
            self.answers.refuse(&refused, self.log.end(), &ApiError::StreamStoreFailed { err });
        }
    }

    /// Tells the operator of damage, and when the disk begins or ceases to refuse what is stored.
    pub(super) fn report(&mut self, host: &mut dyn Host) {
        for damage in self.log.take_damage() {
            host.damaged(&self.scope.account, &self.scope.stream, &damage);
        }
        let blocked = self.log.blocked();
        if blocked.is_some() != self.blocked {
            self.blocked = blocked.is_some();
            host.blocked(Some((&self.scope.account, &self.scope.stream)), blocked);
        }
    }

    /// What became due by the clocks.
    pub(super) fn tick(&mut self, host: &mut dyn Host, now: Now) {
        self.log.tick(now.mono_ns);
        // After any other failure an operator has to look first.
        if self.log.blocked().is_some_and(Blocked::may_pass) {
            self.log.probe();
        }
        self.more_expired = self.expire(host, now);
        self.expire_batches(host, now);
        self.fast.expire(&self.shared.batches, now.mono_ns);
        self.tick_consumers(host, now);
        self.tick_feeds(host, now);
    }

    fn set_timer(&mut self, host: &mut dyn Host, now: Now, more: bool) {
        let wake = if more || self.more_expired {
            // The rest at once, after whoever waits for the lock.
            now.mono_ns
        } else {
            let expiry =
                if self.expiry_reads || self.holds_markers() { None } else { self.next_expiry() };
            let expiry = expiry.map(|unix| now.mono_at(unix));
            let probe = self.log.blocked().map(|_| now.mono_ns.saturating_add(PROBE_INTERVAL));
            // A probe keeps its time while other things happen.
            let probe =
                probe.map(|at| if self.wake > now.mono_ns { at.min(self.wake) } else { at });
            let clocks = [self.consumers.next_deadline(), self.pacing.deadline()];
            let batches = self.batches.next_deadline();
            let fast = self.fast.next_deadline();
            let others = [clocks[0], clocks[1], self.log.next_deadline(), probe, batches, fast];
            let others = others.into_iter().chain([self.feeds_deadline()]);
            expiry.into_iter().chain(others.into_iter().flatten()).min().unwrap_or(u64::MAX)
        };
        // A timer that comes too early finds nothing to do and is set anew.
        if wake < self.wake {
            self.wake = wake;
            host.wake_at(self.scope.stream_id, wake);
        }
    }
}
