//! Streams, consumers and the JetStream API as state machines.

mod account;
pub mod ack_subject;
pub mod advisory;
mod api;
pub mod archive;
pub mod consumer;
pub mod ctx;
mod engine;
pub mod error;
pub mod host;
pub mod json;
pub mod nuid;
mod options;
mod snapshot;
pub mod stream;
mod sync;
pub mod time;

pub use account::{AccountLimits, AccountUsage};
pub use api::{ApiRequest, ClientInfo};
pub use ctx::{AckReplies, Ctx, Scope};
pub use engine::restore::{Restore, Step};
pub use engine::{JetStream, OfflineStream, RecoveredStream, RecoveryReport, StreamReport};
pub use error::ApiError;
pub use host::{Delivered, Host, Outgoing};
pub use options::{BatchLimits, DEFAULT_MAX_CONSUMERS, Options, ServerLimits};
pub use snapshot::Snapshot;
pub use stream::{Inbound, StreamCell};
pub use time::Now;
