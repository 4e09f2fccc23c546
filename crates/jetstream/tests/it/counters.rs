//! Counters: messages that add up.

use natterjack_jetstream::{AccountLimits, Options};

use crate::world::{World, error_of};

const CREATE: &str = r#"{"name":"C","subjects":["c.*"],"allow_msg_counter":true}"#;

fn add(world: &mut World, subject: &str, step: &str) -> String {
    let answer = world.put(subject, &format!("Nats-Incr: {step}"), "");
    if answer.contains("error") { error_of(&answer) } else { answer }
}

#[test]
fn each_subject_holds_a_number() {
    for storage in ["file", "memory"] {
        let mut world = World::new();
        let body = CREATE.replace("}", &format!(r#","storage":"{storage}"}}"#));
        world.must("STREAM.CREATE.C", &body);
        assert_eq!(add(&mut world, "c.a", "+40"), r#"{"stream":"C","seq":1,"val":"40"}"#);
        assert_eq!(add(&mut world, "c.a", "2"), r#"{"stream":"C","seq":2,"val":"42"}"#);
        assert_eq!(add(&mut world, "c.b", "-1"), r#"{"stream":"C","seq":3,"val":"-1"}"#);
        let stored = world.must("STREAM.MSG.GET.C", r#"{"seq":2}"#)["message"]["data"].clone();
        // {"val":"42"}
        assert_eq!(stored, "eyJ2YWwiOiI0MiJ9");
        assert_eq!(add(&mut world, "c.a", "x"), "10171 message counter increment is invalid");
        assert_eq!(
            error_of(&world.put("c.a", "", "")),
            "10169 message counter increment is missing"
        );
    }
}

/// Engines that keep nothing of what is stored in memory: every number has to be read.
fn forgetful() -> World {
    let options = Options { tail_bytes: 0, block_bytes: 1, ..Options::default() };
    World::with(options, AccountLimits::default())
}

#[test]
fn numbers_that_lie_on_disk_are_read_first_and_nobody_overtakes() {
    let mut world = forgetful();
    world.must("STREAM.CREATE.C", CREATE);
    for subject in ["c.a", "c.b"] {
        add(&mut world, subject, "10");
    }
    world.restart();
    world.slow_disk = true;
    // None is answered before the first number was read, and then all are in their order.
    for (at, (subject, step)) in
        [("c.a", "1"), ("c.b", "x"), ("c.b", "2"), ("c.new", "3")].into_iter().enumerate()
    {
        let reply = format!("_I.order.{at}");
        let headers = format!("NATS/1.0\r\nNats-Incr: {step}\r\n\r\n");
        world.publish_on(&reply, subject, &headers);
        assert!(world.host.sent.is_empty());
    }
    world.slow_disk = false;
    world.run_disk();
    let heard: Vec<_> = world.host.sent.drain(..).map(|sent| (sent.route, sent.payload)).collect();
    let expected = [
        ("_I.order.0", r#"{"stream":"C","seq":3,"val":"11"}"#),
        ("_I.order.1", "10171"),
        ("_I.order.2", r#"{"stream":"C","seq":4,"val":"12"}"#),
        ("_I.order.3", r#"{"stream":"C","seq":5,"val":"3"}"#),
    ];
    assert_eq!(heard.len(), expected.len(), "{heard:?}");
    for ((route, payload), (to, text)) in heard.iter().zip(expected) {
        assert!(route == to && payload.contains(text), "{route} {payload}");
    }
}

#[test]
fn a_batch_waits_for_all_its_numbers() {
    let mut world = forgetful();
    world.must("STREAM.CREATE.C", &CREATE.replace("}", r#","allow_atomic":true}"#));
    for at in 0..20 {
        add(&mut world, &format!("c.{at}"), "10");
    }
    world.restart();
    for at in 0..20 {
        let commit = if at == 19 { "\r\nNats-Batch-Commit: 1" } else { "" };
        let seq = at + 1;
        let headers =
            format!("Nats-Incr: 1\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: {seq}{commit}");
        let answer = world.put(&format!("c.{at}"), &headers, "");
        if at == 19 {
            assert_eq!(answer, r#"{"stream":"C","seq":40,"batch":"b","count":20}"#);
        }
    }
    for at in 0..20 {
        let answer = add(&mut world, &format!("c.{at}"), "0");
        assert!(answer.ends_with(r#""val":"11"}"#), "{answer}");
    }
}

#[test]
fn what_waits_is_bounded() {
    let options = Options { tail_bytes: 0, block_bytes: 1, buffered_msgs: 5, ..Options::default() };
    let mut world = World::with(options, AccountLimits::default());
    world.must("STREAM.CREATE.C", CREATE);
    add(&mut world, "c.a", "1");
    world.restart();
    world.slow_disk = true;
    for at in 0..7 {
        let headers = "NATS/1.0\r\nNats-Incr: 1\r\n\r\n";
        world.publish_on(&format!("_I.{at}"), "c.a", headers);
    }
    let refused: Vec<_> = world.host.sent.drain(..).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|sent| error_of(&sent.payload).starts_with("10167 ")));
    world.slow_disk = false;
    world.run_disk();
    let heard: Vec<_> = world.host.sent.drain(..).map(|sent| sent.payload).collect();
    let expected: Vec<_> =
        (2..7).map(|at| format!(r#"{{"stream":"C","seq":{at},"val":"{at}"}}"#)).collect();
    assert_eq!(heard, expected);
    assert_eq!(add(&mut world, "c.a", "1"), r#"{"stream":"C","seq":7,"val":"7"}"#);
}

#[test]
fn counting_goes_on_where_the_last_message_ends() {
    let mut world = World::new();
    world.must("STREAM.CREATE.C", CREATE);
    for step in ["5", "5", "5"] {
        add(&mut world, "c.a", step);
    }
    world.must("STREAM.MSG.DELETE.C", r#"{"seq":3}"#);
    assert_eq!(add(&mut world, "c.a", "1"), r#"{"stream":"C","seq":4,"val":"11"}"#);
    world.crash();
    assert_eq!(add(&mut world, "c.a", "1"), r#"{"stream":"C","seq":5,"val":"12"}"#);
    world.must("STREAM.PURGE.C", "");
    assert_eq!(add(&mut world, "c.a", "1"), r#"{"stream":"C","seq":6,"val":"1"}"#);
}

#[test]
fn what_is_kept_of_a_counter_is_what_is_stored() {
    let sources = |world: &mut World, of: &str| {
        let headers = format!("Nats-Incr: 1\r\nNats-Counter-Sources: {of}");
        world.put("c.a", &headers, "")
    };
    for restart in [false, true] {
        for (written, expected) in [
            ("x", "10172 message counter is broken"),
            (r#"{"A":{"a":7}}"#, "10172 message counter is broken"),
            ("null", ""),
            (r#"{"A":null}"#, r#"{"A":null}"#),
            (r#"{"A":{"a":"7"}}"#, r#"{"A":{"a":"7"}}"#),
        ] {
            let mut world = World::new();
            world.must("STREAM.CREATE.C", &CREATE.replace("}", r#","allow_direct":true}"#));
            add(&mut world, "c.a", "1");
            assert_eq!(sources(&mut world, written), r#"{"stream":"C","seq":2,"val":"2"}"#);
            if restart {
                world.restart();
            }
            let answer = add(&mut world, "c.a", "1");
            if expected.starts_with("10172") {
                assert_eq!(answer, expected, "{written}");
                continue;
            }
            assert_eq!(answer, r#"{"stream":"C","seq":3,"val":"3"}"#, "{written}");
            let stored = world.direct("C", r#"{"seq":3}"#);
            let told = stored[0].split("Nats-Counter-Sources: ").nth(1).unwrap_or("");
            assert_eq!(told.lines().next().unwrap_or(""), expected, "{stored:?}");
        }
    }
}

#[test]
fn the_size_of_a_member_of_a_batch_is_that_with_its_number() {
    let mut world = World::new();
    let more = r#","allow_atomic":true,"max_msg_size":120}"#;
    world.must("STREAM.CREATE.C", &CREATE.replace("}", more));
    let batch = "Nats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1";
    let answer = world.put("c.a", &format!("{batch}\r\nNats-Incr: {}", "9".repeat(30)), "");
    assert_eq!(error_of(&answer), "10054 message size exceeds maximum allowed");
    assert_eq!(world.state("C")["last_seq"], 0);
}

#[test]
fn what_comes_from_sources_adds_up_across_restarts_and_what_was_missed() {
    let mut world = forgetful();
    let origin =
        r#"{"name":"O","subjects":["o.*"],"allow_msg_counter":true,"max_msgs_per_subject":1}"#;
    world.must("STREAM.CREATE.O", origin);
    let sum = r#"{"name":"C","allow_msg_counter":true,"sources":[{"name":"O","subject_transforms":[{"src":"o.*","dest":"c.all"}]}]}"#;
    world.must("STREAM.CREATE.C", sum);
    world.pass(1);
    let stands = |world: &mut World| {
        let last = world.must("STREAM.MSG.GET.C", r#"{"last_by_subj":"c.all"}"#);
        last["message"]["data"].as_str().unwrap_or_default().to_owned()
    };
    for (subject, step) in [("o.a", "1"), ("o.b", "10"), ("o.a", "-3"), ("o.b", "100")] {
        add(&mut world, subject, step);
        world.pass(1);
    }
    // {"val":"108"}
    assert_eq!(stands(&mut world), "eyJ2YWwiOiIxMDgifQ==");
    world.crash();
    // The first of these two is gone when the source is asked again.
    add(&mut world, "o.a", "5");
    add(&mut world, "o.a", "5");
    world.pass(60_000_000_000);
    // {"val":"118"}
    assert_eq!(stands(&mut world), "eyJ2YWwiOiIxMTgifQ==");
    add(&mut world, "o.b", "1");
    world.pass(1);
    // {"val":"119"}
    assert_eq!(stands(&mut world), "eyJ2YWwiOiIxMTkifQ==");
}
