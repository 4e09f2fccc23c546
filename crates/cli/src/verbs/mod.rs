//! The verbs, one file each.

pub(crate) mod account;
pub(crate) mod auth;
pub(crate) mod bench;
mod bucket;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consumer;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod kv;
pub(crate) mod latency;
pub(crate) mod man;
pub(crate) mod object;
pub(crate) mod publish;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod rtt;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod stream;
pub(crate) mod subscribe;
pub(crate) mod top;
