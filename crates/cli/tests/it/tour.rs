//! The tour: all pairs pass, nothing is left behind, and a failure is named.

use super::{bare, end};
use crate::witness::server;
use natterjack_server::Server;

/// What a tour left behind it: nothing. How long it may take is checked by `.ci/run`, on a machine that does
/// nothing else.
// Shows U-060, U-063, U-064, U-065, U-066, U-067, U-073, U-074, U-075.
#[test]
fn all_pairs_pass_in_both_languages_and_nothing_is_left_behind() {
    use std::os::unix::process::CommandExt as _;
    let temporary = tempfile::tempdir().unwrap();
    let started = ["en", "ru"].map(|language| {
        let mut command = bare(&["tour", "--fast", "--json", "--lang", language]);
        command.env("TMPDIR", temporary.path()).env("XDG_DATA_HOME", temporary.path());
        // A group of its own: whoever is left of it can be found.
        command.process_group(0);
        let running = super::Running::start(command);
        (running.child.id(), running)
    });
    for (group, running) in started {
        let ended = running.end().ok();
        let rows = ended.lines();
        let results: Vec<_> = rows
            .iter()
            .map(|row| {
                let number = |value: &serde_json::Value| value.as_u64().unwrap();
                let checks = number(&row["asserts"]["total"]);
                assert!(checks >= 4 && checks == number(&row["asserts"]["passed"]), "{row}");
                (
                    number(&row["pair"]),
                    number(&row["sent"]),
                    number(&row["received"]),
                    &row["result"],
                )
            })
            .collect();
        let pass = serde_json::Value::from("PASS");
        let wanted: Vec<_> = (1..=8).map(|pair| (pair, 10, 10, &pass)).collect();
        assert_eq!(results, wanted);
        let others =
            std::process::Command::new("kill").args(["-0", "--", &format!("-{group}")]).output();
        assert!(!others.unwrap().status.success(), "a process is left");
    }
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Somebody interferes: a message more arrives than was sent.
// Shows U-073.
#[test]
fn a_broken_assertion_fails_its_pair_and_is_named() {
    let server = Server::builder().jetstream_in_memory().start_blocking().unwrap();
    let url = server.client_url();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let own = url.clone();
    let _intruder = runtime.block_on(async move {
        let connector = natterjack::Connector::connect(own).await.unwrap();
        let answering = connector.clone();
        let messages = connector.on(">").codec(natterjack::codec::Text);
        let task = messages.serve(1, move |message: natterjack::Msg<String>| {
            let connector = answering.clone();
            async move {
                if message.value().starts_with("Hello #1 ") {
                    let text = "Hello #77 from NATS publisher";
                    let again = connector.to(&message.subject).codec(natterjack::codec::Text);
                    again.send(text).await.unwrap();
                }
            }
        });
        (task.await.unwrap(), connector)
    });
    let tour = ["tour", "--fast", "--json", "--only", "1,2", "--url", &url];
    let ended = end(bare(&tour)).exits(1);
    let rows = ended.lines();
    assert_eq!(rows[0]["result"], "FAIL", "{ended:?}");
    let failures = rows[0]["failures"].to_string();
    assert!(
        failures.contains("all messages arrived, in order: [") && failures.contains("77"),
        "{ended:?}"
    );
    assert_eq!(rows[1]["result"], "PASS", "{ended:?}");
    assert!(ended.err.contains("1 of 2 pairs failed"), "{ended:?}");
}

// Shows U-073.
#[test]
fn without_jetstream_pairs_3_to_8_fail_with_the_reason() {
    let server = Server::builder().start_blocking().unwrap();
    let url = server.client_url();
    let ended = end(bare(&["tour", "--fast", "--json", "--only", "1,3,8", "--url", &url])).exits(1);
    let rows = ended.lines();
    let results: Vec<_> = rows.iter().map(|row| row["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["PASS", "FAIL", "FAIL"]);
    for row in &rows[1..] {
        let reason = "JetStream is not enabled on this server (start the server with -js)";
        assert_eq!(row["failures"], serde_json::json!([reason]));
    }
}

// Shows U-075.
#[test]
fn a_table_ends_it_in_either_language() {
    for (language, title) in
        [("en", "Basic: publish and subscribe"), ("ru", "Основы: отправка и подписка")]
    {
        let mut colored = bare(&["tour", "--fast", "--only", "2", "--lang", language]);
        colored.env("CLICOLOR_FORCE", "1");
        assert!(end(colored).ok().text().contains('\x1b'));
        let arguments = ["tour", "--fast", "--only", "1", "--lang", language, "--no-color"];
        let mut plain = bare(&arguments);
        plain.env("CLICOLOR_FORCE", "1");
        let ended = end(plain).ok();
        let text = ended.text();
        assert!(text.contains(title), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        let table: Vec<&str> = text.lines().rev().take(3).collect();
        assert!(table[0].starts_with(" 1 passed, 0 failed in "), "{text}");
        assert!(table[1].starts_with(" 1  simple        10   10     6/6   "), "{text}");
        assert!(table[1].ends_with(" PASS"), "{text}");
        assert_eq!(table[2], " #  pair        sent recv  asserts  p50     p99     time   result");
    }
}

// Shows U-075.
#[test]
fn what_is_kept_stays_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept").display().to_string();
    end(bare(&["tour", "--fast", "--json", "--only", "2", "--keep", &keep])).ok();
    assert!(directory.path().join("kept/02_creds/creds/demo.creds").exists());
}

#[test]
fn a_pair_that_does_not_exist_and_a_server_that_is_not_there_are_refused() {
    end(bare(&["tour", "--only", "9"])).exits(2);
    end(bare(&["tour", "--replicas", "3"])).exits(2);
    end(bare(&["tour", "--url", "nats://127.0.0.1:1"])).exits(3);
}

// Shows U-072.
#[test]
fn all_pairs_pass_on_a_server_that_runs_already() {
    let server = server();
    let ended = end(bare(&["tour", "--fast", "--json", "--url", &server.client_url()])).ok();
    let results: Vec<_> = ended.lines().iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, ["PASS"; 8]);
}
