//! pub, sub, request, reply.

use super::{Running, command, feed, run, server, subscriber};

// Shows U-077, U-079, U-099.
#[test]
fn messages_come_with_headers_reply_and_number() {
    let server = server();
    let mut sub = subscriber(&server, &["foo", "bar.>", "--count", "3"]);
    let ended = run(&server, &["pub", "foo", "hello {{Count}}", "--count", "2", "-H", "Key: a:b"]);
    let ended = ended.ok();
    assert_eq!(ended.text(), "", "publishing writes no data");
    assert_eq!(ended.err.matches("Published 7 bytes to \"foo\"").count(), 2, "{ended:?}");
    assert_eq!(sub.line(), "[#1] Received on \"foo\"");
    assert_eq!([sub.line(), sub.line(), sub.line(), sub.line()], ["Key: a:b", "", "hello 1", ""]);
    assert_eq!(sub.line(), "[#2] Received on \"foo\"");
    assert_eq!([sub.line(), sub.line(), sub.line(), sub.line()], ["Key: a:b", "", "hello 2", ""]);
    run(&server, &["pub", "bar.x", "text", "--reply", "back"]).ok();
    assert_eq!(sub.line(), "[#3] Received on \"bar.x\" with reply \"back\"");
    sub.end().ok();
}

// Shows U-078.
#[test]
fn templates_are_filled_in_everywhere_and_json_passes_through() {
    let server = server();
    let mut sub = subscriber(&server, &["t.*", "--count", "4"]);
    run(&server, &["pub", "t.{{.Count}}", "n {{Cnt}}", "-H", "N:{{Count}}"]).ok();
    assert_eq!(sub.line(), "[#1] Received on \"t.1\"");
    assert_eq!([sub.line(), sub.line(), sub.line(), sub.line()], ["N: 1", "", "n 1", ""]);
    let json = r#"{"a":{"b":{}}}"#;
    let ended = run(&server, &["pub", "t.json", json]).ok();
    assert!(!ended.err.contains("warning"), "{ended:?}");
    assert_eq!([sub.line(), sub.line(), sub.line()][1], json);
    // No template: unchanged, with one warning for all messages.
    let ended = run(&server, &["pub", "t.bad", "{{Nonsense}} {{", "--count", "1"]).ok();
    assert_eq!(ended.err.matches("warning").count(), 1, "{ended:?}");
    assert_eq!([sub.line(), sub.line(), sub.line()][1], "{{Nonsense}} {{");
    run(&server, &["pub", "t.off", "{{Count}}", "--no-templates"]).ok();
    assert_eq!([sub.line(), sub.line(), sub.line()][1], "{{Count}}");
    sub.end().ok();
}

// Shows U-077.
#[test]
fn standard_input_becomes_one_message_or_one_for_each_line() {
    let server = server();
    let mut sub = subscriber(&server, &["in", "--raw", "--count", "3"]);
    let ended = feed(&server, &["pub", "in", "-q"], b"all\nof it").ok();
    assert_eq!(ended.err, "", "quiet");
    assert_eq!([sub.line(), sub.line()], ["all", "of it"]);
    feed(&server, &["pub", "in", "--send-on", "newline"], b"line {{Count}}\r\nline {{Count}}").ok();
    assert_eq!([sub.line(), sub.line()], ["line 1", "line 2"]);
    sub.end().ok();
}

// Shows U-077.
#[test]
fn many_messages_are_summed_up() {
    let server = server();
    let ended = run(&server, &["pub", "many", "xx", "--count", "1000"]).ok();
    assert!(ended.err.contains("Published 1,000 messages, 2.0 KiB in"), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
}

// Shows U-097.
#[test]
fn a_sub_prints_an_object_per_line_as_it_happens() {
    let server = server();
    let mut sub = Running::start(command(&server, &["sub", "obj", "--json"]));
    // Interest shows by a request that runs into its timeout instead of "no responders".
    let ask = ["request", "obj", "first", "--json"];
    loop {
        let ended = super::run_within(&server, &ask, "--timeout", |ended| ended.code == Some(6));
        if ended.exits(6).error()["code"] == "conn.timeout" {
            break;
        }
    }
    let first: serde_json::Value = serde_json::from_str(&sub.line()).unwrap();
    assert_eq!((first["number"].as_u64(), first["data"].as_str()), (Some(1), Some("first")));
    assert!(first["reply"].as_str().unwrap().starts_with("_INBOX."));
    feed(&server, &["pub", "obj", "-H", "A:1", "-H", "A:2"], &[0xff, 0xfe]).ok();
    let second: serde_json::Value = serde_json::from_str(&sub.line()).unwrap();
    assert_eq!(second["data_base64"], "//4=");
    assert_eq!(second["headers"]["A"], serde_json::json!(["1", "2"]));
    assert_eq!(second["size"], 2);
    sub.signal("INT");
    assert_eq!(sub.end().ok().err, "");
}

// Shows U-079.
#[test]
fn what_is_shown_can_be_chosen() {
    let server = server();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["--subjects-only"], &["s.a"]),
        (&["--headers-only"], &["[#1] Received on \"s.a\"", "H: v", "", ""]),
        (&["--raw", "--translate", "tr a-z A-Z"], &["BODY"]),
        (&["--raw", "-I", "s.ignored"], &["body"]),
    ];
    for (options, wanted) in cases {
        let mut arguments = vec!["s.*", "--count", "1"];
        arguments.extend(options);
        let mut sub = subscriber(&server, &arguments);
        if options.contains(&"-I") {
            run(&server, &["pub", "s.ignored", "no"]).ok();
        }
        run(&server, &["pub", "s.a", "body", "-H", "H:v"]).ok();
        let lines: Vec<String> = wanted.iter().map(|_| sub.line()).collect();
        assert_eq!(lines, wanted, "{options:?}");
        assert_eq!(sub.end().ok().text(), "");
    }
}

// Shows U-079.
#[test]
fn messages_can_be_dumped_into_files() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump");
    let sub = subscriber(&server, &["d", "--count", "2", "--dump", path.to_str().unwrap()]);
    run(&server, &["pub", "d", "m{{Count}}", "--count", "2"]).ok();
    assert_eq!(sub.end().ok().text(), "");
    let text = std::fs::read_to_string(path.join("2.json")).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((object["subject"].as_str(), object["data"].as_str()), (Some("d"), Some("m2")));
}

// Shows U-079.
#[test]
fn a_sub_ends_when_nothing_comes() {
    let server = server();
    let sub = subscriber(&server, &["idle", "--wait", "10ms"]);
    sub.end().ok();
}

// Shows U-079.
#[test]
fn members_of_a_queue_share() {
    let server = server();
    let one = subscriber(&server, &["q", "--queue", "g", "--raw"]);
    let two = subscriber(&server, &["q", "--queue", "g", "--raw"]);
    run(&server, &["pub", "q", "{{Count}}", "--count", "40", "-q"]).ok();
    let mut numbers = Vec::new();
    for sub in [one, two] {
        sub.signal("INT");
        let ended = sub.end().ok();
        numbers.extend(ended.text().lines().map(|line| line.parse::<u32>().unwrap()));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}

// Shows U-079, U-082.
#[test]
fn answers_are_shown_beside_their_requests() {
    let server = server();
    let mut reply = Running::start(command(&server, &["reply", "svc", "pong", "--count", "1"]));
    reply.wait_for("Listening");
    let mut sub = subscriber(&server, &["svc", "--match-replies", "--count", "1"]);
    run(&server, &["request", "svc", "ping"]).ok();
    assert!(sub.line().starts_with("[#1] Received on \"svc\" with reply \"_INBOX."));
    assert_eq!([sub.line(), sub.line()], ["ping", ""]);
    assert!(sub.line().starts_with("[#1] Matched reply on \"_INBOX."));
    assert_eq!([sub.line(), sub.line()], ["pong", ""]);
    sub.end().ok();
    reply.end().ok();
}

#[test]
fn a_report_counts_by_subject() {
    let server = server();
    let sub = subscriber(
        &server,
        &["r.>", "--report-subjects", "--count", "3", "--output", "csv", "--report-top", "1"],
    );
    run(&server, &["pub", "r.a", "1", "--count", "2"]).ok();
    run(&server, &["pub", "r.b", "12345"]).ok();
    assert_eq!(sub.end().ok().text(), "Subject,Messages,Bytes\nr.a,2,2 B\n");
}

// Shows U-079.
#[test]
fn an_inbox_can_be_listened_on() {
    let server = server();
    let mut sub = Running::start(command(&server, &["sub", "--inbox", "--count", "1", "--raw"]));
    let line = sub.wait_for("Subscribing on");
    let inbox = line.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(inbox.starts_with("_INBOX."), "{inbox}");
    run(&server, &["pub", &inbox, "for you"]).ok();
    assert_eq!(sub.end().ok().text(), "for you\n");
}

// Shows U-082.
#[test]
fn requests_get_bodies_round_trips_and_headers() {
    let server = server();
    let arguments = ["reply", "echo.*", "--echo", "--count", "3"];
    let mut reply = Running::start(command(&server, &arguments));
    reply.wait_for("Listening on \"echo.*\"");
    let ended = run(&server, &["request", "echo.1", "n {{Count}}", "-H", "X: y", "--raw"]).ok();
    assert_eq!((ended.text(), ended.err.as_str()), ("n 1\n", ""));
    let ended = run(&server, &["request", "echo.2", "hi", "-H", "X: y"]).ok();
    assert_eq!(ended.text(), "X: y\n\nhi\n\n");
    assert!(ended.err.contains("Received with rtt"), "{ended:?}");
    let object = run(&server, &["request", "echo.3", "hi", "--json"]).ok().json();
    assert_eq!(object["data"], "hi");
    assert!(object["rtt_ns"].as_u64().unwrap() > 0);
    let ended = reply.end().ok();
    assert_eq!(
        ended.text(),
        "[#1] Received on \"echo.1\"\n[#2] Received on \"echo.2\"\n[#3] Received on \"echo.3\"\n"
    );
}

// Shows U-081.
#[test]
fn several_answers_are_taken_until_the_wanted_end() {
    let server = server();
    let mut replies = Vec::new();
    for body in ["a", "a"] {
        // Groups of their own, so that both answer.
        let group = format!("g{}", replies.len());
        let mut reply =
            Running::start(command(&server, &["reply", "many", body, "--queue", &group]));
        reply.wait_for("Listening");
        replies.push(reply);
    }
    let ended = run(&server, &["request", "many", "--replies", "2", "--raw"]).ok();
    assert_eq!(ended.text(), "a\na\n");
    // One that never comes.
    let both = |ended: &super::Ended| ended.text() == "a\na\n";
    let arguments = ["request", "many", "--replies", "3", "--raw"];
    let ended = super::run_within(&server, &arguments, "--reply-timeout", both).ok();
    assert_eq!(ended.text(), "a\na\n");
    let arguments = ["request", "many", "--replies", "0", "--raw"];
    let ended = super::run_within(&server, &arguments, "--timeout", both).ok();
    assert_eq!(ended.text(), "a\na\n");
    // An empty answer is the end, and not an answer.
    let mut last = Running::start(command(&server, &["reply", "end", ""]));
    last.wait_for("Listening");
    let ended = run(&server, &["request", "end", "--wait-for-empty", "--raw"]).ok();
    assert_eq!(ended.text(), "");
}

// Shows U-082.
#[test]
fn a_program_answers_and_may_fail() {
    let server = server();
    let script = "sh -c 'test {{1}} != bad && echo \"{{1}} $NATS_REQUEST_SUBJECT $NATS_REQUEST_BODY $(cat)\"'";
    let mut reply = Running::start(command(&server, &["reply", "w.*", "--command", script]));
    reply.wait_for("Listening");
    let ended = run(&server, &["request", "w.bonn", "hi", "--raw"]).ok();
    assert_eq!(ended.text(), "bonn w.bonn hi hi\n\n");
    let ended = run(&server, &["request", "w.bad", "hi", "--json"]).ok().json();
    assert_eq!(ended["data"], "");
    assert!(ended["headers"]["Nats-Error"][0].as_str().unwrap().contains("ended with"));
    assert_eq!(
        run(&server, &["request", "w.berlin", "--raw"]).ok().text(),
        "berlin w.berlin  \n\n"
    );
    // A token is never more than one word of the command.
    let arguments = ["reply", "x.*", "--command", "printf [%s] {{1}}"];
    let mut reply = Running::start(command(&server, &arguments));
    reply.wait_for("Listening");
    assert_eq!(run(&server, &["request", "x.$(id);true", "--raw"]).ok().text(), "[$(id);true]\n");
}

// Shows U-078.
#[test]
fn answers_are_templates_too() {
    let server = server();
    let arguments = ["reply", "tpl", "{{Count}}: {{Request}}", "-H", "N: {{Count}}"];
    let mut reply = Running::start(command(&server, &arguments));
    reply.wait_for("Listening");
    for nth in 1..=2 {
        let answer =
            run(&server, &["request", "tpl", "{{ID}}", "--no-templates", "--json"]).ok().json();
        assert_eq!(answer["data"], format!("{nth}: {{{{ID}}}}"));
        assert_eq!(answer["headers"]["N"][0], nth.to_string());
    }
}

// Shows U-077.
#[test]
fn a_pause_is_made_between_messages() {
    let server = server();
    let sub = subscriber(&server, &["p", "--count", "3", "--raw"]);
    let begin = std::time::Instant::now();
    run(&server, &["pub", "p", "{{Count}}", "--count", "3", "--sleep", "30ms"]).ok();
    assert!(begin.elapsed() >= std::time::Duration::from_millis(60));
    assert_eq!(sub.end().ok().text(), "1\n2\n3\n");
}

// Shows U-079.
#[test]
fn the_time_of_a_message_is_shown_when_asked_for() {
    let server = server();
    for (option, wanted) in [
        ("-t", r"^\[#1 @ \d\d:\d\d:\d\d\.\d{6}\] Received on "),
        ("-d", r"^\[#1 \+[\d.]+\S*\] Received on "),
    ] {
        let mut sub = subscriber(&server, &["s", "--count", "1", option]);
        run(&server, &["pub", "s", "x"]).ok();
        let line = sub.line();
        assert!(regex::Regex::new(wanted).unwrap().is_match(&line), "{option}: {line}");
        sub.end().ok();
    }
}

// Shows U-101.
#[test]
fn a_reader_that_leaves_ends_what_waits_for_more() {
    use std::io::BufRead as _;
    let server = server();
    run(&server, &["kv", "add", "B", "-q"]).ok();
    run(&server, &["object", "add", "O", "-q"]).ok();
    let poke = || {
        run(&server, &["pub", "live", "x", "--reply", "answers", "-q"]).ok();
        run(&server, &["kv", "put", "B", "k", "v"]).ok();
        feed(&server, &["object", "put", "O", "--name", "o", "-f", "-q"], b"x").ok();
    };
    poke();
    for arguments in [
        &["sub", "live"][..],
        &["sub", "live", "--json"],
        &["reply", "live", "ok"],
        &["kv", "watch", "B"],
        &["object", "watch", "O"],
    ] {
        let mut child = command(&server, arguments).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        // The first line may have to be brought about again: the command may not listen yet.
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line
        });
        while !reader.is_finished() {
            poke();
        }
        assert_ne!(reader.join().unwrap(), "", "{arguments:?}");
        while child.try_wait().unwrap().is_none() {
            poke();
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("error") && !err.contains("panic"), "{err}");
    }
}

#[test]
fn a_count_of_zero_is_no_end() {
    let server = server();
    let mut sub = subscriber(&server, &["x", "--count", "0", "--raw"]);
    for body in ["one", "two"] {
        run(&server, &["pub", "x", body, "-q"]).ok();
        assert_eq!(sub.line(), body);
    }
    sub.signal("INT");
    sub.end().ok();
}
