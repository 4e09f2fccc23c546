//! Pair 1, subscriber: connecting, and receiving the messages of a subject.
//!
//! **New:** everything. A program subscribes to `foo` and gets what is published there from now on.
//! Core NATS keeps nothing for absentees: what was sent before this program started is gone.
//!
//! **Run it:** `natterjack serve -js` in one terminal (or any nats-server), then
//! `cargo run --example 01_simple_subscriber` and `cargo run --example 01_simple_publisher` in two more.
//!
//! **Expect:** lines `<- foo #1 "Hello #1 from NATS publisher" (0.4 ms)`, then
//! `received 10, dropped 0, redelivered 0; drained in 12 ms`.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/core-nats/pubsub>

use std::process::ExitCode;

use natterjack::codec::Text;
use natterjack::{Backoff, Connector, Event, Reconnect, ServerOrder, pretty, secs};
use natterjack_examples::{Options, Out, Outcome, SENT_AT, Stop, age, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, receives, says goodbye.
pub async fn run(options: Options, out: Out, stop: Stop) -> Outcome {
    let events = out.clone();
    let connector = Connector::builder()
        .servers([&options.url])
        .name("NATS simple example subscriber")
        .connect_timeout(secs(10))
        .ping_interval(secs(20))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::Forever)
        .server_order(ServerOrder::Shuffled)
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
        .echo(true)
        .on_event(move |event| {
            report(&events, &event);
            async {}
        })
        .build()
        .await?;
    out.connected(&connector).await?;

    let mut messages = connector.on(&options.subject).codec(Text).open::<String>().await?;
    out.note(format!("listening on {}; what was sent before is gone", options.subject));

    let mut received = 0;
    while options.wants_more(received) {
        // `None` is the end of the subscription, Ctrl-C, or a publisher that has fallen silent.
        let Some(message) = stop.or(messages.next(), options.silence(received)).await else {
            break;
        };
        match message {
            Ok(message) => {
                received += 1;
                let took = age(message.header(SENT_AT));
                out.received(&message.subject, message.value(), took, &[]);
            }
            Err(not_text) => out.warn(not_text),
        }
    }

    let dropped = messages.dropped();
    let report = connector.drain().await?;
    out.total_received(received, dropped, 0, report.took);
    options.complete(received, &stop)
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
