//! Names that a server knows, for completion in shells: streams, consumers, buckets, keys.
//!
//! A shell's script calls the command with [`VARIABLE`] set and the words typed so far. The answer must
//! come while somebody waits at a key, so all is over after [`LIMIT`], and nothing is said when there is
//! no server.

use std::sync::OnceLock;
use std::time::Duration;

use clap::{ArgMatches, Command, FromArgMatches as _};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;
use natterjack::Connector;
use serde_json::Value;

use crate::api::Api;
use crate::candidates;
use crate::connect::Context;
use crate::exit::Failure;
use crate::global::Global;
use crate::interrupt::Interrupt;
use crate::output::{ColorChoice, Format, Output};

/// Set by the scripts, to the name of the shell.
pub(crate) const VARIABLE: &str = "NATTERJACK_COMPLETE";

/// How long a server may take.
const LIMIT: Duration = Duration::from_millis(300);

/// What shells ask about: the command with all its verbs, which use this module.
static COMMAND: OnceLock<fn() -> Command> = OnceLock::new();

/// Answers a shell and ends the process, if a shell is asking.
pub(crate) fn answer_shell(command: fn() -> Command) {
    let command = COMMAND.get_or_init(|| command);
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Names of streams.
pub(crate) fn streams() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |api: Api, _, _| {
            let names = api.stream_names().await?;
            let bucket = |name: &String| name.starts_with("KV_") || name.starts_with("OBJ_");
            Ok(names.into_iter().filter(|name| !bucket(name)).collect())
        })
    })
}

/// Names of the consumers of the stream that was typed.
pub(crate) fn consumers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |api: Api, _, words: ArgMatches| {
            let call = format!("CONSUMER.NAMES.{}", typed(&words, "stream"));
            let names = api.list(&call, "consumers", Value::Null).await?;
            Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        })
    })
}

/// Names of buckets.
pub(crate) fn buckets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |api: Api, _, _| {
            let names = api.stream_names().await?;
            Ok(names
                .iter()
                .filter_map(|name| name.strip_prefix("KV_"))
                .map(str::to_owned)
                .collect())
        })
    })
}

/// Names of Object Store buckets.
pub(crate) fn object_buckets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |api: Api, _, _| {
            let names = api.stream_names().await?;
            let bucket = |name: &String| name.strip_prefix("OBJ_").map(str::to_owned);
            Ok(names.iter().filter_map(bucket).collect())
        })
    })
}

/// Keys of the bucket that was typed.
pub(crate) fn keys() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |_, connector: Connector, words: ArgMatches| {
            let bucket = connector.kv::<Value>(typed(&words, "bucket")).get().await?;
            Ok(bucket.keys(">").await?)
        })
    })
}

/// Asks a server, with the options among the words typed so far.
fn ask(
    names: impl AsyncFnOnce(Api, Connector, ArgMatches) -> Result<Vec<String>, Failure>,
) -> Vec<CompletionCandidate> {
    // After `--`: the words as they stand, the one that is being typed among them.
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let Some(command) = COMMAND.get() else { return Vec::new() };
    let matches = command().ignore_errors(true).try_get_matches_from(words);
    let Ok(matches) = matches else { return Vec::new() };
    let Ok(global) = Global::from_arg_matches(&matches) else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let asked = async {
        let out = Output::new(true, true, Format::Json, ColorChoice::Never);
        let context = Context { global, out, interrupt: Interrupt::listen() };
        let connector = context.connect().await?;
        names(Api::new(&connector, &context), connector, matches).await
    };
    let found = runtime.block_on(async { tokio::time::timeout(LIMIT, asked).await });
    runtime.shutdown_background();
    match found {
        Ok(Ok(names)) => candidates::of(names),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// An argument of the verb that was typed.
fn typed(words: &ArgMatches, name: &str) -> String {
    let mut words = words;
    while let Some((_, inner)) = words.subcommand() {
        words = inner;
    }
    match words.try_get_one::<String>(name) {
        Ok(Some(word)) => word.clone(),
        Ok(None) | Err(_) => String::new(),
    }
}
