//! Monitoring ports of servers: JSON over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::exit::{Failure, status};

/// An answer is no larger: some hundred thousand connections.
const BODY_MAX: usize = 256 << 20;

/// The port of a server that was started with `-m 8222`.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:8222";

/// A monitoring port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Monitor {
    /// As in the Host header.
    host: String,
    /// What stands before each path; no slash at its end.
    base: String,
    limit: Duration,
}

impl Monitor {
    /// Reads `http://host:port[/base]`, `host:port` or a port.
    ///
    /// # Errors
    /// Another scheme; no port.
    pub(crate) fn new(url: &str, limit: Duration) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::usage(format!("bad monitoring address `{url}`: {why}"))
                .hint("as in http://127.0.0.1:8222")
        };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(bad("only http is supported yet")),
            Some(_) => return Err(bad("unknown scheme")),
            None => url,
        };
        let (host, base) = rest.split_once('/').unwrap_or((rest, ""));
        let host = match host.parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) => host.to_owned(),
        };
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => {}
            _ => return Err(bad("there is no port")),
        }
        let base = match base.trim_end_matches('/') {
            "" => String::new(),
            base => format!("/{base}"),
        };
        Ok(Self { host, base, limit })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.host
    }

    /// The object behind `path`, whatever the status is.
    ///
    /// # Errors
    /// Nobody listens; the answer takes too long or is no JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, Value), Failure> {
        let failed = |code, exit, why: String| {
            let text = format!("monitoring port {}: {why}", self.host);
            Failure::new(exit, code, text)
                .hint("start the server with -m 8222, or name its port with --monitor")
        };
        let asked = tokio::time::timeout(self.limit, self.ask(path)).await;
        let (code, body) = match asked {
            Err(_) => return Err(failed("monitor.timeout", status::TIMEOUT, "no answer".into())),
            Ok(Err(why)) => return Err(failed("monitor.unreachable", 3, why)),
            Ok(Ok(answer)) => answer,
        };
        let value = serde_json::from_slice(&body).map_err(|_| {
            failed("monitor.bad_reply", status::FAILED, format!("{path} is no JSON ({code})"))
        })?;
        Ok((code, value))
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            _ => error.to_string(),
        };
        let stream = TcpStream::connect(&self.host).await.map_err(io)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        // Ends with the answer; why it ended is told by the answer, too.
        let connection = tokio::spawn(connection);
        let request = Request::get(format!("{}{path}", self.base))
            .header(HOST, &self.host)
            .header(ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let code = answer.status();
        let body = Limited::new(answer.into_body(), BODY_MAX).collect().await;
        connection.abort();
        Ok((code, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_each_form() {
        let read = |text: &str| {
            let monitor = Monitor::new(text, Duration::ZERO).ok()?;
            Some((monitor.host, monitor.base))
        };
        for (text, host, base) in [
            ("http://a:1", "a:1", ""),
            ("http://a:1/", "a:1", ""),
            ("http://a:1/base/", "a:1", "/base"),
            ("[::1]:8222", "[::1]:8222", ""),
            ("8222", "127.0.0.1:8222", ""),
        ] {
            assert_eq!(read(text), Some((host.to_owned(), base.to_owned())), "{text}");
        }
        for text in ["https://a:1", "ftp://a:1", "a", "http://a", "a:x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
