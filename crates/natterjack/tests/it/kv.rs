//! Key/Value buckets and their watches.

use std::time::Duration;

use bytes::Bytes;
use natterjack::codec::{Binary, Text};
use natterjack::error::KvError;
use natterjack::kv::{Found, Watch, WatchFrom};
use natterjack::testing::TestServer;
use natterjack::{Connector, Kv, WatchEvent, secs};

use crate::{PATIENCE, connect, server};

async fn with_bucket() -> (TestServer, Connector, Kv<u32>) {
    let server = server().await;
    let connector = connect(&server).await;
    let kv = connector.kv::<u32>("B").history(8).ensure().await.unwrap();
    (server, connector, kv)
}

/// What a watch tells up to and with `Ready`, in short.
async fn until_ready(watch: &mut Watch<u32>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let event = tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event").unwrap();
        told.push(match event {
            WatchEvent::Put(entry) => format!("{}={}@{}", entry.key, entry.value, entry.revision),
            WatchEvent::Touched(meta) => format!("{}@{}", meta.key, meta.revision),
            WatchEvent::Deleted(meta) => format!("del {}@{}", meta.key, meta.revision),
            WatchEvent::Purged(meta) => format!("purge {}@{}", meta.key, meta.revision),
            WatchEvent::Ready => break,
            other => format!("{other:?}"),
        });
    }
    told
}

// Shows U-045.
#[tokio::test]
async fn keys_are_written_read_and_removed() {
    let (_server, connector, kv) = with_bucket().await;
    assert_eq!(kv.get("a").await.unwrap(), None);
    assert_eq!(kv.put("a", &1).await.unwrap(), 1);
    assert_eq!(kv.create("b", &2).await.unwrap(), 2);
    assert_eq!(kv.update("a", &3, 1).await.unwrap(), 3);
    assert_eq!(kv.get("a").await.unwrap(), Some(3));
    let at = kv.at("a", 1).await.unwrap().unwrap().put().unwrap();
    assert_eq!((at.value, at.revision), (1, 1));
    assert_eq!(kv.at("a", 2).await.unwrap(), None, "revision 2 is another key's");
    assert_eq!(kv.keys(">").await.unwrap(), ["b", "a"]);
    assert_eq!(kv.keys("a*").await.unwrap(), [""; 0], "a token is matched whole");
    assert_eq!(kv.keys("a").await.unwrap(), ["a"]);
    assert_eq!(kv.delete("a").await.unwrap(), 4);
    assert!(
        matches!(kv.entry("a").await.unwrap(), Some(Found::Deleted(meta)) if meta.revision == 4)
    );
    assert_eq!(kv.get("a").await.unwrap(), None);
    let history: Vec<u64> = kv.history("a").await.unwrap().iter().map(Found::revision).collect();
    assert_eq!(history, [1, 3, 4]);
    assert_eq!(kv.create("a", &5).await.unwrap(), 5, "after a deletion");
    assert_eq!(kv.purge("a").await.unwrap(), 6);
    assert!(matches!(kv.entry("a").await.unwrap(), Some(Found::Purged(_))));
    assert_eq!(kv.keys(">").await.unwrap(), ["b"]);
    assert_eq!(kv.purge_deletes(Duration::ZERO).await.unwrap(), 1);
    let status = kv.status().await.unwrap();
    assert_eq!((status.values, status.history, status.ttl), (1, 8, None));
    connector.close().await.unwrap();
}

// Shows U-045.
#[tokio::test]
async fn conflicts_carry_what_was_expected_and_what_is_there() {
    let (_server, connector, kv) = with_bucket().await;
    kv.put("a", &1).await.unwrap();
    kv.put("a", &2).await.unwrap();
    for (result, expected) in [
        (kv.create("a", &9).await, 0),
        (kv.update("a", &9, 1).await, 1),
        (kv.delete_if("a", 1).await, 1),
    ] {
        let error = result.unwrap_err();
        let KvError::Conflict(conflict) = &error else { panic!("{error}") };
        assert_eq!(
            (conflict.key.as_str(), conflict.expected, conflict.actual),
            ("a", expected, Some(2))
        );
        assert_eq!(error.exit_code(), 7);
    }
    assert_eq!(kv.get("a").await.unwrap(), Some(2));
    connector.close().await.unwrap();
}

#[tokio::test]
async fn names_and_absent_buckets_are_told() {
    let (_server, connector, kv) = with_bucket().await;
    let error = kv.put("a b", &1).await.unwrap_err();
    assert_eq!(error.to_string(), "bad key name `a b`: ` ` at position 2 is not allowed");
    let error = connector.kv::<u32>("absent").get().await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("bucket absent not found", 5));
    kv.delete_bucket().await.unwrap();
    assert_eq!(kv.get("a").await.unwrap_err().to_string(), "bucket B not found");
    assert_eq!(kv.put("a", &1).await.unwrap_err().to_string(), "bucket B not found");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_value_that_does_not_decode_is_told_and_the_watch_goes_on() {
    let (_server, connector, kv) = with_bucket().await;
    let text = connector.kv::<String>("B").codec(Text).get().await.unwrap();
    text.put("a", &"no number".into()).await.unwrap();
    kv.put("b", &1).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap_err().code(), "msg.decode");
    let mut watch = kv.watch(">").start().await.unwrap();
    let event = watch.next().await.unwrap();
    assert!(
        matches!(&event, WatchEvent::Undecodable { key, revision: 1, error } if key == "a" && &error.raw[..] == b"no number"),
        "{event:?}"
    );
    assert_eq!(until_ready(&mut watch).await, ["b=1@2"]);
    connector.close().await.unwrap();
}

// Shows U-050.
#[tokio::test]
async fn many_can_modify_one_key() {
    let (_server, connector, kv) = with_bucket().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let kv = kv.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    kv.modify("n", |n| Some(n.unwrap_or(0) + 1)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(kv.get("n").await.unwrap(), Some(800));
    kv.modify("n", |_| None).await.unwrap();
    assert_eq!(kv.get("n").await.unwrap(), None);
    connector.close().await.unwrap();
}

// Shows U-046.
#[tokio::test]
async fn a_watch_says_when_it_is_up_to_date_also_on_nothing() {
    let (_server, connector, kv) = with_bucket().await;
    let mut watch = kv.watch(">").start().await.unwrap();
    assert_eq!(until_ready(&mut watch).await, [""; 0]);
    kv.put("a", &1).await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), WatchEvent::Put(entry) if entry.value == 1));
    connector.close().await.unwrap();
    assert!(watch.next().await.is_none());
}

// Shows U-047.
#[tokio::test]
async fn a_watch_begins_where_it_is_told_to() {
    let (_server, connector, kv) = with_bucket().await;
    kv.put("a", &1).await.unwrap();
    kv.put("b", &2).await.unwrap();
    kv.put("a", &3).await.unwrap();
    kv.delete("b").await.unwrap();
    kv.put("c.d", &5).await.unwrap();
    let told = async |watch: natterjack::kv::WatchBuilder<u32>| {
        until_ready(&mut watch.start().await.unwrap()).await
    };
    let all = || kv.watch(">");
    assert_eq!(told(all()).await, ["a=3@3", "del b@4", "c.d=5@5"]);
    assert_eq!(
        told(all().from(WatchFrom::History)).await,
        ["a=1@1", "b=2@2", "a=3@3", "del b@4", "c.d=5@5"]
    );
    assert_eq!(told(all().from(WatchFrom::New)).await, [""; 0]);
    assert_eq!(told(all().from(WatchFrom::Revision(3))).await, ["a=3@3", "del b@4", "c.d=5@5"]);
    assert_eq!(told(all().ignore_deletes()).await, ["a=3@3", "c.d=5@5"]);
    assert_eq!(told(all().meta_only()).await, ["a@3", "del b@4", "c.d@5"]);
    assert_eq!(told(kv.watch("a").and("c.*")).await, ["a=3@3", "c.d=5@5"]);
    assert_eq!(told(kv.watch("absent")).await, [""; 0]);
    connector.close().await.unwrap();
}

// Shows U-048.
#[tokio::test]
async fn a_watch_goes_on_over_restarts_without_loss_or_repetition_and_leaves_nothing_behind() {
    let (mut server, connector, kv) = with_bucket().await;
    let mut watch = kv.watch(">").start().await.unwrap();
    // This one is not read before the end.
    let mut lazy = kv.watch(">").start().await.unwrap();
    let (mut seen, mut resumed) = (Vec::new(), 0);
    for round in 0..3_u32 {
        for n in 0..20 {
            kv.put(&format!("k{n}"), &round).await.unwrap();
        }
        while seen.len() < (round as usize + 1) * 20 {
            match tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event").unwrap() {
                WatchEvent::Put(entry) => seen.push(entry.revision),
                WatchEvent::Resumed { .. } => resumed += 1,
                WatchEvent::Ready => {}
                other => panic!("{other:?}"),
            }
        }
        server.restart().await.unwrap();
    }
    assert_eq!(seen, (1..=60).collect::<Vec<u64>>());
    assert_eq!(resumed, 2);
    let mut late = Vec::new();
    while late.len() < 60 {
        match tokio::time::timeout(PATIENCE, lazy.next()).await.expect("an event").unwrap() {
            WatchEvent::Put(entry) => late.push(entry.revision),
            WatchEvent::Resumed { missed } => assert_eq!(missed, 60),
            WatchEvent::Ready => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(late, seen);
    let consumers = async || kv.status().await.unwrap().raw["state"]["consumer_count"].clone();
    assert_eq!(
        consumers().await,
        1,
        "the one that was read last; the other has gone with the restart"
    );
    drop((watch, lazy));
    while consumers().await != 0 {}
    connector.close().await.unwrap();
}

// Shows U-049.
#[tokio::test]
async fn an_expired_key_is_told_as_expired() {
    let server = server().await;
    let connector = connect(&server).await;
    let kv = connector.kv::<u32>("B").markers(secs(60)).ensure().await.unwrap();
    kv.create_for("a", &1, secs(1)).await.unwrap();
    let mut watch = kv.watch(">").start().await.unwrap();
    assert_eq!(until_ready(&mut watch).await, ["a=1@1"]);
    let event = tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event").unwrap();
    assert!(matches!(event, WatchEvent::Expired(meta) if meta.key == "a"));
    assert!(matches!(kv.entry("a").await.unwrap(), Some(Found::Expired(_))));
    connector.close().await.unwrap();
}

// Shows U-051.
#[tokio::test]
async fn a_live_map_equals_the_bucket_also_after_a_restart() {
    let (mut server, connector, kv) = with_bucket().await;
    kv.put("a", &1).await.unwrap();
    let map = kv.mirror(">").await.unwrap();
    assert!(map.ready().await);
    assert_eq!((map.get("a"), map.len()), (Some(1), 1));
    let mut model = std::collections::BTreeMap::from([("a".to_owned(), 1)]);
    let mut last = 0;
    // Random puts, deletes and purges, the same each time.
    let mut random = 1_u32;
    for n in 0..1000_u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (key, kind) = (format!("k{}", (random >> 8) % 23), (random >> 24) % 5);
        last = match kind {
            0 => kv.delete(&key).await.unwrap(),
            1 => kv.purge(&key).await.unwrap(),
            _ => kv.put(&key, &n).await.unwrap(),
        };
        match kind {
            0 | 1 => drop(model.remove(&key)),
            _ => drop(model.insert(key, n)),
        }
        if n == 500 {
            server.restart().await.unwrap();
        }
    }
    assert!(map.reached(last).await);
    let shown = map.snapshot().into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(model, shown);
    connector.close().await.unwrap();
    assert!(!map.reached(last + 1).await);
}

#[tokio::test]
async fn what_is_put_while_deleted_keys_are_forgotten_stays() {
    let (server, connector, kv) = with_bucket().await;
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    for key in &keys {
        kv.delete(key).await.unwrap();
    }
    // Somebody puts a key anew when the first of the others is forgotten.
    let other = connect(&server).await;
    let heard = other.on("$JS.API.STREAM.PURGE.KV_B").codec(Binary).open::<Bytes>().await;
    let mut heard = heard.unwrap();
    let again = other.kv::<u32>("B").get().await.unwrap();
    let last = keys[99].clone();
    let put = tokio::spawn(async move {
        let asked = heard.next().await.unwrap().unwrap();
        again.put(&last, &7).await.unwrap();
        asked
    });
    assert_eq!(kv.purge_deletes(Duration::ZERO).await.unwrap(), 100);
    // No key is asked away but up to where it was deleted.
    let asked: serde_json::Value = serde_json::from_slice(&put.await.unwrap().payload).unwrap();
    assert_eq!((&asked["filter"], &asked["seq"]), (&"$KV.B.k0".into(), &2.into()));
    assert_eq!(kv.get(&keys[99]).await.unwrap(), Some(7));
    assert_eq!(kv.status().await.unwrap().values, 1);
    // The history of a key that is not forgotten yet goes, and what came after it was deleted stays.
    kv.put("a", &1).await.unwrap();
    kv.delete("a").await.unwrap();
    assert_eq!(kv.purge_deletes(secs(3600)).await.unwrap(), 0);
    let history = kv.history("a").await.unwrap();
    assert!(matches!(history.as_slice(), [Found::Deleted(_)]), "{history:?}");
    for connector in [connector, other] {
        connector.close().await.unwrap();
    }
}
