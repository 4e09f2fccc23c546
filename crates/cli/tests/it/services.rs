//! Micro-services: who they are, what they do, and asking them.

use serde_json::json;

use super::witness::{Tested, server};
use super::{Running, command, end, run};

/// A service that is known to listen.
fn service(server: &Tested, arguments: &[&str]) -> Running {
    let mut all = vec!["service", "serve"];
    all.extend(arguments);
    let mut running = Running::start(command(server, &all));
    running.wait_for("listens on");
    running
}

// Shows U-095.
#[test]
fn services_are_listed_shown_and_asked() {
    let server = server();
    let echo = service(&server, &["echo", "--subject", "svc.echo", "--metadata", "team:a"]);
    let _other = service(&server, &["echo", "--subject", "svc.echo", "--service-version", "1.2.0"]);
    let _greet = service(&server, &["greeter", "hello {{Request}}", "--endpoint", "greet"]);

    let table = run(&server, &["service", "list", "--output", "tsv"]).ok();
    let names: Vec<&str> =
        table.text().lines().skip(1).map(|l| l.split('\t').next().unwrap()).collect();
    assert_eq!(names, ["echo", "echo", "greeter"]);
    assert_eq!(run(&server, &["service", "ls", "-n"]).ok().text(), "echo\ngreeter\n");
    let list = run(&server, &["micro", "ls", "echo", "--json"]).ok().json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["type"], "io.nats.micro.v1.info_response");

    let info = run(&server, &["service", "info", "greeter"]).ok();
    for text in ["Service: greeter (", "Version: 1.0.0", "Endpoint greet:", "Subject: greeter"] {
        assert!(info.text().contains(text), "{text}: {info:?}");
    }
    let both = run(&server, &["service", "info", "echo", "--json"]).ok().json();
    let ids: Vec<&str> =
        both.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let one = run(&server, &["service", "info", "echo", ids[0], "--json"]).ok().json();
    assert_eq!((one.as_array().unwrap().len(), &one[0]["id"]), (1, &json!(ids[0])));
    let versions: std::collections::BTreeSet<&str> =
        both.as_array().unwrap().iter().map(|one| one["version"].as_str().unwrap()).collect();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["1.0.0", "1.2.0"]);

    let pings = run(&server, &["service", "ping"]).ok();
    assert_eq!(pings.text().lines().filter(|line| line.contains(" rtt=")).count(), 3, "{pings:?}");
    let ping = run(&server, &["service", "ping", "greeter", "--json"]).ok().lines();
    assert_eq!((ping.len(), &ping[0]["name"]), (1, &json!("greeter")));

    let asked = run(&server, &["service", "request", "greeter", "greet", "you", "--raw"]).ok();
    assert_eq!(asked.text(), "hello you\n");
    let asked = run(&server, &["service", "req", "echo", "default", "x", "--json"]).ok().json();
    assert_eq!(asked["data"], "x");
    let stats = run(&server, &["service", "stats", "greeter", "--json"]).ok().json();
    assert_eq!(stats[0]["endpoints"][0]["num_requests"], 1);
    let table = run(&server, &["service", "stats", "echo", "--output", "csv"]).ok();
    assert!(table.text().starts_with("ID,Endpoint,Requests,Queue Group,Errors,"), "{table:?}");
    let all = table.text().lines().last().unwrap();
    assert!(all.starts_with("all,,1,,0,"), "{table:?}");
    echo.signal("INT");
    echo.end().ok();
}

// Shows U-095.
#[test]
fn a_service_that_refuses_or_is_not_there_says_so() {
    let server = server();
    let _service = service(&server, &["fails", "--command", "sh -c 'echo no >&2; exit 3'"]);
    let refused = run(&server, &["service", "request", "fails", "default", "--json"]).exits(1);
    assert_eq!(refused.error()["code"], "service.error");
    assert!(refused.err.contains("code 500"), "{refused:?}");
    let stats = run(&server, &["service", "stats", "fails", "--json"]).ok().json();
    assert_eq!(stats[0]["endpoints"][0]["num_errors"], 1);
    let missing = run(&server, &["service", "info", "fail", "--json"]).exits(5).error();
    assert_eq!(missing["hint"], "did you mean fails?");
    let missing =
        run(&server, &["service", "request", "fails", "defalt", "--json"]).exits(5).error();
    assert_eq!(missing["hint"], "did you mean default?");
    run(&server, &["service", "ping", "nobody"]).exits(6);
    run(&server, &["service", "info", "a.b"]).exits(2);
    let nobody = end(command(&server, &["service", "list", "nobody"])).ok();
    assert_eq!(nobody.out, b"");
}
