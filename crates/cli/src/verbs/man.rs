//! `natterjack man`: manual pages.

use std::path::PathBuf;

use clap::{Args, Command};
use serde_json::json;

use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Write manual pages into a directory, one for each command.
///
/// natterjack man /usr/local/share/man/man1
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory, which is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(self, command: Command, out: Output) -> Outcome {
        let failed = |error: std::io::Error| Failure::io(self.directory.display(), &error);
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        clap_mangen::generate_to(command, &self.directory).map_err(failed)?;
        match out.json {
            true => out.document(&json!({ "directory": self.directory })),
            false => out.say(format!("Wrote manual pages to {}", self.directory.display())),
        }
        Ok(())
    }
}
