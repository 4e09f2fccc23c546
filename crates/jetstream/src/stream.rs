//! A stream: its log, its consumers, and the lock around them.

pub mod config;
pub mod meta;
pub mod validate;

pub use config::Config;

/// One stream behind its lock. The server keeps an `Arc` of it at each subject of the stream.
#[derive(Debug)]
pub struct StreamCell {
    id: u64,
}

impl StreamCell {
    /// The stream's id, never 0: the `owner` of its disk requests and timers.
    pub fn id(&self) -> u64 {
        self.id
    }
}
