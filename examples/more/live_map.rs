//! Beyond the pairs: settings as a map that is always up to date.
//!
//! **Shows:** a bucket of typed settings, a live map of it (reading it asks nobody), and `modify`, which
//! changes a value that others may change at the same time.
//!
//! **Run it:** `natterjack serve -js` in one terminal, then `cargo run --example more_live_map`.
//!
//! **Expect:** `the map has 2 settings`, then `workers: 80 after 80 changes by 8 tasks`.
//!
//! **Read on:** <https://docs.nats.io/nats-concepts/jetstream/key-value-store>

use std::process::ExitCode;

use natterjack::Connector;
use natterjack::error::KvError;
use natterjack_examples::{Options, Out, Outcome, Stop, start};
use serde::{Deserialize, Serialize};

/// A setting. Values are JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Setting {
    value: u32,
    unit: String,
}

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Writes settings, and reads them from the map.
pub async fn run(options: Options, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS live map example")
        .build()
        .await?;
    out.connected(&connector).await?;
    let settings = connector.kv::<Setting>("more_settings").memory().ensure().await?;
    settings.put("workers", &Setting { value: 0, unit: "threads".into() }).await?;
    settings.put("timeout", &Setting { value: 30, unit: "seconds".into() }).await?;

    let map = settings.mirror(">").await?;
    map.ready().await;
    out.note(format!("the map has {} settings", map.len()));

    // Eight tasks add one ten times each; none of their changes gets lost.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let settings = settings.clone();
        tasks.spawn(async move {
            let mut last = 0;
            for _ in 0..10 {
                last = settings.modify("workers", one_more).await?;
            }
            Ok::<u64, KvError>(last)
        });
    }
    let mut last = 0;
    while let Some(Ok(revision)) = tasks.join_next().await {
        last = last.max(revision?);
    }

    // The map hears of the last change a moment later.
    if stop.race(map.reached(last)).await == Some(true) {
        let workers = map.get("workers").map_or(0, |setting| setting.value);
        out.good(format!("workers: {workers} after 80 changes by 8 tasks"));
    }
    drop(map);
    let stream = connector.jetstream().stream("KV_more_settings").get().await?;
    stream.delete().await?;
    connector.drain().await?;
    Ok(())
}

/// A setting that is there goes up by one; one that is not stays away.
fn one_more(old: Option<Setting>) -> Option<Setting> {
    old.map(|setting| Setting { value: setting.value + 1, ..setting })
}
