//! server check in its forms, and what the system account tells.

use serde_json::{Value, json};

use super::witness::{Tested, server, with_system_account};
use super::{Ended, Running, bare, command, end, feed, run};

/// Limits that no machine exceeds, however much else it does.
const PATIENT: [&str; 12] = [
    "--connect-warn",
    "1h",
    "--connect-critical",
    "1h",
    "--rtt-warn",
    "1h",
    "--rtt-critical",
    "1h",
    "--req-warn",
    "1h",
    "--req-critical",
    "1h",
];

/// `check connection`, patiently but for the limits that are given.
fn check_connection(server: &Tested, more: &[&str]) -> Ended {
    let given = |name: &&[&str]| !more.contains(&name[0]);
    let patient = PATIENT.chunks(2).filter(given).flatten().copied();
    let all: Vec<&str> =
        ["connection"].into_iter().chain(patient).chain(more.iter().copied()).collect();
    check(server, &all)
}

fn check(server: &Tested, arguments: &[&str]) -> Ended {
    let mut all = vec!["server", "check"];
    all.extend(arguments);
    run(server, &all)
}

// Shows U-094.
#[test]
fn a_connection_is_measured() {
    let server = server();
    let line = check_connection(&server, &[]).ok();
    let text = line.text();
    assert!(text.starts_with("OK Connection OK:connected to 127.0.0.1:"), "{line:?}");
    for part in [" OK:rtt time ", " OK:round trip took ", " | connect_time="] {
        assert!(text.contains(part), "{part}: {line:?}");
    }
    // What is too slow where nothing else is said, whether it was or not.
    let line = check(&server, &["connection"]);
    assert!(line.text().contains("s;0.5000;1.0000 rtt="), "{line:?}");
    let object = check_connection(&server, &["--json"]).ok().json();
    assert_eq!((&object["status"], &object["check_suite"]), (&json!("OK"), &json!("connections")));
    let names: Vec<&str> = object["perf_data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["connect_time", "rtt", "request_time"]);
    // No time is shorter than a nanosecond.
    let slow = check_connection(&server, &["--rtt-critical", "1ns", "--rtt-warn", "1ns"]).exits(2);
    assert!(slow.text().starts_with("CRITICAL Connection Crit:rtt time "), "{slow:?}");
    assert_eq!(slow.err, "");
    check_connection(&server, &["--connect-warn", "1ns"]).exits(1);
    let nobody = end(bare(&["-s", "nats://127.0.0.1:1", "server", "check", "connection"])).exits(2);
    assert!(
        nobody.text().starts_with("CRITICAL Connection Crit:connection failed: "),
        "{nobody:?}"
    );
}

#[test]
fn results_come_as_metrics_tables_and_files() {
    let server = server();
    let metrics = check_connection(&server, &["--format", "prometheus", "--rtt-warn", "1ns"]).ok();
    let status =
        "nats_server_check_connections_status_code{item=\"Connection\",status=\"WARNING\"} 1\n";
    assert!(metrics.text().contains(status), "{metrics:?}");
    assert!(
        metrics.text().contains("# TYPE nats_server_check_connections_rtt gauge\n"),
        "{metrics:?}"
    );
    let named = ["connection", "--format", "prometheus", "--namespace", "mine"];
    assert!(check(&server, &named).ok().text().contains("\nmine_connections_rtt{"));
    let tables = check_connection(&server, &["--format", "text"]).ok();
    for text in ["Connection: OK", "Status Detail", "Check Metrics", "Critical Threshold"] {
        assert!(tables.text().contains(text), "{text}: {tables:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("check.prom");
    let out = ["connection", "--format", "prometheus", "--outfile", file.to_str().unwrap()];
    assert_eq!(check(&server, &out).ok().text(), "");
    assert!(std::fs::read_to_string(&file).unwrap().contains("connect_time"));
}

// Shows U-094.
#[test]
fn streams_are_checked_against_limits() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s.>", "--storage", "memory"]).ok();
    run(&server, &["pub", "-J", "s.{{Count}}", "x", "--count", "5", "-q"]).ok();
    let stream = |more: &[&str]| {
        let mut all = vec!["stream", "--stream", "S"];
        all.extend(more);
        check(&server, &all)
    };
    assert_eq!(stream(&[]).ok().text(), "OK S OK:0 sources | sources=0\n");
    let few = stream(&["--msgs-warn", "10", "--msgs-critical", "2"]).exits(1);
    assert_eq!(few.text(), "WARNING S Warn:5 messages OK:0 sources | messages=5;10;2 sources=0\n");
    stream(&["--msgs-critical", "5"]).exits(2);
    stream(&["--msgs-critical", "4"]).ok();
    stream(&["--subjects-warn", "4", "--subjects-critical", "9"]).exits(1);
    stream(&["--subjects-warn", "9", "--subjects-critical", "4"]).exits(1);
    stream(&["--subjects-warn", "9", "--subjects-critical", "5"]).exits(2);
    assert!(stream(&["--min-sources", "1"]).exits(2).text().contains("Crit:0 sources"));
    assert!(stream(&["--lag-critical", "1"]).exits(2).text().contains("Crit:not mirrored"));
    assert!(
        stream(&["--peer-expect", "3"]).exits(2).text().contains("Crit:Stream is not clustered")
    );
    let missing = check(&server, &["stream", "--stream", "T"]).exits(2);
    assert!(missing.text().starts_with("CRITICAL T Crit:stream T not found"), "{missing:?}");
    // Limits may stand with the stream.
    let limit = "io.nats.monitor.msgs-critical:7";
    run(&server, &["stream", "edit", "S", "--metadata", limit, "-f"]).ok();
    stream(&[]).exits(2);
    stream(&["--msgs-critical", "1"]).ok();
}

#[test]
fn consumers_are_checked_against_limits() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s", "--storage", "memory"]).ok();
    run(&server, &["pub", "-J", "s", "x", "--count", "5", "-q"]).ok();
    run(&server, &["consumer", "add", "S", "C", "-q"]).ok();
    run(&server, &["consumer", "next", "S", "C", "--no-ack", "-q"]).ok();
    let consumer = |more: &[&str]| {
        let mut all = vec!["consumer", "--stream", "S", "--consumer", "C"];
        all.extend(more);
        check(&server, &all)
    };
    let line = consumer(&[]).ok();
    assert!(
        line.text().starts_with("OK S_C | ack_pending=1 pull_waiting=0 pending=4 redelivered=0")
    );
    let late = consumer(&["--unprocessed-critical", "4"]).exits(2);
    assert!(late.text().contains("Crit:Unprocessed Messages: 4"), "{late:?}");
    consumer(&["--unprocessed-critical", "5"]).ok();
    consumer(&["--outstanding-ack-critical", "1"]).exits(2);
    assert!(consumer(&["--last-ack-critical", "1h"]).exits(2).text().contains("Crit:No acks"));
    consumer(&["--last-delivery-critical", "1h"]).ok();
    consumer(&["--last-delivery-critical", "1ns"]).exits(2);
    assert!(consumer(&["--pinned"]).exits(2).text().contains("Not pinned client priority mode"));
    check(&server, &["consumer", "--stream", "S", "--consumer", "D"]).exits(2);
}

#[test]
fn messages_and_answers_are_checked() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s", "--storage", "memory"]).ok();
    let message = |more: &[&str]| {
        let mut all = vec!["message", "--stream", "S", "--subject", "s"];
        all.extend(more);
        check(&server, &all)
    };
    assert!(message(&[]).exits(2).text().contains("Crit:no message found"));
    run(&server, &["pub", "-J", "s", "hello 42", "-q"]).ok();
    let line = message(&["--content", "^hello [0-9]+$"]).ok();
    assert!(
        line.text().starts_with("OK Stream Message OK:Valid message on S > s | age="),
        "{line:?}"
    );
    assert!(line.text().ends_with(" size=8B\n"), "{line:?}");
    message(&["--content", "bye"]).exits(2);
    message(&["--age-warn", "1ns"]).exits(1);
    message(&["--body-timestamp"]).exits(2);
    run(&server, &["pub", "-J", "s", "{{Unix}}", "-q"]).ok();
    message(&["--body-timestamp", "--age-critical", "1h"]).ok();
    message(&["--content", "("]).exits(2);

    let mut reply = Running::start(command(&server, &["reply", "svc", "pong", "-H", "A:b"]));
    reply.wait_for("Listening");
    let request = |more: &[&str]| {
        let mut all = vec!["request", "--subject", "svc"];
        all.extend(more);
        check(&server, &all)
    };
    let matched = ["--match-payload", "^p.ng$", "--match-headers", "A:b"];
    assert!(request(&matched).ok().text().starts_with("OK svc OK:Valid response | time="));
    request(&["--match-payload", "ping"]).exits(2);
    request(&["--match-headers", "A:c"]).exits(2);
    request(&["--response-warn", "1ns"]).exits(1);
    check(&server, &["request", "--subject", "nobody"]).exits(2);
}

#[test]
fn buckets_and_accounts_are_checked() {
    let server = server();
    run(&server, &["kv", "add", "B", "--storage", "memory"]).ok();
    run(&server, &["kv", "put", "B", "k", "v"]).ok();
    let kv = |more: &[&str]| {
        let mut all = vec!["kv", "--bucket", "B"];
        all.extend(more);
        check(&server, &all)
    };
    let line = kv(&["--key", "k", "--values-warn", "5", "--values-critical", "9"]).ok();
    assert!(
        line.text()
            .starts_with("OK B OK:bucket B OK:key k found OK:1 values | values=1;5;9 bytes=")
    );
    kv(&["--values-warn", "1", "--values-critical", "9"]).exits(1);
    kv(&["--values-warn", "9", "--values-critical", "1"]).exits(2);
    assert!(kv(&["--key", "absent"]).exits(2).text().contains("Crit:key absent not found"));
    feed(&server, &["kv", "del", "B", "k", "-f"], b"").ok();
    kv(&["--key", "k"]).exits(2);
    let missing = check(&server, &["kv", "--bucket", "X"]).exits(2);
    assert!(missing.text().contains("Crit:bucket X not found"), "{missing:?}");

    let account = check(&server, &["jetstream"]).ok();
    assert!(account.text().starts_with("OK JetStream | memory="), "{account:?}");
    assert!(account.text().contains(" memory_pct=0%;75;90 storage=0B "), "{account:?}");
    assert!(account.text().contains(" streams=1 "), "{account:?}");
    let thresholds = ["jetstream", "--mem-warn", "90", "--mem-critical", "80"];
    assert!(check(&server, &thresholds).exits(2).text().contains("memory: invalid thresholds"));
}

// Shows U-094.
#[test]
fn credentials_are_checked_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    end(bare(&["auth", "quick", demo.to_str().unwrap(), "-q"])).ok();
    let credential = |file: &str, more: &[&str]| {
        let path = demo.join(file);
        let mut all = vec!["server", "check", "credential", "--credential", path.to_str().unwrap()];
        all.extend(more);
        end(bare(&all))
    };
    let never = credential("demo.creds", &[]).exits(2);
    assert_eq!(never.text(), "CRITICAL Credential Crit:never expires\n");
    credential("demo.creds", &["--no-require-expiry"]).ok();
    let expired = credential("expired.creds", &[]).exits(2);
    assert!(expired.text().starts_with("CRITICAL Credential Crit:expired 3h"), "{expired:?}");
    credential("absent.creds", &[]).exits(2);
    credential("server.conf", &[]).exits(2);
}

// Shows U-094.
#[test]
fn who_is_not_in_the_system_account_is_told_so() {
    let server = server();
    for verb in [&["list"][..], &["ping"], &["info"], &["report", "cpu"], &["request", "variables"]]
    {
        let mut all = vec!["server"];
        all.extend(verb);
        all.push("--json");
        let error = run(&server, &all).exits(6).error();
        assert_eq!(error["code"], "sys.no_answer", "{verb:?}");
        assert!(error["hint"].as_str().unwrap().contains("system account"), "{error}");
    }
    let checked = check(&server, &["server", "--name", "one"]).exits(2);
    assert!(
        checked.text().starts_with("CRITICAL one Crit:no server answers on $SYS"),
        "{checked:?}"
    );
}

// Shows U-094.
#[test]
fn servers_tell_the_system_account_what_they_do() {
    let server = with_system_account();
    let sys = |arguments: &[&str]| {
        let mut all = vec!["--user", "sys", "--password", "p", "server"];
        all.extend(arguments);
        run(&server, &all)
    };
    let list = sys(&["list", "--json"]).ok().json();
    assert_eq!(list[0]["server"]["name"], "one");
    let table = sys(&["list", "--output", "tsv"]).ok();
    assert!(table.text().starts_with("Name\tCluster\tHost\tVersion\tJS\tConns\t"), "{table:?}");
    assert!(table.text().contains("\none\t"), "{table:?}");
    let ping = sys(&["ping"]).ok();
    assert!(ping.text().starts_with("one ") && ping.text().contains(" rtt="), "{ping:?}");
    assert!(ping.err.contains("1 replies max: "), "{ping:?}");
    assert_eq!(sys(&["ping", "2"]).exits(8).text().lines().count(), 1);
    for arguments in [&["info"][..], &["info", "one"]] {
        let info = sys(arguments).ok();
        assert!(info.text().starts_with("Server information for one ("), "{info:?}");
    }
    assert_eq!(sys(&["info", "--json"]).ok().json()["server_name"], "one");
    let health = sys(&["report", "health", "--output", "csv"]).ok();
    assert!(health.text().contains("\none,,,ok (200),"), "{health:?}");
    for report in ["routes", "gateways", "leafnodes"] {
        // One server alone has none.
        let table = sys(&["report", report, "--output", "tsv"]).ok();
        assert!(table.text().starts_with("Server\tCluster\tDirection\tName\t"), "{table:?}");
        assert_eq!(table.text().lines().count(), 1, "{table:?}");
    }
    let meta = ["check", "meta", "--expect", "3", "--lag-critical", "1", "--seen-critical", "1s"];
    let meta = sys(&meta).exits(2);
    assert!(
        meta.text().starts_with("CRITICAL JetStream Meta Cluster Crit:no cluster information"),
        "{meta:?}"
    );
    for report in ["connections", "accounts", "jetstream", "cpu", "mem"] {
        let rows = sys(&["report", report, "--json"]).ok().json();
        assert!(!rows.as_array().unwrap().is_empty(), "{report}");
        sys(&["report", report]).ok();
    }
    let asked = sys(&["request", "variables"]).ok().lines();
    assert_eq!(asked[0]["data"]["server_name"], "one");
    let checked =
        sys(&["check", "server", "--name", "one", "--conn-critical", "100", "--auth-required"]);
    let checked = checked.ok();
    assert!(
        checked.text().starts_with("OK one OK:Authentication required OK:Connections "),
        "{checked:?}"
    );
    sys(&["check", "server", "--name", "one", "--tls-required"]).exits(2);
    let absent = sys(&["check", "server", "--name", "two", "--timeout", "300ms"]).exits(2);
    assert!(absent.text().starts_with("CRITICAL two "), "{absent:?}");
    let mut held = super::subscriber(
        &server,
        &["x", "--user", "a", "--password", "p", "--connection-name", "held"],
    );
    let connections = sys(&["report", "connections", "--json"]).ok().json();
    let find = |one: &&Value| one["name"] == "held";
    let cid = connections.as_array().unwrap().iter().find(find).unwrap()["cid"].to_string();
    sys(&["request", "kick"]).exits(2);
    sys(&["request", "kick", &cid, "--name", "one"]).ok();
    assert!(held.wait_for("disconnected from").contains("disconnected"));
    drop(held);
    let own = ["--user", "a", "--password", "p", "account", "report", "connections", "--json"];
    let rows: Value = run(&server, &own).ok().json();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    let own = ["--user", "a", "--password", "p", "account", "report", "statistics", "--json"];
    assert_eq!(run(&server, &own).ok().json()[0]["account"], "A");
}
