//! Simulated disk and clock, workloads and checkers; used by tests only.
//!
//! Everything follows from a seed: a failing run is repeated by running its seed again.

mod disk;
mod model;
mod rng;

pub use disk::{Fault, SimDisk, Survival};
pub use model::{Message, Model};
pub use rng::Rng;
