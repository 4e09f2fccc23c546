//! A client that speaks the protocol over a plain socket, one step after the other: what was sent and
//! what came back is known exactly, also when the server dies in between.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A server that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message that came in.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) reply: String,
    /// The header block, or empty.
    pub(crate) headers: String,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }

    /// The payload as a number.
    pub(crate) fn number(&self) -> Option<u64> {
        std::str::from_utf8(&self.payload).ok()?.parse().ok()
    }
}

/// A connection. After an error it is of no use any more.
pub(crate) struct Client {
    input: BufReader<TcpStream>,
    output: TcpStream,
    unsent: Vec<u8>,
    inbox: String,
    /// The server's id, another one after each start.
    pub(crate) server: String,
    requests: u64,
    /// What came while something else was waited for.
    early: VecDeque<Message>,
}

fn broken(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}

impl Client {
    /// Connects to a port of the loopback address as user `u` with password `p`, with an inbox of this name below `_INBOX`.
    pub(crate) fn connect(port: u16, name: &str) -> io::Result<Self> {
        let output = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        output.set_nodelay(true)?;
        output.set_read_timeout(Some(PATIENCE))?;
        output.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self {
            input: BufReader::new(output.try_clone()?),
            output,
            unsent: Vec::new(),
            inbox: format!("_INBOX.{name}"),
            server: String::new(),
            requests: 0,
            early: VecDeque::new(),
        };
        let greeting = client.line()?;
        let Some(info) = greeting.strip_prefix("INFO ") else { return Err(broken(greeting)) };
        let info: Value = serde_json::from_str(info)?;
        client.server = info["server_id"].as_str().unwrap_or_default().to_owned();
        let inbox = client.inbox.clone();
        client.send(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
             \"user\":\"u\",\"pass\":\"p\",\"name\":\"{name}\"}}\r\nSUB {inbox}.> 1\r\n"
        ));
        client.ping()?;
        Ok(client)
    }

    /// A round trip.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.send("PING\r\n");
        self.flush()?;
        loop {
            let line = self.line()?;
            if line == "PONG" {
                return Ok(());
            }
            if let Some(message) = self.understand(&line)? {
                self.early.push_back(message);
            }
        }
    }

    /// Adds bytes to those of the next [`Client::flush`].
    pub(crate) fn send(&mut self, bytes: &str) {
        self.unsent.extend_from_slice(bytes.as_bytes());
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.write_all(&self.unsent)?;
        self.unsent.clear();
        Ok(())
    }

    /// Adds a message to what is to be sent; `headers` are lines with their ends.
    pub(crate) fn publish(&mut self, subject: &str, reply: &str, headers: &str, payload: &str) {
        if headers.is_empty() {
            self.send(&format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len()));
            return;
        }
        let block = format!("NATS/1.0\r\n{headers}\r\n");
        let all = block.len() + payload.len();
        self.send(&format!("HPUB {subject} {reply} {} {all}\r\n{block}{payload}\r\n", block.len()));
    }

    /// Where an answer comes in that is told from others by `token`.
    pub(crate) fn inbox(&self, token: &str) -> String {
        format!("{}.{token}", self.inbox)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn request(
        &mut self,
        subject: &str,
        headers: &str,
        payload: &str,
    ) -> io::Result<Message> {
        self.requests += 1;
        let reply = self.inbox(&format!("r{}", self.requests));
        self.publish(subject, &reply, headers, payload);
        self.flush()?;
        loop {
            let message = self.read()?;
            if message.subject == reply {
                return Ok(message);
            }
            self.early.push_back(message);
        }
    }

    /// A request to the JetStream API.
    pub(crate) fn api(&mut self, call: &str, payload: &str) -> io::Result<Value> {
        Ok(self.request(&format!("$JS.API.{call}"), "", payload)?.json())
    }

    /// The next message of those that came before something else.
    pub(crate) fn early(&mut self) -> Option<Message> {
        self.early.pop_front()
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> io::Result<Message> {
        match self.early.pop_front() {
            Some(message) => Ok(message),
            None => self.read(),
        }
    }

    fn read(&mut self) -> io::Result<Message> {
        loop {
            let line = self.line()?;
            if let Some(message) = self.understand(&line)? {
                return Ok(message);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// What a line means beside being a message.
    fn understand(&mut self, line: &str) -> io::Result<Option<Message>> {
        let mut words = line.split(' ');
        match words.next().unwrap_or_default() {
            "MSG" => {
                let words: Vec<&str> = words.collect();
                self.body(&words, 1).map(Some)
            }
            "HMSG" => {
                let words: Vec<&str> = words.collect();
                self.body(&words, 2).map(Some)
            }
            "PING" => {
                self.send("PONG\r\n");
                self.flush()?;
                Ok(None)
            }
            "INFO" | "+OK" | "PONG" => Ok(None),
            _ => Err(broken(line)),
        }
    }

    /// Reads the message of which these are the words: subject, sid, perhaps a reply, `sizes` numbers.
    fn body(&mut self, words: &[&str], sizes: usize) -> io::Result<Message> {
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok());
        let count = words.len();
        let total = count.checked_sub(1).and_then(number);
        let head = if sizes == 2 { count.checked_sub(2).and_then(number) } else { Some(0) };
        let (Some(total), Some(head)) = (total, head) else { return Err(broken(words.join(" "))) };
        let mut bytes = vec![0; total + 2];
        self.input.read_exact(&mut bytes)?;
        bytes.truncate(total);
        let payload = bytes.split_off(head.min(total));
        let reply = if count == 3 + sizes { words[2] } else { "" };
        Ok(Message {
            subject: words.first().copied().unwrap_or_default().to_owned(),
            reply: reply.to_owned(),
            headers: String::from_utf8_lossy(&bytes).into_owned(),
            payload,
        })
    }
}
