//! `natterjack context`: connections by name, in the files of the `nats` tool.

mod save;
mod show;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::candidates;
use crate::connect::Context;
use crate::contexts::{self, Contexts, KEYS, Settings, parse};
use crate::editor;
use crate::exit::{Failure, Outcome, status};
use crate::prompt;
use crate::table::Table;

/// Connections by name.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Save the options of this command line as a context; change one that exists
    #[command(visible_aliases = ["save", "create"])]
    Add(Box<save::Add>),
    /// List the contexts
    #[command(visible_alias = "list")]
    Ls {
        /// Names only
        #[arg(short, long)]
        names: bool,
    },
    /// Use a context from now on
    #[command(visible_aliases = ["switch", "set"])]
    Select(Name),
    /// Go back to the context before this one
    #[command(visible_alias = "-")]
    Previous,
    /// Use none from now on
    Unselect,
    /// Show a context
    #[command(visible_aliases = ["show", "view"])]
    Info(show::Info),
    /// Open a context in your editor
    #[command(visible_alias = "vi")]
    Edit(Name),
    /// Save a context under another name; options of this command line change it
    #[command(visible_alias = "cp")]
    Copy(Box<save::Copy>),
    /// Remove a context
    #[command(visible_alias = "remove")]
    Rm(Rm),
    /// Check a context, or all
    Validate(show::Validate),
}

/// The name of a context.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the context
    #[arg(add = candidates::local(contexts::names))]
    name: String,
}

/// Remove a context.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Name of the context
    #[arg(add = candidates::local(contexts::names))]
    name: String,
    /// Do not ask; needed for the selected one
    #[arg(short, long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let contexts = Contexts::open()?;
        match self {
            Self::Add(verb) => verb.run(context, &contexts),
            Self::Ls { names } => ls(context, &contexts, names),
            Self::Select(Name { name }) => select(context, &contexts, &name),
            Self::Previous => previous(context, &contexts),
            Self::Unselect => unselect(context, &contexts),
            Self::Info(verb) => verb.run(context, &contexts).await,
            Self::Edit(Name { name }) => edit(context, &contexts, &name),
            Self::Copy(verb) => verb.run(context, &contexts),
            Self::Rm(verb) => verb.run(context, &contexts),
            Self::Validate(verb) => verb.run(context, &contexts).await,
        }
    }
}

fn ls(context: &Context, contexts: &Contexts, names: bool) -> Outcome {
    let out = context.out;
    let selected = contexts.selected();
    let all = contexts.names();
    if names {
        out.names(&all);
        return Ok(());
    }
    let read = all.iter().filter_map(|name| Some((name, out.or_warn(contexts.read(name))?)));
    let rows: Vec<(&String, Settings)> = read.collect();
    if out.json {
        let object = |(name, settings): &(&String, Settings)| {
            let mut object = json!({"name": name, "selected": selected.as_ref() == Some(*name)});
            for (key, value) in show::without_secrets(settings) {
                object[key] = value;
            }
            object
        };
        out.document(&rows.iter().map(object).collect::<Vec<_>>());
        return Ok(());
    }
    if rows.is_empty() {
        out.say("No known contexts");
        return Ok(());
    }
    let mut table = Table::new("Known Contexts", &["Name", "Description"]);
    for (name, settings) in &rows {
        let mark = if selected.as_ref() == Some(*name) { "*" } else { "" };
        table.row([format!("{name}{mark}"), show::setting(settings, "description").to_owned()]);
    }
    table.print(&out);
    Ok(())
}

fn select(context: &Context, contexts: &Contexts, name: &str) -> Outcome {
    contexts.select(name)?;
    show::print(context, contexts, name)
}

fn previous(context: &Context, contexts: &Contexts) -> Outcome {
    let Some(name) = contexts.previous() else {
        return Err(Failure::new(
            status::NOT_FOUND,
            "context.not_found",
            "no context was selected before",
        ));
    };
    select(context, contexts, &name)
}

fn unselect(context: &Context, contexts: &Contexts) -> Outcome {
    let before = contexts.unselect()?;
    if context.out.json {
        context.out.object(&json!({ "unselected": before }));
    } else {
        context.out.say(match before {
            Some(name) => format!("Unselected the {name:?} context"),
            None => "No context currently selected".to_owned(),
        });
    }
    Ok(())
}

/// The file with all keys in it, so that they need not be known by heart.
fn edit(context: &Context, contexts: &Contexts, name: &str) -> Outcome {
    let mut shown = contexts.read(name)?;
    complete_keys(&mut shown);
    let text = serde_json::to_string_pretty(&shown).expect("a map of JSON encodes") + "\n";
    let edited = editor::edit(&text, ".json")?;
    let after = parse(&edited).map_err(|why| {
        Failure::new(status::FAILED, "context.bad", format!("what you wrote is {why}"))
            .hint("nothing was changed")
    })?;
    save::check(&after)?;
    contexts.write(name, &after)?;
    show::print(context, contexts, name)
}

/// Adds the keys that are not there, empty.
fn complete_keys(settings: &mut Settings) {
    for key in KEYS {
        let empty = match key {
            "tls_first" => Value::Bool(false),
            "windows_ca_certs_match" => Value::Null,
            _ => Value::from(""),
        };
        settings.entry(key).or_insert(empty);
    }
}

impl Rm {
    fn run(self, context: &Context, contexts: &Contexts) -> Outcome {
        contexts.read(&self.name)?;
        let selected = contexts.selected().as_deref() == Some(self.name.as_str());
        if self.dry_run {
            context.out.line(format!("would remove context {}", self.name));
            return Ok(());
        }
        if selected && !self.force {
            let text = format!("context {} is the selected one", self.name);
            return Err(Failure::new(status::REFUSED, "refused", text)
                .hint("select another one, natterjack context unselect, or -f"));
        }
        prompt::confirm(&format!("Really delete context {:?}", self.name), self.force)?;
        if selected {
            contexts.unselect()?;
        }
        contexts.remove(&self.name)?;
        if context.out.json {
            context.out.object(&json!({ "removed": self.name }));
        } else {
            context.out.say(format!("Context {} was removed", self.name));
        }
        Ok(())
    }
}
