//! The WebSocket listener, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use natterjack_server::Server;

use super::certificates::Authority;

const MASK: [u8; 4] = [1, 2, 3, 4];

fn server(block: &str, rest: &str) -> Server {
    let text = format!(
        "host: 127.0.0.1, port: -1, http: \"127.0.0.1:-1\", {rest}\n\
         websocket {{ port: -1, {block} }}"
    );
    Server::builder().config(&text).unwrap().start_blocking().unwrap()
}

/// A client that speaks frames.
struct Browser {
    socket: TcpStream,
    head: String,
    bytes: Vec<u8>,
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

impl Browser {
    fn request(server: &Server, fields: &str) -> Self {
        let url = server.websocket_url().unwrap();
        let mut socket = TcpStream::connect(url.rsplit_once('/').unwrap().1).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            socket,
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        )
        .unwrap();
        let mut browser = Browser { socket, head: String::new(), bytes: Vec::new() };
        let end = loop {
            if let Some(at) = browser.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !browser.fill() {
                break browser.bytes.len();
            }
        };
        browser.head = String::from_utf8(browser.bytes.drain(..end).collect()).unwrap();
        browser
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 65536];
        let count = self.socket.read(&mut piece).unwrap_or(0);
        self.bytes.extend_from_slice(&piece[..count]);
        count > 0
    }

    /// The next frame. The server's own PINGs, which come when two seconds are over, are answered.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any_frame()?;
            if frame.payload != b"PING\r\n" {
                return Some(frame);
            }
            self.send("PONG\r\n");
        }
    }

    fn any_frame(&mut self) -> Option<Frame> {
        loop {
            let have = &self.bytes;
            let sized = match have.get(1) {
                Some(126) if have.len() >= 4 => {
                    Some((4, usize::from(u16::from_be_bytes([have[2], have[3]]))))
                }
                Some(127) if have.len() >= 10 => {
                    Some((10, u64::from_be_bytes(have[2..10].try_into().unwrap()) as usize))
                }
                Some(length @ 0..=125) => Some((2, usize::from(*length))),
                _ => None,
            };
            if let Some((at, length)) = sized
                && have.len() >= at + length
            {
                let frame: Vec<u8> = self.bytes.drain(..at + length).collect();
                return Some(Frame { first: frame[0], payload: frame[at..].to_vec() });
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The text of the next frames up to its end.
    fn text(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let frame = self.frame().unwrap();
            assert_eq!(frame.first, 0x82, "after {text:?}");
            text.push_str(std::str::from_utf8(&frame.payload).unwrap());
        }
        text
    }

    fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        if payload.len() < 126 {
            frame = vec![first, 0x80 | payload.len() as u8];
        }
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.socket.write_all(&frame).unwrap();
    }

    fn send(&mut self, text: &str) {
        self.send_frame(0x82, text.as_bytes());
    }

    fn info(&mut self) -> serde_json::Value {
        let text = self.text("\r\n");
        serde_json::from_str(text.strip_prefix("INFO ").unwrap()).unwrap()
    }

    /// CONNECT with these options; what comes up to the end of the next line.
    fn connect(&mut self, options: &str) -> String {
        self.send(&format!("CONNECT {{\"verbose\":false{options}}}\r\nPING\r\n"));
        self.text("\r\n")
    }
}

#[test]
fn messages_cross_between_websockets_and_plain_clients() {
    let server = server("no_tls: true", "");
    let mut plain = super::Peer::open(&server);
    let mut browser = Browser::request(&server, "");
    assert_eq!(
        browser.head,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let info = browser.info();
    let port = server.websocket_url().unwrap().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    assert_eq!(info["port"], port);
    assert_eq!(info["tls_required"], serde_json::Value::Null);
    assert!(browser.connect("").starts_with("PONG\r\n"));
    browser.send("SUB a 1\r\nPING\r\n");
    while !browser.text("\r\n").ends_with("PONG\r\n") {}
    plain.send("SUB b 1\r\nPUB a 5\r\nhello\r\nPING\r\n");
    plain.expect("PONG");
    assert_eq!(browser.text("hello\r\n"), "MSG a 1 5\r\nhello\r\n");
    // One operation in pieces, text frames, a ping between them.
    browser.send_frame(0x01, b"PUB b ");
    browser.send_frame(0x89, b"are you there?");
    browser.send_frame(0x80, b"2\r\nhi\r\n");
    assert_eq!(browser.frame(), Some(Frame { first: 0x8a, payload: b"are you there?".to_vec() }));
    plain.expect("MSG b 1 2");
    plain.expect("hi");
    server.shutdown_blocking();
}

#[test]
fn connections_end_with_a_close_frame() {
    let server = server("no_tls: true", "authorization {token: t}");
    let mut browser = Browser::request(&server, "");
    browser.info();
    assert_eq!(browser.connect(",\"auth_token\":\"x\""), "-ERR 'Authorization Violation'\r\n");
    let close = browser.frame().unwrap();
    assert_eq!((close.first, &close.payload[..]), (0x88, &b"\x03\xf0Authentication Failure"[..]));
    assert_eq!(browser.frame(), None);
    let mut browser = Browser::request(&server, "");
    browser.info();
    browser.send_frame(0x88, b"\x03\xe8bye");
    assert_eq!(browser.frame(), Some(Frame { first: 0x88, payload: b"\x03\xe8bye".to_vec() }));
    assert_eq!(browser.frame(), None);
    for (frame, why) in [
        (&b"\x82\x04PING"[..], &b"mask bit missing"[..]),
        (b"\x83\x80\x00\x00\x00\x00", b"unknown opcode 3"),
    ] {
        let mut browser = Browser::request(&server, "");
        browser.info();
        browser.socket.write_all(frame).unwrap();
        let close = browser.frame().unwrap();
        assert_eq!((close.first, &close.payload[..2]), (0x88, &b"\x03\xea"[..]));
        assert_eq!(&close.payload[2..], why);
    }
    let mut browser = Browser::request(&server, "");
    browser.info();
    assert!(browser.connect(",\"auth_token\":\"t\"").starts_with("PONG"));
    browser.send("PING\r\n");
    while !browser.text("\r\n").ends_with("PONG\r\n") {}
    server.shutdown_blocking();
    let close = browser.frame().unwrap();
    assert_eq!((close.first, &close.payload[..]), (0x88, &b"\x03\xe9Server Shutdown"[..]));
}

#[test]
fn messages_are_compressed_and_cut_for_browsers() {
    let server = server("no_tls: true, compression: true", "");
    let mut browser = Browser::request(
        &server,
        "Sec-WebSocket-Extensions: permessage-deflate\r\nUser-Agent: Mozilla/5.0\r\n",
    );
    assert!(browser.head.contains(
        "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n"
    ));
    assert_eq!(browser.frame().unwrap().first, 0xc2, "INFO is long enough");
    // CONNECT and a SUB, deflated with flate2: this is what a browser does.
    let mut deflater = flate2::Compress::new(flate2::Compression::default(), false);
    let mut deflated = Vec::with_capacity(1000);
    let text = b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nSUB a 1\r\nPING\r\n";
    deflater.compress_vec(text, &mut deflated, flate2::FlushCompress::Sync).unwrap();
    browser.send_frame(0xc2, deflated.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap());
    assert_eq!(browser.frame().unwrap().first, 0xc2, "PONG and the second INFO in one");
    let mut plain = super::Peer::open(&server);
    // Noise does not become smaller, and the frames of one message are cut.
    let mut state = 88_172_645_463_325_252_u64;
    let noise: Vec<u8> = (0..9000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    plain.send(format!("PUB a {}\r\n", noise.len()));
    plain.send(&noise);
    plain.send("\r\nPING\r\n");
    plain.expect("PONG");
    let mut message = Vec::new();
    loop {
        let frame = browser.frame().unwrap();
        assert!(frame.payload.len() <= 4096);
        assert_eq!(frame.first & 0x7f, if message.is_empty() { 0x42 } else { 0 });
        message.extend_from_slice(&frame.payload);
        if frame.first & 0x80 != 0 {
            break;
        }
    }
    message.extend_from_slice(&[0, 0, 0xff, 0xff]);
    let mut inflated = Vec::with_capacity(20_000);
    flate2::Decompress::new(false)
        .decompress_vec(&message, &mut inflated, flate2::FlushDecompress::Sync)
        .unwrap();
    assert!(inflated.starts_with(b"MSG a 1 9000\r\n") && inflated.ends_with(b"\r\n"));
    assert!(inflated[14..9014] == noise[..]);
    server.shutdown_blocking();
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut deflater = flate2::Compress::new(flate2::Compression::default(), false);
    let mut deflated = Vec::with_capacity(text.len() + 100);
    deflater.compress_vec(text, &mut deflated, flate2::FlushCompress::Sync).unwrap();
    deflated.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_owned()
}

#[test]
fn a_reload_changes_what_may_be_inflated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.conf");
    let write = |max: u64| {
        let text = format!(
            "host: 127.0.0.1, port: -1, max_payload: {max}\n\
             websocket {{ port: -1, no_tls: true, compression: true }}"
        );
        std::fs::write(&file, text).unwrap();
    };
    write(200);
    let server = Server::builder().config_file(&file).unwrap().start_blocking().unwrap();
    let enter = || {
        let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut browser = Browser::request(&server, extension);
        browser.frame().unwrap();
        browser.send_frame(0xc2, &deflated(b"CONNECT {\"verbose\":false}\r\nPING\r\n"));
        browser.frame().unwrap();
        browser
    };
    let message = deflated(format!("PUB a 400\r\n{}\r\nPING\r\n", "x".repeat(400)).as_bytes());
    let mut browser = enter();
    write(2000);
    server.reload().unwrap();
    browser.send("PING\r\n");
    assert_eq!(browser.text("\r\n"), "PONG\r\n");
    browser.send_frame(0xc2, &message);
    assert_eq!(browser.text("\r\n"), "PONG\r\n");
    write(200);
    server.reload().unwrap();
    browser.send("PING\r\n");
    assert_eq!(browser.text("\r\n"), "PONG\r\n");
    browser.send_frame(0xc2, &message);
    let close = browser.frame().unwrap();
    assert_eq!((close.first, &close.payload[2..]), (0x88, &b"compressed message too large"[..]));
    server.shutdown_blocking();
}

#[test]
fn what_is_no_handshake_gets_an_answer_of_http() {
    let server = server("no_tls: true, same_origin: true", "");
    let browser = Browser::request(&server, "Origin: http://elsewhere\r\n");
    assert!(browser.head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{}", browser.head);
    assert!(browser.head.contains("\r\nSec-Websocket-Version: 13\r\n"));
    let mut browser = Browser::request(&server, "Origin: http://h\r\n");
    assert_eq!(browser.info()["headers"], true);
    server.shutdown_blocking();
}

#[test]
fn frames_without_masks_and_headers_of_the_configuration() {
    let server = server("no_tls: true, headers {X-Who: us}", "");
    let mut browser = Browser::request(&server, "Nats-No-Masking: true\r\n");
    assert!(
        browser.head.contains("\r\nNats-No-Masking: true\r\nX-Who: us\r\n"),
        "{}",
        browser.head
    );
    browser.info();
    browser.socket.write_all(b"\x82\x06PING\r\n").unwrap();
    assert!(browser.text("\r\n").starts_with("PONG"));
    server.shutdown_blocking();
}

#[test]
fn cookies_log_in() {
    let users = "authorization {users [{user: me, password: p}]}";
    let server = server("no_tls: true, user_cookie: u, pass_cookie: p", users);
    let mut browser = Browser::request(&server, "Cookie: u=me; p=p\r\n");
    assert_eq!(browser.info()["auth_required"], true);
    assert!(browser.connect("").starts_with("PONG"));
    let mut browser = Browser::request(&server, "Cookie: u=me; p=other\r\n");
    browser.info();
    assert!(browser.connect("").starts_with("-ERR 'Authorization Violation'"));
    let mut browser = Browser::request(&server, "Cookie: u=me; p=other\r\n");
    browser.info();
    let own = browser.connect(",\"user\":\"me\",\"pass\":\"p\"");
    assert!(own.starts_with("PONG"), "what CONNECT says wins: {own}");
    server.shutdown_blocking();
}

#[test]
fn users_may_be_for_websockets_only() {
    let users = "authorization {users [
        {user: ws, password: p, allowed_connection_types: [WEBSOCKET]}, {user: any, password: p}
    ]}";
    let server = server("no_tls: true, no_auth_user: ws", users);
    let mut browser = Browser::request(&server, "");
    assert_eq!(browser.info()["auth_required"], true);
    assert!(browser.connect("").starts_with("PONG"));
    let mut plain = super::Peer::connect(&server);
    assert_eq!(plain.info["auth_required"], true);
    plain.send("CONNECT {\"user\":\"ws\",\"pass\":\"p\"}\r\n");
    plain.expect("-ERR 'Authorization Violation'");
    server.shutdown_blocking();
}

#[test]
fn websockets_may_be_secure() {
    let authority = Authority::new();
    let directory = authority.directory().display();
    let block = format!(
        "tls {{cert_file: \"{directory}/server.pem\", key_file: \"{directory}/server-key.pem\"}}"
    );
    let server = server(&block, "");
    let url = server.websocket_url().unwrap();
    assert!(url.starts_with("wss://"));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let options =
            async_nats::ConnectOptions::new().add_root_certificates(authority.path("ca.pem"));
        let client = options.connect(&url).await.unwrap();
        let mut messages = client.subscribe("a").await.unwrap();
        let body = vec![7; 500_000];
        client.publish("a", body.clone().into()).await.unwrap();
        let message = futures_util::StreamExt::next(&mut messages).await.unwrap();
        assert!(message.payload[..] == body[..]);
        assert!(client.server_info().tls_required);
    });
    let missing = Server::builder().config("host: 127.0.0.1, websocket {port: -1}").unwrap();
    let error = missing.start_blocking().err().unwrap().to_string();
    assert_eq!(error, "websocket requires TLS configuration");
    server.shutdown_blocking();
}

#[test]
fn websockets_may_be_pinged_at_an_interval_of_their_own() {
    let server = server("no_tls: true, ping_interval: \"20ms\"", "");
    let mut browser = Browser::request(&server, "");
    browser.info();
    let ping = Frame { first: 0x82, payload: b"PING\r\n".to_vec() };
    assert_eq!(browser.any_frame(), Some(ping), "the top-level interval is two minutes");
    server.shutdown_blocking();
}

#[test]
fn a_peer_that_asks_and_never_reads_is_closed() {
    let server = server("no_tls: true", "");
    let mut browser = Browser::request(&server, "");
    browser.info();
    let ping = [&b"\x89\xfd\x00\x00\x00\x00"[..], &[7; 125]].concat().repeat(1000);
    // Far more answers than the buffers of both sides hold.
    let is_closed = (0..1000).any(|_| browser.socket.write_all(&ping).is_err());
    assert!(is_closed);
    let mut plain = super::Peer::open(&server);
    plain.send("PING\r\n");
    plain.expect("PONG");
    server.shutdown_blocking();
}
