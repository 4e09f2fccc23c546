//! One raw connection of a case.
//!
//! Bytes are read only when a step waits for something, so a case can be a slow consumer by doing
//! nothing. Answers to `a?` requests arrive on a subscription of the harness's own (sid `r`) and
//! queue apart from everything else.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stream::{Frames, Stream, frame};
use crate::wire::{Frame, take};

/// The sid of the subscription that receives answers.
const ANSWERS_SID: &str = "r";

/// What waiting for an operation ended with.
pub(crate) enum Next {
    Frame(Frame),
    Timeout,
    Closed,
}

/// Which queue a step reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    Main,
    Answers,
}

pub(crate) struct Conn {
    /// Absent after a TLS handshake that failed.
    stream: Option<Stream>,
    buffer: Vec<u8>,
    /// Frames that are not whole yet, once there are frames.
    pub(crate) frames: Option<Frames>,
    main: VecDeque<Frame>,
    answers: VecDeque<Frame>,
    closed: bool,
    manual_pings: bool,
    /// Prefix of reply subjects, once subscribed.
    inbox: Option<String>,
    requests: u64,
    /// Messages by sid and subject, from the last tally.
    pub(crate) counts: Vec<(String, Vec<u8>)>,
}

impl Conn {
    pub(crate) fn dial(port: u16, manual_pings: bool) -> Result<Self, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))
            .map_err(|e| format!("connect: {e}"))?;
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
        Ok(Self {
            stream: Some(Stream::Plain(stream)),
            buffer: Vec::new(),
            frames: None,
            main: VecDeque::new(),
            answers: VecDeque::new(),
            closed: false,
            manual_pings,
            inbox: None,
            requests: 0,
            counts: Vec::new(),
        })
    }

    /// Sends bytes; a connection that the server has closed is noticed when it is read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.frames {
            Some(_) => self.send_raw(&frame(bytes)),
            None => self.send_raw(bytes),
        }
    }

    /// The same without a frame around.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        if stream.write_all(bytes).and_then(|()| stream.flush()).is_err() {
            self.closed |= bytes.is_empty();
        }
    }

    /// From now on bytes come in frames, beginning with those that were read already.
    pub(crate) fn begin_frames(&mut self) {
        let raw = std::mem::take(&mut self.buffer);
        self.frames = Some(Frames::new(raw));
    }

    /// Begins TLS; a handshake that fails closes the connection.
    pub(crate) fn secure(
        &mut self,
        config: Arc<rustls::ClientConfig>,
        name: Option<&str>,
    ) -> Result<(), String> {
        let stream = self.stream.take().ok_or("closed")?;
        match stream.secured(config, name) {
            Ok(stream) => self.stream = Some(stream),
            Err(_) => self.closed = true,
        }
        Ok(())
    }

    pub(crate) fn shutdown(&mut self) {
        if let Some(stream) = &self.stream {
            stream.shutdown();
        }
        self.closed = true;
    }

    /// The reply subject of the next request, and what must be sent before it.
    pub(crate) fn reply(&mut self, name: &str, word: &str) -> (String, Vec<u8>) {
        let mut first = Vec::new();
        let inbox = self.inbox.get_or_insert_with(|| {
            let inbox = format!("_INBOX.{word}.{name}");
            first = format!("SUB {inbox}.* {ANSWERS_SID}\r\n").into_bytes();
            inbox
        });
        self.requests += 1;
        (format!("{inbox}.{}", self.requests), first)
    }

    /// The next operation of a queue, waiting until `deadline`.
    pub(crate) fn next(&mut self, queue: Queue, deadline: Instant) -> Result<Next, String> {
        loop {
            let waiting = match queue {
                Queue::Main => self.main.pop_front(),
                Queue::Answers => self.answers.pop_front(),
            };
            if let Some(frame) = waiting {
                return Ok(Next::Frame(frame));
            }
            if self.sort()? {
                continue;
            }
            if self.closed {
                return Ok(Next::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Timeout);
            }
            self.read(left)?;
        }
    }

    /// Moves one whole operation from the buffer to its queue.
    fn sort(&mut self) -> Result<bool, String> {
        if let Some(frames) = &mut self.frames {
            frames.take(&mut self.buffer)?;
        }
        let Some(frame) = take(&mut self.buffer)? else { return Ok(false) };
        if frame.bytes == b"PING" && !self.manual_pings {
            self.send(b"PONG\r\n");
        } else if frame.sid.as_deref() == Some(ANSWERS_SID) {
            self.answers.push_back(frame);
        } else {
            self.main.push_back(frame);
        }
        Ok(true)
    }

    fn read(&mut self, left: Duration) -> Result<(), String> {
        let Some(stream) = &mut self.stream else {
            self.closed = true;
            return Ok(());
        };
        stream.set_read_timeout(left).map_err(|e| format!("read: {e}"))?;
        let mut chunk = vec![0; 64 << 10];
        match stream.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(n) => {
                let raw = self.frames.as_mut().map_or(&mut self.buffer, |frames| &mut frames.raw);
                raw.extend_from_slice(&chunk[..n]);
            }
            Err(e) => match e.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                // A server that closes with bytes unread resets the connection: closed as well.
                // An alert of TLS ends it too.
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::InvalidData => {
                    self.closed = true;
                }
                _ => return Err(format!("read: {e}")),
            },
        }
        Ok(())
    }

    /// Puts an operation back in front.
    pub(crate) fn put_back(&mut self, queue: Queue, frame: Frame) {
        match queue {
            Queue::Main => self.main.push_front(frame),
            Queue::Answers => self.answers.push_front(frame),
        }
    }

    /// Counts messages until PONG.
    pub(crate) fn tally(&mut self, deadline: Instant) -> Result<(), String> {
        self.send(b"PING\r\n");
        self.counts.clear();
        loop {
            match self.next(Queue::Main, deadline)? {
                Next::Frame(frame) if frame.bytes == b"PONG" => return Ok(()),
                Next::Frame(frame) => {
                    if let (Some(sid), Some(subject)) = (&frame.sid, frame.subject()) {
                        self.counts.push((sid.clone(), subject.to_vec()));
                    }
                }
                Next::Timeout => return Err("no PONG".to_owned()),
                Next::Closed => return Err("closed before PONG".to_owned()),
            }
        }
    }
}
