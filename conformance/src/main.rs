//! The conformance harness on the command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use natterjack_conformance::case::{self, Case, Witness};
use natterjack_conformance::results::Results;
use natterjack_conformance::runner::{self, Outcome};
use natterjack_conformance::server::Program;
use natterjack_conformance::{open, shown, table};

const USAGE: &str = "\
natterjack-conformance run [options]      run the cases against both servers
    --ours PATH         our server (NATTERJACK_OURS; else target/release or target/debug)
    --reference PATH    nats-server (NATTERJACK_REFERENCE; else nats-server from PATH)
    --witness W         ours, reference or both (both)
    --only GLOB         cases whose id matches; * stands for any text; may be repeated
    --jobs N            servers at a time (4)
    --waiting           try our server with the cases that wait for it, too
    --fail-fast         stop at the first failure
    --list              print the ids
    --times             print the slowest cases
    --record            write conformance/results.tsv
natterjack-conformance table [--write PATH] [--check PATH]
                                          the capability table, from the recorded results
                                          and the tests that name what they show
natterjack-conformance check              parse the cases, and the capabilities that they and
                                          the tests of the workspace name
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((verb, rest)) => match verb.as_str() {
            "run" => run(rest),
            "table" => write_table(rest),
            "check" => check(),
            "help" | "-h" | "--help" => say(USAGE).map(|()| true),
            _ => Err(format!("unknown command {verb:?}\n{USAGE}")),
        },
        None => Err(USAGE.to_owned()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "natterjack-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| e.to_string())
}

/// The directory of this package: the cases belong to the sources the program was built from.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn results_path() -> PathBuf {
    home().join("results.tsv")
}

fn capabilities() -> PathBuf {
    home().join("capabilities")
}

fn cases() -> Result<Vec<Case>, String> {
    case::load(&home().join("cases"))
}

#[derive(Default)]
struct Options {
    ours: Option<PathBuf>,
    reference: Option<PathBuf>,
    witnesses: Vec<Witness>,
    only: Vec<String>,
    jobs: usize,
    waiting: bool,
    fail_fast: bool,
    list: bool,
    times: bool,
    record: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options =
            Self { jobs: 4, witnesses: vec![Witness::Reference, Witness::Ours], ..Self::default() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--ours" => options.ours = Some(value()?.into()),
                "--reference" => options.reference = Some(value()?.into()),
                "--only" => options.only.push(value()?),
                "--jobs" => options.jobs = value()?.parse().map_err(|_| "--jobs: a number")?,
                "--witness" => {
                    options.witnesses = match value()?.as_str() {
                        "ours" => vec![Witness::Ours],
                        "reference" => vec![Witness::Reference],
                        "both" => vec![Witness::Reference, Witness::Ours],
                        other => return Err(format!("--witness {other}?")),
                    }
                }
                "--waiting" => options.waiting = true,
                "--fail-fast" => options.fail_fast = true,
                "--list" => options.list = true,
                "--times" => options.times = true,
                "--record" => options.record = true,
                _ => return Err(format!("unknown option {argument}\n{USAGE}")),
            }
        }
        Ok(options)
    }

    fn programs(&self) -> Result<Vec<Program>, String> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let mut programs = Vec::new();
        for witness in &self.witnesses {
            programs.push(match witness {
                Witness::Ours => {
                    let given = self.ours.clone().or_else(|| variable("NATTERJACK_OURS"));
                    Program::ours(existing(given.or_else(built), "our server", "--ours")?)
                }
                Witness::Reference => {
                    let given = self.reference.clone().or_else(|| variable("NATTERJACK_REFERENCE"));
                    let found = given.or_else(|| on_path("nats-server"));
                    Program::reference(existing(found, "nats-server", "--reference")?)
                }
            });
        }
        Ok(programs)
    }
}

fn existing(path: Option<PathBuf>, what: &str, option: &str) -> Result<PathBuf, String> {
    match path {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(format!("{what}: {} is not there", path.display())),
        None => Err(format!("{what} not found: name it with {option} PATH")),
    }
}

fn built() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| home().join("../target"));
    ["release", "debug"].iter().map(|p| target.join(p).join("natterjack")).find(|p| p.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|p| p.is_file())
}

fn run(arguments: &[String]) -> Result<bool, String> {
    let options = Options::parse(arguments)?;
    let all = cases()?;
    let selected: Vec<Case> = all
        .iter()
        .filter(|c| {
            options.only.is_empty() || options.only.iter().any(|g| case::selected(g, &c.id))
        })
        .cloned()
        .collect();
    if options.list {
        let lines: String = selected.iter().map(|c| format!("{}\n", c.id)).collect();
        say(&lines)?;
        return Ok(true);
    }
    records_exist(&selected)?;
    let programs = options.programs()?;
    let mut out = std::io::stdout();
    let how =
        runner::How { jobs: options.jobs, fail_fast: options.fail_fast, waiting: options.waiting };
    let mut outcomes = runner::run(&selected, &programs, how, &mut out);
    if !options.fail_fast {
        try_again(&selected, &programs, how, &mut outcomes)?;
    }
    if options.times {
        say(&slowest(&selected, &outcomes))?;
    }
    if options.record {
        record(&all, &selected, &outcomes)?;
    }
    // A case counts once; one that waits for our server, or was not reached because of
    // --fail-fast, counts as neither.
    let ours = options.witnesses.contains(&Witness::Ours);
    let waits = |case: &Case| case.waits && ours && !options.waiting;
    let waiting = selected.iter().filter(|case| waits(case)).count();
    if waiting > 0 {
        say(&format!("{waiting} more wait for our server\n"))?;
    }
    let passed = |index: usize| {
        if waits(&selected[index])
            && outcomes.iter().all(|o| o.case != index || o.failure.is_none())
        {
            return None;
        }
        let mut verdicts = outcomes.iter().filter(|o| o.case == index).peekable();
        verdicts.peek().is_some().then(|| verdicts.all(|o| o.failure.is_none()))
    };
    let verdicts: Vec<bool> = (0..selected.len()).filter_map(passed).collect();
    let good = verdicts.iter().filter(|good| **good).count();
    let bad = verdicts.len() - good;
    say(&format!("{good} passed, {bad} failed\n"))?;
    Ok(bad == 0 && good > 0)
}

/// So many failures may be those of a busy machine; more are not tried again.
const TRIED_AGAIN: usize = 8;

/// Runs what failed once more, one server at a time, and says what passed only then: both servers now and
/// then answer later than a case waits when the machine has other work.
fn try_again(
    cases: &[Case],
    programs: &[Program],
    how: runner::How,
    outcomes: &mut [Outcome],
) -> Result<(), String> {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    if failed == 0 || failed > TRIED_AGAIN {
        return Ok(());
    }
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.failure.is_some()) {
        let Some(program) = programs.iter().find(|known| known.witness == outcome.witness) else {
            continue;
        };
        let case = std::slice::from_ref(&cases[outcome.case]);
        let how = runner::How { jobs: 1, ..how };
        let again = runner::run(case, std::slice::from_ref(program), how, &mut std::io::sink());
        if again.iter().all(|again| again.failure.is_none()) && !again.is_empty() {
            outcome.failure = None;
            let (id, witness) = (&case[0].id, outcome.witness.name());
            say(&format!("passed the second time: {id} ({witness})\n"))?;
        }
    }
    Ok(())
}

/// The decision records that cases name must be there.
fn records_exist(cases: &[Case]) -> Result<(), String> {
    let directory = home().join("../docs/decisions");
    let names: Vec<String> = std::fs::read_dir(&directory)
        .map(|entries| {
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    for case in cases {
        let Some(record) = &case.differs else { continue };
        let number = record.strip_prefix("D-").unwrap_or(record);
        if !names.iter().any(|name| name.starts_with(&format!("{number}-"))) {
            return Err(format!("{}: no decision record {record} in docs/decisions", case.id));
        }
    }
    Ok(())
}

fn slowest(cases: &[Case], outcomes: &[Outcome]) -> String {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| std::cmp::Reverse(outcome.took_ms));
    let line = |o: &&Outcome| {
        format!("{:>6} ms  {} ({})\n", o.took_ms, cases[o.case].id, o.witness.name())
    };
    sorted.iter().take(25).map(line).collect()
}

fn record(all: &[Case], run: &[Case], outcomes: &[Outcome]) -> Result<(), String> {
    let path = results_path();
    let mut results = Results::read(&path)?;
    for outcome in outcomes {
        results.record(&run[outcome.case], outcome.witness, outcome.failure.is_none());
    }
    results.prune(all);
    std::fs::write(&path, results.text()).map_err(|e| format!("{}: {e}", path.display()))
}

fn write_table(arguments: &[String]) -> Result<bool, String> {
    let cases = cases()?;
    let lists = table::load(&capabilities())?;
    let tests = shown::load(&home().join(".."))?;
    let (results, reasons) = (Results::read(&results_path())?, open::load(&capabilities())?);
    let (text, faults) = table::render(table::Sources {
        lists: &lists,
        cases: &cases,
        results: &results,
        tests: &tests,
        reasons: &reasons,
    });
    for fault in &faults {
        say(&format!("{fault}\n"))?;
    }
    let sound = faults.is_empty();
    match arguments {
        [] => say(&text).map(|()| sound),
        [verb, path] if verb == "--write" => {
            std::fs::write(path, text).map(|()| sound).map_err(|e| format!("{path}: {e}"))
        }
        [verb, path] if verb == "--check" => {
            let found = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
            if found != text {
                say(&format!("{path} is out of date: run table --write {path}\n"))?;
            }
            Ok(found == text && sound)
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn check() -> Result<bool, String> {
    let cases = cases()?;
    let lists = table::load(&capabilities())?;
    let unknown = table::unknown(&cases, &lists);
    for id in &unknown {
        say(&format!("{id} is covered by a case and is in no list\n"))?;
    }
    let tests = shown::load(&home().join(".."))?;
    let unlisted = shown::unknown(&tests, &lists);
    for id in &unlisted {
        say(&format!("{id} is shown by a test and is in no list\n"))?;
    }
    records_exist(&cases)?;
    say(&format!("{} cases, {} tests that name what they show\n", cases.len(), tests.len()))?;
    Ok(unknown.is_empty() && unlisted.is_empty())
}
