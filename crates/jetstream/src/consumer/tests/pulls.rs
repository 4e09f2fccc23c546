//! Rows 109 to 118 of jetstream.md 7, and 3.7.

use super::*;

#[test]
fn bodies_that_are_no_json_are_a_batch() {
    let mut rig = Rig::with(&["s.a"; 6]);
    rig.durable("");
    for (body, count) in [("", 1), ("2", 2), ("nonsense", 1), ("0", 1), (" ", 1)] {
        rig.pull(body);
        assert_eq!(rig.collect().len(), count, "{body:?}");
        rig.host.sent.clear();
    }
    rig.state("6/6 0/0 6 0 0 0");
    rig.pull("");
    rig.sent(&[]);
    rig.state("6/6 0/0 6 0 1 0");
}

#[test]
fn faults_are_answered_in_the_words_of_the_reference() {
    let mut rig = Rig::new();
    rig.durable("");
    for (body, status) in [
        ("{", "unexpected end of JSON input"),
        (r#"{"batch":2"#, "unexpected end of JSON input"),
        (
            r#"{"batch":"x"}"#,
            "json: cannot unmarshal string into Go struct field .batch of type int",
        ),
        (
            r#"{"expires":"x"}"#,
            "json: cannot unmarshal string into Go struct field .expires of type time.Duration",
        ),
        (
            r#"{"no_wait":1}"#,
            "json: cannot unmarshal number into Go struct field .no_wait of type bool",
        ),
        (
            r#"{"batch":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go struct field .batch of type int",
        ),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        (r#"{"batch" 1}"#, "invalid character '1' after object key"),
        (r#"{"batch":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
        ("{} x", "invalid character 'x' after top-level value"),
        (r#"{"batch":1,"idle_heartbeat":1}"#, "heartbeat value too large"),
        (r#"{"expires":2000000,"idle_heartbeat":1000001}"#, "heartbeat value too large"),
        (r#"{"priority":10}"#, "Priority must be between 0 and 9"),
        (r#"{"min_pending":1}"#, "Not a Overflow Priority consumer"),
        (r#"{"id":"x"}"#, "Not a Pinned Client Priority consumer"),
    ] {
        rig.pull(body);
        rig.sent(&[&format!("in <- NATS/1.0 400 Bad Request - {status}||")]);
    }
    rig.state("0/0 0/0 0 0 0 0");
}

#[test]
fn an_unfilled_request_ends_at_its_expiry() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable("");
    rig.pull(r#"{"batch":3,"expires":1000000000,"max_bytes":500}"#);
    rig.sent(&[r#"in <- s.a 1.1.1+0 "1""#]);
    rig.pass(SECOND - 1);
    rig.sent(&[]);
    rig.pass(1);
    let size = "s.a".len() + rig.acks[0].len() + "1".len();
    rig.sent(&[&format!(
        "in <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 2|Nats-Pending-Bytes: {}||",
        500 - size
    )]);
    // What the client left out is shown as zero; a negative expiry is over at once.
    rig.pull(r#"{"expires":-1}"#);
    rig.sent(&[
        "in <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 0|Nats-Pending-Bytes: 0||",
    ]);
}

#[test]
fn no_wait_takes_what_there_is() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.pull(r#"{"no_wait":true}"#);
    rig.sent(&["in <- NATS/1.0 404 No Messages||"]);
    // With an expiry it waits for the first message.
    rig.pull(r#"{"no_wait":true,"batch":5,"expires":1000000000}"#);
    rig.sent(&[]);
    rig.publish("s.a");
    rig.sent(&[r#"in <- s.a 1.1.1+0 "1""#, "in <- NATS/1.0 404 No Messages||"]);
    rig.pull(r#"{"no_wait":true,"batch":5,"expires":1000000000}"#);
    rig.pass(SECOND);
    rig.sent(&[
        "in <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 5|Nats-Pending-Bytes: 0||",
    ]);

    let mut rig = Rig::with(&["s.a", "s.a"]);
    rig.durable("");
    rig.pull(r#"{"no_wait":true,"batch":2}"#);
    rig.sent(&[r#"in <- s.a 1.1.1+1 "1""#, r#"in <- s.a 1.2.2+0 "2""#]);
}

#[test]
fn no_wait_does_not_wait_behind_others() {
    let mut rig = Rig::with(&["s.a", "s.a"]);
    rig.durable(r#""max_ack_pending":1"#);
    rig.pull(r#"{"batch":5,"no_wait":true}"#);
    rig.sent(&[r#"in <- s.a 1.1.1+1 "1""#]);
    rig.state("1/1 0/0 1 0 1 1");
    rig.pull(r#"{"batch":5,"no_wait":true}"#);
    rig.sent(&["in <- NATS/1.0 408 Requests Pending||"]);
    rig.ack(1, "");
    rig.sent(&["in <- ok", r#"in <- s.a 1.2.2+0 "2""#]);
    rig.ack(2, "");
    rig.sent(&["in <- ok", "in <- NATS/1.0 404 No Messages||"]);
}

#[test]
fn max_bytes_counts_subject_reply_headers_and_payload() {
    let mut rig = Rig::with(&["s.a"; 4]);
    rig.durable("");
    rig.pull(r#"{"batch":5,"max_bytes":10}"#);
    rig.sent(&[
        "in <- NATS/1.0 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: 5|Nats-Pending-Bytes: 10||",
    ]);
    rig.pull(r#"{"batch":5,"max_bytes":110}"#);
    let lines = rig.collect();
    let size = "s.a".len() + rig.acks[0].len() + "1".len();
    assert_eq!(lines.len(), 110 / size + 1);
    assert_eq!(
        lines.last().unwrap(),
        &format!(
            "in <- NATS/1.0 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: {}|Nats-Pending-Bytes: {}||",
            5 - 110 / size,
            110 % size
        )
    );
    rig.host.sent.clear();
    rig.pull(r#"{"batch":1,"max_bytes":110}"#);
    rig.sent(&[
        r#"in <- s.a 1.3.3+1 "3""#,
        &format!(
            "in <- NATS/1.0 409 Batch Completed|Nats-Pending-Messages: 0|Nats-Pending-Bytes: {}||",
            110 - size
        ),
    ]);
}

#[test]
fn caps_are_named_with_their_limit() {
    let mut rig = Rig::new();
    rig.durable(r#""max_batch":2,"max_expires":1000000000,"max_bytes":100"#);
    for (body, text) in [
        (r#"{"batch":3}"#, "MaxRequestBatch of 2"),
        (r#"{"batch":1,"expires":2000000000}"#, "MaxRequestExpires of 1s"),
        (r#"{"batch":1,"max_bytes":200}"#, "MaxRequestMaxBytes of 100"),
    ] {
        rig.pull(body);
        rig.sent(&[&format!("in <- NATS/1.0 409 Exceeded {text}||")]);
    }
    rig.pull(r#"{"batch":2}"#);
    rig.sent(&[]);
}

#[test]
fn a_full_queue_refuses_unless_heartbeats_tell() {
    let mut rig = Rig::new();
    rig.durable(r#""max_waiting":2"#);
    rig.pull("1");
    rig.pull(r#"{"batch":1,"expires":500000000}"#);
    rig.pull("1");
    rig.sent(&["in <- NATS/1.0 409 Exceeded MaxWaiting||"]);
    rig.pull(r#"{"expires":1000000000,"idle_heartbeat":100000000}"#);
    rig.sent(&[]);
    rig.state("0/0 0/0 0 0 2 0");
    rig.pass(SECOND);
    rig.host.sent.clear();
    rig.pull("1");
    rig.sent(&[]);
    rig.state("0/0 0/0 0 0 2 0");
}

#[test]
fn waiting_requests_are_told_when_the_consumer_goes() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.pull("5");
    rig.pull("5");
    rig.call(|consumer, ctx| consumer.close(ctx));
    rig.sent(&["in <- NATS/1.0 409 Consumer Deleted||"; 2]);
}

#[test]
fn a_push_consumer_takes_no_requests() {
    let mut rig = Rig::new();
    rig.create(r#"{"deliver_subject":"d"}"#);
    rig.pull("1");
    rig.sent(&["in <- NATS/1.0 409 Consumer is push based||"]);
}

#[test]
fn waiting_requests_share_alternately() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.listen("a", true);
    rig.listen("b", true);
    rig.pull_to("a", "3");
    rig.pull_to("b", "3");
    for _ in 0..6 {
        rig.publish("s.a");
    }
    let order: Vec<String> =
        rig.collect().iter().map(|line| line.chars().take(1).collect()).collect();
    assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
    rig.state("6/6 0/0 6 0 0 0");
}

#[test]
fn a_request_without_a_listener_is_forgotten() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.pull_to("gone", "5");
    rig.pull("1");
    rig.publish("s.a");
    // The message goes to the next request, with its own consumer sequence.
    rig.sent(&[r#"in <- s.a 1.1.1+0 "1""#]);
    rig.pull_to("gone", "5");
    rig.state("1/1 0/0 1 0 0 0");
}

#[test]
fn heartbeats_tell_the_last_sequences_and_start_again_after_a_message() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.pull(r#"{"batch":9,"expires":1000000000,"idle_heartbeat":300000000}"#);
    rig.pass(200 * MS);
    rig.publish("s.a");
    rig.sent(&[r#"in <- s.a 1.1.1+0 "1""#]);
    rig.pass(200 * MS);
    rig.sent(&[]);
    rig.pass(100 * MS);
    rig.sent(&["in <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 1||"]);
    rig.pass(500 * MS);
    rig.sent(&[
        "in <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 1||",
        "in <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 8|Nats-Pending-Bytes: 0||",
    ]);
}

#[test]
fn heartbeats_are_a_millisecond_apart_at_least() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.pull(r#"{"batch":9,"expires":1000000000,"idle_heartbeat":1}"#);
    let beat = "in <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 0|Nats-Last-Stream: 0||";
    rig.pass(3 * MS);
    rig.sent(&[beat; 3]);
}

#[test]
fn a_congested_target_gets_nothing_until_it_is_resumed() {
    let mut rig = Rig::with(&["s.a"; 3]);
    rig.durable("");
    rig.host.full.insert("in");
    rig.pull("3");
    rig.sent(&[r#"in <- s.a 1.1.1+2 "1""#]);
    // The room is another target's: this one stays where it is.
    rig.call(|consumer, ctx| consumer.resume(ctx));
    rig.pump();
    rig.host.full.clear();
    rig.pump();
    rig.sent(&[]);
    rig.call(|consumer, ctx| consumer.resume(ctx));
    rig.pump();
    rig.sent(&[r#"in <- s.a 1.2.2+1 "2""#, r#"in <- s.a 1.3.3+0 "3""#]);
}

#[test]
fn the_others_go_on_while_one_target_is_congested() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable("");
    rig.host.interest.extend(["full".into(), "fine".into()]);
    rig.host.full.insert("full");
    let mut pull = |reply: &[u8], body: &[u8]| {
        rig.call(|consumer, ctx| consumer.pull(ctx, reply, body));
        rig.pump();
    };
    pull(b"full", br#"{"batch":2,"expires":1000000000}"#);
    pull(b"full", b"1");
    pull(b"fine", b"3");
    for subject in ["s.b", "s.c"] {
        rig.publish(subject);
    }
    rig.sent(&[
        r#"full <- s.a 1.1.1+0 "1""#,
        r#"fine <- s.b 1.2.2+0 "2""#,
        r#"fine <- s.c 1.3.3+0 "3""#,
    ]);
    // What is set aside still waits, and ends in its time.
    rig.call(|consumer, ctx| assert_eq!(consumer.info(ctx, None).num_waiting, 3));
    rig.pass(SECOND);
    rig.sent(&[
        "full <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||",
    ]);
    rig.host.full.clear();
    rig.call(|consumer, ctx| consumer.resume(ctx));
    for subject in ["s.d", "s.e"] {
        rig.publish(subject);
    }
    rig.sent(&[r#"fine <- s.d 1.4.4+0 "4""#, r#"full <- s.e 1.5.5+0 "5""#]);
}

#[test]
fn one_pump_does_bounded_work() {
    let mut rig = Rig::with(&["s.a"; 1300]);
    rig.durable(r#""max_ack_pending":-1"#);
    rig.pumps = 0;
    rig.pull("1300");
    assert_eq!(rig.collect().len(), 1300);
    assert_eq!(rig.pumps, 3);
}

#[test]
fn a_pull_consumer_without_requests_expires() {
    let mut rig = Rig::new();
    rig.durable(r#""inactive_threshold":500000000"#);
    let expired = |rig: &mut Rig| rig.call(|consumer, ctx| consumer.is_expired(ctx));
    rig.pass(499 * MS);
    assert!(!expired(&mut rig));
    rig.pull(r#"{"expires":300000000}"#);
    rig.pass(499 * MS);
    assert!(!expired(&mut rig));
    rig.pass(MS);
    assert!(expired(&mut rig));
    // A waiting request keeps it.
    rig.pull("1");
    rig.pass(2 * SECOND);
    assert!(!expired(&mut rig));
    // So does what it delivered, for an ack wait.
    rig.publish("s.a");
    rig.pass(29 * SECOND);
    assert!(!expired(&mut rig));
    rig.pass(2 * SECOND);
    assert!(expired(&mut rig));
}

#[test]
fn requests_are_served_at_the_pace_of_a_replay() {
    let mut rig = Rig::new();
    for _ in 0..2 {
        rig.publish("s.a");
        rig.set_clock(rig.now.mono_ns + 400 * MS);
    }
    rig.durable(r#""replay_policy":"original""#);
    rig.pull("5");
    rig.publish("s.a");
    rig.sent(&[r#"in <- s.a 1.1.1+1 "1""#]);
    rig.pass(399 * MS);
    rig.sent(&[]);
    rig.pass(MS);
    rig.sent(&[r#"in <- s.a 1.2.2+1 "2""#, r#"in <- s.a 1.3.3+0 "3""#]);
}

#[test]
fn requests_of_a_group_go_by_priority() {
    let mut rig = Rig::new();
    rig.durable(r#""priority_policy":"prioritized","priority_groups":["A"]"#);
    for (inbox, batch, priority) in [("e", 1, 5), ("b", 2, 1), ("a", 2, 0), ("c", 2, 1)] {
        rig.listen(inbox, true);
        let body = format!(r#"{{"batch":{batch},"group":"A","priority":{priority}}}"#);
        rig.pull_to(inbox, &body);
    }
    for _ in 0..7 {
        rig.publish("s.a");
    }
    let order = ["a", "a", "b", "c", "b", "c", "e"];
    let lines: Vec<String> = (1..)
        .zip(order)
        .map(|(at, inbox)| format!("{inbox} <- s.a 1.{at}.{at}+0 \"{at}\""))
        .collect();
    rig.sent(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for (body, status) in [
        (r#"{"batch":1}"#, "Priority Group missing"),
        (r#"{"group":"B"}"#, "Invalid Priority Group"),
        (r#"{"group":"A","min_pending":1}"#, "Not a Overflow Priority consumer"),
    ] {
        rig.pull(body);
        rig.sent(&[&format!("in <- NATS/1.0 400 Bad Request - {status}||")]);
    }
    assert_eq!(rig.info().priority_groups.unwrap()[0].group, "A");
}

#[test]
fn overflow_requests_wait_for_their_thresholds() {
    let mut rig = Rig::with(&["s.a", "s.a"]);
    rig.durable(r#""priority_policy":"overflow","priority_groups":["A"]"#);
    rig.listen("b", true);
    rig.pull_to("b", r#"{"batch":2,"group":"A","min_pending":3}"#);
    rig.pull(r#"{"no_wait":true,"group":"A","min_pending":3}"#);
    rig.sent(&["in <- NATS/1.0 404 No Messages||"]);
    // Others are served past the one that waits.
    rig.pull(r#"{"batch":1,"group":"A"}"#);
    rig.sent(&[r#"in <- s.a 1.1.1+1 "1""#]);
    rig.publish("s.a");
    rig.sent(&[]);
    rig.publish("s.a");
    rig.sent(&[r#"b <- s.a 1.2.2+2 "2""#]);
    // Either threshold will do.
    rig.pull(r#"{"batch":1,"group":"A","min_pending":9,"min_ack_pending":3}"#);
    rig.sent(&[]);
    rig.publish("s.a");
    rig.sent(&[r#"b <- s.a 1.3.3+2 "3""#, r#"in <- s.a 1.4.4+1 "4""#]);
}
