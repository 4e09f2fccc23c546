//! The pure crates stay pure: no runtime among their dependencies, no clock, disk, network or thread in
//! their code, and arrows between crates that only point down (`ARCHITECTURE.md`, "Layers").

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::ci::cargo;
use crate::root;

/// The crates that decide and perform nothing.
const PURE: &[&str] = &["subject", "proto", "config", "core", "store", "jetstream"];

/// Runtimes, and what they stand on.
const RUNTIMES: &[&str] = &["tokio", "mio", "smol", "polling", "socket2", "hyper", "quinn"];

/// Calls that each pure crate's `clippy.toml` must ban.
const BANNED: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::fs::read",
    "std::fs::write",
    "std::fs::File::open",
    "std::fs::File::create",
    "std::fs::OpenOptions::open",
    "std::net::TcpStream::connect",
    "std::net::TcpListener::bind",
    "std::net::UdpSocket::bind",
];

/// What each crate of ours may use of ours, in the order of the layers. Dependencies for tests are
/// not meant.
const ARROWS: &[(&str, &[&str])] = &[
    ("natterjack-subject", &[]),
    ("natterjack-proto", &["natterjack-subject"]),
    ("natterjack-config", &["natterjack-subject"]),
    ("natterjack-core", &["natterjack-subject", "natterjack-proto"]),
    ("natterjack-store", &["natterjack-subject"]),
    ("natterjack-jetstream", &["natterjack-subject", "natterjack-proto", "natterjack-store"]),
    (
        "natterjack-server",
        &[
            "natterjack-subject",
            "natterjack-proto",
            "natterjack-config",
            "natterjack-core",
            "natterjack-store",
            "natterjack-jetstream",
        ],
    ),
    ("natterjack", &["natterjack-server"]),
    ("natterjack-examples", &["natterjack"]),
    (
        "natterjack-cli",
        &[
            "natterjack",
            "natterjack-examples",
            "natterjack-server",
            "natterjack-config",
            "natterjack-core",
            // The table of errors.
            "natterjack-jetstream",
            // What may stand in permissions.
            "natterjack-subject",
        ],
    ),
    ("natterjack-sim", &["natterjack-subject", "natterjack-store", "natterjack-jetstream"]),
    ("natterjack-workload", &[]),
    ("natterjack-conformance", &[]),
    ("natterjack-interop-server", &[]),
    ("xtask", &["natterjack"]),
];

/// `cargo xtask purity`.
pub(crate) fn run() -> Result<()> {
    let mut faults = Vec::new();
    for name in PURE {
        faults.extend(runtimes_below(name)?);
        faults.extend(missing_bans(name)?);
    }
    faults.extend(wrong_arrows()?);
    ensure!(faults.is_empty(), "\n  {}", faults.join("\n  "));
    println!("{} pure crates, {} crates in their layers", PURE.len(), ARROWS.len());
    Ok(())
}

fn runtimes_below(name: &str) -> Result<Vec<String>> {
    let package = format!("natterjack-{name}");
    let arguments = ["tree", "--locked", "-p", &package, "-e", "normal"];
    let output = cargo(&arguments).args(["--prefix", "none", "--format", "{p}"]).output()?;
    if !output.status.success() {
        bail!("cargo tree -p {package}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let tree = String::from_utf8(output.stdout)?;
    let used: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(used.contains(package.as_str()), "cargo tree -p {package} shows no tree");
    Ok(used
        .into_iter()
        .filter(|used| is_runtime(used))
        .map(|used| format!("{package} reaches {used}"))
        .collect())
}

fn is_runtime(name: &str) -> bool {
    RUNTIMES.contains(&name) || name.starts_with("tokio-") || name.starts_with("async-")
}

fn missing_bans(name: &str) -> Result<Vec<String>> {
    let path = root().join("crates").join(name).join("clippy.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let missing = BANNED.iter().filter(|call| !text.contains(&format!("path = \"{call}\"")));
    Ok(missing.map(|call| format!("crates/{name}/clippy.toml does not ban {call}")).collect())
}

fn wrong_arrows() -> Result<Vec<String>> {
    let output = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name} is in no layer: add it to xtask/src/purity.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            // `kind` is null for what the crate itself is built with.
            let normal = dependency["kind"].is_null();
            if normal && ARROWS.iter().any(|(ours, _)| *ours == used) && !allowed.contains(&used) {
                faults.push(format!("{name} may not depend on {used}"));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_known_by_name() {
        for name in ["tokio", "tokio-util", "mio", "async-nats", "async-trait", "socket2"] {
            assert!(is_runtime(name), "{name}");
        }
        for name in ["bytes", "futures-util", "nkeys", "tokenizer"] {
            assert!(!is_runtime(name), "{name}");
        }
    }

    #[test]
    fn arrows_point_to_earlier_rows() {
        for (row, (name, used)) in ARROWS.iter().enumerate() {
            for used in *used {
                let place = ARROWS.iter().position(|(known, _)| known == used);
                assert!(place.is_some_and(|place| place < row), "{name} -> {used}");
            }
        }
    }
}
