//! The capability table, from the lists in `conformance/capabilities/` and the results.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::Case;
use crate::results::Results;

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// `C-012`, `J-131`, `U-040`.
    pub id: String,
    /// What it is.
    pub name: String,
    /// What can be observed.
    pub observable: String,
    /// The heading it stands under.
    pub section: String,
}

/// Parses a list: id, capability, observable and section, separated by tabs.
///
/// # Errors
/// A line has not four columns.
pub fn parse(text: &str) -> Result<Vec<Capability>, String> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [id, name, observable, section] = columns[..] else {
                return Err(format!("not four columns: {line:?}"));
            };
            let [id, name, observable, section] =
                [id, name, observable, section].map(str::to_owned);
            Ok(Capability { id, name, observable, section })
        })
        .collect()
}

/// Reads the lists of a directory: heading and capabilities.
///
/// # Errors
/// A list is missing or malformed.
pub fn load(directory: &Path) -> Result<Vec<(&'static str, Vec<Capability>)>, String> {
    [("Core server", "core.tsv"), ("JetStream", "jetstream.tsv"), ("For users", "ux.tsv")]
        .into_iter()
        .map(|(heading, file)| {
            let path = directory.join(file);
            let text =
                std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let list = parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok((heading, list))
        })
        .collect()
}

/// Ids that cases cover and no list has.
#[must_use]
pub fn unknown(cases: &[Case], lists: &[(&str, Vec<Capability>)]) -> BTreeSet<String> {
    let known: BTreeSet<&str> =
        lists.iter().flat_map(|(_, list)| list.iter().map(|c| c.id.as_str())).collect();
    let covered = cases.iter().flat_map(|case| case.covers.iter().chain(&case.partly));
    covered.filter(|id| !known.contains(id.as_str())).cloned().collect()
}

/// Renders the table.
#[must_use]
pub fn render(lists: &[(&str, Vec<Capability>)], cases: &[Case], results: &Results) -> String {
    let passes = |case: &Case| {
        results.rows.get(&case.id).is_some_and(|row| row.hash == case.hash && row.both())
    };
    let has = |ids: &[String], id: &str| ids.iter().any(|other| other == id);
    // Cases of a capability, and how many of them pass with both witnesses.
    let count = |id: &str| {
        let of = |case: &&Case| has(&case.covers, id) || has(&case.partly, id);
        let cases: Vec<&Case> = cases.iter().filter(of).collect();
        (cases.len(), cases.iter().filter(|case| passes(case)).count())
    };
    // A case that shows a part says that the whole is not shown.
    let whole = |id: &str| !cases.iter().any(|case| has(&case.partly, id));
    let ticked = |id: &str| matches!(count(id), (all, good) if all > 0 && all == good) && whole(id);
    let good = cases.iter().filter(|case| passes(case)).count();
    let mut out = String::from(
        "# Capabilities\n\n\
         Written by `natterjack-conformance table`; do not edit. A capability is ticked when all\n\
         cases that cover it pass against our server and against nats-server 2.15.1 (`conformance/`),\n\
         and not where cases show only a part of it. The last column counts its cases.\n\n",
    );
    let _ = writeln!(out, "{good} of {} cases pass with both witnesses.\n", cases.len());
    out.push_str("| List | Ticked | Begun | All |\n|---|---|---|---|\n");
    for (heading, list) in lists {
        let done = list.iter().filter(|c| ticked(&c.id)).count();
        let begun = list.iter().filter(|c| count(&c.id).0 > 0 && !ticked(&c.id)).count();
        let _ = writeln!(out, "| {heading} | {done} | {begun} | {} |", list.len());
    }
    for (heading, list) in lists {
        let _ = writeln!(out, "\n## {heading}");
        let mut section = "";
        for capability in list {
            if section != capability.section {
                section = &capability.section;
                let _ = writeln!(out, "\n### {section}\n");
                out.push_str("| Id | Capability | Observable | Done | Cases |\n");
                out.push_str("|---|---|---|---|---|\n");
            }
            let Capability { id, name, observable, .. } = capability;
            let tick = if ticked(id) { "[x]" } else { "[ ]" };
            let cases = match count(id) {
                (0, _) => String::new(),
                (all, good) => format!("{good}/{all}"),
            };
            let _ = writeln!(out, "| {id} | {name} | {observable} | {tick} | {cases} |");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Witness, parse as cases_of};

    #[test]
    fn a_tick_needs_every_case_on_both() {
        let lists = [(
            "Core",
            parse("C-001\tINFO\tline\tA\nC-002\tCONNECT\topen\tA\nC-003\tx\ty\tB\n").unwrap(),
        )];
        let text =
            "=== one\ncovers: C-001 C-002\npartly: C-003\na ping\n=== two\ncovers: C-002\na ping\n";
        let cases = cases_of("f", text).unwrap();
        let mut results = Results::default();
        results.record(&cases[0], Witness::Ours, true);
        results.record(&cases[0], Witness::Reference, true);
        results.record(&cases[1], Witness::Ours, false);
        results.record(&cases[1], Witness::Reference, true);
        let table = render(&lists, &cases, &results);
        assert!(table.contains("| C-001 | INFO | line | [x] | 1/1 |"));
        assert!(table.contains("| C-002 | CONNECT | open | [ ] | 1/2 |"));
        assert!(table.contains("| C-003 | x | y | [ ] | 1/1 |"));
        assert!(table.contains("| Core | 1 | 2 | 3 |"));
        assert!(table.contains("1 of 2 cases"));
        assert!(unknown(&cases, &lists).is_empty());
        assert_eq!(unknown(&cases, &[]).len(), 3);
    }
}
