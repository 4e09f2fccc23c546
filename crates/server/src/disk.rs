//! The real disk, and the threads that work on it.

mod durable;
#[cfg(test)]
pub(crate) mod faulty;
mod file_system;
mod pool;
mod queue;
mod real;

pub(crate) use pool::{IoPool, SharedDisk};
pub(crate) use queue::Waits;
pub(crate) use real::{RealDisk, lock_directory};
