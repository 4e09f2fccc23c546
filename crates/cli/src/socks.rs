//! A SOCKS5 proxy between the command and its servers.
//!
//! The client library dials servers itself. So each server gets a port of this machine, and what connects
//! there is passed on through the proxy.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_socks::tcp::Socks5Stream;

use crate::exit::{Failure, status};

/// A proxy: `socks5://[user:password@]host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    address: String,
    login: Option<(String, String)>,
}

/// A server as it is to be dialed, and the name that its certificate has.
pub(crate) struct Dialed {
    pub(crate) url: String,
    pub(crate) host: String,
}

impl Proxy {
    /// # Errors
    /// Another scheme than socks5, or no host.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let bad = |why: &str| {
            // Not the whole: it may hold a password.
            Failure::usage(format!("bad SOCKS proxy: {why}")).hint("as in socks5://host:1080")
        };
        let rest = match url.split_once("://") {
            Some(("socks5" | "socks5h" | "socks", rest)) => rest,
            Some((scheme, _)) => return Err(bad(&format!("unknown scheme `{scheme}`"))),
            None => url,
        };
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest),
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (user.to_owned(), password.to_owned())
        });
        let address = address.trim_end_matches('/');
        if address.is_empty() {
            return Err(bad("there is no host"));
        }
        Ok(Self { address: with_port(address, 1080), login })
    }

    /// Opens a port for a server.
    ///
    /// # Errors
    /// The server's address makes no sense; there is no port.
    pub(crate) async fn open(&self, server: &str, limit: Duration) -> Result<Dialed, Failure> {
        let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (format!("{login}@"), host),
            None => (String::new(), rest),
        };
        let target = with_port(host.trim_end_matches('/'), 4222);
        let Some((name, port)) = target.rsplit_once(':') else {
            return Err(Failure::usage(format!("bad address `{host}`")));
        };
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port: u16 =
            port.parse().map_err(|_| Failure::usage(format!("bad port in `{host}`")))?;
        let failed = |error: std::io::Error| {
            Failure::new(status::FAILED, "io", format!("a port for the proxy: {error}"))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let own = listener.local_addr().map_err(failed)?;
        let (proxy, host) = (self.clone(), name.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, name) = (proxy.clone(), name.clone());
                tokio::spawn(async move { proxy.pass(client, &name, port, limit).await });
            }
        });
        Ok(Dialed { url: format!("{scheme}://{login}{own}"), host })
    }

    /// Passes a connection on. One that cannot be made ends, which is told as any lost connection.
    async fn pass(&self, mut client: TcpStream, host: &str, port: u16, limit: Duration) {
        let proxy = self.address.as_str();
        let connect = async {
            match &self.login {
                Some((user, password)) => {
                    Socks5Stream::connect_with_password(proxy, (host, port), user, password).await
                }
                None => Socks5Stream::connect(proxy, (host, port)).await,
            }
        };
        match tokio::time::timeout(limit, connect).await {
            Ok(Ok(mut server)) => {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
            Ok(Err(error)) => tracing::warn!("SOCKS proxy {proxy}: {error}"),
            Err(_) => tracing::warn!("SOCKS proxy {proxy}: no answer"),
        }
    }
}

/// `host:port`; a host without a port gets this one.
fn with_port(host: &str, port: u16) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
        (!name.contains(':') || name.ends_with(']')) && port.parse::<u16>().is_ok()
    });
    match (has_port, host.contains(':') && !host.starts_with('[')) {
        (true, _) => host.to_owned(),
        (false, true) => format!("[{host}]:{port}"),
        (false, false) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_in_each_form() {
        let of = |text: &str| {
            let proxy = Proxy::parse(text).ok()?;
            Some((proxy.address, proxy.login))
        };
        let login = Some(("u".to_owned(), "p".to_owned()));
        for (text, address, login) in [
            ("socks5://h:1", "h:1", None),
            ("h", "h:1080", None),
            ("socks5://u:p@h", "h:1080", login),
            ("socks5://[::1]:9/", "[::1]:9", None),
        ] {
            assert_eq!(of(text), Some((address.to_owned(), login)), "{text}");
        }
        assert_eq!(of("http://h:1"), None);
        assert_eq!(of("socks5://"), None);
        assert_eq!(with_port("::1", 4222), "[::1]:4222");
    }
}
