//! What a server's monitoring port tells.

use std::io::{Read, Write};
use std::net::TcpStream;

/// The object behind a path.
pub(crate) fn get(url: &str, path: &str) -> serde_json::Value {
    let mut socket = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{path}: {head}");
    serde_json::from_str(body).unwrap()
}
