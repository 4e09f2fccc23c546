//! Signing keys of an account, with or without a role.

use clap::{Args, Subcommand};
use natterjack_core::jwt::{Scope, SigningKey, UserPermissionLimits};
use nkeys::KeyPair;

use super::super::keys::{print_keys, removed, unknown};
use super::super::limits::Permissions;
use super::super::now;
use super::super::store::Store;
use super::Name;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::prompt;

/// Signing keys of an account.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List them
    #[command(visible_alias = "list")]
    Ls(Name),
    /// Make one; with a role it decides what its users may do
    Add(Box<Add>),
    /// Remove one; users that it has signed may not log in any more
    Rm {
        #[command(flatten)]
        name: Name,
        /// The public key, or the role
        key: String,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// Make a signing key.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    name: Name,
    /// Name of a role: its users have these permissions, and none of their own
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// What the role is for
    #[arg(long, value_name = "TEXT", requires = "role")]
    description: Option<String>,
    #[command(flatten)]
    permissions: Permissions,
}

/// The name of a key's role.
fn role(key: &SigningKey) -> &str {
    match key {
        SigningKey::Scoped(scope) => &scope.role,
        SigningKey::Plain(_) => "",
    }
}

impl Keys {
    pub(super) fn run(self, out: Output, store: &Store) -> Outcome {
        match self {
            Self::Ls(Name { account, of }) => {
                let (_, claims) = store.operator(of.operator.as_deref())?.account(&account)?;
                let row = |key: &SigningKey| (key.key().to_owned(), role(key).to_owned());
                print_keys(out, store, claims.nats.signing_keys.iter().map(row).collect());
                Ok(())
            }
            Self::Add(verb) => verb.run(out, store),
            Self::Rm { name, key, force } => rm(out, store, &name, &key, force),
        }
    }
}

impl Add {
    fn run(self, out: Output, store: &Store) -> Outcome {
        let held = store.operator(self.name.of.operator.as_deref())?;
        let (_, mut claims) = held.account(&self.name.account)?;
        let pair = KeyPair::new_account();
        let public = pair.public_key();
        let key = match self.role {
            None if self.permissions.is_set() => {
                return Err(Failure::usage("permissions need a role that they belong to")
                    .hint("--role NAME"));
            }
            None => SigningKey::Plain(public.clone()),
            Some(role) => {
                if claims.nats.signing_keys.iter().any(|key| self::role(key) == role) {
                    let text = format!("account {} has a role {role}", claims.name);
                    return Err(Failure::new(status::CONFLICT, "auth.exists", text)
                        .hint("another name, or natterjack auth account keys rm"));
                }
                let mut template = UserPermissionLimits::unlimited();
                self.permissions.apply(&mut template)?;
                SigningKey::Scoped(Box::new(Scope {
                    kind: "user_scope".to_owned(),
                    key: public.clone(),
                    role,
                    template,
                    description: self.description.unwrap_or_default(),
                    ..Scope::default()
                }))
            }
        };
        let row = (public, role(&key).to_owned());
        store.keep(&pair)?;
        claims.nats.signing_keys.push(key);
        held.sign_account(&mut claims, now())?;
        print_keys(out, store, vec![row]);
        Ok(())
    }
}

fn rm(out: Output, store: &Store, name: &Name, key: &str, force: bool) -> Outcome {
    let held = store.operator(name.of.operator.as_deref())?;
    let (_, mut claims) = held.account(&name.account)?;
    let keys = &mut claims.nats.signing_keys;
    let is_it = |one: &SigningKey| one.key() == key || !key.is_empty() && role(one) == key;
    let at = keys.iter().position(is_it).ok_or_else(|| unknown(key, "account"))?;
    prompt::confirm(&format!("Really remove signing key {key}"), force)?;
    let gone = keys.remove(at).key().to_owned();
    held.sign_account(&mut claims, now())?;
    store.forget(&gone)?;
    removed(out, &gone);
    Ok(())
}
