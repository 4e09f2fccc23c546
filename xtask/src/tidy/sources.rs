//! Text files: their length, their white space, marks of unfinished work.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::text;

/// A source file past this many lines hides a noun that wants to leave.
const LINES_MAX: usize = 700;

/// Marks of work that is not done, in two halves so that this file has none.
const MARKS: &[(&str, &str)] =
    &[("FIX", "ME"), ("XX", "X:"), ("todo", "!("), ("unimplemented", "!("), ("<<<<", "<<< ")];

/// Whose white space and marks are looked at.
const EXTENSIONS: &[&str] = &["rs", "md", "toml", "py", "case", "sh", "conf"];

pub(super) fn check(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in files {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            faults.extend(faults_of(path, &text(path)?));
        }
    }
    Ok(faults)
}

fn faults_of(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = path.display();
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    let lines = text.lines().count();
    if is("rs") && lines > LINES_MAX {
        faults.push(format!("{shown}: {lines} lines; split it"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push(format!("{shown}: ends without a newline"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        // A case may be about blanks.
        if line.ends_with([' ', '\t', '\r']) && !is("case") {
            faults.push(format!("{shown}:{number}: blanks at the end"));
        }
        for (one, two) in MARKS {
            if line.contains(&format!("{one}{two}")) {
                faults.push(format!("{shown}:{number}: {one}{two} left; do it, or open an issue"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, wanted: &[&str]) {
        assert_eq!(faults_of(Path::new(path), text), wanted);
    }

    #[test]
    fn a_fault_names_its_line() {
        check("a.rs", "fn main() {}\n", &[]);
        check("a.rs", "fn main() {} \n", &["a.rs:1: blanks at the end"]);
        check("a.case", "send PUB x \n", &[]);
        check("a.md", "text", &["a.md: ends without a newline"]);
        let mark = format!("one\n// FIX{} two\n", "ME");
        let fault = format!("a.rs:2: FIX{} left; do it, or open an issue", "ME");
        check("a.rs", &mark, &[&fault]);
    }

    #[test]
    fn only_sources_have_a_length() {
        let long = "x\n".repeat(LINES_MAX + 1);
        check("a.md", &long, &[]);
        assert_eq!(faults_of(Path::new("a.rs"), &long).len(), 1);
    }
}
