//! What a shell offers for a word.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

/// Names that are found on this machine.
pub(crate) fn local(names: fn() -> Vec<String>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || of(names()))
}

pub(crate) fn of(names: Vec<String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}
