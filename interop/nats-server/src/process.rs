//! The process of a server: its directory, its log, its end.

#![allow(clippy::print_stderr, reason = "a test that fails shows what its server logged")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);
/// How often a starting server is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What both makes log before the address on which they listen.
const LISTENING: &str = "Listening for client connections on ";
const READY: &str = "Server is ready";

/// The program and the word that stands before its arguments.
pub(crate) fn program() -> Command {
    let path = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let mut command = Command::new(path);
    command.args(std::env::var("NATS_SERVER_VERB").ok().filter(|verb| !verb.is_empty()));
    command
}

/// A running server with a directory of its own; dropping it ends it and clears away both.
#[derive(Debug)]
pub(crate) struct Process {
    arguments: Vec<String>,
    directory: TempDir,
    child: Child,
    /// Each start logs into a file of its own, or the address of the one before would be found.
    starts: u32,
}

impl Process {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(config: &str, port: &str, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut arguments: Vec<String> = ["-a", "127.0.0.1", "-p", port].map(String::from).into();
        if !config.is_empty() {
            arguments.extend(["-c".into(), config.into()]);
        }
        arguments.extend(more.iter().map(|&argument| argument.into()));
        let child = launch(&arguments, directory.path(), 0);
        let mut process = Self { arguments, directory, child, starts: 0 };
        process.wait_ready();
        process
    }

    /// Ends it at once and starts it again with the same arguments and store.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.starts += 1;
        self.child = launch(&self.arguments, self.directory.path(), self.starts);
        self.wait_ready();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The port on which it said that it listens.
    pub(crate) fn port(&self) -> u16 {
        let log = self.log();
        let (_, rest) = log.split_once(LISTENING).expect("a server that is ready listens");
        let address = rest.split_whitespace().next().unwrap_or_default();
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("an address ends with its port")
    }

    fn wait_ready(&mut self) {
        let deadline = Instant::now() + START;
        while !self.log().contains(READY) {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("the server ended at once ({status}):\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not ready in time:\n{}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_path(self.directory.path(), self.starts)).unwrap_or_default()
    }

    fn end(&mut self) {
        // Both fail only when it is over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("the server of the test that failed logged:\n{}", self.log());
        }
    }
}

fn launch(arguments: &[String], directory: &Path, start: u32) -> Child {
    program()
        .args(arguments)
        .arg("--store_dir")
        .arg(directory.join("store"))
        .arg("--log")
        .arg(log_path(directory, start))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("NATS_SERVER names a program")
}

fn log_path(directory: &Path, start: u32) -> PathBuf {
    directory.join(format!("server-{start}.log"))
}
