//! What recovery tells: the owner of the log, and the operator.

use super::{Damage, Together};
use crate::SeqRange;
use crate::disk::DiskError;

/// What the owner of a log learns while it is replayed, in the order of the log.
///
/// Messages may be told of that a later record removes: ask [`Log::contains`](crate::Log::contains) at the end.
pub trait Replay {
    /// Whether a message of this time and with these flags is of interest. Who wants none without
    /// flags spares the start the reading of all messages; one that is wanted at some time is
    /// wanted at any later time. Others may be told of, too, and the last message of all is.
    fn wants(&self, time: i64, flags: u8) -> bool {
        let _ = (time, flags);
        true
    }

    /// A message that is stored, or was when its record was written.
    fn message(&mut self, message: &ReplayedMessage<'_>) {
        let _ = message;
    }

    /// Whether a message with these flags counts only together with others.
    fn is_part(&self, flags: u8) -> bool {
        let _ = flags;
        false
    }

    /// What a note of the owner says of the messages behind it.
    fn together(&self, kind: u8, body: &[u8]) -> Together {
        let _ = (kind, body);
        Together::Unsaid
    }

    /// A note of the owner.
    fn note(&mut self, kind: u8, body: &[u8]) {
        let _ = (kind, body);
    }
}

/// Nothing to learn.
impl Replay for () {
    fn wants(&self, _time: i64, _flags: u8) -> bool {
        false
    }
}

/// A message as it is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayedMessage<'a> {
    /// The stream sequence.
    pub seq: u64,
    /// Unix nanoseconds.
    pub time: i64,
    /// The owner's bits.
    pub flags: u8,
    /// The subject.
    pub subject: &'a [u8],
    /// The complete header block, or empty.
    pub headers: &'a [u8],
}

/// What recovery found, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Segments that are kept.
    pub segments: usize,
    /// Segments whose messages were not read, since their index lies beside them whole. They are
    /// looked at afterwards: [`Log::take_damage`](crate::Log::take_damage).
    pub taken_over: usize,
    /// Bytes of segments read.
    pub bytes: u64,
    /// Damage inside the log. What was acknowledged in it is in [`State::lost`](crate::State::lost).
    pub damage: Vec<Damage>,
    /// The tail that was cut off. Its bytes lie in `copy` unless they were all 0.
    pub torn: Option<Torn>,
    /// Messages that were there and do not count: others that belong to them are not there
    /// ([`Replay::together`]). The owner removes them, and says in a note that they are over.
    pub taken_back: Option<SeqRange>,
    /// Files beside the segments that are not whole, damaged or cut off by a crash. What they spare was
    /// read instead: nothing is lost.
    pub derived: Vec<String>,
    /// Files that hold nothing that can be read; renamed and left for an operator.
    pub set_aside: Vec<String>,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment file.
    pub path: String,
    /// Where it was cut.
    pub offset: u64,
    /// How much was cut off.
    pub len: u64,
    /// Where the bytes are now.
    pub copy: Option<String>,
}

/// Why a log cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A newer program wrote it.
    #[error("{path} has format version {version}; this program knows {}", crate::file::VERSION)]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
}
