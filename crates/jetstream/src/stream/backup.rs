//! A stream's part in snapshots and restores: its messages as entries of an archive.
//!
//! A snapshot takes the lock for some messages at a time, so that publishers and consumers go on; it
//! shows the messages that were there when it began and still are. A restore fills a stream that nobody
//! knows yet.

use std::task::Waker;

use natterjack_store::{Limits, Locate, Log, LogPos, NewMessage, Next};
use natterjack_subject::is_publishable;

use super::config::Config;
use super::drive::note;
use super::headers;
use super::info::{Details, StreamState};
use super::publish::Inbound;
use super::ttl::Ttl;
use super::{FLAG_MARKER, FLAG_SCHEDULE, FLAG_SOURCED, Stream, StreamCell};
use crate::archive::{ArchiveWriter, Entry};
use crate::consumer::Archived;
use crate::ctx::NOTE_CONSUMER;
use crate::error::ApiError;
use crate::host::Host;
use crate::time::Now;

/// Bytes of entries that one look at a stream yields, but for the last message of them.
const LOOK: usize = 256 << 10;

/// Bytes of a restored stream that may wait for the disk.
const BACKLOG: usize = 8 << 20;

/// What a stream was when a snapshot of it began.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) config: Config,
    pub(crate) state: StreamState,
    pub(crate) consumers: Vec<Archived>,
    /// What is told of it is durable from here on.
    pub(crate) pos: LogPos,
}

/// What a look at a stream yielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Messages, and there may be more.
    Some,
    /// Nothing before the disk has read or written something.
    Waits,
    /// All that is left.
    End,
}

impl Stream {
    /// The stream as it is now, for an archive.
    pub(crate) fn sample(&mut self, consumers: bool) -> Sample {
        self.release_settled();
        self.write_notes();
        let (state, _) = self.state(&Details::default());
        let entries = self.consumers.entries();
        let kept = entries.filter(|entry| consumers && !entry.consumer.config().direct);
        Sample {
            config: self.config.clone(),
            state,
            consumers: kept.map(|entry| entry.consumer.archived()).collect(),
            pos: self.log.end(),
        }
    }

    /// Writes messages from `next` to `last` into an archive, and moves `next` on.
    ///
    /// # Errors
    /// When the stream is gone, or a message cannot be read.
    fn look(
        &mut self,
        next: &mut u64,
        last: u64,
        archive: &mut ArchiveWriter,
    ) -> Result<Look, String> {
        if self.closed {
            return Err("stream was deleted".to_owned());
        }
        let before = archive.waiting();
        let some = |archive: &ArchiveWriter| {
            if archive.waiting() > before { Look::Some } else { Look::Waits }
        };
        while archive.waiting() < LOOK {
            let seq = match self.log.next_match(&[], *next) {
                Next::Found(seq) if seq <= last => seq,
                Next::Pending => return Ok(some(archive)),
                Next::Found(_) | Next::End => return Ok(Look::End),
            };
            if seq > self.log.visible_last() {
                return Ok(some(archive));
            }
            match self.log.locate(seq) {
                Locate::Pending => return Ok(some(archive)),
                Locate::Damaged => return Err(format!("message {seq} is damaged")),
                Locate::Missing => {}
                Locate::Found(found) => {
                    if let Some(message) = self.log.message(&found) {
                        archive.add(&Entry {
                            name: message.subject,
                            time: message.time,
                            seq,
                            headers: message.headers,
                            payload: message.payload,
                        });
                    }
                }
            }
            *next = seq + 1;
        }
        Ok(Look::Some)
    }

    /// Stores a message of an archive at its sequence, which is above all before.
    ///
    /// # Errors
    /// When it cannot be one of this stream.
    pub(crate) fn store_archived(
        &mut self,
        now: Now,
        entry: &Entry<'_>,
        max_payload: usize,
    ) -> Result<(), ApiError> {
        let Entry { name: subject, time, seq, headers: block, payload } = *entry;
        let block = headers::stored_form(block);
        let headers = &*block;
        let failed = |why: &str| Err(failed(format!("message sequence {seq} {why}")));
        if headers.len() + payload.len() > max_payload {
            return failed("exceeds maximum payload size");
        }
        let message = Inbound { subject, reply: None, headers, payload };
        if self.check_size(&message).is_err() {
            return failed("exceeds maximum message size");
        }
        // Subjects go to clients in their lines. Headers are counted, and publishers may write any.
        if !is_publishable(subject) {
            return failed("has an invalid subject");
        }
        let bytes = self.log.message_bytes(subject.len(), headers.len(), payload.len());
        self.check_room(bytes)?;
        self.check_blocked()?;
        let found = headers::scan(headers);
        let ttl = match found.ttl.map(Ttl::parse) {
            Some(None) => {
                let why = "failed to parse message TTL: invalid per-message TTL (10165)";
                return Err(self::failed(why.to_owned()));
            }
            Some(ttl) => ttl,
            None => None,
        };
        // Nothing else than arithmetic on times could go wrong with those that no clock shows.
        let time = time.clamp(0, i64::MAX / 2);
        if let Some(Ttl::Seconds(seconds)) = ttl
            && time.saturating_add(seconds.saturating_mul(1_000_000_000)) <= now.unix_ns
        {
            self.log.skip_to(seq);
            return Ok(());
        }
        let mut flags = super::publish::flags(&found, ttl, headers);
        if found.stream_source.is_some() && self.is_sourcing() {
            flags |= FLAG_SOURCED;
            self.remember_place(seq, headers);
        }
        self.log.append_at(seq, NewMessage { subject, headers, payload, time, flags });
        if let Some(ttl) = ttl {
            self.expiry.add(seq, time, ttl);
            if flags & FLAG_MARKER != 0 {
                self.expiry.exempt_from_age(seq);
            }
        }
        if flags & FLAG_SCHEDULE != 0 {
            self.plan_schedule(seq, time, headers);
        }
        if time >= now.unix_ns.saturating_sub(self.config.duplicate_window) {
            self.remember_id(found.msg_id, seq, time);
        } else {
            self.last_msg_id = found.msg_id.unwrap_or_default().to_vec();
        }
        Ok(())
    }

    /// Adds a consumer of an archive, which delivers nothing before [`Stream::consumer_ready`]. The
    /// messages are there.
    pub(crate) fn add_archived(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        id: u64,
        consumer: &Archived,
    ) {
        let notes = std::iter::once(consumer.note.as_slice()).filter(|note| !note.is_empty());
        let Archived { name, config, .. } = consumer;
        let (blank, of) = (&mut Log::memory(1, Limits::default()), (id, now.unix_ns));
        self.restore_consumer(host, now, blank, of, name, config.clone(), Vec::new(), notes);
        // What it became, which may be less: the stream is what decides.
        let Some(slot) = self.consumers.slot(name) else { return };
        let Some(entry) = self.consumers.entry_mut(slot) else { return };
        entry.ready = false;
        let _ = entry.consumer.take_notes();
        if !self.scope.memory && !config.mem_storage {
            let body = entry.consumer.checkpoint();
            self.log.note(NOTE_CONSUMER, &note(id, &body));
        }
    }

    /// The next change of the disk's state wakes it.
    fn wake_later(&mut self, waker: &Waker) {
        if !self.readers.iter().any(|known| known.will_wake(waker)) {
            self.readers.push(waker.clone());
        }
    }

    pub(super) fn wake_readers(&mut self) {
        self.readers.drain(..).for_each(Waker::wake);
    }
}

impl StreamCell {
    /// As [`Stream::look`]; when the disk is needed first, it wakes `waker` later.
    pub(crate) fn look(
        &self,
        host: &mut dyn Host,
        waker: &Waker,
        (next, last): (&mut u64, u64),
        archive: &mut ArchiveWriter,
    ) -> Result<Look, String> {
        let mut stream = self.lock();
        let found = stream.look(next, last, archive)?;
        if found == Look::Waits {
            if let Some(blocked) = stream.log.blocked()
                && *next > stream.log.visible_last()
            {
                return Err(blocked.error().to_string());
            }
            stream.wake_later(waker);
            stream.send_requests(host);
        }
        Ok(found)
    }

    /// True when all up to `pos` is durable, or so much that more may follow; else `waker` is woken
    /// when that may have changed.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn is_written(&self, pos: Option<LogPos>, waker: &Waker) -> Result<bool, ApiError> {
        let mut stream = self.lock();
        let written = match pos {
            Some(pos) => stream.log.durable() >= pos && stream.log.is_idle(),
            None => stream.log.backlog_bytes() < BACKLOG,
        };
        if !written {
            stream.check_blocked()?;
            stream.wake_later(waker);
        }
        Ok(written)
    }
}

/// 10062 with a text.
pub(crate) fn failed(err: String) -> ApiError {
    ApiError::StreamRestore { err: err.into() }
}
