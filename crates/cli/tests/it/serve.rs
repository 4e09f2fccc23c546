//! `natterjack serve`, and the links that change what the command is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

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

/// A connection, greeted or not.
fn connect(address: &str) -> BufReader<TcpStream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    BufReader::new(socket)
}

#[test]
fn a_server_out_of_files_serves_who_is_there_and_later_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_natterjack")])
        .args(["serve", "-a", "127.0.0.1", "-p=-1", "--js", "-sd", dir.path().to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut serve = Running::start(command);
    let line = serve.wait_for("Listening for client connections on");
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    serve.wait_for("Server is ready");
    let mut client = connect(&address);
    let hello = b"CONNECT {\"verbose\":false}\r\nSUB answer 1\r\n";
    client.get_mut().write_all(hello).unwrap();
    let mut ask = |subject: &str, body: &str| {
        let socket = client.get_mut();
        let len = body.len();
        socket.write_all(format!("PUB {subject} answer {len}\r\n{body}\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        while !line.starts_with('{') {
            line.clear();
            assert!(client.read_line(&mut line).unwrap() > 0, "the server closed the connection");
        }
        assert!(!line.contains("error"), "{line}");
    };
    ask("$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s\"]}");
    let mut sockets: Vec<BufReader<TcpStream>> = Vec::new();
    for number in 0..200 {
        sockets.push(connect(&address));
        if number % 20 == 0 {
            ask("s", "x");
        }
    }
    serve.wait_for("accepting pauses until some end");
    // Files are made and written all the same.
    ask("$JS.API.STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"t\"]}");
    (0..20).for_each(|_| ask("t", "x"));
    let mut late = sockets.pop().unwrap();
    drop(sockets);
    let mut greeting = [0; 4];
    late.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"INFO");
    ask("s", "x");
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

/// Each line of a log, whatever its level.
const LINE: &str = r"^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(INF|DBG|WRN|ERR|FTL|TRC)\] ";

// Shows U-117; a part of U-119.
#[test]
fn each_line_of_the_log_has_process_time_and_level() {
    let arguments =
        ["serve", "-a", "127.0.0.1", "-p=-1", "-DV", "--user", "derek", "--pass", "s3cr3t"];
    let mut serve = Running::start(bare(&arguments));
    let line = serve.wait_for("Listening for client connections on");
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    serve.wait_for("Server is ready");
    let login = ["-s", &address, "--user", "derek", "--password", "s3cr3t", "pub", "a", "b"];
    end(bare(&login)).ok();
    end(bare(&["-s", &address, "--user", "derek", "--password", "wr0ng", "pub", "a", "b"]))
        .exits(4);
    serve.signal("INT");
    let ended = serve.end().ok();
    let line = regex::Regex::new(LINE).unwrap();
    let mut levels = std::collections::BTreeSet::new();
    for text in ended.err.lines() {
        let found = line.captures(text).unwrap_or_else(|| panic!("{text:?}"));
        levels.insert(found[1].to_owned());
    }
    assert_eq!(levels.iter().collect::<Vec<_>>(), ["DBG", "ERR", "INF", "TRC"]);
    assert!(!ended.err.contains("s3cr3t") && !ended.err.contains("wr0ng"), "{}", ended.err);
}

// Shows U-118.
#[test]
fn a_log_that_grows_too_large_is_set_aside_also_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (conf, log) = (dir.path().join("server.conf"), dir.path().join("logs/server.log"));
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    let text = format!(
        "listen: \"127.0.0.1:-1\"\ntrace: true\nlog_file: {:?}\nlog_size_limit: 4000\nlog_max_num: 3\n",
        log
    );
    std::fs::write(&conf, text).unwrap();
    let serve = Running::start(bare(&["serve", "-c", conf.to_str().unwrap()]));
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let address = loop {
        let text = read();
        let all = text.lines().find_map(|l| l.split_once("Listening for client connections on "));
        if let Some((_, address)) = all.filter(|_| text.contains("Server is ready")) {
            break address.to_owned();
        }
    };
    let backups = || {
        let names = std::fs::read_dir(dir.path().join("logs")).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "server.log");
        names.sort();
        names
    };
    let publish = || {
        end(bare(&["-s", &address, "pub", "a", "text", "--count", "500", "-q"])).ok();
    };
    let name = regex::Regex::new(r"^server\.log(\.\d\d+){6}\.\d{9}$").unwrap();
    publish();
    let first = backups();
    assert_eq!(first.len(), 2, "{first:?}");
    serve.signal("USR1");
    let reopened = |name: &String| {
        let text = std::fs::read_to_string(dir.path().join("logs").join(name));
        text.is_ok_and(|text| text.contains("File log re-opened"))
    };
    while !read().contains("File log re-opened") && !backups().iter().any(reopened) {
        std::thread::yield_now();
    }
    publish();
    let second = backups();
    assert_eq!(second.len(), 2, "{second:?}");
    assert!(second.iter().all(|name| !first.contains(name)), "{first:?} {second:?}");
    assert!(first.iter().chain(&second).all(|backup| name.is_match(backup)), "{second:?}");
    assert!(read().contains("Rotated log, backup saved as"));
    serve.signal("INT");
    serve.end().ok();
}
