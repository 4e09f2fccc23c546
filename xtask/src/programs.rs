//! A program whose lines are read while it runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a program may take for the next thing asked of it, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; dropping it ends it.
pub(crate) struct Program {
    name: String,
    child: Child,
    arriving: Receiver<String>,
    lines: Vec<String>,
}

impl Program {
    /// Starts `command` and reads what it prints, on standard output and standard error.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let (sender, arriving) = channel();
        if let Some(output) = child.stdout.take() {
            read(output, sender.clone());
        }
        if let Some(output) = child.stderr.take() {
            read(output, sender);
        }
        Ok(Self { name: name.to_owned(), child, arriving, lines: Vec::new() })
    }

    /// Waits for the first line, from the beginning on, that contains `text`.
    pub(crate) fn expect(&mut self, text: &str) -> Result<String> {
        if let Some(line) = self.lines.iter().find(|line| line.contains(text)) {
            return Ok(line.clone());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.arriving.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.lines.push(line.clone());
                    if found {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} did not print {text:?} in time; {}", self.name, self.printed())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{} ended without printing {text:?}; {}", self.name, self.printed())
                }
            }
        }
    }

    /// Waits for its end, which must be a success, and returns all lines.
    pub(crate) fn finish(mut self) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.arriving.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.lines.push(line),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} did not end in time; {}", self.name, self.printed())
                }
                // Both outputs are closed: it is over, or about to be.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "{} failed ({status}); {}", self.name, self.printed());
        Ok(std::mem::take(&mut self.lines))
    }

    fn printed(&self) -> String {
        format!("it printed:\n    {}", self.lines.join("\n    "))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it is over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}
