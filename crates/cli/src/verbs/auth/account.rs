//! `natterjack auth account`: accounts of an operator.

mod keys;

use std::time::Duration;

use clap::{Args, Subcommand};
use natterjack_core::jwt::{AccountClaims, KeyKind, SigningKey, key_kind};
use nkeys::KeyPair;
use serde_json::json;

use super::limits::Limits;
use super::remote;
use super::store::{Held, Store};
use super::user::{Of, expiry};
use super::{now, show};
use crate::candidates;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::prompt;
use crate::table::Table;
use crate::units;

/// Accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Make an account, with a signing key
    Add(Add),
    /// Show an account
    #[command(visible_aliases = ["show", "view"])]
    Info(Name),
    /// List the accounts
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        of: Of,
        /// Names only
        #[arg(short, long)]
        names: bool,
    },
    /// Change an account
    Edit(Edit),
    /// Remove an account with its users, here; `auth resolver rm` removes it from servers
    #[command(visible_alias = "remove")]
    Rm {
        #[command(flatten)]
        name: Name,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
    /// Give an account to the servers, as a user of the system account
    Push(Name),
    /// Ask the servers for an account, as a user of the system account
    Query {
        /// Name of the account, or its public key
        #[arg(add = candidates::local(super::account_names))]
        account: String,
        #[command(flatten)]
        of: Of,
    },
    /// Keys that sign users beside the account's own, with or without a role
    Keys {
        #[command(subcommand)]
        verb: keys::Keys,
    },
    /// Make void what a user has been given until now; push the account then
    Revoke(Revoke),
}

/// An account.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the account
    #[arg(add = candidates::local(super::account_names))]
    account: String,
    #[command(flatten)]
    of: Of,
}

/// Make an account.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the account
    name: String,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    options: Options,
}

/// Change an account.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long it is valid; 0 is for ever
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    expire: Option<Duration>,
    /// Tags, may be given several times; they take the place of those there are
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Option<Vec<String>>,
    #[command(flatten)]
    limits: Limits,
}

/// Make void what a user has been given until now.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Name of the account
    #[arg(add = candidates::local(super::account_names))]
    account: String,
    /// Name of the user, its public key, or `*` for all
    who: String,
    #[command(flatten)]
    of: Of,
    /// Take the revocation back
    #[arg(long)]
    undo: bool,
}

impl Account {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let store = Store::open()?;
        match self {
            Self::Add(verb) => verb.run(out, &store),
            Self::Info(Name { account, of }) => {
                let (_, claims) = store.operator(of.operator.as_deref())?.account(&account)?;
                show::print(out, &claims, show::account)
            }
            Self::Ls { of, names } => ls(out, &store.operator(of.operator.as_deref())?, names),
            Self::Edit(Edit { name, options }) => {
                let held = store.operator(name.of.operator.as_deref())?;
                let (_, claims) = held.account(&name.account)?;
                options.write(out, &held, claims, &[])
            }
            Self::Rm { name, force } => {
                rm(out, &store.operator(name.of.operator.as_deref())?, &name.account, force)
            }
            Self::Push(Name { account, of }) => {
                let (token, claims) = store.operator(of.operator.as_deref())?.account(&account)?;
                remote::push(context, &claims, &token).await
            }
            Self::Query { account, of } => {
                // Who asks for a key needs no store.
                let (key, own) = match key_kind(&account) {
                    Some(KeyKind::Account) => (account, None),
                    _ => {
                        let held = store.operator(of.operator.as_deref())?;
                        let (token, claims) = held.account(&account)?;
                        (claims.sub, Some(token))
                    }
                };
                remote::query(context, &key, own.as_deref()).await
            }
            Self::Keys { verb } => verb.run(out, &store),
            Self::Revoke(verb) => verb.run(out, &store),
        }
    }
}

impl Add {
    fn run(self, out: Output, store: &Store) -> Outcome {
        let held = store.operator(self.of.operator.as_deref())?;
        held.no_account(&self.name)?;
        let [account, signer] = [KeyPair::new_account(), KeyPair::new_account()];
        let mut claims = AccountClaims::new(&self.name, &account.public_key());
        claims.nats.signing_keys = vec![SigningKey::Plain(signer.public_key())];
        self.options.write(out, &held, claims, &[account, signer])
    }
}

impl Options {
    /// Puts the options into the claims, signs and keeps them, with the keys of one that is new.
    fn write(
        self,
        out: Output,
        held: &Held<'_>,
        mut claims: AccountClaims,
        new: &[KeyPair],
    ) -> Outcome {
        let now = now();
        let body = &mut claims.nats;
        if let Some(text) = self.description {
            body.description = text;
        }
        if let Some(tags) = self.tag {
            body.tags = tags.into_iter().filter(|tag| !tag.is_empty()).collect();
        }
        self.limits.apply(&mut body.limits);
        if let Some(after) = self.expire {
            claims.exp = expiry(now, after)?;
        }
        new.iter().try_for_each(|key| held.store.keep(key))?;
        held.sign_account(&mut claims, now)?;
        show::print(out, &claims, show::account)
    }
}

fn ls(out: Output, held: &Held<'_>, names: bool) -> Outcome {
    let all = held.accounts();
    if names {
        out.names(&all);
        return Ok(());
    }
    let read = all.iter().filter_map(|name| out.or_warn(held.account(name)));
    let rows: Vec<AccountClaims> = read.map(|(_, claims)| claims).collect();
    let is_system = |claims: &AccountClaims| claims.sub == held.claims.nats.system_account;
    if out.json {
        let object = |claims: &AccountClaims| {
            json!({"name": claims.name, "subject": claims.sub, "expires": claims.exp,
                "system": is_system(claims), "users": held.users(&claims.name).len()})
        };
        out.document(&rows.iter().map(object).collect::<Vec<_>>());
        return Ok(());
    }
    if rows.is_empty() {
        out.say("No accounts; natterjack auth account add NAME makes one");
        return Ok(());
    }
    let head = ["Name", "Subject", "Users", "System", "Expires"];
    let title = format!("Accounts of {}", held.name);
    let mut table = Table::new(title, &head).right(&[2]);
    for claims in &rows {
        table.row([
            claims.name.clone(),
            claims.sub.clone(),
            held.users(&claims.name).len().to_string(),
            if is_system(claims) { "yes".to_owned() } else { String::new() },
            show::expiry(claims.exp),
        ]);
    }
    table.print(&out);
    Ok(())
}

fn rm(out: Output, held: &Held<'_>, name: &str, force: bool) -> Outcome {
    let (_, claims) = held.account(name)?;
    if claims.sub == held.claims.nats.system_account {
        let text = format!("{name} is the system account of operator {}", held.name);
        return Err(Failure::new(status::CONFLICT, "auth.system_account", text)
            .hint("servers need it; another account can be removed"));
    }
    let users = held.users(name);
    let question = format!("Really remove account {name} with {} users", users.len());
    prompt::confirm(&question, force)?;
    let mut keys: Vec<String> =
        claims.nats.signing_keys.iter().map(|key| key.key().to_owned()).collect();
    for user in &users {
        // A token that cannot be read goes with the others.
        if let Ok((_, user)) = held.user(name, user) {
            keys.push(user.sub);
        }
    }
    keys.push(claims.sub.clone());
    held.remove_account(name)?;
    keys.iter().try_for_each(|key| held.store.forget(key))?;
    match out.json {
        true => out.document(&json!({"removed": name, "subject": claims.sub})),
        false => out.say(format!("Removed account {name} ({})", claims.sub)),
    }
    Ok(())
}

impl Revoke {
    fn run(self, out: Output, store: &Store) -> Outcome {
        let held = store.operator(self.of.operator.as_deref())?;
        let (_, mut claims) = held.account(&self.account)?;
        let key = match (self.who.as_str(), key_kind(&self.who)) {
            ("*", _) | (_, Some(KeyKind::User)) => self.who.clone(),
            _ => held.user(&self.account, &self.who)?.1.sub,
        };
        let now = now();
        if !self.undo {
            claims.nats.revocations.insert(key, now);
        } else if claims.nats.revocations.remove(&key).is_none() {
            let text = format!("{} is not revoked", self.who);
            return Err(Failure::new(status::NOT_FOUND, "auth.not_found", text)
                .hint(format!("natterjack auth account info {}", self.account)));
        }
        held.sign_account(&mut claims, now)?;
        show::print(out, &claims, show::account)?;
        if !out.json {
            out.line(format!("\nNext: natterjack auth account push {}", self.account));
        }
        Ok(())
    }
}
