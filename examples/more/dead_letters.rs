//! Beyond the pairs: messages that cannot be handled, kept aside with the story of why.
//!
//! **Shows:** a consumer whose handler fails for some messages. Each is tried three times, then a copy goes
//! to the subject `dlq.orders` with headers that say what happened, and the original is terminated. A body
//! that is no order goes there at once.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then `cargo run --example more_dead_letters`.
//!
//! **Expect:** `handled order 1`, .., then a line for each letter: its reason, how often it was delivered.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/jetstream/consumers>

use std::process::ExitCode;

use natterjack::jetstream::DeadLetter;
use natterjack::{Backoff, Connector, Delivery, millis};
use natterjack_examples::{Failure, Options, Out, Outcome, Stop, start};
use serde::{Deserialize, Serialize};

/// What is ordered. Bodies are JSON.
#[derive(Serialize, Deserialize)]
struct Order {
    id: u32,
    pieces: u32,
}

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Sends three orders and something else, handles them, and looks at what was set aside.
pub async fn run(options: Options, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS dead letters example")
        .build()
        .await?;
    out.connected(&connector).await?;
    let js = connector.jetstream();
    let orders = js.stream("more_orders").subjects(["more.orders"]).memory().ensure().await?;
    let letters = js.stream("more_letters").subjects(["dlq.>"]).memory().ensure().await?;

    for order in
        [Order { id: 1, pieces: 2 }, Order { id: 2, pieces: 0 }, Order { id: 3, pieces: 5 }]
    {
        js.publish("more.orders", &order).await?;
    }
    js.publish("more.orders", "no order at all").await?;

    let shown = out.clone();
    let report = js
        .consumer("more_orders", "packer")
        .max_deliver(3)
        .backoff(Backoff::fixed(millis(50)))
        .dead_letter(DeadLetter::to("dlq.orders"))
        .until(async move { stop.raised().await })
        .limit(5) // two that work, and one that is tried three times
        .run(move |delivery: Delivery<Order>| {
            let out = shown.clone();
            async move {
                let order = delivery.value();
                if order.pieces == 0 {
                    return Err("nothing to pack");
                }
                out.good(format!("handled order {}", order.id));
                Ok(())
            }
        })
        .await?;
    out.note(format!("{} handled, {} kept aside", report.handled, report.dead_lettered));

    let count = js.stream("more_letters").get().await?.cached_info().messages;
    for seq in 1..=count {
        let letter = letters.get(seq).await?;
        let header = |name: &str| {
            let value = letter.headers.get(format!("Natterjack-Dl-{name}").as_str());
            value.map(|value| value.as_str().to_owned()).unwrap_or_default()
        };
        let (reason, seq, times) = (header("Reason"), header("Seq"), header("Deliveries"));
        out.warn(format!("letter: message {seq}, delivered {times}: {reason}"));
    }
    orders.delete().await?;
    letters.delete().await?;
    connector.drain().await?;
    match report.dead_lettered {
        2 => Ok(()),
        other => Err(Failure::new("letters", 1, format!("{other} letters in place of 2"))),
    }
}
