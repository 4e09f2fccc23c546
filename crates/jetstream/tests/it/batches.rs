//! Atomic batches: all of one is stored and shown, or nothing.

use natterjack_store::{DiskErrorKind, DiskOp};

use crate::world::{SECOND, World, error_of};

fn world(fields: &str) -> World {
    let mut world = World::new();
    let body = format!(
        r#"{{"name":"S","subjects":["s.*"],"allow_atomic":true,"allow_direct":true{fields}}}"#
    );
    world.must("STREAM.CREATE.S", &body);
    world
}

/// A message of a batch; what its publisher hears.
fn put(world: &mut World, subject: &str, id: &str, seq: u64, more: &str) -> String {
    let mut headers = format!("Nats-Batch-Id: {id}\r\nNats-Batch-Sequence: {seq}");
    for line in more.split('|').filter(|line| !line.is_empty()) {
        headers.push_str("\r\n");
        headers.push_str(line);
    }
    let answer = world.put(subject, &headers, "x");
    if answer.contains("error") { error_of(&answer) } else { answer }
}

const COMMIT: &str = "Nats-Batch-Commit: 1";

fn messages(world: &mut World) -> u64 {
    world.state("S")["messages"].as_u64().unwrap()
}

#[test]
fn a_batch_is_there_with_its_commit() {
    for storage in ["file", "memory"] {
        let mut world = world(&format!(r#","storage":"{storage}""#));
        assert_eq!(put(&mut world, "s.a", "b", 1, ""), "");
        assert_eq!(put(&mut world, "s.b", "b", 2, ""), "");
        assert_eq!(messages(&mut world), 0);
        let ack = put(&mut world, "s.c", "b", 3, COMMIT);
        assert_eq!(ack, r#"{"stream":"S","seq":3,"batch":"b","count":3}"#);
        assert_eq!(messages(&mut world), 3);
        put(&mut world, "s.a", "e", 1, "");
        let ack = put(&mut world, "s.c", "e", 2, "Nats-Batch-Commit: eob");
        assert_eq!(ack, r#"{"stream":"S","seq":4,"batch":"e","count":1}"#);
    }
}

#[test]
fn one_refused_message_refuses_all() {
    let mut world = world(r#","allow_rollup_hdrs":true"#);
    world.put("s.known", "Nats-Msg-Id: known", "x");
    let cases = [
        ("Nats-Msg-Id: known", "", "10201 atomic publish batch contains duplicate message id"),
        (
            "Nats-Msg-Id: a",
            "Nats-Msg-Id: a",
            "10201 atomic publish batch contains duplicate message id",
        ),
        ("Nats-Expected-Stream: T", "", "10060 expected stream does not match"),
        ("Nats-Expected-Last-Sequence: 9", "", "10071 wrong last sequence: 1"),
        ("", "Nats-Expected-Last-Sequence: 1", "10071 wrong last sequence: 2"),
        ("", "Nats-Expected-Last-Sequence: 2", "10164 wrong last sequence"),
        ("Nats-Expected-Last-Subject-Sequence: 3", "", "10071 wrong last sequence: 0"),
        ("", "Nats-Expected-Last-Subject-Sequence: 0", "10164 wrong last sequence"),
        ("", "Nats-Rollup: sub", "10111 batch rollup sub invalid"),
        ("", "Nats-Rollup: all", "10111 batch rollup all invalid"),
        ("Nats-TTL: 1", "", "10166 per-message TTL is disabled"),
        (
            "Nats-Expected-Last-Msg-Id: x",
            "",
            "10177 atomic publish unsupported header used: Nats-Expected-Last-Msg-Id",
        ),
    ];
    for (at, (first, second, expected)) in cases.into_iter().enumerate() {
        let id = at.to_string();
        assert_eq!(put(&mut world, "s.a", &id, 1, first), "", "{expected}");
        let second = format!("{COMMIT}|{second}");
        assert_eq!(put(&mut world, "s.a", &id, 2, &second), expected);
        assert_eq!(messages(&mut world), 1, "{expected}");
    }
}

#[test]
fn limits_count_the_whole_batch() {
    let mut world = world(r#","discard":"new","max_msgs":2"#);
    put(&mut world, "s.a", "b", 1, "");
    put(&mut world, "s.a", "b", 2, "");
    let refused = put(&mut world, "s.a", "b", 3, COMMIT);
    assert_eq!(refused, "10077 maximum messages exceeded");
    assert_eq!(messages(&mut world), 0);
    put(&mut world, "s.a", "c", 1, "");
    assert!(put(&mut world, "s.a", "c", 2, COMMIT).contains(r#""seq":2"#));
}

#[test]
fn a_rollup_in_a_batch_takes_what_was_before() {
    let mut world = world(r#","allow_rollup_hdrs":true"#);
    (0..3).for_each(|_| drop(world.put("s.a", "", "x")));
    world.put("s.b", "", "x");
    put(&mut world, "s.a", "b", 1, "Nats-Rollup: sub");
    put(&mut world, "s.a", "b", 2, COMMIT);
    let state = world.must("STREAM.INFO.S", r#"{"subjects_filter":">"}"#)["state"].clone();
    assert_eq!(state["subjects"], serde_json::json!({"s.a": 2, "s.b": 1}));
    put(&mut world, "s.c", "c", 1, "Nats-Rollup: all");
    put(&mut world, "s.c", "c", 2, COMMIT);
    assert_eq!(messages(&mut world), 2);
}

#[test]
fn silence_abandons_a_batch() {
    let mut world = world("");
    world.host.interest.insert("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S".to_owned());
    put(&mut world, "s.a", "b", 1, "");
    world.pass(9 * SECOND);
    put(&mut world, "s.a", "b", 2, "");
    world.pass(9 * SECOND);
    assert!(world.take("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S").is_none());
    world.pass(2 * SECOND);
    let told = world.take("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S").unwrap().payload;
    assert!(told.ends_with(r#""stream":"S","batch":"b","reason":"timeout"}"#), "{told}");
    let late = put(&mut world, "s.a", "b", 3, COMMIT);
    assert_eq!(late, "10176 atomic publish batch is incomplete");
    // So does an update that ends batches.
    put(&mut world, "s.a", "c", 1, "");
    world.must("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.*"]}"#);
    assert_eq!(put(&mut world, "s.a", "c", 2, COMMIT), "10174 atomic publish is disabled");
}

#[test]
fn what_is_stored_last_says_that_it_ends_the_batch() {
    let mut world = world("");
    put(&mut world, "s.a", "b", 1, "");
    put(&mut world, "s.b", "b", 2, "Nats-Required-Api-Level: 1");
    put(&mut world, "s.c", "b", 3, "Nats-Batch-Commit: eob");
    let mut headers = |seq: u64| {
        let found = world.direct("S", &format!(r#"{{"seq":{seq}}}"#)).remove(0);
        found.split("Nats-Stream").next().unwrap_or_default().to_owned()
    };
    assert_eq!(headers(1), "NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\n");
    let last = "NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\n";
    assert_eq!(headers(2), last);
}

#[test]
fn republished_members_tell_what_was_before_them() {
    let mut world = world(r#","allow_rollup_hdrs":true,"republish":{"src":"s.*","dest":"r.$1"}"#);
    world.host.interest.insert("r.*".to_owned());
    for subject in ["s.a", "s.b"] {
        world.put(subject, "", "x");
    }
    world.host.sent.clear();
    put(&mut world, "s.a", "b", 1, "Nats-Rollup: all");
    put(&mut world, "s.b", "b", 2, "");
    put(&mut world, "s.a", "b", 3, "");
    assert!(world.host.sent.is_empty());
    put(&mut world, "s.b", "b", 4, COMMIT);
    let field = |headers: &str, name: &str| -> u64 {
        let line = headers.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.parse().unwrap()
    };
    let told: Vec<(u64, u64)> = world
        .host
        .sent
        .iter()
        .filter(|sent| sent.route.starts_with("r."))
        .map(|sent| {
            let number = |name| field(&sent.headers, name);
            (number("Nats-Sequence: "), number("Nats-Last-Sequence: "))
        })
        .collect();
    // The rollup took the message on s.b before its batch.
    assert_eq!(told, [(3, 1), (4, 0), (5, 3), (6, 4)]);
}

#[test]
fn an_account_with_many_open_batches_leaves_room_for_others() {
    let mut world = World::new();
    world.engine.set_account("B", Some(natterjack_jetstream::AccountLimits::default()));
    let create = |world: &mut World, name: &str| {
        let body = format!(r#"{{"name":"{name}","subjects":["{name}"],"allow_atomic":true}}"#);
        world.must(&format!("STREAM.CREATE.{name}"), &body);
    };
    for stream in 0..20 {
        let name = format!("S{stream}");
        create(&mut world, &name);
        for id in 0..50 {
            assert_eq!(put(&mut world, &name, &id.to_string(), 1, ""), "");
        }
    }
    create(&mut world, "T");
    let refused = put(&mut world, "T", "b", 1, "");
    assert_eq!(refused, "10210 atomic publish too many inflight");
    world.account = "B";
    create(&mut world, "T");
    assert_eq!(put(&mut world, "T", "b", 1, ""), "");
    assert!(put(&mut world, "T", "b", 2, COMMIT).contains(r#""count":2"#));
}

fn subjects(world: &mut World) -> String {
    let info = world.must("STREAM.INFO.S", r#"{"subjects_filter":">"}"#);
    info["state"]["subjects"].to_string()
}

/// A batch of three whose last write is cut after `cut` bytes when the power goes; with a `hole` the
/// bytes behind it are there, but not the sixteen at it. Whether it is there, and what follows it counts.
fn torn(fields: &str, cut: usize, hole: bool) -> Option<bool> {
    let mut world = world(fields);
    (0..2).for_each(|_| drop(world.put("s.a", "", "x")));
    world.put("s.b", "Nats-Msg-Id: last", "x");
    let before = subjects(&mut world);
    put(&mut world, "s.a", "b", 1, if fields.contains("rollup") { "Nats-Rollup: sub" } else { "" });
    put(&mut world, "s.b", "b", 2, "Nats-Msg-Id: id");
    world.slow_disk = true;
    put(&mut world, "s.c", "b", 3, COMMIT);
    let ops = world.host.disk.iter_mut().flat_map(|(_, request)| &mut request.ops);
    let writes = ops.filter_map(|op| match op {
        DiskOp::Write { data, .. } => Some(data),
        _ => None,
    });
    let data = writes.last().unwrap();
    if cut > data.len() {
        return None;
    }
    let mut bytes = data.to_vec();
    if hole {
        bytes.iter_mut().skip(cut).take(16).for_each(|byte| *byte = 0);
    } else {
        bytes.truncate(cut);
    }
    *data = bytes.into();
    world.slow_disk = false;
    world.run_disk();
    world.crash();
    let found = subjects(&mut world);
    let is_there = found != before;
    if is_there {
        assert!(found.contains("s.c"), "{fields} {cut} {hole}: {found} {before}");
    } else {
        let wrong = error_of(&world.put("s.d", "Nats-Expected-Last-Msg-Id: none", "x"));
        assert_eq!(wrong, "10070 wrong last msg ID: last");
    }
    // What follows is not taken for the rest of the batch, however often it starts.
    world.crash();
    assert_eq!(subjects(&mut world), found, "{cut}");
    let seq = world.put("s.d", "", "x");
    let later = subjects(&mut world);
    world.crash();
    assert_eq!(subjects(&mut world), later, "{cut} {seq}");
    Some(is_there)
}

#[test]
fn a_crash_leaves_all_or_nothing() {
    let limited = r#","max_msgs_per_subject":1"#;
    for fields in [r#","allow_rollup_hdrs":true"#, limited, r#","max_msgs":2"#] {
        let step = if fields.contains("rollup") { 1 } else { 4 };
        let cuts = (0..).step_by(step);
        let found: Vec<bool> = cuts.map_while(|cut| torn(fields, cut, false)).collect();
        let nothing = found.iter().take_while(|is_there| !**is_there).count();
        let (nothing, all) = found.split_at(nothing);
        assert!(nothing.len() > 100 / step, "{found:?}");
        assert!(!all.is_empty() && all.iter().all(|is_there| *is_there), "{found:?}");
        // The removals of the rollup are the last record, and done again where it is missing.
        assert!(all.len() > 1 || !fields.contains("rollup"), "{all:?}");
        let holes: Vec<bool> = (0..).step_by(11).map_while(|cut| torn(fields, cut, true)).collect();
        let there = holes.iter().filter(|is_there| **is_there).count();
        assert!(there < holes.len() / 2, "{holes:?}");
    }
}

#[test]
fn a_batch_that_the_disk_refuses_is_refused_as_a_whole() {
    let mut world = world("");
    world.put("s.a", "", "x");
    put(&mut world, "s.a", "b", 1, "");
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    let answer = put(&mut world, "s.a", "b", 2, COMMIT);
    assert!(answer.starts_with("10077 "), "{answer}");
    *world.disk.failing.lock().unwrap() = None;
    world.pass(5 * SECOND);
    assert_eq!(messages(&mut world), 1);
    world.restart();
    assert_eq!(messages(&mut world), 1);
}

#[test]
fn a_refused_rollup_takes_nothing() {
    for (last, rollup) in [("sub", ""), ("all", ""), ("sub", COMMIT), ("all", COMMIT)] {
        let mut world = world(r#","allow_rollup_hdrs":true"#);
        world.must(
            "CONSUMER.CREATE.S.c",
            r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#,
        );
        world.put("s.a", "", "precious");
        world.put("s.b", "", "x");
        world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "1");
        let delivered = world.take("_I.pull").unwrap();
        *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
        let header = format!("Nats-Rollup: {last}");
        let answer = if rollup.is_empty() {
            error_of(&world.put("s.a", &header, "new"))
        } else {
            put(&mut world, "s.a", "b", 1, &header);
            put(&mut world, "s.c", "b", 2, rollup)
        };
        assert!(answer.starts_with("10077 "), "{answer}");
        *world.disk.failing.lock().unwrap() = None;
        assert_eq!(messages(&mut world), 2);
        world.pass(5 * SECOND);
        // What was delivered is still to be acknowledged, and the rest to be delivered.
        let info = world.must("CONSUMER.INFO.S.c", "");
        assert_eq!((&info["num_ack_pending"], &info["num_pending"]), (&1.into(), &1.into()));
        assert!(world.ack(delivered.reply.as_deref().unwrap(), "+ACK").is_some());
        for _ in 0..2 {
            let state = world.must("STREAM.INFO.S", r#"{"subjects_filter":">"}"#)["state"].clone();
            assert_eq!(state["subjects"], serde_json::json!({"s.a": 1, "s.b": 1}), "{last}");
            world.restart();
        }
    }
}
