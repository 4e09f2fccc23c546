//! The log against a plain model, on good and bad disks.

mod memory;
mod workload;
