//! A NATS connector whose key-value watch never stalls and whose errors say what to do.
//!
//! Built on the official `async-nats`. It connects with the options that programs ask for and means
//! them, tells what happens as typed [`Event`]s, keeps every wait bounded, and answers with errors that
//! carry a stable code and a hint.
//!
//! The library never writes to standard output or standard error; it logs through `tracing`.

pub mod codec;
pub mod error;

mod auth;
mod connect;
mod core;
mod event;
pub mod jetstream;
pub mod kv;
pub mod logging;
#[cfg(feature = "metrics")]
pub mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "unmetered.rs"]
mod meters;
pub mod objects;
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(not(feature = "otel"))]
#[path = "untraced.rs"]
mod otel;
mod secret;
pub mod service;
mod signal;
#[cfg(feature = "testing")]
pub mod testing;
mod units;

#[cfg(feature = "server")]
pub use natterjack_server as server;

pub use auth::{Auth, Credentials, SecretFn, SignFn, UserClaims};
pub use connect::{
    Backoff, Connector, ConnectorBuilder, EffectiveOptions, FirstConnect, Offline, OnLameDuck,
    Reconnect, ServerId, ServerOrder, Tls,
};
pub use core::{
    Ask, DrainReport, Health, HealthLevel, Many, Msg, Overflow, Publish, Replies, Retry, RetryOn,
    Stats, SubscribeBuilder, Subscription, SubscriptionStats, Task, Until,
};
pub use error::{Error, Explain};
pub use event::{CloseReason, ConnState, DisconnectReason, Event, EventStream, Operation};
pub use jetstream::{Deliver, Delivery, JetStream, PubAck, Verdict};
pub use kv::{Kv, WatchEvent};
pub use objects::Objects;
pub use secret::Secret;
pub use units::{ByteSize, days, gib, hours, kib, mib, millis, minutes, pretty, secs};
