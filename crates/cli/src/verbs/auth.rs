//! `natterjack auth`: operators, accounts, users and keys, without a separate tool.

mod account;
mod files;
mod inspect;
mod keys;
mod limits;
mod nkey;
mod operator;
mod quick;
mod remote;
mod resolver;
mod show;
mod store;
mod user;

use std::path::Path;

use clap::Subcommand;
use natterjack_core::jwt::{Creds, UserClaims, parse_seed};
use nkeys::KeyPair;
use serde_json::{Value, json};

pub(crate) use quick::Quick;
pub(crate) use store::Store;

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};

/// Credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Make all that a server with credentials needs: operator, accounts, users, server.conf
    Quick(Quick),
    /// Operators: who signs accounts
    #[command(visible_alias = "op")]
    Operator {
        #[command(subcommand)]
        verb: operator::Operator,
    },
    /// Accounts of an operator
    #[command(visible_alias = "acct")]
    Account {
        #[command(subcommand)]
        verb: account::Account,
    },
    /// Users of accounts
    User {
        #[command(subcommand)]
        verb: user::User,
    },
    /// Pairs of keys, signatures, sealed texts
    #[command(visible_alias = "nk")]
    Nkey {
        #[command(subcommand)]
        verb: nkey::Nkey,
    },
    /// Where servers have the accounts from
    Resolver {
        #[command(subcommand)]
        verb: resolver::Resolver,
    },
    /// Show what a token or a credentials file says, but never a seed
    Inspect(inspect::Inspect),
}

impl Auth {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        match self {
            Self::Quick(verb) => verb.run(out),
            Self::Operator { verb } => verb.run(out),
            Self::Account { verb } => verb.run(context).await,
            Self::User { verb } => verb.run(out),
            Self::Nkey { verb } => verb.run(out),
            Self::Resolver { verb } => verb.run(context).await,
            Self::Inspect(verb) => verb.run(out),
        }
    }
}

/// Seconds of Unix time.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn seed(key: &KeyPair) -> Result<String, Failure> {
    key.seed().map_err(|error| Failure::new(status::FAILED, "auth.seed", error.to_string()))
}

/// The pair whose seed is in a file.
fn key_in(file: &Path) -> Result<KeyPair, Failure> {
    let text =
        std::fs::read_to_string(file).map_err(|error| Failure::io(file.display(), &error))?;
    let bad = |why: String| {
        Failure::usage(format!("{}: {why}", file.display())).hint("a file with a seed (S…)")
    };
    let seed = parse_seed(&text).map_err(|error| bad(error.to_string()))?;
    KeyPair::from_seed(&seed).map_err(|error| bad(error.to_string()))
}

fn unsigned(error: impl std::fmt::Display) -> Failure {
    Failure::new(status::FAILED, "auth.jwt", error.to_string())
}

/// A new user's token, and the text of its credentials.
fn creds(
    mut claims: UserClaims,
    key: &KeyPair,
    account: &KeyPair,
    now: i64,
) -> Result<(String, String), Failure> {
    let jwt = claims.encode(account, now).map_err(unsigned)?;
    let creds = Creds { jwt: jwt.clone(), seed: seed(key)? };
    let text = creds
        .format()
        .map_err(|error| Failure::new(status::FAILED, "auth.creds_mismatch", error.to_string()))?;
    Ok((jwt, text))
}

/// What a system account offers the others: each may ask about itself.
fn system_exports() -> Vec<Value> {
    vec![
        json!({
            "name": "account-monitoring-services", "subject": "$SYS.REQ.ACCOUNT.*.*",
            "type": "service", "response_type": "Stream", "account_token_position": 4,
            "description": "Request account specific monitoring services",
        }),
        json!({
            "name": "account-monitoring-streams", "subject": "$SYS.ACCOUNT.*.>",
            "type": "stream", "account_token_position": 3,
            "description": "Account specific monitoring stream",
        }),
    ]
}

/// Names of operators, for completion.
pub(crate) fn operator_names() -> Vec<String> {
    Store::open().map(|store| store.operators()).unwrap_or_default()
}

/// Names of the accounts of the operator in use, for completion.
pub(crate) fn account_names() -> Vec<String> {
    let Ok(store) = Store::open() else { return Vec::new() };
    store.operator(None).map(|held| held.accounts()).unwrap_or_default()
}
