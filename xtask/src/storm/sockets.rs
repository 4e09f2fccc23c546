//! Many plain sockets, which need not be read.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Lets this process have as many sockets as it may.
pub(super) fn allow_many() -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
            .context("raising the limit of open files")?;
    }
    Ok(())
}

/// A socket of which nothing was read or written.
pub(super) fn open(port: u16) -> Result<TcpStream> {
    let mut tries = 0;
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => return Ok(socket),
            Err(_) if tries < 500 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error).context("connect"),
        }
    }
}

/// What is there to be read by now; `None` at the end of the connection.
pub(super) fn take(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 16];
    match socket.read(&mut buffer) {
        Ok(0) => None,
        Ok(count) => {
            buffer.truncate(count);
            Some(buffer)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Writes as much as the socket takes; false at the end of the connection.
pub(super) fn give(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    match socket.write(bytes) {
        // What did not fit is not sent again: it is noise.
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
