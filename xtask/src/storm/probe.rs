//! A well-behaved client that sends itself a message now and then, and how long each takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::lines::Client;

const PAUSE: Duration = Duration::from_millis(2);

/// Microseconds.
pub(super) struct Latency {
    pub(super) median: f64,
    /// Of a hundred the slowest but one.
    pub(super) high: f64,
}

pub(super) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

impl Probe {
    pub(super) fn start(port: u16) -> Result<Self> {
        let mut client = Client::connect(port, "probe")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut times = Vec::new();
            let subject = client.inbox("self");
            while !stopped.load(Ordering::Relaxed) || times.is_empty() {
                let begin = Instant::now();
                client.publish(&subject, "", "", "x");
                client.flush()?;
                client.next()?;
                times.push(begin.elapsed());
                thread::sleep(PAUSE);
            }
            Ok(times)
        });
        Ok(Self { stop, thread })
    }

    pub(super) fn end(self) -> Result<Latency> {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.thread.join().map_err(|_| anyhow!("it panicked"))??;
        ensure!(!times.is_empty(), "no message came back");
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
        Ok(Latency { median: at(0.5), high: at(0.99) })
    }
}
