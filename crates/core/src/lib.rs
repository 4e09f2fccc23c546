//! Core NATS: sessions, logins, accounts, permissions, interest, delivery decisions.
//!
//! A client's operation enters through [`session::Session::handle`]. What it causes is encoded into a
//! [`batch::Batch`], which hands each target its bytes once per read buffer. Parts of the server that
//! receive messages (streams, the JetStream API) are [`service::Service`]s and stand in the sublist of
//! an [`account::Account`] beside the clients' subscriptions.
//!
//! Absent on purpose: sockets (the server implements [`outbox::Wire`]), clocks (a batch carries the
//! time), password hashing (passed in as a hook).

pub mod account;
pub mod auth;
pub mod batch;
pub mod budget;
mod cache;
pub mod chunk;
pub mod client;
pub mod jwt;
pub mod mapping;
pub mod outbox;
pub mod permissions;
pub mod service;
pub mod session;
pub mod sharing;
pub mod subscription;
pub mod trace;
