//! Query parameters with Go's rules and error texts.

use std::collections::HashMap;

use serde_json::Value;

/// The parameters of a request.
pub(crate) struct Query(HashMap<String, String>);

/// A value that cannot be read; answered with 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuery {
    #[error("Error decoding int for '{name}': strconv.Atoi: parsing {value:?}: invalid syntax")]
    Number { name: &'static str, value: String },
    #[error(
        "Error decoding boolean for '{name}': strconv.ParseBool: parsing {value:?}: invalid syntax"
    )]
    Bool { name: &'static str, value: String },
    #[error("Error decoding state for {0}")]
    State(String),
    #[error("invalid sorting option: {0}")]
    Sort(String),
    #[error("sort by {0} only valid on closed connections")]
    SortNeedsClosed(String),
    #[error("Account {0} does not exist")]
    NoAccount(String),
    #[error("invalid test subject, must be valid publish subject: {0}")]
    TestSubject(String),
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Query(
            text.split('&')
                .filter(|part| !part.is_empty())
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The options of a request of the system account, by the names of the query. Lists of names become
    /// lines.
    pub(crate) fn of_json(options: &Value) -> Self {
        let mut query = HashMap::new();
        for (name, value) in options.as_object().into_iter().flatten() {
            let name = match (name.as_str(), value) {
                ("subscriptions" | "subscriptions_detail", _) => "subs",
                ("account", _) => "acc",
                ("include_unused", _) => "unused",
                ("accounts", Value::Array(_)) => "names",
                ("consumer", Value::Bool(_)) => "consumers",
                (name, _) => name,
            };
            let text = match value {
                Value::Bool(false) | Value::Null | Value::Object(_) => continue,
                Value::Bool(true) if options["subscriptions_detail"] == true && name == "subs" => {
                    "detail".to_owned()
                }
                Value::Bool(true) => "1".to_owned(),
                Value::Number(number) if name == "state" => match number.as_u64() {
                    Some(1) => "closed",
                    Some(2) => "any",
                    _ => "open",
                }
                .to_owned(),
                // A connection of id 0 is none: all are meant.
                Value::Number(number) if name == "cid" && number.as_u64() == Some(0) => continue,
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                Value::Array(names) => {
                    names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
                }
            };
            query.insert(name.to_owned(), text);
        }
        Query(query)
    }

    /// Sets a parameter, whatever it was.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The names of a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        self.text(name).map(|text| text.lines().collect()).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, name: &'static str, default: u64) -> Result<u64, BadQuery> {
        let Some(value) = self.text(name) else { return Ok(default) };
        let number: i64 =
            value.parse().map_err(|_| BadQuery::Number { name, value: value.to_owned() })?;
        Ok(u64::try_from(number).unwrap_or(default))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, BadQuery> {
        match self.text(name) {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(value) => Err(BadQuery::Bool { name, value: value.to_owned() }),
        }
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        rest = &tail[2..];
                    }
                    None => bytes.push(b'%'),
                }
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_reference_reads_them() {
        let query = Query::parse("limit=5&subs=t&acc=a%24b+c&bad=x&auth=zz");
        assert_eq!(query.number("limit", 1).unwrap(), 5);
        assert_eq!(query.number("offset", 7).unwrap(), 7);
        assert!(query.flag("subs").unwrap());
        assert_eq!(query.text("acc"), Some("a$b c"));
        assert_eq!(
            query.flag("auth").unwrap_err().to_string(),
            "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"zz\": invalid syntax"
        );
    }
}
