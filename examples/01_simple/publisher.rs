//! Pair 1, publisher: connecting, and sending messages to a subject.
//!
//! **New:** everything. A program connects to a server and publishes to the subject `foo`. Core NATS
//! passes a message on to who listens right now and keeps nothing: without a subscriber it is gone.
//!
//! **Run it:** `natterjack serve -js` in one terminal (or any nats-server), then
//! `cargo run --example 01_simple_subscriber` and `cargo run --example 01_simple_publisher` in two more.
//!
//! **Expect:** ten lines `-> foo #1 "Hello #1 from NATS publisher"`, half a second apart, and
//! `sent 10, confirmed 10, failed 0`. Stop the server in the middle and start it again: the program
//! reconnects, and what it published meanwhile goes out then.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/core-nats/pubsub>
//!
//! The connection below sets nine options. The shortest form is one line:
//!
//! ```no_run
//! # async fn demo() -> Result<(), natterjack::Error> {
//! let connector = natterjack::Connector::connect("nats://localhost:4222").await?;
//! # drop(connector); Ok(()) }
//! ```

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::{Backoff, Connector, Event, Reconnect, ServerOrder, pretty, secs};
use natterjack_examples::{Options, Out, Outcome, SENT_AT, Stop, now, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, sends, says goodbye.
pub async fn run(options: Options, out: Out, stop: Stop) -> Outcome {
    let events = out.clone();
    let connector = Connector::builder()
        .servers([&options.url])
        .name("NATS simple example publisher") // as the server's monitoring shows it
        .connect_timeout(secs(10))
        .ping_interval(secs(20)) // a silent server is asked every 20 s ..
        .max_outstanding_pings(6) // .. and given up when it has not answered six times
        .reconnect(Reconnect::Forever)
        .server_order(ServerOrder::Shuffled) // matters with several servers
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0)) // 5 s between attempts
        .echo(true) // own messages come back if we subscribe to them
        .on_event(move |event| {
            report(&events, &event);
            async {}
        })
        .build()
        .await?;
    out.connected(&connector).await?;

    let began = Instant::now();
    let (mut sent, mut failed) = (0, 0);
    for n in options.numbers() {
        let text = format!("Hello #{n} from NATS publisher");
        let message = connector.to(&options.subject).codec(Text).header(SENT_AT, now());
        match message.send(&text).await {
            Ok(()) => {
                sent += 1;
                out.sent(&options.subject, &text, &[]);
            }
            Err(error) => {
                failed += 1;
                out.error(error);
            }
        }
        if !stop.pause(options.interval).await {
            break;
        }
    }

    // Waits until the server has taken everything; a plain exit could lose the last messages.
    let report = connector.drain().await?;
    out.total_sent(sent, sent - report.unsent, failed, began.elapsed());
    Ok(())
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
