//! What a connection of a case speaks through: TCP, TLS, or WebSocket frames.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// The mask of every frame; which one it is matters to nobody.
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
/// What is cut off the end of a compressed message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    pub(crate) fn set_read_timeout(&self, left: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(left))
    }

    pub(crate) fn shutdown(&self) {
        let _ = self.socket().shutdown(Shutdown::Both);
    }

    /// Performs a TLS handshake.
    pub(crate) fn secured(
        self,
        config: Arc<ClientConfig>,
        name: Option<&str>,
    ) -> Result<Self, String> {
        let Stream::Plain(mut socket) = self else { return Err("TLS is there already".into()) };
        let name = name.unwrap_or("localhost").to_owned();
        let name = ServerName::try_from(name).map_err(|e| e.to_string())?;
        let mut session = ClientConnection::new(config, name).map_err(|e| e.to_string())?;
        let limit = Some(Duration::from_secs(5));
        socket.set_read_timeout(limit).map_err(|e| e.to_string())?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|e| format!("TLS handshake: {e}"))?;
        }
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => match stream.read(buffer) {
                // An end without a farewell is one too.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                outcome => outcome,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// The request of a WebSocket handshake, with these header lines besides. One of a name that the request
/// has takes its place, and one with a path is its first line.
pub(crate) fn upgrade_request(fields: &[String]) -> Vec<u8> {
    let (requests, fields): (Vec<_>, Vec<_>) = fields
        .iter()
        .map(String::as_str)
        .partition(|field| field.contains(" /") && !field.contains(": "));
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.to_ascii_lowercase());
    let usual = [
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ];
    let kept =
        usual.into_iter().filter(|line| !fields.iter().any(|field| name(field) == name(line)));
    let mut text = format!("{} HTTP/1.1\r\n", requests.first().unwrap_or(&"GET /"));
    for line in kept.chain(fields.iter().copied()) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A masked binary frame with these bytes.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match bytes.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(bytes.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A masked frame with these bytes, deflated without context.
pub(crate) fn deflated_frame(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut state = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(bytes.len() + 64);
    state.compress_vec(bytes, &mut out, FlushCompress::Sync).map_err(|e| e.to_string())?;
    let payload = out.strip_suffix(&TAIL).ok_or("not all was deflated")?;
    let mut framed = frame(payload);
    framed[0] |= 0x40;
    Ok(framed)
}

/// The frames of one connection.
#[derive(Default)]
pub(crate) struct Frames {
    /// Not whole yet.
    pub(crate) raw: Vec<u8>,
    /// The frames so far of a compressed message.
    deflated: Option<Vec<u8>>,
    /// The largest payload so far.
    pub(crate) largest: u64,
    /// Compressed messages so far.
    pub(crate) compressed: u64,
}

impl Frames {
    /// Begins with bytes that were read already.
    pub(crate) fn new(raw: Vec<u8>) -> Self {
        Frames { raw, ..Frames::default() }
    }

    /// Takes whole frames: data is added to `data`; a close frame becomes the line
    /// `CLOSE status text` and a pong `PONGED text`, so that cases can expect them.
    pub(crate) fn take(&mut self, data: &mut Vec<u8>) -> Result<(), String> {
        while let Some((first, payload)) = self.next()? {
            self.largest = self.largest.max(payload.len() as u64);
            match first {
                0xc2 | 0x42 => self.deflated = Some(payload),
                0x00 | 0x80 if self.deflated.is_some() => {
                    self.deflated.iter_mut().for_each(|all| all.extend_from_slice(&payload));
                }
                0x82 | 0x02 | 0x00 | 0x80 => data.extend_from_slice(&payload),
                0x88 => {
                    let status = payload.get(..2).map(|s| u16::from_be_bytes([s[0], s[1]]));
                    let status = status.map_or_else(String::new, |status| format!(" {status} "));
                    data.extend_from_slice(format!("CLOSE{status}").as_bytes());
                    data.extend_from_slice(payload.get(2..).unwrap_or_default());
                    data.extend_from_slice(b"\r\n");
                }
                0x8a => {
                    data.extend_from_slice(b"PONGED ");
                    data.extend_from_slice(&payload);
                    data.extend_from_slice(b"\r\n");
                }
                first => return Err(format!("an unexpected frame: {first:#x}")),
            }
            if first & 0x80 != 0
                && first & 0x08 == 0
                && let Some(mut all) = self.deflated.take()
            {
                self.compressed += 1;
                all.extend_from_slice(&TAIL);
                inflate(&all, data)?;
            }
        }
        Ok(())
    }

    /// The first whole frame: its first byte and its payload.
    fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, String> {
        let raw = &mut self.raw;
        let (at, length) = match raw.get(1).copied() {
            Some(126) if raw.len() >= 4 => (4, usize::from(u16::from_be_bytes([raw[2], raw[3]]))),
            Some(127) if raw.len() >= 10 => {
                let mut size = [0; 8];
                size.copy_from_slice(&raw[2..10]);
                (10, usize::try_from(u64::from_be_bytes(size)).map_err(|e| e.to_string())?)
            }
            Some(length @ 0..=125) => (2, usize::from(length)),
            Some(128..) => return Err("the server masks its frames".into()),
            _ => return Ok(None),
        };
        if raw.len() < at + length {
            return Ok(None);
        }
        let frame: Vec<u8> = raw.drain(..at + length).collect();
        Ok(Some((frame[0], frame[at..].to_vec())))
    }
}

fn inflate(bytes: &[u8], data: &mut Vec<u8>) -> Result<(), String> {
    let mut state = Decompress::new(false);
    let mut at = 0;
    while at < bytes.len() {
        data.reserve(64 << 10);
        let before = state.total_in();
        state
            .decompress_vec(&bytes[at..], data, FlushDecompress::Sync)
            .map_err(|e| e.to_string())?;
        let taken = usize::try_from(state.total_in() - before).map_err(|e| e.to_string())?;
        if taken == 0 {
            return Err("a compressed message has no end".into());
        }
        at += taken;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole() {
        let (mut frames, mut data) = (Frames::default(), Vec::new());
        frames.raw = b"\x82\x05INFO \x88\x05\x03\xe8bye\x82".to_vec();
        frames.take(&mut data).unwrap();
        assert_eq!((&data[..], &frames.raw[..]), (&b"INFO CLOSE 1000 bye\r\n"[..], &b"\x82"[..]));
        frames.raw = b"\x82\x81".to_vec();
        assert!(frames.take(&mut data).is_err());
        assert_eq!(frame(b"a"), [0x82, 0x81, 0x11, 0x22, 0x33, 0x44, b'a' ^ 0x11]);
    }

    #[test]
    fn compressed_messages_are_inflated() {
        // "Hello" of RFC 7692, 7.2.3.1, in two frames.
        let (mut frames, mut data) = (Frames::default(), Vec::new());
        frames.raw = b"\x42\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00\x82\x01!".to_vec();
        frames.take(&mut data).unwrap();
        assert_eq!((&data[..], frames.compressed, frames.largest), (&b"Hello!"[..], 1, 4));
        assert_eq!(deflated_frame(b"Hello").unwrap()[0], 0xc2);
    }
}
