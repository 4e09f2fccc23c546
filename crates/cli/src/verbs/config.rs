//! `natterjack config`: configuration files of servers.

use clap::Subcommand;
use natterjack_config::language::{self, Entry, Kind, Map, Source};
use natterjack_server::run::check_file;
use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};

/// Configuration files of servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a file, as `serve -t -c FILE` does
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: String,
    },
    /// Write what a file says as JSON: includes and variables filled in, secrets hidden
    Print {
        /// The file
        #[arg(value_name = "FILE")]
        file: String,
    },
}

/// Files and variables of this process.
struct Here;

impl Source for Here {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Check { file } => check(context, &file),
            Self::Print { file } => print(context, &file),
        }
    }
}

fn bad(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(status::FAILED, "config.bad", error.to_string())
}

fn check(context: &Context, file: &str) -> Outcome {
    let out = context.out;
    let options = check_file(file).map_err(|error| bad(&error))?;
    let warnings: Vec<String> = options.warnings.iter().map(ToString::to_string).collect();
    if out.json {
        out.document(&json!({
            "file": file, "valid": true, "digest": options.config_digest, "warnings": warnings,
        }));
        return Ok(());
    }
    warnings.iter().for_each(|warning| out.warn(warning));
    out.line(format!("{file} is valid ({})", options.config_digest));
    Ok(())
}

fn print(context: &Context, file: &str) -> Outcome {
    let tree = language::parse_file(file, &Here).map_err(|error| bad(&error))?;
    context.out.document(&shown(&tree));
    Ok(())
}

/// Keys whose values nobody else may read.
const SECRETS: [&str; 10] = [
    "key",
    "encryption_key",
    "password",
    "pass",
    "token",
    "seed",
    "nkey_seed",
    "xkey_seed",
    "cipher",
    "prev_encryption_key",
];

/// The file without its secrets.
fn shown(tree: &Map) -> Value {
    let mut secrets = Vec::new();
    collect(tree, &mut secrets);
    object(tree, &secrets)
}

/// Whether it is the value of a key that is secret.
fn is_secret(entry: &Entry) -> bool {
    let key = entry.key.to_string().to_lowercase();
    match &entry.value.kind {
        Kind::String(text) => !text.is_empty() && SECRETS.contains(&key.as_str()),
        Kind::Integer(_) | Kind::Float(_) => SECRETS.contains(&key.as_str()),
        _ => false,
    }
}

fn collect<'a>(tree: &'a Map, secrets: &mut Vec<&'a Kind>) {
    tree.iter().for_each(|entry| match is_secret(entry) {
        true => secrets.push(&entry.value.kind),
        false => collect_below(&entry.value.kind, secrets),
    });
}

fn collect_below<'a>(kind: &'a Kind, secrets: &mut Vec<&'a Kind>) {
    match kind {
        Kind::Map(map) => collect(map, secrets),
        Kind::Array(items) => items.iter().for_each(|item| collect_below(&item.kind, secrets)),
        _ => {}
    }
}

fn object(tree: &Map, secrets: &[&Kind]) -> Value {
    tree.iter()
        .map(|entry| {
            let kind = &entry.value.kind;
            // A variable, whatever it is called, may be where a secret comes from.
            let hidden = is_secret(entry) || entry.used_as_variable && secrets.contains(&kind);
            (entry.key.to_string(), if hidden { "***".into() } else { value(kind, secrets) })
        })
        .collect::<serde_json::Map<String, Value>>()
        .into()
}

fn value(kind: &Kind, secrets: &[&Kind]) -> Value {
    match kind {
        Kind::String(text) | Kind::Date(text) => without_login(text).into(),
        Kind::Integer(number) => (*number).into(),
        Kind::Float(number) => (*number).into(),
        Kind::Bool(flag) => (*flag).into(),
        Kind::Array(items) => items.iter().map(|item| value(&item.kind, secrets)).collect(),
        Kind::Map(map) => object(map, secrets),
    }
}

/// Addresses of other servers may hold logins.
fn without_login(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://***@{host}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use natterjack_config::language::NoSource;

    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let text = "port: 4333, authorization { users: [{user: u, password: s3cret, \
                    permissions: {publish: a}}], token: 123 }, tls { key_file: a.pem }, \
                    leafnodes { remotes: [{url: \"nats://u:p@h:1\"}] }";
        let tree = language::parse(text, "x.conf", &NoSource).unwrap();
        assert_eq!(
            shown(&tree),
            json!({
                "port": 4333,
                "authorization": {
                    "users": [{"user": "u", "password": "***", "permissions": {"publish": "a"}}],
                    "token": "***",
                },
                "tls": {"key_file": "a.pem"},
                "leafnodes": {"remotes": [{"url": "nats://***@h:1"}]},
            })
        );
    }

    #[test]
    fn a_variable_that_holds_a_secret_is_hidden_too() {
        let text = "DOOR: s3cret, CODE: 123, PORT: 4333, port: $PORT, \
                    authorization { user: u, password: $DOOR }, accounts { A { token: $CODE } }";
        let tree = language::parse(text, "x.conf", &NoSource).unwrap();
        assert_eq!(
            shown(&tree),
            json!({
                "DOOR": "***",
                "CODE": "***",
                "PORT": 4333,
                "port": 4333,
                "authorization": {"user": "u", "password": "***"},
                "accounts": {"A": {"token": "***"}},
            })
        );
    }
}
