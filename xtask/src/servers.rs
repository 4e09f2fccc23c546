//! A server of either make as a child process, on a free port of the loopback address.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::pinned;
use crate::root;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a starting or stopping server is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    /// `natterjack serve`.
    Ours(PathBuf),
    /// nats-server.
    Reference(PathBuf),
}

impl Make {
    /// Our binary where cargo puts it, release first.
    pub(crate) fn ours(given: Option<PathBuf>) -> Result<Self> {
        let path = match given {
            Some(path) => path,
            None => built()?,
        };
        ensure!(path.is_file(), "{} is not there", path.display());
        Ok(Self::Ours(path))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "natterjack",
            Self::Reference(_) => "nats-server",
        }
    }

    /// The command that serves.
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Ours(path) => {
                let mut command = Command::new(path);
                command.arg("serve");
                command
            }
            Self::Reference(path) => Command::new(path),
        }
    }
}

/// Our binary, the release build first, as users run it.
pub(crate) fn built() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("natterjack"))
        .find(|path| path.is_file())
        .context("natterjack is not built: `cargo build --release` first, or name it by --ours")
}

/// Ports that were free a moment ago, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    make: Make,
    arguments: Vec<String>,
    /// The port of its clients.
    pub(crate) port: u16,
    log: PathBuf,
    /// The processor that it is bound to.
    processor: Option<usize>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with these arguments, its log appended to `log`, and waits until it accepts
    /// clients.
    pub(crate) fn start(make: &Make, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_on(None, make, arguments, log)
    }

    /// As [`Self::start`], bound to a processor.
    pub(crate) fn start_on(
        processor: Option<usize>,
        make: &Make,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let [port] = free_ports()?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (make, log) = (make.clone(), log.to_owned());
        let mut server = Self { make, arguments, port, log, processor, child: None };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it once more after [`Self::stop`] or [`Self::kill`], on the same port and store.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    /// Starts the process, without waiting for anything.
    pub(crate) fn launch(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the server runs already");
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = pinned(self.make.command(), self.processor)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.make.name()))?;
        self.child = Some(child);
        Ok(())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.answers() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok()?) {
                bail!("{} ended at once ({status}):\n{}", self.make.name(), self.log_text());
            }
            ensure!(Instant::now() < deadline, "not ready in time:\n{}", self.log_text());
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// A server is ready once it greets a client.
    fn answers(&self) -> bool {
        let Ok(socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        if socket.set_read_timeout(Some(Duration::from_secs(5))).is_err() {
            return false;
        }
        let mut greeting = String::new();
        BufReader::new(socket).read_line(&mut greeting).is_ok() && greeting.starts_with("INFO ")
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The id of its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it was started and not ended.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// What it has logged.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop, as SIGTERM does, without waiting.
    pub(crate) fn terminate(&mut self) {
        if let Some(child) = &mut self.child {
            terminate(child);
        }
    }

    /// Asks it to stop and waits until it is gone.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        terminate(&mut child);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("{} did not stop in time:\n{}", self.make.name(), self.log_text());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

#[cfg(unix)]
fn terminate(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // An error says that it is gone, which the caller's wait finds out too.
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) {
    let _ = child.kill();
}
