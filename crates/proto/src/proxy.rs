//! The header of the PROXY protocol, versions 1 and 2, by which a load balancer tells whom it speaks for
//! (haproxy.org, `proxy-protocol.txt`). nats-server looks for it since 2.12.2.
//!
//! A connection that begins with something else is an ordinary one, as in nats-server 2.15.1. Nobody
//! should be able to reach such a listener but the load balancer: who can, can claim any address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
const LINE_MAX: usize = 107;
/// Signature, version, family and length of version 2.
const FIXED: usize = 16;

/// What the beginning of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Not to be told yet: more bytes are needed. They never get to more than [`MAX_BYTES`].
    Incomplete,
    /// Something else; all of it belongs to the protocol behind it.
    Absent,
    /// A header.
    Present {
        /// Whom it speaks for; `None` if it speaks for itself, as health checks do.
        source: Option<SocketAddr>,
        /// How many of the bytes belong to it.
        len: usize,
        /// How many bytes behind them do too, which say nothing that counts here. Up to 64 KB.
        skip: usize,
    },
}

/// More bytes than this are never asked for.
pub const MAX_BYTES: usize = LINE_MAX;

/// A header that cannot be read. The texts are those that nats-server 2.15 logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It breaks the rules.
    #[error("invalid PROXY protocol header: {0}")]
    Invalid(String),
    /// It asks for what is no TCP.
    #[error("unsupported PROXY protocol feature: {0}")]
    Unsupported(String),
    /// Neither `LOCAL` nor `PROXY`.
    #[error("unknown PROXY protocol command: 0x{0:02x}")]
    Command(u8),
    /// A port that is none.
    #[error("invalid {0} port: {1:?}")]
    Port(&'static str, String),
    /// Less than the addresses of its family take.
    #[error("{0} address data too short: {1} bytes")]
    Short(&'static str, usize),
}

fn invalid(text: impl Into<String>) -> HeaderError {
    HeaderError::Invalid(text.into())
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
///
/// It is one, and wrong.
///
/// # Examples
///
/// ```
/// use natterjack_proto::proxy::{read, Header};
///
/// let bytes = b"PROXY TCP4 192.0.2.1 192.0.2.9 5000 4222\r\nCONNECT {}\r\n";
/// let Ok(Header::Present { source: Some(source), len, skip: 0 }) = read(bytes) else { panic!() };
/// assert_eq!((source.to_string().as_str(), &bytes[len..]), ("192.0.2.1:5000", &b"CONNECT {}\r\n"[..]));
/// assert_eq!(read(b"CONNECT {}\r\n"), Ok(Header::Absent));
/// assert_eq!(read(b"PRO"), Ok(Header::Incomplete));
/// ```
pub fn read(bytes: &[u8]) -> Result<Header, HeaderError> {
    let begins = |with: &[u8]| {
        let len = bytes.len().min(with.len());
        bytes[..len] == with[..len]
    };
    if begins(TEXT) {
        if bytes.len() < TEXT.len() { Ok(Header::Incomplete) } else { text(bytes) }
    } else if begins(&BINARY[..TEXT.len()]) {
        binary(bytes)
    } else {
        Ok(Header::Absent)
    }
}

/// Version 1: `PROXY TCP4 <source> <destination> <port> <port>`.
fn text(bytes: &[u8]) -> Result<Header, HeaderError> {
    let head = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return match head.len() {
            LINE_MAX => Err(invalid("v1 line too long")),
            _ => Ok(Header::Incomplete),
        };
    };
    let line = String::from_utf8_lossy(&head[TEXT.len()..end]);
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let present = |source| Ok(Header::Present { source, len: end + 2, skip: 0 });
    let (protocol, addresses, ports) = match words.as_slice() {
        ["UNKNOWN", ..] => return present(None),
        [protocol, from, to, port, other] => (*protocol, [*from, *to], [*port, *other]),
        _ => return Err(invalid("invalid v1 format")),
    };
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| invalid("invalid address"));
    let [from, to] = addresses;
    let (from, to) = (address(from)?, address(to)?);
    let [own, other] = ports;
    let (port, _) = (number("source", own)?, number("dest", other)?);
    match protocol {
        "TCP4" if from.is_ipv6() || to.is_ipv6() => Err(invalid("TCP4 with IPv6 address")),
        "TCP6" if from.is_ipv4() || to.is_ipv4() => Err(invalid("TCP6 with IPv4 address")),
        "TCP4" | "TCP6" => present(Some(SocketAddr::new(from.to_canonical(), port))),
        other => Err(invalid(format!("invalid protocol {other}"))),
    }
}

fn number(which: &'static str, text: &str) -> Result<u16, HeaderError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| is_plain);
    port.ok_or_else(|| HeaderError::Port(which, text.to_owned()))
}

/// Version 2: a signature, a command, and addresses that may be followed by more.
fn binary(bytes: &[u8]) -> Result<Header, HeaderError> {
    let len = bytes.len().min(BINARY.len());
    if bytes[..len] != BINARY[..len] {
        return Err(invalid("invalid signature"));
    }
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(Header::Incomplete) };
    let (version, command, family, protocol) =
        (fixed[12] & 0xF0, fixed[12] & 0x0F, fixed[13] & 0xF0, fixed[13] & 0x0F);
    let behind = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version != 0x20 {
        return Err(invalid(format!("invalid version 0x{version:02x}")));
    }
    let local = Ok(Header::Present { source: None, len: FIXED, skip: behind });
    match command {
        0 => return local,
        1 => {}
        other => return Err(HeaderError::Command(other)),
    }
    if protocol != 1 {
        return Err(HeaderError::Unsupported("only STREAM protocol supported".into()));
    }
    let (name, size) = match family {
        0 => return local,
        0x10 => ("IPv4", 12),
        0x20 => ("IPv6", 36),
        other => {
            let text = format!("unsupported address family 0x{other:02x}");
            return Err(HeaderError::Unsupported(text));
        }
    };
    if behind < size {
        return Err(HeaderError::Short(name, behind));
    }
    let Some(block) = bytes.get(FIXED..FIXED + size) else { return Ok(Header::Incomplete) };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let source = match <[u8; 4]>::try_from(&block[..4]) {
        Ok(octets) if size == 12 => SocketAddr::new(Ipv4Addr::from(octets).into(), port(8)),
        _ => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&block[..16]);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), port(32))
        }
    };
    Ok(Header::Present { source: Some(source), len: FIXED + size, skip: behind - size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(bytes: &[u8]) -> String {
        match read(bytes) {
            Ok(Header::Present { source: Some(source), len, skip }) => {
                format!("{source} {len} {skip}")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn two(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let len = u16::try_from(block.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &len, block].concat()
    }

    #[test]
    fn lines_of_version_1() {
        for (line, expected) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 10 20\r\nPING", "1.2.3.4:10 34 0"),
            ("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", "[2001:db8::1]:65535 36 0"),
            // A client of IPv4 at a socket for both.
            ("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", "1.2.3.4:1 35 0"),
            ("PROXY UNKNOWN what ever\r\n", "Present { source: None, len: 25, skip: 0 }"),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 10 20", "Incomplete"),
            ("PROXY \r\n", "invalid PROXY protocol header: invalid v1 format"),
            ("PROXY FOO\r\n", "invalid PROXY protocol header: invalid v1 format"),
            (
                "PROXY FOO 1.1.1.1 1.1.1.1 1 1\r\n",
                "invalid PROXY protocol header: invalid protocol FOO",
            ),
            ("PROXY TCP4 x 1.1.1.1 1 1\r\n", "invalid PROXY protocol header: invalid address"),
            ("PROXY TCP4 ::1 ::1 1 1\r\n", "invalid PROXY protocol header: TCP4 with IPv6 address"),
            (
                "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
                "invalid PROXY protocol header: TCP6 with IPv4 address",
            ),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "invalid source port: \"65536\""),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 1 +1\r\n", "invalid dest port: \"+1\""),
        ] {
            assert_eq!(source(line.as_bytes()), expected, "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(long.len(), LINE_MAX);
        assert!(matches!(read(long.as_bytes()), Ok(Header::Present { .. })));
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(source(long.as_bytes()), "invalid PROXY protocol header: v1 line too long");
    }

    #[test]
    fn headers_of_version_2() {
        let four = [1, 2, 3, 4, 5, 6, 7, 8, 0x13, 0x88, 0, 80];
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 7, 0, 8]].concat();
        let more = [&four[..], &[0xEE; 5]].concat();
        for (bytes, expected) in [
            (two(0x21, 0x11, &four), "1.2.3.4:5000 28 0"),
            (two(0x21, 0x21, &six), "[2001:db8::1]:7 52 0"),
            (two(0x21, 0x11, &more), "1.2.3.4:5000 28 5"),
            (two(0x20, 0, &[9; 3]), "Present { source: None, len: 16, skip: 3 }"),
            (two(0x21, 0x01, &[]), "Present { source: None, len: 16, skip: 0 }"),
            (two(0x11, 0x11, &four), "invalid PROXY protocol header: invalid version 0x10"),
            (two(0x22, 0x11, &four), "unknown PROXY protocol command: 0x02"),
            (
                two(0x21, 0x12, &four),
                "unsupported PROXY protocol feature: only STREAM protocol supported",
            ),
            (
                two(0x21, 0x31, &four),
                "unsupported PROXY protocol feature: unsupported address family 0x30",
            ),
            (two(0x21, 0x11, &four[..11]), "IPv4 address data too short: 11 bytes"),
            (two(0x21, 0x21, &six[..35]), "IPv6 address data too short: 35 bytes"),
            (b"\r\n\r\n\0\rXXXX".to_vec(), "invalid PROXY protocol header: invalid signature"),
        ] {
            assert_eq!(source(&bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn other_beginnings_are_those_of_clients() {
        for bytes in [&b"CONNECT {}"[..], b"PING\r\n", b"PUB a 0\r\n", b"\x16\x03\x01", b"\r\nx"] {
            assert_eq!(read(bytes), Ok(Header::Absent), "{bytes:?}");
        }
        assert_eq!(read(b""), Ok(Header::Incomplete));
    }

    proptest! {
        /// Whatever the pieces in which a header comes, the outcome is the same, and no more is asked
        /// for than was said.
        #[test]
        fn pieces_change_nothing(tail in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3) {
            let start: &[u8] = [TEXT, BINARY, b""][kind as usize];
            let bytes = [start, &tail].concat();
            let whole = read(&bytes);
            for len in 0..bytes.len() {
                let part = read(&bytes[..len]);
                if part != Ok(Header::Incomplete) {
                    prop_assert_eq!(part, whole.clone());
                }
            }
            if bytes.len() > MAX_BYTES {
                prop_assert_ne!(whole, Ok(Header::Incomplete));
            }
        }
    }
}
