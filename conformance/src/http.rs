//! As much HTTP as asking the monitoring port takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Asks for a path; answers status and body.
pub(crate) fn get(port: u16, path: &str) -> Result<(u16, Vec<u8>), String> {
    let limit = Duration::from_secs(5);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let fail = |e: std::io::Error| format!("http: {e}");
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(fail)?;
    stream.set_read_timeout(Some(limit)).map_err(fail)?;
    // HTTP/1.0, so that the body comes unchunked and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(fail)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(fail)?;
    parse(&answer)
        .ok_or_else(|| format!("no answer in HTTP: {:?}", String::from_utf8_lossy(&answer)))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_has_status_and_body() {
        let answer = b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno";
        assert_eq!(parse(answer), Some((404, b"no".to_vec())));
        assert_eq!(parse(b"nonsense"), None);
    }
}
