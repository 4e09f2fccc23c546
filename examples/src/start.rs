//! The frame of every program: flags, Ctrl-C, errors, exit code.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;

use serde_json::json;

use crate::{Failure, Flags, Out, Outcome, Stop};

/// Reads the flags, runs the program, and says what went wrong if something did.
pub async fn start<O, F, Fut>(run: F) -> ExitCode
where
    O: clap::Parser + Flags,
    F: FnOnce(O, Out, Stop) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let options = O::parse();
    let json = options.basic().json;
    match run(options, Out::terminal(json), Stop::by_signal()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.exit)
        }
    }
}

fn report(failure: &Failure, json: bool) {
    let Failure { code, text, hint, .. } = failure;
    let text = if json {
        format!("{}\n", json!({"error": {"code": code, "message": text, "hint": hint}}))
    } else if hint.is_empty() {
        format!("error: {text}\n")
    } else {
        format!("error: {text}\nhint: {hint}\n")
    };
    // Nothing can be done about a text that nobody reads.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
