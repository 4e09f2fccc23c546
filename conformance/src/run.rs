//! One case against one server.

mod outside;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::case::{Action, Case, Expect, Opening, Step};
use crate::certificates;
use crate::compare::{match_body, match_frame, mismatch};
use crate::conn::{Conn, Next, Queue};
use crate::pattern::Captures;
use crate::server::{Program, Server};
use crate::stream::{deflated_frame, frame, upgrade_request};
use crate::text::{Env, expand, show, substitute};
use crate::web;
use crate::wire::Frame;

/// A failure shows at most so many lines of what went before.
const SHOWN_LINES: usize = 14;
/// And so many bytes of each.
const TRACE_BYTES: usize = 240;
/// No case takes longer, but for one that has a step which may.
const CASE_MAX: Duration = Duration::from_secs(25);

/// What the monitoring port answered last.
struct Answer {
    path: String,
    status: u16,
    body: Vec<u8>,
}

pub(crate) struct Run<'a> {
    case: &'a Case,
    program: &'a Program,
    server: Option<&'a mut Server>,
    directory: PathBuf,
    conns: HashMap<String, Conn>,
    env: Env,
    transcript: Vec<String>,
    mark: Instant,
    started: Instant,
    last_run: Option<(i32, String)>,
    last_answer: Option<Answer>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        case: &'a Case,
        program: &'a Program,
        server: Option<&'a mut Server>,
        directory: PathBuf,
    ) -> Self {
        let mut env = Env::from([("s".to_owned(), case.word.clone())]);
        env.insert("dir".to_owned(), directory.to_string_lossy().into_owned());
        if let Some(server) = &server {
            env.insert("port".to_owned(), server.port().to_string());
            env.insert("mport".to_owned(), server.monitor_port().to_string());
            env.insert("wport".to_owned(), server.websocket_port().to_string());
            env.insert("hport".to_owned(), web::port().to_string());
            env.insert("pin".to_owned(), certificates::pin(server.directory()));
            env.insert("pid".to_owned(), server.pid().unwrap_or(0).to_string());
        }
        let name = program.path.file_name().map(|name| name.to_string_lossy().into_owned());
        env.insert("prog".to_owned(), name.unwrap_or_default());
        let now = Instant::now();
        Self {
            case,
            program,
            server,
            directory,
            conns: HashMap::new(),
            env,
            transcript: Vec::new(),
            mark: now,
            started: now,
            last_run: None,
            last_answer: None,
        }
    }

    /// Runs all steps; the error is a report of several lines.
    pub(crate) fn run(mut self) -> Result<(), String> {
        let longest = CASE_MAX.max(Duration::from_millis(self.case.patience_ms + 5000));
        for step in &self.case.steps {
            if step.only.is_some_and(|only| only != self.program.witness) {
                continue;
            }
            let result = match self.started.elapsed() > longest {
                true => Err(format!("the case takes longer than {longest:?}")),
                false => self.step(step),
            };
            if let Err(error) = result {
                return Err(self.report(step, &error));
            }
        }
        Ok(())
    }

    fn report(&mut self, step: &Step, error: &str) -> String {
        let mut out = String::new();
        let skipped = self.transcript.len().saturating_sub(SHOWN_LINES);
        for line in &self.transcript[skipped..] {
            let _ = writeln!(out, "      {line}");
        }
        let _ = writeln!(out, "    line {}: {}", step.line, step.text.replace('\n', "\n      "));
        for line in error.lines() {
            let _ = writeln!(out, "      {line}");
        }
        if let Some(server) = &mut self.server
            && server.has_died()
        {
            let _ = writeln!(out, "      the server has ended:\n{}", server.log_tail());
        }
        out
    }

    fn patience(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.case.patience_ms)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Open(name, opening) => self.open(name, opening),
            Action::Send { conn, text, line, bytewise } => {
                let mut bytes = expand(text, &self.env)?;
                if *line {
                    bytes.extend_from_slice(b"\r\n");
                }
                self.send(conn, &bytes, *bytewise)
            }
            Action::Secure { conn, show, name, only } => {
                let config = certificates::client(&self.directory, show.as_deref(), *only)?;
                self.conn(conn)?.secure(config, name.as_deref())
            }
            Action::Frame { conn, first, text, masked } => {
                let mut bytes = frame(&expand(text, &self.env)?);
                bytes[0] = *first;
                if !masked {
                    let payload = expand(text, &self.env)?;
                    bytes = vec![*first, u8::try_from(payload.len()).map_err(|e| e.to_string())?];
                    bytes.extend(payload);
                }
                self.conn(conn)?.send_raw(&bytes);
                Ok(())
            }
            Action::Deflate(conn, text) => {
                let frame = deflated_frame(&expand(text, &self.env)?)?;
                self.conn(conn)?.send_raw(&frame);
                Ok(())
            }
            Action::Framed(conn, compressed, range) => {
                let frames = self.conn(conn)?.frames.as_ref().ok_or("no WebSocket")?;
                let value = if *compressed { frames.compressed } else { frames.largest };
                match range.holds(value) {
                    true => Ok(()),
                    false => Err(format!("it is {value}")),
                }
            }
            Action::Publish { conn, headers, subject, body, reply } => {
                self.publish(conn, headers, subject, body, *reply)
            }
            Action::Store(inner) => {
                let Action::Publish { conn, headers, subject, body, reply } = &**inner else {
                    return Err("not a publish".to_owned());
                };
                self.publish(conn, headers, subject, body, *reply)?;
                let ack = r#"{"seq":"<number>","error":"<absent>"}"#;
                self.expect(conn, &Expect::Answer(ack.to_owned()))
            }
            Action::Expect(conn, expect) => self.expect(conn, expect),
            Action::Ping(conn) => {
                self.send(conn, b"PING\r\n", false)?;
                self.expect(conn, &Expect::Frame("PONG".to_owned()))
            }
            Action::Tally(conn) => {
                let deadline = self.patience();
                self.conn(conn)?.tally(deadline)
            }
            Action::Tallied(conn, key, range) => {
                let key = String::from_utf8_lossy(&expand(key, &self.env)?).into_owned();
                let counts = &self.conn(conn)?.counts;
                let matching = |(sid, subject): &&(String, Vec<u8>)| match key.split_once(':') {
                    Some(("sid", wanted)) => sid == wanted,
                    Some(("subject", wanted)) => subject == wanted.as_bytes(),
                    _ => key == "all",
                };
                let count = counts.iter().filter(matching).count() as u64;
                let total = counts.len();
                match range.holds(count) {
                    true => Ok(()),
                    false => Err(format!("counted {count} of {total}")),
                }
            }
            Action::Close(name) => {
                self.conn(name)?.shutdown();
                self.conns.remove(name);
                Ok(())
            }
            Action::Wait(ms) => {
                std::thread::sleep(Duration::from_millis(*ms));
                Ok(())
            }
            Action::Mark => {
                self.mark = Instant::now();
                Ok(())
            }
            Action::Took(range) => {
                let ms = u64::try_from(self.mark.elapsed().as_millis()).unwrap_or(u64::MAX);
                match range.holds(ms) {
                    true => Ok(()),
                    false => Err(format!("took {ms} ms")),
                }
            }
            Action::Repeat(count, inner) => {
                for i in 1..=*count {
                    self.env.insert("i".to_owned(), i.to_string());
                    self.step(inner)?;
                }
                Ok(())
            }
            outside => self.outside(outside),
        }
    }

    fn conn(&mut self, name: &str) -> Result<&mut Conn, String> {
        if !self.conns.contains_key(name) {
            let connect = self.case.connect.clone();
            self.open(name, &Opening::Connect(connect))?;
        }
        self.conns.get_mut(name).ok_or_else(|| format!("no connection {name}"))
    }

    fn open(&mut self, name: &str, opening: &Opening) -> Result<(), String> {
        if self.conns.contains_key(name) {
            return Err(format!("{name} is open"));
        }
        let server = self.server.as_ref().ok_or("this case has no server")?;
        if let Opening::WebSocket { fields, shown } = opening {
            let conn = Conn::dial(server.websocket_port(), self.case.manual_pings)?;
            self.conns.insert(name.to_owned(), conn);
            return self.upgrade(name, fields, *shown);
        }
        let port = server.port();
        let conn = Conn::dial(port, self.case.manual_pings)?;
        self.conns.insert(name.to_owned(), conn);
        if *opening == Opening::Raw {
            return Ok(());
        }
        self.expect(name, &Expect::Frame("INFO <rest>".to_owned()))?;
        if let Opening::Connect(options) = opening {
            let options = substitute(options, &self.env)?;
            self.send(name, format!("CONNECT {options}\r\nPING\r\n").as_bytes(), false)?;
            self.expect(name, &Expect::Frame("PONG".to_owned()))?;
        }
        Ok(())
    }

    /// The handshake of a WebSocket: frames begin after the empty line of an answer that says 101.
    fn upgrade(&mut self, name: &str, fields: &[String], shown: bool) -> Result<(), String> {
        let fields: Result<Vec<String>, String> =
            fields.iter().map(|field| substitute(field, &self.env)).collect();
        let request = upgrade_request(&fields?);
        self.conn(name)?.send_raw(&request);
        let mut lines = Vec::new();
        loop {
            let line = self.frame(name, Queue::Main)?;
            let is_last = line.bytes.is_empty();
            lines.push(line);
            if is_last {
                break;
            }
        }
        let conn = self.conn(name)?;
        if lines[0].bytes.starts_with(b"HTTP/1.1 101 ") {
            conn.begin_frames();
        }
        if shown {
            lines.into_iter().rev().for_each(|line| conn.put_back(Queue::Main, line));
        }
        Ok(())
    }

    fn send(&mut self, name: &str, bytes: &[u8], bytewise: bool) -> Result<(), String> {
        self.conn(name)?;
        self.transcript.push(format!("{name}> {}", show(bytes, TRACE_BYTES)));
        let conn = self.conn(name)?;
        if bytewise {
            for byte in bytes {
                conn.send(std::slice::from_ref(byte));
                // Lets the server read this byte before the next one is there.
                std::thread::sleep(Duration::from_micros(300));
            }
        } else {
            conn.send(bytes);
        }
        Ok(())
    }

    fn publish(
        &mut self,
        name: &str,
        headers: &[String],
        subject: &str,
        body: &str,
        reply: bool,
    ) -> Result<(), String> {
        let word = self.case.word.clone();
        let subject = expand(subject, &self.env)?;
        let body = expand(body, &self.env)?;
        let mut block = Vec::new();
        if !headers.is_empty() {
            block.extend_from_slice(b"NATS/1.0\r\n");
            for header in headers {
                block.extend(expand(header, &self.env)?);
                block.extend_from_slice(b"\r\n");
            }
            block.extend_from_slice(b"\r\n");
        }
        let (reply, mut bytes) = match reply {
            true => self.conn(name)?.reply(name, &word),
            false => (String::new(), Vec::new()),
        };
        bytes.extend_from_slice(if headers.is_empty() { b"PUB " } else { b"HPUB " });
        bytes.extend(subject);
        if !reply.is_empty() {
            bytes.extend(format!(" {reply}").bytes());
        }
        if !headers.is_empty() {
            bytes.extend(format!(" {}", block.len()).bytes());
        }
        bytes.extend(format!(" {}\r\n", block.len() + body.len()).bytes());
        bytes.extend(block);
        bytes.extend(body);
        bytes.extend_from_slice(b"\r\n");
        self.send(name, &bytes, false)
    }

    fn remember(&mut self, captures: Captures) {
        self.env.extend(captures);
    }

    /// The next operation, written into the transcript.
    fn next(&mut self, name: &str, queue: Queue, deadline: Instant) -> Result<Next, String> {
        let next = self.conn(name)?.next(queue, deadline)?;
        let line = match &next {
            // The INFO that opens each connection is rarely what matters.
            Next::Frame(frame) if frame.bytes.starts_with(b"INFO ") => {
                format!("{name}< {}", show(&frame.bytes, 60))
            }
            Next::Frame(frame) => format!("{name}< {}", show(&frame.bytes, TRACE_BYTES)),
            Next::Closed => format!("{name}< (closed)"),
            Next::Timeout => return Ok(next),
        };
        self.transcript.push(line);
        Ok(next)
    }

    fn frame(&mut self, name: &str, queue: Queue) -> Result<Frame, String> {
        let deadline = self.patience();
        match self.next(name, queue, deadline)? {
            Next::Frame(frame) => Ok(frame),
            Next::Closed => Err("the server closed the connection".to_owned()),
            Next::Timeout => Err(format!("nothing came in {} ms", self.case.patience_ms)),
        }
    }

    fn expect(&mut self, name: &str, expect: &Expect) -> Result<(), String> {
        match expect {
            Expect::Frame(text) => self.expect_frame(name, Queue::Main, std::slice::from_ref(text)),
            Expect::AnswerFrame(text) => {
                self.expect_frame(name, Queue::Answers, std::slice::from_ref(text))
            }
            Expect::OneOf(texts) => self.expect_frame(name, Queue::Main, texts),
            Expect::AnyOrder(texts) => {
                let mut left = texts.clone();
                while !left.is_empty() {
                    let frame = self.frame(name, Queue::Main)?;
                    let hit = left.iter().position(|text| {
                        match_frame(text, &frame, &self.env).is_ok_and(|found| found.is_ok())
                    });
                    let Some(hit) = hit else {
                        return Err(mismatch(&left.join("\n          "), &frame.bytes));
                    };
                    let text = left.remove(hit);
                    let captures = match_frame(&text, &frame, &self.env)?.unwrap_or_default();
                    self.remember(captures);
                }
                Ok(())
            }
            Expect::Nothing(ms) => self.expect_nothing(name, Queue::Main, *ms),
            Expect::NoAnswer(ms) => self.expect_nothing(name, Queue::Answers, *ms),
            Expect::Close => {
                let deadline = self.patience();
                match self.next(name, Queue::Main, deadline)? {
                    Next::Closed => Ok(()),
                    Next::Frame(frame) => Err(mismatch("(closed)", &frame.bytes)),
                    Next::Timeout => Err("the connection stays open".to_owned()),
                }
            }
            Expect::Gone => {
                let deadline = self.patience();
                loop {
                    match self.next(name, Queue::Main, deadline)? {
                        Next::Closed => return Ok(()),
                        Next::Frame(frame)
                            if frame.bytes.starts_with(b"CLOSE")
                                || frame.bytes.starts_with(b"-ERR ") => {}
                        Next::Frame(frame) => return Err(mismatch("(closed)", &frame.bytes)),
                        Next::Timeout => return Err("the connection stays open".to_owned()),
                    }
                }
            }
            Expect::Answer(text) | Expect::Exact(text) => {
                let frame = self.frame(name, Queue::Answers)?;
                let exact = matches!(expect, Expect::Exact(_));
                let captures = match_body(text, frame.payload(), exact, &self.env)?
                    .map_err(|why| format!("{}\n{why}", mismatch(text, &frame.bytes)))?;
                self.remember(captures);
                Ok(())
            }
        }
    }

    fn expect_frame(&mut self, name: &str, queue: Queue, texts: &[String]) -> Result<(), String> {
        let frame = self.frame(name, queue)?;
        let mut why = String::new();
        for text in texts {
            match match_frame(text, &frame, &self.env)? {
                Ok(captures) => {
                    self.remember(captures);
                    return Ok(());
                }
                Err(reason) => why = reason,
            }
        }
        Err(format!("{}\n{why}", mismatch(&texts.join("\n          "), &frame.bytes)))
    }

    fn expect_nothing(&mut self, name: &str, queue: Queue, ms: u64) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_millis(ms);
        match self.next(name, queue, deadline)? {
            Next::Timeout => Ok(()),
            Next::Closed => Err("the server closed the connection".to_owned()),
            Next::Frame(frame) => {
                let error = mismatch("(nothing)", &frame.bytes);
                self.conn(name)?.put_back(queue, frame);
                Err(error)
            }
        }
    }
}
