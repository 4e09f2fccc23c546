//! Each exit status of section C.4.

use natterjack_server::Server;

use super::{Running, bare, command, end, feed, nobody, run, server, signal};

// Shows U-098.
#[test]
fn zero_when_done() {
    run(&server(), &["pub", "a", "b"]).ok();
}

// Shows U-098.
#[test]
fn zero_after_a_graceful_ctrl_c() {
    let server = server();
    for name in ["INT", "TERM"] {
        let running = super::subscriber(&server, &["a"]);
        running.signal(name);
        running.end().ok();
    }
}

// Shows U-098.
#[test]
fn one_for_other_failures() {
    let body = vec![b'x'; 2 << 20];
    let ended = feed(&server(), &["pub", "a", "--json"], &body).exits(1);
    assert_eq!(ended.error()["code"], "msg.too_large");
}

// Shows U-098.
#[test]
fn two_for_usage() {
    let server = server();
    run(&server, &["pub"]).exits(2);
    run(&server, &["pub", "a b", "x"]).exits(2);
    run(&server, &["pub", "a", "x", "-H", "no header"]).exits(2);
    run(&server, &["stream", "add", "S"]).exits(2);
    run(&server, &["kv", "add", "bad.name"]).exits(2);
    run(&server, &["--password", "x", "pub", "a", "b"]).exits(2);
    let ended = run(&server, &["--json", "pubb", "a"]).exits(2);
    assert_eq!(ended.error()["code"], "usage");
}

// Shows U-098.
#[test]
fn three_without_a_server() {
    let mut command = bare(&["pub", "a", "b"]);
    command.env("NATS_URL", nobody());
    let ended = end(command).exits(3);
    assert!(ended.err.contains("connection refused"), "{ended:?}");
    assert!(ended.err.contains("natterjack serve"), "{ended:?}");
}

// Shows U-098.
#[test]
fn four_for_a_refused_login() {
    let server = Server::builder().token("s3cr3t").start_blocking().unwrap();
    for login in
        [&["pub", "a", "b", "--json"][..], &["pub", "a", "b", "--json", "--token", "wr0ng"]]
    {
        let ended = run(&server, login).exits(4);
        assert_eq!(ended.error()["code"], "auth.denied");
        assert!(!ended.err.contains("wr0ng"), "{ended:?}");
    }
    run(&server, &["pub", "a", "b", "--token", "s3cr3t"]).ok();
    let ended = run(&server, &["pub", "a", "b", "--creds", "/no/such.creds", "--json"]).exits(4);
    assert_eq!(ended.error()["code"], "auth.creds_missing");
}

// Shows U-098.
#[test]
fn five_for_what_does_not_exist() {
    let server = server();
    for arguments in [
        &["stream", "info", "NONE"][..],
        &["stream", "get", "NONE", "1"],
        &["kv", "get", "NONE", "k"],
        &["consumer", "info", "NONE", "c"],
        &["sub", "--stream", "NONE"],
    ] {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let ended = run(&server, &arguments).exits(5);
        assert_eq!(ended.error()["err_code"], 10059, "{arguments:?}");
    }
}

// Shows U-098.
#[test]
fn five_when_jetstream_is_off() {
    let server = Server::builder().start_blocking().unwrap();
    for arguments in [&["stream", "ls"][..], &["kv", "ls"], &["kv", "put", "B", "k", "v"]] {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let error = run(&server, &arguments).exits(5).error();
        assert_eq!(error["code"], "js.disabled", "{arguments:?}");
        assert_eq!(error["hint"], "start the server with -js");
    }
}

// Shows U-081, U-098.
#[test]
fn six_without_an_answer() {
    let server = server();
    let ended = run(&server, &["request", "nobody", "x"]).exits(6);
    assert!(ended.err.contains("No responders are available"), "{ended:?}");
    // Somebody listens and says nothing.
    let _silent = super::subscriber(&server, &["silent"]);
    // The limit is also that of connecting, which ends with 3.
    let six = |ended: &super::Ended| ended.code == Some(6);
    let ask = ["request", "silent", "x", "--json"];
    let ended = super::run_within(&server, &ask, "--timeout", six).exits(6);
    assert_eq!(ended.error()["code"], "conn.timeout");
    let ask = ["request", "silent", "x", "--replies", "2"];
    super::run_within(&server, &ask, "--timeout", six).exits(6);
}

// Shows U-098.
#[test]
fn seven_for_conflicts() {
    let server = server();
    run(&server, &["kv", "add", "B"]).ok();
    run(&server, &["kv", "create", "B", "k", "1"]).ok();
    let ended = run(&server, &["kv", "create", "B", "k", "2", "--json"]).exits(7);
    assert_eq!(ended.error()["code"], "js.conflict");
    run(&server, &["kv", "update", "B", "k", "2", "99"]).exits(7);
    run(&server, &["kv", "add", "B", "--history", "3"]).exits(7);
    run(&server, &["stream", "add", "S", "--subjects", "s"]).ok();
    let ended = run(&server, &["stream", "add", "S", "--subjects", "t", "--json"]).exits(7);
    assert_eq!(ended.error()["err_code"], 10058);
}

// Shows U-092, U-098.
#[test]
fn eight_when_only_a_part_was_done() {
    let server = server();
    let dead = format!("nats://{}", nobody());
    let servers = format!("{},{dead}", server.client_url());
    let ended = run(&server, &["rtt", "1", "--server", &servers]).exits(8);
    assert!(ended.text().contains(&server.client_url()), "{ended:?}");
    assert!(ended.text().contains("connection refused"), "{ended:?}");
}

// Shows U-098, U-100.
#[test]
fn nine_when_nobody_can_be_asked() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s"]).ok();
    run(&server, &["kv", "add", "B"]).ok();
    run(&server, &["kv", "put", "B", "k", "v"]).ok();
    for arguments in [
        &["stream", "rm", "S"][..],
        &["stream", "purge", "S"],
        &["kv", "del", "B"],
        &["kv", "del", "B", "k"],
        &["kv", "purge", "B", "k"],
        &["kv", "revert", "B", "k", "1"],
        &["kv", "edit", "B", "--history", "2"],
        &["kv", "compact", "B"],
    ] {
        let ended = run(&server, arguments).exits(9);
        assert!(ended.err.contains("-f says yes"), "{ended:?}");
    }
    // Nothing was done.
    assert_eq!(run(&server, &["kv", "get", "B", "k", "--raw"]).ok().text(), "v");
    run(&server, &["stream", "info", "S"]).ok();
}

// Shows U-098.
#[test]
fn one_hundred_and_thirty_at_the_second_ctrl_c() {
    let server = server();
    // The command that answers takes longer than anybody waits.
    let arguments = ["reply", "slow", "--command", "sleep 600"];
    let mut running = Running::start(command(&server, &arguments));
    running.wait_for("Listening");
    let mut asking = Running::start(command(&server, &["request", "slow", "x", "--timeout", "1m"]));
    assert!(running.line().contains("[#1] Received"));
    let pid = running.child.id();
    let code = loop {
        // Signals that come before the first was noticed are one signal.
        match running.child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None => signal(pid, "INT"),
        }
    };
    assert_eq!(code, Some(130));
    asking.child.kill().unwrap();
}

// Shows U-098.
#[test]
fn one_hundred_and_thirty_when_there_is_nothing_to_finish() {
    let server = server();
    let _silent = super::subscriber(&server, &["silent"]);
    let mut running =
        Running::start(command(&server, &["request", "silent", "x", "--timeout", "1m"]));
    running.wait_for("Sending request");
    running.signal("INT");
    running.end().exits(130);
}
