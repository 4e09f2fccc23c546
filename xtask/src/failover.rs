//! A node dies while messages are on their way: what the cluster has acknowledged must be there.
//!
//! The connector publishes into a stream with three replicas and consumes it at the same time, both over
//! one node. That node is killed in the middle. Then each acknowledged message is looked up at the
//! sequence it was acknowledged with, and the stream must hold no other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natterjack::{Connector, Delivery, Event, ServerOrder, Verdict, millis, secs};

use crate::arguments::Arguments;
use crate::cluster::Cluster;

const STREAM: &str = "FAILOVER";
/// How long the cluster may take for all of it, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// `cargo xtask failover`.
pub(crate) fn run(arguments: &mut Arguments) -> Result<()> {
    let messages = arguments.number("--messages")?.unwrap_or(5000);
    let nats_server = arguments.path("--nats-server")?;
    arguments.end()?;
    let mut cluster = Cluster::start(nats_server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let story = story(&mut cluster, messages);
        tokio::time::timeout(PATIENCE, story).await.context("not done in time")?
    })?;
    cluster.stop()
}

async fn connect(urls: &str, name: &str) -> Result<Connector> {
    // Both connections begin at the first node, so that both lose it.
    let builder = Connector::builder().server(urls).server_order(ServerOrder::AsGiven);
    Ok(builder.name(name).request_timeout(secs(30)).build().await?)
}

async fn story(cluster: &mut Cluster, messages: u64) -> Result<()> {
    let urls = cluster.urls();
    let publisher = connect(&urls, "failover publisher").await?;
    let subscriber = connect(&urls, "failover subscriber").await?;
    let js = publisher.jetstream();
    let mut stream = js.stream(STREAM).subjects(["failover"]).file().replicas(3).ensure().await?;

    let received: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let consumer = tokio::spawn(consume(subscriber.clone(), received.clone(), messages));
    let node = publisher.server().context("not connected")?.name;
    let mut events = publisher.events();

    // The kill comes when a third is acknowledged, and the rest follows it.
    let third = usize::try_from(messages / 3)?;
    let mut sender = js.publisher().timeout(secs(60)).start().await?;
    let mut waiting = Vec::new();
    let mut acks = Vec::new();
    for number in 0..messages {
        waiting.push((number, sender.publish("failover", &number).await?));
        if waiting.len() == third && acks.is_empty() {
            for (number, receipt) in waiting.drain(..) {
                acks.push((number, receipt.await?));
            }
            println!("{} acknowledged; killing {node}, the connected node", acks.len());
            cluster.kill(&node)?;
        }
    }
    for (number, receipt) in waiting {
        acks.push((number, receipt.await?));
    }
    let now = publisher.server().context("not connected")?.name;
    ensure!(now != node, "the connection never left the killed node");
    let outage = loop {
        if let Event::Reconnected { outage, .. } = events.next().await.context("no event")? {
            break outage;
        }
    };
    println!("{} acknowledged; moved to {now}, away for {outage:.1?}", acks.len());

    for (number, ack) in &acks {
        let stored = stream.get(ack.seq).await?;
        let text = String::from_utf8_lossy(&stored.payload);
        ensure!(text == number.to_string(), "at sequence {} is {text}, not {number}", ack.seq);
    }
    let held = stream.info().await?.messages;
    ensure!(held == messages, "the stream holds {held} messages of {messages}");
    let report = consumer.await??;
    let received = received.lock().unwrap_or_else(PoisonError::into_inner).len();
    ensure!(received as u64 == messages, "{received} of {messages} were received");
    println!("{held} stored, each once; {received} received: none lost\nconsumer: {report}");
    publisher.close().await?;
    subscriber.close().await?;
    Ok(())
}

/// Consumes until every number was seen.
async fn consume(
    connector: Connector,
    received: Arc<Mutex<HashSet<u64>>>,
    messages: u64,
) -> Result<natterjack::jetstream::RunReport> {
    let all = received.clone();
    let complete = async move {
        while (all.lock().unwrap_or_else(PoisonError::into_inner).len() as u64) < messages {
            tokio::time::sleep(millis(20)).await;
        }
    };
    let js = connector.jetstream();
    let consumer = js.consumer::<u64>(STREAM, "reader").ack_wait(secs(5)).until(complete);
    let report = consumer
        .run(move |delivery: Delivery<u64>| {
            let received = received.clone();
            async move {
                received.lock().unwrap_or_else(PoisonError::into_inner).insert(*delivery.value());
                Verdict::Ack
            }
        })
        .await?;
    Ok(report)
}
