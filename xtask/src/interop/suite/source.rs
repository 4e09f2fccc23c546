//! The crate's source, unpacked below the target directory and bound to our helper, and its tests, built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ci::{cargo, succeed};
use crate::root;

/// Which versions the suite is built with.
const LOCK: &str = "interop/async-nats/Cargo.lock";
/// What stands in for async-nats's own crate `nats-server`, which is not published.
const HELPER: &str = "interop/nats-server";

/// Parts of its manifest that its tests do not need: programs that are no tests, and what only those or
/// the tests of other clients (feature `compatibility_tests`) use.
const LEFT_OUT: &[&str] =
    &["[[example]]", "[[bench]]", "[dev-dependencies.criterion]", "[dev-dependencies.num]"];
/// Dependencies of one test, which fetches schemas from elsewhere, without the parts that would need a C
/// library to be installed.
const LEAN: &[(&str, &str)] = &[
    ("[dev-dependencies.jsonschema]", "default-features = false"),
    ("[dev-dependencies.reqwest]", "default-features = false\nfeatures = [\"json\"]"),
];
/// Folders of such programs.
const FOLDERS_LEFT_OUT: &[&str] = &["benches", "examples"];

/// One test.
pub(super) struct Test {
    /// The program that has it, two colons, its name there.
    pub(super) name: String,
    /// Its name there.
    pub(super) within: String,
    /// The program.
    pub(super) program: PathBuf,
}

/// The place where the suite is built and run.
pub(super) struct Build {
    directory: PathBuf,
}

impl Build {
    /// Copies the crate's source from where cargo keeps it. `lock`: the versions are those of our
    /// workspace, to be recorded anew.
    pub(super) fn unpack(lock: bool) -> Result<Self> {
        let metadata = json(cargo(&["metadata", "--format-version", "1", "--locked"]))?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
        let package = packages.iter().find(|package| package["name"] == "async-nats");
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let source = manifest.and_then(|path| Path::new(path).parent());
        let source = source.context("the workspace does not use async-nats")?;
        let folder = source.file_name().context("cargo keeps a crate in a folder of its name")?;
        let target =
            metadata["target_directory"].as_str().context("cargo metadata has a target")?;
        let directory = Path::new(target).join("interop").join(folder);

        let text = std::fs::read_to_string(source.join("Cargo.toml"))?;
        let manifest = bound(&text, &root().join(HELPER))?;
        // Files that are there already keep their times, or all would be compiled again.
        copy(source, &directory)?;
        put(&directory.join("Cargo.toml"), manifest.as_bytes())?;
        let lock = root().join(if lock { "Cargo.lock" } else { LOCK });
        put(
            &directory.join("Cargo.lock"),
            &std::fs::read(&lock).with_context(|| lock.display().to_string())?,
        )?;
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Fetches what the tests need, so that they can be built without the registry.
    pub(super) fn fetch(&self, lock: bool) -> Result<()> {
        let mut command = self.cargo("fetch");
        if !lock {
            return succeed(command.arg("--locked"));
        }
        succeed(&mut command)?;
        std::fs::copy(self.directory.join("Cargo.lock"), root().join(LOCK))?;
        Ok(())
    }

    /// Builds the tests and asks each program for their names.
    pub(super) fn tests(&self) -> Result<Vec<Test>> {
        let mut build = self.cargo("test");
        // The slow ones wait for heartbeats and long timeouts, which is where servers differ.
        build.args(["--locked", "--lib", "--tests", "--features", "slow_tests", "--no-run"]);
        build.args(["--message-format", "json-render-diagnostics"]);
        build.stderr(std::process::Stdio::inherit());
        let output = build.output()?;
        ensure!(output.status.success(), "building async-nats's tests: {}", output.status);
        let mut tests = Vec::new();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let message: Value = serde_json::from_slice(line)?;
            let (Some(program), Some(name)) =
                (message["executable"].as_str(), message["target"]["name"].as_str())
            else {
                continue;
            };
            let program = PathBuf::from(program);
            for within in names(&program)? {
                let name = format!("{name}::{within}");
                tests.push(Test { name, within, program: program.clone() });
            }
        }
        tests.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tests)
    }

    fn cargo(&self, verb: &str) -> Command {
        let mut command = cargo(&[verb, "--manifest-path"]);
        command.arg(self.directory.join("Cargo.toml"));
        command
    }
}

/// The manifest without what the tests do not need, with the helper, in a workspace of its own.
fn bound(manifest: &str, helper: &Path) -> Result<String> {
    let mut kept = String::new();
    let mut keep = true;
    for line in manifest.lines() {
        if line.starts_with('[') {
            keep = !LEFT_OUT.contains(&line);
        }
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
        if let Some((_, features)) = LEAN.iter().find(|(header, _)| *header == line) {
            kept.push_str(features);
            kept.push('\n');
        }
    }
    let helper = helper.to_str().context("the path of the repository is not UTF-8")?;
    let package = "package = \"natterjack-interop-server\"";
    kept.push_str(&format!(
        "\n[dev-dependencies.nats-server]\n{package}\npath = {helper:?}\n\n[workspace]\n"
    ));
    Ok(kept)
}

fn names(program: &Path) -> Result<Vec<String>> {
    let output = Command::new(program).args(["--list", "--format", "terse"]).output()?;
    ensure!(output.status.success(), "{}: {}", program.display(), output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn json(mut command: Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if !FOLDERS_LEFT_OUT.iter().any(|left_out| name == *left_out) {
                copy(&path, &to.join(name))?;
            }
        } else if name != "Cargo.toml" && name != "Cargo.lock" {
            put(&to.join(name), &std::fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Writes a file that is not this already.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_bound_to_the_helper() {
        let manifest = "[package]\nname = \"x\"\n\n[[example]]\nname = \"e\"\n\n[dev-dependencies.criterion]\n\
                        version = \"1\"\n\n[dev-dependencies.jsonschema]\nversion = \"0.17\"\n\n";
        let wanted = "[package]\nname = \"x\"\n\n[dev-dependencies.jsonschema]\ndefault-features = false\n\
                      version = \"0.17\"\n\n\n[dev-dependencies.nats-server]\n\
                      package = \"natterjack-interop-server\"\npath = \"/r/helper\"\n\n[workspace]\n";
        assert_eq!(bound(manifest, Path::new("/r/helper")).expect("UTF-8"), wanted);
    }
}
