//! The engine as its host sees it, row by row of jetstream.md section 7.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod api;
mod backups;
mod batches;
mod bounds;
mod consumers;
mod counters;
mod disk;
mod durable;
mod fast;
mod mirrors;
mod modes;
mod origins;
mod publish;
mod reads;
mod retention;
mod schedules;
mod starts;
mod world;
