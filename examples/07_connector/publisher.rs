//! Pair 7, publisher: pair 4 with a struct for its connection.
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

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack_examples::{
    Chaos, Failure, NatsConnect, Out, Outcome, Stop, StreamOptions, now, start,
};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: Chaos<StreamOptions>, out: Out, stop: Stop) -> Outcome {
    let mut nats = NatsConnect::open("NATS callbacks example publisher", &options, &out).await?;
    let began = Instant::now();
    let worked = work(&mut nats, &options, &out, &stop).await;
    let drained = nats.drain().await;
    let (sent, failed) = worked?;
    out.total_sent(sent + failed, sent, failed, began.elapsed());
    Ok(drained.map(drop)?)
}

/// Makes sure that the stream exists, and sends: how many messages were confirmed, and how many failed.
async fn work(
    nats: &mut NatsConnect,
    options: &Chaos<StreamOptions>,
    out: &Out,
    stop: &Stop,
) -> Result<(u64, u64), Failure> {
    nats.ensure_stream().await?;
    nats.shake(options);

    let run = now();
    let (mut sent, mut failed) = (0, 0);
    for n in options.numbers() {
        let text = format!("Hello #{n} from NATS publisher");
        let message = nats.jetstream().publish(&options.subject, &text).codec(Text);
        let message = message.dedup_id(format!("{run}-{n}"));
        let Some(outcome) = stop.race(message).await else { break };
        match outcome {
            Ok(ack) => {
                sent += 1;
                let details = [("stream", ack.stream.into()), ("seq", ack.seq.into())];
                out.sent(&options.subject, &text, &details);
            }
            Err(error) => {
                failed += 1;
                if !nats.survives(error).await? {
                    break;
                }
            }
        }
        if !stop.pause(options.interval).await {
            break;
        }
    }
    Ok((sent, failed))
}
