//! What a process takes, and where it runs. Linux tells it in `/proc`.

use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result};

/// Processor time and memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Seconds of processor time, in the program and in the system for it.
    pub(crate) cpu: f64,
    /// Resident bytes.
    pub(crate) memory: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| path)
        };
        let cpu = ticks(&read("stat")?).context("/proc says no processor time")?;
        let memory = resident(&read("status")?).context("/proc says no memory")?;
        Ok(Self { cpu: cpu as f64 / ticks_per_second(), memory })
    }
}

/// The fields `utime` and `stime` (proc(5)). The name before them may hold blanks and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output().ok();
        let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
        // It has been 100 on Linux for as long as there are nats-servers.
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(100.0)
    })
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Which processors the server and its load run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) server: Option<usize>,
    pub(super) load: Option<usize>,
}

impl Places {
    /// One processor for the server and one for its load, where there are two and `taskset`.
    pub(super) fn here() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let taskset = Command::new("taskset").arg("--version").output().is_ok();
        if processors > 1 && taskset {
            Self { server: Some(0), load: Some(1) }
        } else {
            Self { server: None, load: None }
        }
    }
}

/// The same command on one processor. `taskset` becomes the program, so the process id is the program's.
pub(crate) fn pinned(command: Command, processor: Option<usize>) -> Command {
    let Some(processor) = processor else { return command };
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &processor.to_string()]).arg(command.get_program());
    pinned.args(command.get_args());
    pinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 5 0 99 1000 300";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (x) S 1"), None);
    }

    #[test]
    fn memory_is_told_in_units_of_1024() {
        assert_eq!(resident("VmHWM:\t  20 kB\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("Name: x\n"), None);
    }

    #[test]
    fn a_pinned_command_keeps_its_words() {
        let mut command = Command::new("server");
        command.args(["-p", "1"]);
        let pinned = pinned(command, Some(3));
        let words: Vec<_> = pinned.get_args().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(pinned.get_program(), "taskset");
        assert_eq!(words, ["-c", "3", "server", "-p", "1"]);
    }
}
