//! Asking before something is lost. Only on a terminal; elsewhere `-f` is the answer.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::exit::{Failure, Outcome, status};

/// Returns if `force`, or if somebody at the terminal says yes.
pub(crate) fn confirm(question: &str, force: bool) -> Outcome {
    if force {
        return Ok(());
    }
    let refused = |why: &str| {
        Failure::new(status::REFUSED, "refused", format!("{question}: {why}")).hint("-f says yes")
    };
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(refused("not done, there is no terminal to ask at"));
    }
    let mut stderr = io::stderr();
    let mut answer = String::new();
    let asked = write!(stderr, "{question}? [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (asked, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        (Ok(_), _) => Err(refused("not done")),
        (Err(error), _) => Err(Failure::io("asking", &error)),
    }
}
