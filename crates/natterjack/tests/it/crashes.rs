//! A handler that takes its whole process with it.

use std::process::Command;

use natterjack::jetstream::{DeadLetter, Delivery};
use natterjack::{Backoff, Verdict, millis, secs};

use crate::{builder, connect, server};

/// Where the child finds its server.
const URL: &str = "NATTERJACK_TEST_URL";

/// What the child ends with in the middle of the message.
const CRASHED: i32 = 9;

/// A worker. It dies of the message 13, and ends when it sees that a copy of it was kept.
#[tokio::test]
#[ignore = "run by `a_message_that_kills_every_worker_is_kept_aside` in a process of its own"]
async fn child() {
    let url = std::env::var(URL).unwrap();
    let connector = builder(url).build().await.unwrap();
    let js = connector.jetstream();
    let mut kept = connector.subscribe::<u32>("dlq.>").await.unwrap();
    let report = js
        .consumer("S", "c")
        // Longer than a worker takes to come back: who is not there is not told.
        .ack_wait(secs(3))
        .max_deliver(3)
        .backoff(Backoff::fixed(millis(20)))
        .dead_letter(DeadLetter::to("dlq.s"))
        .until(async move { drop(kept.next().await) })
        .run(|delivery: Delivery<u32>| async move {
            if *delivery.value() == 13 {
                std::process::exit(CRASHED);
            }
            Verdict::Ack
        })
        .await
        .unwrap();
    assert_eq!(report.dead_lettered, 1);
    connector.close().await.unwrap();
}

// Not a proof of U-042 yet, see below.
#[tokio::test]
#[ignore = "has not been seen to end: the advisory may come before the next worker listens"]
async fn a_message_that_kills_every_worker_is_kept_aside() {
    let server = server().await;
    let connector = connect(&server).await;
    let js = connector.jetstream();
    js.stream("S").subjects(["s.>"]).ensure().await.unwrap();
    let letters = js.stream("DLQ").subjects(["dlq.>"]).ensure().await.unwrap();
    for n in [13_u32, 14] {
        js.publish("s.a", &n).header("x", "y").await.unwrap();
    }
    let mut crashes = 0;
    loop {
        let mut worker = Command::new(std::env::current_exe().unwrap());
        worker
            .args(["--ignored", "--exact", "crashes::child", "--nocapture", "--quiet"])
            .env(URL, server.url())
            .stdout(std::process::Stdio::null());
        let ended = tokio::task::spawn_blocking(move || worker.status().unwrap()).await.unwrap();
        match ended.code() {
            Some(CRASHED) => crashes += 1,
            code => {
                assert_eq!(code, Some(0));
                break;
            }
        }
    }
    assert_eq!(crashes, 3, "as often as it may be delivered");
    let letter = letters.get(1).await.unwrap();
    assert_eq!(letter.payload, "13");
    let header = |name: &str| letter.headers.get(name).map(|value| value.as_str().to_owned());
    for (name, value) in [
        ("x", "y"),
        ("Natterjack-Dl-Reason", "max deliveries"),
        ("Natterjack-Dl-Stream", "S"),
        ("Natterjack-Dl-Seq", "1"),
        ("Natterjack-Dl-Subject", "s.a"),
        ("Natterjack-Dl-Consumer", "c"),
        ("Natterjack-Dl-Deliveries", "3"),
    ] {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    let info = js.consumer_info("S", "c").await.unwrap();
    assert_eq!((info.pending, info.ack_pending), (0, 0));
    connector.close().await.unwrap();
}
