//! What the sixteen example programs share, and the programs themselves as modules.
//!
//! Each program stands in a file of its own (`01_simple/publisher.rs`, ..) and reads alone: everything
//! about NATS is in it. Here is what has nothing to do with NATS: flags ([`Options`]), printing
//! ([`Out`]), Ctrl-C ([`Stop`]), exit codes ([`Failure`]). The programs are modules of this library too,
//! so that `natterjack tour` and the tests run the very same source.

// The programs name this crate, wherever they are compiled.
extern crate self as natterjack_examples;

mod every;
mod failure;
mod options;
mod out;
mod start;
mod stop;
mod time;

pub use every::{Every, every};
pub use failure::{Failure, Outcome};
pub use options::{
    BucketOptions, Chaos, ConsumerOptions, CredsOptions, Flags, Logged, Options, SlowOptions,
    StorageOption, StreamOptions, Token, WatchOptions,
};
pub use out::{Kind, Line, Out};
pub use start::start;
pub use stop::{Stop, Stopper};
pub use time::{SENT_AT, age, now, number, timeless};

// `main` is for the programs alone.
#[allow(dead_code)]
#[path = "../04_callbacks/publisher.rs"]
pub mod callbacks_publisher;
#[allow(dead_code)]
#[path = "../04_callbacks/subscriber.rs"]
pub mod callbacks_subscriber;
#[allow(dead_code)]
#[path = "../07_connector/publisher.rs"]
pub mod connector_publisher;
#[allow(dead_code)]
#[path = "../07_connector/subscriber.rs"]
pub mod connector_subscriber;
#[allow(dead_code)]
#[path = "../02_creds/publisher.rs"]
pub mod creds_publisher;
#[allow(dead_code)]
#[path = "../02_creds/subscriber.rs"]
pub mod creds_subscriber;
#[allow(dead_code)]
#[path = "../03_jetstream/publisher.rs"]
pub mod jetstream_publisher;
#[allow(dead_code)]
#[path = "../03_jetstream/subscriber.rs"]
pub mod jetstream_subscriber;
#[allow(dead_code)]
#[path = "../05_kv/publisher.rs"]
pub mod kv_publisher;
#[allow(dead_code)]
#[path = "../05_kv/subscriber.rs"]
pub mod kv_subscriber;
#[allow(dead_code)]
#[path = "../06_kv_token/publisher.rs"]
pub mod kv_token_publisher;
#[allow(dead_code)]
#[path = "../06_kv_token/subscriber.rs"]
pub mod kv_token_subscriber;
#[allow(dead_code)]
#[path = "../08_logging/publisher.rs"]
pub mod logging_publisher;
#[allow(dead_code)]
#[path = "../08_logging/subscriber.rs"]
pub mod logging_subscriber;
#[allow(dead_code)]
#[path = "../01_simple/publisher.rs"]
pub mod simple_publisher;
#[allow(dead_code)]
#[path = "../01_simple/subscriber.rs"]
pub mod simple_subscriber;

#[path = "../07_connector/nats_connect.rs"]
mod nats_connect;
pub use nats_connect::NatsConnect;

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The programs of the page about the path compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/path.md")]
struct Path;
