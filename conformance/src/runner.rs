//! Runs many cases: groups them by server, several groups at a time.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::case::{Case, Witness};
use crate::run::Run;
use crate::server::{Directory, Program, Server};

/// The outcome of one case with one witness.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Index into the cases.
    pub case: usize,
    /// With whom.
    pub witness: Witness,
    /// The report, if it failed.
    pub failure: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u128,
}

/// Cases that share one server with one witness.
struct Group<'a> {
    program: &'a Program,
    cases: Vec<usize>,
}

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Servers at a time.
    pub jobs: usize,
    /// Stop at the first failure.
    pub fail_fast: bool,
    /// Run our server with the cases that wait for it, too.
    pub waiting: bool,
}

/// Runs `cases` with each of `programs`. Failures are written to `out` as
/// they come. Cases that share a server run one after the other, in file order.
///
/// # Errors
/// Nothing but a broken `out`; a server that does not start fails its cases.
pub fn run(
    cases: &[Case],
    programs: &[Program],
    how: How,
    out: &mut (dyn Write + Send),
) -> Vec<Outcome> {
    let groups = group(cases, programs, how.waiting);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let outcomes = Mutex::new((Vec::new(), out));
    let report = |outcome: Outcome| {
        let Ok(mut shared) = outcomes.lock() else { return };
        if let Some(failure) = &outcome.failure {
            let id = &cases[outcome.case].id;
            let _ = writeln!(shared.1, "FAIL {id} ({})\n{failure}", outcome.witness.name());
            stop.fetch_or(how.fail_fast, Ordering::Relaxed);
        }
        shared.0.push(outcome);
    };
    std::thread::scope(|scope| {
        for _ in 0..how.jobs.max(1) {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_group(cases, group, &stop, &report);
                }
            });
        }
    });
    outcomes.into_inner().map(|shared| shared.0).unwrap_or_default()
}

fn group<'a>(cases: &[Case], programs: &'a [Program], waiting: bool) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for program in programs {
        let first = groups.len();
        for (index, case) in cases.iter().enumerate() {
            if case.waits && !waiting && program.witness == Witness::Ours {
                continue;
            }
            // A file has its own servers, so that its cases may use the same subjects as another's.
            let shares = |group: &&mut Group<'_>| {
                let other = &cases[group.cases[0]];
                !other.alone && file_of(other) == file_of(case) && other.setup == case.setup
            };
            let found = groups[first..].iter_mut().find(shares);
            match found {
                Some(group) if !case.alone => group.cases.push(index),
                _ => groups.push(Group { program, cases: vec![index] }),
            }
        }
    }
    // The longest first, so that none is left alone at the end.
    groups.sort_by_key(|group| std::cmp::Reverse(group.cases.len()));
    groups
}

fn file_of(case: &Case) -> &str {
    case.id.rsplit_once('/').map_or("", |(file, _)| file)
}

/// Cases of files below `process/` start programs by themselves.
fn has_server(case: &Case) -> bool {
    !case.id.starts_with("process/") || !case.setup.flags.is_empty() || case.setup.config.is_some()
}

fn run_group(
    cases: &[Case],
    group: &Group<'_>,
    stop: &AtomicBool,
    report: &(dyn Fn(Outcome) + Sync),
) {
    let program = group.program;
    let mut server = Shared::default();
    for &index in &group.cases {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let case = &cases[index];
        let started = std::time::Instant::now();
        let result = run_one(case, program, &mut server);
        report(Outcome {
            case: index,
            witness: program.witness,
            failure: result.err(),
            took_ms: started.elapsed().as_millis(),
        });
    }
}

/// The server of a group.
#[derive(Default)]
struct Shared {
    running: Option<Server>,
    /// It did not start, and was reported.
    broken: bool,
}

fn run_one(case: &Case, program: &Program, shared: &mut Shared) -> Result<(), String> {
    if !has_server(case) {
        let directory = Directory::new()?;
        return Run::new(case, program, None, directory.path().to_path_buf()).run();
    }
    if shared.broken {
        return Err("      its server did not start, as above\n".to_owned());
    }
    // A case that brought the server down does not fail those after it.
    if shared.running.as_mut().is_some_and(Server::has_died) {
        shared.running = None;
    }
    if shared.running.is_none() {
        let started = Server::start(program, &case.setup);
        shared.broken = started.is_err();
        shared.running = Some(started.map_err(|e| indent(&e))?);
    }
    let running = shared.running.as_mut().ok_or("no server")?;
    let directory = running.directory().to_path_buf();
    Run::new(case, program, Some(running), directory).run()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("      {line}\n")).collect()
}
