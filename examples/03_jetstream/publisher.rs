//! Pair 3, publisher: messages that wait for their reader.
//!
//! **New since 1:** JetStream. A stream stores what is published to its subjects, on disk or in memory,
//! and acknowledges each message with its sequence. Nobody needs to listen meanwhile.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 03_jetstream_publisher` and `cargo run --example 03_jetstream_subscriber`.
//!
//! **Expect:** lines `-> foo #1 "Hello #1 from NATS publisher" stream sample_stream, seq 1`. Start the
//! subscriber later, kill the server in between: with `--storage file` (the default) all messages are
//! there, with `--storage memory` none, and the programs say so.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/jetstream>

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::error::StreamError;
use natterjack::jetstream::{Ensured, StreamBuilder};
use natterjack::{Backoff, Connector, Event, JetStream, Reconnect, ServerOrder, pretty, secs};
use natterjack_examples::{Out, Outcome, Stop, StreamOptions, now, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, makes sure that the stream exists, sends, says goodbye.
pub async fn run(options: StreamOptions, out: Out, stop: Stop) -> Outcome {
    let events = out.clone();
    let connector = Connector::builder()
        .servers([&options.url])
        .name("NATS JetStream example publisher")
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

    let js = connector.jetstream().timeout(options.timeout);
    let wanted = stream(&js, &options);
    let stream = if options.no_create { wanted.get().await? } else { wanted.ensure().await? };
    let created = if stream.ensured() == Ensured::Created { " is new and" } else { "" };
    let (info, name) = (stream.cached_info(), stream.name());
    out.note(format!("stream {name}{created} holds {} messages ({})", info.messages, info.storage));

    let began = Instant::now();
    let run = now(); // makes the ids below different from those of another run
    let (mut sent, mut failed) = (0, 0);
    for n in options.numbers() {
        let text = format!("Hello #{n} from NATS publisher");
        // With an id, a message whose acknowledgement was lost is sent again, and stored once.
        let message =
            js.publish(&options.subject, &text).codec(Text).dedup_id(format!("{run}-{n}"));
        let Some(outcome) = stop.race(message).await else { break };
        match outcome {
            Ok(ack) => {
                sent += 1;
                let details = [("stream", ack.stream.into()), ("seq", ack.seq.into())];
                out.sent(&options.subject, &text, &details);
            }
            // The stream refuses, for example because it is full.
            Err(StreamError::Api(refused)) => {
                failed += 1;
                let limit = info.config["max_bytes"].as_i64().unwrap_or(-1);
                out.error(format!("{refused}; limit of {name}: {limit} bytes (-1: none)"));
            }
            Err(error) => return Err(error.into()),
        }
        if !stop.pause(options.interval).await {
            break;
        }
    }

    connector.drain().await?;
    out.total_sent(sent + failed, sent, failed, began.elapsed());
    Ok(())
}

/// The stream as both programs want it.
fn stream(js: &JetStream, options: &StreamOptions) -> StreamBuilder {
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
