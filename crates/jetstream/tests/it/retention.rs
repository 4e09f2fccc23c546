//! Interest and work-queue streams: what goes, what stays, and what a crash may do to both.

use natterjack_store::{DiskErrorKind, DiskOp};

use crate::world::{SECOND, World};

fn world(fields: &str) -> World {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", &format!(r#"{{"name":"S","subjects":["s.*"],{fields}}}"#));
    world
}

fn consumer(name: &str, fields: &str) -> (String, String) {
    let config = format!(r#""durable_name":"{name}","ack_policy":"explicit"{fields}"#);
    (format!("CONSUMER.CREATE.S.{name}"), format!(r#"{{"stream_name":"S","config":{{{config}}}}}"#))
}

fn add(world: &mut World, name: &str, fields: &str) {
    let (endpoint, body) = consumer(name, fields);
    world.must(&endpoint, &body);
}

/// The ack subjects of the next messages.
fn pull(world: &mut World, name: &str, batch: usize) -> Vec<String> {
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}");
    world.request_to(&next, "_I.pull", "", &batch.to_string());
    let sent = world.take_all("_I.pull");
    sent.into_iter().filter_map(|sent| sent.reply).collect()
}

/// First sequence, messages, last sequence.
fn state(world: &mut World) -> (u64, u64, u64) {
    let state = world.state("S");
    let number = |key: &str| state[key].as_u64().unwrap();
    (number("first_seq"), number("messages"), number("last_seq"))
}

/// An ack that nobody waits for.
fn tell(world: &mut World, ack: &str) {
    let now = world.now;
    assert!(world.engine.ack(&mut world.host, now, "$G", ack.as_bytes(), None, b"+ACK"));
}

#[test]
fn the_last_interested_consumer_removes() {
    for storage in ["file", "memory"] {
        let mut world = world(&format!(r#""retention":"interest","storage":"{storage}""#));
        assert_eq!(world.put("s.a", "Nats-Msg-Id: x", "1"), r#"{"stream":"S","seq":1}"#);
        assert!(world.put("s.a", "Nats-Msg-Id: x", "1").contains("duplicate"));
        assert_eq!(state(&mut world), (2, 0, 1));
        add(&mut world, "a", r#","filter_subject":"s.a""#);
        add(&mut world, "all", "");
        add(&mut world, "none", r#","filter_subject":"s.n""#);
        for subject in ["s.a", "s.b", "s.a"] {
            world.put(subject, "", "");
        }
        let all = pull(&mut world, "all", 3);
        all.iter().for_each(|ack| assert_eq!(world.ack(ack, "").as_deref(), Some("")));
        // `a` still waits for two of them.
        assert_eq!(state(&mut world), (2, 2, 4));
        let a = pull(&mut world, "a", 1);
        world.ack(&a[0], "-NAK");
        assert_eq!(state(&mut world), (2, 2, 4));
        world.ack(&a[0], "+TERM");
        assert_eq!(state(&mut world), (4, 1, 4));
        world.must("CONSUMER.DELETE.S.a", "");
        assert_eq!(state(&mut world), (5, 0, 4));
    }
}

#[test]
fn a_message_outside_all_filters_is_not_stored() {
    let mut world = world(r#""retention":"interest""#);
    add(&mut world, "a", r#","filter_subjects":["s.a","s.c"]"#);
    let acks: Vec<String> =
        ["s.a", "s.b", "s.c"].into_iter().map(|on| world.put(on, "", "")).collect();
    assert_eq!(acks[1], r#"{"stream":"S","seq":2}"#);
    assert_eq!(state(&mut world), (1, 2, 3));
    // Now it waits for what it did not ask for before.
    let (endpoint, body) = consumer("a", r#","filter_subject":"s.b""#);
    world.must(&endpoint, &body);
    assert_eq!(state(&mut world), (4, 0, 3));
    world.put("s.b", "", "");
    assert_eq!(pull(&mut world, "a", 1).len(), 1);
}

#[test]
fn delivery_without_acks_and_ack_all_settle_runs() {
    let mut world = world(r#""retention":"interest""#);
    world.must(
        "CONSUMER.CREATE.S.n",
        r#"{"stream_name":"S","config":{"durable_name":"n","ack_policy":"none"}}"#,
    );
    world.must(
        "CONSUMER.CREATE.S.all",
        r#"{"stream_name":"S","config":{"durable_name":"all","ack_policy":"all"}}"#,
    );
    (0..5).for_each(|_| drop(world.put("s.a", "", "")));
    assert_eq!(pull(&mut world, "n", 4).len(), 4);
    let all = pull(&mut world, "all", 5);
    assert_eq!(state(&mut world), (1, 5, 5));
    world.ack(&all[2], "");
    assert_eq!(state(&mut world), (4, 2, 5));
    world.ack(&all[4], "");
    // The first consumer was not sent the fifth yet.
    assert_eq!(state(&mut world), (5, 1, 5));
}

#[test]
fn a_work_queue_keeps_what_is_not_acked() {
    let mut world = world(r#""retention":"workqueue""#);
    (0..5).for_each(|_| drop(world.put("s.a", "", "")));
    add(&mut world, "a", r#","max_deliver":1"#);
    let acks = pull(&mut world, "a", 5);
    world.ack(&acks[0], "+TERM");
    world.ack(&acks[2], "+ACK");
    world.ack(&acks[3], "-NAK");
    assert_eq!(pull(&mut world, "a", 1).len(), 0);
    world.pass(40 * SECOND);
    assert_eq!(state(&mut world), (2, 3, 5));
    world.must("CONSUMER.DELETE.S.a", "");
    assert_eq!(state(&mut world), (2, 3, 5));
    add(&mut world, "b", "");
    assert_eq!(pull(&mut world, "b", 9).len(), 3);
}

#[test]
fn a_work_queue_gives_each_message_to_one_consumer() {
    let mut world = world(r#""retention":"workqueue""#);
    let none = r#"{"stream_name":"S","config":{"durable_name":"n","ack_policy":"none"}}"#;
    let text = "10084 consumer in pull mode requires explicit ack policy on workqueue stream";
    assert_eq!(world.refusal("CONSUMER.CREATE.S.n", none), text);
    let all = none.replace("none", "all");
    let text = "10098 workqueue stream requires explicit ack";
    assert_eq!(world.refusal("CONSUMER.CREATE.S.n", &all), text);
    add(&mut world, "a", r#","filter_subject":"s.a""#);
    let not_all = "10101 consumer must be deliver all on workqueue stream";
    let unfiltered = "10099 multiple non-filtered consumers not allowed on workqueue stream";
    let twice = "10100 filtered consumer not unique on workqueue stream";
    for (fields, text) in [
        (r#","deliver_policy":"new""#, not_all),
        ("", unfiltered),
        (r#","filter_subject":"s.*""#, twice),
        (r#","filter_subjects":["s.b","s.a"]"#, twice),
    ] {
        let (endpoint, body) = consumer("b", fields);
        assert_eq!(world.refusal(&endpoint, &body), text);
    }
    add(&mut world, "b", r#","filter_subject":"s.b""#);
    // An update is bound by the same rules, and one without a change is none.
    let (endpoint, body) = consumer("b", r#","filter_subject":"s.a""#);
    assert_eq!(world.refusal(&endpoint, &body), twice);
    add(&mut world, "b", r#","filter_subject":"s.b""#);
}

#[test]
fn an_ack_makes_room_at_once() {
    let mut world = world(r#""retention":"workqueue","discard":"new","max_msgs":1"#);
    add(&mut world, "a", "");
    world.put("s.a", "", "");
    assert!(world.put("s.a", "", "").contains("maximum messages exceeded"));
    let acks = pull(&mut world, "a", 1);
    tell(&mut world, &acks[0]);
    assert_eq!(world.put("s.a", "", ""), r#"{"stream":"S","seq":2}"#);
}

#[test]
fn the_retention_changes_and_back() {
    let mut world = world(r#""max_msgs":99"#);
    add(&mut world, "a", "");
    add(&mut world, "b", r#","filter_subject":"s.b""#);
    ["s.a", "s.a", "s.a", "s.b"].into_iter().for_each(|on| drop(world.put(on, "", "")));
    let acks = pull(&mut world, "a", 4);
    [0, 2, 3].into_iter().for_each(|at| drop(world.ack(&acks[at], "")));
    assert_eq!(state(&mut world), (1, 4, 4));
    let update = |world: &mut World, retention: &str| {
        let body = format!(r#"{{"name":"S","subjects":["s.*"],"retention":"{retention}"}}"#);
        world.api("STREAM.UPDATE.S", &body)
    };
    update(&mut world, "interest");
    assert_eq!(state(&mut world), (2, 2, 4));
    world.ack(&acks[1], "");
    assert_eq!(state(&mut world), (4, 1, 4));
    update(&mut world, "limits");
    let acks = pull(&mut world, "b", 1);
    world.ack(&acks[0], "");
    assert_eq!(state(&mut world), (4, 1, 4));
    assert!(update(&mut world, "workqueue").contains("to/from workqueue"));
}

#[test]
fn what_was_acked_stays_removed_and_nothing_else_goes() {
    for retention in ["interest", "workqueue"] {
        let mut world = world(&format!(r#""retention":"{retention}""#));
        add(&mut world, "a", "");
        (0..6).for_each(|_| drop(world.put("s.a", "", "")));
        let acks = pull(&mut world, "a", 4);
        assert_eq!(world.ack(&acks[0], "").as_deref(), Some(""));
        assert_eq!(world.ack(&acks[2], "").as_deref(), Some(""));
        world.crash();
        assert_eq!(state(&mut world), (2, 4, 6), "{retention}");
        // The disk stops: neither the ack nor the removal gets there.
        world.slow_disk = true;
        tell(&mut world, &acks[1]);
        world.host.disk.clear();
        world.slow_disk = false;
        world.crash();
        assert_eq!(state(&mut world), (2, 4, 6), "{retention}");
        world.pass(40 * SECOND);
        assert_eq!(pull(&mut world, "a", 9).len(), 4);
        world.restart();
        assert_eq!(state(&mut world), (2, 4, 6), "{retention}");
    }
}

/// The last write of an ack is cut after `cut` bytes, and the power goes. The ack floor after that,
/// and the state.
fn torn(retention: &str, cut: usize) -> Option<(u64, (u64, u64, u64))> {
    let mut world = world(&format!(r#""retention":"{retention}""#));
    add(&mut world, "a", "");
    (0..3).for_each(|_| drop(world.put("s.a", "", "")));
    let acks = pull(&mut world, "a", 2);
    world.pass(SECOND);
    world.slow_disk = true;
    tell(&mut world, &acks[0]);
    let ops = world.host.disk.iter_mut().flat_map(|(_, request)| &mut request.ops);
    let last =
        ops.filter_map(|op| if let DiskOp::Write { data, .. } = op { Some(data) } else { None });
    let data = last.last().unwrap();
    if cut > data.len() {
        return None;
    }
    *data = data.slice(..cut);
    world.slow_disk = false;
    world.run_disk();
    world.crash();
    let info = world.must("CONSUMER.INFO.S.a", "");
    Some((info["ack_floor"]["stream_seq"].as_u64().unwrap(), state(&mut world)))
}

#[test]
fn a_torn_write_loses_the_ack_or_keeps_the_removal() {
    for retention in ["interest", "workqueue"] {
        let found: Vec<_> = (0..).map_while(|cut| torn(retention, cut)).collect();
        let lost = found.iter().take_while(|(floor, _)| *floor == 0).count();
        assert!(0 < lost && lost < found.len());
        let (lost, kept) = found.split_at(lost);
        assert!(lost.iter().all(|(_, state)| *state == (1, 3, 3)), "{retention} {lost:?}");
        // More than one cut keeps the ack: the record of the removal is behind it.
        assert!(kept.len() > 1 && kept.iter().all(|found| *found == (1, (2, 2, 3))), "{kept:?}");
    }
}

#[test]
fn what_a_consumer_left_that_a_crash_found_deleted_goes() {
    let mut world = world(r#""retention":"interest""#);
    add(&mut world, "a", "");
    add(&mut world, "b", r#","filter_subject":"s.b""#);
    ["s.a", "s.b"].into_iter().for_each(|on| drop(world.put(on, "", "")));
    world.slow_disk = true;
    world.api("CONSUMER.DELETE.S.a", "");
    // The catalog gets there and the stream's own record does not.
    world.host.disk.retain(|(owner, _)| *owner == 0);
    let (owner, request) = world.host.disk.pop_front().unwrap();
    let result = request.run(&world.disk);
    world.engine.completed(&mut world.host, world.now, owner, request.id, result);
    world.slow_disk = false;
    world.crash();
    assert_eq!(state(&mut world), (2, 1, 2));
}

#[test]
fn a_consumer_that_a_restart_ends_lets_go() {
    let mut world = world(r#""retention":"interest""#);
    add(&mut world, "a", r#","mem_storage":true"#);
    add(&mut world, "b", r#","filter_subject":"s.b""#);
    ["s.a", "s.b"].into_iter().for_each(|on| drop(world.put(on, "", "")));
    world.restart();
    assert_eq!(state(&mut world), (2, 1, 2));
}

#[test]
fn what_was_acked_does_not_come_back_with_a_message_that_the_disk_refuses() {
    for retention in ["interest", "workqueue"] {
        let mut world = world(&format!(r#""retention":"{retention}","max_msgs":2"#));
        add(&mut world, "a", "");
        (0..2).for_each(|_| drop(world.put("s.a", "", "")));
        let acks = pull(&mut world, "a", 1);
        world.slow_disk = true;
        // It would take the place of the first one, which is acked meanwhile.
        world.put("s.a", "", "");
        tell(&mut world, &acks[0]);
        world.slow_disk = false;
        *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
        world.run_disk();
        *world.disk.failing.lock().unwrap() = None;
        world.pass(3 * SECOND);
        assert_eq!(state(&mut world), (2, 1, 3), "{retention}");
        world.crash();
        assert_eq!(state(&mut world), (2, 1, 3), "{retention}");
    }
}
