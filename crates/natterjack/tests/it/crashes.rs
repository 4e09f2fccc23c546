//! A handler that takes its whole process with it.

use std::process::Command;
use std::sync::Arc;

use natterjack::jetstream::{DeadLetter, Delivery};
use natterjack::testing::server_with;
use natterjack::{Auth, Backoff, Event, Operation, Verdict, millis, secs};
use tokio::sync::Notify;

use crate::{PATIENCE, builder, connect, event, server};

/// Where the child finds its server.
const URL: &str = "NATTERJACK_TEST_URL";

/// What the child ends with in the middle of the message.
const CRASHED: i32 = 9;

/// A worker. It dies of the message 13; it has handled the next one when it sees that a copy of 13 was kept.
#[tokio::test]
#[ignore = "run by `a_message_that_kills_every_worker_is_kept_aside` in a process of its own"]
async fn child() {
    let url = std::env::var(URL).unwrap();
    let connector = builder(url).build().await.unwrap();
    let js = connector.jetstream();
    let mut letters = connector.subscribe::<u32>("dlq.>").await.unwrap();
    let kept = Arc::new(Notify::new());
    let tell = kept.clone();
    tokio::spawn(async move {
        letters.next().await.unwrap().unwrap();
        tell.notify_one();
    });
    let run = js
        .consumer("S", "c")
        .ack_wait(secs(1))
        // What dies with its worker is the message 13 alone, and no request of a dead worker waits for
        // its next delivery.
        .max_ack_pending(1)
        .limit(1)
        .max_deliver(3)
        .backoff(Backoff::fixed(millis(20)))
        .dead_letter(DeadLetter::to("dlq.s"))
        .run(move |delivery: Delivery<u32>| {
            if *delivery.value() == 13 {
                std::process::exit(CRASHED);
            }
            let kept = kept.clone();
            async move {
                kept.notified().await;
                Verdict::AckSync
            }
        });
    let report = tokio::time::timeout(PATIENCE, run).await.expect("the copy is kept").unwrap();
    assert_eq!((report.acked, report.dead_lettered), (1, 1));
    connector.close().await.unwrap();
}

/// Runs [`child`] in a process of its own; what it ends with.
async fn worker(url: String) -> Option<i32> {
    let mut worker = Command::new(std::env::current_exe().unwrap());
    worker
        .args(["--ignored", "--exact", "crashes::child", "--nocapture", "--quiet"])
        .env(URL, url)
        .stdout(std::process::Stdio::null());
    tokio::task::spawn_blocking(move || worker.status().unwrap()).await.unwrap().code()
}

// Shows U-042.
#[tokio::test]
async fn a_message_that_kills_every_worker_is_kept_aside() {
    let server = server().await;
    let connector = connect(&server).await;
    let js = connector.jetstream();
    js.stream("S").subjects(["s.>"]).ensure().await.unwrap();
    let letters = js.stream("DLQ").subjects(["dlq.>"]).ensure().await.unwrap();
    let advisories = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c";
    let mut given_up = connector.subscribe::<serde_json::Value>(advisories).await.unwrap();
    for n in [13_u32, 14] {
        js.publish("s.a", &n).header("x", "y").await.unwrap();
    }
    // As often as it may be delivered.
    for _ in 0..3 {
        assert_eq!(worker(server.url()).await, Some(CRASHED));
    }
    // No worker is there when the server tells of it.
    let told = tokio::time::timeout(PATIENCE, given_up.next()).await.expect("it is given up");
    told.unwrap().unwrap();
    assert_eq!(worker(server.url()).await, Some(0));
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

const RIGHTS: &str = r#"
authorization { users = [
  { user: boss, password: p }
  { user: narrow, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.NAMES"] } } }
] }
"#;

#[tokio::test]
async fn who_may_not_keep_advisories_works_without_and_is_told() {
    let server = server_with(|server| server.config(RIGHTS).unwrap()).await.unwrap();
    let login = |user: &str| builder(server.url()).auth(Auth::user_password(user, "p")).build();
    let (boss, narrow) = (login("boss").await.unwrap(), login("narrow").await.unwrap());
    let js = boss.jetstream();
    js.stream("S").subjects(["s.>"]).ensure().await.unwrap();
    js.publish("s.a", &1_u32).await.unwrap();
    let mut events = narrow.events();
    let run = narrow.jetstream().consumer("S", "c").max_deliver(3).limit(1);
    let run = run.dead_letter(DeadLetter::to("dlq.s")).run(|_: Delivery<u32>| async {});
    let report = tokio::time::timeout(PATIENCE, run).await.expect("it ends").unwrap();
    assert_eq!((report.acked, report.dead_lettered), (1, 0));
    let denied = event(&mut events, |event| match event {
        Event::Background { error: natterjack::Error::PermissionDenied(denied) } => Some(denied),
        _ => None,
    });
    let denied = denied.await;
    assert_eq!((denied.op, &*denied.subject), (Operation::Publish, "$JS.API.STREAM.NAMES"));
    let missing = js.stream("natterjack_max_deliveries").get().await.unwrap_err();
    assert_eq!(missing.code(), "js.not_found");
    boss.close().await.unwrap();
    narrow.close().await.unwrap();
}

#[tokio::test]
async fn advisories_are_read_from_the_stream_that_has_them_and_kept_anew_when_it_is_gone() {
    let server = server().await;
    let connector = connect(&server).await;
    let js = connector.jetstream();
    js.stream("S").subjects(["s.>"]).ensure().await.unwrap();
    js.stream("DLQ").subjects(["dlq.>"]).ensure().await.unwrap();
    let all = js.stream("ALL").subjects(["$JS.EVENT.ADVISORY.>"]).ensure().await.unwrap();
    let made = "$JS.EVENT.ADVISORY.CONSUMER.CREATED.natterjack_max_deliveries.*";
    let mut made = connector.subscribe::<serde_json::Value>(made).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let consumer = js
        .consumer("S", "c:d")
        .max_deliver(1)
        .dead_letter(DeadLetter::to("dlq.s"))
        .until(async { drop(stopped.await) });
    // In a task of its own, as `ensure` before it.
    let run = tokio::spawn(async move {
        consumer.ensure().await?;
        consumer.run(|_: Delivery<u32>| async { Verdict::Retry }).await
    });
    // The first is read from the stream of the account.
    let mut letters = connector.subscribe::<u32>("dlq.>").await.unwrap();
    js.publish("s.a", &1_u32).await.unwrap();
    let kept = tokio::time::timeout(PATIENCE, letters.next()).await.expect("it is kept");
    assert_eq!(kept.unwrap().unwrap().into_value(), 1);
    assert_eq!(js.consumer_info("ALL", "S:c%3Ad").await.unwrap().name, "S:c%3Ad");
    // It goes, and what is told then is kept in another one.
    all.delete().await.unwrap();
    let made = tokio::time::timeout(PATIENCE, made.next()).await.expect("another one is made");
    assert_eq!(made.unwrap().unwrap().value()["consumer"], "S:c%3Ad");
    js.publish("s.a", &2_u32).await.unwrap();
    let kept = tokio::time::timeout(PATIENCE, letters.next()).await.expect("it is kept");
    assert_eq!(kept.unwrap().unwrap().into_value(), 2);
    drop(stop);
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.dead_lettered, 2);
    connector.close().await.unwrap();
}
