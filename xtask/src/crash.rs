//! The server is killed again and again under load: what it has acknowledged must be there.
//!
//! A publisher keeps messages under way over all kills, and sends again what has no acknowledgement. A
//! subscriber acks each message and waits for the confirmation. At the end the stream is read from the
//! beginning.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use natterjack::jetstream::Receipt;
use natterjack::{
    Backoff, Connector, Deliver, JetStream, PubAck, Reconnect, Verdict, millis, secs,
};

use crate::arguments::Arguments;
use crate::servers::{Make, Server};

const STREAM: &str = "CRASH";
/// How long all of the reading at the end may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// `cargo xtask crash`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let kills = arguments.number("--kills")?.unwrap_or(20);
    let make = match arguments.path("--reference")? {
        Some(reference) => Make::Reference(reference),
        None => Make::ours(arguments.path("--ours")?)?,
    };
    arguments.end()?;
    let directory = tempfile::tempdir()?;
    let store = directory.path().join("store");
    let store = store.to_str().context("the temporary directory is not UTF-8")?;
    let log = directory.path().join("server.log");
    let mut server = Server::start(&make, &["-js", "-sd", store], &log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(story(&mut server, kills));
    if outcome.is_err() {
        eprintln!("the server's log:\n{}", server.log_text());
    }
    outcome?;
    server.stop()
}

async fn connect(server: &Server, name: &str) -> Result<Connector> {
    let builder = Connector::builder().server(server.url()).name(name);
    let builder = builder.reconnect(Reconnect::Forever).backoff(Backoff::fixed(millis(20)));
    Ok(builder.request_timeout(secs(30)).build().await?)
}

async fn story(server: &mut Server, kills: u64) -> Result<()> {
    let begin = Instant::now();
    let connector = connect(server, "crash publisher").await?;
    let js = connector.jetstream();
    js.stream(STREAM).subjects(["crash"]).file().ensure().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish(js.clone(), stop.clone()));

    // Numbers whose ack was confirmed, with the round of the confirmation.
    let mut settled: HashMap<u64, u64> = HashMap::new();
    for round in 1..=kills {
        // Another time each round, so that kills meet writes, syncs and checkpoints.
        let until = millis(100 + round * 137 % 500);
        let worker =
            tokio::spawn(settle(connect(server, "crash subscriber").await?, settled, round));
        tokio::time::sleep(until).await;
        server.kill()?;
        settled = worker.await??;
        server.start_again()?;
    }
    stop.store(true, Ordering::Relaxed);
    let acks = publisher.await??;
    let stored = tokio::time::timeout(PATIENCE, read(&js, acks.len())).await;
    check(&acks, &stored.context("the stream was not read in time")??)?;
    connector.close().await?;
    println!(
        "{kills} kills in {:.1} s: {} acknowledged, each stored once at its sequence; {} acks confirmed, \
         none delivered again",
        begin.elapsed().as_secs_f64(),
        acks.len(),
        settled.len(),
    );
    Ok(())
}

/// Publishes numbers until told to stop, and returns the acknowledgement of each.
async fn publish(js: JetStream, stop: Arc<AtomicBool>) -> Result<Vec<PubAck>> {
    let mut publisher = js.publisher().max_in_flight(64).timeout(secs(60)).start().await?;
    let mut receipts: Vec<Receipt> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        receipts.push(publisher.publish("crash", &(receipts.len() as u64)).await?);
    }
    let mut acks = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        acks.push(receipt.await?);
    }
    Ok(acks)
}

/// Acks messages with confirmation until the server is gone. One that was confirmed may not come again.
async fn settle(
    connector: Connector,
    mut settled: HashMap<u64, u64>,
    round: u64,
) -> Result<HashMap<u64, u64>> {
    let js = connector.jetstream().timeout(secs(5));
    let gone = async {
        let mut state = connector.watch_state();
        let lost = |state: &natterjack::ConnState| *state != natterjack::ConnState::Connected;
        drop(state.wait_for(lost).await);
    };
    let work = async {
        let mut messages = js.consumer::<u64>(STREAM, "worker").messages().await?;
        while let Some(message) = messages.next().await {
            let message = message?;
            let number = *message.value();
            if let Some(before) = settled.get(&number) {
                bail!("{number} came in round {round}: its ack was confirmed in round {before}");
            }
            if message.settle(Verdict::AckSync).await.is_ok() {
                settled.insert(number, round);
            }
        }
        Ok(())
    };
    tokio::select! {
        outcome = work => outcome?,
        () = gone => {}
    }
    drop(connector.close().await);
    Ok(settled)
}

/// All that the stream holds: sequence and number.
async fn read(js: &JetStream, at_least: usize) -> Result<Vec<(u64, u64)>> {
    let consumer = js.consumer::<u64>(STREAM, "reader").deliver(Deliver::All);
    let mut messages = consumer.field("ack_policy", "none").batch(1000).messages().await?;
    let mut stored = Vec::with_capacity(at_least);
    while let Some(message) = messages.next().await {
        let message = message?;
        stored.push((message.meta.stream_seq, *message.value()));
        if message.meta.pending == 0 {
            return Ok(stored);
        }
    }
    bail!("the reading ended early")
}

fn check(acks: &[PubAck], stored: &[(u64, u64)]) -> Result<()> {
    ensure!(stored.is_sorted_by(|a, b| a.0 < b.0), "sequences do not rise");
    let by_seq: HashMap<u64, u64> = stored.iter().copied().collect();
    for (number, ack) in (0..).zip(acks) {
        match by_seq.get(&ack.seq) {
            Some(found) if *found == number => {}
            Some(found) => bail!("at sequence {} is {found}, acknowledged was {number}", ack.seq),
            None => bail!("{number} was acknowledged at sequence {} and is gone", ack.seq),
        }
    }
    ensure!(stored.len() == acks.len(), "{} acknowledged, {} stored", acks.len(), stored.len());
    Ok(())
}
