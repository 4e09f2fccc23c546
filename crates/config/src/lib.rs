//! nats-server's configuration language, typed options, command line, and what a reload may change.
//!
//! - [`language`]: text to a tree of values with positions.
//! - [`Options`]: the tree as typed options, with all errors of a file reported at once.
//! - [`flags`]: the command line, which wins over the file.
//! - [`reload`]: what differs between two sets of options, and whether it may change at run time.
//!
//! The crate is pure: files and environment variables come through [`language::Source`].

pub mod duration;
pub mod flags;
pub mod language;
mod names;
pub mod options;
pub mod reload;

pub use options::{ConfigError, Options};
