//! Runs tests, each in a process of its own, a few at a time.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::source::Test;
use crate::servers::Make;

/// How long one test may take; the slowest of them take a quarter of it on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a running test is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// With what it printed last.
    Failed(String),
    /// The crate does not run it.
    Ignored,
}

/// What tests run against.
pub(super) struct Runner<'a> {
    pub(super) make: &'a Make,
    /// The crate's folder, where its tests find their configurations.
    pub(super) directory: &'a Path,
    /// How many run at a time.
    pub(super) workers: usize,
}

impl Runner<'_> {
    /// The verdict on each test. Some listen on ports that others use too, and some hope that their timing
    /// holds, so one that fails runs once more when it is alone.
    pub(super) fn run(&self, tests: &[Test]) -> Result<Vec<Verdict>> {
        let queue = Mutex::new(tests.iter().enumerate());
        let verdicts = Mutex::new(vec![Verdict::Failed(String::new()); tests.len()]);
        let next = || queue.lock().ok()?.next();
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                while let Some((place, test)) = next() {
                    let verdict = self.one(test)?;
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts[place] = verdict;
                    }
                }
                Ok(())
            };
            let workers: Vec<_> = (0..self.workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
        })?;
        let mut verdicts = verdicts.into_inner().unwrap_or_default();
        for (verdict, test) in verdicts.iter_mut().zip(tests) {
            if matches!(verdict, Verdict::Failed(_)) {
                *verdict = self.one(test)?;
            }
        }
        Ok(verdicts)
    }

    fn one(&self, test: &Test) -> Result<Verdict> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("output");
        let file = std::fs::File::create(&path)?;
        let (program, verb) = match self.make {
            Make::Ours(program) => (program, "serve"),
            Make::Reference(program) => (program, ""),
        };
        let mut command = Command::new(&test.program);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .args(["--exact", &test.within])
            .current_dir(self.directory)
            .env("CARGO_MANIFEST_DIR", self.directory)
            .env("NATS_SERVER", program)
            .env("NATS_SERVER_VERB", verb)
            .env("RUST_BACKTRACE", "0")
            // What servers and tests leave behind goes with the directory.
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| test.program.display().to_string())?;
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                end(&mut child)?;
                break;
            }
            std::thread::sleep(LOOK);
        }
        let status = child.wait()?;
        let output = std::fs::read(&path)?;
        let output = String::from_utf8_lossy(&output);
        Ok(match () {
            () if status.success() && output.contains("; 1 ignored;") => Verdict::Ignored,
            () if status.success() && output.contains(" 1 passed;") => Verdict::Passed,
            () => Verdict::Failed(format!("{}    ({status})", last(&output))),
        })
    }
}

/// Ends a test that hangs, with its servers.
fn end(child: &mut Child) -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        // An error says that the group is gone.
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
    Ok(child.kill()?)
}

/// The end of what a test printed.
fn last(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(25)..];
    last.iter().map(|line| format!("    {line}\n")).collect()
}
