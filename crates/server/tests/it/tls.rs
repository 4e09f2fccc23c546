//! TLS of the client listener, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use natterjack_server::Server;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::certificates::Authority;

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn server(authority: &Authority, tls: &str, rest: &str) -> Server {
    let directory = authority.directory().display();
    let text = format!(
        "host: 127.0.0.1, port: -1, {rest}\n\
         tls {{ cert_file: \"{directory}/server.pem\", key_file: \"{directory}/server-key.pem\", {tls} }}"
    );
    Server::builder().config(&text).unwrap().start_blocking().unwrap()
}

fn dial(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.client_url().replace("tls://", "")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Reads one line in clear, byte by byte: what follows is TLS.
fn clear_line(socket: &mut TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while socket.read(&mut byte).unwrap() == 1 {
        line.push(byte[0]);
        if byte[0] == b'\n' {
            break;
        }
    }
    String::from_utf8(line).unwrap()
}

fn info(line: &str) -> serde_json::Value {
    serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap()
}

fn secure(authority: &Authority, socket: TcpStream, show: Option<&str>) -> Secure {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(authority.client(show), name).unwrap(), socket)
}

/// A line of what the server sends through TLS. Its own PINGs, which come when two seconds are over, are
/// answered.
fn line(stream: &mut BufReader<Secure>) -> String {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end() {
            "PING" => stream.get_mut().write_all(b"PONG\r\n").unwrap(),
            line => return line.to_owned(),
        }
    }
}

/// INFO in clear, TLS, and a login.
fn connect(
    authority: &Authority,
    server: &Server,
    show: Option<&str>,
) -> (serde_json::Value, std::io::Result<BufReader<Secure>>) {
    let mut socket = dial(server);
    let info = info(&clear_line(&mut socket));
    let mut stream = secure(authority, socket, show);
    let outcome = stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").and_then(|()| {
        let mut stream = BufReader::new(stream);
        match stream.fill_buf()?.is_empty() {
            true => Err(std::io::ErrorKind::UnexpectedEof.into()),
            false => Ok(stream),
        }
    });
    (info, outcome)
}

#[test]
fn info_comes_in_clear_and_everything_else_is_encrypted() {
    let authority = Authority::new();
    let server = server(&authority, "", "");
    let (info, stream) = connect(&authority, &server, None);
    assert_eq!(info["tls_required"], true);
    assert_eq!((&info["tls_available"], &info["tls_verify"]), (&().into(), &().into()));
    let mut stream = stream.unwrap();
    assert_eq!(line(&mut stream), "PONG");
    // Larger than a record, than a write of the tunnel, and than what sockets hold.
    let body = "x".repeat(900_000);
    let text = format!("SUB big 1\r\nPUB big {}\r\n{body}\r\nPING\r\n", body.len());
    stream.get_mut().write_all(text.as_bytes()).unwrap();
    while line(&mut stream).starts_with("INFO") {}
    assert_eq!(line(&mut stream), body);
    assert_eq!(line(&mut stream), "PONG");
    server.shutdown_blocking();
}

#[test]
fn a_client_without_tls_is_closed_without_a_word() {
    let authority = Authority::new();
    let server = server(&authority, "timeout: 0.1", "");
    for says in [&b"CONNECT {}\r\nPING\r\n"[..], b""] {
        let mut socket = dial(&server);
        assert!(clear_line(&mut socket).starts_with("INFO "));
        socket.write_all(says).unwrap();
        let mut rest = Vec::new();
        // With bytes unread the system may say that the connection was reset.
        let _ = socket.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
    server.shutdown_blocking();
}

#[test]
fn the_handshake_may_come_first() {
    let authority = Authority::new();
    let server = server(&authority, "handshake_first: true", "");
    let mut stream = BufReader::new(secure(&authority, dial(&server), None));
    assert_eq!(info(&line(&mut stream))["tls_required"], true);
    stream.get_mut().write_all(b"PING\r\n").unwrap();
    assert_eq!(line(&mut stream), "PONG");
    server.shutdown_blocking();
}

#[test]
fn handshake_first_falls_back_to_info() {
    let authority = Authority::new();
    // Long enough for a client that speaks at once, however busy the machine is.
    let server = server(&authority, "handshake_first: \"2s\", timeout: 10", "");
    let mut first = BufReader::new(secure(&authority, dial(&server), None));
    first.get_mut().write_all(b"PING\r\n").unwrap();
    assert!(line(&mut first).starts_with("INFO "), "through TLS");
    assert_eq!(line(&mut first), "PONG");
    let (info, second) = connect(&authority, &server, None);
    assert_eq!(info["tls_required"], true);
    assert_eq!(line(&mut second.unwrap()), "PONG");
    server.shutdown_blocking();
}

#[test]
fn clients_without_tls_may_be_admitted() {
    let authority = Authority::new();
    let server = server(&authority, "", "allow_non_tls: true");
    let mut plain = dial(&server);
    let said = info(&clear_line(&mut plain));
    assert_eq!((&said["tls_available"], &said["tls_required"]), (&true.into(), &().into()));
    plain.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    assert_eq!(clear_line(&mut plain), "PONG\r\n");
    let (_, stream) = connect(&authority, &server, None);
    assert_eq!(line(&mut stream.unwrap()), "PONG");
    server.shutdown_blocking();
}

#[test]
fn a_certificate_may_be_demanded() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue_for("client", "me@example.com");
    let tls = format!("verify: true, ca_file: \"{}\"", authority.path("ca.pem").display());
    let server = server(&authority, &tls, "http: \"127.0.0.1:-1\"");
    let (info, stream) = connect(&authority, &server, Some("client"));
    assert_eq!(info["tls_verify"], true);
    assert_eq!(line(&mut stream.unwrap()), "PONG");
    assert!(connect(&authority, &server, None).1.is_err(), "none");
    other.issue_for("client", "me@example.com");
    std::fs::copy(other.path("client.pem"), authority.path("foreign.pem")).unwrap();
    std::fs::copy(other.path("client-key.pem"), authority.path("foreign-key.pem")).unwrap();
    assert!(connect(&authority, &server, Some("foreign")).1.is_err(), "of another authority");
    server.shutdown_blocking();
}

#[test]
fn a_certificate_names_its_user() {
    let authority = Authority::new();
    authority.issue_for("email", "me@example.com");
    authority.issue("dns", &["host.example.com"], |_| {});
    authority.issue("dn", &[], |params| {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Toads");
    });
    authority.issue("stranger", &["unknown.example.com"], |_| {});
    let tls = format!("verify_and_map: true, ca_file: \"{}\"", authority.path("ca.pem").display());
    let users = r#"authorization { users [
        {user: "me@example.com"}, {user: "host.example.com"}, {user: "O=Toads, CN=dn"}
    ] }, http: "127.0.0.1:-1""#;
    let server = server(&authority, &tls, users);
    for (show, user) in
        [("email", "me@example.com"), ("dns", "host.example.com"), ("dn", "O=Toads, CN=dn")]
    {
        let (_, stream) = connect(&authority, &server, Some(show));
        let mut stream = stream.unwrap();
        assert_eq!(line(&mut stream), "PONG", "{show}");
        let shown = get(&server, "/connz?auth=1");
        let connection = &shown["connections"][0];
        assert_eq!(connection["authorized_user"], user, "{shown}");
        assert_eq!(connection["tls_version"], "1.3");
        assert!(connection["tls_cipher_suite"].as_str().unwrap().starts_with("TLS_AES_"));
        assert!(connection["tls_peer_certs"][0]["subject"].as_str().unwrap().contains("CN="));
        // Closed before the next one is looked up.
        drop(stream);
        while get(&server, "/connz")["num_connections"] != 0 {}
    }
    let (_, stream) = connect(&authority, &server, Some("stranger"));
    assert_eq!(line(&mut stream.unwrap()), "-ERR 'Authorization Violation'");
    server.shutdown_blocking();
}

/// Asks the monitoring port.
fn get(server: &Server, path: &str) -> serde_json::Value {
    let mut socket =
        TcpStream::connect(server.monitor_url().unwrap().replace("http://", "")).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn only_pinned_keys_are_admitted() {
    use sha2::Digest;
    let authority = Authority::new();
    let key = authority.issue("pinned", &[], |_| {});
    authority.issue("other", &[], |_| {});
    let pin = data_encoding::HEXUPPER.encode(&sha2::Sha256::digest(&key));
    let tls = format!(
        "verify: true, ca_file: \"{}\", pinned_certs: [\"{pin}\"]",
        authority.path("ca.pem").display()
    );
    let server = server(&authority, &tls, "");
    assert!(connect(&authority, &server, Some("pinned")).1.is_ok());
    assert!(connect(&authority, &server, Some("other")).1.is_err());
    server.shutdown_blocking();
}

#[test]
fn versions_suites_and_certificates_are_those_of_the_configuration() {
    let authority = Authority::new();
    authority.issue("elsewhere", &["elsewhere.example.com"], |_| {});
    let directory = authority.directory().display();
    let certificates = ["elsewhere", "server"].map(|name| {
        format!(
            "{{cert_file: \"{directory}/{name}.pem\", key_file: \"{directory}/{name}-key.pem\"}}"
        )
    });
    let text = format!(
        "host: 127.0.0.1, port: -1, http: \"127.0.0.1:-1\"\n\
         tls {{ certs: [{}], min_version: \"1.3\", curve_preferences: [CurveP384], \
         cipher_suites: [TLS_CHACHA20_POLY1305_SHA256] }}",
        certificates.join(", ")
    );
    let server = Server::builder().config(&text).unwrap().start_blocking().unwrap();
    // `localhost` is only in the second one.
    let (_, stream) = connect(&authority, &server, None);
    let stream = stream.unwrap();
    let session = &stream.get_ref().conn;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::secp384r1);
    let shown = get(&server, "/varz");
    assert_eq!((&shown["tls_required"], &shown["tls_timeout"]), (&true.into(), &2.0.into()));
    assert!(shown["tls_cert_not_after"].is_string());
    server.shutdown_blocking();
}

#[test]
fn handshakes_may_be_limited_per_second() {
    let authority = Authority::new();
    let server = server(&authority, "connection_rate_limit: 1", "");
    // Of three within a second two are refused; a slow machine may need more tries.
    let refused = (0..50).any(|_| {
        let mut socket = dial(&server);
        clear_line(&mut socket);
        let (answer, _) = (clear_line_until_close(&mut socket), ());
        answer == "-ERR 'Connection throttling is active. Please try again later.'\r\n"
    });
    assert!(refused);
    server.shutdown_blocking();
}

/// What comes in clear after INFO, if the server speaks before we do.
fn clear_line_until_close(socket: &mut TcpStream) -> String {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    String::from_utf8_lossy(&rest).into_owned()
}

#[test]
fn a_reload_changes_certificates_for_new_connections() {
    let authority = Authority::new();
    let directory = authority.directory().display().to_string();
    let config = authority.path("server.conf");
    let write = |name: &str| {
        let text = format!(
            "host: 127.0.0.1, port: -1\ntls {{cert_file: \"{directory}/{name}.pem\", \
             key_file: \"{directory}/{name}-key.pem\"}}"
        );
        std::fs::write(&config, text).unwrap();
    };
    write("server");
    let server = Server::builder().config_file(&config).unwrap().start_blocking().unwrap();
    let shown =
        |stream: &BufReader<Secure>| stream.get_ref().conn.peer_certificates().unwrap()[0].to_vec();
    let mut old = connect(&authority, &server, None).1.unwrap();
    assert_eq!(line(&mut old), "PONG");
    // The same files with new contents count as well.
    authority.issue("server", &["localhost"], |_| {});
    server.reload().unwrap();
    let new = connect(&authority, &server, None).1.unwrap();
    assert_ne!(shown(&old), shown(&new));
    old.get_mut().write_all(b"PING\r\n").unwrap();
    while line(&mut old) != "PONG" {}
    write("missing");
    let error = server.reload().unwrap_err();
    assert!(error.contains("error parsing X509 certificate/key pair: open "), "{error}");
    assert!(connect(&authority, &server, None).1.is_ok(), "as before");
    server.shutdown_blocking();
}

#[test]
fn monitoring_may_use_tls() {
    let authority = Authority::new();
    let server = server(&authority, "", "https: \"127.0.0.1:-1\"");
    let address = server.secure_monitor_url().unwrap().replace("https://", "");
    let mut stream = secure(&authority, TcpStream::connect(address).unwrap(), None);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.ends_with(b"{\"status\":\"ok\"}"), "{}", String::from_utf8_lossy(&answer));
    server.shutdown_blocking();
}

#[test]
fn async_nats_connects_with_and_without_info_first() {
    let authority = Authority::new();
    authority.issue_for("client", "me@example.com");
    for first in [false, true] {
        let tls = format!(
            "verify: true, ca_file: \"{}\", handshake_first: {first}",
            authority.path("ca.pem").display()
        );
        let server = server(&authority, &tls, "");
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                let mut options = async_nats::ConnectOptions::new()
                    .add_root_certificates(authority.path("ca.pem"))
                    .add_client_certificate(
                        authority.path("client.pem"),
                        authority.path("client-key.pem"),
                    )
                    .require_tls(true);
                if first {
                    options = options.tls_first();
                }
                let client = options.connect(server.client_url()).await.unwrap();
                let mut messages = client.subscribe("a").await.unwrap();
                client.publish("a", "hello".into()).await.unwrap();
                let message = futures_util::StreamExt::next(&mut messages).await.unwrap();
                assert_eq!(&message.payload[..], b"hello");
            },
        );
        server.shutdown_blocking();
    }
}
