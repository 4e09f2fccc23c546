//! A client that speaks lines, for the tests of the server from outside and from inside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Server;

/// A client that speaks lines.
pub(crate) struct Peer {
    pub(crate) input: BufReader<TcpStream>,
    pub(crate) output: TcpStream,
    pub(crate) info: serde_json::Value,
}

impl Peer {
    pub(crate) fn connect(server: &Server) -> Self {
        let address = server.client_url().replace("nats://", "");
        let output = TcpStream::connect(address).unwrap();
        output.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let input = BufReader::new(output.try_clone().unwrap());
        let mut peer = Peer { input, output, info: serde_json::Value::Null };
        let line = peer.line();
        peer.info = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        peer
    }

    pub(crate) fn open(server: &Server) -> Self {
        let mut peer = Self::connect(server);
        peer.send(
            "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n",
        );
        peer.expect("PONG");
        peer
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.output.write_all(bytes.as_ref()).unwrap();
    }

    /// The next line. The server's own PINGs, which come when two seconds are over, are answered.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.input.read_line(&mut line).unwrap();
            match line.trim_end_matches("\r\n") {
                "PING" => self.send("PONG\r\n"),
                line => return line.to_owned(),
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.input.read_to_end(&mut rest).is_ok() && matches!(&rest[..], b"" | b"PING\r\n")
    }
}

impl Peer {
    /// Publishes with a reply and returns the answer, which must be no error.
    #[track_caller]
    pub(crate) fn request(&mut self, subject: &str, body: &str) -> serde_json::Value {
        let answer = self.ask(subject, body);
        assert_eq!(answer["error"], serde_json::Value::Null);
        answer
    }

    /// Publishes with a reply and returns the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, subject: &str, body: &str) -> serde_json::Value {
        self.send(format!(
            "SUB answer 99\r\nUNSUB 99 1\r\nPUB {subject} answer {}\r\n{body}\r\n",
            body.len()
        ));
        let line = self.line();
        assert!(line.starts_with("MSG answer 99 "), "{line:?}");
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Reads `count` messages of one line each.
    #[track_caller]
    pub(crate) fn messages(&mut self, count: usize) {
        for number in 0..count {
            let line = self.line();
            assert!(line.starts_with("MSG "), "{line:?} after {number} messages");
            self.line();
        }
    }
}
