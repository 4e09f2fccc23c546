//! The conformance harness: cases that say what is sent and what must come back.
//!
//! A case is data (`conformance/cases/**/*.case`, see [`case`] for the format). Each one is run
//! over raw sockets against two witnesses, our server and the real nats-server, and counts only
//! where both pass. Nothing here knows the protocol beyond cutting a byte stream into operations
//! ([`wire`]), so a mistake in our own crates cannot hide itself.
//!
//! From a case file to a tick in the capability table:
//!
//! ```text
//! case::load -> runner::run (server::Server, conn::Conn, pattern, json) -> results -> table
//! shown::load (what the tests of the workspace name) ----------------------------------^
//! ```

pub mod case;
mod certificates;
mod compare;
mod conn;
mod http;
pub mod json;
mod login;
pub mod open;
mod parse;
pub mod pattern;
pub mod results;
mod run;
pub mod runner;
pub mod server;
pub mod shown;
mod step;
mod stream;
pub mod table;
pub mod text;
mod web;
pub mod wire;
