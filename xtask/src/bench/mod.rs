//! How fast it is beside nats-server, and how many instructions its hot paths take.

mod compare;
mod flood;
mod instructions;
mod process;
mod scenarios;
mod table;

use anyhow::Result;

use crate::arguments::Arguments;

pub(crate) use flood::run as flood;
pub(crate) use process::{Usage, pinned};

/// `cargo xtask bench`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    if arguments.switch("--instructions") {
        instructions::run(arguments)
    } else {
        compare::run(arguments)
    }
}
