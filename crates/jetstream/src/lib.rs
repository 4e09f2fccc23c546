//! Streams, consumers and the JetStream API as state machines.

pub mod ack_subject;
pub mod error;
pub mod json;
pub mod nuid;
pub mod time;

pub use error::ApiError;
pub use time::Now;
