//! Builds the command with the functions that a start of the server runs next to each other (D-0013).
//!
//! The server runs under valgrind until a client has its first PONG and the store is settled. The linker
//! gets the symbols of what ran, exactly as they are in this build: symbols carry hashes that the next
//! compiler, dependency or profile changes, so a list is made anew each time and never kept.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::arguments::Arguments;
use crate::root;
use crate::servers::free_ports;

/// Valgrind is some fifty times slower than the processor.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the server does a second after its start is done by then.
const SETTLED: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);

/// `cargo xtask link-order [--ours PATH]`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let ours = arguments.path("--ours")?;
    arguments.end()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    let built = target.join("release/natterjack");
    let program = match ours {
        Some(path) => path,
        None => {
            build(&[])?;
            built.clone()
        }
    };
    let folder = tempfile::tempdir()?;
    let names = functions(&std::fs::read_to_string(record(&program, folder.path())?)?, &program);
    ensure!(names.len() > 100, "only {} functions seen: is the binary stripped?", names.len());
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    // Cargo looks at the arguments only, so another list has another name.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let list = target.join(format!("link-order-{:016x}.txt", hasher.finish()));
    std::fs::write(&list, text)?;
    println!("{} functions in {}", names.len(), list.display());
    let mut order = OsString::from("link-arg=-Wl,--symbol-ordering-file=");
    order.push(&list);
    build(&[order, "link-arg=-Wl,--no-warn-symbol-ordering".into()])
        .context("of the linkers for Rust, lld is the one that takes such a list")?;
    println!("{}", built.display());
    Ok(())
}

/// Builds the command for release, with options for the generation of code.
fn build(options: &[OsString]) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(root());
    command.args([
        "rustc",
        "--release",
        "--package",
        "natterjack-cli",
        "--bin",
        "natterjack",
        "--",
    ]);
    for option in options {
        command.arg("-C").arg(option);
    }
    let status = command.status()?;
    ensure!(status.success(), "cargo rustc: {status}");
    Ok(())
}

/// Runs the server under valgrind and yields the file that tells what ran.
fn record(program: &Path, folder: &Path) -> Result<PathBuf> {
    let [port] = free_ports()?;
    let out = folder.join("callgrind");
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--demangle=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["serve", "-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
        .arg(folder.join("store"))
        .stderr(Stdio::null())
        .spawn()
        .context("valgrind is not installed")?;
    let child = Killed(child);
    // An idle server has also seen clients leave.
    drop(first_pong(port)?);
    std::thread::sleep(SETTLED);
    // The first dump ends before the server does, so that what a stop runs is not in it.
    let dumped = Command::new("callgrind_control")
        .args(["-d", "start", &child.0.id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    ensure!(dumped.success(), "callgrind_control: {dumped}");
    let dump = out.with_extension("1");
    let begun = Instant::now();
    while !std::fs::read_to_string(&dump).is_ok_and(|text| text.contains("\ntotals:")) {
        ensure!(begun.elapsed() < PATIENCE, "valgrind wrote nothing to {}", dump.display());
        std::thread::sleep(LOOK);
    }
    Ok(dump)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended by itself at most.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects as soon as the server listens, and waits for its PONG.
fn first_pong(port: u16) -> Result<TcpStream> {
    let begun = Instant::now();
    let mut client = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(client) => break client,
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(LOOK),
        }
    };
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(
        b"CONNECT {\"verbose\":false,\"protocol\":1,\"headers\":true,\"lang\":\"xtask\"}\r\nPING\r\n",
    )?;
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while !read.windows(6).any(|bytes| bytes == b"PONG\r\n") {
        let count = client.read(&mut buffer)?;
        ensure!(count > 0, "the server closed the connection");
        read.extend_from_slice(&buffer[..count]);
    }
    Ok(client)
}

/// The symbols of the functions of `program` that ran.
fn functions(dump: &str, program: &Path) -> BTreeSet<String> {
    let file = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (mut objects, mut names) = (HashMap::new(), HashMap::new());
    let mut is_ours = false;
    let mut found = BTreeSet::new();
    // `ob=(3) /path` names an object and its number, `ob=(3)` repeats it; `c` stands before what is
    // called from there.
    for line in dump.lines() {
        let Some((what, number, name)) = numbered(line) else { continue };
        let table = if what.ends_with("ob") { &mut objects } else { &mut names };
        if let Some(name) = name {
            table.insert(number, name);
        }
        let Some(name) = table.get(number).copied() else { continue };
        match what {
            "ob" => is_ours = Path::new(name).file_name().is_some_and(|name| *name == *file),
            "fn" if is_ours && is_symbol(name) => {
                // Recursion is counted behind an apostrophe, a version of a library behind an at sign.
                found.insert(name.split(['\'', '@']).next().unwrap_or(name).to_owned());
            }
            _ => {}
        }
    }
    found
}

fn numbered(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let (what, rest) = line.split_once("=(")?;
    if !["ob", "cob", "fn", "cfn"].contains(&what) {
        return None;
    }
    let (number, name) = rest.split_once(')')?;
    Some((what, number, Some(name.trim()).filter(|name| !name.is_empty())))
}

/// Where there is none, valgrind gives an address or a remark in brackets.
fn is_symbol(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$'@".contains(&byte);
    name.bytes().all(is_part) && !name.starts_with("0x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_of_the_program_itself_count() {
        let dump = "ob=(1) /lib/libc.so.6\nfn=(1) malloc\n1 2\nob=(2) /x/natterjack\nfn=(2) main\n1 3\n\
                    cob=(1)\ncfn=(3) free\ncalls=1 0\n1 1\nfn=(4) serve\nfn=(5) 0x12\nfn=(6) (below main)\n1 1\nob=(1)\nfn=(3)\n1 1\n";
        let found = functions(dump, Path::new("/x/natterjack"));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["main", "serve"]);
    }
}
