//! A program as a process, with its output as it comes.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use natterjack_examples::timeless;

/// Nothing takes this long; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills it.
pub(crate) struct Program {
    name: String,
    child: Child,
    /// Standard output and standard error, line by line.
    lines: Receiver<String>,
    seen: Arc<Mutex<Seen>>,
}

/// What came so far. Two pipes have no common order, so the two are kept apart.
#[derive(Default)]
struct Seen {
    stdout: String,
    stderr: String,
}

impl Seen {
    fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// What a program has printed, its standard error last, and how it ended.
pub(crate) struct Output {
    pub(crate) all: String,
    /// The last line of each of the two.
    last: [String; 2],
    pub(crate) exit: Option<i32>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts the examples: beside the directory of this test.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not built; `cargo test` without `--test` does it",
        path.display()
    );
    path
}

/// Runs a program to its end.
pub(crate) fn run(name: &str, flags: &[&str]) -> Output {
    Program::start(name, flags).end()
}

impl Program {
    pub(crate) fn start(name: &str, flags: &[&str]) -> Self {
        Self::with(name, flags, "NO_COLOR")
    }

    /// With colours, though nobody sees them.
    pub(crate) fn coloured(name: &str, flags: &[&str]) -> Self {
        Self::with(name, flags, "CLICOLOR_FORCE")
    }

    fn with(name: &str, flags: &[&str], colours: &str) -> Self {
        let mut command = Command::new(path(name));
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        for variable in ["NATS_URL", "NATS_CREDS", "NATS_TOKEN", "RUST_LOG", "NATTERJACK_LOG"] {
            command.env_remove(variable);
        }
        let mut child = command
            .args(flags)
            .env(colours, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let seen = Arc::<Mutex<Seen>>::default();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        type Part = fn(&mut Seen) -> &mut String;
        let readers: [(Box<dyn Read + Send>, Part); 2] = [
            (Box::new(stdout), |seen| &mut seen.stdout),
            (Box::new(stderr), |seen| &mut seen.stderr),
        ];
        for (reader, part) in readers {
            let (send, seen) = (send.clone(), seen.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    part(&mut seen.lock().unwrap()).push_str(&format!("{line}\n"));
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { name: name.to_owned(), child, lines, seen }
    }

    /// Waits for a line with this text, after those that were waited for before.
    pub(crate) fn wait_for(&self, text: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(_) => {}
                Err(_) => {
                    panic!("{}: no `{text}` in\n{}", self.name, self.seen.lock().unwrap().all())
                }
            }
        }
    }

    /// Takes line by line until one is the last.
    pub(crate) fn wait_until(&self, what: &str, mut is_last: impl FnMut(&str) -> bool) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if is_last(&line) => return,
                Ok(_) => {}
                Err(_) => {
                    panic!("{}: not {what} in\n{}", self.name, self.seen.lock().unwrap().all())
                }
            }
        }
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> Output {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end:\n{}", self.name, self.seen.lock().unwrap().all())
                }
            }
        }
        let exit = self.child.wait().unwrap().code();
        let seen = self.seen.lock().unwrap();
        let last = [&seen.stdout, &seen.stderr];
        let last = last.map(|part| part.lines().next_back().map(shown).unwrap_or_default());
        Output { all: seen.all(), last, exit }
    }

    /// Presses Ctrl-C until it has ended.
    #[cfg(unix)]
    pub(crate) fn end_by_interrupts(self) -> Output {
        while !matches!(
            self.lines.recv_timeout(Duration::from_millis(50)),
            Err(RecvTimeoutError::Disconnected)
        ) {
            self.interrupt();
        }
        self.end()
    }

    /// As `kill -9`.
    #[cfg(unix)]
    pub(crate) fn kill(self) -> Output {
        self.signal(rustix::process::Signal::KILL);
        self.end()
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Ctrl-C.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    /// SIGTERM.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }
}

impl Output {
    /// The lines without spans of time; of a logger's lines, what follows time, level and target.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.all.lines().map(shown).collect()
    }

    /// Whether the last line, of standard output or of a logger's standard error, begins so.
    pub(crate) fn closes_with(&self, begin: &str) -> bool {
        self.last.iter().any(|line| line.starts_with(begin))
    }
}

fn shown(line: &str) -> String {
    timeless(line.split_once(" | ").map_or(line, |(_, text)| text))
}
