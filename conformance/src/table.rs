//! The capability table, from the lists in `conformance/capabilities/`, the results of the cases, and
//! the tests that name what they show.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::Case;
use crate::open::Reasons;
use crate::results::Results;
use crate::shown::{LIST, Test};

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

/// What the heading of the list for users says.
const BY_TESTS: &str = "
What people use is shown by tests of this repository, which name the capabilities that they show in a
comment above them: `grep -rn 'Shows.*U-001' crates examples xtask`. `.ci/run` runs all of them (`cargo test`),
those of the command (`crates/cli/tests`) a second time against nats-server (its step 'command, theirs').
A capability is ticked when its tests show all of what is to be observed, and not where they say that
they show only a part of it. The last column counts its tests.
";

/// What a table is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The lists, with their headings.
    pub lists: &'a [(&'static str, Vec<Capability>)],
    /// The cases.
    pub cases: &'a [Case],
    /// How they went.
    pub results: &'a Results,
    /// The tests that name what they show.
    pub tests: &'a [Test],
    /// Why the rest is open.
    pub reasons: &'a Reasons,
}

/// Renders the table, and lists what is wrong with the reasons: an open capability has none, or one stands
/// beside a tick.
#[must_use]
pub fn render(sources: Sources<'_>) -> (String, Vec<String>) {
    let Sources { lists, cases, results, tests, reasons } = sources;
    let mut faults = Vec::new();
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
    // A test in the tree passes, or the change that broke it does not get in.
    let tests_of =
        |id: &str| tests.iter().filter(|t| has(&t.shows, id) || has(&t.partly, id)).count();
    // What shows a part says that the whole is not shown.
    let whole = |id: &str| {
        !cases.iter().any(|case| has(&case.partly, id))
            && !tests.iter().any(|test| has(&test.partly, id))
    };
    let begun = |id: &str| count(id).0 + tests_of(id) > 0;
    let ticked = |id: &str| {
        let (all, good) = count(id);
        begun(id) && all == good && whole(id)
    };
    let good = cases.iter().filter(|case| passes(case)).count();
    let mut out = String::from(
        "# Capabilities\n\n\
         Written by `natterjack-conformance table`; do not edit. A capability is ticked when all\n\
         cases that cover it pass against our server and against nats-server 2.15.1 (`conformance/`),\n\
         and not where cases show only a part of it. The last column counts its cases.\n\
         The capabilities of the last list are shown by tests, as it says there. Without a tick the last\n\
         column says what is missing.\n\n\
         What no exchange with two servers can show, such as what becomes of damaged files and full disks, or\n\
         what only our server promises, is shown by tests of this repository, which name it in the same way\n\
         (`grep -rn 'Shows.*J-209' crates`). Where the last column counts tests, a tick means that they show\n\
         all of it of our server; nats-server was not asked.\n\n",
    );
    let _ = writeln!(out, "{good} of {} cases pass with both witnesses.\n", cases.len());
    out.push_str("| List | Ticked | Begun | All |\n|---|---|---|---|\n");
    for (heading, list) in lists {
        let done = list.iter().filter(|c| ticked(&c.id)).count();
        let begun = list.iter().filter(|c| begun(&c.id) && !ticked(&c.id)).count();
        let _ = writeln!(out, "| {heading} | {done} | {begun} | {} |", list.len());
    }
    for (heading, list) in lists {
        let _ = writeln!(out, "\n## {heading}");
        let by_tests = *heading == LIST;
        if by_tests {
            out.push_str(BY_TESTS);
        }
        let mut section = "";
        for capability in list {
            if section != capability.section {
                section = &capability.section;
                let _ = writeln!(out, "\n### {section}\n");
                let last = if by_tests { "Tests" } else { "Cases" };
                let _ = writeln!(out, "| Id | Capability | Observable | Done | {last} |");
                out.push_str("|---|---|---|---|---|\n");
            }
            let Capability { id, name, observable, .. } = capability;
            let tick = if ticked(id) { "[x]" } else { "[ ]" };
            let by = match (count(id), tests_of(id)) {
                ((0, _), 0) => String::new(),
                ((0, _), tests) if by_tests => tests.to_string(),
                ((0, _), 1) => "1 test".to_owned(),
                ((0, _), tests) => format!("{tests} tests"),
                ((all, good), 0) => format!("{good}/{all}"),
                ((all, good), tests) if by_tests => format!("{tests}, and {good}/{all} cases"),
                ((all, good), 1) => format!("{good}/{all}, and 1 test"),
                ((all, good), tests) => format!("{good}/{all}, and {tests} tests"),
            };
            let by = match (ticked(id), reasons.get(id)) {
                (true, None) => by,
                (false, Some(why)) if by.is_empty() => why.clone(),
                (false, Some(why)) => format!("{by}; {why}"),
                (true, Some(_)) => {
                    faults.push(format!("{id} has a tick and a reason why it has none"));
                    by
                }
                (false, None) => {
                    faults.push(format!("{id} is open without a reason in open.tsv"));
                    by
                }
            };
            let _ = writeln!(out, "| {id} | {name} | {observable} | {tick} | {by} |");
        }
    }
    (out, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Witness, parse as cases_of};

    /// The table without reasons.
    fn render(
        lists: &[(&'static str, Vec<Capability>)],
        cases: &[Case],
        results: &Results,
        tests: &[Test],
    ) -> String {
        super::render(Sources { lists, cases, results, tests, reasons: &Reasons::new() }).0
    }

    #[test]
    fn what_is_open_has_a_reason_and_what_is_ticked_has_none() {
        let lists = [(LIST, parse("U-001\ta\tx\tA\nU-002\tb\tx\tA\nU-003\tc\tx\tA\n").unwrap())];
        let tests = [Test { name: "one".into(), shows: vec!["U-001".into()], partly: vec![] }];
        let reasons = crate::open::parse("U-001\told\nU-002\tlater\n").unwrap();
        let (table, faults) = super::render(Sources {
            lists: &lists,
            cases: &[],
            results: &Results::default(),
            tests: &tests,
            reasons: &reasons,
        });
        assert!(table.contains("| U-001 | a | x | [x] | 1 |"), "{table}");
        assert!(table.contains("| U-002 | b | x | [ ] | later |"), "{table}");
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

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
        let table = render(&lists, &cases, &results, &[]);
        assert!(table.contains("| C-001 | INFO | line | [x] | 1/1 |"));
        assert!(table.contains("| C-002 | CONNECT | open | [ ] | 1/2 |"));
        assert!(table.contains("| C-003 | x | y | [ ] | 1/1 |"));
        assert!(table.contains("| Core | 1 | 2 | 3 |"));
        assert!(table.contains("1 of 2 cases"));
        assert!(unknown(&cases, &lists).is_empty());
        assert_eq!(unknown(&cases, &[]).len(), 3);
    }
    #[test]
    fn tests_tick_what_they_show_entirely() {
        let list = parse("U-001\ta\tx\tA\nU-002\tb\tx\tA\nU-003\tc\tx\tA\n").unwrap();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let tests = [
            Test { name: "one".into(), shows: ids(&["U-001", "U-002"]), partly: vec![] },
            Test { name: "two".into(), shows: ids(&["U-001"]), partly: ids(&["U-002"]) },
        ];
        let table = render(&[(LIST, list)], &[], &Results::default(), &tests);
        assert!(table.contains("| U-001 | a | x | [x] | 2 |"), "{table}");
        assert!(table.contains("| U-002 | b | x | [ ] | 2 |"), "{table}");
        assert!(table.contains("| U-003 | c | x | [ ] |  |"), "{table}");
        assert!(table.contains("| For users | 1 | 1 | 3 |"), "{table}");
        assert!(table.contains("| Done | Tests |"), "{table}");
    }

    #[test]
    fn tests_show_what_no_case_can() {
        let list = parse("J-001\ta\tx\tA\nJ-002\tb\tx\tA\n").unwrap();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let tests = [
            Test { name: "one".into(), shows: ids(&["J-001"]), partly: vec![] },
            Test { name: "two".into(), shows: ids(&["J-002"]), partly: vec![] },
        ];
        let cases = cases_of("f", "=== one\ncovers: J-002\na ping\n").unwrap();
        let mut results = Results::default();
        let list = [("JetStream", list)];
        let table = render(&list, &cases, &results, &tests);
        assert!(table.contains("| J-001 | a | x | [x] | 1 test |"), "{table}");
        // A case that does not pass is not made good by a test.
        assert!(table.contains("| J-002 | b | x | [ ] | 0/1, and 1 test |"), "{table}");
        results.record(&cases[0], Witness::Ours, true);
        results.record(&cases[0], Witness::Reference, true);
        let table = render(&list, &cases, &results, &tests);
        assert!(table.contains("| J-002 | b | x | [x] | 1/1, and 1 test |"), "{table}");
    }
}
