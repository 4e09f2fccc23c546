//! `natterjack serve`, and the links that change what the command is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Running, bare, end};

// Shows U-076.
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
    // What a command called `nats` does is what the client tree does, under that name.
    let server = super::witness::server();
    let url = super::witness::Listening::url(&server);
    let nats = |arguments: &[&str]| call("nats", &[&["-s", &url], arguments].concat());
    nats(&["kv", "add", "B", "-q"]);
    assert_eq!(nats(&["kv", "ls", "-n"]).text(), "B\n");
    assert!(nats(&["account", "info"]).text().contains("Connected Server Version"));
    let usage = call("nats", &["pub", "--help"]);
    assert!(usage.text().contains("Usage: nats pub"), "{usage:?}");
    // Its server would be another command.
    let link = dir.path().join("nats");
    let refused = end({
        let mut command = Command::new(link);
        command.args(["strem"]).stdin(Stdio::null());
        command
    });
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("'stream'"), "{refused:?}");
}

// Shows U-076.
#[test]
fn every_flag_of_nats_server_is_known() {
    let usage = end(bare(&["serve", "--help"])).ok();
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("server.conf");
    std::fs::write(&conf, "port: 4333\n").unwrap();
    // Those of `nats-server --help` (2.15.1), each with a dash and with two; `-t` looks and does not start.
    let switches = [
        "js",
        "jetstream",
        "T",
        "logtime",
        "logtime_utc",
        "s",
        "syslog",
        "D",
        "debug",
        "V",
        "trace",
        "VV",
        "DV",
        "DVV",
        "tls",
        "tlsverify",
        "no_advertise",
    ];
    let texts = [
        ("a", "127.0.0.1"),
        ("addr", "127.0.0.1"),
        ("net", "127.0.0.1"),
        ("p", "1"),
        ("port", "1"),
        ("n", "x"),
        ("name", "x"),
        ("server_name", "x"),
        ("P", "/tmp/x"),
        ("pid", "/tmp/x"),
        ("m", "1"),
        ("http_port", "1"),
        ("ms", "1"),
        ("https_port", "1"),
        ("l", "/tmp/x"),
        ("log", "/tmp/x"),
        ("r", "udp://x:1"),
        ("remote_syslog", "udp://x:1"),
        ("log_size_limit", "1"),
        ("max_traced_msg_len", "1"),
        ("sd", "/tmp/x"),
        ("store_dir", "/tmp/x"),
        ("user", "x"),
        ("pass", "x"),
        ("auth", "x"),
        ("tlscert", "x"),
        ("tlskey", "x"),
        ("tlscacert", "x"),
        ("ports_file_dir", "/tmp"),
        ("client_advertise", "x:1"),
        ("connect_retries", "1"),
        ("profile", "1"),
    ];
    let check = |flags: &[String]| {
        let mut all = vec!["serve".to_owned(), "-t".to_owned(), "-c".to_owned()];
        all.push(conf.display().to_string());
        all.extend_from_slice(flags);
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        let ended = end(bare(&words));
        assert!(
            !ended.err.contains("not defined") && ended.code == Some(0),
            "{flags:?}: {ended:?}"
        );
        assert!(ended.err.contains("is valid"), "{flags:?}: {ended:?}");
    };
    for dash in ["-", "--"] {
        for name in switches {
            check(&[format!("{dash}{name}")]);
            check(&[format!("{dash}{name}=false")]);
        }
        for (name, value) in texts {
            check(&[format!("{dash}{name}"), value.to_owned()]);
            check(&[format!("{dash}{name}={value}")]);
        }
    }
    for name in switches.iter().chain(texts.iter().map(|(name, _)| name)) {
        assert!(usage.text().contains(&format!("-{name}")), "{name}: {usage:?}");
    }
}

/// Starts a server with these flags, sends it one message, and returns what it has logged.
fn logged(more: &[&str]) -> String {
    let mut all = vec!["serve", "-a", "127.0.0.1", "-p=-1", "--user", "derek", "--pass", "s3cr3t"];
    all.extend(more);
    let mut serve = Running::start(bare(&all));
    let line = serve.wait_for("Listening for client connections on");
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    serve.wait_for("Server is ready");
    end(bare(&["-s", &address, "--user", "derek", "--password", "s3cr3t", "pub", "a", "b"])).ok();
    serve.signal("INT");
    let log = format!("{line}{}", serve.end().ok().err);
    assert!(!log.contains("s3cr3t"), "{log}");
    log
}

// Shows U-119.
#[test]
fn each_flag_of_the_log_does_what_it_says() {
    let pid = r"^\[\d+\] ";
    let time = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ";
    let all_match = |log: &str, form: &str| {
        let line = regex::Regex::new(form).unwrap();
        assert!(log.lines().all(|text| line.is_match(text)), "{form}: {log}");
    };
    let has = |log: &str, level: &str| log.contains(&format!("[{level}] "));
    for (flags, debug, trace) in [
        (&[][..], false, false),
        (&["-D"], true, false),
        (&["-V"], false, true),
        (&["-DV"], true, true),
        (&["-DVV"], true, true),
    ] {
        let log = logged(flags);
        all_match(&log, &format!("{pid}{time}\\[(INF|DBG|WRN|ERR|FTL|TRC)\\] "));
        assert_eq!((has(&log, "DBG"), has(&log, "TRC")), (debug, trace), "{flags:?}: {log}");
    }
    for flag in ["--logtime=false", "-logtime=false", "-T=false"] {
        all_match(&logged(&[flag]), &format!("{pid}\\[INF\\] "));
    }
    // A zone that is fourteen hours ahead: with `--logtime_utc` it does not matter.
    let hour = |utc: bool| {
        let mut arguments = vec!["serve", "-a", "127.0.0.1", "-p=-1"];
        if utc {
            arguments.push("--logtime_utc");
        }
        let mut command = bare(&arguments);
        command.env("TZ", "UTC-14");
        let mut serve = Running::start(command);
        let line = serve.wait_for("Listening for client connections on");
        let stamp = line.split_once("] ").unwrap().1.split('.').next().unwrap().to_owned();
        jiff::civil::DateTime::strptime("%Y/%m/%d %H:%M:%S", stamp).unwrap()
    };
    let (local, utc) = (hour(false), hour(true));
    let apart = local.until(utc).unwrap().total(jiff::Unit::Hour).unwrap().abs();
    assert!((13.0..15.0).contains(&apart), "{local} {utc}");
}

// Shows U-119.
#[test]
fn the_log_goes_to_the_system_of_another_machine() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let _serve = Running::start(bare(&["serve", "-a", "127.0.0.1", "-p=-1", "-DV", "-r", &url]));
    let form = r"^<[57]>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \S+ natterjack\[\d+\]: .+\n$";
    let line = regex::Regex::new(form).unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("Server is ready") {
        let length = socket.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(line.is_match(text), "{text:?}");
        seen.push_str(text);
    }
    // Levels are priorities here, and stand nowhere else.
    assert!(!seen.contains("[INF]"), "{seen}");
    let wrong = end(bare(&["serve", "-r", "http://x"])).exits(1);
    assert!(wrong.err.contains("invalid network type: \"http\""), "{wrong:?}");
}

/// Each line of a log, whatever its level.
const LINE: &str = r"^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(INF|DBG|WRN|ERR|FTL|TRC)\] ";

// Shows U-117, U-119.
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
