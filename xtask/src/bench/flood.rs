//! Publishers that send as fast as the server reads, for the question what others notice of them.
//!
//! They are a program of their own (`cargo xtask flood`), so that they can be bound to the CPU of the load.
//! Bytes are prepared once: nearly all their time is the kernel's.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::process::{Places, pinned};
use crate::arguments::Arguments;

/// What is written at once.
const BLOCK: usize = 64 * 1024;
const MESSAGE: &str = "PUB flood 128\r\n";
const BODY: usize = 128;
/// The program's word that all publishers send.
const STARTED: &str = "started";

/// `cargo xtask flood --url URL --clients N`: until it is killed, or the server goes.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let url = arguments.option("--url")?.context("--url is missing")?;
    let clients = arguments.number("--clients")?.unwrap_or(1_u32);
    arguments.end()?;
    let address = url.trim_start_matches("nats://");
    let mut publishers = Vec::new();
    for _ in 0..clients {
        let socket = TcpStream::connect(address).with_context(|| address.to_owned())?;
        let mut answers = BufReader::new(socket.try_clone()?);
        (&socket).write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            ensure!(answers.read_line(&mut line)? > 0, "the server closed the connection");
        }
        publishers.push(std::thread::spawn(move || publish(socket)));
    }
    println!("{STARTED}");
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap_or_default());
    Ok(())
}

fn publish(mut socket: TcpStream) {
    let message = [MESSAGE.as_bytes(), &[b'x'; BODY], b"\r\n"].concat();
    let block = message.repeat(BLOCK / message.len());
    while socket.write_all(&block).is_ok() {}
}

/// The running program; dropping it ends it.
pub(super) struct Flood(Child);

impl Flood {
    pub(super) fn start(url: &str, clients: u32, places: Places) -> Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        program.args(["flood", "--url", url, "--clients", &clients.to_string()]);
        let mut program = pinned(program, places.load);
        program.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Self(program.spawn().with_context(|| format!("{program:?}"))?);
        let output = child.0.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == STARTED, "the flood did not begin");
        Ok(child)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // Both fail only when it is over already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
