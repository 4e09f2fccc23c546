//! From values of the tree to typed values, with all errors collected.

use crate::duration;
use crate::language::{Entry, Kind, Map, Position, Source};
use crate::names;
use std::time::Duration;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; [`Position::unknown`] for what comes from a flag.
    pub position: Position,
    /// What.
    pub text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.position.file.is_empty() {
            return f.write_str(&self.text);
        }
        write!(f, "{}: {}", self.position, self.text)
    }
}

/// What the server should say at start although it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What and where.
    pub problem: Problem,
    /// Whether it is an error when a configuration is only checked (`-t`).
    pub fatal_in_check: bool,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

/// The collector of one decoding.
pub(super) struct Decoder<'a> {
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    pub(super) source: &'a dyn Source,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self { errors: Vec::new(), warnings: Vec::new(), source }
    }

    pub(super) fn error(&mut self, position: &Position, text: impl Into<String>) {
        self.errors.push(Problem { position: position.clone(), text: text.into() });
    }

    pub(super) fn warn(&mut self, position: &Position, text: impl Into<String>) {
        let problem = Problem { position: position.clone(), text: text.into() };
        self.warnings.push(Warning { problem, fatal_in_check: false });
    }

    /// An entry that no one knows; keys used as variables are exempt.
    pub(super) fn unknown(&mut self, entry: &Entry) {
        self.unknown_with(entry, |key| format!("unknown field {key}"));
    }

    /// The same with another text; the key is passed in quotes.
    pub(super) fn unknown_with(&mut self, entry: &Entry, text: impl FnOnce(&str) -> String) {
        if !entry.used_as_variable {
            self.error(&entry.value.position, text(&names::quote(&entry.key)));
        }
    }

    /// Known to nats-server, but what it secures or restricts would not be: refuse to start.
    pub(super) fn refuse(&mut self, entry: &Entry) {
        self.error(
            &entry.value.position,
            format!("{} is not supported yet", names::quote(&entry.key)),
        );
    }

    /// Known to nats-server, and nothing is lost but comfort: say so and go on.
    pub(super) fn ignore(&mut self, entry: &Entry) {
        let text = format!("{} is not supported yet and has no effect", names::quote(&entry.key));
        self.warn(&entry.value.position, text);
    }

    fn mismatch(&mut self, entry: &Entry, wanted: &str) {
        let text = format!("{:?} must be {wanted}, not {}", entry.key, entry.value.kind.noun());
        self.error(&entry.value.position, text);
    }

    pub(super) fn bool(&mut self, entry: &Entry) -> Option<bool> {
        match entry.value.kind {
            Kind::Bool(flag) => Some(flag),
            _ => {
                self.mismatch(entry, "a bool");
                None
            }
        }
    }

    pub(super) fn string(&mut self, entry: &Entry) -> Option<String> {
        match &entry.value.kind {
            Kind::String(text) => Some(text.to_string()),
            _ => {
                self.mismatch(entry, "a string");
                None
            }
        }
    }

    pub(super) fn integer(&mut self, entry: &Entry) -> Option<i64> {
        match entry.value.kind {
            Kind::Integer(number) => Some(number),
            _ => {
                self.mismatch(entry, "an integer");
                None
            }
        }
    }

    /// An integer from 0 on.
    pub(super) fn count(&mut self, entry: &Entry) -> Option<u64> {
        let number = self.integer(entry)?;
        match u64::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => {
                let text = format!("{} value can not be negative", entry.key);
                self.error(&entry.value.position, text);
                None
            }
        }
    }

    /// An integer where a negative one means no limit.
    pub(super) fn limit(&mut self, entry: &Entry) -> Option<Option<u64>> {
        self.integer(entry).map(|number| u64::try_from(number).ok())
    }

    /// A count that must fit the 32 bits of the protocol's sizes.
    pub(super) fn size32(&mut self, entry: &Entry) -> Option<u64> {
        let size = self.count(entry)?;
        if size > i32::MAX as u64 {
            self.error(&entry.value.position, format!("{} value is too big", entry.key));
            return None;
        }
        Some(size)
    }

    pub(super) fn map<'e>(&mut self, entry: &'e Entry) -> Option<&'e Map> {
        match &entry.value.kind {
            Kind::Map(map) => Some(map),
            _ => {
                self.mismatch(entry, "a map");
                None
            }
        }
    }

    /// A string, or an array of strings.
    pub(super) fn strings(&mut self, entry: &Entry) -> Option<Vec<String>> {
        match &entry.value.kind {
            Kind::String(text) => Some(vec![text.to_string()]),
            Kind::Array(items) => {
                let mut strings = Vec::with_capacity(items.len());
                for item in items.iter() {
                    match item.kind.as_str() {
                        Some(text) => strings.push(text.to_owned()),
                        None => {
                            let noun = item.kind.noun();
                            let text = format!("{:?} must contain strings, not {noun}", entry.key);
                            self.error(&item.position, text);
                        }
                    }
                }
                Some(strings)
            }
            _ => {
                self.mismatch(entry, "a string or an array of strings");
                None
            }
        }
    }

    /// Seconds as a number, or a duration; of a block that tells its errors by its name.
    pub(super) fn timeout(&mut self, entry: &Entry, block: &str, wrong: &str) -> Option<Duration> {
        let seconds = match &entry.value.kind {
            Kind::Integer(seconds) => *seconds as f64,
            Kind::Float(seconds) => *seconds,
            Kind::String(text) => match duration::parse_positive(text) {
                Ok(duration) => return Some(duration),
                Err(error) => {
                    let text = format!("error parsing {block} config, 'timeout' {error}");
                    self.error(&entry.value.position, text);
                    return None;
                }
            },
            _ => -1.0,
        };
        let timeout = Duration::try_from_secs_f64(seconds).ok();
        if timeout.is_none() {
            let text = format!("error parsing {block} config, 'timeout' {wrong}");
            self.error(&entry.value.position, text);
        }
        timeout
    }

    /// A duration in Go's notation. A bare integer means seconds, which is deprecated: a warning,
    /// and an error when a configuration is only checked.
    pub(super) fn duration(&mut self, entry: &Entry) -> Option<Duration> {
        match &entry.value.kind {
            Kind::Integer(seconds) => {
                let key = &entry.key;
                let text = format!(
                    "invalid use of field {key:?}: {key} should be converted to a duration"
                );
                let position = entry.value.position.clone();
                self.warnings
                    .push(Warning { problem: Problem { position, text }, fatal_in_check: true });
                match u64::try_from(*seconds) {
                    Ok(seconds) => Some(Duration::from_secs(seconds)),
                    Err(_) => {
                        self.error(&entry.value.position, format!("{key} must not be negative"));
                        None
                    }
                }
            }
            _ => self.duration_text(entry),
        }
    }

    /// A duration that was never allowed to be a bare integer.
    pub(super) fn duration_text(&mut self, entry: &Entry) -> Option<Duration> {
        let Kind::String(text) = &entry.value.kind else {
            self.mismatch(entry, "a duration such as \"30s\"");
            return None;
        };
        match duration::parse_positive(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let text = format!("error parsing {}: {error}", entry.key);
                self.error(&entry.value.position, text);
                None
            }
        }
    }
}

/// Sets a field if there is a value.
pub(super) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Sets an optional field if there is a value.
pub(super) fn set_some<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}
