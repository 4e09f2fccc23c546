//! Core NATS: publish, subscribe, request; and what waits for the server.

mod drain;
mod message;
mod outbox;
mod publish;
mod queue;
mod request;
mod serve;
mod subscribe;
mod vitals;
mod wait;
mod work;

pub use drain::DrainReport;
pub use message::Msg;
pub use publish::Publish;
pub use queue::Overflow;
pub use request::{Ask, Many, Replies, Retry, RetryOn, Until};
pub use serve::Task;
pub use subscribe::{SubscribeBuilder, Subscription};
pub use vitals::{Health, HealthLevel, Stats, SubscriptionStats};

pub(crate) use drain::{drain, send_rest, shut};
pub(crate) use message::decode_failed;
pub(crate) use outbox::{Outbox, pump_outbox, send};
pub(crate) use publish::{add_header, encode};
pub(crate) use queue::{Reader, Registry};
pub(crate) use request::{BOUNDED, inbox_reader, new_inbox, raw_request};
pub(crate) use vitals::{health, stats};
pub(crate) use wait::{barrier, flush, is_probe, round_trip};
pub(crate) use work::Work;
