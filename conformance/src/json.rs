//! JSON compared as a subset: what a case names must be there and equal, what it leaves out may be
//! anything.
//!
//! Strings may hold the placeholders of [`crate::pattern`]. A string that is only a placeholder
//! matches other types too: `"<number>"` a number, `"<any>"` every value, `"<true>"` either
//! boolean, `"<absent>"` a key that must not be there. An object with `"<only>": true` has
//! exactly the named keys; an array that starts with `"<unordered>"` may come in any order.

use serde_json::Value;

use crate::pattern::{Captures, Pattern};

/// Compares; answers the captures, or where and how the two differ.
///
/// # Errors
/// The first difference, as `path: expected …, got …`.
pub fn subset(expected: &Value, actual: &Value) -> Result<Captures, String> {
    let mut captures = Vec::new();
    compare("$", expected, actual, &mut captures)?;
    Ok(captures)
}

fn differs(path: &str, expected: &Value, actual: &Value) -> String {
    format!("{path}: expected {expected}, got {actual}")
}

fn compare(
    path: &str,
    expected: &Value,
    actual: &Value,
    captures: &mut Captures,
) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(want), Value::Object(have)) => {
            for (key, value) in want {
                let inner = format!("{path}.{key}");
                match (value.as_str(), have.get(key)) {
                    (Some("<absent>"), None) => {}
                    (Some("<absent>"), Some(found)) => {
                        return Err(format!("{inner}: expected no such key, got {found}"));
                    }
                    _ if key == "<only>" => {
                        if let Some(more) = have.keys().find(|k| !want.contains_key(*k)) {
                            return Err(format!("{path}: unexpected key {more:?}"));
                        }
                    }
                    (_, Some(found)) => compare(&inner, value, found, captures)?,
                    (_, None) => return Err(format!("{inner}: expected {value}, key is missing")),
                }
            }
            Ok(())
        }
        (Value::Array(want), Value::Array(have)) => array(path, want, have, captures),
        (Value::String(want), _) => string(path, want, actual, captures),
        // 2 and 2.0 are the same number to every JSON reader.
        (Value::Number(want), Value::Number(have))
            if want == have || (have.is_f64() && want.as_f64() == have.as_f64()) =>
        {
            Ok(())
        }
        (Value::Bool(want), Value::Bool(have)) if want == have => Ok(()),
        (Value::Null, Value::Null) => Ok(()),
        _ => Err(differs(path, expected, actual)),
    }
}

fn array(
    path: &str,
    want: &[Value],
    have: &[Value],
    captures: &mut Captures,
) -> Result<(), String> {
    if want.first().and_then(Value::as_str) == Some("<unordered>") {
        let mut left: Vec<&Value> = have.iter().collect();
        for value in &want[1..] {
            let hit = left.iter().position(|found| compare(path, value, found, captures).is_ok());
            left.remove(hit.ok_or_else(|| format!("{path}: nothing matches {value}"))?);
        }
        return match left.first() {
            Some(more) => Err(format!("{path}: unexpected element {more}")),
            None => Ok(()),
        };
    }
    if want.len() != have.len() {
        return Err(format!("{path}: expected {} elements, got {}", want.len(), have.len()));
    }
    for (index, (value, found)) in want.iter().zip(have).enumerate() {
        compare(&format!("{path}[{index}]"), value, found, captures)?;
    }
    Ok(())
}

fn string(path: &str, want: &str, actual: &Value, captures: &mut Captures) -> Result<(), String> {
    let failed = || differs(path, &Value::String(want.to_owned()), actual);
    let text = match actual {
        Value::String(text) => text.clone(),
        _ if want == "<any>" => return Ok(()),
        Value::Bool(_) if want == "<true>" => return Ok(()),
        // Only a placeholder that fills the string speaks of a number.
        Value::Number(number) if want.starts_with('<') && want.ends_with("number>") => {
            number.to_string()
        }
        _ => return Err(failed()),
    };
    if matches!(actual, Value::String(_)) && want.ends_with("number>") && want.starts_with('<') {
        return Err(failed());
    }
    let found = Pattern::plain(want)?.matches(text.as_bytes()).ok_or_else(failed)?;
    captures.extend(found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ok(want: Value, have: Value) -> bool {
        subset(&want, &have).is_ok()
    }

    #[test]
    fn left_out_keys_may_be_anything() {
        assert!(ok(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(!ok(json!({"a": 1, "<only>": true}), json!({"a": 1, "b": 2})));
        assert!(!ok(json!({"a": 1}), json!({"b": 2})));
    }

    #[test]
    fn absent_keys_are_checked() {
        assert!(ok(json!({"a": "<absent>"}), json!({"b": 2})));
        assert!(!ok(json!({"a": "<absent>"}), json!({"a": null})));
    }

    #[test]
    fn arrays_are_exact_unless_unordered() {
        assert!(ok(json!([1, 2]), json!([1, 2])));
        assert!(!ok(json!([1]), json!([1, 2])));
        assert!(!ok(json!([2, 1]), json!([1, 2])));
        assert!(ok(json!(["<unordered>", 2, 1]), json!([1, 2])));
        assert!(!ok(json!(["<unordered>", 2]), json!([1, 2])));
    }

    #[test]
    fn placeholders_in_strings() {
        assert!(ok(json!({"n": "<number>"}), json!({"n": 5})));
        assert!(!ok(json!({"n": "<number>"}), json!({"n": "5"})));
        assert!(ok(json!({"n": "<any>"}), json!({"n": [1]})));
        assert!(ok(json!("consumer <word> gone"), json!("consumer c gone")));
        let captures = subset(&json!({"n": "<x=number>"}), &json!({"n": 7})).unwrap();
        assert_eq!(captures, [("x".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn the_difference_names_its_place() {
        let error = subset(&json!({"a": {"b": [1, 2]}}), &json!({"a": {"b": [1, 3]}})).unwrap_err();
        assert_eq!(error, "$.a.b[1]: expected 2, got 3");
    }
}
