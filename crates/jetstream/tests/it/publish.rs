//! Publishing: acks, headers, limits, expiry.

use crate::world::{SECOND, World, error_of};

fn world(fields: &str) -> World {
    let mut world = World::new();
    let body = format!(r#"{{"name":"S","subjects":["s.>"],"storage":"memory"{fields}}}"#);
    world.must("STREAM.CREATE.S", &body);
    world
}

/// Rows of (headers, answer); errors as `err_code description`.
fn check(world: &mut World, subject: &str, rows: &[(&str, &str)]) {
    for (headers, expected) in rows {
        let answer = world.put(subject, headers, "x");
        assert_eq!(error_of(&answer), *expected, "{headers}");
    }
}

#[test]
fn headers_steer_a_publish_as_in_the_reference() {
    let mut world = world(r#","allow_rollup_hdrs":true,"allow_msg_ttl":true"#);
    // The answers of nats-server 2.15.1 to the same sequence.
    check(
        &mut world,
        "s.a",
        &[
            ("", r#"{"stream":"S","seq":1}"#),
            ("Nats-Msg-Id: a", r#"{"stream":"S","seq":2}"#),
            ("Nats-Msg-Id: a", r#"{"stream":"S","seq":2,"duplicate": true}"#),
            ("Nats-Msg-Id:a", r#"{"stream":"S","seq":2,"duplicate": true}"#),
            ("Nats-Msg-Id:  a ", r#"{"stream":"S","seq":3}"#),
            ("nats-msg-id: a", r#"{"stream":"S","seq":4}"#),
            ("Nats-Expected-Last-Sequence: x", "10071 wrong last sequence: 4"),
            ("Nats-Expected-Last-Sequence: 99", "10071 wrong last sequence: 4"),
            ("Nats-Expected-Last-Sequence: ", r#"{"stream":"S","seq":5}"#),
            ("Nats-Expected-Last-Subject-Sequence: ", r#"{"stream":"S","seq":6}"#),
            ("Nats-Expected-Last-Subject-Sequence: 1", "10071 wrong last sequence: 6"),
            ("Nats-Expected-Last-Subject-Sequence: abc", "10071 wrong last sequence: 6"),
            ("Nats-Expected-Last-Sequence: -1", "10071 wrong last sequence: 6"),
            (
                "Nats-Expected-Last-Subject-Sequence: 0\r\nNats-Expected-Last-Subject-Sequence-Subject: s.b",
                r#"{"stream":"S","seq":7}"#,
            ),
            (
                "Nats-Expected-Last-Subject-Sequence-Subject: s.b",
                "10193 missing sequence for expected last sequence per subject",
            ),
            (
                "Nats-Expected-Last-Subject-Sequence: 0\r\nNats-Expected-Last-Subject-Sequence-Subject: s.>",
                "10071 wrong last sequence: 7",
            ),
            ("Nats-Expected-Last-Msg-Id: zz", "10070 wrong last msg ID: "),
            ("Nats-Expected-Last-Msg-Id: ", r#"{"stream":"S","seq":8}"#),
            ("Nats-Expected-Stream: X", "10060 expected stream does not match"),
            ("Nats-Expected-Stream: S", r#"{"stream":"S","seq":9}"#),
            ("Nats-Rollup: foo", r#"10111 rollup value invalid: "foo""#),
            ("Nats-Rollup: SUB", r#"{"stream":"S","seq":10}"#),
            ("Nats-TTL: 500ms", "10165 invalid per-message TTL"),
            ("Nats-TTL: 1s", r#"{"stream":"S","seq":11}"#),
            ("Nats-TTL: Never", r#"{"stream":"S","seq":12}"#),
            ("Nats-Incr: 1", "10168 message counters is disabled"),
            ("Nats-Incr: x", "10171 message counter increment is invalid"),
            ("Nats-Batch-Id: a", "10174 atomic publish is disabled"),
            ("Nats-Schedule: @at x", "10188 message schedules is disabled"),
            ("Nats-Scheduler: x", "10212 message schedules invalid scheduler"),
            ("Nats-Stream-Source: x", "10227 message stream source header is not allowed"),
        ],
    );
    let long = format!("X: {}", "y".repeat(66_000));
    check(&mut world, "s.a", &[(&long, "10097 header size exceeds maximum allowed of 64k")]);
    // The rollup left its own message and what came after.
    assert_eq!(world.state("S")["first_seq"], 10);
}

#[test]
fn the_order_of_checks_decides_between_two_faults() {
    let mut world = world("");
    check(
        &mut world,
        "s.a",
        &[
            ("Nats-Msg-Id: a\r\nNats-Expected-Last-Sequence: 0", r#"{"stream":"S","seq":1}"#),
            ("Nats-Msg-Id: a\r\nNats-Expected-Last-Sequence: 0", "10071 wrong last sequence: 1"),
            (
                "Nats-Msg-Id: a\r\nNats-Expected-Last-Msg-Id: q",
                r#"{"stream":"S","seq":1,"duplicate": true}"#,
            ),
            ("Nats-Msg-Id: a\r\nNats-Rollup: foo", r#"{"stream":"S","seq":1,"duplicate": true}"#),
            ("Nats-Expected-Last-Msg-Id: q", "10070 wrong last msg ID: a"),
            ("Nats-Rollup: all", "10111 rollup not permitted"),
            ("Nats-TTL: 5", "10166 per-message TTL is disabled"),
            ("Nats-TTL: abc", "10165 invalid per-message TTL"),
        ],
    );
}

#[test]
fn an_error_is_shown_beside_the_streams_name() {
    let mut world = world("");
    assert_eq!(
        world.put("s.a", "Nats-Expected-Last-Sequence: 9", "x"),
        r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 0"},"stream":"S","seq":0}"#
    );
}

#[test]
fn duplicates_are_known_for_the_window_and_through_a_purge() {
    let mut world = world(r#","duplicate_window":200000000"#);
    let first = world.put("s.a", "Nats-Msg-Id: a", "x");
    world.must("STREAM.PURGE.S", "");
    assert_eq!(
        world.put("s.a", "Nats-Msg-Id: a", "x"),
        r#"{"stream":"S","seq":1,"duplicate": true}"#
    );
    world.pass(SECOND / 5 + 1);
    assert_eq!(first, r#"{"stream":"S","seq":1}"#);
    assert_eq!(world.put("s.a", "Nats-Msg-Id: a", "x"), r#"{"stream":"S","seq":2}"#);
}

#[test]
fn no_ack_streams_say_nothing() {
    let mut world = world(r#","no_ack":true"#);
    assert_eq!(world.put("s.a", "", "x"), "");
    assert_eq!(world.put("s.a", "Nats-Expected-Stream: X", "x"), "");
    assert_eq!(world.state("S")["messages"], 1);
}

#[test]
fn limits_with_discard_old_make_room() {
    let mut world = world(r#","max_msgs":2"#);
    for _ in 0..5 {
        world.put("s.a", "", "x");
    }
    let state = world.state("S");
    assert_eq!(
        (&state["messages"], &state["first_seq"], &state["last_seq"]),
        (&2.into(), &4.into(), &5.into())
    );

    // One message above max_bytes is acknowledged and goes.
    let mut world = self::world(r#","max_bytes":50"#);
    assert_eq!(world.put("s.a", "", &"x".repeat(60)), r#"{"stream":"S","seq":1}"#);
    let state = world.state("S");
    assert_eq!((&state["messages"], &state["first_seq"]), (&0.into(), &2.into()));

    let mut world = self::world(r#","max_msgs_per_subject":2"#);
    for subject in ["s.a", "s.b", "s.a", "s.a"] {
        world.put(subject, "", "x");
    }
    let info = world.must("STREAM.INFO.S", r#"{"subjects_filter":">","deleted_details":true}"#);
    assert_eq!(info["state"]["subjects"].to_string(), r#"{"s.a":2,"s.b":1}"#);
    assert_eq!(info["state"]["first_seq"], 2);
}

#[test]
fn limits_with_discard_new_refuse() {
    let mut world = world(r#","discard":"new","max_msgs":2"#);
    check(
        &mut world,
        "s.a",
        &[
            ("", r#"{"stream":"S","seq":1}"#),
            ("", r#"{"stream":"S","seq":2}"#),
            ("", "10077 maximum messages exceeded"),
        ],
    );
    // 16 + 3 + 1 bytes each in memory.
    let mut world = self::world(r#","discard":"new","max_bytes":60"#);
    for _ in 0..3 {
        assert!(world.put("s.a", "", "x").contains("seq"));
    }
    check(&mut world, "s.a", &[("", "10077 maximum bytes exceeded")]);
    // At max_msgs a message that replaces one of its subject does not add to the count.
    let mut world = self::world(r#","discard":"new","max_msgs":2,"max_msgs_per_subject":1"#);
    for subject in ["s.a", "s.b", "s.a"] {
        assert!(world.put(subject, "", "x").starts_with(r#"{"stream"#));
    }
    check(&mut world, "s.c", &[("", "10077 maximum messages exceeded")]);
    let mut world =
        self::world(r#","discard":"new","max_msgs_per_subject":1,"discard_new_per_subject":true"#);
    world.put("s.a", "", "x");
    check(&mut world, "s.a", &[("", "10077 maximum messages per subject exceeded")]);
    check(&mut world, "s.b", &[("", r#"{"stream":"S","seq":2}"#)]);
}

#[test]
fn sizes_are_limited() {
    let mut world = world(r#","max_msg_size":4"#);
    assert_eq!(world.put("s.a", "", "1234"), r#"{"stream":"S","seq":1}"#);
    assert_eq!(
        error_of(&world.put("s.a", "", "12345")),
        "10054 message size exceeds maximum allowed"
    );
}

#[test]
fn old_messages_go_by_age() {
    let mut world = world(r#","max_age":1000000000,"allow_msg_ttl":true"#);
    world.put("s.a", "", "x");
    world.pass(SECOND / 2);
    world.put("s.a", "Nats-TTL: never", "x");
    world.put("s.b", "", "x");
    world.pass(SECOND / 2);
    assert_eq!(world.state("S")["first_seq"], 2);
    world.pass(SECOND / 2);
    let state = world.state("S");
    assert_eq!(
        (&state["messages"], &state["first_seq"], &state["last_seq"]),
        (&1.into(), &2.into(), &3.into())
    );
}

#[test]
fn age_keeps_the_last_time_of_an_emptied_stream() {
    let mut world = world(r#","max_age":1000000000"#);
    for _ in 0..10 {
        world.put("s.a", "", "x");
    }
    world.pass(2 * SECOND);
    let state = world.state("S");
    assert_eq!((&state["messages"], &state["first_seq"]), (&0.into(), &11.into()));
    assert_eq!(state["first_ts"], "0001-01-01T00:00:00Z");
    assert_eq!(state["last_ts"], "2023-11-14T22:13:20Z");
    assert!(world.host.wakes.is_empty());
}

#[test]
fn a_marker_follows_the_last_message_of_a_subject() {
    let mut world = world(r#","subject_delete_marker_ttl":2000000000,"max_msgs_per_subject":1"#);
    world.put("s.a", "Nats-TTL: 1", "x");
    world.pass(SECOND);
    let marker = world.direct_less_get(2);
    assert_eq!(
        marker,
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 2s\r\nNats-Rollup: sub\r\n\r\n"
    );
    world.pass(2 * SECOND);
    let state = world.state("S");
    assert_eq!(
        (&state["messages"], &state["first_seq"], &state["last_seq"]),
        (&0.into(), &3.into(), &2.into())
    );
}

#[test]
fn a_ttl_below_the_markers_is_raised() {
    let mut world = world(r#","subject_delete_marker_ttl":5000000000"#);
    world.put("s.a", "Nats-TTL: 1", "x");
    assert_eq!(world.direct_less_get(1), "NATS/1.0\r\nNats-TTL: 5\r\n\r\n");
    world.pass(4 * SECOND);
    assert_eq!(world.state("S")["messages"], 1);
    world.pass(SECOND);
    assert_eq!(world.state("S")["first_seq"], 2);
}

#[test]
fn deletes_and_purges_leave_no_marker() {
    let mut world = world(r#","subject_delete_marker_ttl":2000000000"#);
    world.put("s.a", "", "x");
    world.put("s.b", "", "x");
    world.must("STREAM.MSG.DELETE.S", r#"{"seq":1}"#);
    world.must("STREAM.PURGE.S", "");
    let state = world.state("S");
    assert_eq!((&state["messages"], &state["last_seq"]), (&0.into(), &2.into()));
}

#[test]
fn purges_follow_their_request() {
    for (body, purged, first, messages) in [
        ("", 4, 5, 0),
        (r#"{"seq":0}"#, 4, 5, 0),
        (r#"{"seq":1}"#, 0, 1, 4),
        (r#"{"seq":3}"#, 2, 3, 2),
        (r#"{"seq":100}"#, 4, 100, 0),
        (r#"{"keep":1}"#, 3, 4, 1),
        (r#"{"filter":"s.1"}"#, 2, 1, 2),
        (r#"{"filter":">"}"#, 4, 5, 0),
        (r#"{"filter":"s.1","keep":1}"#, 1, 1, 3),
        (r#"{"filter":"s.1","seq":3}"#, 1, 1, 3),
        ("x", 4, 5, 0),
    ] {
        let mut world = world("");
        for i in 0..4 {
            world.put(&format!("s.{}", i % 2), "", "x");
        }
        let answer = world.must("STREAM.PURGE.S", body);
        assert_eq!(answer["purged"], purged, "{body}");
        let state = world.state("S");
        assert_eq!(
            (&state["first_seq"], &state["messages"]),
            (&first.into(), &messages.into()),
            "{body}"
        );
    }
}

#[test]
fn permissions_of_delete_and_purge() {
    let mut world = world(r#","deny_delete":true,"deny_purge":true"#);
    world.put("s.a", "", "x");
    assert_eq!(
        world.refusal("STREAM.MSG.DELETE.S", r#"{"seq":1}"#),
        "10057 message delete not permitted"
    );
    assert_eq!(world.refusal("STREAM.PURGE.S", ""), "10110 stream purge not permitted");
}

#[test]
fn a_sealed_stream_changes_no_more() {
    let mut world = world("");
    world.put("s.a", "", "x");
    let sealed = r#"{"name":"S","subjects":["s.>"],"storage":"memory","sealed":true}"#;
    let info = world.must("STREAM.UPDATE.S", sealed);
    assert_eq!(info["config"]["discard"], "new");
    assert_eq!(info["config"]["deny_purge"], true);
    assert_eq!(error_of(&world.put("s.a", "", "x")), "10109 invalid operation on sealed stream");
    assert_eq!(world.refusal("STREAM.PURGE.S", ""), "10109 invalid operation on sealed stream");
    assert_eq!(
        world.refusal("STREAM.MSG.DELETE.S", r#"{"seq":1}"#),
        "10109 invalid operation on sealed stream"
    );
    world.must("STREAM.DELETE.S", "");
}

#[test]
fn a_lowered_limit_acts_at_once() {
    let mut world = world("");
    for _ in 0..10 {
        world.put("s.a", "", "x");
    }
    let body = r#"{"name":"S","subjects":["s.>"],"storage":"memory","max_msgs":4}"#;
    let info = world.must("STREAM.UPDATE.S", body);
    assert_eq!((&info["state"]["messages"], &info["state"]["first_seq"]), (&4.into(), &7.into()));
}

#[test]
fn a_first_sequence_is_where_counting_starts() {
    let mut world = world(r#","first_seq":1000"#);
    let state = world.state("S");
    assert_eq!((&state["first_seq"], &state["last_seq"]), (&1000.into(), &999.into()));
    assert_eq!(world.put("s.a", "", "x"), r#"{"stream":"S","seq":1000}"#);
}

#[test]
fn stored_times_never_go_back() {
    let mut world = world("");
    world.put("s.a", "", "x");
    world.now.unix_ns -= 5 * SECOND as i64;
    world.put("s.a", "", "x");
    let state = world.state("S");
    assert_eq!(state["first_ts"], state["last_ts"]);
}

#[test]
fn usage_follows_the_messages() {
    let mut world = world("");
    world.put("s.a", "", "x");
    assert_eq!(world.engine.account_usage("$G").unwrap().memory, 20);
    world.must("STREAM.PURGE.S", "");
    assert_eq!(world.engine.account_usage("$G").unwrap().memory, 0);
}
