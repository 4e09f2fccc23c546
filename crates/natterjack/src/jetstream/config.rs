//! Fields of stream and consumer configurations, and how what is wanted compares with what exists.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Drift;

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk: they survive a restart of the server.
    #[default]
    File,
    /// In memory: they do not.
    Memory,
}

/// How long a stream keeps a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// Until a limit is reached.
    #[default]
    Limits,
    /// Until all consumers that exist have acknowledged it.
    Interest,
    /// Until one consumer has acknowledged it.
    WorkQueue,
}

/// What a full stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    /// It drops the oldest message.
    #[default]
    Old,
    /// It refuses the new one.
    New,
}

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deliver {
    /// With the first message that the stream has.
    #[default]
    All,
    /// With the last one.
    Last,
    /// With what comes after its creation.
    New,
    /// With the last message of each subject.
    LastPerSubject,
    /// With this stream sequence.
    From(u64),
}

/// Fields that were asked for, by the server's names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

/// A span as the API writes it: nanoseconds.
pub(crate) fn nanos(span: Duration) -> Value {
    json!(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

impl Fields {
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(crate) fn set_json(&mut self, name: &str, value: &impl Serialize) {
        // The types used here have no form that serde_json refuses.
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.0.insert(name.to_owned(), value);
    }

    /// `defaults` with the fields that were asked for on top.
    pub(crate) fn over(&self, defaults: Value) -> Value {
        let mut all = match defaults {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        all.extend(self.0.clone());
        Value::Object(all)
    }

    /// The fields that differ from what exists: name, wanted, found.
    pub(crate) fn differences(&self, found: &Value) -> Vec<(String, Value, Value)> {
        self.0
            .iter()
            .filter_map(|(name, wanted)| {
                let there = found.get(name).cloned().unwrap_or(Value::Null);
                (!same(name, wanted, &there)).then(|| (name.clone(), wanted.clone(), there))
            })
            .collect()
    }

    /// The drift that a difference in a field is, in words.
    pub(crate) fn drift(object: &str, (field, wanted, found): &(String, Value, Value)) -> Drift {
        Drift {
            object: object.to_owned(),
            field: field.clone(),
            wanted: show(field, wanted),
            found: show(field, found),
        }
    }
}

/// Whether two values of a field mean the same to the server.
fn same(name: &str, wanted: &Value, found: &Value) -> bool {
    if wanted == found {
        return true;
    }
    match (wanted, found) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().all(|item| b.contains(item))
        }
        (Value::Array(a), Value::Null) => a.is_empty(),
        // The server adds entries of its own to metadata.
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| b.get(key).is_some_and(|there| same(key, value, there)))
        }
        (Value::Object(a), Value::Null) => a.is_empty(),
        (Value::Bool(false), Value::Null) => true,
        (Value::String(text), Value::Null) => text.is_empty() || text == "none",
        // Limits: 0, -1 and absent are all "none".
        (Value::Number(a), b) => {
            let unlimited = |v: &Value| v.is_null() || v.as_i64().is_some_and(|n| n <= 0);
            let limit = name.starts_with("max_") || b.is_null();
            limit && a.as_i64().is_some_and(|n| n <= 0) && unlimited(b)
        }
        _ => false,
    }
}

fn show(field: &str, value: &Value) -> String {
    let span = [
        "max_age",
        "duplicate_window",
        "ack_wait",
        "inactive_threshold",
        "subject_delete_marker_ttl",
    ];
    match value {
        Value::Null => "unset".into(),
        Value::Number(n) if span.contains(&field) => {
            n.as_u64().map_or_else(|| n.to_string(), |n| crate::pretty(Duration::from_nanos(n)))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(wanted: Value, found: Value) -> Vec<String> {
        let Value::Object(map) = wanted else { panic!("an object") };
        // The order of a map depends on a feature of serde_json that another crate may switch on.
        let differences = Fields(map).differences(&found).into_iter();
        let mut names: Vec<String> = differences.map(|(name, ..)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn equal_meanings_are_no_difference() {
        let none: [&str; 0] = [];
        let wanted = json!({
            "subjects": ["b", "a"], "max_msgs": 0, "max_bytes": -1, "deny_delete": false, "metadata": {"x": "1"},
            "compression": "none", "storage": "file"
        });
        let found = json!({
            "subjects": ["a", "b"], "max_msgs": -1, "max_bytes": -1, "metadata": {"x": "1", "_nats.ver": "2"},
            "storage": "file", "num_replicas": 3
        });
        assert_eq!(differing(wanted, found), none);
    }

    #[test]
    fn different_meanings_are_named() {
        let wanted =
            json!({"subjects": ["a"], "max_msgs": 5, "storage": "memory", "allow_direct": true});
        let found = json!({"subjects": ["a", "b"], "max_msgs": -1, "storage": "file"});
        assert_eq!(differing(wanted, found), ["allow_direct", "max_msgs", "storage", "subjects"]);
    }

    #[test]
    fn spans_are_shown_as_spans() {
        let drift =
            Fields::drift("stream S", &("max_age".into(), json!(60_000_000_000_i64), json!(0)));
        assert_eq!(drift.to_string(), "stream S exists with max_age 0 ms, wanted 60 s");
    }
}
