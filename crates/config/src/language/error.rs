//! Syntax errors, worded as nats-server words them.

use std::io;

/// Why a text is not a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// The text breaks a rule of the grammar.
    #[error("Parse error on line {line}: '{text}'")]
    Parse {
        /// Line, from 1.
        line: u32,
        /// What was expected or found.
        text: String,
    },
    /// A key is the last thing in the file.
    #[error("config is invalid ({file}:{line}:{column})")]
    Invalid {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u32,
        /// Column, as in [`Position`](super::Position).
        column: u32,
    },
    /// Nothing but blanks and comments.
    #[error("{file}: config has no values or is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// The configuration file cannot be read.
    #[error("open {path}: {why}")]
    Open {
        /// The file.
        path: String,
        /// The system's reason.
        why: String,
    },
    /// An included file is missing or wrong.
    #[error("error parsing include file '{name}', {why}")]
    Include {
        /// The file as the `include` names it.
        name: String,
        /// The reason.
        why: String,
    },
    /// `$NAME` is neither a key of an enclosing block nor in the environment.
    #[error("variable reference for '{name}' on line {line} can not be found")]
    UnknownVariable {
        /// The name without `$`.
        name: String,
        /// Line, from 1.
        line: u32,
    },
    /// The text of an environment variable is not a value.
    #[error("variable reference for '{name}' on line {line} could not be parsed: {why}")]
    BadVariable {
        /// The name without `$`.
        name: String,
        /// Line, from 1.
        line: u32,
        /// The reason.
        why: String,
    },
    /// An integer does not fit 64 bits.
    #[error("integer '{digits}' is out of the range")]
    IntegerRange {
        /// The integer as written.
        digits: String,
    },
    /// A float is beyond what 64 bits can express.
    #[error("float '{text}' is out of the range")]
    FloatRange {
        /// The float as written.
        text: String,
    },
    /// A date has the right form but names no day.
    #[error("expected Zulu formatted DateTime, but got '{text}'")]
    Date {
        /// The date as written.
        text: String,
    },
    /// Includes and variables multiply beyond the bound.
    #[error("configuration is larger than {limit} bytes once includes and variables are expanded")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
}

/// The reason of an I/O error as Go words it, so that messages equal the reference server's.
pub(crate) fn io_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}
