//! The WebSocket handshake: whether a request is one, and what is answered (RFC 6455, nats-server 2.15.1).

use std::net::IpAddr;

use data_encoding::BASE64;
use natterjack_config::options::Websocket;
use sha1::{Digest, Sha1};

use super::websocket::{Cookies, Terms};

/// A request's head is no longer than this.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 128;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client that may go on.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// What to send.
    pub(crate) answer: Vec<u8>,
    /// What was agreed.
    pub(crate) terms: Terms,
    /// The address in `X-Forwarded-For`, if that is one address.
    pub(crate) forwarded_for: Option<IpAddr>,
    /// It asks for a leafnode connection.
    pub(crate) is_leafnode: bool,
}

/// A client that may not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    status: u16,
    /// Why, for the log.
    pub(crate) why: String,
}

impl Refused {
    fn new(status: u16, why: impl Into<String>) -> Self {
        Refused { status, why: why.into() }
    }

    /// What to send.
    pub(crate) fn answer(&self) -> Vec<u8> {
        let text = match self.status {
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Bad Request",
        };
        format!(
            "HTTP/1.1 {} {text}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
            self.status,
            text.len() + 1
        )
        .into_bytes()
    }
}

/// Where a request's head ends.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// A request's headers.
struct Head<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Head<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    fn first(&self, name: &str) -> &'a str {
        self.all(name).next().unwrap_or_default()
    }

    /// Whether a header that is a list has this member.
    fn lists(&self, name: &str, member: &str) -> bool {
        let mut members = self.all(name).flat_map(|value| value.split(','));
        members.any(|token| token.trim().eq_ignore_ascii_case(member))
    }

    fn cookie(&self, name: &Option<String>) -> Option<String> {
        let name = name.as_deref()?;
        let pairs = self.all("Cookie").flat_map(|value| value.split(';'));
        // Of several with this name the last one counts (nats-server 2.15.1).
        let (_, value) = pairs
            .filter_map(|pair| pair.trim().split_once('=').filter(|(known, _)| *known == name))
            .last()?;
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        Some(value.to_owned())
    }
}

/// Judges a request by its head.
pub(crate) fn judge(head: &[u8], options: &Websocket, is_tls: bool) -> Result<Accepted, Refused> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut slots);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refused::new(400, "request is not complete")),
        Err(error) => return Err(Refused::new(400, format!("malformed request: {error}"))),
    }
    let values = request.headers.iter();
    let fields = Head(
        values
            .filter_map(|field| Some((field.name, std::str::from_utf8(field.value).ok()?)))
            .collect(),
    );
    let target = request.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if path == "/mqtt" {
        return Err(Refused::new(404, "mqtt websocket endpoint not enabled"));
    }
    if request.method != Some("GET") {
        return Err(Refused::new(405, "request method must be GET"));
    }
    let host = fields.first("Host");
    if host.is_empty() {
        return Err(Refused::new(400, "'Host' missing in request"));
    }
    for (name, member) in [("Upgrade", "websocket"), ("Connection", "Upgrade")] {
        if !fields.lists(name, member) {
            return Err(Refused::new(400, format!("invalid value for header '{name}'")));
        }
    }
    let key = fields.first("Sec-WebSocket-Key");
    if key.is_empty() {
        return Err(Refused::new(400, "key missing"));
    }
    if !fields.lists("Sec-WebSocket-Version", "13") {
        return Err(Refused::new(400, "invalid version"));
    }
    // Clients of drafts of the protocol say it with the second name.
    let origins = ["Origin", "Sec-WebSocket-Origin"].map(|name| fields.first(name));
    let origin = origins.into_iter().find(|origin| !origin.is_empty()).unwrap_or_default();
    check_origin(origin, host, options, is_tls)
        .map_err(|why| Refused::new(403, format!("origin not allowed: {why}")))?;
    let mut offers = fields.all("Sec-WebSocket-Extensions").flat_map(|value| value.split(','));
    let offered = offers.any(|offer| {
        offer
            .split(';')
            .next()
            .is_some_and(|name| name.trim().eq_ignore_ascii_case("permessage-deflate"))
    });
    let terms = Terms {
        compression: options.compression && offered,
        no_masking: fields.first("Nats-No-Masking").eq_ignore_ascii_case("true"),
        browser: fields.first("User-Agent").starts_with("Mozilla/"),
        cookies: Cookies {
            jwt: fields.cookie(&options.jwt_cookie),
            user: fields.cookie(&options.user_cookie),
            pass: fields.cookie(&options.pass_cookie),
            token: fields.cookie(&options.token_cookie),
        },
    };
    Ok(Accepted {
        answer: answer(key, &terms, options),
        terms,
        forwarded_for: fields.first("X-Forwarded-For").parse().ok(),
        is_leafnode: path.ends_with("/leafnode"),
    })
}

fn answer(key: &str, terms: &Terms, options: &Websocket) -> Vec<u8> {
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(GUID);
    let accept = BASE64.encode(&digest.finalize());
    let mut text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    if terms.compression {
        text.push_str(
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
             client_no_context_takeover\r\n",
        );
    }
    if terms.no_masking {
        text.push_str("Nats-No-Masking: true\r\n");
    }
    for (name, value) in &options.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// An origin's scheme, host and port in lower case, with the scheme's default port.
fn split_origin(origin: &str) -> Option<(String, String, String)> {
    let (scheme, rest) = origin.split_once("://")?;
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = host_and_port(rest, scheme == "https")?;
    Some((scheme, host, port))
}

fn host_and_port(text: &str, is_tls: bool) -> Option<(String, String)> {
    let default = || if is_tls { "443" } else { "80" }.to_owned();
    let (host, port) = match text.rsplit_once(':') {
        // Not the last part of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port.to_owned()),
        _ => (text, default()),
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

fn check_origin(
    origin: &str,
    host: &str,
    options: &Websocket,
    is_tls: bool,
) -> Result<(), &'static str> {
    // No browser: nothing to protect its user from.
    if origin.is_empty() || (!options.same_origin && options.allowed_origins.is_empty()) {
        return Ok(());
    }
    let asked = split_origin(origin).ok_or("malformed")?;
    if options.same_origin {
        let own = host_and_port(host, is_tls).ok_or("malformed host")?;
        if own != (asked.1.clone(), asked.2.clone()) {
            return Err("not same origin");
        }
    }
    let mut allowed = options.allowed_origins.iter();
    if !options.allowed_origins.is_empty()
        && !allowed.any(|allowed| split_origin(allowed).as_ref() == Some(&asked))
    {
        return Err("not in the allowed list");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "Host: h:80\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

    fn request(line: &str, more: &str) -> Vec<u8> {
        format!("{line}\r\n{FIELDS}{more}\r\n").into_bytes()
    }

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let accepted = judge(&request("GET / HTTP/1.1", ""), &Websocket::default(), false).unwrap();
        assert_eq!(
            String::from_utf8(accepted.answer).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
        assert!(!accepted.is_leafnode && !accepted.terms.compression);
        let options = Websocket {
            compression: true,
            headers: vec![("X-A".into(), "b".into())],
            ..Websocket::default()
        };
        let more = "Sec-WebSocket-Extensions: foo, permessage-deflate; client_max_window_bits\r\n\
                    Nats-No-Masking: true\r\nUser-Agent: Mozilla/5.0\r\nX-Forwarded-For: 1.2.3.4\r\n";
        let accepted = judge(&request("GET /leafnode HTTP/1.1", more), &options, false).unwrap();
        assert!(String::from_utf8(accepted.answer).unwrap().ends_with(
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
             client_no_context_takeover\r\nNats-No-Masking: true\r\nX-A: b\r\n\r\n"
        ));
        assert!(accepted.is_leafnode && accepted.terms.browser && accepted.terms.no_masking);
        assert_eq!(accepted.forwarded_for, Some("1.2.3.4".parse().unwrap()));
        let listed = request("GET / HTTP/1.0", "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n");
        assert_eq!(judge(&listed, &options, false).unwrap().forwarded_for, None);
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let without = |field: &str| {
            let text = String::from_utf8(request("GET / HTTP/1.1", "")).unwrap();
            let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with(field));
            lines.collect::<String>().into_bytes()
        };
        for (request, status, why) in [
            (request("POST / HTTP/1.1", ""), 405, "request method must be GET"),
            (request("GET /mqtt HTTP/1.1", ""), 404, "mqtt websocket endpoint not enabled"),
            (without("Host"), 400, "'Host' missing in request"),
            (without("Upgrade"), 400, "invalid value for header 'Upgrade'"),
            (without("Connection"), 400, "invalid value for header 'Connection'"),
            (without("Sec-WebSocket-Key"), 400, "key missing"),
            (without("Sec-WebSocket-Version"), 400, "invalid version"),
        ] {
            let refused = judge(&request, &Websocket::default(), false).unwrap_err();
            assert_eq!(refused, Refused::new(status, why));
            let answer = String::from_utf8(refused.answer()).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains("\r\nSec-Websocket-Version: 13\r\n"));
        }
        assert!(judge(b"garbage\r\n\r\n", &Websocket::default(), false).is_err());
    }

    #[test]
    fn origins() {
        let same = Websocket { same_origin: true, ..Websocket::default() };
        let listed = Websocket {
            allowed_origins: vec!["https://Nats.io".into(), "http://a:8080".into()],
            ..Websocket::default()
        };
        for (options, is_tls, host, origin, is_allowed) in [
            (&same, false, "h", "", true),
            (&same, false, "h", "http://h", true),
            (&same, false, "h:80", "http://H", true),
            (&same, true, "h", "https://h", true),
            (&same, true, "h", "http://h", false),
            (&same, false, "h:81", "http://h", false),
            (&same, false, "[::1]:81", "http://[::1]:81", true),
            (&same, false, "h", "nonsense", false),
            (&listed, false, "h", "https://nats.io", true),
            (&listed, false, "h", "https://nats.io:443", true),
            (&listed, false, "h", "http://nats.io", false),
            (&listed, false, "h", "http://a:8080", true),
            (&listed, false, "h", "http://a", false),
        ] {
            let outcome = check_origin(origin, host, options, is_tls);
            assert_eq!(outcome.is_ok(), is_allowed, "{origin} at {host}: {outcome:?}");
        }
    }

    #[test]
    fn an_origin_under_its_old_name_counts_where_there_is_no_other() {
        let same = Websocket { same_origin: true, ..Websocket::default() };
        for (more, is_allowed) in [
            ("Sec-WebSocket-Origin: http://evil\r\n", false),
            ("Sec-WebSocket-Origin: http://h:80\r\n", true),
            ("Origin: http://h:80\r\nSec-WebSocket-Origin: http://evil\r\n", true),
            ("Origin: http://evil\r\nSec-WebSocket-Origin: http://h:80\r\n", false),
        ] {
            let outcome = judge(&request("GET / HTTP/1.1", more), &same, false);
            assert_eq!(outcome.is_ok(), is_allowed, "{more}: {outcome:?}");
        }
    }

    #[test]
    fn cookies_are_taken_by_name() {
        let options = Websocket {
            user_cookie: Some("u".into()),
            pass_cookie: Some("p".into()),
            token_cookie: Some("t".into()),
            ..Websocket::default()
        };
        let request =
            request("GET / HTTP/1.1", "Cookie: x=1; u=you; u=me; p=c\r\nCookie: p=\"a=b\"\r\n");
        let cookies = judge(&request, &options, false).unwrap().terms.cookies;
        assert_eq!(cookies.user.as_deref(), Some("me"));
        assert_eq!(cookies.pass.as_deref(), Some("a=b"));
        assert_eq!((cookies.token, cookies.jwt), (None, None));
    }
}
