//! Pair 4, subscriber: every event, every error.
//!
//! **New since 3:** the program shows all that happens to its connection, with the time since its start,
//! gives up after `--timeout` without a server, and says when it is too slow for its subscription.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 04_callbacks_publisher` and `cargo run --example 04_callbacks_subscriber`.
//!
//! **Expect:** what pair 3 prints, and lines such as `+3.004s disconnected from localhost:4222: ..`. With
//! `-- --chaos` the connection is dropped every 3 s, and nothing is lost; with `-- --slow` (and a quick
//! publisher, `-- --interval 10ms --count 500`) `slow consumer on foo: 99 dropped`, once a second.
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting/events/slow>

use std::collections::HashSet;
use std::process::ExitCode;

use natterjack::codec::Text;
use natterjack::jetstream::StreamBuilder;
use natterjack::{
    Backoff, CloseReason, Connector, Event, EventStream, JetStream, Reconnect, ServerOrder, secs,
};
use natterjack_examples::{Failure, Out, Outcome, SlowOptions, Stop, StreamOptions, every, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: SlowOptions, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS callbacks example subscriber")
        .connect_timeout(secs(10))
        .ping_interval(secs(20))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::For(options.timeout))
        .server_order(ServerOrder::Shuffled)
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
        .build()
        .await?;
    out.connected(&connector).await?;
    let shown = tokio::spawn(show(connector.events(), out.clone()));

    let worked = work(&connector, &options, &out, &stop).await;
    let dropped = connector.stats().dropped_in;
    // Also after an error: what has happened to the connection is shown up to its end.
    let drained = connector.drain().await;
    shown.await.ok(); // until `Closed`, which is always the last event
    let (received, redelivered) = worked?;
    let took = drained.as_ref().map(|report| report.took).unwrap_or_default();
    out.total_received(received, dropped, redelivered, took);
    drained?;
    options.complete(received, &stop)
}

/// Makes sure that stream and consumer exist, and receives: how many messages came, and how many of
/// them had been delivered before.
async fn work(
    connector: &Connector,
    options: &SlowOptions,
    out: &Out,
    stop: &Stop,
) -> Result<(u64, u64), Failure> {
    let js = connector.jetstream().timeout(options.timeout);
    let wanted = stream(&js, options);
    let stream = if options.no_create { wanted.get().await? } else { wanted.ensure().await? };
    let info = stream.cached_info();
    out.note(format!("stream {} holds {} messages ({})", info.name, info.messages, info.storage));

    let _chaos = options // until this function ends
        .chaos()
        .map(|span| every(span, connector.clone(), |c| async move { c.reconnect_now().await }));
    if options.slow {
        // A core subscription with room for one message, whose reader sleeps: it loses the others.
        let lazy = connector.on(&options.subject).codec(Text).capacity(1);
        let mut lazy = lazy.open::<String>().await?;
        tokio::spawn(async move {
            while lazy.next().await.is_some() {
                tokio::time::sleep(secs(1)).await;
            }
        });
    }

    let consumer = js.consumer::<String>(&options.stream, &options.durable).codec(Text);
    let mut messages = consumer.ack_wait(options.ack_wait).messages().await?;
    let (mut seen, mut redelivered) = (HashSet::new(), 0);
    while options.wants_more(seen.len() as u64) {
        let silence = options.silence(seen.len() as u64);
        let Some(message) = stop.or(messages.next(), silence).await else { break };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                out.error(format!("{} {error} [{}] {}", out.offset(), error.code(), error.hint()));
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

/// The stream as both programs want it.
fn stream(js: &JetStream, options: &StreamOptions) -> StreamBuilder {
    let stream = js.stream(&options.stream).subjects([&options.subject]);
    let stream = options.storage.iter().fold(stream, |stream, kind| stream.storage((*kind).into()));
    options.replicas.iter().fold(stream, |stream, replicas| stream.replicas(*replicas))
}

/// Shows each event. Where other clients have a callback for each kind, here all come in one stream.
async fn show(mut events: EventStream, out: Out) {
    while let Some(event) = events.next().await {
        let line = format!("{} {event}", out.offset());
        match event {
            Event::Reconnected { .. } | Event::ServersChanged { .. } => out.good(line),
            Event::Draining { .. } => out.good(line),
            Event::Closed { reason: CloseReason::Drained } => out.good(line),
            Event::Disconnected { .. } | Event::ReconnectFailed { .. } => out.warn(line),
            Event::SlowConsumer { .. } | Event::LameDuck { .. } => out.warn(line),
            // PermissionDenied, AuthExpired, MaxConnections, ServerError, Background, Lagged, ..
            _ => out.error(line),
        }
    }
}
