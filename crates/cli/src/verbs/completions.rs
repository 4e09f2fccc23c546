//! `natterjack completions`: scripts for shells.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output::Output;

/// Write a completion script for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
    /// The name that the command is called by
    #[arg(long, default_value = "natterjack", value_name = "NAME")]
    name: String,
}

impl Completions {
    // A script is data in a form of its own: `--json` does not change it.
    pub(crate) fn run(self, out: Output) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), self.name, &mut script);
        out.data(&script);
        Ok(())
    }
}
