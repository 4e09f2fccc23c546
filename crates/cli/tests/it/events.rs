//! Events of servers and of JetStream, and the errors of its API.

use super::witness::{Listening as _, server, with_system_account};
use super::{Running, bare, command, end, run};

// Shows U-096.
#[test]
fn connects_and_disconnects_are_shown() {
    let server = with_system_account();
    let sys = ["--user", "sys", "--password", "p", "events", "--count", "2"];
    let mut events = Running::start(command(&server, &sys));
    events.wait_for("Listening for events on $SYS.ACCOUNT.*.CONNECT");
    let own = ["--user", "a", "--password", "p", "--connection-name", "mine", "pub", "x", "y"];
    run(&server, &own).ok();
    let connect = events.line();
    assert!(connect.contains("  client connect: \"mine\" cid "), "{connect}");
    assert!(connect.contains(", user a of account A; from "), "{connect}");
    let disconnect = events.line();
    assert!(disconnect.contains("  client disconnect: \"mine\" cid "), "{disconnect}");
    // What is sent and received is seen from the client: a message of one byte, and what is asked beside.
    // An end with something unread, such as the server's PING, is a reset and no orderly end.
    let ends = [": Client Closed; sent ", ": Read Error; sent "];
    assert!(ends.iter().any(|end| disconnect.contains(end)), "{disconnect}");
    assert!(disconnect.contains(" (1 B), received 0 (0 B); from "), "{disconnect}");
    events.end().ok();
}

// Shows U-096.
#[test]
fn advisories_of_streams_are_shown() {
    let server = server();
    let arguments = ["events", "--js-advisory", "--no-srv-advisory", "--json"];
    let mut events = Running::start(command(&server, &arguments));
    // With `--json` nothing is said: the first stream that is seen shows that it listens.
    let mut number = 0;
    let (seen, line) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let line = events.line();
                if line.contains("stream_action") {
                    seen.send(line).unwrap();
                    return;
                }
            }
        });
        let line = loop {
            number += 1;
            let name = format!("S{number}");
            run(&server, &["stream", "add", &name, "--subjects", &format!("s.{number}"), "-q"])
                .ok();
            if let Ok(line) = line.try_recv() {
                break line;
            }
        };
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["event"]["type"], "io.nats.jetstream.advisory.v1.stream_action");
        assert_eq!(event["event"]["action"], "create");
        let subject = event["subject"].as_str().unwrap();
        assert!(subject.starts_with("$JS.EVENT.ADVISORY.STREAM.CREATED.S"), "{subject}");
    });
}

// Shows U-096.
#[test]
fn who_may_not_see_events_is_told_so() {
    let server = server();
    let refused = run(&server, &["events", "--json"]).exits(6);
    assert_eq!(refused.error()["code"], "sys.no_answer");
    let mut events = Running::start(command(
        &server,
        &["events", "--js-advisory", "--short", "--subjects", "x"],
    ));
    events.wait_for("connects and disconnects are not shown");
    events.wait_for("Listening for events on $JS.EVENT.ADVISORY.>, x");
    run(&server, &["pub", "x", "hello", "-q"]).ok();
    assert!(events.line().ends_with("  message on x: hello"));
    run(&server, &["stream", "add", "S", "--subjects", "s", "-q"]).ok();
    loop {
        let line = events.line();
        if line.contains("stream action") {
            assert!(line.ends_with("  stream action: S create"), "{line}");
            break;
        }
        assert!(line.contains("api audit: $JS.API."), "{line}");
    }
    events.signal("INT");
    events.end().ok();
    drop(server.url());
}

// Shows U-096.
#[test]
fn an_error_is_explained_by_its_number() {
    let shown = end(bare(&["errors", "lookup", "10059"])).ok();
    for text in [
        "JetStream error 10059",
        "Description: stream not found",
        "JSStreamNotFoundErr",
        "Code: 404",
    ] {
        assert!(shown.text().contains(text), "{text}: {shown:?}");
    }
    let object = end(bare(&["errors", "lookup", "10071", "--json"])).ok().json();
    assert_eq!((&object["code"], &object["exit"]), (&400.into(), &7.into()));
    assert!(object["hint"].as_str().unwrap().contains("current revision"), "{object}");
    end(bare(&["errors", "lookup", "1"])).exits(5);
    let list = end(bare(&["errors", "ls", "stream not found", "--json"])).ok().json();
    let numbers: Vec<u64> =
        list.as_array().unwrap().iter().map(|one| one["err_code"].as_u64().unwrap()).collect();
    assert!(numbers.contains(&10059), "{list}");
    assert!(end(bare(&["errors", "ls"])).ok().text().lines().count() > 200);
}
