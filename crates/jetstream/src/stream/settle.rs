//! The end of a batch: disk requests out, durable answers out, deliveries out, timer set.

use super::Stream;
use crate::host::Host;
use crate::time::Now;

impl Stream {
    /// Does all that the inputs since the last call made possible.
    pub(crate) fn settle(&mut self, host: &mut dyn Host, now: Now) {
        self.answers.release(self.log.durable(), &self.scope.account, host);
        self.retry_reads(host);
        self.log.take_evicted_ranges(&mut self.evicted);
        self.tell_removed(host, now);
        if std::mem::take(&mut self.purged) {
            self.tell_purged(host, now);
        }
        let more = self.pump(host, now);
        self.write_notes();
        if self.log.wants_checkpoint() {
            self.checkpoint();
        }
        self.log.take_requests(&mut self.requests);
        for request in self.requests.drain(..) {
            host.disk(self.scope.stream_id, request);
        }
        // In memory, and where a policy asks for less, what was just written is durable already.
        self.answers.release(self.log.durable(), &self.scope.account, host);
        let bytes = self.log.state().bytes;
        self.report_usage(bytes);
        self.set_timer(host, now, more);
    }

    /// What became due by the clocks.
    pub(super) fn tick(&mut self, host: &mut dyn Host, now: Now) {
        self.more_expired = self.expire(now);
        self.tick_consumers(host, now);
    }

    fn set_timer(&mut self, host: &mut dyn Host, now: Now, more: bool) {
        let wake = if more || self.more_expired {
            // The rest at once, after whoever waits for the lock.
            now.mono_ns
        } else {
            let expiry = self.next_expiry().map(|unix| now.mono_at(unix));
            let consumers = self.next_consumer_deadline();
            expiry.into_iter().chain(consumers).min().unwrap_or(u64::MAX)
        };
        if wake != self.wake {
            self.wake = wake;
            host.wake_at(self.scope.stream_id, wake);
        }
    }
}
