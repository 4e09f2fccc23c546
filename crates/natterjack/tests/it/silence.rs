//! What the library writes to standard output and standard error: nothing, or what a log is for.

use natterjack::Reconnect;
use natterjack::logging::{self, LogConfig, LogFile};

use crate::{builder, server};

/// What the child does: everything that could tempt the library to print.
#[tokio::test]
#[ignore = "run by `nothing_is_printed` in a process of its own"]
async fn child() {
    let mut server = server().await;
    let connector = builder(server.url()).reconnect(Reconnect::Never).build().await.unwrap();
    let kv = connector.kv::<String>("B").ensure().await.unwrap();
    let revision = kv.put("a", &"x".into()).await.unwrap();
    // A revision of another key: async-nats prints here.
    assert!(kv.at("b", revision).await.unwrap().is_none());
    assert!(connector.request::<_, u32>("nobody", &1).await.is_err());
    let mut subscription = connector.subscribe::<u32>("x").await.unwrap();
    connector.publish("x", "not a number").await.unwrap();
    assert!(subscription.next().await.unwrap().is_err());
    server.stop().await;
    // The end of the async-nats task by unwinding must not be seen either.
    assert!(subscription.next().await.is_none());
    assert!(natterjack::Connector::connect("127.0.0.1:1").await.is_err());
}

// Shows U-052.
#[test]
fn nothing_is_printed() {
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args(["--ignored", "--exact", "silence::child", "--nocapture", "--quiet"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // What the test harness itself says.
    let own = |line: &&str| {
        !line.is_empty()
            && *line != "."
            && *line != "running 1 test"
            && !line.starts_with("test result: ok")
    };
    assert_eq!(text.lines().filter(own).collect::<Vec<_>>(), [""; 0]);
}

/// Where the child of the next test writes its file.
const FILE: &str = "NATTERJACK_TEST_LOG_FILE";

/// Logs to the console and to a file, each with a level of its own.
#[test]
#[ignore = "run by `console_and_file_have_levels_of_their_own` in a process of its own"]
fn logging_child() {
    let file = LogFile::new(std::env::var_os(FILE).unwrap());
    let config = LogConfig::new().console_filter("warn").file(file).file_filter("debug");
    let (log, guard) = logging::local(config);
    tracing::dispatcher::with_default(&log, || {
        tracing::debug!("for the file");
        tracing::warn!("for both");
    });
    drop(guard);
}

// Shows U-116.
#[test]
fn console_and_file_have_levels_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "silence::logging_child", "--nocapture", "--quiet"])
        .env(FILE, &path)
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{console}");
    let file = std::fs::read_to_string(path).unwrap();
    let texts = |log: &str| -> Vec<String> {
        log.lines().filter_map(|line| Some(line.split_once(" | ")?.1.to_owned())).collect()
    };
    assert_eq!(texts(&file), ["for the file", "for both"]);
    assert_eq!(texts(&console), ["for both"], "{console}");
}

/// Lines that the child of the next test logs: more than may wait.
const FLOOD: usize = 200_000;

/// Logs to a pipe that nobody reads until it has logged everything.
#[test]
#[ignore = "run by `a_disk_that_does_not_keep_up_holds_up_nobody` in a process of its own"]
fn flood_child() {
    use std::io::Write as _;
    let file = LogFile::new(std::env::var_os(FILE).unwrap());
    let config = LogConfig::new().console_filter("warn").file(file).file_filter("info");
    let guard = logging::init(config);
    for line in 0..FLOOD {
        tracing::info!("line {line}");
    }
    let lost = guard.lost_lines();
    std::io::stdout().write_all(format!("\nlost {lost}\n").as_bytes()).unwrap();
    // Until the rest has been read.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(guard);
}

/// Who logs waits for no disk: that is the bound. If it did, this test would not end.
// Shows U-115.
#[cfg(unix)]
#[test]
fn a_disk_that_does_not_keep_up_holds_up_nobody() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("a.log");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "silence::flood_child", "--nocapture", "--quiet"])
        .env(FILE, &pipe)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Open, so that it can be written to, and full after some thousand lines.
    let log = std::fs::File::open(&pipe).unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let lost: usize = said
        .find_map(|line| line.unwrap().strip_prefix("lost ").map(str::to_owned))
        .unwrap()
        .parse()
        .unwrap();
    assert!(lost > 0 && lost < FLOOD, "{lost}");
    // What was not lost arrives, in order.
    let mut last = None;
    for line in BufReader::new(log).lines().take(FLOOD - lost) {
        let number: usize = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(last < Some(number), "{last:?} {number}");
        last = Some(number);
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut console = String::new();
    child.stderr.take().unwrap().read_to_string(&mut console).unwrap();
    assert!(child.wait().unwrap().success(), "{console}");
    let told = format!("{lost} lines could not be written to {}", pipe.display());
    assert!(console.contains(&told), "{console}");
}
