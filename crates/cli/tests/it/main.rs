//! The built command against the embedded server: no network, no Python.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod accounts;
mod auth;
mod backups;
mod bench;
mod configs;
mod connecting;
mod consumers;
mod contexts;
mod events;
mod exit_codes;
mod json;
mod kv;
mod messages;
mod objects;
mod output;
mod reports;
mod restarts;
mod serve;
mod servers;
mod services;
mod streams;
mod tls;
mod tools;
mod tour;
mod watching;
mod witness;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use witness::{Listening, server};

/// The command, talking to a server, without anything from this process's environment.
fn command(server: &impl Listening, arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command.env("NATS_URL", server.url());
    command
}

/// The command with an empty environment.
fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natterjack"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a command left behind.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Ended {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Standard output as one JSON document.
    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as an object per line.
    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The error object of `--json`, which is all that stands on standard error.
    fn error(&self) -> Value {
        let value: Value =
            serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let error = value["error"].clone();
        for name in ["code", "err_code", "message", "hint"] {
            assert!(error.get(name).is_some(), "no {name}: {self:?}");
        }
        error
    }

    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the command to its end.
fn run(server: &impl Listening, arguments: &[&str]) -> Ended {
    end(command(server, arguments))
}

/// What a command says that waits out a limit: a short one, and where that is not enough for what else is
/// to be done, because the machine does other things, longer and longer ones.
fn run_within(
    server: &impl Listening,
    arguments: &[&str],
    option: &str,
    is_it: impl Fn(&Ended) -> bool,
) -> Ended {
    let mut millis = 50;
    loop {
        let limit = format!("{millis}ms");
        let ended = run(server, &[arguments, &[option, &limit]].concat());
        if millis > 30_000 || is_it(&ended) {
            return ended;
        }
        millis *= 2;
    }
}

/// As [`run`], with standard input.
fn feed(server: &impl Listening, arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = command(server, arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command that goes on until it is told to stop; ended when dropped.
struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    err: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// Reads standard error up to a line that holds `text`.
    fn wait_for(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.err.read_line(&mut line).unwrap(), 0, "ended without {text:?}: {seen}");
            if line.contains(text) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    /// The next line of standard output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "standard output ended");
        line.trim_end_matches('\n').to_owned()
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end.
    fn end(mut self) -> Ended {
        let (mut out, mut err) = (Vec::new(), String::new());
        self.out.read_to_end(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code();
        Ended { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A subscriber that is known to be there.
fn subscriber(server: &impl Listening, arguments: &[&str]) -> Running {
    let mut all = vec!["sub"];
    all.extend(arguments);
    let mut running = Running::start(command(server, &all));
    running.wait_for("Subscribing");
    running
}

/// An address at which nobody listens, and nobody will: the port is taken as long as this process lives,
/// so that no server of another test gets it.
fn nobody() -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::mem::forget(socket);
    address
}

/// Starts a server with what `auth quick` has made, on another port than that in the file: on one that is
/// free for certain.
fn start_quick(made: &std::path::Path) -> natterjack_server::Server {
    let conf = made.join("server.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    assert!(text.contains("\nport: 4222\n"), "{text}");
    std::fs::write(&conf, text.replace("\nport: 4222\n", "\nport: -1\n")).unwrap();
    natterjack_server::Server::builder().config_file(&conf).unwrap().start_blocking().unwrap()
}
