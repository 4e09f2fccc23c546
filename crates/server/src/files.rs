//! Files beside the store: configuration, process id, ports.

use std::io;
use std::path::{Path, PathBuf};

use natterjack_config::language::Source;

use crate::ports::Ports;

/// Configuration files and environment of the process.
pub(crate) struct RealSource;

impl Source for RealSource {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Writes the process id: just the number, mode 0600; it stays behind at exit (nats-server 2.15.1).
pub(crate) fn write_pid(path: &Path) -> io::Result<()> {
    write(path, std::process::id().to_string().as_bytes(), 0o600)
}

/// Where the ports file stands: `<program>_<pid>.ports`.
pub(crate) fn ports_path(directory: &Path, program: &str) -> PathBuf {
    directory.join(format!("{program}_{}.ports", std::process::id()))
}

/// Writes the ports file; it is removed at exit.
pub(crate) fn write_ports(path: &Path, ports: &Ports) -> io::Result<()> {
    let mut members = serde_json::Map::new();
    let mut list = |name: &str, urls: Vec<String>| {
        if !urls.is_empty() {
            members.insert(name.into(), urls.into());
        }
    };
    list("nats", ports.client.iter().map(|address| format!("nats://{address}")).collect());
    let plain = ports.monitor.iter().map(|address| format!("http://{address}"));
    let secure = ports.secure_monitor.iter().map(|address| format!("https://{address}"));
    list("monitoring", plain.chain(secure).collect());
    write(path, serde_json::Value::Object(members).to_string().as_bytes(), 0o640)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)?.write_all(bytes)
}

/// The user's data directory, where streams are kept when nothing else is said.
pub(crate) fn default_store() -> PathBuf {
    let home = |rest: &str| {
        std::env::var_os("HOME")
            .or_else(|| std::env::var_os("USERPROFILE"))
            .map(|home| Path::new(&home).join(rest))
    };
    let base = if cfg!(windows) {
        std::env::var_os("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        home("Library/Application Support")
    } else {
        std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(|| home(".local/share"))
    };
    base.unwrap_or_else(std::env::temp_dir).join("natterjack")
}

/// Whether the directory lies on a file system that is lost with the power, as far as can be told.
pub(crate) fn is_volatile(directory: &Path) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/mounts") else { return false };
    let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
            directory.starts_with(at).then_some((at.len(), kind))
        })
        .max_by_key(|(length, _)| *length)
        .is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs"))
}
