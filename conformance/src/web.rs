//! A web server that has account JWTs, for cases about a resolver of type `URL` (core.md 3.8).
//!
//! | Path | Answer |
//! |---|---|
//! | `/jwt/` | nothing, with status 200 |
//! | `/jwt/<key>` | the JWT of the account: `{account_key}`, `{system_key}`, `{fresh_key}` |
//! | `/brief/<word>/<key>` | the same; the first time for this path one that expires in 2 s |
//!
//! Everything else is 404. There is one server for all cases; its port is `{hport}`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crate::text::{Env, variable};

/// Where it listens; 0 if it cannot.
pub(crate) fn port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) else { return 0 };
        let port = listener.local_addr().map_or(0, |address| address.port());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || drop(serve(&stream)));
            }
        });
        port
    })
}

fn serve(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match answer(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", String::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn answer(path: &str) -> Option<String> {
    let (place, key) = path.rsplit_once('/')?;
    if place != "/jwt" && !place.starts_with("/brief/") {
        return None;
    }
    if key.is_empty() {
        return Some(String::new());
    }
    let value = |name: &str| {
        variable(name, &Env::new()).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let is_first = place.starts_with("/brief") && {
        static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_default().insert(path.to_owned())
    };
    let names =
        [("account_key", "account_jwt"), ("system_key", "system_jwt"), ("fresh_key", "fresh_jwt")];
    let (_, name) = names.into_iter().find(|(of, _)| value(of).as_deref() == Some(key))?;
    match is_first && name != "system_jwt" {
        true => value(&format!("{name}_brief")),
        false => value(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_keys() {
        let value = |name| String::from_utf8(variable(name, &Env::new()).unwrap()).unwrap();
        let key = value("fresh_key");
        assert_eq!(answer("/jwt/").as_deref(), Some(""));
        assert_eq!(answer("/jwt/unknown"), None);
        assert_eq!(answer("/none/"), None);
        assert_eq!(answer(&format!("/jwt/{key}")), Some(value("fresh_jwt")));
        let path = format!("/brief/test/{key}");
        assert_ne!(answer(&path).unwrap(), value("fresh_jwt"));
        assert_eq!(answer(&path), Some(value("fresh_jwt")));
        assert_ne!(port(), 0);
    }
}
