//! Atomic batches: messages that are kept aside until their commit (jetstream.md 2.7, ADR-50).
//!
//! What is kept is memory of the server, so there is a bound on the batches that are open and on
//! their bytes, over all streams, and each goes when its publisher is silent for too long. An account
//! may have as much open as is left to the others after it (D-0024).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::fast;
use super::publish::Inbound;
use crate::account::Account;
use crate::engine::Shared;
use crate::error::ApiError;
use crate::options::BatchLimits;

/// The longest id in bytes.
pub(super) const ID_MAX: usize = 64;
/// Messages of one batch, unless configured.
const MESSAGES_MAX: u64 = 1000;
/// Open batches of one stream, unless configured.
const STREAM_MAX: usize = 50;
/// Open batches of the server, unless configured: one account alone may have half, as many as nats-server
/// allows.
const SERVER_MAX: usize = 2000;
/// Bytes of all open batches of the server; a batch that would exceed its account's share is dropped.
const BYTES_MAX: usize = 256 << 20;
/// A batch without a message for so long is dropped, nanoseconds, unless configured.
pub(super) const IDLE_MAX: u64 = 10_000_000_000;

/// The limits of the configuration, which a reload changes; 0 is the default.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    per_stream: AtomicU64,
    total: AtomicU64,
    messages: AtomicU64,
    timeout_ns: AtomicU64,
}

impl Bounds {
    pub(crate) fn set(&self, limits: &BatchLimits) {
        let BatchLimits { per_stream, total, messages, timeout_ns } = *limits;
        for (bound, limit) in [
            (&self.per_stream, per_stream),
            (&self.total, total),
            (&self.messages, messages),
            (&self.timeout_ns, timeout_ns),
        ] {
            bound.store(limit.unwrap_or(0), Ordering::Relaxed);
        }
    }

    fn get(bound: &AtomicU64) -> Option<u64> {
        Some(bound.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }

    /// How many batches a stream may have open.
    pub(super) fn per_stream(&self, default: usize) -> usize {
        Self::get(&self.per_stream).map_or(default, count)
    }

    /// How many batches the server may have open, if that is configured.
    pub(super) fn total(&self) -> Option<usize> {
        Self::get(&self.total).map(count)
    }

    fn messages(&self) -> u64 {
        Self::get(&self.messages).unwrap_or(MESSAGES_MAX)
    }

    /// When a batch is dropped that hears nothing after `now`.
    pub(super) fn late(&self, now: u64) -> u64 {
        now.saturating_add(Self::get(&self.timeout_ns).unwrap_or(IDLE_MAX))
    }
}

fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// What the open batches hold: of an account, or of all.
#[derive(Debug, Default)]
pub(crate) struct Held {
    batches: AtomicUsize,
    bytes: AtomicUsize,
    /// Fast batches, which hold no messages.
    pub(super) fast: fast::Count,
    /// Of all: what the configuration allows.
    pub(crate) bounds: Bounds,
}

/// What is counted for a stream's batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding<'a> {
    pub(super) server: &'a Held,
    pub(super) account: &'a Held,
}

impl<'a> Holding<'a> {
    pub(super) fn of(shared: &'a Shared, account: &'a Account) -> Self {
        Self { server: &shared.batches, account: &account.batches }
    }

    /// Whether the account may have one batch more.
    fn has_room(self) -> bool {
        let [own, all] =
            [self.account, self.server].map(|held| held.batches.load(Ordering::Relaxed));
        self.fits(own + 1, all + 1)
    }

    /// A number that is configured is kept to the letter, whoever opens them (nats-server 2.15.1).
    fn fits(self, own: usize, all: usize) -> bool {
        self.server.bounds.total().map_or(own + all <= SERVER_MAX, |total| all <= total)
    }

    /// Counts one batch more, if the account may have it.
    fn open(self) -> bool {
        let own = self.account.batches.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.server.batches.fetch_add(1, Ordering::Relaxed) + 1;
        let fits = self.fits(own, all);
        if !fits {
            self.close(0);
        }
        fits
    }

    /// Counts bytes more; false if they are more than the account may have.
    fn grow(self, bytes: usize) -> bool {
        let own = self.account.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.server.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        own + all <= BYTES_MAX
    }

    /// Counts one batch less.
    fn close(self, bytes: usize) {
        for held in [self.server, self.account] {
            held.batches.fetch_sub(1, Ordering::Relaxed);
            held.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
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

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.headers.len() + self.payload.len()
    }

    /// What it required was checked, and is not stored.
    fn forget_level(&mut self) {
        self.headers =
            super::headers::without_line(&self.headers, b"Nats-Required-Api-Level").into();
    }

    /// As the message that ends its batch: what follows it is not stored.
    fn end_batch(&mut self) {
        self.headers =
            super::headers::append_line(&self.headers, b"Nats-Batch-Commit", b"1").into();
    }
}

#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Staged>,
    bytes: usize,
    /// Monotonic time at which it is dropped, unless another message comes.
    late: u64,
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
    /// Whether the server has the API level that the message requires, if it requires one.
    pub(super) has_level: Option<bool>,
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
    /// 10175, 10176, 10179, 10185, 10199, 10200 and 10210, in the order of nats-server 2.15.1. The batch is
    /// gone then.
    pub(super) fn take(
        &mut self,
        held: Holding<'_>,
        now: u64,
        place: Place<'_>,
        msg: &Inbound<'_>,
    ) -> Result<Step, Refused> {
        let Place { id, seq, commit, has_level } = place;
        if id.len() > ID_MAX {
            return Err(ApiError::AtomicPublishInvalidBatchId.into());
        }
        let Some(seq) = seq.and_then(super::publish::number) else {
            return Err(ApiError::AtomicPublishMissingSeq.into());
        };
        let stored = commit != Some(b"eob");
        let known = self.open.get(id).map(|batch| batch.messages.len() as u64);
        let bounds = &held.server.bounds;
        let max = bounds.messages();
        let is_large = seq.saturating_sub(u64::from(!stored)) > max;
        let too_large = |abandoned| {
            let size = max.to_string().into();
            let error = ApiError::AtomicPublishTooLargeBatch { size };
            Refused { error, abandoned }
        };
        let incomplete =
            |abandoned| Refused { error: ApiError::AtomicPublishIncompleteBatch, abandoned };
        if known.is_none() && seq != 1 {
            return Err(if is_large { too_large(None) } else { incomplete(None) });
        }
        // One that ends with its first message needs a place, too.
        if known.is_none() && (self.open.len() >= bounds.per_stream(STREAM_MAX) || !held.has_room())
        {
            return Err(ApiError::AtomicPublishTooManyInflight.into());
        }
        if commit.is_some_and(|commit| stored && commit != b"1") {
            self.drop_batch(held, id);
            return Err(ApiError::AtomicPublishInvalidBatchCommit.into());
        }
        if has_level == Some(false) {
            self.drop_batch(held, id);
            let error = ApiError::RequiredApiLevel;
            return Err(Refused { error, abandoned: Some("unsupported") });
        }
        if known.is_some_and(|len| seq != len + 1) || (seq == 1 && !stored) {
            self.drop_batch(held, id);
            return Err(incomplete(Some("incomplete")));
        }
        if is_large {
            self.drop_batch(held, id);
            return Err(too_large(Some("large")));
        }
        if known.is_none() && commit.is_none() {
            if !held.open() {
                return Err(ApiError::AtomicPublishTooManyInflight.into());
            }
            self.open.insert(id.into(), Batch::default());
        }
        let mut staged = stored.then(|| Staged::of(msg));
        if has_level.is_some() {
            staged.iter_mut().for_each(Staged::forget_level);
        }
        if commit.is_some() {
            let mut messages = self.drop_batch(held, id).unwrap_or_default();
            match (staged, messages.last_mut()) {
                (Some(staged), _) => messages.push(staged),
                (None, Some(last)) => last.end_batch(),
                (None, None) => {}
            }
            return Ok(Step::Commit(messages));
        }
        let (Some(batch), Some(staged)) = (self.open.get_mut(id), staged) else {
            return Err(incomplete(None));
        };
        let bytes = staged.bytes();
        batch.bytes += bytes;
        batch.late = bounds.late(now);
        batch.messages.push(staged);
        if !held.grow(bytes) {
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

    fn drop_batch(&mut self, held: Holding<'_>, id: &[u8]) -> Option<Vec<Staged>> {
        let batch = self.open.remove(id)?;
        held.close(batch.bytes);
        Some(batch.messages)
    }

    /// Drops all.
    pub(super) fn clear(&mut self, held: Holding<'_>) {
        for id in self.open.keys().cloned().collect::<Vec<_>>() {
            self.drop_batch(held, &id);
        }
    }

    /// Drops those whose publishers are silent. Their ids.
    pub(super) fn expire(&mut self, held: Holding<'_>, now: u64) -> Vec<Box<[u8]>> {
        let late = self.open.iter().filter(|(_, batch)| batch.late <= now);
        let mut ids: Vec<Box<[u8]>> = late.map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        for id in &ids {
            self.drop_batch(held, id);
        }
        ids
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.open.values().map(|batch| batch.late).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        batches: &mut Batches,
        held: Holding<'_>,
        (id, seq): (&str, &str),
        commit: Option<&str>,
    ) -> String {
        let place = Place {
            id: id.as_bytes(),
            seq: Some(seq.as_bytes()).filter(|seq| !seq.is_empty()),
            commit: commit.map(str::as_bytes),
            has_level: None,
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
        let (mut batches, server, account) = Default::default();
        let held = Holding { server: &server, account: &account };
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
            ("e", "1001", None, "10199 None"),
            ("e", "1001", Some("eob"), "10176 None"),
            ("e", "1002", Some("eob"), "10199 None"),
            ("g", "0", None, "10176 None"),
            ("g", "", None, "10175 None"),
            ("g", "x", None, "10175 None"),
            (long.as_str(), "1", None, "10179 None"),
            ("h", "1", None, "kept"),
            ("h", "2", Some("zz"), "10200 None"),
            ("h", "3", Some("1"), "10176 None"),
        ] {
            assert_eq!(take(&mut batches, held, (id, seq), commit), expected, "{id} {seq}");
        }
        assert_eq!((counts(&server), counts(&account)), ((0, 0), (0, 0)));
    }

    fn counts(held: &Held) -> (usize, usize) {
        (held.batches.load(Ordering::Relaxed), held.bytes.load(Ordering::Relaxed))
    }

    #[test]
    fn what_is_open_is_bounded() {
        let (mut batches, server, account) = Default::default();
        let held = Holding { server: &server, account: &account };
        for at in 0..STREAM_MAX {
            assert_eq!(take(&mut batches, held, (&at.to_string(), "1"), None), "kept");
        }
        assert_eq!(take(&mut batches, held, ("more", "1"), None), "10210 None");
        assert_eq!(take(&mut batches, held, ("more", "1"), Some("1")), "10210 None");
        for seq in 2..=MESSAGES_MAX {
            assert_eq!(take(&mut batches, held, ("7", &seq.to_string()), None), "kept");
        }
        assert_eq!(take(&mut batches, held, ("7", "1001"), None), r#"10199 Some("large")"#);
        assert_eq!(batches.next_deadline(), Some(IDLE_MAX + 5));
        assert!(batches.expire(held, IDLE_MAX + 4).is_empty());
        assert_eq!(batches.expire(held, IDLE_MAX + 5).len(), STREAM_MAX - 1);
        assert_eq!((counts(&server), counts(&account)), ((0, 0), (0, 0)));
    }

    #[test]
    fn configured_limits_are_kept_and_others_can_be_set() {
        let (mut batches, server, account) = Default::default();
        let held = Holding { server: &server, account: &account };
        let limits = BatchLimits {
            per_stream: Some(2),
            total: Some(3),
            messages: Some(2),
            timeout_ns: Some(100),
        };
        server.bounds.set(&limits);
        for (id, seq, commit, expected) in [
            ("a", "1", None, "kept"),
            ("b", "1", None, "kept"),
            ("c", "1", None, "10210 None"),
            ("a", "2", None, "kept"),
            ("a", "3", Some("eob"), "commit 2"),
            ("b", "2", None, "kept"),
            ("b", "3", Some("1"), r#"10199 Some("large")"#),
            ("d", "4", Some("eob"), "10199 None"),
            ("d", "3", Some("eob"), "10176 None"),
            ("e", "1", None, "kept"),
        ] {
            assert_eq!(take(&mut batches, held, (id, seq), commit), expected, "{id} {seq}");
        }
        assert_eq!(batches.next_deadline(), Some(105));
        // As many as are configured, whoever opens them.
        let (mut other, mut last) = <(Batches, Batches)>::default();
        let second = Held::default();
        let share = Holding { server: &server, account: &second };
        for id in ["a", "b"] {
            assert_eq!(take(&mut other, share, (id, "1"), None), "kept");
        }
        assert_eq!(take(&mut last, share, ("a", "1"), None), "10210 None");
        server.bounds.set(&BatchLimits::default());
        assert_eq!(take(&mut last, share, ("a", "1"), None), "kept");
        assert_eq!(last.next_deadline(), Some(IDLE_MAX + 5));
    }

    #[test]
    fn an_account_leaves_as_much_to_the_others_as_it_has() {
        let (server, full, other) = <(Held, Held, Held)>::default();
        let held = Holding { server: &server, account: &full };
        let mut streams = Vec::new();
        let mut open = 0;
        'all: loop {
            let mut batches = Batches::default();
            for id in 0..STREAM_MAX {
                if take(&mut batches, held, (&id.to_string(), "1"), None) != "kept" {
                    break 'all;
                }
                open += 1;
            }
            streams.push(batches);
        }
        assert_eq!(open, SERVER_MAX / 2);
        let mut batches = Batches::default();
        let share = Holding { server: &server, account: &other };
        assert_eq!(take(&mut batches, share, ("a", "1"), None), "kept");
        // So it is with bytes.
        full.bytes.store(BYTES_MAX / 2, Ordering::Relaxed);
        server.bytes.store(BYTES_MAX / 2, Ordering::Relaxed);
        let (counted, dropped) = (counts(&full), r#"10210 Some("large")"#);
        assert_eq!(take(&mut streams[0], held, ("0", "2"), None), dropped);
        assert_eq!(take(&mut batches, share, ("a", "2"), None), "kept");
        assert!(counts(&full).1 < counted.1);
    }
}
