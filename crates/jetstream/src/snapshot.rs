//! Sending a stream as an archive (`STREAM.SNAPSHOT`, jetstream.md 2.15).
//!
//! A [`Snapshot`] is what the API hands to the server: where the archive goes, and what is left of it.
//! The server asks it for chunks, sends them, and keeps the receiver's pace. It holds a window of
//! messages at most, and the stream's lock for a look at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use bytes::Bytes;
use natterjack_store::LogPos;

use crate::advisory::{self, Event};
use crate::archive::{ArchiveWriter, CONSUMERS, Entry, STATE};
use crate::consumer::Archived;
use crate::engine::Shared;
use crate::host::Host;
use crate::stream::StreamCell;
use crate::stream::backup::Look;
use crate::time::Now;

/// Bytes of a chunk: by default, and at least and at most.
const CHUNK: (i64, i64, i64) = (128 << 10, 1 << 10, 1 << 20);
/// Bytes that may be unanswered: by default, and at least and at most.
const WINDOW: (i64, i64, i64) = (8 << 20, 1 << 10, 32 << 20);

/// Bytes of entries that are packed together.
const PACKED: usize = 128 << 10;

/// Snapshots and restores of a server at one time: each keeps some megabytes.
const TRANSFERS_MAX: usize = 64;

/// The right to one snapshot or restore.
#[derive(Debug)]
pub(crate) struct Transfer(Arc<Shared>);

impl Transfer {
    /// `None` when there are too many.
    pub(crate) fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let more = |count: usize| (count < TRANSFERS_MAX).then_some(count + 1);
        let begun = shared.transfers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        begun.ok().map(|_| Self(Arc::clone(shared)))
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many snapshots and restores there are.
pub(crate) type Transfers = AtomicUsize;

/// A snapshot that was accepted.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) cell: Arc<StreamCell>,
    pub(crate) _transfer: Transfer,
    /// Where chunks go.
    pub(crate) deliver: String,
    /// What the subjects of the answers begin with.
    pub(crate) acks: String,
    /// Bytes of a chunk.
    pub(crate) chunk: usize,
    /// Chunks that may be unanswered.
    pub(crate) window: usize,
    /// Who asked, as JSON.
    pub(crate) client: Vec<u8>,
    pub(crate) began: i64,
    /// `state.json`.
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) consumers: std::vec::IntoIter<Archived>,
    /// What the archive tells is durable from here on.
    pub(crate) pos: Option<LogPos>,
    pub(crate) next: u64,
    pub(crate) last: u64,
    pub(crate) archive: ArchiveWriter,
    /// All of the archive is made.
    pub(crate) ended: bool,
}

/// Bytes of a chunk and chunks that may be unanswered, for what was asked.
pub(crate) fn pace(chunk: i64, window: i64) -> (usize, usize) {
    let bytes = |asked: i64, (default, least, most): (i64, i64, i64)| {
        let asked = if asked <= 0 { default } else { asked };
        asked.clamp(least, most).unsigned_abs() as usize
    };
    let chunk = bytes(chunk, CHUNK);
    (chunk, bytes(window, WINDOW).max(chunk) / chunk)
}

impl Snapshot {
    /// The account.
    pub fn account(&self) -> &str {
        &self.cell.scope().account
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.cell.scope().stream
    }

    /// The subject to which chunks go.
    pub fn deliver_subject(&self) -> &str {
        &self.deliver
    }

    /// What precedes `.<bytes>.<number>` in the subject that a chunk is answered to.
    pub fn ack_prefix(&self) -> &str {
        &self.acks
    }

    /// How many chunks may be unanswered.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The next chunk: as large as was asked for, or `None` when the rest is smaller, which
    /// [`rest`](Self::rest) gives. Pending until `waker` is woken.
    ///
    /// # Errors
    /// Why there will be no more.
    pub fn next_chunk(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        waker: &Waker,
    ) -> Poll<Result<Option<Bytes>, String>> {
        if self.archive.packed().len() >= self.chunk {
            let chunk = self.archive.packed().split_to(self.chunk).freeze();
            return Poll::Ready(Ok(Some(chunk)));
        }
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        match self.make(host, now, waker) {
            Ok(true) => {
                // Outside of the stream's lock. Others have their turn before the next look.
                if self.ended || self.archive.waiting() >= PACKED {
                    self.archive.pack();
                }
                waker.wake_by_ref();
                Poll::Pending
            }
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// What is left when no whole chunk is.
    pub fn rest(&mut self) -> Bytes {
        self.archive.packed().split().freeze()
    }

    /// Makes more of the archive; false when the disk is needed first.
    fn make(&mut self, host: &mut dyn Host, now: Now, waker: &Waker) -> Result<bool, String> {
        if let Some(pos) = self.pos {
            match self.cell.is_written(Some(pos), waker) {
                Ok(false) => return Ok(false),
                Ok(true) => self.pos = None,
                Err(error) => return Err(error.to_string()),
            }
        }
        let archive = &mut self.archive;
        if let Some(state) = self.state.take() {
            let (name, time) = (STATE, self.began);
            archive.add(&Entry { name, time, payload: &state, ..Entry::default() });
            return Ok(true);
        }
        if let Some(consumer) = self.consumers.next() {
            let name = [CONSUMERS, consumer.name.as_bytes()].concat();
            let (payload, time) = (consumer.json(now), self.began);
            archive.add(&Entry { name: &name, time, payload: &payload, ..Entry::default() });
            return Ok(true);
        }
        let look = self.cell.look(host, waker, (&mut self.next, self.last), archive)?;
        if look == Look::End {
            archive.end();
            self.ended = true;
        }
        Ok(look != Look::Waits)
    }

    /// Tells who listens that it began; `state` is what the answer shows.
    pub(crate) fn announce(&self, host: &mut dyn Host, now: Now, state: &[u8]) {
        let scope = self.cell.scope();
        let subject = format!("{}STREAM.SNAPSHOT_CREATE.{}", advisory::ADVISORY, scope.stream);
        if advisory::wanted(host, &scope.account, &subject) {
            Event::advisory(host, now, "snapshot_create")
                .text("stream", &scope.stream)
                .raw("state", state)
                .raw("client", &self.client)
                .send(host, &scope.account, scope.domain.as_deref(), &subject);
        }
    }

    /// Tells who listens that it ended, and why if it is not complete.
    pub fn ended(&self, host: &mut dyn Host, now: Now, error: Option<&str>) {
        let scope = self.cell.scope();
        let subject = format!("{}STREAM.SNAPSHOT_COMPLETE.{}", advisory::ADVISORY, scope.stream);
        if advisory::wanted(host, &scope.account, &subject) {
            Event::advisory(host, now, "snapshot_complete")
                .text("stream", &scope.stream)
                .time("start", self.began)
                .time("end", now.unix_ns)
                .raw("client", &self.client)
                .text_if("error", error.unwrap_or_default())
                .send(host, &scope.account, scope.domain.as_deref(), &subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pace;

    #[test]
    fn chunks_and_windows_have_bounds() {
        assert_eq!(pace(0, 0), (128 << 10, 64));
        assert_eq!(pace(-1, -1), (128 << 10, 64));
        assert_eq!(pace(10, 10), (1024, 1));
        assert_eq!(pace(1024, 3000), (1024, 2));
        assert_eq!(pace(i64::MAX, i64::MAX), (1 << 20, 32));
        assert_eq!(pace(1024, i64::MAX), (1024, 32_768));
        assert_eq!(pace(1 << 20, 1024), (1 << 20, 1));
    }
}
