//! Consumers: what was acked and confirmed does not come again, and leaves a work queue for good.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};

use super::publishers::{SYNC, SYNC_CONFIG};
use super::{Load, Trouble, Turn, acked, code, ensure_stream, good};
use crate::lines::{Client, Message};

/// Waits in nanoseconds: of a pull, and for an ack.
const EXPIRES: u64 = 50_000_000;
const ACK_WAIT: u64 = 1_000_000_000;

fn ensure_consumer(client: &mut Client, stream: &str) -> Turn {
    let body = format!(
        "{{\"stream_name\":\"{stream}\",\"config\":{{\"durable_name\":\"worker\",\
         \"ack_policy\":\"explicit\",\"ack_wait\":{ACK_WAIT},\"max_ack_pending\":500}}}}"
    );
    let answer = client.api(&format!("CONSUMER.DURABLE.CREATE.{stream}.worker"), &body)?;
    good(&answer, "CONSUMER.CREATE")?;
    Ok(())
}

/// Asks for up to `batch` messages and hands each to `settle`.
fn pull(
    client: &mut Client,
    stream: &str,
    batch: usize,
    mut settle: impl FnMut(&mut Client, &Message) -> Turn,
) -> Turn {
    let reply = client.inbox("pull");
    let body = format!("{{\"batch\":{batch},\"expires\":{EXPIRES}}}");
    client.publish(&format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.worker"), &reply, "", &body);
    client.flush()?;
    for _ in 0..batch {
        // Its own subject, or that of the stored message when it is one.
        let message = client.next()?;
        if !message.reply.starts_with("$JS.ACK.") {
            return Ok(());
        }
        settle(client, &message)?;
    }
    Ok(())
}

/// The stream sequence in an ack subject.
fn sequence(message: &Message) -> Result<u64> {
    let token = message.reply.split('.').nth(5).context("an ack subject of five tokens")?;
    Ok(token.parse()?)
}

/// Reads the stream of the sync publisher. Every seventh message is acked without a confirmation.
#[derive(Default)]
pub(super) struct Worker {
    settled: BTreeSet<u64>,
    seen: BTreeSet<u64>,
    floor: u64,
    again: u64,
}

impl Worker {
    fn settle(&mut self, client: &mut Client, message: &Message) -> Turn {
        let seq = sequence(message)?;
        if self.settled.contains(&seq) {
            return Err(anyhow!("{seq} came again after its ack was confirmed").into());
        }
        self.again += u64::from(!self.seen.insert(seq));
        if seq.is_multiple_of(7) {
            client.publish(&message.reply, "", "", "+ACK");
            client.flush()?;
            return Ok(());
        }
        client.request(&message.reply, "", "+ACK")?;
        self.settled.insert(seq);
        Ok(())
    }

    fn check_floor(&mut self, client: &mut Client) -> Turn {
        let info = client.api(&format!("CONSUMER.INFO.{SYNC}.worker"), "")?;
        let floor = good(&info, "CONSUMER.INFO")?["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
        if floor < self.floor {
            return Err(anyhow!("the ack floor went from {} back to {floor}", self.floor).into());
        }
        self.floor = floor;
        Ok(())
    }
}

impl Load for Worker {
    fn resume(&mut self, client: &mut Client) -> Turn {
        ensure_stream(client, SYNC, SYNC_CONFIG)?;
        ensure_consumer(client, SYNC)?;
        self.check_floor(client)
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        pull(client, SYNC, 20, |client, message| self.settle(client, message))?;
        self.check_floor(client)
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        // Until nothing is left, what was acked without confirmation and lost comes again.
        loop {
            self.work(client)?;
            let info = client.api(&format!("CONSUMER.INFO.{SYNC}.worker"), "")?;
            let count = |name: &str| info[name].as_u64().unwrap_or(u64::MAX);
            if count("num_pending") == 0 && count("num_ack_pending") == 0 {
                break;
            }
        }
        let info = client.api(&format!("STREAM.INFO.{SYNC}"), "")?;
        let last = good(&info, "STREAM.INFO")?["state"]["last_seq"].as_u64().unwrap_or(0);
        // The publisher may go on a little.
        let missing = (1..=self.floor.min(last)).find(|seq| !self.seen.contains(seq));
        if let Some(missing) = missing {
            return Err(anyhow!("{missing} was never delivered").into());
        }
        Ok(format!(
            "{} acks confirmed, none delivered again; {} others came more than once",
            self.settled.len(),
            self.again
        ))
    }
}

/// A work queue with its publisher and its worker.
#[derive(Default)]
pub(super) struct Queue {
    next: u64,
    /// Sequences whose ack was confirmed …
    gone: BTreeSet<u64>,
    /// … or sent at least.
    acked: BTreeSet<u64>,
    published: u64,
}

const QUEUE: &str = "QUEUE";

impl Load for Queue {
    fn resume(&mut self, client: &mut Client) -> Turn {
        ensure_stream(
            client,
            QUEUE,
            "\"subjects\":[\"queue\"],\"retention\":\"workqueue\",\"allow_direct\":true",
        )?;
        ensure_consumer(client, QUEUE)?;
        for seq in self.gone.iter().rev().take(5) {
            let answer =
                client.api(&format!("STREAM.MSG.GET.{QUEUE}"), &format!("{{\"seq\":{seq}}}"))?;
            if code(&answer) != 10037 {
                return Err(anyhow!("{seq} is back in the work queue: {answer}").into());
            }
        }
        Ok(())
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        for _ in 0..3 {
            let id = format!("Nats-Msg-Id: {}\r\n", self.next);
            acked(&client.request("queue", &id, &self.next.to_string())?)?;
            self.next += 1;
            self.published += 1;
        }
        let (gone, sent) = (&mut self.gone, &mut self.acked);
        pull(client, QUEUE, 3, |client, message| {
            let seq = sequence(message)?;
            if gone.contains(&seq) {
                return Err(anyhow!("{seq} came again after its ack was confirmed").into());
            }
            sent.insert(seq);
            client.request(&message.reply, "", "+ACK")?;
            gone.insert(seq);
            Ok(())
        })
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        let stored = super::read_all(client, QUEUE)?;
        if let Some(back) = stored.iter().find(|stored| self.gone.contains(&stored.seq)) {
            return Err(anyhow!("{} is in the work queue again", back.seq).into());
        }
        // What was published is there or was acked.
        let kept = stored.iter().filter(|stored| !self.acked.contains(&stored.seq)).count();
        let known = (kept + self.acked.len()) as u64;
        if known < self.published {
            return Err(anyhow!("{} published, {known} left or acked", self.published).into());
        }
        Ok(format!(
            "{} published, {} acked, {} left",
            self.published,
            self.gone.len(),
            stored.len()
        ))
    }
}
