//! `natterjack completions`: scripts for shells.

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::complete::VARIABLE;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Write a completion script for a shell.
///
/// bash: source <(natterjack completions bash)
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
    /// The name that the command is called by
    #[arg(long, default_value = "natterjack", value_name = "NAME")]
    name: String,
}

/// A shell with completion.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Completions {
    // A script is data in a form of its own: `--json` does not change it.
    pub(crate) fn run(self, out: Output) -> Outcome {
        let shell: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Elvish => &Elvish,
            Shell::Fish => &Fish,
            Shell::Powershell => &Powershell,
            Shell::Zsh => &Zsh,
        };
        let mut script = Vec::new();
        let name = &self.name;
        shell
            .write_registration(VARIABLE, name, name, name, &mut script)
            .map_err(|error| Failure::io("writing the script", &error))?;
        out.data(&script);
        Ok(())
    }
}
