//! Signing keys, of operators and in lists.

use clap::Subcommand;
use serde_json::json;

use super::store::Store;
use crate::candidates;
use crate::exit::{Failure, status};
use crate::output::Output;
use crate::table::Table;

/// Signing keys of an operator.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List them
    #[command(visible_alias = "list")]
    Ls {
        /// Name of the operator; without one, the one in use
        #[arg(add = candidates::local(super::operator_names))]
        name: Option<String>,
    },
    /// Make one
    Add {
        /// Name of the operator; without one, the one in use
        #[arg(add = candidates::local(super::operator_names))]
        name: Option<String>,
    },
    /// Remove one; what it has signed is void
    Rm {
        /// The public key
        key: String,
        /// Name of the operator; without one, the one in use
        #[arg(add = candidates::local(super::operator_names))]
        name: Option<String>,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// Lists keys with their roles, and whether their seeds are here.
pub(super) fn print_keys(out: Output, store: &Store, rows: Vec<(String, String)>) {
    if out.json {
        let object = |(key, role): &(String, String)| json!({"key": key, "role": role, "seed_stored": store.key(key).is_some()});
        out.document(&rows.iter().map(object).collect::<Vec<_>>());
        return;
    }
    if rows.is_empty() {
        out.say("No signing keys");
        return;
    }
    let mut table = Table::new("Signing Keys", &["Key", "Role", "Seed Stored"]);
    for (key, role) in rows {
        let here = if store.key(&key).is_some() { "yes" } else { "no" };
        table.row([key, role, here.to_owned()]);
    }
    table.print(&out);
}

pub(super) fn unknown(key: &str, whose: &str) -> Failure {
    let text = format!("{key} is no signing key of this {whose}");
    Failure::new(status::NOT_FOUND, "auth.not_found", text)
        .hint(format!("natterjack auth {whose} keys ls shows them"))
}

pub(super) fn removed(out: Output, key: &str) {
    match out.json {
        true => out.document(&json!({ "removed": key })),
        false => out.say(format!("Removed {key}")),
    }
}
