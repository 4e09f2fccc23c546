//! Pair 8, subscriber: pair 7 with a logger. This is the one to begin real work from.
//!
//! **New since 7:** a logger and nothing else. The lines go through `tracing`: coloured to the console, and
//! plain to `logs/nats_subscriber.log`, which is set aside at 1 MiB (ten files are kept). `RUST_LOG`
//! changes what is logged: `RUST_LOG=debug`, `RUST_LOG=warn,nats_subscriber=info`.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 08_logging_publisher` and `cargo run --example 08_logging_subscriber`.
//!
//! **Expect:** the lines of pair 7 behind time and level, on standard error and in the file. A directory
//! that cannot be written to gives a warning, and the program goes on without the file.
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting>

use std::collections::HashSet;
use std::process::ExitCode;

use natterjack::codec::Text;
use natterjack::logging::{self, LogConfig, LogFile};
use natterjack::secs;
use natterjack_examples::{
    Failure, Kind, Logged, NatsConnect, Out, Outcome, SlowOptions, Stop, start,
};
use tracing::{error, info, warn};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(async |options: Logged<SlowOptions>, out, stop| {
        let file = LogFile::new(options.log_dir.join("nats_subscriber.log"));
        let file = file.max_bytes(options.log_size.into()).backups(options.log_files);
        let _log = logging::init(LogConfig::new().file(file)); // writes what is left when dropped
        let outcome = run(options.into_inner(), out, stop).await;
        outcome.inspect_err(
            |failure| error!(target: "nats_subscriber", code = failure.code, "{failure}"),
        )
    })
    .await
}

/// Connects, works, says goodbye.
pub async fn run(options: SlowOptions, out: Out, stop: Stop) -> Outcome {
    let out = out.through(|line| match line.kind {
        Kind::Error => error!(target: "nats_subscriber", "{line}"),
        Kind::Warn => warn!(target: "nats_subscriber", "{line}"),
        _ => info!(target: "nats_subscriber", "{line}"),
    });
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
