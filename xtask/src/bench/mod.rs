//! How fast it is, and how many instructions it takes.

mod instructions;

use anyhow::Result;

use crate::arguments::Arguments;

/// `cargo xtask bench`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    arguments.switch("--instructions");
    instructions::run(arguments)
}
