//! The tests that our server does not pass yet, each with its reason.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::source::Test;
use crate::root;

/// Where the list stands: a name, a tab, the reason; `#` begins a comment.
pub(super) const PATH: &str = "interop/async-nats/without.tsv";

/// The list.
pub(super) struct Without {
    reasons: BTreeMap<String, String>,
}

impl Without {
    pub(super) fn load() -> Result<Self> {
        Self::parse(&std::fs::read_to_string(root().join(PATH)).context(PATH)?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut reasons = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let row = line.split_once('\t').filter(|(_, reason)| !reason.trim().is_empty());
            let (name, reason) = row.with_context(|| format!("{PATH}:{number}: no reason"))?;
            let before = reasons.insert(name.to_owned(), reason.to_owned());
            ensure!(before.is_none(), "{PATH}:{number}: {name} is there already");
        }
        Ok(Self { reasons })
    }

    /// Refuses a name that no test has.
    pub(super) fn known_to(&self, tests: &[Test]) -> Result<()> {
        for name in self.reasons.keys() {
            ensure!(tests.iter().any(|test| test.name == *name), "{PATH}: {name} is no test");
        }
        Ok(())
    }

    /// Why this test is on the list.
    pub(super) fn reason(&self, name: &str) -> Option<&str> {
        self.reasons.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_reason() {
        let list = Without::parse("# why\n\na::b\tno mirrors\n").expect("well-formed");
        assert_eq!(list.reason("a::b"), Some("no mirrors"));
        assert_eq!(list.reason("a::c"), None);
        for text in ["a::b\n", "a::b\t \n", "a\tx\na\ty\n"] {
            assert!(Without::parse(text).is_err(), "{text:?}");
        }
    }
}
