//! Driving the consumers of a stream: deliveries, clocks, what they hear of removals, and the notes
//! that keep their state.

use super::Stream;
use super::table::Entry;
use crate::consumer::Consumer;
use crate::ctx::{Ctx, NOTE_CONSUMER, NOTE_SCHEDULE};
use crate::host::Host;
use crate::time::Now;

/// Rounds over the consumers in one settle; what is left after them waits for the timer, so that
/// a long backlog does not keep publishers from the lock.
const PUMP_ROUNDS: usize = 8;

/// Deliveries and acks that nobody waits for are written down together this often, nanoseconds, and
/// at once after a pause. A crash takes back at most that much: those messages come again.
/// nats-server writes about ten times a second.
const NOTES_EVERY: u64 = 20_000_000;
/// … and earlier when they are this many bytes.
const NOTES_BYTES: usize = 64 * 1024;

/// While no notes can be written a consumer keeps this many bytes of them; then only that its whole state
/// is to be written.
const NOTES_KEPT: usize = 4 * 1024;

/// When notes were written, and when the next ones are due.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    last: Option<u64>,
    due: Option<u64>,
    /// Nothing waits any more: the server is about to stop.
    pub(super) off: bool,
}

impl Pacing {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.due
    }
}

impl Stream {
    /// Runs `f` with a consumer and its surroundings. It is driven with the next settle.
    pub(super) fn call<R>(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        slot: u32,
        f: impl FnOnce(&mut Consumer, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        self.unsettled = true;
        self.consumers.touch(slot);
        self.with(host, now, slot, f)
    }

    /// As [`call`](Self::call) for what is done while it is driven.
    fn with<R>(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        slot: u32,
        f: impl FnOnce(&mut Consumer, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        let burst = super::consumers::burst(&self.config);
        let Entry { consumer, replies, .. } = self.consumers.entry_mut(slot)?;
        let ctx = &mut Ctx { host, log: &mut self.log, now, scope: &self.scope, replies, burst };
        Some(f(consumer, ctx))
    }

    /// As [`call`](Self::call) by name; `None` when there is none of this name.
    pub(super) fn call_named<R>(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        name: &str,
        f: impl FnOnce(&mut Consumer, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        let slot = self.consumers.slot(name)?;
        self.call(host, now, slot, f)
    }

    /// Subscriptions on a deliver subject came or went.
    pub(super) fn interest_changed(&mut self, host: &mut dyn Host, now: Now, subject: &[u8]) {
        for slot in self.consumers.delivering_to(subject).to_vec() {
            self.call(host, now, slot, Consumer::interest_changed);
        }
    }

    /// Targets that were congested take messages again.
    pub(super) fn resume(&mut self, host: &mut dyn Host, now: Now) {
        for slot in self.consumers.all() {
            if self.consumers.entry(slot).is_some_and(|entry| entry.consumer.is_held_up()) {
                self.call(host, now, slot, Consumer::resume);
            }
        }
    }

    /// Tells consumers of messages that limits, ages and deletes took.
    pub(super) fn tell_removed(&mut self, host: &mut dyn Host, now: Now) {
        if self.evicted.runs().is_empty() {
            return;
        }
        let mut gone = std::mem::take(&mut self.evicted);
        gone.sort();
        if let Some(last) = gone.last() {
            for slot in self.consumers.concerned(last) {
                self.call(host, now, slot, |consumer, ctx| consumer.removed(ctx, &gone));
            }
        }
        gone.clear();
        self.evicted = gone;
    }

    /// Tells consumers of a purge.
    pub(super) fn tell_purged(&mut self, host: &mut dyn Host, now: Now) {
        let durable = self.log.durable();
        let told = self.narrowed.extract_if(.., |(pos, _)| *pos <= durable);
        let subjects: Vec<Box<[u8]>> = told.map(|(_, subject)| subject).collect();
        for slot in self.consumers.all() {
            self.call(host, now, slot, |consumer, ctx| consumer.purged(ctx, &subjects));
        }
    }

    /// Runs the consumers' clocks and removes those nobody wants any more.
    pub(super) fn tick_consumers(&mut self, host: &mut dyn Host, now: Now) {
        // Those that are due again at once have their turn with the next tick.
        let mut due = Vec::new();
        while let Some(slot) = self.consumers.pop_due(now.mono_ns) {
            due.push(slot);
        }
        for slot in due {
            let is_due =
                |entry: &Entry| entry.consumer.next_deadline().is_some_and(|at| at <= now.mono_ns);
            if !self.consumers.entry(slot).is_some_and(is_due) {
                self.consumers.file(slot);
                continue;
            }
            let expired = self.call(host, now, slot, |consumer, ctx| {
                consumer.tick(ctx);
                consumer.is_expired(ctx).then(|| consumer.name().to_owned())
            });
            let Some(name) = expired.flatten() else { continue };
            let stored = self.is_consumer_stored(&name);
            let Some((id, claimed)) = self.remove_consumer(host, now, &name) else { continue };
            if stored {
                self.shared.forget_consumer(host, id);
            }
            self.release(&claimed);
        }
    }

    /// Lets consumers deliver what there is. True when some have more to do.
    pub(super) fn pump(&mut self, host: &mut dyn Host, now: Now) -> bool {
        self.consumers.wake(&self.log, self.log.visible_last());
        let mut more = false;
        for _ in 0..PUMP_ROUNDS {
            let list = self.consumers.take_dirty();
            for slot in &list {
                // One that is not there for good yet stays as it is; it is woken when it is.
                if self.consumers.entry(*slot).is_some_and(|entry| entry.ready) {
                    if self.with(host, now, *slot, Consumer::pump) == Some(true) {
                        self.consumers.touch(*slot);
                    }
                    self.consumers.file(*slot);
                }
            }
            more = self.consumers.driven(list);
            if !more {
                break;
            }
        }
        more
    }

    /// Writes the notes that are due. An answer that waits for a note makes all of them due.
    pub(super) fn write_due_notes(&mut self, now: Now) {
        if !self.consumers.are_noted() {
            // Who had some may be gone: a deadline that stayed would be due for ever.
            self.pacing.due = None;
            return;
        }
        if self.holds_notes() {
            // A completion of the disk, or the next probe, comes here again.
            self.pacing.due = None;
            return self.consumers.condense(NOTES_KEPT);
        }
        let due = self.pacing.last.map_or(0, |last| last.saturating_add(NOTES_EVERY));
        if due <= now.mono_ns || self.pacing.off || self.consumers.notes_are_due(NOTES_BYTES) {
            self.pacing.last = Some(now.mono_ns);
            self.write_notes();
        } else {
            self.pacing.due = Some(due);
        }
    }

    /// Writes what changed in the consumers as notes and queues the answers that wait for them.
    pub(crate) fn write_notes(&mut self) {
        self.pacing.due = None;
        for slot in self.consumers.take_noted() {
            self.write_note(slot);
        }
    }

    pub(super) fn write_note(&mut self, slot: u32) {
        let Some(entry) = self.consumers.entry_mut(slot) else { return };
        let notes = if entry.consumer.has_notes() { entry.consumer.take_notes() } else { None };
        let released = entry.consumer.take_released();
        let pos = match notes {
            Some(notes) => self.log.note(NOTE_CONSUMER, &note(entry.id, &notes)),
            None if entry.replies.is_empty() && released.is_empty() => return,
            None => self.log.end(),
        };
        let answers = &mut self.answers;
        entry.replies.drain(|reply| answers.payload(pos, reply, &[]));
        // Behind the note: a removal is never durable before the ack that allows it.
        if !released.is_empty() {
            self.release(&released);
        }
    }

    /// Writes what changed in one consumer, of which somebody is about to be told.
    pub(super) fn write_note_of(&mut self, name: &str) {
        if !self.holds_notes()
            && let Some(slot) = self.consumers.slot(name)
        {
            self.write_note(slot);
        }
    }

    /// The state of all consumers, which makes their earlier notes obsolete.
    pub(super) fn checkpoint(&mut self) {
        // What is not written yet would count twice.
        self.consumers.all().into_iter().for_each(|slot| self.write_note(slot));
        let stored = self
            .consumers
            .entries()
            .filter(|entry| !self.scope.memory && entry.consumer.config().is_kept());
        let plan = self.plan.notes(|seq| self.log.contains(seq));
        let notes: Vec<(u8, Vec<u8>)> = stored
            .map(|entry| (NOTE_CONSUMER, note(entry.id, &entry.consumer.checkpoint())))
            .chain(plan.into_iter().map(|note| (NOTE_SCHEDULE, note)))
            .chain(self.places_note())
            .collect();
        self.log.checkpoint(&notes);
    }
}

/// A note's body: the consumer's id, then what it says.
pub(super) fn note(id: u64, body: &[u8]) -> Vec<u8> {
    let mut note = Vec::with_capacity(8 + body.len());
    note.extend_from_slice(&id.to_le_bytes());
    note.extend_from_slice(body);
    note
}
