//! stream report, find, subjects, state: what streams hold.

use serde_json::json;

use super::witness::Tested;
use super::{run, server};

fn with_streams() -> Tested {
    let server = server();
    for (name, subject) in [("EMPTY", "e"), ("ORDERS", "orders.>")] {
        run(&server, &["stream", "add", name, "--subjects", subject, "--storage", "memory"]).ok();
    }
    for (subject, count) in [("orders.a", "2"), ("orders.b", "1")] {
        run(&server, &["pub", "-J", subject, "x", "--count", count, "-q"]).ok();
    }
    run(&server, &["consumer", "add", "ORDERS", "C"]).ok();
    server
}

// Shows U-085, U-099.
#[test]
fn subjects_are_counted() {
    let server = with_streams();
    let subjects = |more: &[&str]| {
        let mut all = vec!["stream", "subjects", "ORDERS"];
        all.extend(more);
        run(&server, &all).ok()
    };
    assert_eq!(subjects(&["--json"]).json(), json!({"orders.b": 1, "orders.a": 2}));
    assert_eq!(subjects(&["--names"]).text(), "orders.b\norders.a\n");
    assert_eq!(subjects(&["--names", "--sort", "name"]).text(), "orders.a\norders.b\n");
    assert_eq!(subjects(&["--names", "-R"]).text(), "orders.a\norders.b\n");
    assert_eq!(subjects(&["orders.a", "--json"]).json(), json!({"orders.a": 2}));
    let table = subjects(&[]);
    assert!(table.text().contains("2 Subjects in stream ORDERS"), "{table:?}");
    assert_eq!(subjects(&["--output", "csv"]).text(), "Subject,Count\norders.b,1\norders.a,2\n");
    assert!(subjects(&["nothing"]).err.contains("No subjects found"));
    run(&server, &["stream", "subjects", "ORDRES"]).exits(5);
}

#[test]
fn many_subjects_are_all_listed() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s.>", "--storage", "memory"]).ok();
    run(&server, &["pub", "-J", "s.{{Count}}", "x", "--count", "1500", "-q"]).ok();
    let subjects = run(&server, &["stream", "subjects", "S", "--json"]).ok().json();
    assert_eq!(subjects.as_object().unwrap().len(), 1500);
}

// Shows U-083.
#[test]
fn the_state_is_shown_alone() {
    let server = with_streams();
    for arguments in [&["stream", "state", "ORDERS"][..], &["stream", "info", "ORDERS", "--state"]]
    {
        let sheet = run(&server, arguments).ok();
        assert!(sheet.text().starts_with("State for Stream ORDERS"), "{sheet:?}");
        assert!(sheet.text().contains("Messages: 3") && !sheet.text().contains("Retention"));
        let mut json = arguments.to_vec();
        json.push("--json");
        let state = run(&server, &json).ok().json();
        assert_eq!((&state["messages"], &state["consumer_count"]), (&json!(3), &json!(1)));
    }
}

// Shows U-085.
#[test]
fn streams_are_found_by_what_is_in_them() {
    let server = with_streams();
    run(&server, &["kv", "add", "B"]).ok();
    let find = |more: &[&str]| {
        let mut all = vec!["stream", "find", "-n"];
        all.extend(more);
        run(&server, &all).ok().text().to_owned()
    };
    assert_eq!(find(&[]), "EMPTY\nORDERS\n");
    assert_eq!(find(&["--empty"]), "EMPTY\n");
    assert_eq!(find(&["--empty", "--all"]), "EMPTY\nKV_B\n");
    assert_eq!(find(&["--empty", "--invert"]), "ORDERS\n");
    assert_eq!(find(&["--consumers", "1"]), "EMPTY\n");
    assert_eq!(find(&["--subject", "orders.z"]), "ORDERS\n");
    assert_eq!(find(&["--idle", "1h"]), "EMPTY\n");
    assert_eq!(find(&["--created", "1h"]), "");
    assert_eq!(find(&["--mirrored"]), "");
    assert_eq!(find(&["--replicas", "1", "--json"]).lines().count(), 4);
}

// Shows U-085, U-099.
#[test]
fn a_report_has_a_row_for_each_stream() {
    let server = with_streams();
    let report = run(&server, &["stream", "report", "--output", "tsv"]).ok();
    let rows: Vec<Vec<&str>> =
        report.text().lines().map(|line| line.split('\t').collect()).collect();
    let head = [
        "Stream",
        "Storage",
        "Placement",
        "Consumers",
        "Messages",
        "Bytes",
        "Lost",
        "Deleted",
        "Replicas",
    ];
    assert_eq!(rows[0], head);
    assert_eq!((rows[1][0], rows[2][0]), ("EMPTY", "ORDERS"));
    assert_eq!((rows[2][1], rows[2][3], rows[2][4]), ("Memory", "1", "3"));
    let names = |order: &str| {
        let report = run(&server, &["stream", "report", order, "--json"]).ok().json();
        let all = report.as_array().unwrap().iter();
        all.map(|one| one["config"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for order in ["-o", "-m", "-n", "-t"] {
        assert_eq!(names(order), ["EMPTY", "ORDERS"], "{order}");
    }
    let subject = ["stream", "report", "--subject", "e", "--output", "csv", "--raw"];
    assert_eq!(run(&server, &subject).ok().text().lines().count(), 2);
}
