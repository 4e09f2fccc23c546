//! Account JWTs from a web server: `GET <url>/<account>` answers with the token (core.md 3.8).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use natterjack_config::options::Tls;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::transport::tls;

/// How long an answer may take, as in nats-server 2.15.1.
const TIMEOUT: Duration = Duration::from_millis(1900);
/// The longest answer. Accounts of this size have thousands of exports.
const ANSWER_BYTES: usize = 1 << 20;

/// Where account JWTs are asked for.
pub(super) struct Web {
    /// As configured, without a password, for the log.
    shown: String,
    host: String,
    port: u16,
    /// Of the base; ends in `/`.
    path: String,
    /// `Authorization`, if the address names a user.
    login: Option<HeaderValue>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Web {
    /// Reads the address.
    ///
    /// # Errors
    /// It is none, or its TLS cannot be used.
    pub(super) fn new(url: &str, tls: Option<&Tls>) -> Result<Self, String> {
        let wrong = || format!("error parsing account resolver url [{url:?}]");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_secure = uri.scheme_str() == Some("https");
        let authority = uri.authority().ok_or_else(wrong)?.as_str();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        // Always with a password, as Go sends it.
        let login = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let pair = [unescaped(name), b":".to_vec(), unescaped(password)].concat();
            format!("Basic {}", BASE64.encode(&pair))
        });
        let tls = match is_secure {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                Some((Arc::new(tls::client_config(tls)?), name))
            }
        };
        let shown = match user.and_then(|user| user.split_once(':')) {
            Some((_, password)) if !password.is_empty() => {
                url.replacen(&format!(":{password}@"), ":xxxxx@", 1)
            }
            _ => url.to_owned(),
        };
        let end = |text: &str| if text.ends_with('/') { "" } else { "/" };
        Ok(Web {
            shown: format!("{shown}{}", end(&shown)),
            port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            host,
            path: format!("{}{}", uri.path(), end(uri.path())),
            login: login.map(|login| login.parse().map_err(|_| wrong())).transpose()?,
            tls,
        })
    }

    /// Gets the JWT of an account; with an empty id asks whether anybody is there.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(super) async fn get(&self, id: &str) -> Result<String, String> {
        let answer = tokio::time::timeout(TIMEOUT, self.ask(id)).await;
        let answer = answer.unwrap_or_else(|_| Err("timeout".to_owned()));
        answer.map_err(|error| format!("could not fetch <\"{}{id}\">: {error}", self.shown))
    }

    async fn ask(&self, id: &str) -> Result<String, String> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await;
        let socket =
            socket.map_err(|error| format!("dial tcp {}:{}: {error}", self.host, self.port))?;
        match &self.tls {
            None => self.exchange(TokioIo::new(socket), id).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                let secure = connector.connect(name.clone(), socket).await;
                let secure = secure.map_err(|error| error.to_string())?;
                self.exchange(TokioIo::new(secure), id).await
            }
        }
    }

    /// One request on a connection of its own: accounts are asked for seldom.
    async fn exchange<I>(&self, io: I, id: &str) -> Result<String, String>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let text = |error: hyper::Error| error.to_string();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(text)?;
        let mut request = Request::get(format!("{}{id}", self.path))
            .header(HOST, self.host_header())
            .header(USER_AGENT, concat!("natterjack/", env!("CARGO_PKG_VERSION")));
        if let Some(login) = &self.login {
            request = request.header(AUTHORIZATION, login);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(text)?;
            let status = answer.status();
            if status != StatusCode::OK {
                let reason = status.canonical_reason().unwrap_or_default();
                return Err(format!("{} {reason}", status.as_u16()));
            }
            let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            String::from_utf8(body.to_vec()).map_err(|error| error.to_string())
        };
        // The connection ends with the exchange: nothing of it outlives this call.
        tokio::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        let mut is_open = true;
        loop {
            tokio::select! {
                outcome = &mut exchange => return outcome,
                // Its errors come out of the exchange as well.
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }

    fn host_header(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.port, self.tls.is_some()) {
            (80, false) | (443, true) => host,
            (port, _) => format!("{host}:{port}"),
        }
    }
}

/// What `%40` and the like stand for. What is none is left as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| first == b'%');
        match escaped.and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request with this text, and tells what it was.
    async fn serve(listener: TcpListener, answer: String) -> String {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).await.unwrap();
            request.push(byte[0]);
        }
        // The client may have seen enough before the end.
        let _ = socket.write_all(answer.as_bytes()).await;
        String::from_utf8(request).unwrap()
    }

    async fn ask(answer: &str, id: &str) -> (Result<String, String>, String, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let web = Web::new(&format!("http://u:secret@127.0.0.1:{port}/jwt/v1"), None).unwrap();
        let (got, request) = tokio::join!(web.get(id), serve(listener, answer.to_owned()));
        (got, request, port)
    }

    #[tokio::test]
    async fn a_token_is_what_is_answered() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\neyJ";
        let (got, request, port) = ask(answer, "ABC").await;
        assert_eq!(got.unwrap(), "eyJ");
        assert!(request.starts_with("GET /jwt/v1/ABC HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{request}");
        assert!(request.contains("authorization: Basic dTpzZWNyZXQ=\r\n"), "{request}");
    }

    #[tokio::test]
    async fn what_is_no_token_is_told_without_the_password() {
        let (got, _, port) = ask("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "A").await;
        let expected = format!(
            "could not fetch <\"http://u:xxxxx@127.0.0.1:{port}/jwt/v1/A\">: 404 Not Found"
        );
        assert_eq!(got.unwrap_err(), expected);
        let long = ANSWER_BYTES + 1;
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {long}\r\n\r\n{}", "x".repeat(long));
        let (got, ..) = ask(&answer, "A").await;
        assert!(got.unwrap_err().ends_with("length limit exceeded"));
    }

    #[test]
    fn users_and_passwords_are_those_that_the_address_means() {
        for (user, login) in [
            ("u:p", "u:p"),
            ("u", "u:"),
            ("u%40home:p%2Fa%3as", "u@home:p/a:s"),
            ("50%:%zz%4", "50%:%zz%4"),
        ] {
            let web = Web::new(&format!("http://{user}@localhost:1/x"), None).unwrap();
            let expected = format!("Basic {}", BASE64.encode(login.as_bytes()));
            assert_eq!(web.login.unwrap(), expected, "{user}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let web = Web::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
        let error = web.get("").await.unwrap_err();
        let start =
            format!("could not fetch <\"http://127.0.0.1:{port}/\">: dial tcp 127.0.0.1:{port}");
        assert!(error.starts_with(&start), "{error}");
    }
}
