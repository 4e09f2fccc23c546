//! Messages: publishing, subscribing, asking.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use natterjack::codec::{Binary, Cbor, Decode, Encode, Json, MsgPack, Text};
use natterjack::error::{PublishError, RequestError, SubscribeError};
use natterjack::testing::server_with;
use natterjack::{
    Auth, Backoff, Connector, Event, Msg, Operation, Overflow, Retry, RetryOn, Until, millis, secs,
};
use serde::{Deserialize, Serialize};

use crate::{PATIENCE, builder, connect, event, server};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Order {
    id: u32,
    item: String,
}

const RIGHTS: &str = r#"
authorization { users = [
  { user: u, password: p, permissions: { publish: { deny: ["secret.>"] }, subscribe: { deny: ["hidden"] } } }
  { user: narrow, password: p, permissions: { publish: ["only"], subscribe: ["only"] } }
] }
"#;

/// Sends a value with header and reply, and looks at what arrives.
async fn round_trip<T, S, C>(connector: &Connector, codec: C, sent: &S, want: &T)
where
    T: Send + Debug + PartialEq + 'static,
    S: ?Sized + Sync,
    C: Encode<S> + Decode<T>,
{
    let mut messages = connector.on(C::NAME).codec(codec).open::<T>().await.unwrap();
    connector.to(C::NAME).codec(codec).header("x", "y").reply("back").send(sent).await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    assert_eq!(message.value(), want, "{}", C::NAME);
    let around = (message.header("x"), message.reply.as_deref(), message.subject.as_str());
    assert_eq!(around, (Some("y"), Some("back"), C::NAME));
}

// Shows U-031.
#[tokio::test]
async fn values_headers_and_reply_survive_each_codec() {
    let server = server().await;
    let connector = connect(&server).await;
    let order = Order { id: 7, item: "tea".into() };
    round_trip(&connector, Json, &order, &order).await;
    round_trip(&connector, Cbor, &order, &order).await;
    round_trip(&connector, MsgPack, &order, &order).await;
    round_trip(&connector, Text, "Hello #3", &"Hello #3".to_owned()).await;
    round_trip(&connector, Binary, &[0_u8, 255], &vec![0_u8, 255]).await;
    // Without a word about a codec it is JSON.
    let mut plain = connector.subscribe::<Order>("plain").await.unwrap();
    connector.publish("plain", &order).await.unwrap();
    assert_eq!(plain.next().await.unwrap().unwrap().into_value(), order);
    connector.close().await.unwrap();
}

// Shows U-032.
#[tokio::test]
async fn a_body_that_does_not_decode_is_an_item_and_the_stream_goes_on() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut numbers = connector.subscribe::<u32>("n").await.unwrap();
    connector.publish("n", "no number").await.unwrap();
    connector.publish("n", &1).await.unwrap();
    let error = numbers.next().await.unwrap().unwrap_err();
    assert_eq!((error.subject.as_str(), &error.raw[..]), ("n", &b"\"no number\""[..]));
    assert_eq!(numbers.next().await.unwrap().unwrap().into_value(), 1);
    connector.close().await.unwrap();
}

// Shows U-033.
#[tokio::test]
async fn a_queue_group_shares_and_repeats_nothing() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(connector.on("q").queue("workers").open::<u32>().await.unwrap());
    }
    for n in 0..300_u32 {
        connector.publish("q", &n).await.unwrap();
    }
    connector.barrier(PATIENCE).await.unwrap();
    let mut all = Vec::new();
    for member in &mut members {
        member.stop();
        while let Some(message) = member.next().await {
            all.push(message.unwrap().into_value());
        }
    }
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_subscription_ends_at_its_limit() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut two = connector.on("n").limit(2).open::<u32>().await.unwrap();
    for n in 0..5 {
        connector.publish("n", &n).await.unwrap();
    }
    let mut seen = Vec::new();
    while let Some(message) = two.next().await {
        seen.push(message.unwrap().into_value());
    }
    assert_eq!(seen, [0, 1]);
    connector.close().await.unwrap();
}

// Shows U-029.
#[tokio::test]
async fn the_four_ways_a_request_fails_are_four_cases() {
    let server = server().await;
    let connector = connect(&server).await;
    let _silent = connector.subscribe::<u32>("silent").await.unwrap();
    let fail = async |subject: &str, size: usize| {
        let body = "x".repeat(size);
        let ask = connector.ask(subject).timeout(millis(50));
        ask.send::<str, u32>(&body).await.unwrap_err()
    };
    assert!(matches!(fail("nobody", 1).await, RequestError::NoResponders(_)));
    assert!(matches!(fail("silent", 1).await, RequestError::Timeout(_)));
    assert!(matches!(fail("big", 2 << 20).await, RequestError::TooLarge(_)));
    assert!(matches!(fail("a b", 1).await, RequestError::BadSubject(_)));
    connector.close().await.unwrap();
}

// Shows U-034.
#[tokio::test]
async fn a_retry_repeats_what_it_covers_and_stops_at_its_limit() {
    let server = server().await;
    let connector = connect(&server).await;
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let _task = connector
        .on("slow")
        .serve(8, move |message: Msg<u32>| {
            let before = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                // The first two are left without an answer.
                if before >= 2 {
                    message.respond(&(message.value() + 1)).await.unwrap();
                }
            }
        })
        .await
        .unwrap();
    let ask = |times, on| {
        let retry = Retry::times(times).on(on).backoff(Backoff::fixed(millis(1)));
        connector.ask("slow").timeout(millis(100)).retry(retry)
    };
    let error = ask(5, RetryOn::NoResponders).send::<_, u32>(&1).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout(_)));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(ask(5, RetryOn::Timeout).send::<_, u32>(&1).await.unwrap(), 2);
    let nobody = connector.ask("nobody").retry(Retry::times(2).backoff(Backoff::fixed(millis(1))));
    assert!(matches!(nobody.send::<_, u32>(&1).await.unwrap_err(), RequestError::NoResponders(_)));
    // The first and two more: the limit.
    let mut silent = connector.subscribe::<u32>("silent").await.unwrap();
    let retry = Retry::times(2).backoff(Backoff::fixed(millis(1)));
    let ask = connector.ask("silent").timeout(millis(20)).retry(retry);
    assert!(matches!(ask.send::<_, u32>(&1).await.unwrap_err(), RequestError::Timeout(_)));
    connector.barrier(PATIENCE).await.unwrap();
    silent.stop();
    let mut tries = 0;
    while silent.next().await.is_some() {
        tries += 1;
    }
    assert_eq!(tries, 3);
    // Nothing else is tried again: nobody waits for this backoff.
    let retry = Retry::times(2).backoff(Backoff::fixed(secs(3600)));
    let error = connector.ask("a b").retry(retry).send::<_, u32>(&1).await.unwrap_err();
    assert!(matches!(error, RequestError::BadSubject(_)));
    connector.close().await.unwrap();
}

// Shows U-035.
#[tokio::test]
async fn several_answers_end_by_count_idleness_or_sentinel() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut members = Vec::new();
    for member in 0..3_u32 {
        let serve = connector.on("survey").serve(1, move |message: Msg<u32>| async move {
            message.respond(&member).await.unwrap();
        });
        members.push(serve.await.unwrap());
    }
    let listed = connector.on("list").serve(1, |message: Msg<u32>| async move {
        for n in 0..4 {
            message.respond(&n).await.unwrap();
        }
        message.respond_bytes("").await.unwrap();
        message.respond(&99).await.unwrap();
    });
    members.push(listed.await.unwrap());
    let collect = async |subject: &str, until| {
        let ask = connector.ask(subject).timeout(secs(30));
        let mut replies = ask.many(until).stream::<_, u32>(&0).await.unwrap();
        let mut all = Vec::new();
        while let Some(reply) = replies.next().await {
            all.push(reply.map(Msg::into_value).map_err(|error| error.code()));
        }
        all.sort_unstable();
        all
    };
    assert_eq!(collect("survey", Until::Count(2)).await.len(), 2);
    assert_eq!(collect("survey", Until::Idle(millis(200))).await, [Ok(0), Ok(1), Ok(2)]);
    assert_eq!(collect("list", Until::Sentinel).await, [Ok(0), Ok(1), Ok(2), Ok(3)]);
    assert_eq!(collect("nobody", Until::Sentinel).await, [Err("request.no_responders")]);
    connector.close().await.unwrap();
}

// Shows U-026, U-027.
#[tokio::test]
async fn what_is_forbidden_is_an_error_of_the_call() {
    let server = server_with(|server| server.config(RIGHTS).unwrap()).await.unwrap();
    let connector =
        builder(server.url()).auth(Auth::user_password("u", "p")).build().await.unwrap();
    let mut events = connector.events();
    // Unconfirmed, a publish is taken; the refusal is an event.
    connector.publish("secret.a", &1).await.unwrap();
    let seen = event(&mut events, |e| match e {
        Event::PermissionDenied { op, subject, queue } => Some((op, subject, queue)),
        _ => None,
    });
    assert_eq!(seen.await, (Operation::Publish, "secret.a".into(), None));
    let error = connector.to("secret.b").confirmed().send(&1).await.unwrap_err();
    assert!(matches!(&error, PublishError::PermissionDenied(e) if e.subject == "secret.b"));
    assert_eq!(
        (error.to_string().as_str(), error.exit_code()),
        ("permission denied: publish secret.b", 4)
    );
    connector.to("fine").confirmed().send(&1).await.unwrap();
    for _ in 0..50 {
        let error = connector.subscribe::<u32>("hidden").await.unwrap_err();
        assert!(matches!(error, SubscribeError::PermissionDenied(_)), "{error}");
    }
    let error = connector.on("hidden").queue("q").open::<u32>().await.unwrap_err();
    assert_eq!(error.to_string(), "permission denied: subscribe hidden in queue q");
    let error = connector.request::<_, u32>("secret.c", &1).await.unwrap_err();
    assert!(matches!(error, RequestError::PermissionDenied(_)), "{error}");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_user_with_hardly_any_rights_still_has_round_trips() {
    let server = server_with(|server| server.config(RIGHTS).unwrap()).await.unwrap();
    let connector =
        builder(server.url()).auth(Auth::user_password("narrow", "p")).build().await.unwrap();
    connector.rtt().await.unwrap();
    connector.barrier(PATIENCE).await.unwrap();
    let mut only = connector.subscribe::<u32>("only").await.unwrap();
    assert_eq!(connector.subscribe::<u32>("other").await.unwrap_err().code(), "auth.permission");
    connector.to("only").confirmed().send(&1).await.unwrap();
    assert_eq!(only.next().await.unwrap().unwrap().into_value(), 1);
    connector.close().await.unwrap();
}

// Shows U-025.
#[tokio::test]
async fn a_slow_reader_is_reported_with_the_exact_total() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut events = connector.events();
    let open = |subject: &str, overflow| {
        connector.on(subject).capacity(10).overflow(overflow).open::<u32>()
    };
    let begin = std::time::Instant::now();
    let mut newest = open("a.*", Overflow::DropNewest).await.unwrap();
    let mut oldest = open("*.b", Overflow::DropOldest).await.unwrap();
    for n in 0..1000_u32 {
        connector.publish("a.b", &n).await.unwrap();
    }
    let mut totals = std::collections::HashMap::new();
    let mut told = 0;
    while totals.values().sum::<u64>() < 1980 {
        let seen = event(&mut events, |e| match e {
            Event::SlowConsumer { subject, dropped, .. } => Some((subject, dropped)),
            _ => None,
        });
        let (subject, dropped) = seen.await;
        totals.insert(subject, dropped);
        told += 1;
    }
    // At most one a second for each, and one at the beginning.
    assert!(told <= 2 * (begin.elapsed().as_secs() + 1), "{told}");
    assert_eq!((totals["a.*"], totals["*.b"]), (990, 990));
    assert_eq!((newest.dropped(), oldest.pending()), (990, 10));
    assert_eq!(newest.next().await.unwrap().unwrap().into_value(), 0);
    assert_eq!(oldest.next().await.unwrap().unwrap().into_value(), 990);
    assert_eq!(connector.stats().dropped_in, 1980);
    connector.close().await.unwrap();
}

// Shows U-019.
#[tokio::test]
async fn without_echo_barriers_work_and_ones_own_messages_do_not_come() {
    let server = server().await;
    let connector = builder(server.url()).no_echo().build().await.unwrap();
    let mut own = connector.subscribe::<u32>("x").await.unwrap();
    connector.publish("x", &1).await.unwrap();
    connector.barrier(PATIENCE).await.unwrap();
    own.stop();
    assert!(own.next().await.is_none());
    connector.close().await.unwrap();
}
