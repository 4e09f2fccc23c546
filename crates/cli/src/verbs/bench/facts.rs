//! What a measurement was made with: for the line at its start, and for the report.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::units;

/// Names and values.
#[derive(Clone, Default)]
pub(super) struct Facts(Vec<(&'static str, String, Value)>);

impl Facts {
    pub(super) fn text(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned(), value.into()));
        self
    }

    pub(super) fn flag(mut self, name: &'static str, value: bool) -> Self {
        self.0.push((name, value.to_string(), value.into()));
        self
    }

    pub(super) fn number(mut self, name: &'static str, value: u64) -> Self {
        self.0.push((name, units::count(value), value.into()));
        self
    }

    /// Bytes.
    pub(super) fn size(mut self, name: &'static str, value: u64) -> Self {
        self.0.push((name, units::size(value), value.into()));
        self
    }

    /// Seconds in JSON.
    pub(super) fn span(mut self, name: &'static str, value: Duration) -> Self {
        self.0.push((name, units::duration(value), value.as_secs_f64().into()));
        self
    }

    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// `name=value, ..` in the order of the names.
    pub(super) fn line(&self) -> String {
        let mut parts: Vec<String> =
            self.0.iter().map(|(name, value, _)| format!("{name}={value}")).collect();
        parts.sort();
        parts.join(", ")
    }

    pub(super) fn json(&self) -> Value {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by_key(|(name, ..)| *name);
        let name = |name: &str| name.replace('-', "_");
        pairs
            .into_iter()
            .map(|(key, _, value)| (name(key), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_sorted_and_keep_their_units() {
        let facts = Facts::default()
            .text("subject", "a.*")
            .and(Facts::default().size("msg-size", 1024).number("msgs", 100_000))
            .span("sleep", Duration::from_millis(1500))
            .flag("purge", false);
        assert_eq!(
            facts.line(),
            "msg-size=1.0 KiB, msgs=100,000, purge=false, sleep=1.50s, subject=a.*"
        );
        assert_eq!(
            facts.json().to_string(),
            r#"{"msg_size":1024,"msgs":100000,"purge":false,"sleep":1.5,"subject":"a.*"}"#
        );
    }
}
