//! What looks at servers: `top`, `doctor`, `health`, graphs.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use super::witness::{Listening as _, Tested, monitored, server, with_system_account};
use super::{Ended, bare, command, end, run};

// Shows U-103.
#[test]
fn a_look_is_written_without_a_terminal() {
    let (server, monitor) = monitored();
    run(&server, &["stream", "add", "ORDERS", "--subjects", "o", "-q"]).ok();
    let top = |arguments: &[&str]| {
        let mut all = vec!["top", "--monitor", &monitor];
        all.extend(arguments);
        run(&server, &all)
    };
    let held = super::subscriber(&server, &["held.>", "--connection-name", "holder"]);
    let text = top(&["-o", "-"]).ok();
    assert!(text.text().contains("Connections: 1 of "), "{text:?}");
    assert!(text.text().contains(" holder "), "{text:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("look.csv");
    let path = file.to_str().unwrap();
    assert_eq!(top(&["-o", path, "-l", ";", "-r", "2", "-d", "1ms", "-u"]).ok().out, b"");
    let looks = std::fs::read_to_string(&file).unwrap();
    let heads = looks.lines().filter(|line| line.starts_with("CID;NAME;HOST;SUBS;")).count();
    let rows = looks.lines().filter(|line| line.contains(";holder;") && line.contains("held.>"));
    assert_eq!((heads, rows.count()), (2, 2), "{looks}");
    let streams = top(&["--tab", "streams", "--json"]).ok().lines();
    assert_eq!(streams[0]["streams"][0]["name"], "ORDERS");
    assert_eq!(streams[0]["varz"]["connections"], 1);
    top(&["--sort", "odd", "-o", "-"]).exits(2);
    // Without a terminal there is nothing to draw on.
    assert!(top(&[]).exits(2).err.contains("-o - prints one look"));
    let nobody = super::nobody();
    end(bare(&["top", "--monitor", &nobody, "-o", "-"])).exits(3);
    held.signal("INT");
    held.end().ok();
}

// Shows U-103.
#[test]
fn a_look_goes_through_the_system_account_too() {
    let server = with_system_account();
    let own = ["--user", "a", "--password", "p", "stream", "add", "S", "--subjects", "s", "-q"];
    run(&server, &own).ok();
    let look = ["--user", "sys", "--password", "p", "top", "-o", "-", "--tab", "streams"];
    let look = run(&server, &look).ok();
    assert!(look.text().contains("Server: one (N"), "{look:?}");
    assert!(look.text().lines().any(|line| line.contains("│ S ")), "{look:?}");
    let refused = ["--user", "a", "--password", "p", "top", "-o", "-", "--json"];
    let refused = run(&server, &refused).exits(6);
    assert!(refused.error()["hint"].as_str().unwrap().contains("--monitor"), "{refused:?}");
}

/// What the doctor says of a look: verdict and finding.
fn finding(ended: &Ended, look: &str) -> (String, String, String) {
    let all = ended.json();
    let all = all.as_array().unwrap();
    let one =
        all.iter().find(|one| one["look"] == look).unwrap_or_else(|| panic!("{look}: {all:?}"));
    let text = |name: &str| one[name].as_str().unwrap().to_owned();
    (text("verdict"), text("found"), text("fix"))
}

// Shows U-104.
#[test]
fn a_good_server_is_found_good() {
    let (server, monitor) = monitored();
    run(&server, &["stream", "add", "S", "--subjects", "s", "-q"]).ok();
    let ended = run(&server, &["doctor", "--monitor", &monitor, "--json"]).ok();
    for look in [
        "connection",
        "clock",
        "credentials",
        "permissions",
        "jetstream",
        "storage",
        "streams",
        "consumers",
        "health",
        "all clients",
        "room",
    ] {
        assert_eq!(finding(&ended, look).0, "ok", "{look}: {ended:?}");
    }
    let lines = run(&server, &["doctor"]).ok();
    assert!(lines.text().contains("ok    clock"), "{lines:?}");
}

// Shows U-104.
#[test]
fn without_jetstream_and_without_a_server_the_doctor_says_what_to_do() {
    let server = super::witness::without_jetstream();
    let ended = run(&server, &["doctor", "--json"]).exits(1);
    let (verdict, found, fix) = finding(&ended, "jetstream");
    assert_eq!(verdict, "fail");
    assert_eq!(
        (found.as_str(), fix.as_str()),
        ("JetStream is not enabled on this server", "start the server with -js")
    );
    let nobody = super::nobody();
    let ended = end(bare(&["-s", &nobody, "doctor", "--json"])).exits(1);
    assert_eq!(finding(&ended, "connection").0, "fail");
}

/// Answers one client as a server does, and says that it is an hour later than it is.
fn server_with_a_wrong_clock() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            std::thread::spawn(|| talk(client.unwrap()));
        }
    });
    address
}

fn talk(mut client: std::net::TcpStream) {
    let info = json!({"server_id": "S", "server_name": "late", "version": "2.15.1",
        "headers": true, "max_payload": 1024});
    client.write_all(format!("INFO {info}\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
    let mut subscriptions: Vec<(String, String)> = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[0] {
            "PING" => "PONG\r\n".to_owned(),
            "SUB" => {
                subscriptions.push((words[1].to_owned(), words[words.len() - 1].to_owned()));
                continue;
            }
            // To an inbox of its own.
            "PUB" if words.len() == 3 => {
                let body = lines.next().and_then(Result::ok).unwrap_or_default();
                match subscriptions.iter().find(|(subject, _)| *subject == words[1]) {
                    Some((_, sid)) => {
                        format!("MSG {} {sid} {}\r\n{body}\r\n", words[1], body.len())
                    }
                    None => continue,
                }
            }
            "PUB" if words.len() == 4 => {
                let reply = words[2];
                let matches = |subject: &str| match subject.strip_suffix('*') {
                    Some(begin) => reply.starts_with(begin),
                    None => subject == reply,
                };
                let Some((_, sid)) = subscriptions.iter().find(|(subject, _)| matches(subject))
                else {
                    continue;
                };
                match words[1] {
                    "$SYS.REQ.USER.INFO" => {
                        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
                        let body = json!({"server": {"time": later.to_string()},
                            "data": {"user": "u", "account": "A"}})
                        .to_string();
                        format!("MSG {reply} {sid} {}\r\n{body}\r\n", body.len())
                    }
                    _ => {
                        let head = "NATS/1.0 503\r\n\r\n";
                        let len = head.len();
                        format!("HMSG {reply} {sid} {len} {len}\r\n{head}\r\n")
                    }
                }
            }
            _ => continue,
        };
        if client.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

// Shows U-104.
#[test]
fn a_wrong_clock_is_found() {
    let address = server_with_a_wrong_clock();
    let ended = end(bare(&["-s", &address, "doctor", "--json"])).exits(1);
    assert_eq!(finding(&ended, "permissions").0, "ok", "{ended:?}");
    let (verdict, found, fix) = finding(&ended, "clock");
    assert_eq!(verdict, "fail", "{ended:?}");
    assert!(found.contains(" ahead of that of this machine") && fix.contains("NTP"), "{ended:?}");
}

// Shows U-104.
#[test]
fn credentials_that_will_expire_or_have_are_found() {
    let (server, dir) = super::witness::with_operator();
    let url = server.url();
    let doctor = |creds: &str| {
        let creds = dir.path().join(creds).display().to_string();
        end(bare(&["-s", &url, "--creds", &creds, "doctor", "--json"]))
    };
    let ended = doctor("soon.creds");
    let (verdict, found, fix) = finding(&ended, "credentials");
    assert_eq!(verdict, "warn", "{ended:?}");
    assert!(found.contains("expires in ") && fix.contains("new credentials"), "{ended:?}");
    let ended = doctor("gone.creds").exits(1);
    let (verdict, found, _) = finding(&ended, "credentials");
    assert_eq!(verdict, "fail");
    assert!(found.contains("expired "), "{found}");
}

// Shows U-104.
#[test]
fn a_client_that_does_not_read_is_found() {
    let (server, monitor) = super::witness::impatient();
    let address = server.url().replace("nats://", "");
    let mut lazy = std::net::TcpStream::connect(address).unwrap();
    lazy.write_all(b"CONNECT {\"verbose\":false,\"name\":\"lazy\"}\r\nSUB flood 1\r\nPING\r\n")
        .unwrap();
    let mut lines = BufReader::new(lazy.try_clone().unwrap()).lines();
    while !lines.next().unwrap().unwrap().starts_with("PONG") {}
    let body = "x".repeat(8000);
    let slow = || {
        let ended = run(&server, &["doctor", "--monitor", &monitor, "--json"]).ok();
        let found = finding(&ended, "all clients");
        (found.0 == "warn").then_some(found)
    };
    let (_, found, fix) = loop {
        run(&server, &["pub", "flood", &body, "--count", "2000", "-q"]).ok();
        if let Some(found) = slow() {
            break found;
        }
    };
    assert!(found.starts_with("1 cut off") && fix.contains("read faster"), "{found}: {fix}");
    drop(lines);
}

#[test]
fn health_is_an_exit_status() {
    let (server, monitor) = monitored();
    let up = run(&server, &["health"]).ok();
    assert!(up.text().contains(" is well, rtt "), "{up:?}");
    run(&server, &["health", "--js"]).ok();
    let up = run(&server, &["health", "--monitor", &monitor, "--js", "--json"]).ok().json();
    assert_eq!(up["status"], "up");
    let plain = super::witness::without_jetstream();
    run(&plain, &["health"]).ok();
    run(&plain, &["health", "--js"]).exits(5);
    let nobody = super::nobody();
    end(bare(&["health", "--monitor", &nobody])).exits(3);
    end(bare(&["-s", &nobody, "health"])).exits(3);
}

fn graph(server: &Tested, arguments: &[&str]) -> (Ended, Vec<Value>) {
    let pace = ["--samples", "2", "--interval", "1ms"];
    let text = run(server, &[arguments, &pace].concat()).ok();
    let lines = run(server, &[arguments, &pace, &["--json"]].concat()).ok().lines();
    (text, lines)
}

// Shows U-085.
#[test]
fn streams_and_consumers_are_drawn() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s", "-q"]).ok();
    run(&server, &["pub", "-J", "s", "body", "--count", "5", "-q"]).ok();
    run(&server, &["consumer", "add", "S", "C", "-q"]).ok();
    let (text, lines) = graph(&server, &["stream", "graph", "S"]);
    for title in ["Stream Statistics for S", "Messages Stored: 5", "Bytes Stored: ", "Removed/s: 0"]
    {
        assert!(text.text().contains(title), "{title}: {text:?}");
    }
    assert!(text.text().chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text:?}");
    assert_eq!((lines.len(), &lines[1]["Messages_Stored"]), (2, &json!(5.0)));
    let (text, lines) = graph(&server, &["consumer", "graph", "S", "C"]);
    assert!(text.text().contains("Unprocessed Messages: 5"), "{text:?}");
    assert_eq!(lines[0]["Unprocessed_Messages"], 5.0);
    run(&server, &["stream", "graph", "T", "--samples", "1"]).exits(5);
    let mut sub = command(&server, &["sub", "x", "--graph", "--count", "3"]);
    sub.stdin(std::process::Stdio::null());
    let mut sub = super::Running::start(sub);
    sub.wait_for("Subscribing");
    run(&server, &["pub", "x", "y", "--count", "3", "-q"]).ok();
    let sub = sub.end().ok();
    assert!(
        sub.text().contains("Messages Received") && sub.text().contains("Bytes/s: "),
        "{sub:?}"
    );
}
