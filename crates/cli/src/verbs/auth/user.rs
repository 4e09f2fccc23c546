//! `natterjack auth user`: users of accounts, and their credentials.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use natterjack_core::jwt::{AccountClaims, Creds, SigningKey, UserClaims, UserPermissionLimits};
use nkeys::KeyPair;
use serde_json::json;

use super::limits::Permissions;
use super::store::{Held, Store};
use super::{now, show, unsigned};
use crate::candidates;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::prompt;
use crate::table::Table;
use crate::units;

/// Users.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user, and its credentials
    Add(Add),
    /// Show a user
    #[command(visible_aliases = ["show", "view"])]
    Info(Name),
    /// List the users of an account
    #[command(visible_alias = "list")]
    Ls {
        /// Name of the account; without one, of all
        #[arg(add = candidates::local(super::account_names))]
        account: Option<String>,
        #[command(flatten)]
        of: Of,
        /// Names only
        #[arg(short, long)]
        names: bool,
    },
    /// Change a user; its credentials are written anew
    Edit(Edit),
    /// Remove a user. Who has its credentials may still log in: revoke it, too
    #[command(visible_alias = "remove")]
    Rm {
        #[command(flatten)]
        name: Name,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
        /// Revoke it, too; push the account then
        #[arg(long)]
        revoke: bool,
    },
    /// Write the credentials of a user
    Creds {
        #[command(flatten)]
        name: Name,
        /// Write them into a new file that only you may read, and not to standard output
        #[arg(short = 'O', long = "out", value_name = "FILE")]
        file: Option<PathBuf>,
        /// As they would be valid for so long only
        #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
        expire: Option<Duration>,
    },
}

/// Which operator is meant.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Name of the operator; without one, the one in use
    #[arg(long, value_name = "NAME", add = candidates::local(super::operator_names))]
    pub(super) operator: Option<String>,
}

/// A user of an account.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the user
    name: String,
    /// Name of the account
    #[arg(add = candidates::local(super::account_names))]
    account: String,
    #[command(flatten)]
    of: Of,
}

/// Make a user, and its credentials.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    options: Options,
}

/// Change a user.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// Sign with this key of the account: its role, or the public key
    #[arg(short, long, value_name = "KEY")]
    key: Option<String>,
    /// How long it is valid; 0 is for ever
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    expire: Option<Duration>,
    /// Tags, may be given several times; they take the place of those there are
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Option<Vec<String>>,
    #[command(flatten)]
    permissions: Permissions,
}

impl User {
    pub(super) fn run(self, out: Output) -> Outcome {
        let store = Store::open()?;
        match self {
            Self::Add(Add { name, options }) => {
                let held = store.operator(name.of.operator.as_deref())?;
                let (_, account) = held.account(&name.account)?;
                held.no_user(&name.account, &name.name)?;
                let key = KeyPair::new_user();
                let claims = UserClaims::new(&name.name, &key.public_key());
                options.write(out, &held, &account, claims, Some(key))
            }
            Self::Edit(Edit { name, options }) => {
                let held = store.operator(name.of.operator.as_deref())?;
                let (_, account) = held.account(&name.account)?;
                let (_, claims) = held.user(&name.account, &name.name)?;
                options.write(out, &held, &account, claims, None)
            }
            Self::Info(Name { name, account, of }) => {
                let held = store.operator(of.operator.as_deref())?;
                let (_, claims) = held.user(&account, &name)?;
                show::print(out, &claims, show::user)
            }
            Self::Ls { account, of, names } => {
                ls(out, &store.operator(of.operator.as_deref())?, account, names)
            }
            Self::Rm { name, force, revoke } => {
                rm(out, &store.operator(name.of.operator.as_deref())?, &name, force, revoke)
            }
            Self::Creds { name, file, expire } => {
                let held = store.operator(name.of.operator.as_deref())?;
                credentials(out, &held, &name, file, expire)
            }
        }
    }
}

/// The key that signs users: the one that is asked for, by its role or as it is; the one that signed
/// before; else the account's own, or where that may not sign, a signing key without a role.
fn signer(
    held: &Held<'_>,
    account: &AccountClaims,
    asked: Option<&str>,
    before: &str,
) -> Result<(KeyPair, bool), Failure> {
    let keys = &account.nats.signing_keys;
    let role = |key: &SigningKey| match key {
        SigningKey::Scoped(scope) => scope.role.clone(),
        SigningKey::Plain(_) => String::new(),
    };
    let is_scoped = |public: &str| {
        keys.iter().any(|key| key.key() == public && matches!(key, SigningKey::Scoped(_)))
    };
    let strict = held.claims.nats.strict_signing_key_usage;
    let public = match asked {
        Some(name) => {
            let found = keys.iter().find(|key| key.key() == name || role(key) == name);
            let own = (name == account.sub).then(|| account.sub.clone());
            found.map(|key| key.key().to_owned()).or(own).ok_or_else(|| {
                let roles: Vec<String> = keys.iter().map(role).collect();
                let hint = match units::nearest(name, &roles).filter(|near| !near.is_empty()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "natterjack auth account keys ls shows roles and keys".to_owned(),
                };
                let text = format!("account {} has no signing key or role {name}", account.name);
                Failure::new(status::NOT_FOUND, "auth.not_found", text).hint(hint)
            })?
        }
        None if keys.iter().any(|key| key.key() == before) => before.to_owned(),
        None if strict => {
            let plain = keys.iter().find(|key| matches!(key, SigningKey::Plain(_)));
            let plain = plain.ok_or_else(|| {
                Failure::usage("the operator wants users to be signed by signing keys")
                    .hint("natterjack auth account keys add ACCOUNT, or --key ROLE")
            })?;
            plain.key().to_owned()
        }
        None => account.sub.clone(),
    };
    let scoped = is_scoped(&public);
    Ok((held.store.needed_key(&public, &format!("account {}", account.name))?, scoped))
}

/// Has the claims say what servers want of who is signed by this key.
fn signed_by(signer: &KeyPair, scoped: bool, account: &AccountClaims, claims: &mut UserClaims) {
    let limits = &mut claims.nats.permissions;
    match scoped {
        // Servers refuse users of a role who bring anything of their own.
        true => *limits = UserPermissionLimits::default(),
        // One that had a role, and has none any more.
        false if limits.is_blank() => *limits = UserPermissionLimits::unlimited(),
        false => {}
    }
    claims.nats.issuer_account = match signer.public_key() == account.sub {
        true => String::new(),
        false => account.sub.clone(),
    };
}

impl Options {
    /// Puts the options into the claims, signs them, and keeps the user with its credentials, and with
    /// the seed of one who is new.
    fn write(
        &self,
        out: Output,
        held: &Held<'_>,
        account: &AccountClaims,
        mut claims: UserClaims,
        new: Option<KeyPair>,
    ) -> Outcome {
        let (signer, scoped) = signer(held, account, self.key.as_deref(), &claims.iss)?;
        signed_by(&signer, scoped, account, &mut claims);
        if !scoped {
            self.permissions.apply(&mut claims.nats.permissions)?;
        } else if self.permissions.is_set() {
            return Err(Failure::usage("a role decides what its users may do")
                .hint("natterjack auth account keys add ACCOUNT --role ROLE --pub-allow …"));
        }
        let now = now();
        if let Some(expire) = self.expire {
            claims.exp = expiry(now, expire)?;
        }
        if let Some(tags) = &self.tag {
            claims.nats.tags = tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
        }
        let token = claims.encode(&signer, now).map_err(unsigned)?;
        if let Some(key) = &new {
            held.store.keep(key)?;
        }
        let name = claims.name.clone();
        held.write_user(&account.name, &name, &token)?;
        // Without the seed, which may be with the user alone, there are no credentials to write.
        let key = held.store.key(&claims.sub);
        if let Some(key) = &key {
            held.write_creds(&account.name, &name, &format(token, key)?)?;
        }
        show::print(out, &claims, show::user)?;
        if key.is_some() && !out.json {
            out.line(format!("\nCredentials: {}", held.creds_path(&account.name, &name).display()));
        }
        Ok(())
    }
}

/// When what is signed now ends; 0 is never.
pub(super) fn expiry(now: i64, after: Duration) -> Result<i64, Failure> {
    if after.is_zero() {
        return Ok(0);
    }
    let seconds = i64::try_from(after.as_secs().max(1)).ok();
    seconds
        .and_then(|seconds| now.checked_add(seconds))
        .ok_or_else(|| Failure::usage("--expire is too long").hint("0 is for ever"))
}

fn format(token: String, key: &KeyPair) -> Result<String, Failure> {
    let creds = Creds { jwt: token, seed: super::seed(key)? };
    creds.format().map_err(unsigned)
}

fn ls(out: Output, held: &Held<'_>, account: Option<String>, names: bool) -> Outcome {
    let accounts = match account {
        Some(account) => {
            held.account(&account)?;
            vec![account]
        }
        None => held.accounts(),
    };
    let all = accounts.iter().flat_map(|account| {
        held.users(account).into_iter().map(move |user| (account.as_str(), user))
    });
    if names {
        let names: Vec<String> = all.map(|(_, user)| user).collect();
        out.names(&names);
        return Ok(());
    }
    let read = |(account, name): (_, String)| {
        let (_, claims) = out.or_warn(held.user(account, &name))?;
        Some((account, claims))
    };
    let rows: Vec<(&str, UserClaims)> = all.filter_map(read).collect();
    if out.json {
        let object = |(account, claims): &(&str, UserClaims)| {
            json!({"name": claims.name, "account": account, "subject": claims.sub,
                "expires": claims.exp})
        };
        out.document(&rows.iter().map(object).collect::<Vec<_>>());
        return Ok(());
    }
    if rows.is_empty() {
        out.say("No users; natterjack auth user add NAME ACCOUNT makes one");
        return Ok(());
    }
    let mut table = Table::new("Users", &["Name", "Account", "Subject", "Expires"]);
    for (account, claims) in rows {
        let expires = show::expiry(claims.exp);
        table.row([claims.name, account.to_owned(), claims.sub, expires]);
    }
    table.print(&out);
    Ok(())
}

fn rm(out: Output, held: &Held<'_>, name: &Name, force: bool, revoke: bool) -> Outcome {
    let (_, claims) = held.user(&name.account, &name.name)?;
    prompt::confirm(&format!("Really remove user {} of {}", name.name, name.account), force)?;
    if revoke {
        let (_, mut account) = held.account(&name.account)?;
        account.nats.revocations.insert(claims.sub.clone(), now());
        held.sign_account(&mut account, now())?;
    }
    held.remove_user(&name.account, &name.name)?;
    held.store.forget(&claims.sub)?;
    match out.json {
        true => out.document(&json!({"removed": name.name, "account": name.account,
            "subject": claims.sub, "revoked": revoke})),
        false => out.say(format!("Removed user {} ({})", name.name, claims.sub)),
    }
    if revoke && !out.json {
        out.say(format!("Next: natterjack auth account push {}", name.account));
    }
    Ok(())
}

fn credentials(
    out: Output,
    held: &Held<'_>,
    name: &Name,
    file: Option<PathBuf>,
    expire: Option<Duration>,
) -> Outcome {
    let (mut token, mut claims) = held.user(&name.account, &name.name)?;
    let key = held.store.needed_key(&claims.sub, &format!("user {}", name.name))?;
    if let Some(expire) = expire {
        let (_, account) = held.account(&name.account)?;
        let (signer, scoped) = signer(held, &account, None, &claims.iss)?;
        signed_by(&signer, scoped, &account, &mut claims);
        let now = now();
        claims.exp = expiry(now, expire)?;
        token = claims.encode(&signer, now).map_err(unsigned)?;
    }
    let text = format(token, &key)?;
    match (file, out.json) {
        (Some(file), json) => {
            super::files::write_private(&file, &text)?;
            match json {
                true => out.document(&json!({ "file": file })),
                false => out.say(format!("Wrote {}", file.display())),
            }
        }
        (None, true) => out.document(&json!({ "creds": text })),
        (None, false) => out.data(text.as_bytes()),
    }
    Ok(())
}
