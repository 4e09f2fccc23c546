//! Rows 119 to 126 and 144 of jetstream.md 7, and 3.5, 3.6.

use super::*;

const NAKED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.c";
const TERMINATED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c";
const MAX_DELIVERIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c";

/// Five messages delivered to a waiting request; what was sent is forgotten.
fn five(config: &str) -> Rig {
    let mut rig = Rig::with(&["s.a"; 5]);
    rig.durable(config);
    rig.pull("100");
    rig.collect();
    rig.host.sent.clear();
    rig
}

#[test]
fn an_ack_is_answered_by_an_empty_message_also_the_second_time() {
    let mut rig = five("");
    for _ in 0..2 {
        assert!(rig.ack(1, "+ACK"));
        rig.sent(&["in <- ok"]);
        rig.state("5/5 1/1 4 0 1 0");
    }
    // Not delivered yet: no answer.
    for subject in ["$JS.ACK.S.c.1.6.6.5.0", "$JS.ACK.S.c.1.1000.1000.5.0", "$JS.ACK.S.c.1.0.1.5.0"]
    {
        assert!(rig.ack_on(subject, ""));
        rig.sent(&[]);
    }
    // What is no verdict is answered and changes nothing.
    rig.ack(2, "+ACK x");
    rig.ack(2, "whatever");
    rig.sent(&["in <- ok", "in <- ok"]);
    rig.state("5/5 1/1 4 0 1 0");
}

#[test]
fn an_ack_of_all_reaches_no_further_than_the_last_delivery() {
    let mut rig = Rig::with(&["s.b", "s.b"]);
    rig.durable(r#""ack_policy":"all","filter_subject":"s.a""#);
    rig.pull("100");
    rig.collect();
    rig.host.sent.clear();
    rig.ack_on("$JS.ACK.S.c.1.2.2.5.0", "");
    rig.state("0/0 0/0 0 0 1 0");
}

#[test]
fn a_consumer_without_acks_takes_none() {
    let mut rig = Rig::with(&["s.a", "s.a"]);
    rig.create(r#"{"durable_name":"c","ack_policy":"none"}"#);
    rig.pull("1");
    rig.sent(&[r#"in <- s.a 1.1.1+1 "1""#]);
    rig.state("1/1 1/1 0 0 0 1");
    assert!(!rig.ack_on("$JS.ACK.S.c.1.1.1.5.0", ""));
    rig.sent(&[]);
}

#[test]
fn the_floor_is_below_the_lowest_unsettled_message() {
    let mut rig = five("");
    for (nth, expected) in [
        (3, "5/5 0/0 4 0 1 0"),
        (1, "5/5 1/1 3 0 1 0"),
        (2, "5/5 3/3 2 0 1 0"),
        (5, "5/5 3/3 1 0 1 0"),
        (4, "5/5 5/5 0 0 1 0"),
    ] {
        rig.ack(nth, "");
        rig.state(expected);
    }
}

#[test]
fn ack_all_settles_what_is_below() {
    let mut rig = Rig::with(&["s.a"; 5]);
    rig.create(r#"{"durable_name":"c","ack_policy":"all"}"#);
    rig.pull("100");
    rig.ack(3, "");
    rig.state("5/5 3/3 2 0 1 0");
    rig.host.sent.clear();
    // Covered already, and answered.
    rig.ack(2, "");
    rig.sent(&["in <- ok"]);
    rig.ack(5, "-NAK");
    rig.sent(&[
        &format!(r#"{NAKED} {{"consumer_seq":5,"stream_seq":5,"deliveries":1}}"#),
        "in <- ok",
        r#"in <- s.a 2.5.6+0 "5""#,
    ]);
    rig.ack(4, "+TERM");
    rig.state("6/5 4/4 1 1 1 0");
}

#[test]
fn a_nak_is_redelivered_before_new_messages() {
    let mut rig = Rig::with(&["s.a"; 5]);
    rig.durable("");
    rig.pull("2");
    rig.ack(1, "-NAK");
    rig.host.sent.clear();
    rig.ack(2, "-NAK nonsense");
    rig.ack(2, "-NAK");
    rig.host.sent.clear();
    rig.state("2/2 0/0 2 0 0 3");
    rig.pull("3");
    rig.sent(&[r#"in <- s.a 2.1.3+3 "1""#, r#"in <- s.a 2.2.4+3 "2""#, r#"in <- s.a 1.3.5+2 "3""#]);
    rig.state("5/3 0/0 3 2 0 2");
    // The floor moves by the consumer sequence of the first delivery.
    rig.ack(3, "");
    rig.state("5/3 1/1 2 1 0 2");
}

#[test]
fn a_nak_with_a_delay_waits_for_it() {
    for delay in [r#" {"delay":200000000}"#, "200ms", " 200ms"] {
        let mut rig = five("");
        rig.ack(3, &format!("-NAK{delay}"));
        rig.sent(&[
            &format!(r#"{NAKED} {{"consumer_seq":3,"stream_seq":3,"deliveries":1}}"#),
            "in <- ok",
        ]);
        rig.pass(200 * MS - 1);
        rig.sent(&[]);
        rig.pass(1);
        rig.sent(&[r#"in <- s.a 2.3.6+0 "3""#]);
        // The others wait for their ack wait.
        rig.pass(29_800 * MS);
        assert_eq!(rig.collect().len(), 4, "{delay}");
    }
}

#[test]
fn a_terminated_message_never_comes_again() {
    let mut rig = five("");
    rig.ack(1, "+TERM  no good ");
    rig.sent(&[
        &format!(
            r#"{TERMINATED} {{"consumer_seq":1,"stream_seq":1,"deliveries":1,"reason":"no good"}}"#
        ),
        "in <- ok",
    ]);
    rig.ack(2, "+TERM");
    rig.sent(&[
        &format!(r#"{TERMINATED} {{"consumer_seq":2,"stream_seq":2,"deliveries":1}}"#),
        "in <- ok",
    ]);
    // Settled before: answered, no advisory.
    rig.ack(2, "+TERM");
    rig.sent(&["in <- ok"]);
    rig.pass(31 * SECOND);
    assert_eq!(rig.collect().len(), 3);
    rig.state("8/5 2/2 3 3 1 0");
}

#[test]
fn work_in_progress_starts_the_wait_anew() {
    let mut rig = five(r#""ack_wait":1000000000"#);
    rig.pass(900 * MS);
    rig.ack(2, "+WPI");
    rig.sent(&["in <- ok"]);
    rig.pass(100 * MS);
    rig.sent(&[
        r#"in <- s.a 2.1.6+0 "1""#,
        r#"in <- s.a 2.3.7+0 "3""#,
        r#"in <- s.a 2.4.8+0 "4""#,
        r#"in <- s.a 2.5.9+0 "5""#,
    ]);
    rig.pass(900 * MS);
    rig.sent(&[r#"in <- s.a 2.2.10+0 "2""#]);
}

#[test]
fn next_acks_and_asks_for_more() {
    let mut rig = Rig::with(&["s.a"; 9]);
    rig.durable("");
    rig.pull("2");
    rig.collect();
    rig.host.sent.clear();
    rig.ack(1, "+NXT");
    rig.sent(&[r#"in <- s.a 1.3.3+6 "3""#]);
    rig.ack(2, "+NXT 2");
    rig.sent(&[r#"in <- s.a 1.4.4+5 "4""#, r#"in <- s.a 1.5.5+4 "5""#]);
    rig.ack(3, r#"+NXT {"batch":9,"no_wait":true}"#);
    assert_eq!(rig.collect().len(), 5);
    rig.state("9/9 3/3 6 0 0 0");
}

#[test]
fn an_ended_wait_redelivers_with_a_new_consumer_sequence() {
    let mut rig = five(r#""ack_wait":500000000"#);
    rig.ack(2, "");
    rig.host.sent.clear();
    rig.pass(500 * MS - 1);
    rig.sent(&[]);
    rig.pass(1);
    rig.sent(&[
        r#"in <- s.a 2.1.6+0 "1""#,
        r#"in <- s.a 2.3.7+0 "3""#,
        r#"in <- s.a 2.4.8+0 "4""#,
        r#"in <- s.a 2.5.9+0 "5""#,
    ]);
    rig.state("9/5 0/0 4 4 1 0");
}

#[test]
fn backoff_repeats_its_last_wait() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable(r#""backoff":[100000000,300000000]"#);
    rig.pull("100");
    rig.host.sent.clear();
    for (wait, line) in [
        (100, r#"in <- s.a 2.1.2+0 "1""#),
        (300, r#"in <- s.a 3.1.3+0 "1""#),
        (300, r#"in <- s.a 4.1.4+0 "1""#),
    ] {
        rig.pass(wait * MS - 1);
        rig.sent(&[]);
        rig.pass(1);
        rig.sent(&[line]);
    }
}

#[test]
fn the_last_delivery_is_followed_by_one_advisory() {
    let mut rig = Rig::with(&["s.a", "s.a", "s.a"]);
    rig.durable(r#""max_deliver":2,"ack_wait":200000000"#);
    rig.pull("9");
    rig.ack(2, "");
    rig.ack(3, "");
    rig.host.sent.clear();
    rig.pass(SECOND);
    rig.sent(&[
        r#"in <- s.a 2.1.4+0 "1""#,
        &format!(r#"{MAX_DELIVERIES} {{"stream_seq":1,"deliveries":2}}"#),
    ]);
    // It leaves the table, still counts as redelivered, and holds the floor until the next ack.
    rig.state("4/3 0/0 0 1 1 0");
    rig.publish("s.a");
    rig.ack(5, "");
    rig.state("5/4 5/4 0 1 1 0");
    // A late ack is taken.
    rig.host.sent.clear();
    rig.ack(1, "");
    rig.sent(&["in <- ok"]);
    rig.state("5/4 5/4 0 0 1 0");
}

#[test]
fn a_nak_of_the_last_delivery_is_given_up_at_the_next_request() {
    let mut rig = Rig::with(&["s.a", "s.a"]);
    rig.durable(r#""max_deliver":1"#);
    rig.pull("1");
    rig.ack(1, "-NAK");
    rig.host.sent.clear();
    rig.state("1/1 0/0 1 0 0 1");
    rig.pull("1");
    rig.sent(&[
        &format!(r#"{MAX_DELIVERIES} {{"stream_seq":1,"deliveries":1}}"#),
        r#"in <- s.a 1.2.2+0 "2""#,
    ]);
    rig.state("2/2 0/0 1 0 0 0");
}

#[test]
fn a_deleted_message_is_settled_with_an_advisory() {
    let mut rig = five("");
    rig.delete(2);
    rig.sent(&[&format!(
        r#"{TERMINATED} {{"consumer_seq":2,"stream_seq":2,"deliveries":1,"reason":"Unacknowledged message was deleted"}}"#
    )]);
    rig.state("5/5 0/0 4 0 1 0");
    rig.ack(1, "");
    rig.state("5/5 2/2 3 0 1 0");
}

#[test]
fn a_purge_settles_without_a_word() {
    let mut rig = five("");
    rig.publish("s.b");
    rig.host.sent.clear();
    rig.purge(&Purge { filter: Some(b"s.b"), ..Purge::default() });
    rig.state("6/6 0/0 5 0 1 0");
    rig.purge(&Purge { below_seq: Some(4), ..Purge::default() });
    rig.state("6/6 3/3 2 0 1 0");
    rig.purge(&Purge::default());
    rig.state("6/6 6/6 0 0 1 0");
    rig.sent(&[]);

    let mut rig = Rig::with(&["s.a"; 12]);
    rig.durable("");
    rig.pull("3");
    rig.purge(&Purge::default());
    // As nats-server 2.15.1: both positions at the last sequence.
    rig.state("3/12 3/12 0 0 0 0");
}

#[test]
fn a_filtered_purge_moves_on_to_what_it_left() {
    let mut rig = Rig::with(&["s.a", "s.b", "s.a", "s.b", "s.a"]);
    rig.durable(r#""filter_subject":"s.a""#);
    rig.pull("1");
    rig.purge(&Purge { filter: Some(b"s.a"), keep: Some(1), ..Purge::default() });
    rig.state("1/4 1/4 0 0 0 1");
    rig.purge(&Purge { filter: Some(b"s.*"), ..Purge::default() });
    rig.state("1/5 1/5 0 0 0 0");

    // What another filter asks for is still to come.
    let mut rig = Rig::with(&["s.b", "s.a", "s.b"]);
    rig.durable(r#""filter_subjects":["s.a","s.b"]"#);
    rig.purge(&Purge { filter: Some(b"s.b"), ..Purge::default() });
    rig.pull("1");
    rig.sent(&[r#"in <- s.a 1.2.1+0 "2""#]);
}

#[test]
fn max_ack_pending_stops_new_messages_only() {
    let mut rig = Rig::with(&["s.a"; 4]);
    rig.durable(r#""max_ack_pending":2,"ack_wait":500000000"#);
    rig.pull("2");
    rig.collect();
    rig.host.sent.clear();
    rig.pull(r#"{"batch":1,"expires":100000000}"#);
    rig.pass(100 * MS);
    rig.sent(&[
        "in <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||",
    ]);
    rig.pull("3");
    rig.pass(400 * MS);
    rig.sent(&[r#"in <- s.a 2.1.3+2 "1""#, r#"in <- s.a 2.2.4+2 "2""#]);
    rig.ack(1, "");
    rig.sent(&["in <- ok", r#"in <- s.a 1.3.5+1 "3""#]);
}

#[test]
fn a_sampled_ack_is_measured() {
    let mut rig = five(r#""sample_freq":"100%""#);
    rig.pass(150 * MS);
    rig.ack(1, "");
    rig.sent(&[
        r#"$JS.EVENT.METRIC.CONSUMER.ACK.S.c {"consumer_seq":1,"stream_seq":1,"ack_time":150000000,"deliveries":1}"#,
        "in <- ok",
    ]);
    // Neither a second ack nor a termination is a measure.
    rig.ack(1, "");
    rig.sent(&["in <- ok"]);
    rig.ack(2, "+TERM");
    rig.sent(&[
        &format!(r#"{TERMINATED} {{"consumer_seq":2,"stream_seq":2,"deliveries":1}}"#),
        "in <- ok",
    ]);
}

#[test]
fn a_changed_ack_wait_applies_to_what_is_pending() {
    let mut rig = five("");
    rig.update(r#"{"durable_name":"c","name":"c","ack_policy":"explicit","ack_wait":1000000000}"#)
        .unwrap();
    rig.pass(SECOND);
    assert_eq!(rig.collect().len(), 5);
}
