//! What a consumer sees of its stream while the stream's lock is held.
//!
//! The stream calls its consumers in these places, always under its lock:
//!
//! | When | Call |
//! |---|---|
//! | created (config already completed and checked) | `Consumer::new(id, config, name, created_ns, &mut Ctx)` |
//! | recovered | `Consumer::recover(id, config, name, created_ns)`, then `apply_note(&[u8])` per note |
//! | after each batch of publishes, acks, pulls, disk completions, resume | `pump(&mut Ctx)` |
//! | then, if it changed | `encode_note(&mut self, out: &mut Vec<u8>) -> bool`: state since the last note |
//! | a log checkpoint | `checkpoint(&self, out: &mut Vec<u8>)`: one note with all of its state |
//! | `CONSUMER.MSG.NEXT` | `pull(&mut Ctx, reply, body, headers)` |
//! | `$JS.ACK` | `ack(&mut Ctx, &AckToken, body, reply: Option<&[u8]>) -> bool`; false: no responder |
//! | `$JS.FC.<stream>.<consumer>.<id>` | `flow_reply(&mut Ctx, id, headers)` |
//! | interest on the deliver subject came or went | `interest_changed(&mut Ctx)` |
//! | the timer | `tick(&mut Ctx)`; next by `next_deadline() -> Option<u64>` (monotonic) |
//! | then | `is_expired() -> bool`: an inactive consumer that the stream must delete |
//! | a message was deleted, evicted or expired | `removed(&mut Ctx, &Removed)`, all of them at once |
//! | a purge | `purged(&mut Ctx, subjects)`: pending below the new first is dropped, floors move up |
//! | deleted (or its stream) | `close(&mut Ctx)`: settles waiting pulls with 409 |
//! | API | `info(&mut self, &mut Log, Now) -> Info`, `config()`, `update(&mut Ctx, config)`, `pause(&mut Ctx, until)`, `reset(&mut Ctx, seq) -> Result<u64, ApiError>` |
//!
//! The note of a consumer is kind [`NOTE_CONSUMER`] and begins with the consumer's id, 8 bytes
//! little endian, which the stream writes; `encode_note` appends after it.

use std::sync::Arc;

use natterjack_store::Log;

use crate::host::{Delivered, Host, Outgoing};
use crate::time::Now;

/// The kind of a log note that holds a consumer's state or changes of it.
pub const NOTE_CONSUMER: u8 = 1;

/// The kind of a log note that says which of the sequences that follow are one batch.
pub const NOTE_BATCH: u8 = 2;

/// The kind of a log note that says when schedules are due that have fired before.
pub const NOTE_SCHEDULE: u8 = 3;

/// The kind of a log note that says how far the stream has taken its sources.
pub const NOTE_SOURCES: u8 = 4;

/// Names and settings of a stream that its consumers use; unchanged for the stream's life.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The account's name.
    pub account: Arc<str>,
    /// The stream's name.
    pub stream: Arc<str>,
    /// The stream's id, never 0.
    pub stream_id: u64,
    /// The server's JetStream domain.
    pub domain: Option<Arc<str>>,
    /// The server's name, for advisories.
    pub server: Arc<str>,
    /// True for a memory stream: nothing of it survives a restart.
    pub memory: bool,
}

/// The surroundings of one call into a consumer.
pub struct Ctx<'a> {
    /// Effects.
    pub host: &'a mut dyn Host,
    /// The stream's log. Only what is at or below `Log::visible_last` may leave.
    pub log: &'a mut Log,
    /// The time of the input.
    pub now: Now,
    /// Names.
    pub scope: &'a Scope,
    /// Where answers to acks go: they leave once the consumer's next note is durable.
    pub replies: &'a mut AckReplies,
    /// Bytes of the largest message that the stream takes: what a rate limit lets through at once.
    pub burst: usize,
}

impl Ctx<'_> {
    /// Sends a status or an answer: a header block and no payload, shown on its own subject.
    pub fn send(&mut self, to: &[u8], reply: Option<&[u8]>, headers: &[u8]) -> Delivered {
        self.host.deliver(&Outgoing {
            account: &self.scope.account,
            route: to,
            subject: to,
            reply,
            headers,
            payload: &[],
        })
    }
}

/// Empty answers to acks ("double ack") that wait until the ack is durable.
///
/// The consumer pushes while it handles an ack; the stream drains after it has written the
/// consumer's note, and releases the answers when the note's position is durable.
#[derive(Debug, Default)]
pub struct AckReplies {
    subjects: Vec<u8>,
    ends: Vec<usize>,
}

impl AckReplies {
    /// Answers on `reply` once what this consumer settled so far is durable.
    pub fn push(&mut self, reply: &[u8]) {
        self.subjects.extend_from_slice(reply);
        self.ends.push(self.subjects.len());
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Hands each subject to `take`, in order, and forgets them.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        let mut start = 0;
        for end in self.ends.drain(..) {
            take(&self.subjects[start..end]);
            start = end;
        }
        self.subjects.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_their_order() {
        let mut replies = AckReplies::default();
        replies.push(b"_INBOX.a");
        replies.push(b"_INBOX.bb");
        let mut seen = Vec::new();
        replies.drain(|subject| seen.push(subject.to_vec()));
        assert_eq!(seen, [b"_INBOX.a".to_vec(), b"_INBOX.bb".to_vec()]);
        assert!(replies.is_empty());
    }
}
