//! Pair 8, publisher: pair 7 with a logger. This is the one to begin real work from.
//!
//! **New since 7:** a logger and nothing else. The lines go through `tracing`: coloured to the console, and
//! plain to `logs/nats_publisher.log`, which is set aside at 1 MiB (ten files are kept). `RUST_LOG`
//! changes what is logged: `RUST_LOG=debug`, `RUST_LOG=warn,nats_publisher=info`.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 08_logging_publisher` and `cargo run --example 08_logging_subscriber`.
//!
//! **Expect:** the lines of pair 7 behind time and level, on standard error and in the file. A directory
//! that cannot be written to gives a warning, and the program goes on without the file.
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting>

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::logging::{self, LogConfig, LogFile};
use natterjack_examples::{
    Chaos, Failure, Kind, Logged, NatsConnect, Out, Outcome, Stop, StreamOptions, now, start,
};
use tracing::{error, info, warn};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(async |options: Logged<Chaos<StreamOptions>>, out, stop| {
        let file = LogFile::new(options.log_dir.join("nats_publisher.log"));
        let file = file.max_bytes(options.log_size.into()).backups(options.log_files);
        let _log = logging::init(LogConfig::new().file(file)); // writes what is left when dropped
        let outcome = run(options.into_inner(), out, stop).await;
        outcome.inspect_err(
            |failure| error!(target: "nats_publisher", code = failure.code, "{failure}"),
        )
    })
    .await
}

/// Connects, works, says goodbye.
pub async fn run(options: Chaos<StreamOptions>, out: Out, stop: Stop) -> Outcome {
    let out = out.through(|line| match line.kind {
        Kind::Error => error!(target: "nats_publisher", "{line}"),
        Kind::Warn => warn!(target: "nats_publisher", "{line}"),
        _ => info!(target: "nats_publisher", "{line}"),
    });
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
