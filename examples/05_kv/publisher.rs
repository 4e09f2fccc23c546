//! Pair 5, publisher: a bucket of keys and values.
//!
//! **New since 4:** Key/Value in place of a stream. A bucket keeps the last values of each key, here
//! five. Each change has a revision; a write can be made conditional on it, so that nobody overwrites
//! what somebody else has just written.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then, in any order,
//! `cargo run --example 05_kv_publisher` and `cargo run --example 05_kv_subscriber`.
//!
//! **Expect:** first the operations one by one, with two conflicts and a bad key, then ten lines
//! `-> foo #1 "Hello #1 from NATS publisher" revision 9`.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/jetstream/key-value-store>

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::error::{Conflict, KvError};
use natterjack::{Backoff, Connector, Kv, Reconnect, ServerOrder, secs};
use natterjack_examples::{BucketOptions, Chaos, Failure, Out, Outcome, Stop, every, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: Chaos<BucketOptions>, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS Key/Value example publisher")
        .connect_timeout(secs(10))
        .ping_interval(secs(20))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::For(options.timeout))
        .server_order(ServerOrder::Shuffled)
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
        .build()
        .await?;
    out.connected(&connector).await?;
    let shown = out.follow(connector.events()); // prints them, as in pair 4

    let began = Instant::now();
    let worked = work(&connector, &options, &out, &stop).await;
    let drained = connector.drain().await;
    shown.await.ok();
    let (sent, failed) = worked?;
    out.total_sent(sent + failed, sent, failed, began.elapsed());
    Ok(drained.map(drop)?)
}

/// Makes sure that the bucket exists, and writes: how many writes were confirmed, and how many failed.
async fn work(
    connector: &Connector,
    options: &Chaos<BucketOptions>,
    out: &Out,
    stop: &Stop,
) -> Result<(u64, u64), Failure> {
    let bucket = connector.jetstream().timeout(options.timeout).kv::<String>(&options.bucket);
    let bucket = bucket.codec(Text).history(5).markers(secs(1)); // markers: expiry is told
    let bucket = options.storage.iter().fold(bucket, |bucket, kind| bucket.storage((*kind).into()));
    let bucket =
        options.replicas.iter().fold(bucket, |bucket, n| bucket.replicas(*n)).ensure().await?;
    operations(&bucket, out).await?;

    let _chaos = options // until this function ends
        .chaos()
        .map(|span| every(span, connector.clone(), |c| async move { c.reconnect_now().await }));
    let (mut sent, mut failed) = (0, 0);
    for n in options.numbers() {
        let text = format!("Hello #{n} from NATS publisher");
        let put = bucket.put(&options.subject, &text);
        let Some(outcome) = stop.race(put).await else { break };
        match outcome {
            Ok(revision) => {
                sent += 1;
                out.sent(&options.subject, &text, &[("revision", revision.into())]);
            }
            Err(error) => {
                failed += 1;
                out.error(format!("{} {error} [{}] {}", out.offset(), error.code(), error.hint()));
                if !error.retryable() {
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

/// What a bucket can do besides `put`, and how it says no.
async fn operations(bucket: &Kv<String>, out: &Out) -> Outcome {
    bucket.purge("demo").await?; // forgets what an earlier run left
    let first = bucket.create("demo", &"created".into()).await?;
    out.good(format!("create demo: revision {first}"));
    conflict(out, "create", bucket.create("demo", &"again".into()).await);
    let second = bucket.update("demo", &"updated".into(), first).await?;
    out.good(format!("update demo at revision {first}: revision {second}"));
    conflict(out, "update", bucket.update("demo", &"late".into(), first).await);
    if let Err(KvError::BadName(bad)) = bucket.put("demo key", &String::new()).await {
        out.warn(bad); // names the position of the bad character
    }
    out.good(format!("delete demo: revision {}", bucket.delete("demo").await?));
    out.good(format!("purge demo: revision {}", bucket.purge("demo").await?));
    let short = format!("short-{first}"); // another key in each run
    bucket.create_for(&short, &"for a second".into(), secs(1)).await?;
    out.good(format!("create {short} for 1 s: then it expires"));
    Ok(())
}

fn conflict(out: &Out, what: &str, result: Result<u64, KvError>) {
    match result {
        Err(KvError::Conflict(Conflict { expected, actual: Some(actual), .. })) => {
            out.warn(format!("{what} demo: conflict: expected {expected}, current {actual}"));
        }
        Ok(revision) => out.error(format!("{what} demo: revision {revision}, against expectation")),
        Err(error) => out.error(error),
    }
}
