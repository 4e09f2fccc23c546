//! `natterjack auth operator`: who signs accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use natterjack_core::jwt::{
    AccountClaims, Operator as Body, OperatorClaims, UserClaims, decode, find_token,
};
use nkeys::{KeyPair, KeyPairType};
use serde_json::json;

use super::keys::{Keys, print_keys};
use super::store::{Held, Store, move_away};
use super::{creds, now, show, system_exports, unsigned};
use crate::candidates;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::table::Table;

/// Operators.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Make an operator, with a signing key, and its system account SYS with the user sys
    Add {
        /// Name of the operator
        name: String,
    },
    /// Show an operator
    #[command(visible_aliases = ["show", "view"])]
    Info {
        /// Name of the operator; without one, the one in use
        #[arg(add = candidates::local(super::operator_names))]
        name: Option<String>,
    },
    /// List the operators
    #[command(visible_alias = "list")]
    Ls {
        /// Names only
        #[arg(short, long)]
        names: bool,
    },
    /// Change an operator
    Edit(Edit),
    /// Use an operator from now on
    Select {
        /// Name of the operator
        #[arg(add = candidates::local(super::operator_names))]
        name: String,
    },
    /// Take in an operator that was made elsewhere
    Import(Import),
    /// Keys that sign accounts beside the operator's own
    Keys {
        #[command(subcommand)]
        verb: Keys,
    },
}

/// Change an operator.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Name of the operator; without one, the one in use
    #[arg(add = candidates::local(super::operator_names))]
    name: Option<String>,
    /// Addresses of its servers, may be given several times; they take the place of those there are
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    service: Option<Vec<String>>,
    /// Where tools push accounts to
    #[arg(long, value_name = "URL")]
    account_server: Option<String>,
    /// Whether only signing keys may sign, and not the keys of operator and accounts
    #[arg(long, value_name = "YES")]
    require_signing_keys: Option<bool>,
    /// Tags, may be given several times; they take the place of those there are
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Option<Vec<String>>,
}

/// Take in an operator that was made elsewhere.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// File with its token
    file: PathBuf,
    /// File with its seed, or that of a signing key; without one it can only be looked at
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Operator {
    pub(super) fn run(self, out: Output) -> Outcome {
        let store = Store::open()?;
        match self {
            Self::Add { name } => add(out, &store, &name),
            Self::Info { name } => {
                let held = store.operator(name.as_deref())?;
                show::print(out, &held.claims, show::operator)
            }
            Self::Ls { names } => ls(out, &store, names),
            Self::Edit(verb) => verb.run(out, &store),
            Self::Select { name } => {
                store.select(&name)?;
                let held = store.operator(Some(&name))?;
                show::print(out, &held.claims, show::operator)
            }
            Self::Import(verb) => verb.run(out, &store),
            Self::Keys { verb } => keys(out, &store, verb),
        }
    }
}

fn add(out: Output, store: &Store, name: &str) -> Outcome {
    let now = now();
    let [operator, signer] = [KeyPair::new_operator(), KeyPair::new_operator()];
    let [system, system_signer] = [KeyPair::new_account(), KeyPair::new_account()];
    let user = KeyPair::new_user();
    let mut claims = OperatorClaims::new(name, &operator.public_key());
    claims.nats.signing_keys = vec![signer.public_key()];
    claims.nats.system_account = system.public_key();
    let token = claims.encode(&operator, now).map_err(unsigned)?;
    let is_first = store.operators().is_empty();
    store.add_operator(name, &token, false)?;
    for key in [&operator, &signer, &system, &system_signer, &user] {
        store.keep(key)?;
    }
    let held = store.operator(Some(name))?;
    let mut account = AccountClaims::new("SYS", &system.public_key());
    account.nats.exports = system_exports();
    account.nats.signing_keys =
        vec![natterjack_core::jwt::SigningKey::Plain(system_signer.public_key())];
    held.sign_account(&mut account, now)?;
    let sys = UserClaims::new("sys", &user.public_key());
    let (token, text) = creds(sys, &user, &system, now)?;
    held.write_user("SYS", "sys", &token)?;
    held.write_creds("SYS", "sys", &text)?;
    if is_first {
        store.select(name)?;
    }
    show::print(out, &held.claims, show::operator)?;
    if !out.json {
        out.line(format!(
            "\nCredentials of the user sys: {}",
            held.creds_path("SYS", "sys").display()
        ));
        out.line("Next: natterjack auth account add NAME");
    }
    Ok(())
}

fn ls(out: Output, store: &Store, names: bool) -> Outcome {
    let all = store.operators();
    if names {
        out.names(&all);
        return Ok(());
    }
    let selected = store.selected();
    let read = all.iter().filter_map(|name| out.or_warn(store.operator(Some(name))));
    let rows: Vec<Held<'_>> = read.collect();
    if out.json {
        let object = |held: &Held<'_>| {
            json!({"name": held.name, "subject": held.claims.sub,
                "selected": selected.as_ref() == Some(&held.name),
                "accounts": held.accounts().len()})
        };
        out.document(&rows.iter().map(object).collect::<Vec<_>>());
        return Ok(());
    }
    if rows.is_empty() {
        out.say("No operators; natterjack auth operator add NAME makes one");
        return Ok(());
    }
    let mut table =
        Table::new("Operators", &["Name", "Subject", "Accounts", "Expires"]).right(&[2]);
    for held in &rows {
        let mark = if selected.as_ref() == Some(&held.name) { "*" } else { "" };
        table.row([
            format!("{}{mark}", held.name),
            held.claims.sub.clone(),
            held.accounts().len().to_string(),
            show::expiry(held.claims.exp),
        ]);
    }
    table.print(&out);
    Ok(())
}

impl Edit {
    fn run(self, out: Output, store: &Store) -> Outcome {
        let mut held = store.operator(self.name.as_deref())?;
        let body = &mut held.claims.nats;
        let filled =
            |texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty()).collect();
        if let Some(urls) = self.service {
            body.operator_service_urls = filled(urls);
        }
        if let Some(url) = self.account_server {
            body.account_server_url = url;
        }
        if let Some(tags) = self.tag {
            body.tags = filled(tags);
        }
        if let Some(strict) = self.require_signing_keys {
            body.strict_signing_key_usage = strict;
            can_sign(body)?;
        }
        held.sign_self(now())?;
        show::print(out, &held.claims, show::operator)
    }
}

/// Refuses that only signing keys may sign where there is none.
fn can_sign(operator: &Body) -> Outcome {
    match operator.strict_signing_key_usage && operator.signing_keys.is_empty() {
        false => Ok(()),
        true => Err(Failure::usage("there is no signing key that could sign then")
            .hint("natterjack auth operator keys add")),
    }
}

impl Import {
    fn run(self, out: Output, store: &Store) -> Outcome {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))
        };
        let text = read(&self.file)?;
        let token = find_token(&text).ok_or_else(|| {
            Failure::usage(format!("{} holds no token", self.file.display()))
                .hint("a file with the operator's JWT, as operator.jwt")
        })?;
        let claims = decode::<Body>(token).map_err(unsigned)?;
        let key = match &self.key {
            Some(path) => Some(super::key_in(path)?),
            None => None,
        };
        if let Some(key) = &key {
            let public = key.public_key();
            if public != claims.sub && !claims.nats.signing_keys.contains(&public) {
                let text = format!("{public} is no key of operator {}", claims.name);
                return Err(Failure::new(status::CONFLICT, "auth.key_mismatch", text)
                    .hint("natterjack auth inspect shows its keys"));
            }
        }
        let path = store.operator_path(&claims.name)?;
        store.add_operator(&claims.name, token, key.is_none()).map_err(|failure| {
            match failure.code {
                // Its name stands in the token: it cannot be another one.
                "auth.exists" => failure.hint(move_away(&path)),
                _ => failure,
            }
        })?;
        if let Some(key) = &key {
            store.keep(key)?;
        }
        show::print(out, &claims, show::operator)
    }
}

fn keys(out: Output, store: &Store, verb: Keys) -> Outcome {
    match verb {
        Keys::Ls { name } => {
            let held = store.operator(name.as_deref())?;
            let rows = held.claims.nats.signing_keys.iter().map(|key| (key.clone(), String::new()));
            print_keys(out, store, rows.collect());
            Ok(())
        }
        Keys::Add { name } => {
            let mut held = store.operator(name.as_deref())?;
            let key = KeyPair::new(KeyPairType::Operator);
            store.keep(&key)?;
            held.claims.nats.signing_keys.push(key.public_key());
            held.sign_self(now())?;
            print_keys(out, store, vec![(key.public_key(), String::new())]);
            Ok(())
        }
        Keys::Rm { key, name, force } => {
            let mut held = store.operator(name.as_deref())?;
            let before = held.claims.nats.signing_keys.len();
            held.claims.nats.signing_keys.retain(|one| *one != key);
            if held.claims.nats.signing_keys.len() == before {
                return Err(super::keys::unknown(&key, "operator"));
            }
            can_sign(&held.claims.nats)?;
            crate::prompt::confirm(&format!("Really remove signing key {key}"), force)?;
            held.sign_self(now())?;
            store.forget(&key)?;
            super::keys::removed(out, &key);
            Ok(())
        }
    }
}
