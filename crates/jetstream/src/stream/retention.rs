//! Interest and work queues: messages that go when nobody waits for them (jetstream.md 2.5).
//!
//! A message is kept while some consumer claims it: what the consumer has yet to deliver, and what
//! it delivered and nobody settled. Consumers record what was settled; the stream writes their notes
//! and behind them, in the same log, the removals. So a crash may bring a settled message back to the
//! stream, whose recovery replays the note and removes it again, and never takes one whose ack is
//! lost. Nobody is told of such removals: they concern no consumer.

use natterjack_store::{Next, SeqRange};

use super::Stream;
use super::config::Retention;
use crate::consumer;
use crate::error::ApiError;

impl Stream {
    /// Whether settled messages are removed.
    pub(super) fn releases(&self) -> bool {
        self.config.retention != Retention::Limits
    }

    /// Whether a message on `subject` is stored: with interest retention only where a consumer
    /// would receive it.
    pub(super) fn wants(&mut self, subject: &[u8]) -> bool {
        self.config.retention != Retention::Interest || self.consumers.want(subject)
    }

    /// Removes those messages of `runs` that no consumer claims.
    pub(crate) fn release(&mut self, runs: &[SeqRange]) {
        let mut gone: Vec<u64> = Vec::new();
        let mut all_there = true;
        for run in runs {
            let mut from = run.first;
            while from <= run.last {
                let seq = if self.log.contains(from) {
                    from
                } else {
                    all_there = false;
                    match self.log.next_match(&[], from) {
                        Next::Found(seq) if seq <= run.last => seq,
                        _ => break,
                    }
                };
                from = seq + 1;
                if !self.consumers.claim(&self.log, seq) {
                    gone.push(seq);
                }
            }
        }
        let (end, durable) = (self.log.end(), self.log.durable());
        if !all_there && durable < end {
            // What took its place may be refused.
            self.missed.retain(|(pos, _)| *pos > durable);
            self.missed.push((end, runs.to_vec()));
        }
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        let mut runs: Vec<SeqRange> = Vec::new();
        for seq in gone {
            match runs.last_mut() {
                Some(run) if seq <= run.last => {}
                Some(run) if seq == run.last + 1 => run.last = seq,
                _ => runs.push(SeqRange { first: seq, last: seq }),
            }
        }
        self.log.remove_runs(&runs);
    }

    /// What the disk refused had replaced other messages: of those goes what was settled meanwhile.
    pub(super) fn release_again(&mut self) {
        for (_, runs) in std::mem::take(&mut self.missed) {
            self.release(&runs);
        }
    }

    /// Removes what was settled since the last settle, for somebody who is about to look.
    pub(crate) fn release_settled(&mut self) {
        if self.unsettled && self.releases() && !self.holds_notes() {
            self.consumers.releasing().into_iter().for_each(|slot| self.write_note(slot));
        }
    }

    /// Removes everything that nobody claims.
    pub(super) fn sweep(&mut self) {
        let state = self.log.state();
        let all = SeqRange { first: state.first_seq, last: state.last_seq };
        self.release(&[all]);
    }

    /// What the loss of a consumer, or of what it waits for, may allow to remove. With a work queue
    /// nothing: what is not settled waits for another consumer.
    pub(super) fn claims_of(&mut self, slot: u32) -> Vec<SeqRange> {
        match self.consumers.entry(slot) {
            Some(entry) if self.config.retention == Retention::Interest => {
                entry.consumer.claimed(&mut self.log)
            }
            _ => Vec::new(),
        }
    }

    /// The retention changed: consumers record what is settled or not, and from limits to interest
    /// what nobody waits for goes.
    pub(super) fn retention_changed(&mut self) {
        let on = self.releases();
        for slot in self.consumers.all() {
            if let Some(entry) = self.consumers.entry_mut(slot) {
                entry.consumer.record_released(on);
            }
        }
        if self.config.retention == Retention::Interest {
            self.sweep();
        }
    }

    /// After a restart: what notes say was settled goes, if a crash took its removal back. With
    /// `complete` all consumers are there again, and what no one claims was left by one that is
    /// gone.
    pub(crate) fn release_recovered(&mut self, complete: bool) {
        if !self.releases() {
            return;
        }
        for slot in self.consumers.all() {
            if let Some(entry) = self.consumers.entry_mut(slot) {
                let released = entry.consumer.take_released();
                self.release(&released);
            }
        }
        if complete && self.config.retention == Retention::Interest {
            self.sweep();
        }
    }

    /// What a work queue asks of the consumer `name`, or of a new one without a name yet. The policies of
    /// one that is there cannot change anyway, and that is what its update is told (nats-server 2.15.1).
    ///
    /// # Errors
    /// 10098 to 10101.
    pub(crate) fn check_queue(
        &self,
        name: &str,
        config: &consumer::Config,
    ) -> Result<(), ApiError> {
        if self.config.retention != Retention::Workqueue || config.direct || config.sourcing {
            return Ok(());
        }
        let each = [consumer::AckPolicy::Explicit, consumer::AckPolicy::FlowControl];
        let new = name.is_empty();
        if new && !each.contains(&config.ack_policy) {
            return Err(ApiError::ConsumerWqRequiresExplicitAck);
        }
        let all = consumer::DeliverPolicy::All;
        if new && ![all, consumer::DeliverPolicy::Undefined].contains(&config.deliver_policy) {
            return Err(ApiError::ConsumerWqConsumerNotDeliverAll);
        }
        let mut others = self
            .consumers
            .configs()
            .filter(|(other, config)| *other != name && !config.direct && !config.sourcing)
            .map(|(_, config)| config)
            .peekable();
        if others.peek().is_some() {
            if config.filters().next().is_none() {
                return Err(ApiError::ConsumerWqMultipleUnfiltered);
            }
            // One without filters takes everything.
            let clash = |other: &consumer::Config| {
                let overlap = |theirs: &str| {
                    config
                        .filters()
                        .any(|own| natterjack_subject::overlaps(own.as_bytes(), theirs.as_bytes()))
                };
                other.filters().next().is_none() || other.filters().any(overlap)
            };
            if others.any(clash) {
                return Err(ApiError::ConsumerWqConsumerNotUnique);
            }
        }
        Ok(())
    }
}
