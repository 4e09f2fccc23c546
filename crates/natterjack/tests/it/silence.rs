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
