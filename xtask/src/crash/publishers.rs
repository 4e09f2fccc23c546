//! Publishers: one message at a time, many under way, and into memory.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};

use super::{Stored, Trouble, Turn, acked, code, ensure_stream, good, read_all};
use crate::lines::Client;

/// The stream that the consumer reads, too.
pub(super) const SYNC: &str = "SYNC";
pub(super) const SYNC_CONFIG: &str = "\"subjects\":[\"sync\"],\"allow_direct\":true";
const ASYNC: &str = "ASYNC";
/// Messages under way.
const WINDOW: usize = 64;
/// Between two windows, so that the reading at the end has an end.
const PAUSE: Duration = Duration::from_millis(8);

/// What was acknowledged, by number.
#[derive(Default)]
struct Acks {
    by_number: BTreeMap<u64, u64>,
    highest: u64,
}

impl Acks {
    fn add(&mut self, number: u64, seq: u64) -> Result<()> {
        if let Some(before) = self.by_number.insert(number, seq) {
            ensure!(before == seq, "{number} was acknowledged at {before}, now at {seq}");
        }
        self.highest = self.highest.max(seq);
        Ok(())
    }

    /// Each is stored once, where it was acknowledged.
    fn check(&self, stored: &[Stored]) -> Result<()> {
        let mut seen = BTreeMap::new();
        for Stored { seq, number, .. } in stored {
            if let Some(before) = seen.insert(*number, *seq) {
                bail!("{number} is stored at {before} and at {seq}");
            }
        }
        for (number, seq) in &self.by_number {
            match seen.get(number) {
                Some(found) if found == seq => {}
                found => bail!("{number} was acknowledged at {seq}, and is at {found:?}"),
            }
        }
        Ok(())
    }

    /// After a start: the last one is there.
    fn check_last(&self, client: &mut Client, stream: &str) -> Turn {
        let info = client.api(&format!("STREAM.INFO.{stream}"), "")?;
        let last = good(&info, "STREAM.INFO")?["state"]["last_seq"].as_u64().unwrap_or(0);
        if last < self.highest {
            return Err(
                anyhow!("{stream} ends at {last}, acknowledged was {}", self.highest).into()
            );
        }
        Ok(())
    }
}

/// One message at a time, each with an id, sent again until it is acknowledged.
pub(super) struct Sync {
    next: u64,
    acks: Acks,
}

impl Sync {
    pub(super) fn new() -> Self {
        Self { next: 1, acks: Acks::default() }
    }
}

impl super::Load for Sync {
    fn resume(&mut self, client: &mut Client) -> Turn {
        ensure_stream(client, SYNC, SYNC_CONFIG)?;
        self.acks.check_last(client, SYNC)
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        let number = self.next;
        let id = format!("Nats-Msg-Id: {number}\r\n");
        let seq = acked(&client.request("sync", &id, &number.to_string())?)?;
        if seq <= self.acks.highest {
            let highest = self.acks.highest;
            return Err(anyhow!("{number} was stored at {seq}, after {highest} was given").into());
        }
        self.acks.add(number, seq)?;
        self.next += 1;
        Ok(())
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        self.acks.check(&read_all(client, SYNC)?)?;
        Ok(format!("{} messages acknowledged, each stored once", self.acks.by_number.len()))
    }
}

/// Many messages under way, each with an id; after a kill those without an answer are sent again.
pub(super) struct Async {
    next: u64,
    waiting: BTreeMap<u64, ()>,
    acks: Acks,
}

impl Async {
    pub(super) fn new() -> Self {
        Self { next: 1, waiting: BTreeMap::new(), acks: Acks::default() }
    }

    fn send(client: &mut Client, number: u64) {
        let reply = client.inbox(&format!("a.{number}"));
        let id = format!("Nats-Msg-Id: {number}\r\n");
        client.publish("async", &reply, &id, &number.to_string());
    }

    fn take(&mut self, client: &mut Client) -> Turn {
        let message = client.next()?;
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        let Ok(number) = token.parse::<u64>() else { return Ok(()) };
        self.acks.add(number, acked(&message)?)?;
        self.waiting.remove(&number);
        Ok(())
    }
}

impl super::Load for Async {
    fn resume(&mut self, client: &mut Client) -> Turn {
        ensure_stream(client, ASYNC, "\"subjects\":[\"async\"],\"allow_direct\":true")?;
        self.acks.check_last(client, ASYNC)?;
        self.waiting.keys().for_each(|number| Self::send(client, *number));
        client.flush()?;
        Ok(())
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        std::thread::sleep(PAUSE);
        while self.waiting.len() < WINDOW {
            self.waiting.insert(self.next, ());
            Self::send(client, self.next);
            self.next += 1;
        }
        client.flush()?;
        while self.waiting.len() > WINDOW / 2 {
            self.take(client)?;
        }
        Ok(())
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        while !self.waiting.is_empty() {
            self.take(client)?;
        }
        self.acks.check(&read_all(client, ASYNC)?)?;
        Ok(format!("{} messages acknowledged, each stored once", self.acks.by_number.len()))
    }
}

/// A stream in memory: gone after a kill, and right until then.
#[derive(Default)]
pub(super) struct Memory {
    /// In this life of the server.
    count: u64,
    server: String,
    all: u64,
}

impl super::Load for Memory {
    fn resume(&mut self, client: &mut Client) -> Turn {
        let info = client.api("STREAM.INFO.MEMORY", "")?;
        if code(&info) == 10059 {
            if self.count > 0 && self.server == client.server {
                return Err(anyhow!("the memory stream is gone without a kill").into());
            }
            self.count = 0;
            ensure_stream(client, "MEMORY", "\"subjects\":[\"memory\"],\"storage\":\"memory\"")?;
        } else {
            // Connected twice to one server; something of it may have had no answer.
            self.count = good(&info, "STREAM.INFO")?["state"]["last_seq"].as_u64().unwrap_or(0);
        }
        self.server.clone_from(&client.server);
        Ok(())
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        std::thread::sleep(Duration::from_millis(1));
        let seq = acked(&client.request("memory", "", "1")?)?;
        if seq != self.count + 1 {
            return Err(anyhow!("sequence {seq} after {}", self.count).into());
        }
        (self.count, self.all) = (seq, self.all + 1);
        Ok(())
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        let info = client.api("STREAM.INFO.MEMORY", "")?;
        let messages = good(&info, "STREAM.INFO")?["state"]["messages"].as_u64();
        if messages != Some(self.count) {
            return Err(anyhow!("{messages:?} messages, {} were stored", self.count).into());
        }
        Ok(format!("{} messages in all its lives", self.all))
    }
}
