//! Consumers: what a stream's messages were delivered to whom, and what is settled (jetstream.md 3).
//!
//! A [`Consumer`] is driven by its stream, under the stream's lock, and never waits. After each
//! input ([`pull`](Consumer::pull), [`ack`](Consumer::ack), new messages, …) the stream calls
//! [`pump`](Consumer::pump) until it says that nothing more can be done now, writes
//! [`take_notes`](Consumer::take_notes) into its log, and releases the queued answers to acks when
//! the note is durable. Deliveries themselves need not wait: after a crash a message may come
//! again, it is never skipped.

mod ack;
mod advisory;
mod archived;
mod claims;
mod config;
mod count;
mod defaults;
mod deliver;
mod flow;
mod group;
mod idle;
mod info;
mod next;
mod notes;
mod pace;
mod pause;
mod pending;
mod pull;
mod push;
mod redeliver;
mod removed;
mod reset;
mod start;
mod state;
mod update;
mod validate;

#[cfg(test)]
pub(crate) mod tests;

use natterjack_store::Filter;

use crate::ack_subject;
use crate::ctx::Ctx;
use crate::error::ApiError;
use crate::time::Now;

pub use advisory::Life;
pub(crate) use archived::Archived;
pub use config::{
    AckPolicy, Action, Config, CreateRequest, DeliverPolicy, PriorityPolicy, ReplayPolicy,
};
pub use defaults::fill_defaults;
pub(crate) use defaults::fill_threshold;
pub use idle::Idle;
pub use info::{ConsumerInfo, Position};
pub use notes::BadNote;
pub use pause::Paused;
pub(crate) use removed::Removed;
pub(crate) use validate::check_name;
pub(crate) use validate::is_group_name;
pub use validate::{CreateSubject, Limits, check, check_name_length, resolve_name};

use count::Count;
use deliver::{Lull, Scratch};
use group::Pin;
use pace::Pace;
use pull::Requests;
use push::Push;
use redeliver::waits;
use state::State;

/// One consumer of a stream.
#[derive(Debug)]
pub struct Consumer {
    name: String,
    created: i64,
    config: Config,
    filters: Vec<Filter>,
    /// Percent of acks that are measured.
    sample: u8,
    state: State,
    /// Where it starts is not known yet: the log is reading what decides it.
    unstarted: bool,
    count: Count,
    requests: Requests,
    /// The client that is served alone.
    pin: Option<Box<Pin>>,
    push: Push,
    pace: Pace,
    scratch: Scratch,
    /// The filters, as they are now, select nothing between `state.next` and this.
    searched: u64,
    /// Something happened that lets nats-server search the log: the next search moves the position.
    roused: bool,
    /// The deliver subject's receivers are full; nothing leaves before [`resume`](Consumer::resume).
    parked: bool,
    /// What the last search for something to deliver ended with.
    lull: Lull,
    /// It is or was paused, and the end of that is still to be announced.
    pausing: bool,
    /// Monotonic time of the last sign of interest: a request, or losing the last subscriber.
    last_interest: u64,
    /// Monotonic time of the last delivery.
    last_sent: u64,
}

impl Consumer {
    /// A new consumer of the stream behind `ctx`. `config` is filled in and checked
    /// ([`fill_defaults`], [`check`]); `name` is its name, also where the configuration shows none.
    /// Its first note holds where it starts.
    pub fn new(ctx: &mut Ctx<'_>, name: &str, mut config: Config) -> Self {
        fill_threshold(&mut config, None);
        let created = ctx.now.unix_ns;
        let mut consumer = Self::blank(name, config, created, ctx.scope.memory, ctx.now, ctx);
        consumer.unstarted = true;
        consumer.start(ctx);
        consumer.interest_changed(ctx);
        consumer.recall_pause(ctx);
        consumer
    }

    /// A consumer as it was created before a restart, without state: apply its
    /// [`checkpoint`](Consumer::checkpoint) and notes, then call [`recovered`](Consumer::recovered).
    pub fn restore(ctx: &Ctx<'_>, name: &str, config: Config, created: i64) -> Self {
        let mut consumer = Self::blank(name, config, created, true, ctx.now, ctx);
        // Until a note says otherwise.
        consumer.unstarted = true;
        consumer
    }

    fn blank(
        name: &str,
        config: Config,
        created: i64,
        memory: bool,
        now: Now,
        ctx: &Ctx<'_>,
    ) -> Self {
        let mut state = State::new(config.ack_policy, waits(&config), now);
        state.notes.on = !memory && config.is_kept();
        let mut scratch = Scratch::default();
        ack_subject::write_prefix(scratch.prefix(), &ctx.scope.stream, name);
        Self {
            name: name.to_owned(),
            created,
            filters: filters(&config),
            sample: validate::sample_percent(&config.sample_freq).unwrap_or(0),
            push: Push::new(&config),
            pace: Pace::new(&config),
            state,
            unstarted: false,
            count: Count::default(),
            requests: Requests::default(),
            pin: None,
            scratch,
            searched: 0,
            roused: true,
            parked: false,
            lull: Lull::None,
            pausing: config.pause_until.is_some_and(|until| until > now.unix_ns),
            last_interest: now.mono_ns,
            last_sent: 0,
            config,
        }
    }

    /// The name, which acks and requests are addressed to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it was created, nanoseconds since 1970.
    pub fn created(&self) -> i64 {
        self.created
    }

    /// Its configuration as stored.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// True when its state is lost with the process.
    pub fn is_memory(&self, ctx: &Ctx<'_>) -> bool {
        ctx.scope.memory || !self.config.is_kept()
    }

    /// Changes the configuration; `new` is filled in and checked.
    ///
    /// # Errors
    /// 10012 for what only a new consumer can have; 10013 for another deliver subject while the
    /// old one has a subscriber.
    pub fn update(&mut self, ctx: &mut Ctx<'_>, mut new: Config) -> Result<(), ApiError> {
        update::check(&self.config, &new, self.push.active)?;
        let moved = self.config.deliver_subject != new.deliver_subject;
        // Pausing has its own request.
        new.pause_until = self.config.pause_until;
        fill_threshold(&mut new, Some(&self.config));
        if new.inactive_threshold != self.config.inactive_threshold {
            self.last_interest = ctx.now.mono_ns;
        }
        new.stamp_level();
        let filters = filters(&new);
        let same = filters.len() == self.filters.len()
            && filters.iter().all(|filter| self.filters.contains(filter));
        if !same {
            self.filters = filters;
            self.searched = 0;
            self.count.forget();
        } else if new.max_ack_pending != self.config.max_ack_pending {
            self.roused = true;
        }
        self.sample = validate::sample_percent(&new.sample_freq)?;
        self.state.clock(ctx.now);
        self.state.pending.set_waits(waits(&new));
        let regrouped = moved || self.config.deliver_group != new.deliver_group;
        self.pace.set_rate(&new);
        if new.priority_policy != PriorityPolicy::PinnedClient {
            self.pin = None;
        }
        self.config = new;
        if regrouped {
            self.interest_changed(ctx);
        }
        Ok(())
    }

    /// Does what its clocks ask for at `ctx.now`: ends ack waits, requests and pauses, sends
    /// heartbeats. Call [`pump`](Consumer::pump) afterwards.
    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.state.clock(ctx.now);
        self.end_pause(ctx);
        self.end_waits(ctx);
        self.end_pin(ctx);
        self.tick_requests(ctx);
        self.tick_push(ctx);
    }

    /// When [`tick`](Consumer::tick) or [`is_expired`](Consumer::is_expired) has something to do:
    /// monotonic nanoseconds. It may be earlier than needed, never later.
    pub fn next_deadline(&self) -> Option<u64> {
        [
            self.state.pending.next_deadline().map(|at| at.max(0).unsigned_abs()),
            self.requests.next_deadline(),
            self.push.next_deadline(&self.config),
            self.pace.deadline(),
            self.pause_ends(),
            self.pin_deadline(),
            self.expires_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When it is removed for want of interest, if nothing happens until then.
    fn expires_at(&self) -> Option<u64> {
        let threshold = self.config.inactive_threshold.max(0).unsigned_abs();
        if threshold == 0 || self.push.active {
            return None;
        }
        let mut at = self.last_interest.saturating_add(threshold);
        if self.config.is_pull() && !self.state.pending.is_empty() {
            // What it delivered keeps it for an ack wait.
            let wait = self.state.pending.waits().after(1).max(0).unsigned_abs();
            at = at.max(self.last_sent.saturating_add(wait));
        }
        Some(at)
    }

    /// True when nobody has been interested for `inactive_threshold`: the stream removes it.
    pub fn is_expired(&mut self, ctx: &mut Ctx<'_>) -> bool {
        if self.expires_at().is_none_or(|at| at > ctx.now.mono_ns) {
            return false;
        }
        if self.config.is_pull() {
            self.drop_uninterested(ctx);
            if self.requests.len() > 0 {
                self.last_interest = ctx.now.mono_ns;
                return false;
            }
        }
        true
    }

    /// Subscriptions on the deliver subject came or went.
    pub fn interest_changed(&mut self, ctx: &mut Ctx<'_>) {
        if self.config.is_pull() {
            return;
        }
        let subject = self.config.deliver_subject.as_bytes();
        // Who listens to everything must not have messages delivered that are meant for somebody who is
        // not there (nats-server 2.15.1).
        let active = ctx.host.is_subscribed(&ctx.scope.account, subject, self.group());
        self.set_active(active, ctx.now);
    }

    fn set_active(&mut self, active: bool, now: Now) {
        if self.push.active != active {
            self.last_interest = now.mono_ns;
            self.parked = false;
            self.roused = true;
            self.pace.clear();
            self.push.activity(active, now);
        }
    }

    fn group(&self) -> Option<&[u8]> {
        let group = &self.config.deliver_group;
        (!group.is_empty()).then_some(group.as_bytes())
    }

    /// A target that was congested takes messages again. Call [`pump`](Consumer::pump) afterwards.
    pub fn resume(&mut self, ctx: &mut Ctx<'_>) {
        if self.parked {
            let subject = self.config.deliver_subject.as_bytes();
            self.parked = ctx.host.is_congested(&ctx.scope.account, subject);
        }
        self.resume_requests(ctx);
    }

    /// True while a target is full: call [`resume`](Consumer::resume) when one has room.
    pub fn is_held_up(&self) -> bool {
        self.parked || self.requests.are_stalled()
    }

    /// Tells waiting requests that the consumer is gone (`409 Consumer Deleted`).
    pub fn close(&mut self, ctx: &mut Ctx<'_>) {
        for request in self.requests.take_all() {
            ctx.send(&request.reply, None, pull::CONSUMER_DELETED);
        }
    }

    /// What changed since the last call, as one record; memory consumers have none.
    pub fn take_notes(&mut self) -> Option<Vec<u8>> {
        if self.state.notes.take_whole() {
            return Some(notes::encode_snapshot(&self.state));
        }
        self.state.notes.take()
    }

    /// True when [`take_notes`](Consumer::take_notes) would give a record.
    pub fn has_notes(&self) -> bool {
        self.state.notes.waiting()
    }

    /// About how many bytes [`take_notes`](Consumer::take_notes) would give.
    pub fn note_bytes(&self) -> usize {
        self.state.notes.bytes()
    }

    /// The next record is the whole state, and until then nothing is kept for it.
    pub(crate) fn condense_notes(&mut self) {
        self.state.notes.condense();
    }

    /// The whole state as a record that replaces all earlier notes. Call it right after
    /// [`take_notes`](Consumer::take_notes): what is not taken yet would be applied twice.
    pub fn checkpoint(&self) -> Vec<u8> {
        notes::encode_snapshot(&self.state)
    }

    /// Recovery: applies a record that [`take_notes`](Consumer::take_notes) or
    /// [`checkpoint`](Consumer::checkpoint) gave, in order.
    ///
    /// # Errors
    /// When it is damaged; the state holds what came before.
    pub fn apply_note(&mut self, body: &[u8]) -> Result<(), BadNote> {
        self.unstarted = false;
        notes::apply(&mut self.state, body)
    }

    /// Recovery: with no note but its first, a start behind the end of a stream whose last sequence
    /// is `last` was decided by messages that a crash took; it is decided anew.
    pub fn check_start(&mut self, last: u64) {
        let asked = self.config.deliver_policy == DeliverPolicy::ByStartSequence;
        let ahead = self.state.next > last.saturating_add(1) || self.state.list_end > last;
        self.unstarted |= !asked && ahead;
    }

    /// Recovery is complete: from here on changes are noted. A consumer without any note starts
    /// where its policy says; one that is ahead of its stream goes back to the stream's end.
    pub fn recovered(&mut self, ctx: &mut Ctx<'_>) {
        self.state.clock(ctx.now);
        self.state.notes.on = !self.is_memory(ctx);
        self.last_interest = ctx.now.mono_ns;
        self.state.lower_floor();
        self.pace.replay(&self.config, ctx.log.state().last_seq);
        self.start(ctx);
        let end = ctx.log.state().last_seq.saturating_add(1);
        let ahead = self.state.delivered().consumer > 0 && self.state.next > end;
        if ahead {
            self.state.rewind(end);
        }
        // What was removed since is not noted, and a crash may take what was not synced.
        self.state.list.retain(|seq| ctx.log.contains(*seq));
        self.state.list_end = self.state.list_end.min(end - 1);
        self.interest_changed(ctx);
    }
}

/// The filters as the log wants them.
fn filters(config: &Config) -> Vec<Filter> {
    config.filters().map(|filter| Filter::new(filter.as_bytes())).collect()
}
