//! Fast batches: stored as they come, acknowledged now and then.

use natterjack_store::DiskErrorKind;

use crate::world::{SECOND, World};

fn world(fields: &str) -> World {
    let mut world = World::new();
    let body = format!(r#"{{"name":"S","subjects":["s.*"],"allow_batched":true{fields}}}"#);
    world.must("STREAM.CREATE.S", &body);
    world
}

/// Publishes with a reply subject of batch `b`; what is heard there.
fn put(world: &mut World, place: &str) -> Vec<String> {
    let reply = format!("_I.b.{place}.$FI");
    world.publish_on(&reply, "s.a", "");
    world.take_all(&reply).into_iter().map(|sent| sent.payload).collect()
}

#[test]
fn acks_come_now_and_then() {
    for storage in ["file", "memory"] {
        let mut world = world(&format!(r#","storage":"{storage}""#));
        assert_eq!(put(&mut world, "3.ok.1.0"), [r#"{"type":"ack","seq":0,"msgs":3}"#]);
        assert!(put(&mut world, "3.ok.2.1").is_empty());
        assert_eq!(put(&mut world, "3.ok.3.1"), [r#"{"type":"ack","seq":3,"msgs":3}"#]);
        let end = r#"{"stream":"S","seq":4,"batch":"b","count":4}"#;
        assert_eq!(put(&mut world, "3.ok.4.2"), [end]);
        assert_eq!(world.state("S")["messages"], 4);
    }
}

#[test]
fn an_ack_waits_for_the_disk() {
    let mut world = world("");
    put(&mut world, "2.ok.1.0");
    world.slow_disk = true;
    assert!(put(&mut world, "2.ok.2.1").is_empty());
    assert!(put(&mut world, "2.ok.3.2").is_empty());
    world.slow_disk = false;
    world.run_disk();
    let heard: Vec<String> = world.host.sent.drain(..).map(|sent| sent.payload).collect();
    let end = r#"{"stream":"S","seq":3,"batch":"b","count":3}"#;
    assert_eq!(heard, [r#"{"type":"ack","seq":2,"msgs":2}"#, end]);
}

#[test]
fn what_the_disk_refuses_is_not_acknowledged_and_ends_the_batch() {
    let mut world = world("");
    put(&mut world, "2.ok.1.0");
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    let heard = put(&mut world, "2.ok.2.1");
    assert_eq!(heard.len(), 1);
    assert!(heard[0].contains(r#""err_code":10077"#), "{heard:?}");
    *world.disk.failing.lock().unwrap() = None;
    world.pass(5 * SECOND);
    let heard = put(&mut world, "2.ok.3.1");
    assert!(heard[0].contains(r#""err_code":10208"#), "{heard:?}");
    assert_eq!(world.state("S")["messages"], 1);
}

#[test]
fn silence_ends_a_batch_without_a_word() {
    let mut world = world("");
    put(&mut world, "2.ok.1.0");
    world.pass(9 * SECOND);
    put(&mut world, "2.ok.2.1");
    world.pass(9 * SECOND);
    assert!(put(&mut world, "2.ok.3.1").is_empty());
    world.pass(11 * SECOND);
    assert!(world.host.sent.is_empty());
    let heard = put(&mut world, "2.ok.4.1");
    assert!(heard[0].contains(r#""err_code":10208"#), "{heard:?}");
}

#[test]
fn batches_are_answered_also_where_publishers_are_not() {
    let mut world = world(r#","no_ack":true,"allow_msg_ttl":true"#);
    assert_eq!(put(&mut world, "1.ok.1.0"), [r#"{"type":"ack","seq":1,"msgs":1}"#]);
    let end = r#"{"stream":"S","seq":2,"batch":"b","count":2}"#;
    assert_eq!(put(&mut world, "1.ok.2.2"), [end]);
    // What is no message of a batch hears nothing.
    for place in ["1.ok.2.1", "1.ok.1.9"] {
        assert!(put(&mut world, place).is_empty(), "{place}");
    }
    assert_eq!(world.state("S")["last_seq"], 2);
}
