//! What a run found, kept in `conformance/results.tsv` for the capability table.
//!
//! One line per case: id, hash of its text, verdict of ours, verdict of the reference. A verdict
//! counts only while the case still has the hash it was made with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::{Case, Witness};

/// The outcome of a case with one witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Not run.
    #[default]
    Unknown,
    /// All steps as expected.
    Pass,
    /// Some step not.
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "-",
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "pass" => Self::Pass,
            "fail" => Self::Fail,
            _ => Self::Unknown,
        }
    }
}

/// One case's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Hash of the case's text.
    pub hash: u32,
    /// With our server.
    pub ours: Verdict,
    /// With nats-server.
    pub reference: Verdict,
}

impl Row {
    /// Do both agree with the case?
    #[must_use]
    pub fn both(self) -> bool {
        self.ours == Verdict::Pass && self.reference == Verdict::Pass
    }
}

/// All lines, by case id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// The lines.
    pub rows: BTreeMap<String, Row>,
}

impl Results {
    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// It cannot be read, or a line has not four columns.
    pub fn read(path: &Path) -> Result<Self, String> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Parses the file's text.
    ///
    /// # Errors
    /// A line has not four columns.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rows = BTreeMap::new();
        for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [id, hash, ours, reference] = columns[..] else {
                return Err(format!("not four columns: {line:?}"));
            };
            let hash = u32::from_str_radix(hash, 16).map_err(|_| format!("bad hash: {line:?}"))?;
            let (ours, reference) = (Verdict::parse(ours), Verdict::parse(reference));
            rows.insert(id.to_owned(), Row { hash, ours, reference });
        }
        Ok(Self { rows })
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from("# case\thash\tours\treference\n");
        for (id, row) in &self.rows {
            let (ours, reference) = (row.ours.word(), row.reference.word());
            let _ = writeln!(out, "{id}\t{:08x}\t{ours}\t{reference}", row.hash);
        }
        out
    }

    /// Takes a verdict in. One of an older text of the case is forgotten.
    pub fn record(&mut self, case: &Case, witness: Witness, passed: bool) {
        let row = self.rows.entry(case.id.clone()).or_default();
        if row.hash != case.hash {
            *row = Row { hash: case.hash, ..Row::default() };
        }
        let verdict = if passed { Verdict::Pass } else { Verdict::Fail };
        match witness {
            Witness::Ours => row.ours = verdict,
            Witness::Reference => row.reference = verdict,
        }
    }

    /// Forgets cases that are gone or changed.
    pub fn prune(&mut self, cases: &[Case]) {
        self.rows
            .retain(|id, row| cases.iter().any(|case| case.id == *id && case.hash == row.hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_survive_the_file_and_die_with_the_text() {
        let old = crate::case::parse("x", "=== t\na ping\n").unwrap();
        let new = crate::case::parse("x", "=== t\na ping\na ping\n").unwrap();
        let mut results = Results::default();
        results.record(&old[0], Witness::Ours, true);
        results.record(&old[0], Witness::Reference, false);
        let read = Results::parse(&results.text()).unwrap();
        assert_eq!(read, results);
        assert!(!read.rows["x/t"].both());
        results.record(&new[0], Witness::Reference, true);
        assert_eq!(results.rows["x/t"].ours, Verdict::Unknown);
        results.prune(&old);
        assert!(results.rows.is_empty());
    }
}
