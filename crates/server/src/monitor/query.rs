//! Query parameters with Go's rules and error texts.

use std::collections::HashMap;

/// The parameters of a request.
pub(super) struct Query(HashMap<String, String>);

/// A value that cannot be read; answered with 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuery {
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
