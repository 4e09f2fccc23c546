//! Simulated disk and clock, workloads and checkers; used by tests only.
//!
//! Everything follows from a seed: a failing run is repeated by running its seed again.

mod model;
mod rng;

pub use model::{Message, Model};
pub use rng::Rng;
