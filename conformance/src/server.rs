//! The server processes of a run: a free port, a directory of its own, an end in every case.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::case::{Setup, Witness};
use crate::certificates;
use crate::pattern::Pattern;
use crate::text::{Env, substitute};
use crate::web;

/// How long a server may take to be ready, or to end.
const START_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(4);

/// A program that can serve.
#[derive(Debug, Clone)]
pub struct Program {
    /// Whose.
    pub witness: Witness,
    /// The executable.
    pub path: PathBuf,
    /// What stands before nats-server's flags.
    pub before: Vec<String>,
}

impl Program {
    /// `natterjack serve`.
    #[must_use]
    pub fn ours(path: PathBuf) -> Self {
        Self { witness: Witness::Ours, path, before: vec!["serve".to_owned()] }
    }

    /// `nats-server`.
    #[must_use]
    pub fn reference(path: PathBuf) -> Self {
        Self { witness: Witness::Reference, path, before: Vec::new() }
    }

    fn command(&self, arguments: &[String], directory: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.before).args(arguments).stdin(Stdio::null());
        // Nothing of the caller's environment reaches a server's configuration.
        command.env("HOME", directory).env_remove("NATS_URL").env("CONFORMANCE_INT", "123");
        command
    }

    /// Runs the program to its end, at most for `limit`; answers exit code and output.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub fn run(
        &self,
        arguments: &[String],
        directory: &Path,
        limit: Duration,
    ) -> Result<(i32, String), String> {
        let log = directory.join("run.log");
        let file = File::create(&log).map_err(|e| e.to_string())?;
        let second = file.try_clone().map_err(|e| e.to_string())?;
        let mut command = self.command(arguments, directory);
        let mut child = command.stdout(file).stderr(second).spawn().map_err(|e| self.failed(&e))?;
        let status = wait(&mut child, limit);
        let _ = child.kill();
        let _ = child.wait();
        let output = std::fs::read(&log).map_err(|e| e.to_string())?;
        let output = String::from_utf8_lossy(&output).into_owned();
        match status {
            Some(status) => Ok((status.code().unwrap_or(-1), output)),
            None => Err(format!("still running after {limit:?}; output:\n{output}")),
        }
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

/// A port that was free a moment ago, below the range from which systems take ports for outgoing
/// connections.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 16_000) as u16;
    loop {
        let port = 12_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 16_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A directory that is removed with its owner.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// A fresh directory below the system's temporary one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "natterjack-conformance-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server, ended when dropped.
#[derive(Debug)]
pub struct Server {
    program: Program,
    directory: Directory,
    arguments: Vec<String>,
    port: u16,
    monitor_port: u16,
    websocket_port: u16,
    child: Option<Child>,
    guard: Option<Child>,
    log_at: u64,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, ends at once or is not ready in time; with the end of its log.
    pub fn start(program: &Program, setup: &Setup) -> Result<Self, String> {
        let directory = Directory::new()?;
        let port = free_port();
        let shown = directory.path().to_string_lossy().into_owned();
        let (monitor_port, websocket_port) = (free_port(), free_port());
        let wants_certificates = |text: &String| text.contains("{dir}/server.pem");
        if setup.config.iter().chain(&setup.flags).any(wants_certificates) {
            certificates::write(directory.path())?;
        }
        let env = Env::from([
            ("wport".to_owned(), websocket_port.to_string()),
            ("pin".to_owned(), certificates::pin(directory.path())),
            ("dir".to_owned(), shown),
            ("port".to_owned(), port.to_string()),
            ("mport".to_owned(), monitor_port.to_string()),
            ("hport".to_owned(), web::port().to_string()),
        ]);
        let mut arguments: Vec<String> =
            ["-a", "127.0.0.1", "-p"].map(str::to_owned).into_iter().collect();
        arguments.push(port.to_string());
        for flag in &setup.flags {
            arguments.push(substitute(flag, &env)?);
        }
        if let Some(config) = &setup.config {
            let path = directory.path().join("server.conf");
            std::fs::write(&path, substitute(config, &env)?).map_err(|e| e.to_string())?;
            arguments.extend(["-c".to_owned(), path.to_string_lossy().into_owned()]);
        }
        let mut server = Self {
            program: program.clone(),
            directory,
            arguments,
            port,
            monitor_port,
            websocket_port,
            child: None,
            guard: None,
            log_at: 0,
        };
        server.launch()?;
        Ok(server)
    }

    /// Its client port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port it was given as `{mport}`.
    #[must_use]
    pub fn monitor_port(&self) -> u16 {
        self.monitor_port
    }

    /// The port it was given as `{wport}`.
    #[must_use]
    pub fn websocket_port(&self) -> u16 {
        self.websocket_port
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// MiB of memory that the process has used at most; `None` where the system does not say.
    ///
    /// # Errors
    /// The server does not run.
    pub fn peak_mib(&self) -> Result<Option<u64>, String> {
        let pid = self.pid().ok_or("the server does not run")?;
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            return Ok(None);
        };
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(kib.map(|kib| kib / 1024))
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// Starts the process, on the same port and directory as before.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn launch(&mut self) -> Result<(), String> {
        if self.child.is_some() {
            return Err("the server is running".to_owned());
        }
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.map_err(|e| e.to_string())?;
        let second = log.try_clone().map_err(|e| e.to_string())?;
        self.log_at = log.metadata().map_or(0, |m| m.len());
        let mut command = self.program.command(&self.arguments, self.directory.path());
        let child =
            command.stdout(second).stderr(log).spawn().map_err(|e| self.program.failed(&e))?;
        self.guard = guard(child.id(), self.directory.path());
        self.child = Some(child);
        self.ready()
    }

    /// Ready is what the log says; a log that goes elsewhere leaves the port to ask.
    fn ready(&mut self) -> Result<(), String> {
        let quiet = self.arguments.iter().any(|a| a == "-l" || a == "--log");
        let end = Instant::now() + START_MAX;
        loop {
            let ready = if quiet {
                TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            } else {
                self.new_log().contains("Server is ready")
            };
            if ready {
                return Ok(());
            }
            let ended = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
            if let Some(status) = ended {
                self.child = None;
                return Err(format!("the server ended with {status}\n{}", self.log_tail()));
            }
            if Instant::now() > end {
                return Err(format!("the server is not ready\n{}", self.log_tail()));
            }
            std::thread::sleep(POLL);
        }
    }

    fn new_log(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.log_path()) {
            let _ = file.seek(SeekFrom::Start(self.log_at));
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Waits for a log line that holds `pattern`, beginning after the last one found.
    ///
    /// # Errors
    /// None came within `limit`.
    pub fn log_line(&mut self, pattern: &Pattern, limit: Duration) -> Result<(), String> {
        let end = Instant::now() + limit;
        loop {
            let text = self.new_log();
            let mut read = 0;
            for line in text.split_inclusive('\n') {
                read += line.len() as u64;
                if pattern.found_in(line.trim_end().as_bytes()).is_some() {
                    self.log_at += read;
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err(format!("no such log line; the log ends\n{}", self.log_tail()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Replaces the configuration file.
    ///
    /// # Errors
    /// The server has none, or it cannot be written.
    pub fn reconfigure(&self, text: &str) -> Result<(), String> {
        let path = self.directory.path().join("server.conf");
        if !path.exists() {
            return Err("this server was started without a configuration file".to_owned());
        }
        std::fs::write(&path, text).map_err(|e| e.to_string())
    }

    /// Sends a signal by name: `TERM`, `HUP`, `USR2`, …
    ///
    /// # Errors
    /// The server does not run, or the signal cannot be sent.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.pid().ok_or("the server does not run")?;
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("not a signal: {name}"));
        }
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill -{name}: {other:?}")),
        }
    }

    /// Waits for the end; answers the exit code, -1 after a signal.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn wait(&mut self, limit: Duration) -> Result<i32, String> {
        let child = self.child.as_mut().ok_or("the server does not run")?;
        let status = wait(child, limit).ok_or("the server still runs")?;
        self.child = None;
        self.disarm();
        Ok(status.code().unwrap_or(-1))
    }

    /// SIGKILL, and wait.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<(), String> {
        let mut child = self.child.take().ok_or("the server does not run")?;
        let killed = child.kill().map_err(|e| e.to_string());
        let _ = child.wait();
        self.disarm();
        killed
    }

    /// Has it ended without being asked?
    pub fn has_died(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(Some(_))))
    }

    fn disarm(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
        self.disarm();
    }
}

/// A shell that waits for our end of its pipe to close, which happens however we end, and then ends
/// the server. It ignores the Ctrl-C that a terminal sends to all of us.
fn guard(pid: u32, directory: &Path) -> Option<Child> {
    let script = "trap '' INT TERM HUP; read x; kill -9 \"$1\"; rm -rf \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "guard"]).arg(pid.to_string()).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}
