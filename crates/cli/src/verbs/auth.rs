//! `natterjack auth`: credentials without a separate tool.

mod files;
mod quick;

use clap::Subcommand;

pub(crate) use quick::Quick;

use crate::connect::Context;
use crate::exit::Outcome;

/// Credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Make all that a server with credentials needs: operator, accounts, users, server.conf
    Quick(Quick),
}

impl Auth {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Quick(verb) => verb.run(context.out),
        }
    }
}
