//! Atomic batches: messages that are kept aside until their commit (jetstream.md 2.7, ADR-50).
//!
//! What is kept is memory of the server, so there is a bound on the batches that are open and on
//! their bytes, over all streams, and each goes when its publisher is silent for too long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fast;
use super::publish::Inbound;
use crate::error::ApiError;

/// The longest id in bytes.
pub(super) const ID_MAX: usize = 64;
/// Messages of one batch.
pub(super) const MESSAGES_MAX: usize = 1000;
/// Open batches of one stream.
const STREAM_MAX: usize = 50;
/// Open batches of the server.
const SERVER_MAX: usize = 1000;
/// Bytes of all open batches of the server; a batch that would exceed them is dropped.
const BYTES_MAX: usize = 256 << 20;
/// A batch without a message for so long is dropped, nanoseconds.
pub(super) const IDLE_MAX: u64 = 10_000_000_000;

/// What the open batches of all streams hold.
#[derive(Debug, Default)]
pub(crate) struct Held {
    batches: AtomicUsize,
    bytes: AtomicUsize,
    /// Fast batches, which hold no messages.
    pub(super) fast: fast::Count,
}

/// A message that waits for the commit.
#[derive(Debug)]
pub(super) struct Staged {
    subject: Box<[u8]>,
    headers: Box<[u8]>,
    payload: Box<[u8]>,
}

impl Staged {
    pub(super) fn of(msg: &Inbound<'_>) -> Self {
        let Inbound { subject, headers, payload, .. } = *msg;
        Self { subject: subject.into(), headers: headers.into(), payload: payload.into() }
    }

    pub(super) fn message(&self) -> Inbound<'_> {
        let Self { subject, headers, payload } = self;
        Inbound { subject, reply: None, headers, payload }
    }

    fn bytes(&self) -> usize {
        self.subject.len() + self.headers.len() + self.payload.len()
    }
}

#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Staged>,
    bytes: usize,
    /// Monotonic time of the last message.
    last: u64,
}

/// The open batches of one stream.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: HashMap<Box<[u8]>, Batch>,
}

/// What a publisher says of a message's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) id: &'a [u8],
    pub(super) seq: Option<&'a [u8]>,
    pub(super) commit: Option<&'a [u8]>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Step {
    /// It waits.
    Kept,
    /// The batch is complete.
    Commit(Vec<Staged>),
}

/// Why a message was refused, and what is said of its batch, if that is gone.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: ApiError,
    pub(super) abandoned: Option<&'static str>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, abandoned: None }
    }
}

impl Batches {
    /// Takes a message.
    ///
    /// # Errors
    /// 10175, 10176, 10179, 10199, 10200 and 10210. The batch is gone then, but for 10210.
    pub(super) fn take(
        &mut self,
        held: &Held,
        now: u64,
        place: Place<'_>,
        msg: &Inbound<'_>,
    ) -> Result<Step, Refused> {
        let Place { id, seq, commit } = place;
        if id.len() > ID_MAX {
            return Err(ApiError::AtomicPublishInvalidBatchId.into());
        }
        let Some(seq) = seq.and_then(super::publish::number) else {
            return Err(ApiError::AtomicPublishMissingSeq.into());
        };
        let stored = match commit {
            None | Some(b"1") => true,
            Some(b"eob") => false,
            Some(_) => {
                self.drop_batch(held, id);
                return Err(ApiError::AtomicPublishInvalidBatchCommit.into());
            }
        };
        let known = self.open.get(id).map(|batch| batch.messages.len() as u64);
        let incomplete =
            |abandoned| Refused { error: ApiError::AtomicPublishIncompleteBatch, abandoned };
        match known {
            Some(len) if seq != len + 1 => {
                self.drop_batch(held, id);
                return Err(incomplete(Some("incomplete")));
            }
            None if seq != 1 => return Err(incomplete(None)),
            None if !stored => return Err(incomplete(Some("incomplete"))),
            _ => {}
        }
        if stored && seq > MESSAGES_MAX as u64 {
            self.drop_batch(held, id);
            let error = ApiError::AtomicPublishTooLargeBatch { size: "1000".into() };
            return Err(Refused { error, abandoned: Some("large") });
        }
        if known.is_none() && commit.is_none() {
            let crowded =
                self.open.len() >= STREAM_MAX || held.batches.load(Ordering::Relaxed) >= SERVER_MAX;
            if crowded {
                return Err(ApiError::AtomicPublishTooManyInflight.into());
            }
            held.batches.fetch_add(1, Ordering::Relaxed);
            self.open.insert(id.into(), Batch::default());
        }
        let staged = stored.then(|| Staged::of(msg));
        if commit.is_some() {
            let mut messages = self.drop_batch(held, id).unwrap_or_default();
            messages.extend(staged);
            return Ok(Step::Commit(messages));
        }
        let (Some(batch), Some(staged)) = (self.open.get_mut(id), staged) else {
            return Err(incomplete(None));
        };
        let bytes = staged.bytes();
        batch.bytes += bytes;
        batch.last = now;
        batch.messages.push(staged);
        if held.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES_MAX {
            self.drop_batch(held, id);
            let error = ApiError::AtomicPublishTooManyInflight;
            return Err(Refused { error, abandoned: Some("large") });
        }
        Ok(Step::Kept)
    }

    /// The subjects of the messages that wait in a batch.
    pub(super) fn subjects(&self, id: &[u8]) -> impl Iterator<Item = &[u8]> {
        let messages = self.open.get(id).map_or(&[][..], |batch| &batch.messages);
        messages.iter().map(|staged| &*staged.subject)
    }

    /// Drops a batch. True if it was there.
    pub(super) fn abandon(&mut self, held: &Held, id: &[u8]) -> bool {
        self.drop_batch(held, id).is_some()
    }

    fn drop_batch(&mut self, held: &Held, id: &[u8]) -> Option<Vec<Staged>> {
        let batch = self.open.remove(id)?;
        held.batches.fetch_sub(1, Ordering::Relaxed);
        held.bytes.fetch_sub(batch.bytes, Ordering::Relaxed);
        Some(batch.messages)
    }

    /// Drops all.
    pub(super) fn clear(&mut self, held: &Held) {
        for id in self.open.keys().cloned().collect::<Vec<_>>() {
            self.drop_batch(held, &id);
        }
    }

    /// Drops those whose publishers are silent. Their ids.
    pub(super) fn expire(&mut self, held: &Held, now: u64) -> Vec<Box<[u8]>> {
        let late = |batch: &Batch| batch.last.saturating_add(IDLE_MAX) <= now;
        let late = self.open.iter().filter(|(_, batch)| late(batch));
        let mut ids: Vec<Box<[u8]>> = late.map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        for id in &ids {
            self.drop_batch(held, id);
        }
        ids
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.open.values().map(|batch| batch.last.saturating_add(IDLE_MAX)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        batches: &mut Batches,
        held: &Held,
        (id, seq): (&str, &str),
        commit: Option<&str>,
    ) -> String {
        let place = Place {
            id: id.as_bytes(),
            seq: Some(seq.as_bytes()).filter(|seq| !seq.is_empty()),
            commit: commit.map(str::as_bytes),
        };
        let msg = Inbound { subject: b"s", reply: None, headers: b"", payload: b"1234" };
        match batches.take(held, 5, place, &msg) {
            Ok(Step::Kept) => "kept".into(),
            Ok(Step::Commit(messages)) => format!("commit {}", messages.len()),
            Err(Refused { error, abandoned }) => format!("{} {abandoned:?}", error.err_code()),
        }
    }

    #[test]
    fn sequences_follow_the_reference() {
        let (mut batches, held) = (Batches::default(), Held::default());
        let long = "x".repeat(65);
        let some = r#"10176 Some("incomplete")"#;
        for (id, seq, commit, expected) in [
            ("a", "1", None, "kept"),
            ("a", "2", None, "kept"),
            ("a", "3", Some("1"), "commit 3"),
            ("b", "1", Some("1"), "commit 1"),
            ("c", "1", None, "kept"),
            ("c", "2", Some("eob"), "commit 1"),
            ("d", "1", Some("eob"), some),
            ("e", "2", None, "10176 None"),
            ("f", "1", None, "kept"),
            ("f", "1", None, some),
            ("f", "2", None, "10176 None"),
            ("g", "0", None, "10176 None"),
            ("g", "", None, "10175 None"),
            ("g", "x", None, "10175 None"),
            (long.as_str(), "1", None, "10179 None"),
            ("h", "1", None, "kept"),
            ("h", "2", Some("zz"), "10200 None"),
            ("h", "3", Some("1"), "10176 None"),
        ] {
            assert_eq!(take(&mut batches, &held, (id, seq), commit), expected, "{id} {seq}");
        }
        assert_eq!(held.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(held.batches.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_open_is_bounded() {
        let (mut batches, held) = (Batches::default(), Held::default());
        for at in 0..STREAM_MAX {
            assert_eq!(take(&mut batches, &held, (&at.to_string(), "1"), None), "kept");
        }
        assert_eq!(take(&mut batches, &held, ("more", "1"), None), "10210 None");
        assert_eq!(take(&mut batches, &held, ("more", "1"), Some("1")), "commit 1");
        for seq in 2..=MESSAGES_MAX {
            assert_eq!(take(&mut batches, &held, ("7", &seq.to_string()), None), "kept");
        }
        assert_eq!(take(&mut batches, &held, ("7", "1001"), None), r#"10199 Some("large")"#);
        assert_eq!(batches.next_deadline(), Some(IDLE_MAX + 5));
        assert!(batches.expire(&held, IDLE_MAX + 4).is_empty());
        assert_eq!(batches.expire(&held, IDLE_MAX + 5).len(), STREAM_MAX - 1);
        held.bytes.store(BYTES_MAX, Ordering::Relaxed);
        assert_eq!(take(&mut batches, &held, ("9", "1"), None), r#"10210 Some("large")"#);
        assert_eq!(held.bytes.load(Ordering::Relaxed), BYTES_MAX);
        assert_eq!(held.batches.load(Ordering::Relaxed), 0);
    }
}
