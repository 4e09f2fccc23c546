//! A server that says that it goes: clients leave it before it does.

use natterjack::{DisconnectReason, Event, ServerOrder};

use crate::{builder, connect, event, server};

// Shows U-022.
#[tokio::test]
async fn an_announced_shutdown_moves_to_another_server() {
    let (dying, other) = (server().await, server().await);
    let connector = builder(format!("{},{}", dying.url(), other.url()))
        .server_order(ServerOrder::AsGiven)
        .build()
        .await
        .unwrap();
    // Somebody who stays: the server goes on for as long as it has promised.
    let mut witness =
        tokio::net::TcpStream::connect(dying.url().replace("nats://", "")).await.unwrap();
    let mut events = connector.events();
    let mut numbers = connector.subscribe::<u32>("n").await.unwrap();
    dying.server().unwrap().lame_duck();
    let own = dying.url().replace("nats://", "");
    let told = event(&mut events, |e| match e {
        Event::LameDuck { server } => Some(server),
        other => panic!("{other}"),
    });
    assert_eq!(told.await, own);
    let moved = event(&mut events, |e| match e {
        Event::Disconnected { reason, .. } => panic_unless(reason == DisconnectReason::LameDuck),
        Event::Reconnected { server, .. } => Some(server),
        _ => None,
    });
    assert_eq!(moved.await, other.url().replace("nats://", ""));
    alive(&mut witness).await;
    connector.publish("n", &1).await.unwrap();
    assert_eq!(numbers.next().await.unwrap().unwrap().into_value(), 1);
    connector.close().await.unwrap();
}

/// Asks a server whether it is still there.
async fn alive(client: &mut tokio::net::TcpStream) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    client.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").await.unwrap();
    let mut lines = BufReader::new(client).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == "PONG" {
            return;
        }
    }
    panic!("the server has closed the connection");
}

// Shows U-022.
#[tokio::test]
async fn no_message_of_a_stream_is_lost_when_a_server_says_that_it_goes() {
    let (dying, other) = (server().await, server().await);
    // One who stays on each: what the dying one has stored can still be counted.
    let (first, second) = (connect(&dying).await, connect(&other).await);
    for connector in [&first, &second] {
        connector.jetstream().stream("S").subjects(["s"]).ensure().await.unwrap();
    }
    let moving = builder(format!("{},{}", dying.url(), other.url()))
        .server_order(ServerOrder::AsGiven)
        .build()
        .await
        .unwrap();
    let mut events = moving.events();
    let mut publisher = moving.jetstream().publisher().max_in_flight(8).start().await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..200_u32 {
        if n == 50 {
            // The counters look elsewhere from now on: they would move, too.
            dying.server().unwrap().lame_duck();
        }
        receipts.push(publisher.publish("s", &n).await.unwrap());
    }
    let moved = event(&mut events, |e| match e {
        Event::Reconnected { server, .. } => Some(server),
        _ => None,
    });
    assert_eq!(moved.await, other.url().replace("nats://", ""));
    let mut acknowledged = std::collections::BTreeSet::new();
    for (n, receipt) in (0_u32..).zip(receipts) {
        receipt.await.unwrap();
        acknowledged.insert(n.to_string());
    }
    moving.close().await.unwrap();
    let mut stored = std::collections::BTreeSet::new();
    for connector in [&first, &second] {
        let stream = connector.jetstream().stream("S").get().await.unwrap();
        for seq in 1..=stream.cached_info().messages {
            let message = stream.get(seq).await.unwrap();
            stored.insert(String::from_utf8(message.payload.to_vec()).unwrap());
        }
    }
    assert_eq!(stored, acknowledged);
    first.close().await.unwrap();
    second.close().await.unwrap();
}

fn panic_unless<R>(right: bool) -> Option<R> {
    assert!(right);
    None
}
