//! Pair 3, subscriber: reading a stream at one's own pace.
//!
//! **New since 1:** JetStream. A durable consumer remembers on the server which messages this program
//! has acknowledged. What was published before it started is there; what was delivered and not
//! acknowledged, because the program crashed, is delivered again.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 03_jetstream_publisher` and `cargo run --example 03_jetstream_subscriber`.
//!
//! **Expect:** lines `<- foo #1 "Hello #1 from NATS publisher" (0.4 ms) seq 1, delivered 1, pending 0`.
//! With `-- --crash-at 4` it exits at the fourth message without acknowledging it; started again with
//! `-- --count 7` it goes on where it was: after 5 s that message, and those that had been fetched with
//! it, come again: `delivered 2`.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/jetstream/consumers>

use std::collections::HashSet;
use std::process::ExitCode;

use natterjack::codec::Text;
use natterjack::jetstream::{Ensured, StreamBuilder};
use natterjack::{
    Backoff, Connector, Event, JetStream, Reconnect, ServerOrder, Verdict, pretty, secs,
};
use natterjack_examples::{ConsumerOptions, Failure, Out, Outcome, Stop, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, makes sure that stream and consumer exist, receives, says goodbye.
pub async fn run(options: ConsumerOptions, out: Out, stop: Stop) -> Outcome {
    let events = out.clone();
    let connector = Connector::builder()
        .servers([&options.url])
        .name("NATS JetStream example subscriber")
        .connect_timeout(secs(10))
        .ping_interval(secs(20))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::Forever)
        .server_order(ServerOrder::Shuffled)
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
        .on_event(move |event| {
            report(&events, &event);
            async {}
        })
        .build()
        .await?;
    out.connected(&connector).await?;

    // Either side may start first, so this one makes the stream too.
    let js = connector.jetstream().timeout(options.timeout);
    let wanted = stream(&js, &options);
    let stream = if options.no_create { wanted.get().await? } else { wanted.ensure().await? };
    let created = if stream.ensured() == Ensured::Created { " is new and" } else { "" };
    let (info, name) = (stream.cached_info(), stream.name());
    out.note(format!("stream {name}{created} holds {} messages ({})", info.messages, info.storage));

    let consumer = js.consumer::<String>(name, &options.durable).codec(Text);
    let mut messages = consumer.ack_wait(options.ack_wait).messages().await?;
    let (mut seen, mut redelivered) = (HashSet::new(), 0);
    while options.wants_more(seen.len() as u64) {
        // `None` is Ctrl-C, or a publisher that has fallen silent.
        let silence = options.silence(seen.len() as u64);
        let Some(message) = stop.or(messages.next(), silence).await else { break };
        let message = message?;
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
        let settling = message.settle(Verdict::AckSync); // done when the server has noted it
        let Some(settled) = stop.race(settling).await else { break };
        settled?;
    }

    messages.stop().await?; // what was fetched and not read goes back
    let report = connector.drain().await?;
    out.total_received(seen.len() as u64, 0, redelivered, report.took);
    options.complete(seen.len() as u64, &stop)
}

/// The stream as both programs want it.
fn stream(js: &JetStream, options: &ConsumerOptions) -> StreamBuilder {
    let mut stream = js.stream(&options.stream).subjects([&options.subject]);
    if let Some(storage) = options.storage {
        stream = stream.storage(storage.into());
    }
    if let Some(replicas) = options.replicas {
        stream = stream.replicas(replicas);
    }
    stream
}

/// Two of the connection's events are worth a line here; pair 4 shows all of them.
fn report(out: &Out, event: &Event) {
    match event {
        Event::ReconnectFailed { retry_in: Some(wait), .. } => {
            out.warn(format!("disconnected, retrying in {}", pretty(*wait)));
        }
        Event::Reconnected { outage, .. } => {
            out.good(format!("reconnected after {}", pretty(*outage)));
        }
        _ => {}
    }
}
