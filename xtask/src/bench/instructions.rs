//! Instructions per operation of the hot paths, compared with what was recorded.
//!
//! Time depends on the machine and on who else uses it; the number of instructions of the same program
//! does not. Each workload of the benchmarks runs under valgrind twice, with one and with two times as
//! many operations, and the difference is divided: what comes before the first operation does not count.
//!
//! The programs are built as the released one is. What differs between runs of the same program is far
//! below one percent: the seeds of hash tables come from addresses, which move a little.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::ci::cargo;
use crate::root;

/// The benchmarks, each in the crate `natterjack-NAME`.
const BENCHMARKS: &[&str] = &["proto", "subject", "core", "store", "jetstream"];

/// Where the numbers are kept.
const TABLE: &str = "docs/instructions.tsv";

/// Operations of the shorter run; the longer one has twice as many.
const OPERATIONS: u64 = 20_000;

/// Percent by which a number may exceed the recorded one, and instructions by which it always may: what
/// is inlined into what changes that much without anybody's doing.
const TOLERANCE: f64 = 3.0;
const SLACK: f64 = 10.0;

/// What a workload takes, by its name.
type Numbers = BTreeMap<String, f64>;

/// `cargo xtask bench --instructions`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let record = arguments.switch("--record");
    let only = arguments.options("--only")?;
    arguments.end()?;
    ensure!(!record || only.is_empty(), "--record writes the whole table: leave out --only");
    let made_with = Tools::here()?;
    let table = root().join(TABLE);
    let now = measure(&build()?, &only)?;
    if record {
        std::fs::write(&table, text(&made_with, &now)).with_context(|| TABLE.to_owned())?;
        println!("recorded {} numbers in {TABLE}", now.len());
        return Ok(());
    }
    let recorded = std::fs::read_to_string(&table).with_context(|| TABLE.to_owned())?;
    let (tools, before) = parse(&recorded)?;
    let report = compare(&before, &now, only.is_empty());
    print!("{}", report.text);
    let advice = "cargo xtask bench --instructions --record";
    if report.gains > 0 {
        println!("{} take less than before; keep it so: {advice}", report.gains);
    }
    if report.faults.is_empty() {
        println!("{} workloads, none above {TABLE} by more than {TOLERANCE} %", now.len());
        return Ok(());
    }
    let faults = format!("{}\nif it is meant to be so: {advice}", report.faults.join("\n"));
    if tools != made_with {
        // Another compiler makes other programs of the same source.
        println!("recorded with {tools}, this is {made_with}: differences need not be ours");
        println!("{faults}");
        return Ok(());
    }
    bail!("{faults}")
}

/// What decides about the numbers beside the source.
#[derive(Debug, PartialEq, Eq)]
struct Tools(String);

impl Tools {
    fn here() -> Result<Self> {
        let version = |program: &str| -> Result<String> {
            let output = Command::new(program).arg("--version").stderr(Stdio::null()).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(text.lines().next().unwrap_or_default().to_owned())
        };
        let valgrind = version("valgrind").context(
            "valgrind is not installed: `apt-get install valgrind`, `dnf install valgrind`, \
             `pacman -S valgrind`",
        )?;
        let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let (compiler, machine) = (version(&compiler)?, std::env::consts::ARCH);
        Ok(Self(format!("{compiler}, {valgrind}, {machine}")))
    }
}

impl std::fmt::Display for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Builds the benchmarks and says where they are.
fn build() -> Result<Vec<PathBuf>> {
    let mut build = cargo(&["bench", "--locked", "--no-run"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    for name in BENCHMARKS {
        build.args(["--package", &format!("natterjack-{name}"), "--bench", name]);
    }
    let output = build.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{build:?}: {}", output.status);
    let messages = String::from_utf8(output.stdout)?;
    let programs: Vec<PathBuf> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(message.get("executable")?.as_str()?.into()))
        .collect();
    ensure!(programs.len() == BENCHMARKS.len(), "cargo names the programs {programs:?}");
    Ok(programs)
}

/// Counts all workloads that `only` selects, as many at a time as there are processors.
fn measure(programs: &[PathBuf], only: &[String]) -> Result<Numbers> {
    let mut workloads: Vec<(&Path, String)> = Vec::new();
    for program in programs {
        let output = Command::new(program).arg("--list").output()?;
        ensure!(output.status.success(), "{}: {}", program.display(), output.status);
        let names = String::from_utf8(output.stdout)?;
        let names = names.lines().filter(|name| {
            only.is_empty() || only.iter().any(|part| name.starts_with(part.as_str()))
        });
        workloads.extend(names.map(|name| (program.as_path(), name.to_owned())));
    }
    ensure!(!workloads.is_empty(), "no workload begins with {only:?}");
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((program, name)) =
                    workloads.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let counted = per_operation(program, name);
                    done.lock().expect("nobody panics with it").push((name.clone(), counted));
                }
            });
        }
    });
    let done = done.into_inner().expect("nobody panics with it");
    done.into_iter().map(|(name, counted)| Ok((name, counted?))).collect()
}

fn per_operation(program: &Path, name: &str) -> Result<f64> {
    let (operations, instructions) = count(program, name, OPERATIONS)?;
    let (more_operations, more_instructions) = count(program, name, 2 * OPERATIONS)?;
    let operations = more_operations.checked_sub(operations).filter(|difference| *difference > 0);
    let operations = operations.with_context(|| format!("{name}: twice as many are not more"))?;
    let instructions = more_instructions.saturating_sub(instructions);
    Ok(instructions as f64 / operations as f64)
}

/// Runs a workload; the operations that it performed, and the instructions of all.
fn count(program: &Path, name: &str, operations: u64) -> Result<(u64, u64)> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.arg(program).args(["--once", name, &operations.to_string()]);
    // The size of the environment moves the stack, and with it addresses that are hashed.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    let performed = String::from_utf8(output.stdout)?.trim().parse();
    let performed = performed.with_context(|| format!("{name} says no number of operations"))?;
    let instructions = references(&errors);
    Ok((performed, instructions.with_context(|| format!("no instructions counted:\n{errors}"))?))
}

/// The number in `==7== I   refs:      13,299,602`.
fn references(text: &str) -> Option<u64> {
    let (_, rest) = text.lines().find_map(|line| line.split_once("refs:"))?;
    rest.trim().replace(',', "").parse().ok()
}

fn text(tools: &Tools, numbers: &Numbers) -> String {
    let mut text = format!(
        "# Instructions per operation: cargo xtask bench --instructions (docs/performance.md)\n\
         # {tools}\n"
    );
    for (name, number) in numbers {
        writeln!(text, "{name}\t{number:.0}").expect("a String takes every write");
    }
    text
}

fn parse(text: &str) -> Result<(Tools, Numbers)> {
    let tools = text.lines().nth(1).and_then(|line| line.strip_prefix("# "));
    let tools = Tools(tools.with_context(|| format!("{TABLE} says no tools"))?.to_owned());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let numbers = lines.map(|line| {
        let row = line.split_once('\t').and_then(|(name, number)| {
            Some((name.to_owned(), number.parse::<f64>().ok().filter(|number| *number > 0.0)?))
        });
        row.with_context(|| format!("{TABLE}: what is {line:?}?"))
    });
    Ok((tools, numbers.collect::<Result<_>>()?))
}

/// What came out of a comparison.
struct Report {
    text: String,
    faults: Vec<String>,
    /// Workloads that take fewer instructions than recorded.
    gains: usize,
}

/// `whole` says that all workloads were counted, so that one that is missing is gone.
fn compare(before: &Numbers, now: &Numbers, whole: bool) -> Report {
    let mut report = Report { text: String::new(), faults: Vec::new(), gains: 0 };
    for (name, number) in now {
        let Some(recorded) = before.get(name) else {
            report.faults.push(format!("{name}: {number:.0}, not recorded"));
            continue;
        };
        let percent = (number / recorded - 1.0) * 100.0;
        let row = format!("{name:34} {recorded:8.0} -> {number:8.0}  {percent:+6.1} %");
        writeln!(report.text, "{row}").expect("a String takes every write");
        if percent > TOLERANCE && number - recorded > SLACK {
            let fault = format!("{name}: {percent:.1} % more, {recorded:.0} -> {number:.0}");
            report.faults.push(fault);
        }
        report.gains += usize::from(percent < -TOLERANCE);
    }
    if whole {
        let gone = before.keys().filter(|name| !now.contains_key(*name));
        report.faults.extend(gone.map(|name| format!("{name}: recorded, and there no more")));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: &[(&str, f64)]) -> Numbers {
        rows.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let tools = Tools("rustc 1.95.0, valgrind-3.19.0, x86_64".to_owned());
        let table = numbers(&[("append/file-128", 1234.4), ("parse/pub-16", 300.0)]);
        let text = text(&tools, &table);
        assert!(text.ends_with("\nappend/file-128\t1234\nparse/pub-16\t300\n"), "{text}");
        let (read, rows) = parse(&text).unwrap();
        assert_eq!(read, tools);
        assert_eq!(rows, numbers(&[("append/file-128", 1234.0), ("parse/pub-16", 300.0)]));
        assert!(parse("# a\n# b\nparse/pub-16\tfast\n").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn only_what_leaves_the_tolerance_is_a_fault() {
        let before = numbers(&[("a", 1000.0), ("b", 1000.0), ("c", 1000.0), ("d", 90.0)]);
        let now = numbers(&[("a", 1029.0), ("b", 1031.0), ("c", 900.0), ("d", 99.0)]);
        let report = compare(&before, &now, true);
        assert_eq!(report.faults, ["b: 3.1 % more, 1000 -> 1031"]);
        assert_eq!(report.gains, 1);
    }

    #[test]
    fn new_and_vanished_workloads_are_faults() {
        let (before, now) = (numbers(&[("a", 1.0)]), numbers(&[("b", 2.0)]));
        let wanted = ["b: 2, not recorded", "a: recorded, and there no more"];
        assert_eq!(compare(&before, &now, true).faults, wanted);
        assert_eq!(compare(&before, &now, false).faults, wanted[..1]);
    }

    #[test]
    fn the_count_is_found_among_what_valgrind_says() {
        let text = "==7== Command: x\n==7== \n==7== I   refs:      13,299,602\n";
        assert_eq!(references(text), Some(13_299_602));
        assert_eq!(references("==7== nothing"), None);
    }
}
