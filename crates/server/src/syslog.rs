//! The system's log: on this machine by a socket of the file system, elsewhere by UDP or TCP.
//!
//! The lines are those of Go's `log/syslog`, which nats-server 2.15.1 writes with: `<PRI>time tag[pid]: text`
//! on this machine, `<PRI>time host tag[pid]: text` elsewhere. A line that cannot be written is tried once
//! more on a new connection, and then lost, as are those of the next seconds where another machine did not
//! take it: a log must not stop a server.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::log::Level;

/// Longer than this nobody waits for a log on another machine.
const LIMIT: Duration = Duration::from_secs(1);

/// How long another machine that did not take a line is left alone: who logs waits for each try.
const PAUSE: Duration = Duration::from_secs(5);

/// Where the system listens for log lines, by the name that its flavour gives it.
#[cfg(unix)]
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// Who writes: daemons on this machine. Elsewhere nats-server says nothing of the sort.
const DAEMON: u8 = 3 << 3;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The log of this machine.
    Local,
    /// `udp`, `tcp`, `unix` or `unixgram`, and an address or a path.
    Remote { network: Network, address: String },
}

/// How a log elsewhere is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Udp,
    Tcp,
    Unix,
    Unixgram,
}

impl Target {
    /// Reads `udp://host:port`, `tcp://host:port`, `unix:///path` or `unixgram:///path`.
    pub(crate) fn parse(url: &str) -> io::Result<Self> {
        let bad = |network: &str| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("invalid network type: {network:?}"),
            )
        };
        let (network, rest) = url.split_once("://").ok_or_else(|| bad(url))?;
        let (network, address) = match network {
            "udp" => (Network::Udp, rest.trim_end_matches('/')),
            "tcp" => (Network::Tcp, rest.trim_end_matches('/')),
            "unix" => (Network::Unix, rest),
            "unixgram" => (Network::Unixgram, rest),
            other => return Err(bad(other)),
        };
        Ok(Self::Remote { network, address: address.to_owned() })
    }

    fn is_here(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Remote { network, .. } => matches!(network, Network::Unix | Network::Unixgram),
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Remote { network: Network::Udp, address } => {
                let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Connection::Udp(socket))
            }
            Self::Remote { network: Network::Tcp, address } => {
                let stream = connect(address)?;
                stream.set_write_timeout(Some(LIMIT))?;
                Ok(Connection::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Remote { network: Network::Unix, address } => stream(address),
            #[cfg(unix)]
            Self::Remote { network: Network::Unixgram, address } => datagram(address),
            #[cfg(unix)]
            Self::Local => {
                let found =
                    LOCAL.iter().find_map(|path| datagram(path).or_else(|_| stream(path)).ok());
                found.ok_or_else(|| io::Error::other("Unix syslog delivery error"))
            }
            #[cfg(not(unix))]
            Self::Local | Self::Remote { .. } => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such log"))
            }
        }
    }
}

/// To the first of the host's addresses that takes it.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failure = io::ErrorKind::NotFound.into();
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(unix)]
fn datagram(path: &str) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(LIMIT))?;
    Ok(Connection::Datagram(socket))
}

#[cfg(unix)]
fn stream(path: &str) -> io::Result<Connection> {
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(Connection::Stream(stream))
}

#[derive(Debug)]
enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
    #[cfg(unix)]
    Datagram(UnixDatagram),
    #[cfg(unix)]
    Stream(UnixStream),
}

impl Connection {
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(line).map(|_| ()),
            Self::Tcp(stream) => stream.write_all(line),
            #[cfg(unix)]
            Self::Datagram(socket) => socket.send(line).map(|_| ()),
            #[cfg(unix)]
            Self::Stream(stream) => stream.write_all(line),
        }
    }
}

/// A connection to a log.
#[derive(Debug)]
pub(crate) struct Syslog {
    target: Target,
    /// The program's name.
    tag: String,
    host: String,
    connection: Option<Connection>,
    /// When a new connection may be tried.
    again: Option<Instant>,
}

impl Syslog {
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn open(target: Target) -> io::Result<Self> {
        let program = std::env::args().next().unwrap_or_default();
        let tag = program.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        let connection = Some(target.connect()?);
        Ok(Self { target, tag, host: host(), connection, again: None })
    }

    pub(crate) fn write(&mut self, level: Level, text: &str) {
        let line = self.line(&Zoned::now(), level, text);
        self.send(line.as_bytes(), Instant::now());
    }

    fn send(&mut self, line: &[u8], now: Instant) {
        if self.connection.is_none() && self.again.is_some_and(|again| now < again) {
            return;
        }
        for _ in 0..2 {
            if self.connection.is_none() {
                self.connection = self.target.connect().ok();
            }
            let Some(connection) = &mut self.connection else { break };
            if connection.send(line).is_ok() {
                return;
            }
            self.connection = None;
        }
        self.again = (!self.target.is_here()).then(|| now + PAUSE);
    }

    fn line(&self, now: &Zoned, level: Level, text: &str) -> String {
        let severity = match level {
            Level::Fatal => 2,
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info | Level::Trace => 5,
            Level::Debug => 7,
        };
        let (tag, pid) = (&self.tag, std::process::id());
        match &self.target {
            // nats-server names its facility on this machine only.
            Target::Local => {
                let (priority, time) = (DAEMON | severity, now.strftime("%b %e %H:%M:%S"));
                format!("<{priority}>{time} {tag}[{pid}]: {text}\n")
            }
            target if target.is_here() => {
                let time = now.strftime("%b %e %H:%M:%S");
                format!("<{severity}>{time} {tag}[{pid}]: {text}\n")
            }
            _ => {
                let (time, host) = (now.strftime("%Y-%m-%dT%H:%M:%S%:z"), &self.host);
                format!("<{severity}>{time} {host} {tag}[{pid}]: {text}\n")
            }
        }
    }
}

fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = named.or_else(|| std::env::var("HOSTNAME").ok());
    named.map_or_else(|| "localhost".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_reference_reads_them() {
        let remote = |network, address: &str| Target::Remote { network, address: address.into() };
        for (url, target) in [
            ("udp://h:514", remote(Network::Udp, "h:514")),
            ("tcp://h:514", remote(Network::Tcp, "h:514")),
            ("unix:///run/log", remote(Network::Unix, "/run/log")),
            ("unixgram:///run/log", remote(Network::Unixgram, "/run/log")),
        ] {
            assert_eq!(Target::parse(url).unwrap(), target, "{url}");
        }
        let error = Target::parse("http://h").unwrap_err();
        assert_eq!(error.to_string(), "invalid network type: \"http\"");
    }

    #[test]
    fn another_machine_that_does_not_listen_is_left_alone_for_a_while() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = Target::parse(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let nowhere = Target::parse("tcp://no port").unwrap();
        let mut log = Syslog {
            target: nowhere,
            tag: String::new(),
            host: String::new(),
            connection: None,
            again: None,
        };
        let now = Instant::now();
        log.send(b"lost", now);
        log.target = there;
        log.send(b"lost", now + PAUSE / 2);
        assert!(log.connection.is_none());
        log.send(b"found", now + PAUSE);
        drop(log);
        let (mut socket, _) = listener.accept().unwrap();
        assert_eq!(io::read_to_string(&mut socket).unwrap(), "found");
    }

    #[test]
    fn lines_have_priority_time_and_tag() {
        let now: Zoned = "2026-01-03T04:05:06+02:00[+02:00]".parse().unwrap();
        let of = |target: Target| Syslog {
            target,
            tag: "natterjack".into(),
            host: "here".into(),
            connection: None,
            again: None,
        };
        let pid = std::process::id();
        let remote = of(Target::parse("udp://h:1").unwrap());
        let line = remote.line(&now, Level::Info, "text");
        assert_eq!(line, format!("<5>2026-01-03T04:05:06+02:00 here natterjack[{pid}]: text\n"));
        let local = of(Target::Local);
        let line = local.line(&now, Level::Error, "text");
        assert_eq!(line, format!("<27>Jan  3 04:05:06 natterjack[{pid}]: text\n"));
    }
}
