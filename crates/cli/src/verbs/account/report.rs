//! `natterjack account report`: what servers tell a user of their own account.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::verbs::server::{self, Filter};

/// What is shown.
#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// Connections of this account
    #[command(visible_aliases = ["conn", "conns", "connz"])]
    Connections(Connections),
    /// What this account sends and receives
    #[command(visible_aliases = ["stats", "statsz"])]
    Statistics,
}

/// Connections of this account.
#[derive(Debug, Args)]
pub(crate) struct Connections {
    #[command(flatten)]
    filter: Filter,
    /// Highest first
    #[arg(short = 'R', long)]
    reverse: bool,
}

impl Report {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let (subject, body) = match &self {
            Self::Connections(verb) => ("$SYS.REQ.ACCOUNT.PING.CONNZ", verb.filter.body()),
            Self::Statistics => ("$SYS.REQ.ACCOUNT.PING.STATZ", json!({})),
        };
        let answers = server::ask(context, &connector, subject, &body, None).await;
        connector.close().await?;
        // Every user may ask about the own account: who does not hear has a server without it.
        let answers = answers.map_err(|failure| match failure.code {
            "sys.no_answer" => failure.hint("this server has no services for accounts"),
            _ => failure,
        })?;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.value).collect();
        match self {
            Self::Connections(verb) => verb.filter.print(context, &answers, verb.reverse),
            Self::Statistics => {
                let rows = server::statistics(&answers);
                server::print_statistics(context, "Account Statistics", &rows);
            }
        }
        Ok::<(), Failure>(())
    }
}
