//! `natterjack context add` and `copy`: the options of a command line become a context.

use std::path::Path;

use base64::Engine as _;
use clap::{Args, ValueEnum as _};
use serde_json::Value;

use super::{complete_keys, show};
use crate::candidates;
use crate::connect::Context;
use crate::contexts::{self, Contexts, Settings};
use crate::exit::{Failure, Outcome, status};
use crate::global::Global;
use crate::output::Scheme;

/// Save the options of this command line as a context; change one that exists.
///
/// natterjack context add prod --server nats://a:4222,nats://b:4222 --creds ~/prod.creds --select
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the context
    #[arg(add = candidates::local(contexts::names))]
    name: String,
    #[command(flatten)]
    more: More,
}

/// Save a context under another name.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Name of the context to copy
    #[arg(add = candidates::local(contexts::names))]
    source: String,
    /// Name of the new context
    name: String,
    #[command(flatten)]
    more: More,
}

/// What is saved beside the global options.
#[derive(Debug, Args)]
struct More {
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Use it from now on
    #[arg(long)]
    select: bool,
    /// Put the content of credential files into the context
    #[arg(long)]
    embed: bool,
}

/// The keys of which only one may be set. A token and a user are one another's place.
const LOGINS: [&str; 5] = ["user", "creds", "nkey", "user_jwt", "nsc"];

impl Add {
    pub(super) fn run(self, context: &Context, contexts: &Contexts) -> Outcome {
        let settings = if contexts.exists(&self.name) {
            contexts.read(&self.name)?
        } else if let Some(base) = &context.global.context {
            contexts.read(base)?
        } else {
            Settings::new()
        };
        self.more.save(context, contexts, &self.name, settings)
    }
}

impl Copy {
    pub(super) fn run(self, context: &Context, contexts: &Contexts) -> Outcome {
        let settings = contexts.read(&self.source)?;
        if contexts.exists(&self.name) {
            let text = format!("context {} exists", self.name);
            return Err(Failure::new(status::CONFLICT, "context.exists", text)
                .hint(format!("natterjack context add {} changes it", self.name)));
        }
        self.more.save(context, contexts, &self.name, settings)
    }
}

impl More {
    fn save(
        &self,
        context: &Context,
        contexts: &Contexts,
        name: &str,
        mut settings: Settings,
    ) -> Outcome {
        let given = self.given(&context.global)?;
        // A login of another kind takes the place of the one that was there.
        let kind = |key: &str| match key {
            "password" | "token" => "user".to_owned(),
            "user_seed" => "user_jwt".to_owned(),
            key => key.to_owned(),
        };
        let is_login = |key: &str| LOGINS.contains(&kind(key).as_str());
        if let Some((new, _)) = given.iter().find(|(key, _)| is_login(key)) {
            let other = |key: &String| is_login(key) && kind(key) != kind(new);
            settings.retain(|key, _| !other(key));
            if given.contains_key("token") {
                settings.retain(|key, _| key != "user" && key != "password");
            } else if given.contains_key("user") {
                settings.remove("token");
            }
        }
        settings.extend(given);
        if self.embed {
            embed(&mut settings)?;
        }
        complete_keys(&mut settings);
        check(&settings)?;
        contexts.write(name, &settings)?;
        if self.select {
            contexts.select(name)?;
        }
        show::print(context, contexts, name)
    }

    /// The options that this command line has, by the names of a context.
    fn given(&self, global: &Global) -> Result<Settings, Failure> {
        let path = |path: &Option<std::path::PathBuf>| path.as_deref().map(absolute);
        // A user without a password is a token, as everywhere.
        let (user, token) = match (&global.user, &global.password, &global.token) {
            (Some(user), None, None) => (None, Some(user.clone())),
            (user, _, token) => (user.clone(), token.clone()),
        };
        let texts = [
            ("description", self.description.clone()),
            ("url", global.server.clone()),
            ("token", token),
            ("user", user),
            ("password", global.password.clone()),
            ("creds", path(&global.creds)),
            ("nkey", path(&global.nkey)),
            ("user_jwt", global.jwt.clone()),
            ("user_seed", global.seed.clone()),
            ("cert", path(&global.tlscert)),
            ("key", path(&global.tlskey)),
            ("ca", path(&global.tlsca)),
            ("jetstream_domain", global.js_domain.clone()),
            ("jetstream_api_prefix", global.js_api_prefix.clone()),
            ("jetstream_event_prefix", global.js_event_prefix.clone()),
            ("inbox_prefix", global.inbox_prefix.clone()),
            ("socks_proxy", global.socks_proxy.clone()),
            ("color_scheme", global.colors.map(scheme_name)),
        ];
        let mut given: Settings = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key.to_owned(), Value::from(text?))))
            .collect();
        if global.tlsfirst {
            given.insert("tls_first".to_owned(), true.into());
        }
        Ok(given)
    }
}

fn scheme_name(scheme: Scheme) -> String {
    let value = scheme.to_possible_value();
    value.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A path that means the same from every directory. What names another place (`env://`, `~`) stays.
fn absolute(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with(['~', '$']) || text.contains("://") || text.starts_with("data:") {
        return text.into_owned();
    }
    std::path::absolute(path).map_or(text.into_owned(), |path| path.to_string_lossy().into_owned())
}

/// At most one login, as both tools want it.
pub(super) fn check(settings: &Settings) -> Outcome {
    let set = |key: &&str| !show::setting(settings, key).is_empty();
    let logins: Vec<&str> = LOGINS.into_iter().filter(set).collect();
    if let [one, other, ..] = logins[..] {
        let text = format!("a context has one login, and this one has {one} and {other}");
        return Err(Failure::usage(text).hint("leave one of them out"));
    }
    if set(&"token") && logins.iter().any(|key| *key != "user") {
        let text = format!("a context has one login, and this one has token and {}", logins[0]);
        return Err(Failure::usage(text).hint("leave one of them out"));
    }
    Ok(())
}

/// Puts files' contents in the place of their names, in the form that both tools read.
fn embed(settings: &mut Settings) -> Outcome {
    for key in ["creds", "nkey", "user_jwt", "user_seed"] {
        let text = show::setting(settings, key).to_owned();
        let path = text.strip_prefix("file://").unwrap_or(&text);
        let elsewhere = path.contains("://") || path.starts_with("data:");
        let literal = key.starts_with("user_") && !Path::new(path).is_file();
        if path.is_empty() || elsewhere || literal {
            continue;
        }
        let content = std::fs::read(path).map_err(|error| Failure::io(path, &error))?;
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        settings.insert(key.to_owned(), format!("data:;base64,{content}").into());
    }
    Ok(())
}
