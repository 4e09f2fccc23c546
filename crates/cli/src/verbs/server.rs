//! `natterjack server`: checks for monitoring systems, and what the system account tells of servers.

mod check;
mod info;
mod list;
mod ping;
mod report;
mod request;
mod sys;

use clap::Subcommand;

use crate::connect::Context;
use crate::exit::Outcome;

pub(crate) use report::{Filter, print_statistics, statistics};
pub(crate) use sys::{Answer, OTHERS, ask, collect, gather};

/// Servers. All but `check` needs a user of the system account.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check something, for Nagios and its relatives: exits with 0 OK, 1 warning, 2 critical
    Check(Box<check::Check>),
    /// List the servers
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Ask all servers for a sign of life
    Ping(ping::Ping),
    /// Show one server
    #[command(visible_alias = "i")]
    Info(info::Info),
    /// Show what servers do, as tables
    #[command(visible_alias = "rep")]
    Report {
        #[command(subcommand)]
        verb: report::Report,
    },
    /// Ask servers for their own objects
    #[command(visible_alias = "req")]
    Request(request::Request),
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Check(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
            Self::Ping(verb) => verb.run(context).await,
            Self::Info(verb) => verb.run(context).await,
            Self::Report { verb } => verb.run(context).await,
            Self::Request(verb) => verb.run(context).await,
        }
    }
}
