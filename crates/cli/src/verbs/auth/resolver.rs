//! `natterjack auth resolver`: where servers have the accounts from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use natterjack_core::jwt::{KeyKind, key_kind};
use serde_json::json;

use super::files::write_private;
use super::remote;
use super::store::{Held, Store};
use super::user::Of;
use crate::candidates;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::prompt;
use crate::units;

/// Where servers have the accounts from.
#[derive(Debug, Subcommand)]
pub(crate) enum Resolver {
    /// Write a configuration with all accounts in it
    Memory(Target),
    /// Write a configuration with a directory that holds all accounts; they are pushed
    Full(Full),
    /// Write a configuration with a directory of the accounts that are in use; other servers have them
    Cache(Cache),
    /// List the accounts that servers have, as a user of the system account
    #[command(visible_alias = "list")]
    Ls(Of),
    /// Remove an account from servers, as a user of the system account
    #[command(visible_alias = "delete")]
    Rm {
        /// Name of the account, or its public key
        #[arg(add = candidates::local(super::account_names))]
        account: String,
        #[command(flatten)]
        of: Of,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// Where it is written to.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    of: Of,
    /// Write it into a new file that only you may read, and not to standard output
    #[arg(short = 'O', long = "out", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A directory of all accounts.
#[derive(Debug, Args)]
pub(crate) struct Full {
    #[command(flatten)]
    target: Target,
    /// Directory of the server
    #[arg(long, default_value = "jwt", value_name = "DIR")]
    dir: PathBuf,
    /// Refuse to remove accounts
    #[arg(long)]
    no_delete: bool,
    /// How often servers compare what they have
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = units::parse_duration)]
    interval: Duration,
    /// Most accounts; 0 is any number
    #[arg(long, default_value_t = 0, value_name = "N")]
    limit: u64,
}

/// A directory of the accounts in use.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    #[command(flatten)]
    target: Target,
    /// Directory of the server
    #[arg(long, default_value = "jwt", value_name = "DIR")]
    dir: PathBuf,
    /// How long an account is kept without being asked for anew
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = units::parse_duration)]
    ttl: Duration,
    /// Most accounts
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: u64,
}

impl Resolver {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let store = Store::open()?;
        match self {
            Self::Memory(target) => {
                let held = store.operator(target.of.operator.as_deref())?;
                let mut text = head(&held);
                text.push_str("resolver: MEMORY\n");
                text.push_str(&preload(&held, &held.accounts())?);
                target.write(out, &text)
            }
            Self::Full(Full { target, dir, no_delete, interval, limit }) => {
                let held = store.operator(target.of.operator.as_deref())?;
                let mut lines = vec![
                    "type: full".to_owned(),
                    format!("dir: {}", quoted(&dir)),
                    format!("allow_delete: {}", !no_delete),
                    format!("interval: \"{}\"", seconds(interval)),
                    "timeout: \"1.9s\"".to_owned(),
                ];
                if limit > 0 {
                    lines.push(format!("limit: {limit}"));
                }
                target.write(out, &directory(&held, &lines)?)
            }
            Self::Cache(Cache { target, dir, ttl, limit }) => {
                let held = store.operator(target.of.operator.as_deref())?;
                let lines = [
                    "type: cache".to_owned(),
                    format!("dir: {}", quoted(&dir)),
                    format!("ttl: \"{}\"", seconds(ttl)),
                    format!("limit: {limit}"),
                    "timeout: \"1.9s\"".to_owned(),
                ];
                target.write(out, &directory(&held, &lines)?)
            }
            Self::Ls(of) => {
                // Without a store the accounts are shown by their keys.
                let names = match store.operator(of.operator.as_deref()) {
                    Ok(held) => held
                        .accounts()
                        .iter()
                        .filter_map(|name| {
                            let (_, claims) = held.account(name).ok()?;
                            Some((claims.sub, name.clone()))
                        })
                        .collect(),
                    Err(failure) if of.operator.is_some() => return Err(failure),
                    Err(_) => BTreeMap::new(),
                };
                remote::list(context, &names).await
            }
            Self::Rm { account, of, force } => {
                let held = store.operator(of.operator.as_deref())?;
                let key = match key_kind(&account) {
                    Some(KeyKind::Account) => account.clone(),
                    _ => held.account(&account)?.1.sub,
                };
                let question = format!("Really remove account {account} from all servers");
                prompt::confirm(&question, force)?;
                remote::delete(context, &held, &[key]).await
            }
        }
    }
}

impl Target {
    fn write(&self, out: Output, text: &str) -> Outcome {
        match (&self.file, out.json) {
            (Some(file), json) => {
                write_private(file, text)?;
                match json {
                    true => out.document(&json!({ "file": file })),
                    false => out.say(format!("Wrote {}", file.display())),
                }
            }
            (None, true) => out.document(&json!({ "config": text })),
            (None, false) => out.data(text.as_bytes()),
        }
        Ok(())
    }
}

/// The operator and its system account.
fn head(held: &Held<'_>) -> String {
    let system = &held.claims.nats.system_account;
    let mut text = format!("# Operator {}\noperator: {}\n", held.name, held.token);
    if !system.is_empty() {
        text.push_str(&format!("system_account: {system}\n"));
    }
    text.push('\n');
    text
}

/// A directory, and what the server needs before it can be asked: the system account.
fn directory(held: &Held<'_>, lines: &[String]) -> Result<String, Failure> {
    let system = &held.claims.nats.system_account;
    let named = held
        .accounts()
        .into_iter()
        .find(|name| held.account(name).is_ok_and(|(_, claims)| claims.sub == *system));
    let named = named.ok_or_else(|| {
        let text = format!("operator {} has no system account here", held.name);
        Failure::new(status::NOT_FOUND, "auth.not_found", text)
            .hint("servers with a directory need one; natterjack auth operator add makes it")
    })?;
    let mut text = head(held);
    text.push_str("resolver {\n");
    lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text.push_str("}\n");
    text.push_str(&preload(held, &[named])?);
    Ok(text)
}

fn preload(held: &Held<'_>, accounts: &[String]) -> Result<String, Failure> {
    let mut text = "resolver_preload {\n".to_owned();
    for name in accounts {
        let (token, claims) = held.account(name)?;
        // A name may hold what ends a comment's line: nothing of it is written then.
        text.push_str(&format!("  # {}\n  {}: {token}\n", crate::table::plain(name), claims.sub));
    }
    text.push_str("}\n");
    Ok(text)
}

/// A path in a configuration.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A span as Go reads it.
fn seconds(span: Duration) -> String {
    format!("{}s", span.as_secs_f64())
}
