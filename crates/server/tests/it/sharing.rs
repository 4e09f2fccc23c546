//! Accounts that share, over real sockets: what needs the server's timers, and reloads.

use super::Peer;
use natterjack_server::Server;

const CONFIG: &str = r#"
    host: 127.0.0.1, port: -1
    accounts {
      A { users [{user a, password p}]
        exports [{service ask, response_threshold 30ms, latency report}, {stream "news.>"}] }
      B { users [{user b, password p}], imports [IMPORTS] }
    }"#;
const ASK: &str = "{service {account A, subject ask}}";
const NEWS: &str = r#"{stream {account A, subject "news.>"}, prefix far}"#;

fn config(imports: &[&str]) -> String {
    CONFIG.replace("IMPORTS", &imports.join(", "))
}

fn log_in(server: &Server, user: &str) -> Peer {
    let mut peer = Peer::connect(server);
    peer.send(format!(
        "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"{user}\",\
         \"pass\":\"p\"}}\r\n"
    ));
    peer.settle();
    peer
}

impl Peer {
    /// What was sent so far is performed, and nothing came but the answer.
    #[track_caller]
    fn settle(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG");
    }
}

#[test]
fn a_request_that_is_not_answered_in_time_is_reported_without_anybody_asking() {
    let server = Server::builder().config(&config(&[ASK])).unwrap().start_blocking().unwrap();
    let (mut a, mut b) = (log_in(&server, "a"), log_in(&server, "b"));
    a.send("SUB ask 1\r\nSUB report 2\r\n");
    a.settle();
    b.send("SUB in 1\r\nPUB ask in 1\r\nq\r\n");
    let line = a.line();
    assert!(line.starts_with("HMSG ask 1 _R_."), "{line}");
    while !a.line().starts_with("MSG report 2 ") {}
    let report: serde_json::Value = serde_json::from_str(&a.line()).unwrap();
    assert_eq!(report["status"], 504);
    assert_eq!(report["requestor"]["acc"], "B");
    let reply = line.split(' ').nth(3).unwrap();
    a.send(format!("PUB {reply} 4\r\nlate\r\n"));
    a.settle();
    b.settle();
    server.shutdown_blocking();
}

#[test]
fn a_reload_changes_what_subscribers_hear_and_refuses_what_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.conf");
    let write = |imports: &[&str]| std::fs::write(&file, config(imports)).unwrap();
    write(&[]);
    let server = Server::builder().config_file(&file).unwrap().start_blocking().unwrap();
    let (mut a, mut b) = (log_in(&server, "a"), log_in(&server, "b"));
    b.send("SUB far.> 1\r\n");
    b.settle();
    a.send("PUB news.1 0\r\n\r\n");
    a.settle();
    write(&[NEWS]);
    server.reload().unwrap();
    a.send("PUB news.2 0\r\n\r\n");
    b.expect("MSG far.news.2 1 0");
    b.expect("");
    write(&[NEWS, "{stream {account A, subject other}}"]);
    let refusal = server.reload().unwrap_err();
    assert!(
        refusal.ends_with("Error adding stream import \"other\": stream import not authorized"),
        "{refusal}"
    );
    a.send("PUB news.3 0\r\n\r\n");
    b.expect("MSG far.news.3 1 0");
    b.expect("");
    write(&[]);
    server.reload().unwrap();
    a.send("PUB news.4 0\r\n\r\n");
    a.settle();
    b.settle();
    server.shutdown_blocking();
}
