//! The protocol as tables: what comes in, what must come out, whatever the fragmentation.

#![allow(clippy::unwrap_used, reason = "test helpers fail a test by panicking")]

mod connect;
mod driver;
mod encode;
mod headers;
mod info;
mod limits;
mod random;
mod reader;
mod transcripts;
