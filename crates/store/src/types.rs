//! The words of the log: positions, messages, answers, limits and counters.

use crate::record::Shape;

/// Adds a removed sequence, extending the last run where it continues it.
pub(crate) fn push_range(ranges: &mut Vec<SeqRange>, seq: u64) {
    match ranges.last_mut() {
        Some(last) if last.last + 1 == seq => last.last = seq,
        _ => ranges.push(SeqRange { first: seq, last: seq }),
    }
}

/// A position in a stream's log: the end of some appended record.
///
/// Positions grow with each appended record (messages, removals, notes) and are only compared: a
/// record is safe once [`Log::durable`](crate::Log::durable) is at or above its position. They
/// mean nothing after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPos(pub u64);

/// A message that is to be appended.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// The subject under which it is stored.
    pub subject: &'a [u8],
    /// The complete header block from `NATS/1.0\r\n` to the blank line, or empty.
    pub headers: &'a [u8],
    /// The payload, without the final CRLF.
    pub payload: &'a [u8],
    /// Unix time in nanoseconds. The log stores it as given.
    pub time: i64,
    /// Bits of the owner's own meaning, stored with the message.
    pub flags: u8,
}

/// A stored message, as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The stream sequence.
    pub seq: u64,
    /// Unix time in nanoseconds at which it was stored.
    pub time: i64,
    /// The owner's bits from [`NewMessage::flags`].
    pub flags: u8,
    /// The subject.
    pub subject: &'a [u8],
    /// The complete header block, or empty.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// What [`Log::get`](crate::Log::get) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Get<'a> {
    /// The message.
    Found(Stored<'a>),
    /// There is no such message: never stored, removed, or beyond the last.
    Missing,
    /// The block that holds it has been requested; ask again after the next
    /// [`Log::completed`](crate::Log::completed).
    Pending,
    /// The record exists and its checksum does not fit, or the disk cannot read it.
    Damaged,
}

/// What [`Log::locate`](crate::Log::locate) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locate {
    /// The message, at hand.
    Found(Located),
    /// As [`Get::Missing`].
    Missing,
    /// As [`Get::Pending`].
    Pending,
    /// As [`Get::Damaged`].
    Damaged,
}

/// A message that is at hand, and where: good for [`Log::message`](crate::Log::message) until the
/// log changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    pub(crate) shape: Shape,
    pub(crate) place: Place,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Located {
    /// The stream sequence.
    pub fn seq(&self) -> u64 {
        self.shape.seq
    }

    /// Unix time in nanoseconds at which it was stored.
    pub fn time(&self) -> i64 {
        self.shape.time
    }

    /// Bytes of the subject.
    pub fn subject_len(&self) -> usize {
        self.shape.subject as usize
    }

    /// Bytes of headers and payload together.
    pub fn content_len(&self) -> usize {
        self.shape.headers as usize + self.shape.payload as usize
    }
}

/// What holds a record that is at hand; `Located::start` is an offset of the chunk or segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Memory { chunk: usize, slab: usize },
    File(crate::file::Held),
}

/// What a search for a sequence found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The sequence.
    Found(u64),
    /// No stored message fits.
    End,
    /// A block that the search needs has been requested; ask again after the next
    /// [`Log::completed`](crate::Log::completed).
    Pending,
}

/// Limits that the log enforces by discarding old messages while it appends.
///
/// `None` is unlimited. Per-subject first, then counts, then bytes; a message larger than
/// `max_bytes` is stored and removed at once (nats-server 2.15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Messages in the stream.
    pub max_msgs: Option<u64>,
    /// Accounted bytes in the stream, as in [`State::bytes`].
    pub max_bytes: Option<u64>,
    /// Messages on one subject.
    pub max_msgs_per_subject: Option<u64>,
}

/// A run of sequences, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeqRange {
    /// The first sequence of the run.
    pub first: u64,
    /// The last sequence of the run, not below `first`.
    pub last: u64,
}

impl SeqRange {
    /// How many sequences the run has.
    pub fn count(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The counters that `STREAM.INFO` shows. They include what is appended but not durable yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Stored messages.
    pub messages: u64,
    /// Their bytes by nats-server's accounting: file 30 + subject + payload (+ 4 + headers),
    /// memory 16 + subject + headers + payload.
    pub bytes: u64,
    /// The lowest stored sequence, or `last_seq + 1` when empty.
    pub first_seq: u64,
    /// Unix nanoseconds of the first stored message; 0 when empty.
    pub first_time: i64,
    /// The highest sequence handed out.
    pub last_seq: u64,
    /// Unix nanoseconds of the last appended message or skip; 0 when there was none.
    pub last_time: i64,
    /// Messages that damage took: acknowledged once, unreadable now. Sorted.
    pub lost: Vec<SeqRange>,
}

impl State {
    /// Sequences between the first and the last that hold no message.
    pub fn num_deleted(&self) -> u64 {
        if self.messages == 0 { 0 } else { self.last_seq - self.first_seq + 1 - self.messages }
    }
}

/// Where an appended record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The sequence handed out.
    pub seq: u64,
    /// The position that must be durable before anybody is told.
    pub pos: LogPos,
}

/// The highest sequence at which a stream may be told to go on, 2^62: by its configuration, a purge, a
/// backup or an origin. From there it can count for as long as anybody publishes (D-0027).
pub const SEQ_MAX: u64 = 1 << 62;

/// No stream comes so far, 2^63 - 1: a higher sequence in a file is damage.
pub const SEQ_END: u64 = i64::MAX as u64;

/// What to purge. At most one of `below_seq` and `keep` is given (nats-server answers 10003
/// otherwise); if both are, a message goes only when both let it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purge<'a> {
    /// Only messages whose subject matches; wildcards allowed. `None` means all.
    pub filter: Option<&'a [u8]>,
    /// Only messages below this sequence. Without a filter and beyond `last + 1` the next
    /// sequence handed out becomes this one.
    pub below_seq: Option<u64>,
    /// Keep the newest this many of the matching messages.
    pub keep: Option<u64>,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Messages removed.
    pub count: u64,
    /// The position that must be durable before the purge is answered.
    pub pos: LogPos,
}

/// The messages on one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubjectState {
    /// The lowest stored sequence on the subject.
    pub first: u64,
    /// The highest stored sequence on the subject.
    pub last: u64,
    /// How many messages are stored on it; never 0.
    pub count: u64,
}
