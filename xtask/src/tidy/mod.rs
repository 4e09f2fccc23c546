//! Rules of the repository that no compiler knows. Each finding says what to do instead.

mod decisions;
mod readme;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::ci::{cargo, succeed};
use crate::root;

/// `cargo xtask tidy`.
pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let mut faults = sources::check(&files)?;
    faults.extend(readme::check(root())?);
    faults.extend(decisions::check(root(), &files)?);
    ensure!(faults.is_empty(), "\n  {}", faults.join("\n  "));
    capabilities()?;
    println!("{} files", files.len());
    Ok(())
}

/// The files under version control, and new ones that will be.
fn files() -> Result<Vec<PathBuf>> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root()).output()?;
    ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    let files: Vec<PathBuf> =
        names.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect();
    ensure!(!files.is_empty(), "git lists no files");
    Ok(files)
}

fn text(path: &Path) -> Result<String> {
    let path = root().join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The capability table is what the recorded results say, and cases cover only what is listed.
fn capabilities() -> Result<()> {
    let package = ["run", "--locked", "--quiet", "--package", "natterjack-conformance", "--"];
    succeed(cargo(&package).arg("check"))?;
    succeed(cargo(&package).args(["table", "--check", "docs/capabilities.md"]))
}
