//! Pair 4, publisher: every event, every error.
//!
//! **New since 3:** the program shows all that happens to its connection, with the time since its start,
//! gives up after `--timeout` without a server, and decides by the kind of an error what to do about it.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 04_callbacks_publisher` and `cargo run --example 04_callbacks_subscriber`.
//!
//! **Expect:** what pair 3 prints, and lines such as `+3.004s disconnected from localhost:4222: ..`. With
//! `-- --chaos` the connection is dropped every 3 s, and nothing is lost. Stop the server for 30 s:
//! `closed: gave up after 30 s`, exit code 3.
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting/events>

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::error::StreamError;
use natterjack::jetstream::StreamBuilder;
use natterjack::{
    Backoff, CloseReason, Connector, Event, EventStream, JetStream, Reconnect, ServerOrder, secs,
};
use natterjack_examples::{Chaos, Failure, Out, Outcome, Stop, StreamOptions, every, now, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: Chaos<StreamOptions>, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS callbacks example publisher")
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

    let began = Instant::now();
    let worked = work(&connector, &options, &out, &stop).await;
    // Also after an error: what has happened to the connection is shown up to its end.
    let drained = connector.drain().await;
    shown.await.ok(); // until `Closed`, which is always the last event
    let (sent, failed) = worked?;
    out.total_sent(sent + failed, sent, failed, began.elapsed());
    Ok(drained.map(drop)?)
}

/// Makes sure that the stream exists, and sends: how many messages were confirmed, and how many failed.
async fn work(
    connector: &Connector,
    options: &Chaos<StreamOptions>,
    out: &Out,
    stop: &Stop,
) -> Result<(u64, u64), Failure> {
    let js = connector.jetstream().timeout(options.timeout);
    let wanted = stream(&js, options);
    let stream_now = if options.no_create { wanted.get().await? } else { wanted.ensure().await? };
    let info = stream_now.cached_info();
    out.note(format!("stream {} holds {} messages ({})", info.name, info.messages, info.storage));

    let _chaos = options // until this function ends
        .chaos()
        .map(|span| every(span, connector.clone(), |c| async move { c.reconnect_now().await }));
    let run = now();
    let (mut sent, mut failed) = (0, 0);
    for n in options.numbers() {
        let text = format!("Hello #{n} from NATS publisher");
        let message =
            js.publish(&options.subject, &text).codec(Text).dedup_id(format!("{run}-{n}"));
        let Some(outcome) = stop.race(message).await else { break };
        match outcome {
            Ok(ack) => {
                sent += 1;
                let details = [("stream", ack.stream.into()), ("seq", ack.seq.into())];
                out.sent(&options.subject, &text, &details);
            }
            Err(error) => {
                failed += 1;
                out.error(format!("{} {error} [{}] {}", out.offset(), error.code(), error.hint()));
                match error {
                    StreamError::Closed(_) => break, // gave up, or the login is no longer valid
                    // A stream in memory is gone with its server: begin a new one.
                    StreamError::NotFound(_) => drop(stream(&js, options).ensure().await?),
                    // Worth another message: the next one may get through.
                    error if error.retryable() => {}
                    error => return Err(error.into()),
                }
            }
        }
        if !stop.pause(options.interval).await {
            break;
        }
    }
    Ok((sent, failed))
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
