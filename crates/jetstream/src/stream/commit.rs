//! The commit of an atomic batch: all of it is stored, or nothing (jetstream.md 2.7).
//!
//! All messages are checked first, each as if those before were stored. Then a note says which
//! sequences belong together, and the messages follow, with the removals of rollups behind them.
//! Nothing of the batch is shown before the last of it is durable. A log that ends within a batch
//! when the server starts loses the rest of that batch.

use std::collections::{BTreeMap, BTreeSet};

use natterjack_store::{LogPos, Next, Purge, Refused as Lost, SeqRange};

use super::batch::{Holding, Place, Refused, Staged, Step};
use super::config::Discard;
use super::headers::{self, PublishHeaders};
use super::publish::{Admitted, Inbound, Rollup, check_no_incr, limit, number};
use super::{Stream, meta, schedule};
use crate::advisory::{self, Event};
use crate::ctx::NOTE_BATCH;
use crate::error::ApiError;
use crate::host::Host;
use crate::stream::ttl::Ttl;
use crate::time::Now;

/// What the messages of a batch add up to, before they are stored.
#[derive(Default)]
struct Sum<'a> {
    messages: u64,
    /// Messages that do not only replace another one of their subject.
    more: u64,
    bytes: u64,
    subjects: BTreeMap<&'a [u8], u64>,
    /// Whether the last message of a subject is a schedule, where there may be some.
    schedules: BTreeMap<&'a [u8], bool>,
    ids: BTreeSet<&'a [u8]>,
}

impl Stream {
    /// Takes a message of a batch; answers wait in the queue.
    pub(super) fn publish_batch(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
        reply: Option<&[u8]>,
    ) {
        let Some(id) = found.batch_id else { return };
        let end = self.log.end();
        match self.take_batch(now, id, msg, found) {
            Ok(Step::Kept) => {
                if let Some(reply) = reply {
                    self.answers.payload(end, reply, b"");
                }
            }
            Ok(Step::Commit(messages)) => {
                let committed = self.commit(host, now, &messages);
                let Some(reply) = reply else { return };
                match committed {
                    Ok((seq, pos)) => {
                        self.answers.batch_ack(pos, reply, seq, id, messages.len() as u64);
                    }
                    Err(error) => self.answers.error(end, reply, &error),
                }
            }
            Err(Refused { error, abandoned }) => {
                if let Some(reason) = abandoned {
                    self.advise_abandoned(host, now, id, reason);
                }
                if let Some(reply) = reply {
                    self.answers.error(end, reply, &error);
                }
            }
        }
    }

    fn take_batch(
        &mut self,
        now: Now,
        id: &[u8],
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Step, Refused> {
        if !self.config.allow_atomic {
            return Err(ApiError::AtomicPublishDisabled.into());
        }
        self.check_size(msg)?;
        let held = Holding::of(&self.shared, &self.account);
        let level = found.required_level.map(number);
        let has_level = level.map(|level| level.is_some_and(|level| level <= meta::API_LEVEL));
        let place = Place { id, seq: found.batch_seq, commit: found.batch_commit, has_level };
        self.batches.take(held, now.mono_ns, place, msg)
    }

    /// Stores all of `messages`. The last sequence, and the position that covers all.
    fn commit(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        messages: &[Staged],
    ) -> Result<(u64, LogPos), ApiError> {
        let time = now.unix_ns.max(self.log.state().last_time);
        let counted;
        let messages = if self.config.allow_msg_counter && !self.config.sealed {
            counted = self.count_batch(messages)?;
            &counted
        } else {
            messages
        };
        let mut sum = Sum::default();
        let mut admitted = Vec::with_capacity(messages.len());
        for staged in messages {
            let msg = staged.message();
            let found = headers::scan(msg.headers);
            admitted.push((msg, found, self.admit_member(time, &msg, &found, &mut sum)?));
        }
        self.check_blocked()?;
        let first = self.log.state().last_seq + 1;
        let run = SeqRange { first, last: first + messages.len() as u64 - 1 };
        let rollups = admitted.iter().zip(first..).flat_map(|((msg, found, admitted), seq)| {
            let rolled: Option<&[u8]> =
                admitted.as_ref().and_then(|admitted| admitted.rollup).map(|rollup| match rollup {
                    Rollup::Subject => msg.subject,
                    Rollup::All => &[],
                });
            let ended = found.scheduling.then(|| schedule::ended(msg.headers)).flatten();
            rolled.into_iter().chain(ended).map(move |subject| (seq, subject.to_vec()))
        });
        let begun = Begun { run, rollups: rollups.collect() };
        if run.first < run.last {
            self.log.note(NOTE_BATCH, &begun.note());
            self.log.hold(run);
        }
        // As if a rollup of all had been performed when its message was stored.
        let (mut since, is_part) = (0, run.first < run.last);
        for ((msg, found, admitted), seq) in admitted.iter().zip(run.first..) {
            let Some(admitted) = admitted else {
                let skipped = self.log.skip(time);
                self.remember_id(found.msg_id, skipped.seq, time);
                continue;
            };
            // Behind the last message: a torn batch must not have removed anything.
            let single = Admitted { ttl: admitted.ttl, rollup: None, since, is_part };
            self.store(host, time, msg, found, &single);
            if admitted.rollup == Some(Rollup::All) {
                since = seq;
            }
        }
        for (filter, below) in self.rolled_by(&begun) {
            self.roll_up(&Purge { filter, below_seq: Some(below), keep: None });
        }
        let end = self.log.end();
        if run.first < run.last {
            self.committed.retain(|(pos, _)| *pos > self.log.durable());
            self.committed.push((end, run));
        }
        Ok((run.last, end))
    }

    /// The checks of one message, as if those before it were stored; none where nobody would
    /// receive it.
    fn admit_member<'a>(
        &mut self,
        time: i64,
        msg: &Inbound<'a>,
        found: &PublishHeaders<'a>,
        sum: &mut Sum<'a>,
    ) -> Result<Option<Admitted>, ApiError> {
        if self.config.sealed {
            return Err(ApiError::StreamSealed);
        }
        if !self.config.allow_msg_counter {
            check_no_incr(found)?;
        }
        if found.expected_stream.is_some_and(|name| name != self.config.name.as_bytes()) {
            return Err(ApiError::StreamNotMatch);
        }
        if found.ttl.is_some() && !self.config.allow_msg_ttl {
            return Err(ApiError::MessageTtlDisabled);
        }
        self.check_member_sequences(msg.subject, found, sum)?;
        if found.scheduling {
            self.check_schedules(time, msg, |subject| sum.schedules.get(subject).copied())?;
        }
        if self.config.allow_msg_schedules {
            let own = found.scheduling && headers::get(msg.headers, b"Nats-Schedule").is_some();
            sum.schedules.insert(msg.subject, own);
        }
        if found.stream_source.is_some() {
            return Err(ApiError::MessageSourceHdrNotAllowed);
        }
        if found.expected_last_msg_id.is_some() {
            let header = "Nats-Expected-Last-Msg-Id".into();
            return Err(ApiError::AtomicPublishUnsupportedHeaderBatch { header });
        }
        if let Some(id) = found.msg_id
            && self.config.duplicate_window > 0
        {
            let oldest = time.saturating_sub(self.config.duplicate_window);
            if self.dedupe.find(id, oldest).is_some() || !sum.ids.insert(id) {
                return Err(ApiError::AtomicPublishContainsDuplicateMessage);
            }
        }
        let rollup = self.check_rollup(found)?;
        let invalid = match rollup {
            Some(Rollup::Subject) if sum.subjects.contains_key(msg.subject) => Some("sub"),
            Some(Rollup::All) if sum.messages > 0 => Some("all"),
            _ => None,
        };
        if let Some(kind) = invalid {
            let err = format!("batch rollup {kind} invalid").into();
            return Err(ApiError::StreamRollupFailed { err });
        }
        let bytes = self.log.message_bytes(msg.subject.len(), msg.headers.len(), msg.payload.len());
        sum.messages += 1;
        let before = {
            let count = sum.subjects.entry(msg.subject).or_default();
            *count += 1;
            *count - 1
        };
        if !self.wants(msg.subject) {
            return Ok(None);
        }
        sum.bytes += bytes;
        self.check_room(sum.bytes)?;
        let ttl = match found.ttl {
            Some(value) => Some(Ttl::parse(value).ok_or(ApiError::MessageTtlInvalid)?),
            None => None,
        };
        self.check_member_discard(msg.subject, before, sum)?;
        Ok(Some(Admitted { ttl, rollup, since: 0, is_part: false }))
    }

    /// The sequences a member expects are those of a message by itself, and no other member may
    /// move them.
    fn check_member_sequences(
        &mut self,
        subject: &[u8],
        found: &PublishHeaders<'_>,
        sum: &Sum<'_>,
    ) -> Result<(), ApiError> {
        if found.expected_last_subject_seq.is_some() {
            let filter = found.expected_last_subject_seq_subject.unwrap_or(subject);
            if sum.subjects.keys().any(|own| natterjack_subject::matches(filter, own)) {
                return Err(ApiError::StreamWrongLastSequenceConstant);
            }
        }
        self.check_expected_sequences(subject, found, sum.messages)?;
        if found.expected_last_seq.is_some() && sum.messages > 0 {
            return Err(ApiError::StreamWrongLastSequenceConstant);
        }
        Ok(())
    }

    /// 10077 where the batch so far, with this message, is more than the policy takes. `before`
    /// messages of the batch are on its subject.
    fn check_member_discard(
        &mut self,
        subject: &[u8],
        before: u64,
        sum: &mut Sum<'_>,
    ) -> Result<(), ApiError> {
        if self.config.discard != Discard::New {
            return Ok(());
        }
        self.release_settled();
        let refused = |err: &'static str| Err(ApiError::StreamStoreFailed { err: err.into() });
        let stored = self.log.subject(subject).map_or(0, |state| state.count);
        let full =
            limit(self.config.max_msgs_per_subject).is_some_and(|max| stored + before >= max);
        if full && self.config.discard_new_per_subject {
            return refused("maximum messages per subject exceeded");
        }
        sum.more += u64::from(!full);
        let state = self.log.state();
        let messages = state.messages + sum.more;
        if limit(self.config.max_msgs).is_some_and(|max| messages > max) {
            return refused("maximum messages exceeded");
        }
        if limit(self.config.max_bytes).is_some_and(|max| state.bytes + sum.bytes > max) {
            return refused("maximum bytes exceeded");
        }
        Ok(())
    }

    /// The disk did not take some records: of a batch that they were part of nothing stays.
    pub(super) fn refuse_batches(&mut self, lost: &Lost) {
        let Some(gone) = lost.seqs else { return };
        let hit = |run: &SeqRange| run.first <= gone.last && gone.first <= run.last;
        let mut rest = Vec::new();
        self.committed.retain(|(_, run)| {
            if hit(run) {
                rest.push(*run);
            }
            !hit(run)
        });
        if rest.is_empty() {
            return;
        }
        for run in rest {
            for seq in run.first..=run.last {
                self.remove_message(seq, false);
            }
        }
        // The log has appended the batch's note again.
        self.log.note(NOTE_BATCH, &[]);
    }

    /// What the batch's rollups replace: the subject, or all, and below which sequence.
    fn rolled_by<'a>(&self, begun: &'a Begun) -> Vec<(Option<&'a [u8]>, u64)> {
        let rollups = begun.rollups.iter().map(|(seq, subject)| {
            let filter = (!subject.is_empty()).then_some(subject.as_slice());
            (filter, *seq)
        });
        let replaces = |(filter, seq): &(Option<&[u8]>, u64)| {
            let first = match filter {
                Some(subject) => self.log.subject(subject).map_or(u64::MAX, |state| state.first),
                None => self.log.state().first_seq,
            };
            first < *seq
        };
        rollups.filter(replaces).collect()
    }

    /// After a restart: `begun` is the last batch of the log, of which a crash left a part, which was
    /// `taken_back`, or all but the removals.
    pub(crate) fn finish_batch(&mut self, begun: Option<&Begun>, taken_back: Option<SeqRange>) {
        if let Some(run) = taken_back {
            let last = run.last.min(self.log.state().last_seq);
            if run.first <= last {
                self.log.remove_runs(&[SeqRange { first: run.first, last }]);
            }
            // What comes next may reach the sequences that the batch would have had.
            self.log.note(NOTE_BATCH, &[]);
            return;
        }
        let Some(begun) = begun else { return };
        // Of one that the disk refused nothing is there: it replaces nothing.
        let next = self.log.next_match(&[], begun.run.first);
        if matches!(next, Next::Found(seq) if seq <= begun.run.last) {
            for (filter, below) in self.rolled_by(begun) {
                self.purge_messages(&Purge { filter, below_seq: Some(below), keep: None });
            }
        }
    }

    /// Drops batches whose publishers are silent.
    pub(super) fn expire_batches(&mut self, host: &mut dyn Host, now: Now) {
        for id in self.batches.expire(Holding::of(&self.shared, &self.account), now.mono_ns) {
            self.advise_abandoned(host, now, &id, "timeout");
        }
    }

    fn advise_abandoned(&self, host: &mut dyn Host, now: Now, id: &[u8], reason: &str) {
        let (account, stream) = (&self.scope.account, &self.scope.stream);
        let subject = format!("{}STREAM.BATCH_ABANDONED.{stream}", advisory::ADVISORY);
        if advisory::wanted(host, account, &subject) {
            Event::advisory(host, now, "stream_batch_abandoned")
                .text("stream", stream)
                .text("batch", &String::from_utf8_lossy(id))
                .text("reason", reason)
                .send(host, account, self.scope.domain.as_deref(), &subject);
        }
    }
}

/// What a note says of the batch that follows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    run: SeqRange,
    /// Sequences of the messages with a rollup, with their subjects; empty for a rollup of all.
    rollups: Vec<(u64, Vec<u8>)>,
}

impl Begun {
    /// The sequences of its messages.
    pub(crate) fn run(&self) -> SeqRange {
        self.run
    }

    /// The note: first and last sequence, then each rollup's sequence, length of subject, subject.
    fn note(&self) -> Vec<u8> {
        let mut out = [self.run.first.to_le_bytes(), self.run.last.to_le_bytes()].concat();
        for (seq, subject) in &self.rollups {
            out.extend_from_slice(&seq.to_le_bytes());
            out.extend_from_slice(&(subject.len() as u64).to_le_bytes());
            out.extend_from_slice(subject);
        }
        out
    }

    /// Reads a note; `None` for one that ends what the one before began, or is damaged.
    pub(crate) fn read(mut body: &[u8]) -> Option<Self> {
        let number = |body: &mut &[u8]| {
            let (value, rest) = body.split_first_chunk::<8>()?;
            *body = rest;
            Some(u64::from_le_bytes(*value))
        };
        let run = SeqRange { first: number(&mut body)?, last: number(&mut body)? };
        let mut rollups = Vec::new();
        while !body.is_empty() {
            let seq = number(&mut body)?;
            let len = usize::try_from(number(&mut body)?).ok()?;
            let (subject, rest) = body.split_at_checked(len)?;
            rollups.push((seq, subject.to_vec()));
            body = rest;
        }
        (run.first > 0 && run.first < run.last).then_some(Self { run, rollups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_damage_is_none() {
        let begun = Begun {
            run: SeqRange { first: 3, last: 9 },
            rollups: vec![(4, b"s.a".to_vec()), (5, Vec::new())],
        };
        let note = begun.note();
        assert_eq!(Begun::read(&note), Some(begun));
        // A note may end where a rollup would begin.
        let whole = [16, 35, 51];
        for len in (0..note.len()).filter(|len| !whole.contains(len)) {
            assert_eq!(Begun::read(&note[..len]), None, "{len}");
        }
        assert_eq!(Begun::read(&[0xff; 40]), None);
    }
}
