//! Streams and durable consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use natterjack::Subscription;
use natterjack::codec::Binary;
use natterjack::error::{DisabledScope, StreamError};
use natterjack::jetstream::{DeadLetter, Ensured, IfDeleted, RunEnd, Verdict};
use natterjack::testing::{TestServer, server_with};
use natterjack::{Backoff, Connector, Delivery, JetStream, millis, minutes, secs};
use tokio::sync::{Semaphore, oneshot};

use crate::gate::Gate;
use crate::{PATIENCE, builder, connect, server};

async fn with_stream() -> (TestServer, Connector, JetStream) {
    let server = server().await;
    let connector = connect(&server).await;
    let js = connector.jetstream();
    js.stream("S").subjects(["s.>"]).ensure().await.unwrap();
    (server, connector, js)
}

// Shows U-036.
#[tokio::test]
async fn ensure_creates_edits_and_refuses() {
    let (_server, connector, js) = with_stream().await;
    let again = js.stream("S").subjects(["s.>"]).file().ensure().await.unwrap();
    assert_eq!(again.ensured(), Ensured::Unchanged);
    let edited = js.stream("S").subjects(["s.>", "t"]).dedup(minutes(1)).ensure().await.unwrap();
    assert_eq!(edited.ensured(), Ensured::Updated);
    assert_eq!(edited.cached_info().subjects, ["s.>", "t"]);
    let error = js.stream("S").memory().max_age(minutes(5)).ensure().await.unwrap_err();
    let StreamError::Drift(drift) = &error else { panic!("{error}") };
    assert_eq!(
        (drift.field.as_str(), drift.wanted.as_str(), drift.found.as_str()),
        ("storage", "memory", "file")
    );
    let now = js.stream("S").get().await.unwrap();
    assert_eq!(now.cached_info().config["max_age"], 0, "nothing was changed");
    let error = js.stream("absent").get().await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("stream absent not found", 5));
    assert_eq!(js.stream("a.b").ensure().await.unwrap_err().code(), "js.bad_name");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn without_jetstream_it_says_so() {
    let server = natterjack::server::Server::builder().start().await.unwrap();
    let connector = Connector::connect(server.client_url()).await.unwrap();
    let js = connector.jetstream();
    for error in
        [js.stream("S").ensure().await.unwrap_err(), js.publish("s", &1).await.unwrap_err()]
    {
        let StreamError::JetStreamDisabled(disabled) = &error else { panic!("{error}") };
        assert_eq!(disabled.scope, DisabledScope::Server);
        assert_eq!((error.hint().as_ref(), error.exit_code()), ("start the server with -js", 5));
    }
    connector.close().await.unwrap();
    server.shutdown().await;
}

// Shows U-037.
#[tokio::test]
async fn an_acknowledgement_names_stream_sequence_and_duplicates() {
    let (_server, connector, js) = with_stream().await;
    let first = js.publish("s.a", &1).dedup_id("id").await.unwrap();
    let second = js.publish("s.a", &1).dedup_id("id").await.unwrap();
    assert_eq!((first.stream.as_str(), first.seq, first.duplicate), ("S", 1, false));
    assert_eq!((second.seq, second.duplicate), (1, true));
    let error = js.publish("s.a", &1).expect_last(7).await.unwrap_err();
    let StreamError::Conflict(conflict) = &error else { panic!("{error}") };
    assert_eq!((conflict.expected, conflict.actual), (7, Some(1)));
    let error = js.publish("nowhere", &1).await.unwrap_err();
    assert_eq!(error.to_string(), "stream for subject nowhere not found");
    let stream = js.stream("S").get().await.unwrap();
    assert_eq!(&stream.get(1).await.unwrap().payload[..], b"1");
    assert_eq!(stream.last("s.a").await.unwrap().seq, 1);
    assert_eq!(stream.get(2).await.unwrap_err().to_string(), "message 2 not found");
    assert_eq!(stream.purge().await.unwrap(), 1);
    connector.close().await.unwrap();
}

// Shows U-037.
#[tokio::test]
async fn many_in_flight_are_acknowledged_in_order() {
    let (_server, connector, js) = with_stream().await;
    let mut publisher = js.publisher().max_in_flight(64).start().await.unwrap();
    let values: Vec<u32> = (0..10_000).collect();
    let acks = publisher.publish_all("s.a", &values).await.unwrap();
    let seqs: Vec<u64> = acks.into_iter().map(|ack| ack.unwrap().seq).collect();
    assert_eq!(seqs, (1..=10_000).collect::<Vec<_>>());
    let lost = publisher.publish("nowhere", &1).await.unwrap();
    drop(publisher);
    assert!(lost.await.is_err());
    connector.close().await.unwrap();
}

#[tokio::test]
async fn messages_under_way_at_a_restart_are_sent_again_and_stored_once() {
    let (mut server, connector, js) = with_stream().await;
    let mut publisher = js.publisher().max_in_flight(16).start().await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..200_u32 {
        receipts.push(publisher.publish("s.a", &n).await.unwrap());
        if n == 100 {
            server.restart().await.unwrap();
        }
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    let mut stream = js.stream("S").get().await.unwrap();
    assert_eq!(stream.info().await.unwrap().messages, 200);
    connector.close().await.unwrap();
}

// Shows U-039, U-041.
#[tokio::test]
async fn verdicts_have_their_effect() {
    let (_server, connector, js) = with_stream().await;
    js.stream("DLQ").subjects(["dlq.>"]).ensure().await.unwrap();
    // First, because the run ends when the others are handled.
    js.publish("s.a", "rubbish").await.unwrap();
    for n in 0..8_u32 {
        js.publish("s.a", &n).await.unwrap();
    }
    let deliveries = Arc::new(Mutex::new(BTreeMap::<u32, u64>::new()));
    let seen = deliveries.clone();
    let report = js
        .consumer("S", "c")
        .max_deliver(3)
        .backoff(Backoff::fixed(millis(1)))
        .dead_letter(DeadLetter::to("dlq.s"))
        .limit(13)
        .run(move |d: Delivery<u32>| {
            let n = *d.value();
            seen.lock().unwrap().insert(n, d.meta.delivered);
            let first = d.meta.delivered == 1;
            async move {
                match n {
                    1 => Ok(Verdict::AckSync),
                    2 if first => Ok(Verdict::Retry),
                    3 if first => Ok(Verdict::RetryAfter(millis(1))),
                    4 => Ok(Verdict::Reject("no good".into())),
                    5 => Ok(Verdict::DeadLetter("odd".into())),
                    6 => Err("always fails"),
                    7 if first => panic!("a handler may panic"),
                    _ => Ok(Verdict::Ack),
                }
            }
        })
        .await
        .unwrap();
    let counts =
        [report.handled, report.acked, report.retried, report.rejected, report.dead_lettered];
    assert_eq!(counts, [13, 5, 5, 1, 3]);
    let seen = deliveries.lock().unwrap().clone();
    assert_eq!(
        seen,
        BTreeMap::from([(0, 1), (1, 1), (2, 2), (3, 2), (4, 1), (5, 1), (6, 3), (7, 2)])
    );
    let info = js.consumer_info("S", "c").await.unwrap();
    assert_eq!((info.pending, info.ack_pending, info.ack_floor), (0, 0, 9));
    let dead = js.stream("DLQ").get().await.unwrap();
    let mut reasons = BTreeSet::new();
    for seq in 1..=dead.cached_info().messages {
        let copy = dead.get(seq).await.unwrap();
        let header =
            |name: &str| copy.headers.get(name).map(|value| value.as_str().to_owned()).unwrap();
        for name in ["Stream", "Seq", "Subject", "Consumer", "Deliveries", "Error", "Time"] {
            header(&format!("Natterjack-Dl-{name}"));
        }
        reasons.insert((header("Natterjack-Dl-Reason"), header("Natterjack-Dl-Seq")));
    }
    let want = [("max deliveries", "8"), ("odd", "7"), ("undecodable", "1")];
    assert_eq!(reasons, want.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    connector.close().await.unwrap();
}

// Shows U-040.
#[tokio::test]
async fn a_handler_longer_than_the_ack_wait_is_not_repeated() {
    let (_server, connector, js) = with_stream().await;
    js.publish("s.a", &0).await.unwrap();
    let (count, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, waiting) = (count.clone(), gate.clone());
    let run = tokio::spawn({
        let js = js.clone();
        async move {
            js.consumer("S", "c")
                .ack_wait(secs(1))
                .concurrency(2)
                .limit(2)
                .run(move |_: Delivery<u32>| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let gate = waiting.clone();
                    async move {
                        let _permit = gate.acquire().await;
                    }
                })
                .await
        }
    });
    // Several ack waits, as the server counts them: another consumer's messages time out meanwhile.
    let mut clock = js.consumer::<u32>("S", "clock").ack_wait(secs(1)).messages().await.unwrap();
    for delivered in 1..=3 {
        let message = clock.next().await.unwrap().unwrap();
        assert_eq!(message.meta.delivered, delivered);
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    gate.add_permits(2);
    js.publish("s.a", &1).await.unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.handled, report.redelivered), (2, 0));
    connector.close().await.unwrap();
}

// Shows U-043.
#[tokio::test]
async fn messages_of_a_key_keep_their_order_and_others_run_beside() {
    let (_server, connector, js) = with_stream().await;
    for n in 0..60_u32 {
        js.publish("s.a", &(n % 3, n)).await.unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, running) = (seen.clone(), Arc::new(Mutex::new(BTreeSet::new())));
    js.consumer("S", "c")
        .concurrency(8)
        .ordered_by(|d: &Delivery<(u32, u32)>| d.value().0.to_string())
        .limit(60)
        .run(move |d: Delivery<(u32, u32)>| {
            let (key, n) = *d.value();
            let (log, running) = (log.clone(), running.clone());
            async move {
                assert!(running.lock().unwrap().insert(key), "one of a key at a time");
                for _ in 0..n % 5 {
                    tokio::task::yield_now().await;
                }
                log.lock().unwrap().push((key, n));
                running.lock().unwrap().remove(&key);
            }
        })
        .await
        .unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 60);
    for key in 0..3 {
        let own: Vec<u32> = seen.iter().filter(|(k, _)| *k == key).map(|(_, n)| *n).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
    connector.close().await.unwrap();
}

// Shows U-038.
#[tokio::test]
async fn a_run_goes_on_over_restarts_and_handles_each_message() {
    let (mut server, connector, js) = with_stream().await;
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (log, (stop, stopped)) = (seen.clone(), oneshot::channel::<()>());
    let run = tokio::spawn({
        let js = js.clone();
        async move {
            js.consumer("S", "c")
                .concurrency(4)
                .until(async { drop(stopped.await) })
                .run(move |d: Delivery<u32>| {
                    log.lock().unwrap().insert(*d.value());
                    async {}
                })
                .await
        }
    });
    for n in 0..150_u32 {
        if n == 50 || n == 100 {
            server.restart().await.unwrap();
        }
        js.publish("s.a", &n).dedup_id(n.to_string()).await.unwrap();
    }
    while seen.lock().unwrap().len() < 150 {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.end, RunEnd::Shutdown);
    connector.close().await.unwrap();
}

/// A run behind a gate, somebody who sees its requests, and the messages it has handled.
struct Behind {
    server: TestServer,
    gate: Gate,
    connector: Connector,
    direct: Connector,
    seen: Arc<Mutex<BTreeSet<u32>>>,
    stop: oneshot::Sender<()>,
    run: tokio::task::JoinHandle<RunEnd>,
}

impl Behind {
    async fn start() -> Self {
        let (server, direct, _) = with_stream().await;
        let gate = Gate::before(&server.url()).await;
        let connector = builder(gate.url.clone()).build().await.unwrap();
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let (log, (stop, stopped)) = (seen.clone(), oneshot::channel::<()>());
        let js = connector.jetstream();
        let run = tokio::spawn(async move {
            let consumer = js.consumer("S", "c").until(async { drop(stopped.await) });
            let report = consumer.run(move |d: Delivery<u32>| {
                log.lock().unwrap().insert(*d.value());
                async {}
            });
            report.await.unwrap().end
        });
        Self { server, gate, connector, direct, seen, stop, run }
    }

    async fn publish(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.direct.jetstream().publish("s.a", &n).await.unwrap();
        }
    }

    async fn handled(&self, count: usize) {
        let all = async {
            while self.seen.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("all are handled");
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        assert_eq!(self.run.await.unwrap(), RunEnd::Shutdown);
        self.connector.close().await.unwrap();
        self.direct.close().await.unwrap();
    }
}

async fn next_request(requests: &mut Subscription<Bytes>) -> String {
    let request = tokio::time::timeout(PATIENCE, requests.next()).await.expect("a request comes");
    request.unwrap().unwrap().reply.unwrap()
}

// Shows U-038.
#[tokio::test]
async fn a_run_goes_on_when_heartbeats_are_missing() {
    let behind = Box::pin(Behind::start()).await;
    behind.publish(0..10).await;
    behind.handled(10).await;
    let lookups = behind.direct.on("$JS.API.CONSUMER.INFO.S.c").codec(Binary);
    let mut lookups = lookups.open::<Bytes>().await.unwrap();
    // Requests go through and nothing comes back: after two heartbeats the consumer is looked up.
    behind.gate.hold();
    next_request(&mut lookups).await;
    behind.publish(10..20).await;
    behind.gate.release();
    behind.handled(20).await;
    behind.end().await;
}

// Shows U-038.
#[tokio::test]
async fn a_run_goes_on_when_the_consumer_has_another_leader() {
    use tokio::io::AsyncWriteExt as _;
    let behind = Box::pin(Behind::start()).await;
    behind.publish(0..1).await;
    behind.handled(1).await;
    let pulls = behind.direct.on("$JS.API.CONSUMER.MSG.NEXT.S.c").codec(Binary);
    let mut pulls = pulls.open::<Bytes>().await.unwrap();
    let mut leader =
        tokio::net::TcpStream::connect(behind.server.url().replace("nats://", "")).await.unwrap();
    leader.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").await.unwrap();
    for n in 1..4 {
        behind.publish(n..n + 1).await;
        behind.handled(n as usize + 1).await;
        // As the old leader says to everybody who waits. The next request goes to the new one.
        let inbox = next_request(&mut pulls).await;
        let head = "NATS/1.0 409 Leadership Change\r\n\r\n";
        let len = head.len();
        let status = format!("HPUB {inbox} {len} {len}\r\n{head}\r\n");
        leader.write_all(status.as_bytes()).await.unwrap();
    }
    next_request(&mut pulls).await;
    behind.publish(4..10).await;
    behind.handled(10).await;
    behind.end().await;
}

// Shows U-044.
#[tokio::test]
async fn at_shutdown_what_was_not_started_goes_to_another_worker_at_once() {
    let (_server, connector, js) = with_stream().await;
    for n in 0..4_u32 {
        js.publish("s.a", &n).await.unwrap();
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let gate = Arc::new(Semaphore::new(0));
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let waiting = gate.clone();
    let first = tokio::spawn({
        let js = js.clone();
        async move {
            js.consumer("S", "c")
                .ack_wait(secs(600))
                .concurrency(2)
                .until(async { drop(stopped.await) })
                .run(move |d: Delivery<u32>| {
                    started.send(*d.value()).unwrap();
                    let gate = waiting.clone();
                    async move {
                        let _permit = gate.acquire().await;
                    }
                })
                .await
        }
    });
    assert_eq!((starts.recv().await, starts.recv().await), (Some(0), Some(1)));
    // Four are in the first worker's hands, two of them not started.
    while js.consumer_info("S", "c").await.unwrap().ack_pending < 4 {}
    stop.send(()).unwrap();
    let second =
        js.consumer("S", "c").limit(2).ack_wait(secs(600)).run(|_: Delivery<u32>| async {});
    // Ten minutes later the wait for the acks would be over.
    let second = tokio::time::timeout(PATIENCE, second).await.expect("no wait").unwrap();
    assert_eq!((second.handled, second.redelivered), (2, 2));
    gate.add_permits(2);
    let first = first.await.unwrap().unwrap();
    assert_eq!((first.handled, first.returned), (2, 2));
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_deleted_consumer_is_made_anew_or_ends_the_run() {
    let (_server, connector, js) = with_stream().await;
    let runs = [IfDeleted::Recreate, IfDeleted::Stop].map(|policy| {
        let js = js.clone();
        let name = format!("{policy:?}");
        tokio::spawn(async move {
            js.consumer("S", name)
                .if_deleted(policy)
                .limit(2)
                .run(|_: Delivery<u32>| async {})
                .await
        })
    });
    js.publish("s.a", &1).await.unwrap();
    for name in ["Recreate", "Stop"] {
        // Handled, and waiting for the next.
        while !js.consumer_info("S", name).await.is_ok_and(|info| info.ack_floor == 1) {}
        js.delete_consumer("S", name).await.unwrap();
    }
    let [recreated, stopped] = runs;
    // Made anew, it begins at the start of the stream again.
    assert_eq!(recreated.await.unwrap().unwrap().end, RunEnd::Limit);
    assert_eq!(stopped.await.unwrap().unwrap().end, RunEnd::Deleted);
    connector.close().await.unwrap();
}

#[tokio::test]
async fn messages_can_be_read_and_settled_by_hand() {
    let (_server, connector, js) = with_stream().await;
    for n in 0..5_u32 {
        js.publish("s.a", &n).await.unwrap();
    }
    let mut messages = js.consumer::<u32>("S", "c").filter("s.a").messages().await.unwrap();
    for n in 0..3 {
        let message = messages.next().await.unwrap().unwrap();
        assert_eq!((*message.value(), message.meta.stream_seq), (n, u64::from(n) + 1));
        message.settle(Verdict::AckSync).await.unwrap();
    }
    messages.stop().await.unwrap();
    let info = js.consumer_info("S", "c").await.unwrap();
    assert_eq!((info.ack_floor, info.pending), (3, 0));
    let error = js.consumer::<u32>("absent", "c").messages().await.unwrap_err();
    assert_eq!(error.to_string(), "stream absent not found");
    connector.close().await.unwrap();
}

// Shows U-020.
#[tokio::test]
async fn a_drain_ends_runs_and_settles_what_was_handled() {
    let server = server_with(|server| server).await.unwrap();
    let connector = connect(&server).await;
    let js = connector.jetstream();
    js.stream("S").subjects(["s"]).ensure().await.unwrap();
    let (handled, mut told) = tokio::sync::mpsc::unbounded_channel();
    let run = tokio::spawn({
        let js = js.clone();
        async move {
            js.consumer("S", "c")
                .run(move |_: Delivery<u32>| {
                    handled.send(()).unwrap();
                    async {}
                })
                .await
        }
    });
    for n in 0..10_u32 {
        js.publish("s", &n).await.unwrap();
    }
    for _ in 0..10 {
        told.recv().await.unwrap();
    }
    connector.drain().await.unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.acked, report.end), (10, RunEnd::Shutdown));
    let other = connect(&server).await;
    let info = other.jetstream().consumer_info("S", "c").await.unwrap();
    assert_eq!((info.ack_floor, info.ack_pending), (10, 0));
    other.close().await.unwrap();
}
