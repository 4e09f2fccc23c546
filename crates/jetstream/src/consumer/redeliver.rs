//! Redelivery: ended ack waits, `max_deliver`, and messages that are gone (jetstream.md 3.6).

use natterjack_store::{Filter, Next};
use natterjack_subject::is_subset;

use super::Consumer;
use super::config::{AckPolicy, Config};
use super::pending::{Entry, Waits};
use super::removed::Removed;
use crate::ctx::Ctx;

/// Longer than a server runs, and short enough to be added to any time.
const FOREVER: i64 = i64::MAX / 4;

/// The waits that a configuration asks for. What is acknowledged with flow control is never delivered
/// again by itself (nats-server 2.15.1): who misses something resets the consumer.
pub(super) fn waits(config: &Config) -> Waits {
    let endless = config.ack_policy == AckPolicy::FlowControl;
    let ack_wait = if endless { FOREVER } else { config.ack_wait };
    Waits { ack_wait, backoff: config.backoff.clone() }
}

impl Consumer {
    /// Queues the messages whose ack wait ended; those at `max_deliver` are given up.
    pub(super) fn end_waits(&mut self, ctx: &mut Ctx<'_>) {
        let now = self.state.mono(ctx.now.unix_ns);
        if self.state.pending.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let mut ended = Vec::new();
        self.state.pending.expire(now, &mut ended);
        for seq in ended {
            let exhausted =
                self.state.pending.get(seq).is_some_and(|entry| self.is_exhausted(entry));
            if exhausted {
                self.give_up(ctx, seq);
            } else {
                self.state.queue.push_back(seq);
            }
        }
    }

    fn is_exhausted(&self, entry: &Entry) -> bool {
        let max = self.config.max_deliver;
        max > 0 && i64::from(entry.count) >= max
    }

    /// The next message to deliver again; those at `max_deliver` are given up on the way.
    pub(super) fn next_again(&mut self, ctx: &mut Ctx<'_>) -> Option<Entry> {
        loop {
            let entry = self.state.next_again()?;
            if !self.is_exhausted(&entry) {
                return Some(entry);
            }
            self.give_up(ctx, entry.seq);
        }
    }

    fn give_up(&mut self, ctx: &mut Ctx<'_>, seq: u64) {
        if let Some(entry) = self.state.exhaust(seq) {
            self.advise_max_deliver(ctx, &entry);
        }
    }

    /// Messages were removed by limits, TTL or deletes.
    pub(crate) fn removed(&mut self, ctx: &mut Ctx<'_>, gone: &Removed) {
        self.state.clock(ctx.now);
        let from = self.horizon();
        self.count.removed(gone, &self.filters, from);
        let listed = self.state.list.front().copied();
        if gone.last().is_some_and(|last| listed.is_some_and(|front| front <= last)) {
            self.state.list.retain(|seq| !gone.contains(*seq));
        }
        if gone.runs().first().is_none_or(|run| run.first >= self.state.next) {
            return;
        }
        for seq in self.state.exhausted_among(gone) {
            self.state.settle(seq, ctx.now.unix_ns);
        }
        for entry in self.state.pending.among(gone) {
            self.state.settle(entry.seq, ctx.now.unix_ns);
            self.advise_deleted(ctx, &entry);
        }
    }

    /// The stream was purged, wholly or of `subjects`: what is gone is settled without a word.
    pub fn purged(&mut self, ctx: &mut Ctx<'_>, subjects: &[Box<[u8]>]) {
        self.state.clock(ctx.now);
        self.count.forget();
        let first = self.first_after_purge(ctx, subjects);
        if first > self.state.floor.stream.saturating_add(1) {
            self.state.purge(first, ctx.now.unix_ns);
        }
        let gone: Vec<u64> = self
            .state
            .pending
            .iter()
            .map(|entry| entry.seq)
            .filter(|seq| !ctx.log.contains(*seq))
            .collect();
        for seq in gone {
            self.state.settle(seq, ctx.now.unix_ns);
        }
        self.state.list.retain(|seq| ctx.log.contains(*seq));
    }

    /// Where a consumer goes on after a purge: with the stream's first message, or where a purge
    /// covers all that it asks for with the first that this purge left (nats-server 2.15.1). The
    /// reference takes one of several filters for all of them and skips messages of the others.
    fn first_after_purge(&self, ctx: &mut Ctx<'_>, subjects: &[Box<[u8]>]) -> u64 {
        let (lowest, last) = (ctx.log.state().first_seq, ctx.log.state().last_seq);
        let mut first = lowest;
        for subject in subjects {
            let covers = |filter: &Filter| is_subset(filter.subject(), subject);
            if self.filters.is_empty() || !self.filters.iter().all(covers) {
                continue;
            }
            match ctx.log.next_match(&[Filter::new(subject)], lowest) {
                Next::Found(seq) => first = first.max(seq),
                Next::End => first = first.max(last.saturating_add(1)),
                Next::Pending => {}
            }
        }
        // An update may have changed the filters since: what is open and there stays open.
        let mut open = self.state.pending.iter().map(|entry| entry.seq);
        open.find(|seq| *seq < first && ctx.log.contains(*seq)).map_or(first, |seq| seq.min(first))
    }
}
