//! What an edit changes in a configuration.

use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::Failure;
use crate::prompt;

/// One field that changes.
#[derive(Debug, PartialEq)]
struct Change {
    field: String,
    from: Value,
    to: Value,
}

/// The fields in which `after` is not `before`. Objects are compared field by field, lists as a whole;
/// a field that is absent is null.
fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    walk("", before, after, &mut found);
    found
}

fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<Change>) {
    let (Some(one), Some(other)) = (before.as_object(), after.as_object()) else {
        if before != after {
            let field = path.to_owned();
            found.push(Change { field, from: before.clone(), to: after.clone() });
        }
        return;
    };
    let mut names: Vec<&String> = one.keys().collect();
    names.extend(other.keys().filter(|name| !one.contains_key(*name)));
    for name in names {
        let none = &Value::Null;
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (before, after) = (one.get(name).unwrap_or(none), other.get(name).unwrap_or(none));
        walk(&inner, before, after, found);
    }
}

/// What is to be done with an edit.
pub(crate) struct Edit<'a> {
    /// `Stream ORDERS`.
    pub(crate) what: &'a str,
    pub(crate) force: bool,
    pub(crate) dry_run: bool,
}

impl Edit<'_> {
    /// Shows the differences and asks. `true` if the edit is to be made; a dry run never makes it, and
    /// neither does one that changes nothing.
    ///
    /// # Errors
    /// It was refused, or nobody could be asked.
    pub(crate) fn agreed(
        &self,
        context: &Context,
        before: &Value,
        after: &Value,
    ) -> Result<bool, Failure> {
        let out = context.out;
        let changes = changes(before, after);
        if self.dry_run {
            show(context, &changes, after);
            return Ok(false);
        }
        if changes.is_empty() {
            out.say(format!("No difference in configuration of {}", self.what));
            return Ok(false);
        }
        if !self.force {
            for change in &changes {
                out.say(line(change));
            }
        }
        prompt::confirm(&format!("Really edit {}", self.what), self.force)?;
        Ok(true)
    }
}

fn show(context: &Context, changes: &[Change], after: &Value) {
    let out = context.out;
    if out.json {
        let list = changes
            .iter()
            .map(|Change { field, from, to }| json!({"field": field, "from": from, "to": to}));
        let list: Vec<Value> = list.collect();
        out.document(&json!({"dry_run": true, "differences": list, "config": after}));
        return;
    }
    if changes.is_empty() {
        out.say("No difference in configuration");
    }
    changes.iter().for_each(|change| out.line(line(change)));
}

fn line(Change { field, from, to }: &Change) -> String {
    match (from, to) {
        (Value::Null, to) => format!("+ {field}: {to}"),
        (from, Value::Null) => format!("- {field}: {from}"),
        (from, to) => format!("~ {field}: {from} -> {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_compared_at_any_depth() {
        let before = json!({"a": 1, "b": {"c": [1], "d": true}, "e": "x"});
        let after = json!({"a": 1, "b": {"c": [1, 2], "d": true}, "f": {}});
        let lines: Vec<String> = changes(&before, &after).iter().map(line).collect();
        assert_eq!(lines, ["~ b.c: [1] -> [1,2]", "- e: \"x\"", "+ f: {}"]);
        assert!(changes(&before, &before).is_empty());
    }
}
