//! bench: what is counted, written and refused. Never how long something takes.

use natterjack_server::Server;
use serde_json::Value;

use super::witness::Listening;
use super::{Ended, Running, command, run, server};

/// Runs `bench .. --json`, which succeeds, and checks what all forms have in common.
#[track_caller]
fn bench(server: &impl Listening, arguments: &[&str], messages: u64) -> Value {
    let mut all = vec!["bench"];
    all.extend(arguments);
    all.push("--json");
    let ended = run(server, &all).ok();
    assert_eq!(ended.err, "", "{ended:?}");
    let report = ended.json();
    check(&report, messages);
    assert_eq!(report["complete"], true, "{report}");
    report
}

#[track_caller]
fn check(report: &Value, messages: u64) {
    let total = &report["total"];
    assert_eq!(total["msgs"], messages, "{report}");
    let clients = report["clients"].as_array().unwrap();
    let sum: u64 = clients.iter().map(|client| client["msgs"].as_u64().unwrap()).sum();
    assert_eq!(sum, messages, "{report}");
    for name in ["seconds", "msgs_per_second", "bytes_per_second"] {
        assert!(total[name].is_f64(), "{name}: {report}");
        assert!(clients.iter().all(|client| client[name].is_f64()), "{name}: {report}");
    }
    for name in ["min", "avg", "max", "stddev"] {
        assert!(total["message_rates"][name].is_f64(), "{name}: {report}");
    }
    assert!(report["server"]["version"].is_string(), "{report}");
}

/// So many operations were timed, and their figures are in order.
#[track_caller]
fn timed(report: &Value, operations: u64) {
    let latency = &report["total"]["latency_us"];
    assert_eq!(latency["count"], operations, "{report}");
    let figure = |name: &str| latency[name].as_f64().unwrap();
    let order = ["min", "p50", "p90", "p99", "p99_9", "max"].map(figure);
    assert!(order.is_sorted() && order[0] > 0.0, "{report}");
    assert!(figure("min") <= figure("avg") && figure("avg") <= figure("max"), "{report}");
    assert!(figure("stddev") >= 0.0, "{report}");
}

/// The object on standard error, which has nothing else.
#[track_caller]
fn code(ended: &Ended) -> String {
    ended.error()["code"].as_str().unwrap().to_owned()
}

/// Messages and bytes of each client in a file that --csv has written.
fn csv(path: &std::path::Path) -> Vec<(String, u64, u64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("#RunID,ClientID,MsgCount,MsgBytes,MsgsPerSec"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[1].to_owned(), cells[2].parse().unwrap(), cells[3].parse().unwrap())
        })
        .collect()
}

// Shows U-093.
#[test]
fn publishers_share_the_messages() {
    let report =
        bench(&server(), &["pub", "a", "--msgs", "1001", "--clients", "4", "--size", "10"], 1001);
    assert_eq!(report["bench"], "pub");
    assert_eq!(report["total"]["bytes"], 10_010);
    let shares: Vec<&Value> =
        report["clients"].as_array().unwrap().iter().map(|client| &client["msgs"]).collect();
    assert_eq!(shares, [251, 250, 250, 250]);
    // Nothing is waited for, so there is nothing to time.
    assert!(report["total"].get("latency_us").is_none(), "{report}");
    assert_eq!(report["options"]["msg_size"], 10);
    // No more clients than messages.
    let report = bench(&server(), &["pub", "a", "--msgs", "2", "--clients", "4"], 2);
    assert_eq!(report["clients"].as_array().unwrap().len(), 2);
}

#[test]
fn subscribers_each_receive_all_messages() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sub.csv");
    let arguments =
        ["bench", "sub", "a", "--multisubject", "--msgs", "500", "--clients", "2", "--csv"];
    let mut all = arguments.to_vec();
    all.push(file.to_str().unwrap());
    let mut subscribers = Running::start(command(&server, &all));
    subscribers.wait_for("Ready");
    bench(
        &server,
        &["pub", "a", "--multisubject", "--multisubjectmax", "7", "--msgs", "500", "--size", "3"],
        500,
    );
    let ended = subscribers.end().ok();
    assert!(ended.text().contains("NATS Core NATS subscriber aggregated stats: "), "{ended:?}");
    assert!(ended.text().contains(" message rates min "), "{ended:?}");
    assert_eq!(csv(&file), [("S0".to_owned(), 500, 1500), ("S1".to_owned(), 500, 1500)]);
}

#[test]
fn subjects_bodies_and_headers_are_as_asked_for() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let body = dir.path().join("body");
    std::fs::write(&body, "the body").unwrap();
    let arguments = [
        "js",
        "pub",
        "sync",
        "m",
        "--create",
        "--storage",
        "memory",
        "--multisubject",
        "--multisubjectmax",
        "10",
        "--msgs",
        "12",
        "--payload",
        body.to_str().unwrap(),
        "-H",
        "Kind: test",
    ];
    assert_eq!(bench(&server, &arguments, 12)["options"]["msg_size"], 8);
    for nth in 0..12 {
        let seq = (nth + 1).to_string();
        let message = run(&server, &["stream", "get", "benchstream", &seq, "--json"]).ok().json();
        assert_eq!(message["subject"], format!("m.{:02}", nth % 10));
        assert_eq!(message["data"], "the body");
        assert_eq!(message["headers"]["Kind"][0], "test");
    }
}

// Shows U-093.
#[test]
fn requests_are_answered_and_timed() {
    let server = server();
    let mut service = Running::start(command(&server, &["bench", "service", "serve", "svc"]));
    service.wait_for("Ready");
    let report =
        bench(&server, &["service", "request", "svc", "--msgs", "300", "--clients", "3"], 300);
    timed(&report, 300);
    // Without --msgs, to interrupt it is how it ends.
    service.signal("INT");
    let ended = service.end().ok();
    assert!(ended.text().contains("NATS Core NATS service server stats: "), "{ended:?}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("serve.csv");
    let serve =
        ["bench", "service", "serve", "svc", "--msgs", "50", "--csv", file.to_str().unwrap()];
    let mut service = Running::start(command(&server, &serve));
    service.wait_for("Ready");
    bench(&server, &["service", "request", "svc", "--msgs", "50"], 50);
    service.end().ok();
    assert_eq!(csv(&file), [("S0".to_owned(), 50, 6400)]);
    // Some are never answered.
    let ended = run(&server, &["bench", "service", "request", "svc", "--msgs", "2", "--json"]);
    assert_eq!(code(&ended.exits(6)), "request.no_responders");
}

// Shows U-093.
#[test]
fn streams_are_made_written_and_read() {
    let server = server();
    let made = ["js", "pub", "sync", "a", "--create", "--storage", "memory", "--msgs", "20"];
    timed(&bench(&server, &made, 20), 20);
    let many = ["js", "pub", "async", "a", "--msgs", "1000", "--batch", "64", "--clients", "2"];
    timed(&bench(&server, &many, 1000), 1000);
    let info = run(&server, &["stream", "info", "benchstream", "--json"]).ok().json();
    assert_eq!(info["config"]["subjects"], serde_json::json!(["a"]));
    assert_eq!(info["config"]["max_bytes"], 1 << 30);
    assert_eq!(info["state"]["messages"], 1020);

    let report = bench(&server, &["js", "ordered", "--msgs", "1020", "--clients", "2"], 2040);
    assert!(report["total"].get("latency_us").is_none(), "{report}");
    assert_eq!(report["total"]["bytes"], 2040 * 128);
    for acks in ["explicit", "none", "all"] {
        let consume = ["js", "consume", "--msgs", "1020", "--clients", "3", "--batch", "50"];
        let mut consume = consume.to_vec();
        consume.extend(["--acks", acks]);
        let report = bench(&server, &consume, 1020);
        assert_eq!(report["options"]["acks"], acks);
    }
    timed(&bench(&server, &["js", "consume", "--msgs", "30", "--doubleack"], 30), 30);
    // Batches are timed: two of 400 and the rest.
    timed(&bench(&server, &["js", "fetch", "--msgs", "1020", "--batch", "400"], 1020), 3);
    timed(&bench(&server, &["js", "get", "sync", "--msgs", "40", "--clients", "2"], 80), 80);
    // As many as there are, if nothing else is said.
    timed(&bench(&server, &["js", "get", "batch", "--batch", "500"], 1020), 3);
    // Nothing of them is left.
    let names = run(&server, &["consumer", "ls", "benchstream", "--json"]).ok().json();
    assert_eq!(names, serde_json::json!([]));

    let purged = ["js", "pub", "async", "a", "--purge", "--msgs", "5"];
    bench(&server, &purged, 5);
    let info = run(&server, &["stream", "info", "benchstream", "--json"]).ok().json();
    assert_eq!(info["state"]["messages"], 5);
}

#[test]
fn a_stream_takes_message_ids_and_many_subjects() {
    let server = server();
    let arguments = [
        "js",
        "pub",
        "async",
        "m",
        "--create",
        "--storage",
        "memory",
        "--stream",
        "S",
        "--msgs",
        "20",
        "--dedup",
        "--dedupwindow",
        "1m",
        "--multisubject",
        "--multisubjectmax",
        "10",
    ];
    bench(&server, &arguments, 20);
    let info = run(&server, &["stream", "info", "S", "--json"]).ok().json();
    assert_eq!(info["config"]["subjects"], serde_json::json!(["m.*"]));
    assert_eq!(info["config"]["duplicate_window"], 60_000_000_000_u64);
    assert_eq!(
        (&info["state"]["messages"], &info["state"]["num_subjects"]),
        (&20.into(), &10.into())
    );
    let first = run(&server, &["stream", "get", "S", "1", "--json"]).ok().json();
    assert!(first["headers"]["Nats-Msg-Id"][0].as_str().unwrap().ends_with("-0"), "{first}");
    let filtered = ["js", "ordered", "--stream", "S", "--filter", "m.03,m.04", "--msgs", "4"];
    bench(&server, &filtered, 4);
    let filtered = ["js", "get", "batch", "--stream", "S", "--filter", "m.03", "--msgs", "2"];
    bench(&server, &filtered, 2);
    let filtered = ["js", "fetch", "--stream", "S", "--filter", "m.03", "--msgs", "2"];
    bench(&server, &filtered, 2);
}

#[test]
fn a_consumer_of_another_name_is_used_and_kept() {
    let server = server();
    run(&server, &["stream", "add", "benchstream", "--subjects", "a"]).ok();
    let consume = ["js", "consume", "--consumer", "mine", "--msgs", "10"];
    let missing = run(&server, &[&["bench"][..], &consume, &["--json"]].concat()).exits(5);
    assert_eq!(code(&missing), "js.not_found");
    run(&server, &["sub", "--stream", "benchstream", "--durable", "mine", "-T", "-q"]).ok();
    bench(&server, &["js", "pub", "sync", "a", "--msgs", "10"], 10);
    bench(&server, &consume, 10);
    let info = run(&server, &["consumer", "info", "benchstream", "mine", "--json"]).ok().json();
    let floor = &info["ack_floor"]["stream_seq"];
    assert_eq!((&info["num_pending"], floor), (&0.into(), &10.into()), "{info}");
}

// Shows U-093.
#[test]
fn keys_are_put_and_got() {
    let server = server();
    let put = ["kv", "put", "--msgs", "100", "--clients", "3", "--size", "7"];
    timed(&bench(&server, &put, 100), 100);
    let got = bench(&server, &["kv", "get", "--msgs", "100", "--clients", "2"], 100);
    timed(&got, 100);
    assert_eq!(got["total"]["bytes"], 700);
    bench(&server, &["kv", "get", "--msgs", "500", "--randomize", "100"], 500);
    bench(&server, &["kv", "put", "--msgs", "30", "--randomize", "3", "--purge"], 30);
    let keys = run(&server, &["kv", "ls", "benchbucket", "--json"]).ok();
    assert!(keys.json().as_array().unwrap().len() <= 3, "{keys:?}");
    // What was measured up to a key that is missing is told, with why it ended.
    let ended = run(&server, &["bench", "kv", "get", "--msgs", "100", "--json"]).exits(5);
    assert_eq!(code(&ended), "kv.not_found");
    run(&server, &["kv", "add", "B", "--history", "2"]).ok();
    bench(&server, &["kv", "put", "--bucket", "B", "--msgs", "3"], 3);
    run(&server, &["bench", "kv", "put", "--bucket", "NONE", "--msgs", "3"]).exits(5);
}

#[test]
fn an_interruption_shows_what_there_is() {
    let server = server();
    let mut publisher =
        Running::start(command(&server, &["bench", "pub", "a", "--msgs", "3", "--sleep", "1h"]));
    publisher.wait_for("[1] Starting Core NATS publisher, publishing 3 messages");
    publisher.signal("INT");
    let ended = publisher.end().exits(130);
    assert!(ended.text().contains("NATS Core NATS publisher stats: "), "{ended:?}");
    assert!(ended.err.contains("interrupted after "), "{ended:?}");

    let mut subscriber = Running::start(command(&server, &["bench", "sub", "a", "--msgs", "9"]));
    subscriber.wait_for("Ready");
    subscriber.signal("TERM");
    let ended = subscriber.end().exits(130);
    assert!(ended.text().contains(" stats: 0 msgs/sec ~ 0 B/sec"), "{ended:?}");
}

// Shows U-093.
#[test]
fn a_measurement_is_compared_with_an_earlier_one() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("earlier.json");
    let first = run(&server, &["bench", "pub", "a", "--msgs", "100", "--json"]).ok();
    std::fs::write(&file, &first.out).unwrap();
    let path = file.to_str().unwrap();
    let report = bench(&server, &["pub", "a", "--msgs", "100", "--compare", path], 100);
    assert_eq!(report["compare"]["same_options"], true);
    let ratio = report["compare"]["ratios"]["msgs_per_second"].as_f64().unwrap();
    let rate = |report: &Value| report["total"]["msgs_per_second"].as_f64().unwrap();
    assert!((ratio - rate(&report) / rate(&first.json())).abs() < 1e-9, "{report}");
    let ended = run(&server, &["bench", "pub", "b", "--msgs", "9", "--compare", path]).ok();
    assert!(ended.err.contains("other options"), "{ended:?}");
    assert!(ended.text().contains("above 1 is better: msgs per second "), "{ended:?}");
    std::fs::write(&file, "{}").unwrap();
    run(&server, &["bench", "pub", "a", "--compare", path]).exits(2);
}

#[test]
fn tables_take_the_form_that_is_asked_for() {
    let server = server();
    let table = ["bench", "pub", "a", "--msgs", "10", "--clients", "2", "--output", "csv"];
    let ended = run(&server, &table).ok();
    let lines: Vec<&str> = ended.text().lines().collect();
    assert_eq!(lines[0], "Client,Msgs,Seconds,Msgs/sec,Bytes/sec");
    assert!(lines[1].starts_with("1,5,") && lines[3].starts_with("all,10,"), "{ended:?}");
}

#[test]
fn a_rate_and_a_duration_make_the_number_of_messages() {
    let arguments = ["pub", "a", "--throughput", "100000", "--duration", "5ms"];
    let report = bench(&server(), &arguments, 500);
    assert_eq!(report["options"]["throughput"], 100_000);
    run(&server(), &["bench", "pub", "a", "--duration", "1s"]).exits(2);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = server();
    for arguments in [
        &["pub"][..],
        &["pub", "a.*"],
        &["pub", "a", "--msgs", "0"],
        &["pub", "a", "--clients", "0"],
        &["pub", "a", "--size", "-1"],
        &["js", "pub", "atomic", "a", "--batch", "1001"],
        &["js", "pub", "sync", "a", "--persistasync", "--replicas", "3"],
        &["js", "consume", "--acks", "some"],
        &["kv", "put", "--bucket", "a.b"],
    ] {
        run(&server, &[&["bench"], arguments].concat()).exits(2);
    }
    let ended = run(&server, &["bench", "pub", "a", "--size", "2MB", "--json"]).exits(1);
    assert_eq!(code(&ended), "msg.too_large");
    let ended = run(&server, &["bench", "js", "consume", "--json"]).exits(5);
    assert_eq!(code(&ended), "js.not_found");
    assert!(ended.error()["hint"].as_str().unwrap().contains("--create"), "{ended:?}");
    let nowhere = ["bench", "pub", "a", "--csv", "/no/such/dir/file"];
    run(&server, &nowhere).exits(1);
    let without = Server::builder().start_blocking().unwrap();
    let ended = run(&without, &["bench", "kv", "put", "--json"]).exits(5);
    assert_eq!(code(&ended), "js.disabled");
}

#[test]
fn a_subject_that_no_stream_takes_is_named() {
    let server = server();
    bench(&server, &["js", "pub", "sync", "a", "--create", "--msgs", "1"], 1);
    for how in ["sync", "async"] {
        let ended = run(&server, &["bench", "js", "pub", how, "b", "--json"]).exits(6);
        assert_eq!(code(&ended), "request.no_responders", "{how}");
    }
    let ended = run(&server, &["bench", "js", "get", "sync", "--msgs", "2", "--json"]).exits(2);
    assert_eq!(ended.error()["hint"], "--msgs 1 or less");
}

#[test]
fn a_server_without_atomic_batches_is_told() {
    let server = server();
    let atomic = ["bench", "js", "pub", "atomic", "a", "--msgs", "10", "--json"];
    bench(&server, &["js", "pub", "sync", "a", "--create", "--msgs", "1"], 1);
    assert_eq!(code(&run(&server, &atomic).exits(1)), "js.no_atomic_batches");
}

#[test]
fn what_the_user_may_not_do_ends_it() {
    let config = r#"authorization { users: [
        { user: u, password: p, permissions: { publish: "ok.>", subscribe: ["_INBOX.>", "ok.>"] } }
    ] }"#;
    let server = Server::builder().config(config).unwrap().start_blocking().unwrap();
    let login = ["--user", "u", "--password", "p", "--json", "bench"];
    for arguments in
        [&["pub", "no", "--msgs", "10"][..], &["service", "request", "no"], &["sub", "no"]]
    {
        let ended = run(&server, &[&login, arguments].concat()).exits(4);
        assert_eq!(code(&ended), "auth.permission", "{arguments:?}");
    }
    run(&server, &[&login[..], &["pub", "ok.a", "--msgs", "10"]].concat()).ok();
}

// Shows U-093.
#[test]
fn the_time_from_one_connection_to_another_is_measured() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("latency.hgrm");
    let arguments = ["latency", "--duration", "50ms", "--rate", "2000", "--size", "64"];
    let more = ["--histogram", file.to_str().unwrap()];
    let text = run(&server, &[&arguments[..], &more].concat()).ok();
    for line in ["Message size: 64 B", "Percentiles:", "99.9: ", "100: ", "█"] {
        assert!(text.text().contains(line), "{line}: {text:?}");
    }
    let percentiles = std::fs::read_to_string(&file).unwrap();
    assert!(percentiles.starts_with("Value     Percentile"), "{percentiles}");
    let url = server.client_url();
    let other = ["--server-b", &url, "--json"];
    let report = run(&server, &[&arguments[..], &other].concat()).ok().json();
    let number = |name: &str| report[name].as_f64().unwrap();
    assert!(number("sent") > 0.0 && report["sent"] == report["received"], "{report}");
    let at = |name: &str| report["percentiles_us"][name].as_f64().unwrap();
    let ladder = [number("min_us"), at("10"), at("50"), at("90"), at("99"), at("100")];
    assert!(ladder.is_sorted() && ladder[0] > 0.0, "{report}");
    assert_eq!(at("100"), number("max_us"));
    run(&server, &["latency", "--size", "4"]).exits(2);
    // Two servers that do not know each other.
    let stranger = super::witness::server();
    let url = stranger.client_url();
    let arguments = ["latency", "--server-b", &url, "--json"];
    let six = |ended: &Ended| ended.code == Some(6);
    let ended = super::run_within(&server, &arguments, "--timeout", six).exits(6);
    assert_eq!(code(&ended), "latency.nothing");
}
