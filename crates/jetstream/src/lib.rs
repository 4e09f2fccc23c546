//! Streams, consumers and the JetStream API as state machines.

pub mod ack_subject;
pub mod advisory;
pub mod ctx;
pub mod error;
pub mod host;
pub mod json;
pub mod nuid;
pub mod stream;
pub mod time;

pub use ctx::{AckReplies, Ctx, Scope};
pub use error::ApiError;
pub use host::{Delivered, Host, Outgoing};
pub use stream::StreamCell;
pub use time::Now;
