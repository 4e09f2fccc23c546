//! Pair 6, publisher: a bucket on a server that asks for a token.
//!
//! **New since 5:** a token, the simplest login: one secret that server and clients share. It comes from
//! `NATS_TOKEN`, or from a file (`--token-file`) that is read anew at each reconnect, so that it can be
//! changed while the program runs. It is never shown, not in errors and not in logs.
//!
//! **Run it:** `natterjack serve -js --auth s3cr3t` in one terminal, then, in any order and with
//! `NATS_TOKEN=s3cr3t` set, `cargo run --example 06_kv_token_publisher` and
//! `cargo run --example 06_kv_token_subscriber`.
//!
//! **Expect:** what pair 5 prints. Without the token, or with a wrong one: `server refused the token`,
//! exit code 4.
//!
//! **Read on:** <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/tokens>

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::error::{Conflict, KvError};
use natterjack::{Auth, Backoff, Connector, Kv, Reconnect, ServerOrder, secs};
use natterjack_examples::{BucketOptions, Chaos, Failure, Out, Outcome, Stop, Token, every, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, works, says goodbye.
pub async fn run(options: Token<Chaos<BucketOptions>>, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS Key/Value token example publisher")
        .auth(match &options.token_file {
            Some(file) => Auth::token_file(file),
            None => Auth::token(options.token.clone()),
        })
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
