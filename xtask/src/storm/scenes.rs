//! The scenes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::sockets::{give, open, take};
use super::{Scene, Stage, must};
use crate::lines::Client;

/// How long the floods last.
const FLOOD: Duration = Duration::from_secs(5);
/// Threads that make noise.
const NOISE: usize = 2;

const LOGIN: &str = "authorization { user: u, password: p, timeout: 30 }";
const SHORT_LOGIN: &str = "authorization { user: u, password: p, timeout: 2 }";
const OPEN: &str = "debug: false";
const PINGS: &str = "ping_interval: \"1s\", ping_max: 2";
const SMALL_PENDING: &str = "max_pending: 16777216";
const LONG_LINES: &str = "max_control_line: 131072";

/// All of them.
pub(super) const ALL: &[Scene] = &[
    Scene {
        name: "silent",
        what: "10,000 silent connections before login",
        config: LOGIN,
        play: silent,
    },
    Scene {
        name: "timeout",
        what: "the same, with 2 s to log in",
        config: SHORT_LOGIN,
        play: timeout,
    },
    Scene {
        name: "flood",
        what: "1,000 connections that flood before login, and come again",
        config: LOGIN,
        play: flood,
    },
    Scene { name: "storm", what: "connect, read INFO, leave, in loops", config: OPEN, play: storm },
    Scene {
        name: "half-open",
        what: "1,000 clients that answer no ping",
        config: PINGS,
        play: half_open,
    },
    Scene {
        name: "slow",
        what: "a subscriber that does not read, and a flood for it",
        config: SMALL_PENDING,
        play: slow,
    },
    Scene {
        name: "long-subject",
        what: "subjects of 64 KB, 4 KB lines allowed",
        config: OPEN,
        play: long_subject_refused,
    },
    Scene {
        name: "long-line",
        what: "subjects of 64 KB, 128 KB lines allowed",
        config: LONG_LINES,
        play: long_subject_taken,
    },
    Scene {
        name: "wildcards",
        what: "1,000 subscriptions of 500 tokens, every other a *",
        config: OPEN,
        play: wildcards,
    },
    Scene {
        name: "branches",
        what: "16,384 subscriptions {a,*}^14.x, messages to a^14.y that nobody wants",
        config: OPEN,
        play: branches,
    },
    Scene {
        name: "million",
        what: "a million subscriptions of one client",
        config: OPEN,
        play: million,
    },
];

fn silent(stage: &Stage) -> Result<String> {
    let count = stage.count(10_000);
    let before = stage.memory()?;
    let begin = Instant::now();
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        sockets.push(open(stage.port)?);
    }
    // Each was greeted, so each was accepted.
    for socket in &mut sockets {
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut greeting = [0; 5];
        socket.read_exact(&mut greeting).context("no greeting")?;
    }
    let took = begin.elapsed().as_secs_f64();
    thread::sleep(Duration::from_secs(1));
    let each = stage.memory()?.saturating_sub(before) / count as u64;
    Ok(format!("all greeted in {took:.1} s, {:.1} KB each", each as f64 / 1e3))
}

/// Waits until the server has closed all of these, which do not block; after how many seconds that was.
fn all_closed(stage: &Stage, mut sockets: Vec<TcpStream>, otherwise: &str) -> Result<f64> {
    let begin = Instant::now();
    let gone = stage.wait(Duration::from_secs(30), || {
        sockets.retain_mut(|socket| {
            loop {
                match take(socket) {
                    None => return false,
                    Some(bytes) if bytes.is_empty() => return true,
                    Some(_) => {}
                }
            }
        });
        Ok(sockets.is_empty())
    })?;
    must(gone, otherwise)?;
    Ok(begin.elapsed().as_secs_f64())
}

fn timeout(stage: &Stage) -> Result<String> {
    let count = stage.count(10_000);
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = open(stage.port)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let last = all_closed(stage, sockets, "connections that never logged in are still there")?;
    Ok(format!("all sent away, the last after {last:.1} s"))
}

fn flood(stage: &Stage) -> Result<String> {
    let count = stage.count(1000);
    let (stop, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    // A CONNECT that never ends.
    let noise = [b"CONNECT {\"name\":\"".as_slice(), &[b'a'; 60_000]].concat();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..NOISE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let fresh = || -> Result<TcpStream> {
                        let socket = open(stage.port)?;
                        socket.set_nonblocking(true)?;
                        Ok(socket)
                    };
                    let sockets = (0..count / NOISE).map(|_| fresh());
                    let mut sockets = sockets.collect::<Result<Vec<TcpStream>>>()?;
                    while !stop.load(Ordering::Relaxed) {
                        for socket in &mut sockets {
                            if !give(socket, &noise) || take(socket).is_none() {
                                ended.fetch_add(1, Ordering::Relaxed);
                                *socket = fresh()?;
                            }
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        thread::sleep(FLOOD);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow::anyhow!("a flood panicked"))?
        })
    })?;
    let each = ended.load(Ordering::Relaxed) as f64 / FLOOD.as_secs_f64();
    Ok(format!("{each:.0} connections a second sent away"))
}

fn storm(stage: &Stage) -> Result<String> {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..NOISE * 4)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while !stop.load(Ordering::Relaxed) {
                        let mut socket = open(stage.port)?;
                        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
                        let mut greeting = [0; 4];
                        socket.read_exact(&mut greeting).context("no greeting")?;
                        // Without the wait that a port has after an orderly end.
                        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        thread::sleep(FLOOD);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        })
    })?;
    let rate = count.load(Ordering::Relaxed) as f64 / FLOOD.as_secs_f64();
    Ok(format!("{rate:.0} connections a second greeted"))
}

fn half_open(stage: &Stage) -> Result<String> {
    let mut sockets = Vec::new();
    for _ in 0..stage.count(1000) {
        let mut socket = open(stage.port)?;
        socket.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let last = all_closed(stage, sockets, "clients that answer no ping are still there")?;
    Ok(format!("all found stale, the last after {last:.1} s"))
}

fn slow(stage: &Stage) -> Result<String> {
    let mut slow = open(stage.port)?;
    slow.write_all(b"CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n")?;
    slow.set_read_timeout(Some(Duration::from_secs(20)))?;
    // Until it is subscribed.
    let mut answers = Vec::new();
    while !answers.ends_with(b"PONG\r\n") {
        let mut byte = [0];
        slow.read_exact(&mut byte)?;
        answers.push(byte[0]);
    }
    let mut publisher = Client::connect(stage.port, "publisher")?;
    let begin = Instant::now();
    let body = "x".repeat(1000);
    let (mut sent, mut gone) = (0_u64, false);
    while !gone && begin.elapsed() < Duration::from_secs(30) {
        for _ in 0..500 {
            publisher.publish("flood", "", "", &body);
        }
        publisher.ping()?;
        sent += 500;
        // Once the server has closed it nobody takes what it sends.
        slow.set_nonblocking(true)?;
        gone = !give(&mut slow, b"PING\r\n");
    }
    must(gone, "the slow subscriber is still there")?;
    let (mega, took) = (sent as f64 / 1e3, begin.elapsed().as_secs_f64());
    Ok(format!("closed after {mega:.0} MB in {took:.1} s"))
}

/// Sends bytes after a login and tells what is said in the end, the connection closed or not.
fn answer(stage: &Stage, bytes: &[u8]) -> Result<String> {
    let mut socket = open(stage.port)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
    // The server may have enough before all is sent.
    let _ = socket.write_all(bytes);
    let _ = socket.write_all(b"PING\r\n");
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(_) => break,
        }
        if text.ends_with(b"PONG\r\n") {
            return Ok("taken".into());
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let said = text.lines().find(|line| line.starts_with("-ERR")).unwrap_or("closed");
    Ok(said.to_owned())
}

fn long_subject_refused(stage: &Stage) -> Result<String> {
    let subject = "s".repeat(64 << 10);
    let sub = answer(stage, format!("SUB {subject} 1\r\n").as_bytes())?;
    let publish = answer(stage, format!("PUB {subject} 1\r\nx\r\n").as_bytes())?;
    must(sub.starts_with("-ERR") && publish.starts_with("-ERR"), "no clear error")?;
    Ok(format!("SUB: {sub}; PUB: {publish}"))
}

fn long_subject_taken(stage: &Stage) -> Result<String> {
    let mut client = Client::connect(stage.port, "long")?;
    let begin = Instant::now();
    let count = stage.count(200);
    for number in 0..count {
        let subject = format!("{}.{number}", "s".repeat(64 << 10));
        client.send(&format!("SUB {subject} {number}x\r\n"));
        client.publish(&subject, "", "", "x");
        client.flush()?;
        let message = client.next()?;
        must(message.subject == subject, "another message came")?;
    }
    let each = begin.elapsed().as_secs_f64() * 1e6 / count as f64;
    Ok(format!("{count} subscribed, each delivered to, {each:.0} us each"))
}

fn wildcards(stage: &Stage) -> Result<String> {
    let mut client = Client::connect(stage.port, "wild")?;
    let count = stage.count(1000);
    let tokens = |number: usize, other: &str| {
        let token = |at: usize| match at % 2 {
            1 => other.to_owned(),
            _ => (number + at / 2).to_string(),
        };
        (0..500).map(token).collect::<Vec<_>>().join(".")
    };
    for number in 0..count {
        client.send(&format!("SUB {} {number}w\r\n", tokens(number, "*")));
    }
    client.ping()?;
    let begin = Instant::now();
    // Other tokens each time, so that no cache helps; one subscription wants each.
    for number in 0..count {
        client.publish(&tokens(number, &number.to_string()), "", "", "x");
        client.flush()?;
        client.next()?;
    }
    let each = begin.elapsed().as_secs_f64() * 1e6 / count as f64;
    Ok(format!("each delivered to once, {each:.0} us a message"))
}

fn branches(stage: &Stage) -> Result<String> {
    let mut client = Client::connect(stage.port, "branches")?;
    let depth = if stage.quick { 10 } else { 14 };
    for number in 0..1_u32 << depth {
        let tokens = (0..depth).map(|bit| if number >> bit & 1 == 1 { "*" } else { "a" });
        client.send(&format!("SUB {}.x {number}b\r\n", tokens.collect::<Vec<_>>().join(".")));
    }
    client.ping()?;
    let begin = Instant::now();
    let literal = vec!["a"; depth].join(".");
    for number in 0..500 {
        client.publish(&format!("{literal}.y{number}"), "", "", "x");
    }
    client.ping()?;
    let each = begin.elapsed().as_secs_f64() * 1e6 / 500.0;
    Ok(format!("{each:.0} us a message"))
}

fn million(stage: &Stage) -> Result<String> {
    let count = stage.count(1_000_000);
    let before = stage.memory()?;
    let mut client = Client::connect(stage.port, "million")?;
    let begin = Instant::now();
    for number in 0..count {
        client.send(&format!("SUB m.{number}.x {number}m\r\n"));
        if number % 1000 == 999 {
            client.flush()?;
        }
    }
    client.ping()?;
    let took = begin.elapsed().as_secs_f64();
    let each = stage.memory()?.saturating_sub(before) / count as u64;
    client.publish(&format!("m.{}.x", count / 2), "", "", "x");
    client.flush()?;
    client.next()?;
    drop(client);
    let left = stage.wait(Duration::from_secs(30), || {
        // Served again at once, whatever it takes to forget them.
        let mut other = Client::connect(stage.port, "other")?;
        other.publish(&format!("m.{}.x", count / 2), "_INBOX.other.r", "", "x");
        other.ping()?;
        Ok(other.early().is_some_and(|message| message.headers.starts_with("NATS/1.0 503")))
    })?;
    must(left, "subscriptions of a client that left are still there")?;
    Ok(format!("taken in {took:.1} s, {each} bytes each; one of them delivered to"))
}
