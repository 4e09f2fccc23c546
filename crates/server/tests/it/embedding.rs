//! What a program that embeds the server can do beside the protocol: connections without a socket,
//! decisions about logins, changes while it runs.

use std::time::{Duration, SystemTime};

use natterjack_server::{InProcess, LoginAttempt, LoginGrant, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};

use super::certificates::Authority;
use super::peer::Peer;

/// A client within the process that speaks lines.
struct Inside(BufStream<InProcess>);

impl Inside {
    async fn connect(server: &Server) -> (Self, serde_json::Value) {
        let mut inside = Inside(BufStream::new(server.connect_in_process().unwrap()));
        let line = inside.line().await;
        let info = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        (inside, info)
    }

    /// The next line. The server's own PINGs, which come when two seconds are over, are answered.
    async fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            match line.trim_end_matches("\r\n") {
                "PING" => self.send("PONG\r\n").await,
                line => return line.to_owned(),
            }
        }
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn expect(&mut self, line: &str) {
        assert_eq!(self.line().await, line);
    }
}

// Shows C-021.
#[tokio::test]
async fn a_client_within_the_process_needs_no_socket_and_no_tls() {
    let authority = Authority::new();
    let directory = authority.directory().display();
    let config = format!(
        "http_port: -1\n\
         tls {{ cert_file: \"{directory}/server.pem\", key_file: \"{directory}/server-key.pem\" }}"
    );
    let server = Server::builder().config(&config).unwrap().start().await.unwrap();
    let (mut inside, info) = Inside::connect(&server).await;
    assert_eq!(info["tls_available"], true);
    assert_eq!(info.get("tls_required"), None);
    inside.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n").await;
    inside.expect("MSG a 1 2").await;
    inside.expect("hi").await;
    inside.expect("PONG").await;
    // More than the pipe holds, in both directions at once.
    let body = "x".repeat(900_000);
    inside.send(format!("PUB a {}\r\n{body}\r\n", body.len())).await;
    inside.expect("MSG a 1 900000").await;
    let mut got = vec![0; body.len() + 2];
    inside.0.read_exact(&mut got).await.unwrap();
    assert_eq!(got, format!("{body}\r\n").into_bytes());
    server.request_stop();
    inside.expect("").await;
    assert!(server.connect_in_process().is_err());
    server.shutdown().await;
}

// Shows C-021.
#[tokio::test]
async fn messages_pass_between_the_process_and_the_network() {
    let server = Server::builder().start().await.unwrap();
    let (mut inside, _) = Inside::connect(&server).await;
    inside.send("CONNECT {\"verbose\":false}\r\nSUB question 1\r\nPING\r\n").await;
    inside.expect("PONG").await;
    let client = async_nats::connect(server.client_url()).await.unwrap();
    // It comes back: with the last handle its connection ends.
    let asked =
        tokio::spawn(async move { (client.request("question", "2+2".into()).await, client) });
    let line = inside.line().await;
    let reply = line.split(' ').nth(3).unwrap().to_owned();
    inside.expect("2+2").await;
    inside.send(format!("PUB {reply} 1\r\n4\r\n")).await;
    let (answer, _client) = asked.await.unwrap();
    assert_eq!(answer.unwrap().payload, "4");
    assert_eq!(server.connections(), 2);
    drop(inside);
    while server.connections() > 1 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
}

// Shows C-021.
#[tokio::test]
async fn users_may_be_kept_from_connecting_within_the_process() {
    let server = Server::builder()
        .config(
            "authorization { users = [\n\
             { user: in, password: p, allowed_connection_types: [IN_PROCESS] }\n\
             { user: out, password: p, allowed_connection_types: [STANDARD] } ] }",
        )
        .unwrap()
        .start()
        .await
        .unwrap();
    let connect = |user| {
        format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"p\"}}\r\nPING\r\n")
    };
    for (user, inside, outside) in [
        ("in", "PONG", "-ERR 'Authorization Violation'"),
        ("out", "-ERR 'Authorization Violation'", "PONG"),
    ] {
        let (mut client, _) = Inside::connect(&server).await;
        client.send(connect(user)).await;
        client.expect(inside).await;
        let mut peer = Peer::connect(&server);
        peer.send(connect(user));
        peer.expect(outside);
    }
    server.shutdown().await;
}

async fn decide(attempt: LoginAttempt) -> Result<LoginGrant, String> {
    let soon = SystemTime::now() + Duration::from_secs(3);
    match (attempt.user.as_deref(), attempt.password.as_deref()) {
        (Some("ann"), Some("right")) => Ok(LoginGrant::user("ann")),
        (Some("bob"), Some("right")) => Ok(LoginGrant::user("bob")
            .account("B")
            .allow_publish(["b.>"])
            .allow_subscribe([">"])
            .deny_subscribe(["secret"])),
        (Some("brief"), _) => Ok(LoginGrant::user("brief").expires(soon)),
        (Some("lost"), _) => Ok(LoginGrant::user("lost").account("nowhere")),
        (Some("slow"), _) => std::future::pending().await,
        (Some("broken"), _) => panic!("the program's own fault"),
        _ => Err(format!("{} from {}", attempt.connection_type, attempt.address.ip())),
    }
}

// Shows C-074.
#[test]
fn the_program_decides_about_logins() {
    let server = Server::builder()
        .config("authorization { timeout: 60, token: unused }\naccounts { B {} }")
        .unwrap()
        .logins(|attempt| {
            assert_ne!(attempt.user.as_deref(), Some("rash"), "before there is anything to await");
            decide(attempt)
        })
        .start_blocking()
        .unwrap();
    let log_in = |user: &str, pass: &str| {
        let mut peer = Peer::connect(&server);
        assert_eq!(peer.info["auth_required"], true);
        assert_eq!(peer.info["nonce"].as_str().unwrap().len(), 15);
        peer.send(format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{pass}\"}}\r\nPING\r\n"
        ));
        peer
    };
    let mut ann = log_in("ann", "right");
    ann.expect("PONG");
    let mut bob = log_in("bob", "right");
    bob.expect("PONG");
    bob.send("PUB a 0\r\n\r\nSUB secret 1\r\nSUB b.x 2\r\nPUB b.x 0\r\n\r\n");
    bob.expect("-ERR 'Permissions Violation for Publish to \"a\"'");
    bob.expect("-ERR 'Permissions Violation for Subscription to \"secret\"'");
    bob.expect("MSG b.x 2 0");
    bob.expect("");
    // Of another account.
    ann.send("PUB b.x 0\r\n\r\nPING\r\n");
    ann.expect("PONG");
    bob.send("PING\r\n");
    bob.expect("PONG");
    for user in ["ann", "eve", "lost", "broken", "rash"] {
        log_in(user, "wrong").expect("-ERR 'Authorization Violation'");
    }
    let mut silent = Peer::connect(&server);
    silent.send("PING\r\n");
    silent.expect("-ERR 'Authorization Violation'");
    let mut brief = log_in("brief", "");
    brief.expect("PONG");
    brief.expect("-ERR 'User Authentication Expired'");
    // Those that are in stay in.
    server
        .reload_config(
            "max_payload: 2000\nauthorization { timeout: 60, token: unused }\naccounts { B {} }",
        )
        .unwrap();
    bob.send("PING\r\n");
    bob.expect("PONG");
    // But not in an account that is gone.
    server.reload_config("max_payload: 2000").unwrap();
    bob.expect("-ERR 'Authorization Violation'");
    ann.send("PING\r\n");
    ann.expect("PONG");
    server.shutdown_blocking();
}

// Shows C-074.
#[test]
fn the_time_to_log_in_is_that_of_the_program_too() {
    let server = Server::builder()
        .config("authorization { timeout: 0.1, token: unused }")
        .unwrap()
        .logins(decide)
        .start_blocking()
        .unwrap();
    let mut slow = Peer::connect(&server);
    slow.send("CONNECT {\"verbose\":false,\"user\":\"slow\"}\r\n");
    slow.expect("-ERR 'Authentication Timeout'");
    server.shutdown_blocking();
}

// Shows C-203.
#[test]
fn options_change_while_the_server_runs() {
    let server = Server::builder().jetstream_in_memory().start_blocking().unwrap();
    let mut peer = Peer::open(&server);
    server.reload_config("max_payload: 10\nserver_tags: [a]").unwrap();
    assert_eq!(server.options().max_payload, 10);
    peer.send("PUB a 11\r\n");
    peer.expect("-ERR 'Maximum Payload Violation'");
    // JetStream, host and port stayed.
    let mut peer = Peer::open(&server);
    assert!(peer.request("$JS.API.INFO", "").get("memory").is_some());
    let mut options = (*server.options()).clone();
    options.authorization.token = Some("t".into());
    server.reload_options(options).unwrap();
    peer.expect("-ERR 'Authorization Violation'");
    for (text, error) in [
        ("server_name: other", "config reload not supported for ServerName: old=, new=other"),
        ("nonsense: 1", "config:1:0: unknown field \"nonsense\""),
        (
            "max_payload: 2MB, max_pending: 1MB",
            "max_payload (2097152) cannot be higher than max_pending (1048576)",
        ),
    ] {
        assert_eq!(server.reload_config(text).unwrap_err(), error);
    }
    assert_eq!(server.options().authorization.token.as_deref(), Some("t"), "nothing changed");
    server.shutdown_blocking();
}
