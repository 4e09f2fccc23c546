//! The verbs, one file each.

pub(crate) mod account;
pub(crate) mod auth;
pub(crate) mod bench;
mod bucket;
pub(crate) mod completions;
pub(crate) mod consumer;
pub(crate) mod context;
pub(crate) mod kv;
pub(crate) mod object;
pub(crate) mod publish;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod rtt;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod subscribe;
