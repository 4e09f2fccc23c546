//! Server addresses as people write them: `nats://host:port`, with or without scheme and port,
//! several separated by commas, IPv6, and user information that becomes a login.

use async_nats::ServerAddr;

use crate::auth::Auth;
use crate::error::BadUrl;

/// One server of the pool.
#[derive(Debug, Clone)]
pub(crate) struct ServerUrl {
    /// Without user information, as async-nats takes it.
    pub(crate) addr: ServerAddr,
    /// The login that the address carried.
    pub(crate) auth: Option<Auth>,
}

/// `host:port`, the form in which servers are shown and remembered.
pub(crate) fn label(addr: &ServerAddr) -> String {
    let host = addr.host();
    if host.contains(':') {
        format!("[{host}]:{}", addr.port())
    } else {
        format!("{host}:{}", addr.port())
    }
}

/// Splits and parses a list; refuses a mix of WebSocket and plain addresses, which no pool can hold.
pub(crate) fn parse_list<S: AsRef<str>>(texts: &[S]) -> Result<Vec<ServerUrl>, BadUrl> {
    let mut servers = Vec::new();
    for text in texts.iter().flat_map(|text| text.as_ref().split(',')) {
        let text = text.trim();
        if !text.is_empty() {
            servers.push(parse(text)?);
        }
    }
    let mixed = servers.windows(2).find(|w| w[0].addr.is_websocket() != w[1].addr.is_websocket());
    if let Some([_, second]) = mixed {
        return Err(BadUrl {
            url: label(&second.addr),
            why: "WebSocket and plain addresses cannot be mixed".into(),
        });
    }
    match servers.iter().find(|server| server.addr.is_websocket()) {
        Some(server) => Err(BadUrl {
            url: label(&server.addr),
            why: "WebSocket addresses are not supported yet".into(),
        }),
        None => Ok(servers),
    }
}

fn parse(text: &str) -> Result<ServerUrl, BadUrl> {
    // What stands before the last `@` may be secret; errors never show it.
    let shown = match text.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{host}"),
            None => host.to_owned(),
        },
        None => text.to_owned(),
    };
    let bad = |why: &str| BadUrl { url: shown.clone(), why: why.to_owned() };
    if let Some((scheme, _)) = text.split_once("://")
        && !matches!(scheme, "nats" | "tls" | "ws" | "wss")
    {
        return Err(bad(&format!("unknown scheme `{scheme}`")));
    }
    let parsed: ServerAddr = bracketed(text).parse().map_err(|_| bad("it is not an address"))?;
    if parsed.host().is_empty() {
        return Err(bad("it has no host"));
    }
    let mut url = parsed.into_inner();
    let decode =
        |part: &str| percent_decode(part).ok_or_else(|| bad("its user information is not text"));
    let auth = match (url.username(), url.password()) {
        ("", None) => None,
        (user, Some(password)) => Some(Auth::user_password(decode(user)?, decode(password)?)),
        // A lone user is a token, as in all NATS clients.
        (token, None) => Some(Auth::token(decode(token)?)),
    };
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(bad("its user information cannot be separated"));
    }
    let addr = ServerAddr::from_url(url).map_err(|_| bad("it is not an address"))?;
    if addr.port() == 0 {
        return Err(bad("port 0 cannot be connected to"));
    }
    Ok(ServerUrl { addr, auth })
}

/// Puts a bare IPv6 address such as `::1` into the brackets that URLs need.
fn bracketed(text: &str) -> String {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("nats://[{ip}]"),
        Err(_) => text.to_owned(),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Result<Vec<String>, String> {
        parse_list(&[text])
            .map(|list| list.iter().map(|s| label(&s.addr)).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_usual_spellings_are_understood() {
        for (text, want) in [
            ("localhost", vec!["localhost:4222"]),
            ("nats://a:1, b:2,", vec!["a:1", "b:2"]),
            ("tls://h", vec!["h:4222"]),
            ("[::1]:4223", vec!["[::1]:4223"]),
            ("::1", vec!["[::1]:4222"]),
        ] {
            assert_eq!(labels(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn user_information_becomes_a_login_and_leaves_the_address() {
        let list = parse_list(&["nats://derek:p%40ss@h:1", "tok3n@h:2"]).unwrap();
        assert!(
            matches!(&list[0].auth, Some(Auth::UserPassword(u, p)) if u == "derek" && p.reveal() == "p@ss")
        );
        assert!(matches!(&list[1].auth, Some(Auth::Token(t)) if t.reveal() == "tok3n"));
        assert_eq!(list[0].addr.as_url_str(), "nats://h:1");
        assert!(!format!("{list:?}").contains("p@ss") && !format!("{list:?}").contains("tok3n"));
    }

    // Shows U-015.
    #[test]
    fn what_cannot_be_used_is_refused_without_showing_secrets() {
        for (text, why) in [
            ("http://h", "unknown scheme `http`"),
            ("nats://h:99999", "not an address"),
            ("nats://derek:s3cr3t@h:x", "not an address"),
            ("ws://h,nats://g", "cannot be mixed"),
            ("h:0", "port 0"),
        ] {
            let error = labels(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("s3cr3t"), "{text}: {error}");
        }
    }
}
