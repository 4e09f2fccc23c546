//! Pair 6, subscriber: a bucket on a server that asks for a token.
//!
//! **New since 5:** a token, the simplest login: one secret that server and clients share. It comes from
//! `NATS_TOKEN`, or from a file (`--token-file`) that is read anew at each reconnect, so that it can be
//! changed while the program runs. It is never shown, not in errors and not in logs.
//!
//! **Run it:** `natterjack serve -js --auth s3cr3t` in one terminal, then, in any order and with
//! `NATS_TOKEN=s3cr3t` set, `cargo run --example 06_kv_token_publisher` and
//! `cargo run --example 06_kv_token_subscriber`.
//!
//! **Expect:** what pair 5 prints. Without the token, or with a wrong one: `server refused the token`,
//! exit code 4.
//!
//! **Read on:** <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/tokens>

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use natterjack::codec::Text;
use natterjack::error::KvError;
use natterjack::kv::WatchFrom;
use natterjack::{Auth, Backoff, Connector, Kv, Reconnect, ServerOrder, WatchEvent, millis, secs};
use natterjack_examples::{
    Every, Failure, Out, Outcome, Stop, Token, WatchOptions, every, number, start,
};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: Token<WatchOptions>, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS Key/Value token example subscriber")
        .auth(match &options.token_file {
            Some(file) => Auth::token_file(file),
            None => Auth::token(options.token.clone()),
        })
        .connect_timeout(secs(10))
        .ping_interval(secs(20))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::For(options.timeout))
        .server_order(ServerOrder::Shuffled)
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
        .build()
        .await?;
    out.connected(&connector).await?;
    let shown = out.follow(connector.events()); // prints them, as in pair 4

    let worked = work(&connector, &options, &out, &stop).await;
    let drained = connector.drain().await;
    shown.await.ok();
    let (received, reached) = worked?;
    let took = drained.as_ref().map(|report| report.took).unwrap_or_default();
    out.total_received(received, 0, 0, took);
    drained?;
    options.complete(reached, &stop)
}

/// Waits for the bucket, and watches it: how many values came, and the number of the last message.
async fn work(
    connector: &Connector,
    options: &WatchOptions,
    out: &Out,
    stop: &Stop,
) -> Result<(u64, u64), Failure> {
    let Some((bucket, new)) = open(connector, options, out, stop).await? else {
        return Ok((0, 0));
    };
    let _chaos = options // until this function ends
        .chaos()
        .map(|span| every(span, connector.clone(), |c| async move { c.reconnect_now().await }));
    let polled = Arc::new(Mutex::new(BTreeSet::new()));
    let poller = options.poll.then(|| poller(&bucket, options, &polled));

    // In a bucket that has just been made, all that is there is news.
    let from = if new { WatchFrom::History } else { WatchFrom::Latest };
    let mut watch = bucket.watch(">").from(from).start().await?;
    let (mut ready, mut keys) = (false, BTreeSet::new());
    let (mut received, mut reached) = (0, 0);
    while !ready || options.wants_more(reached) {
        let Some(event) = stop.or(watch.next(), options.silence(received)).await else { break };
        let (operation, meta) = match event {
            WatchEvent::Put(entry) => {
                out.change("PUT", &entry.key, Some(&entry.value), entry.revision, entry.age());
                keys.insert(entry.key);
                if let Some(number) = number(&entry.value).filter(|_| ready || new) {
                    received += 1;
                    reached = reached.max(number);
                }
                continue;
            }
            WatchEvent::Deleted(meta) => ("DEL", meta),
            WatchEvent::Purged(meta) => ("PURGE", meta),
            WatchEvent::Expired(meta) => ("EXPIRED", meta),
            WatchEvent::Ready => {
                ready = true;
                out.note(format!("up to date ({} keys)", keys.len()));
                continue;
            }
            WatchEvent::Resumed { missed } => {
                out.note(format!("the watch goes on; {missed} changes were made meanwhile"));
                continue;
            }
            other => {
                out.warn(format!("{other:?}"));
                continue;
            }
        };
        keys.remove(&meta.key);
        out.change(operation, &meta.key, None, meta.revision, meta.age());
    }

    drop(poller);
    if options.poll {
        let polled = polled.lock().map_or(0, |seen| seen.len());
        out.note(format!("the watch saw {received} values, the poller {polled}"));
    }
    Ok((received, reached))
}

/// Opens the bucket; unless told otherwise, waits until the publisher has made it (`true`).
async fn open(
    connector: &Connector,
    options: &WatchOptions,
    out: &Out,
    stop: &Stop,
) -> Result<Option<(Kv<String>, bool)>, KvError> {
    let mut waited = false;
    loop {
        match connector.kv::<String>(&options.bucket).codec(Text).get().await {
            Err(KvError::NotFound(missing)) if !options.no_wait => {
                if !std::mem::replace(&mut waited, true) {
                    out.warn(format!("{missing}: waiting for the publisher to make it"));
                }
            }
            found => return found.map(|bucket| Some((bucket, waited))),
        }
        if !stop.pause(millis(100)).await {
            return Ok(None);
        }
    }
}

/// The old way: ask again and again, and note which revisions were seen.
fn poller(bucket: &Kv<String>, options: &WatchOptions, seen: &Arc<Mutex<BTreeSet<u64>>>) -> Every {
    let with = (bucket.clone(), options.subject.clone(), seen.clone());
    every(options.interval, with, |(bucket, key, seen)| async move {
        if let Ok(Some(entry)) = bucket.get_entry(&key).await
            && let Ok(mut seen) = seen.lock()
        {
            seen.insert(entry.revision);
        }
    })
}
