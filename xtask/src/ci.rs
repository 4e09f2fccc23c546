//! The checks that every change passes, each also a task of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::{purity, root, tidy};

type Check = fn() -> Result<()>;

/// In this order: what is quick and often wrong comes first.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("purity", purity::run),
    ("clippy", clippy),
    ("test", test),
    ("doc", doc),
    ("portable", portable),
    ("fuzz", fuzz),
];

/// The check of this name.
pub(crate) fn find(name: &str) -> Option<Check> {
    CHECKS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

/// `cargo xtask ci`: all checks, going on after a failure, with a table at the end.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let skipped = arguments.options("--skip")?;
    arguments.end()?;
    if let Some(unknown) = skipped.iter().find(|name| find(name).is_none()) {
        bail!("--skip {unknown}: no such check");
    }
    let mut rows: Vec<(&str, &str, Duration)> = Vec::new();
    for &(name, check) in CHECKS {
        if skipped.iter().any(|skip| skip == name) {
            rows.push((name, "skipped", Duration::ZERO));
            continue;
        }
        println!("--- {name}");
        let begin = Instant::now();
        let verdict = match check() {
            Ok(()) => "ok",
            Err(error) => {
                eprintln!("{name}: {error:#}");
                "FAIL"
            }
        };
        rows.push((name, verdict, begin.elapsed()));
    }
    println!("---");
    for (name, verdict, took) in &rows {
        println!("{name:<10} {verdict:<8} {:>7.1} s", took.as_secs_f64());
    }
    let failed: Vec<&str> =
        rows.iter().filter(|row| row.1 == "FAIL").map(|(name, ..)| *name).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The cargo that runs this task, in the root of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).current_dir(root());
    // What `cargo run` sets for this program must not reach the builds that it starts.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command that tells its own story on the terminal.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn fmt() -> Result<()> {
    succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    succeed(&mut cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy() -> Result<()> {
    let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    succeed(&mut cargo(&arguments))
}

fn test() -> Result<()> {
    succeed(&mut cargo(&["test", "--locked", "--workspace"]))
}

fn doc() -> Result<()> {
    let mut command = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The code for systems that this machine is not, tested here: the server's disk without the calls
/// that only Unix has. Only that crate is built anew.
fn portable() -> Result<()> {
    let mut build = cargo(&["rustc", "--locked", "--package", "natterjack-server", "--lib"]);
    build.args(["--profile", "test", "--message-format", "json-render-diagnostics"]);
    build.args(["--", "--cfg", "natterjack_portable", "-D", "warnings"]);
    let output = build.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{build:?}: {}", output.status);
    let messages = String::from_utf8(output.stdout)?;
    let program: PathBuf = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(message.get("executable")?.as_str()?.into()))
        .next_back()
        .context("cargo names no test program")?;
    let mut tests = Command::new(program);
    succeed(tests.args(["--quiet", "disk::"]).current_dir(root().join("crates/server")))
}

/// The fuzz targets compile. libFuzzer itself, which takes a C++ compiler, is not built for that.
fn fuzz() -> Result<()> {
    let mut command = cargo(&["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    succeed(command.env("CUSTOM_LIBFUZZER_PATH", "/not/linked/libfuzzer.a"))
}
