//! The `websocket` block.

use super::decode::{Decoder, set, set_some};
use super::top::{address, port};
use super::{Tls, tls, unsupported};
use crate::language::{Entry, Kind, Map};
use std::time::Duration;

/// How long the WebSocket handshake may take by default.
pub const DEFAULT_WEBSOCKET_HANDSHAKE: Duration = Duration::from_secs(2);

/// The listener for clients by WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Websocket {
    /// The address to listen on; that of clients if absent.
    pub host: Option<String>,
    /// The port; `None` is off, 0 lets the system choose one (`-1`).
    pub port: Option<u16>,
    /// What clients are told to connect to, `host` or `host:port`.
    pub advertise: Option<String>,
    /// Serve without TLS.
    pub no_tls: bool,
    /// TLS of this listener.
    pub tls: Option<Tls>,
    /// Browsers may connect from pages of the same origin only.
    pub same_origin: bool,
    /// The origins that browsers may connect from; empty admits all.
    pub allowed_origins: Vec<String>,
    /// How long the handshake may take; 2 seconds.
    pub handshake_timeout: Duration,
    /// Compress for clients that offer it.
    pub compression: bool,
    /// The user of clients without credentials; the top-level one if absent.
    pub no_auth_user: Option<String>,
    /// The cookie with the user JWT.
    pub jwt_cookie: Option<String>,
    /// The cookie with the user's name.
    pub user_cookie: Option<String>,
    /// The cookie with the password.
    pub pass_cookie: Option<String>,
    /// The cookie with the token.
    pub token_cookie: Option<String>,
    /// Headers of the answer to a handshake.
    pub headers: Vec<(String, String)>,
    /// How often a silent client is pinged; the top-level one if absent.
    pub ping_interval: Option<Duration>,
}

impl Default for Websocket {
    fn default() -> Self {
        Websocket {
            host: None,
            port: None,
            advertise: None,
            no_tls: false,
            tls: None,
            same_origin: false,
            allowed_origins: Vec::new(),
            handshake_timeout: DEFAULT_WEBSOCKET_HANDSHAKE,
            compression: false,
            no_auth_user: None,
            jwt_cookie: None,
            user_cookie: None,
            pass_cookie: None,
            token_cookie: None,
            headers: Vec::new(),
            ping_interval: None,
        }
    }
}

pub(super) fn websocket(d: &mut Decoder<'_>, entry: &Entry) -> Option<Websocket> {
    let Kind::Map(map) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        d.error(&entry.value.position, format!("Expected websocket to be a map, got {noun}"));
        return None;
    };
    let mut ws = Websocket::default();
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "listen" => {
                if let Some((host, port)) = address(d, item) {
                    set_some(&mut ws.host, host);
                    ws.port = Some(port);
                }
            }
            "host" | "net" => set_some(&mut ws.host, text(d, item)),
            "port" => match item.value.kind {
                Kind::Integer(0) => ws.port = None,
                _ => set_some(&mut ws.port, port(d, item)),
            },
            "advertise" => set_some(&mut ws.advertise, text(d, item)),
            "no_tls" => set(&mut ws.no_tls, d.bool(item)),
            "tls" => set_some(&mut ws.tls, tls::tls(d, item)),
            "same_origin" => set(&mut ws.same_origin, d.bool(item)),
            "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins"
            | "origin" => set(&mut ws.allowed_origins, d.strings(item)),
            "handshake_timeout" => set(&mut ws.handshake_timeout, d.duration(item)),
            "compress" | "compression" => set(&mut ws.compression, d.bool(item)),
            "no_auth_user" => set_some(&mut ws.no_auth_user, text(d, item)),
            "jwt_cookie" => set_some(&mut ws.jwt_cookie, text(d, item)),
            "user_cookie" => set_some(&mut ws.user_cookie, text(d, item)),
            "pass_cookie" => set_some(&mut ws.pass_cookie, text(d, item)),
            "token_cookie" => set_some(&mut ws.token_cookie, text(d, item)),
            "headers" => ws.headers = headers(d, item),
            "ping_interval" => set_some(&mut ws.ping_interval, d.duration(item)),
            "authorization" | "authentication" => {
                if !unsupported::says_off(item) {
                    d.refuse(item);
                }
            }
            _ => d.unknown(item),
        }
    }
    if let Some(tls) = &ws.tls
        && tls.handshake_first != super::HandshakeFirst::No
    {
        // As in nats-server: a WebSocket with TLS always begins with its handshake.
        d.warn(&entry.value.position, "handshake_first has no effect for websocket clients");
    }
    Some(ws)
}

fn text(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    d.string(entry).filter(|text| !text.is_empty())
}

fn headers(d: &mut Decoder<'_>, entry: &Entry) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for item in d.map(entry).into_iter().flat_map(Map::iter) {
        match item.value.kind.as_str() {
            // What would end the line would begin another header, or the body.
            Some(value) if is_header(&item.key, value) => {
                headers.push((item.key.clone(), value.to_owned()));
            }
            Some(_) => {
                let text = format!("error parsing header key {}: not a header", item.key);
                d.error(&item.value.position, text);
            }
            None => {
                let (key, noun) = (&item.key, item.value.kind.noun());
                let text = format!("error parsing header key {key}: unsupported type {noun}");
                d.error(&item.value.position, text);
            }
        }
    }
    headers
}

fn is_header(name: &str, value: &str) -> bool {
    let named = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    !name.is_empty() && name.bytes().all(named) && !value.bytes().any(|byte| byte < 0x20)
}
