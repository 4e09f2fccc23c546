//! What the sixteen example programs share, and the programs themselves as modules.
//!
//! Each program stands in a file of its own (`01_simple/publisher.rs`, ..) and reads alone: everything
//! about NATS is in it. Here is what has nothing to do with NATS: flags ([`Options`]), printing
//! ([`Out`]), Ctrl-C ([`Stop`]), exit codes ([`Failure`]). The programs are modules of this library too,
//! so that `natterjack tour` and the tests run the very same source.

// The programs name this crate, wherever they are compiled.
extern crate self as natterjack_examples;

mod failure;
mod options;
mod out;
mod start;
mod stop;
mod time;

pub use failure::{Failure, Outcome};
pub use options::Options;
pub use out::{Kind, Line, Out};
pub use start::start;
pub use stop::{Stop, Stopper};
pub use time::{SENT_AT, age, now, number};

// `main` is for the programs alone.
#[allow(dead_code)]
#[path = "../01_simple/publisher.rs"]
pub mod simple_publisher;
#[allow(dead_code)]
#[path = "../01_simple/subscriber.rs"]
pub mod simple_subscriber;
