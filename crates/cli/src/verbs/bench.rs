//! `natterjack bench`: how much a server does, and how fast. The forms are those of `nats bench`.
//!
//! Each client is a connection with a task of its own. What they do stands in one module for each group
//! of forms ([`core`], [`service`], [`publish`], [`consume`], [`ordered`], [`get`], [`kv`]), how they are
//! started, watched and stopped in [`harness`], what comes out in [`stats`] and [`report`].

mod consume;
mod core;
mod facts;
mod get;
mod harness;
mod jetstream;
mod kv;
mod options;
mod ordered;
mod progress;
mod publish;
mod pull;
mod report;
mod service;
pub(in crate::verbs) mod stats;
mod window;

use clap::{Args, Subcommand};

use crate::connect::Context;
use crate::exit::Outcome;
use options::Common;

/// Measure how much a server does, and how fast.
///
/// Rates are messages and bytes of their bodies per second, over the time from the first client's
/// start to the last one's end. Latencies are those of round trips. Ctrl-C ends a measurement early
/// and prints what there is. Streams, consumers and buckets of other names than the default ones are
/// never removed.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    form: Form,
}

/// What is measured.
#[derive(Debug, Subcommand)]
enum Form {
    /// Publish; nothing is waited for but the end
    Pub(core::Pub),
    /// Receive what is published
    Sub(core::Sub),
    /// Requests and their answers
    Service(service::Service),
    /// Streams
    Js(jetstream::Js),
    /// Key/Value buckets
    Kv(kv::Kv),
}

impl Bench {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let common = self.common;
        common.check()?;
        match self.form {
            Form::Pub(form) => Box::pin(form.run(context, &common)).await,
            Form::Sub(form) => Box::pin(form.run(context, &common)).await,
            Form::Service(form) => Box::pin(form.run(context, &common)).await,
            Form::Js(form) => Box::pin(form.run(context, &common)).await,
            Form::Kv(form) => Box::pin(form.run(context, &common)).await,
        }
    }
}
