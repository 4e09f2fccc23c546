//! Pair 7, subscriber: pair 4 with a struct for its connection.
//!
//! **New since 4:** nothing that you could see. What both programs of pair 4 do with their connection (its
//! options, its events, what to do about an error) has moved into the struct `NatsConnect` in
//! `07_connector/nats_connect.rs`, and what is left here is the program's own work.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 07_connector_publisher` and `cargo run --example 07_connector_subscriber`.
//!
//! **Expect:** with equal arguments the output of pair 4, to the letter (but for times).
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting>

use std::collections::HashSet;
use std::process::ExitCode;

use natterjack::codec::Text;
use natterjack::secs;
use natterjack_examples::{Failure, NatsConnect, Out, Outcome, SlowOptions, Stop, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: SlowOptions, out: Out, stop: Stop) -> Outcome {
    let mut nats = NatsConnect::open("NATS callbacks example subscriber", &options, &out).await?;
    let worked = work(&mut nats, &options, &out, &stop).await;
    let dropped = nats.connector().stats().dropped_in;
    let drained = nats.drain().await;
    let (received, redelivered) = worked?;
    let took = drained.as_ref().map(|report| report.took).unwrap_or_default();
    out.total_received(received, dropped, redelivered, took);
    drained?;
    options.complete(received, &stop)
}

/// Makes sure that stream and consumer exist, and receives: how many messages came, and how many of
/// them had been delivered before.
async fn work(
    nats: &mut NatsConnect,
    options: &SlowOptions,
    out: &Out,
    stop: &Stop,
) -> Result<(u64, u64), Failure> {
    nats.ensure_stream().await?;
    nats.shake(options);

    if options.slow {
        // A core subscription with room for one message, whose reader sleeps: it loses the others.
        let lazy = nats.connector().on(&options.subject).codec(Text).capacity(1);
        let mut lazy = lazy.open::<String>().await?;
        tokio::spawn(async move {
            while lazy.next().await.is_some() {
                tokio::time::sleep(secs(1)).await;
            }
        });
    }

    let js = nats.jetstream();
    let consumer = js.consumer::<String>(&options.stream, &options.durable).codec(Text);
    let mut messages = consumer.ack_wait(options.ack_wait).messages().await?;
    let (mut seen, mut redelivered) = (HashSet::new(), 0);
    while options.wants_more(seen.len() as u64) {
        let silence = options.silence(seen.len() as u64);
        let Some(message) = stop.or(messages.next(), silence).await else { break };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                nats.explain(&error);
                continue; // `next` ends by itself when nothing more can come
            }
        };
        let meta = &message.meta;
        let details = [
            ("seq", meta.stream_seq.into()),
            ("delivered", meta.delivered.into()),
            ("pending", meta.pending.into()),
        ];
        out.received(&message.subject, message.value(), Some(meta.age()), &details);
        seen.insert(meta.stream_seq);
        redelivered += u64::from(meta.delivered > 1);
        if options.crash_at == Some(seen.len() as u64) {
            return Err(Failure::new("crash", 1, "crashed before the acknowledgement, as asked"));
        }
        message.ack().await?;
    }
    messages.stop().await?;
    Ok((seen.len() as u64, redelivered))
}
