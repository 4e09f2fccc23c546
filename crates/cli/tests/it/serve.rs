//! `natterjack serve`, and the links that change what the command is.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::{Running, bare, end};

// Shows a part of U-076.
#[test]
fn serve_takes_the_flags_of_nats_server() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut serve = Running::start(bare(&[
        "serve",
        "-a",
        "127.0.0.1",
        "-p=-1",
        "--js",
        "-sd",
        store.to_str().unwrap(),
        "-n",
        "one",
    ]));
    let line = serve.wait_for("Listening for client connections on");
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    serve.wait_for("Server is ready");
    let info = end(bare(&["-s", &address, "account", "info"])).ok();
    assert!(info.text().contains("Connected Server Name: one"), "{info:?}");
    end(bare(&["-s", &address, "kv", "add", "B"])).ok();
    serve.signal("INT");
    serve.end().ok();
    assert!(store.exists());
}

#[test]
fn serve_explains_what_is_wrong() {
    // As nats-server, which shows its usage and ends with 0.
    let ended = end(bare(&["serve", "--no-such-flag"])).ok();
    assert!(ended.err.starts_with("flag provided but not defined: -no-such-flag"), "{ended:?}");
    end(bare(&["serve", "-c", "/no/such/file"])).exits(1);
    let ended = end(bare(&["serve", "--version"])).ok();
    assert!(ended.text().contains("natterjack: v2."), "{ended:?}");
    let ended = end(bare(&["--json", "serve"])).exits(2);
    assert!(ended.error()["message"].as_str().unwrap().contains("must come first"));
}

// Shows U-076.
#[test]
fn a_link_decides_what_the_command_is() {
    let dir = tempfile::tempdir().unwrap();
    let call = |name: &str, arguments: &[&str]| {
        let link = dir.path().join(name);
        if !link.exists() {
            symlink(env!("CARGO_BIN_EXE_natterjack"), &link).unwrap();
        }
        let mut command = Command::new(link);
        command.args(arguments).stdin(Stdio::null());
        end(command).ok()
    };
    assert!(call("nats-server", &["-v"]).text().starts_with("nats-server: v2."));
    assert!(call("nats", &["kv", "--help"]).text().contains("watch"));
    assert!(call("nats", &["--help"]).text().contains("account"));
}
