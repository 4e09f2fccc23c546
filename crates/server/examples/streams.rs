//! How fast publishers store on many streams, each message synced before its acknowledgement.
//!
//! ```text
//! streams SERVER [PUBLISHERS [SECONDS [STREAMS [own]]]]
//! ```
//!
//! Starts `SERVER` (a command line, to which `-a`, `-p` and `-c` are added) on a fresh store with
//! `sync_interval: always`, on CPU 0 if `taskset` is there, and publishes 128 bytes at a time from
//! `PUBLISHERS` connections (64) over `STREAMS` (1,16,64,500) file streams for `SECONDS` (3), each publisher
//! with 1 and then 100 messages under way, and each going round all streams, message by message; with `own`
//! each publisher writes to one stream of its own, as far as there are enough.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Server {
    child: Child,
    port: u16,
    _store: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(command: &str) -> Result<Self, Failure> {
        let store = tempfile::tempdir()?;
        let config = store.path().join("server.conf");
        let directory = store.path().join("js");
        std::fs::write(
            &config,
            format!("jetstream {{ store_dir: {directory:?}, sync_interval: always }}\n"),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut words: Vec<&str> = command.split_whitespace().collect();
        if Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok() {
            words.splice(0..0, ["taskset", "-c", "0"]);
        }
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Server { child, port, _store: store };
        let begun = Instant::now();
        while let Err(error) = Client::open(server.port, 0) {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Seconds of CPU that it used, where `/proc` tells.
    fn cpu(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

/// What a publisher writes to.
#[derive(Clone, Copy)]
struct Streams {
    count: usize,
    /// How far the next message's stream is from this one's.
    step: usize,
}

/// One connection with an inbox.
struct Client {
    number: usize,
    write: TcpStream,
    read: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn open(port: u16, number: usize) -> Result<Self, Failure> {
        let mut write = TcpStream::connect(("127.0.0.1", port))?;
        write.set_nodelay(true)?;
        let mut read = BufReader::with_capacity(64 << 10, write.try_clone()?);
        let mut line = String::new();
        read.read_line(&mut line)?;
        write!(write, "CONNECT {{\"verbose\":false}}\r\nSUB _R.{number} 1\r\nPING\r\n")?;
        while line != "PONG\r\n" {
            line.clear();
            if read.read_line(&mut line)? == 0 {
                return Err("the connection is closed".into());
            }
        }
        Ok(Client { number, write, read, body: Vec::new() })
    }

    /// The body of the next message.
    fn next(&mut self) -> Result<&[u8], Failure> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.read.read_line(&mut line)? == 0 {
                return Err("the connection is closed".into());
            }
            if line.starts_with("MSG ") {
                let len =
                    line.trim_end().rsplit(' ').next().unwrap_or_default().parse::<usize>()?;
                self.body.resize(len + 2, 0);
                self.read.read_exact(&mut self.body)?;
                return Ok(&self.body[..len]);
            }
            if line.starts_with("PING") {
                self.write.write_all(b"PONG\r\n")?;
            } else if line.starts_with("-ERR") {
                return Err(line.into());
            }
        }
    }

    fn create(&mut self, stream: usize) -> Result<(), Failure> {
        let body = format!(r#"{{"name":"S{stream}","subjects":["s.{stream}"],"storage":"file"}}"#);
        let number = self.number;
        write!(
            self.write,
            "PUB $JS.API.STREAM.CREATE.S{stream} _R.{number} {}\r\n{body}\r\n",
            body.len()
        )?;
        let answer = String::from_utf8_lossy(self.next()?).into_owned();
        if answer.contains("\"error\"") { Err(answer.into()) } else { Ok(()) }
    }

    /// Publishes one message to each stream.
    fn fill(&mut self, streams: usize) -> Result<(), Failure> {
        for stream in 0..streams {
            write!(self.write, "PUB s.{stream} _R.{} 1\r\nx\r\n", self.number)?;
        }
        for _ in 0..streams {
            self.next()?;
        }
        Ok(())
    }

    /// Publishes with so many messages under way, until told to stop.
    fn publish(
        &mut self,
        streams: Streams,
        window: usize,
        stop: &AtomicBool,
        stored: &AtomicU64,
    ) -> Result<(), Failure> {
        let payload = [b'x'; 128];
        let (mut turn, mut under_way) = (self.number * 7, 0);
        let mut out = Vec::new();
        while under_way > 0 || !stop.load(Ordering::Relaxed) {
            out.clear();
            while under_way < window && !stop.load(Ordering::Relaxed) {
                let stream = turn % streams.count;
                write!(out, "PUB s.{stream} _R.{} {}\r\n", self.number, payload.len())?;
                out.extend_from_slice(&payload);
                out.extend_from_slice(b"\r\n");
                turn += streams.step;
                under_way += 1;
            }
            self.write.write_all(&out)?;
            // What has come, and at least one.
            loop {
                if under_way == 0 {
                    break;
                }
                let body = self.next()?;
                if !body.starts_with(b"{\"stream\":") {
                    return Err(String::from_utf8_lossy(body).into_owned().into());
                }
                under_way -= 1;
                stored.fetch_add(1, Ordering::Relaxed);
                if self.read.buffer().is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn measure(
    command: &str,
    publishers: usize,
    seconds: f64,
    streams: Streams,
) -> Result<(), Failure> {
    let count = streams.count;
    let server = Server::start(command)?;
    let mut first = Client::open(server.port, 0)?;
    for stream in 0..count {
        first.create(stream)?;
    }
    // Their first messages make their files.
    first.fill(count)?;
    for window in [1, 100] {
        let mut clients = Vec::new();
        for number in 1..=publishers {
            clients.push(Client::open(server.port, number)?);
        }
        let (stop, stored) = (AtomicBool::new(false), AtomicU64::new(0));
        let run = |client: &mut Client| client.publish(streams, window, &stop, &stored);
        let (rate, cpu) = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    std::thread::Builder::new()
                        .stack_size(256 << 10)
                        .spawn_scoped(scope, || run(client))
                })
                .collect();
            std::thread::sleep(Duration::from_secs(1));
            let (begun, cpu, before) =
                (Instant::now(), server.cpu(), stored.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_secs_f64(seconds));
            let done = (stored.load(Ordering::Relaxed) - before) as f64;
            let (wall, cpu) = (begun.elapsed().as_secs_f64(), server.cpu() - cpu);
            stop.store(true, Ordering::Relaxed);
            for thread in threads {
                thread?.join().map_err(|_| "a publisher panicked")??;
            }
            Ok::<_, Failure>((done / wall, cpu / done * 1e6))
        })?;
        println!(
            "{count:4} streams, {publishers} publishers, window {window:3}: {rate:9.0} msgs/s, {cpu:6.2} s/Mop"
        );
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let command =
        arguments.next().ok_or("usage: streams SERVER [PUBLISHERS [SECONDS [STREAMS [own]]]]")?;
    let publishers = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let counts = arguments.next().unwrap_or_else(|| "1,16,64,500".to_owned());
    let step = match arguments.next().as_deref() {
        None => 1,
        Some("own") => 0,
        Some(other) => return Err(format!("{other}: not known").into()),
    };
    for count in counts.split(',') {
        measure(&command, publishers, seconds, Streams { count: count.parse()?, step })?;
    }
    Ok(())
}
