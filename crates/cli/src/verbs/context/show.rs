//! `natterjack context info` and `validate`. Secrets are never shown.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::save::check;
use crate::candidates;
use crate::connect::Context;
use crate::contexts::{self, Contexts, Settings};
use crate::exit::{Failure, Outcome, status};
use crate::table::Sheet;

/// Show a context.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Name of the context; without one, the selected one
    #[arg(add = candidates::local(contexts::names))]
    name: Option<String>,
    /// Connect with it, too
    #[arg(long)]
    connect: bool,
}

/// Check a context, or all: that it can be read, has one login, and that its files are there.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Name of the context; without one, all
    #[arg(add = candidates::local(contexts::names))]
    name: Option<String>,
    /// Connect with it, too
    #[arg(long)]
    connect: bool,
}

/// What a context says under a key; empty if it says nothing.
pub(super) fn setting<'a>(settings: &'a Settings, key: &str) -> &'a str {
    settings.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Keys whose values are secrets, unless they only name a place.
const SECRETS: [&str; 6] = ["password", "token", "user_jwt", "user_seed", "creds", "nkey"];

/// A value as it may be shown.
fn shown(key: &str, value: &str) -> String {
    let names_a_place =
        ["file://", "env://", "nsc://", "op://"].iter().any(|s| value.starts_with(s));
    match key {
        _ if names_a_place => value.to_owned(),
        "creds" | "nkey" if !value.starts_with("data:") => value.to_owned(),
        _ if SECRETS.contains(&key) && value.starts_with("data:") => "embedded".to_owned(),
        _ if SECRETS.contains(&key) => "***".to_owned(),
        _ => value.to_owned(),
    }
}

/// A context's settings as they may be shown; the URL without its login, too.
pub(super) fn without_secrets(settings: &Settings) -> Settings {
    let hide = |(key, value): (&String, &Value)| match value.as_str() {
        Some("") | None => (key.clone(), value.clone()),
        Some(url) if key == "url" => (key.clone(), without_login(url).into()),
        Some(text) => (key.clone(), shown(key, text).into()),
    };
    settings.iter().map(hide).collect()
}

fn without_login(urls: &str) -> String {
    let one = |url: &str| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let Some((_, host)) = rest.rsplit_once('@') else { return url.to_owned() };
        if scheme.is_empty() { format!("***@{host}") } else { format!("{scheme}://***@{host}") }
    };
    urls.split(',').map(one).collect::<Vec<_>>().join(",")
}

impl Info {
    pub(super) async fn run(self, context: &Context, contexts: &Contexts) -> Outcome {
        let name = match self.name.or_else(|| contexts.selected()) {
            Some(name) => name,
            None => {
                let text = "no context is selected";
                return Err(Failure::new(status::NOT_FOUND, "context.not_found", text)
                    .hint("natterjack context ls; natterjack context select NAME"));
            }
        };
        if !self.connect {
            return print(context, contexts, &name);
        }
        let settings = contexts.read(&name)?;
        let connection = try_connect(context, &name).await;
        let result = Some(connection.as_ref().copied().map_err(|f| f.message.clone()));
        render(context, &name, &settings, result);
        connection
    }
}

impl Validate {
    pub(super) async fn run(self, context: &Context, contexts: &Contexts) -> Outcome {
        let names = match self.name {
            Some(name) => vec![name],
            None => contexts.names(),
        };
        let mut bad = 0;
        for name in &names {
            let problems = match contexts.read(name) {
                Ok(settings) => {
                    let mut problems: Vec<String> =
                        check(&settings).err().map(|f| f.message).into_iter().collect();
                    problems.extend(wrong_kinds(&settings));
                    problems.extend(missing_files(&settings));
                    if self.connect && problems.is_empty() {
                        problems.extend(try_connect(context, name).await.err().map(|f| f.message));
                    }
                    problems
                }
                Err(failure) => vec![failure.message],
            };
            bad += usize::from(!problems.is_empty());
            if context.out.json {
                context.out.object(
                    &json!({"name": name, "valid": problems.is_empty(), "problems": problems}),
                );
            } else if problems.is_empty() {
                context.out.line(format!("{name}: OK"));
            } else {
                context.out.line(format!("{name}: ERROR: {}", problems.join("; ")));
            }
        }
        match bad {
            0 => Ok(()),
            _ => Err(Failure::new(
                status::FAILED,
                "context.bad",
                format!("{bad} of {} contexts are not valid", names.len()),
            )),
        }
    }
}

async fn try_connect(context: &Context, name: &str) -> Outcome {
    context.connect_by(name).await?.close().await?;
    Ok(())
}

/// What a context says of the login and the server that is no text.
fn wrong_kinds(settings: &Settings) -> Vec<String> {
    let text = |value: &Value| value.is_null() || value.is_string();
    let wrong = |key: &&str| settings.get(*key).is_some_and(|value| !text(value));
    let keys = ["url", "user", "cert", "key", "ca"].into_iter().chain(SECRETS);
    keys.filter(wrong).map(|key| format!("{key} is no text")).collect()
}

/// The files that a context names and that are not there.
fn missing_files(settings: &Settings) -> Vec<String> {
    let file = |key: &str| {
        let text = setting(settings, key);
        let text = text.strip_prefix("file://").unwrap_or(text);
        let elsewhere = text.contains("://") || text.starts_with("data:") || text.contains('$');
        let path = match text.strip_prefix("~/") {
            Some(rest) => Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(rest),
            None => text.into(),
        };
        (!text.is_empty() && !elsewhere && !path.is_file())
            .then(|| format!("{key}: {} is not there", path.display()))
    };
    ["creds", "nkey", "cert", "key", "ca"].iter().filter_map(|key| file(key)).collect()
}

/// Shows a context.
pub(super) fn print(context: &Context, contexts: &Contexts, name: &str) -> Outcome {
    let settings = contexts.read(name)?;
    render(context, name, &settings, None);
    Ok(())
}

fn render(
    context: &Context,
    name: &str,
    settings: &Settings,
    connection: Option<Result<(), String>>,
) {
    let out = context.out;
    if out.json {
        let mut object = json!({ "name": name });
        for (key, value) in without_secrets(settings) {
            object[key] = value;
        }
        if let Some(result) = connection {
            object["connection"] = result.err().unwrap_or_else(|| "OK".to_owned()).into();
        }
        out.document(&object);
        return;
    }
    let safe = without_secrets(settings);
    let missing = missing_files(settings);
    let mut sheet = Sheet::new(format!("NATS Configuration Context {name:?}"));
    for (label, key) in [
        ("Description", "description"),
        ("Server URLs", "url"),
        ("SOCKS5 Proxy", "socks_proxy"),
        ("Username", "user"),
        ("Password", "password"),
        ("Token", "token"),
        ("Credentials", "creds"),
        ("NKey", "nkey"),
        ("User JWT", "user_jwt"),
        ("User Seed", "user_seed"),
        ("NSC Lookup", "nsc"),
        ("Certificate", "cert"),
        ("Key", "key"),
        ("CA", "ca"),
        ("JS Domain", "jetstream_domain"),
        ("JS API Prefix", "jetstream_api_prefix"),
        ("JS Event Prefix", "jetstream_event_prefix"),
        ("Inbox Prefix", "inbox_prefix"),
        ("Color Scheme", "color_scheme"),
    ] {
        let value = setting(&safe, key);
        let problem = missing.iter().find(|line| line.starts_with(&format!("{key}:")));
        let value = match problem {
            Some(_) => format!("{value} (ERROR: not there)"),
            None => value.to_owned(),
        };
        sheet.row_if(label, Some(value).filter(|value| !value.is_empty()));
    }
    let first = settings.get("tls_first") == Some(&Value::Bool(true));
    sheet.row_if("TLS First", first.then_some("true"));
    if let Some(result) = connection {
        sheet
            .row("Connection", result.err().map_or("OK".to_owned(), |why| format!("ERROR: {why}")));
    }
    sheet.print(&out);
    let overridden: Vec<&str> = ["NATS_URL", "NATS_CREDS", "NATS_TOKEN", "NATS_USER", "NATS_NKEY"]
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        .collect();
    if !overridden.is_empty() {
        out.warn(format!("the environment wins over contexts: {}", overridden.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_places_are_not() {
        for (key, value, text) in [
            ("token", "s3cret", "***"),
            ("token", "env://TOKEN", "env://TOKEN"),
            ("creds", "/home/me/u.creds", "/home/me/u.creds"),
            ("creds", "data:;base64,AAAA", "embedded"),
            ("user_seed", "SUA", "***"),
            ("user", "me", "me"),
        ] {
            assert_eq!(shown(key, value), text, "{key}");
        }
        assert_eq!(without_login("nats://u:p@h:1,h:2,t@h"), "nats://***@h:1,h:2,***@h");
    }
}
