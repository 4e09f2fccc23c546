//! The engine as its host sees it, row by row of jetstream.md section 7.

mod api;
mod consumers;
mod publish;
mod reads;
mod world;
