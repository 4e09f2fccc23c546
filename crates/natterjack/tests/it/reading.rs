//! Reading streams without a consumer that stays.

use natterjack::error::StreamError;
use natterjack::jetstream::{ReadBuilder, ReadEvent, StreamReader};
use natterjack::testing::TestServer;
use natterjack::{Connector, Deliver, JetStream};

use crate::{PATIENCE, connect, server};

/// A stream with the messages `s.a` 1, `s.b` 2, `s.a` 3.
async fn with_messages() -> (TestServer, Connector, JetStream) {
    let server = server().await;
    let connector = connect(&server).await;
    let js = connector.jetstream();
    js.stream("S").subjects(["s.>"]).ensure().await.unwrap();
    for (subject, value) in [("s.a", 1), ("s.b", 2), ("s.a", 3)] {
        js.publish(subject, &value).await.unwrap();
    }
    (server, connector, js)
}

async fn next(reader: &mut StreamReader) -> ReadEvent {
    tokio::time::timeout(PATIENCE, reader.next()).await.expect("an event").unwrap()
}

/// The sequences of the messages that come before all that was there has come.
async fn until_ready(reader: ReadBuilder) -> Vec<u64> {
    let mut reader = reader.start().await.unwrap();
    let mut read = Vec::new();
    loop {
        match next(&mut reader).await {
            ReadEvent::Message(message) => read.push(message.meta.stream_seq),
            ReadEvent::Ready => break,
            other => panic!("{other:?}"),
        }
    }
    reader.stop().await;
    read
}

#[tokio::test]
async fn a_stream_is_read_from_where_one_says() {
    let (_server, connector, js) = with_messages().await;
    for (from, sequences) in [
        (Deliver::All, vec![1, 2, 3]),
        (Deliver::From(2), vec![2, 3]),
        (Deliver::Last, vec![3]),
        (Deliver::LastPerSubject, vec![2, 3]),
        (Deliver::New, vec![]),
    ] {
        assert_eq!(until_ready(js.read("S").from(from)).await, sequences, "{from:?}");
    }
    assert_eq!(until_ready(js.read("S").filter("s.a")).await, [1, 3]);
    assert_eq!(until_ready(js.read("S").filter("s.a").filter("s.b")).await, [1, 2, 3]);
    assert_eq!(until_ready(js.read("S").filter("s.b").from(Deliver::Last)).await, [2]);
    assert_eq!(until_ready(js.read("S").filter("s.c").from(Deliver::Last)).await, [0; 0]);
    let info = js.stream("S").get().await.unwrap();
    assert_eq!(info.cached_info().consumers, 0, "nothing is left behind");
    let missing = js.read("T").start().await.unwrap_err();
    assert!(matches!(&missing, StreamError::NotFound(it) if it.kind == "stream"), "{missing}");
    assert_eq!(js.read("a.b").start().await.unwrap_err().exit_code(), 2);
    connector.close().await.unwrap();
}

#[tokio::test]
async fn reading_goes_on_after_a_restart_where_it_was() {
    let (mut server, connector, js) = with_messages().await;
    let mut reader = js.read("S").start().await.unwrap();
    let mut read = Vec::new();
    while read.last() != Some(&5) {
        match next(&mut reader).await {
            ReadEvent::Message(message) => {
                assert_eq!(message.payload, message.meta.stream_seq.to_string());
                read.push(message.meta.stream_seq);
            }
            ReadEvent::Ready => {
                server.restart().await.unwrap();
                js.publish("s.b", &4).dedup_id("4").await.unwrap();
            }
            ReadEvent::Resumed { .. } => {
                js.publish("s.b", &5).dedup_id("5").await.unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, [1, 2, 3, 4, 5]);
    reader.stop().await;
    connector.close().await.unwrap();
}

#[tokio::test]
async fn any_consumer_is_attached_to_until_it_is_deleted() {
    let (_server, connector, js) = with_messages().await;
    let of = |name: &str| js.consumer::<u32>("S", name);
    of("c").field("ack_policy", "all").ensure().await.unwrap();
    // What the options say is not asked for.
    let mut messages = of("c").filter("s.b").attach().await.unwrap();
    let first = messages.next().await.unwrap().unwrap();
    assert_eq!(*first.value(), 1);
    first.ack().await.unwrap();
    js.delete_consumer("S", "c").await.unwrap();
    while messages.next().await.is_some() {}
    let missing = of("c").attach().await.unwrap_err();
    assert!(matches!(&missing, StreamError::NotFound(it) if it.kind == "consumer"), "{missing}");
    connector.close().await.unwrap();
}
