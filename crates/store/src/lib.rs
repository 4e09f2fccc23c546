//! The message log: segments, catalog, commit and recovery as state machines over disk requests.
//!
//! ```
//! use natterjack_store::{Get, Limits, Log, NewMessage};
//!
//! let mut log = Log::memory(1, Limits::default());
//! let hello = NewMessage { subject: b"greet", headers: b"", payload: b"hello", time: 1, flags: 0 };
//! let appended = log.append(hello);
//! assert_eq!(appended.seq, 1);
//! assert!(log.durable() >= appended.pos);
//! let Get::Found(message) = log.get(1) else { panic!() };
//! assert_eq!(&message.payload[..], b"hello");
//! ```

pub mod commit;
pub mod directory;

mod catalog;
mod log;
mod types;

mod chunk;
mod disk;
mod file;
mod filter;
mod index;
mod op;
mod query;
mod record;
mod recover;
mod slab;
mod subjects;
mod times;

pub use catalog::{Catalog, ID_MAX};
pub use disk::{Disk, DiskError, DiskErrorKind, DiskOp, DiskRequest, DiskResult, RequestId};
pub use file::{Blocked, FileOptions, Refused, SyncPolicy};
pub use filter::Filter;
pub use log::Log;
pub use recover::{Damage, RecoverError, Recovery, Replay, ReplayedMessage, Together, Torn};
pub use types::{
    Appended, Get, Limits, Locate, Located, LogPos, NewMessage, Next, Purge, Purged, SEQ_END,
    SEQ_MAX, SeqRange, State, Stored, SubjectState,
};
