//! Rows 127 to 134 and 140 of jetstream.md 7, and 3.8, 3.11.

use super::*;

const BEAT: &str = "d <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer:";

/// A push consumer to `d` without acks.
fn push(rig: &mut Rig, more: &str) {
    rig.create(&format!(r#"{{"deliver_subject":"d"{more}}}"#));
}

#[test]
fn a_push_consumer_delivers_while_somebody_listens() {
    let mut rig = Rig::with(&["s.a"]);
    push(&mut rig, "");
    assert!(!rig.info().push_bound);
    rig.sent(&[]);
    rig.listen("d", true);
    assert!(rig.info().push_bound);
    rig.sent(&[r#"d <- s.a 1.1.1+0 "1""#]);
    rig.listen("d", false);
    rig.publish("s.a");
    rig.sent(&[]);
    rig.state("1/1 1/1 0 0 0 1");
    rig.listen("d", true);
    rig.sent(&[r#"d <- s.a 1.2.2+0 "2""#]);
}

#[test]
fn lost_interest_is_noticed_by_a_delivery_too() {
    let mut rig = Rig::new();
    push(&mut rig, "");
    rig.listen("d", true);
    rig.host.interest.remove("d");
    rig.publish("s.a");
    assert!(!rig.info().push_bound);
    // Nothing was delivered, so nothing was counted.
    rig.state("0/0 0/0 0 0 0 1");
}

#[test]
fn only_members_of_its_group_are_interest() {
    for (group, subscriber, bound) in [
        ("", "d", true),
        ("", "d g", false),
        (r#","deliver_group":"g""#, "d g", true),
        (r#","deliver_group":"g""#, "d other", false),
        (r#","deliver_group":"g""#, "d", false),
    ] {
        let mut rig = Rig::with(&["s.a"]);
        push(&mut rig, group);
        rig.listen(subscriber, true);
        assert_eq!(rig.info().push_bound, bound, "{group} {subscriber}");
        assert_eq!(rig.collect().len(), usize::from(bound), "{group} {subscriber}");
    }
}

#[test]
fn heartbeats_fill_the_silence() {
    let mut rig = Rig::new();
    push(&mut rig, r#","idle_heartbeat":200000000"#);
    rig.pass(SECOND);
    rig.sent(&[]);
    rig.listen("d", true);
    rig.pass(200 * MS);
    rig.sent(&[&format!("{BEAT} 0|Nats-Last-Stream: 0||")]);
    rig.pass(100 * MS);
    rig.publish("s.a");
    rig.pass(199 * MS);
    rig.sent(&[r#"d <- s.a 1.1.1+0 "1""#]);
    rig.pass(201 * MS);
    let beat = format!("{BEAT} 1|Nats-Last-Stream: 1||");
    rig.sent(&[&beat, &beat]);
}

#[test]
fn flow_control_asks_at_half_of_the_window_and_stops_at_all_of_it() {
    let mut rig = Rig::new();
    push(&mut rig, r#","flow_control":true,"idle_heartbeat":1000000000"#);
    rig.listen("d", true);
    let body = "x".repeat(100_000);
    for _ in 0..30 {
        rig.publish_with("s.a", "", &body);
    }
    let sent = rig.collect();
    rig.host.sent.clear();
    // 1 MiB is passed by the 11th message of 100 kB, 2 MiB by the 21st.
    let asked: Vec<usize> =
        (0..sent.len()).filter(|at| sent[*at].contains("FlowControl")).collect();
    assert_eq!((asked.as_slice(), sent.len()), (&[11][..], 22));
    let (status, subject) = sent[11].split_once(" reply ").unwrap();
    assert_eq!(status, "d <- NATS/1.0 100 FlowControl Request||");
    let token = subject.strip_prefix("$JS.FC.S.c.").unwrap().to_owned();
    assert_eq!(token.len(), 4);
    rig.pass(SECOND);
    rig.sent(&[&format!("{BEAT} 21|Nats-Last-Stream: 21|Nats-Consumer-Stalled: {subject}||")]);
    let answer = |rig: &mut Rig, token: &str| {
        rig.call(|consumer, ctx| consumer.flow_reply(ctx, token.as_bytes(), b""));
        rig.pump();
    };
    answer(&mut rig, "zzzz");
    rig.sent(&[]);
    answer(&mut rig, &token);
    // Everything, and a new question at half of the window, which is 4 MiB now.
    let sent = rig.collect();
    assert_eq!(sent.len(), 9);
    assert!(sent.iter().all(|line| line.contains("s.a 1.")), "{sent:?}");
    rig.pass(SECOND);
    assert!(rig.collect().last().unwrap().ends_with("Nats-Last-Stream: 30||"));
}

#[test]
fn an_ephemeral_push_consumer_expires_after_its_interest() {
    let mut rig = Rig::new();
    rig.create(r#"{"deliver_subject":"d"}"#);
    let expired = |rig: &mut Rig| rig.call(|consumer, ctx| consumer.is_expired(ctx));
    rig.listen("d", true);
    rig.pass(100 * SECOND);
    assert!(!expired(&mut rig));
    rig.listen("d", false);
    assert_eq!(
        rig.call(|consumer, _| consumer.next_deadline()),
        Some(rig.now.mono_ns + 5 * SECOND)
    );
    rig.pass(5 * SECOND - 1);
    assert!(!expired(&mut rig));
    rig.pass(1);
    assert!(expired(&mut rig));
    // A durable one stays.
    let mut rig = Rig::new();
    rig.create(r#"{"durable_name":"c","deliver_subject":"d"}"#);
    rig.pass(1000 * SECOND);
    assert!(!expired(&mut rig));
}

#[test]
fn replay_keeps_the_gaps_of_what_was_stored() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.publish("s.a");
        rig.set_clock(rig.now.mono_ns + 400 * MS);
    }
    rig.set_clock(rig.now.mono_ns + 60 * SECOND);
    push(&mut rig, r#","replay_policy":"original""#);
    rig.publish("s.a");
    rig.listen("d", true);
    rig.sent(&[r#"d <- s.a 1.1.1+3 "1""#]);
    rig.pass(399 * MS);
    rig.sent(&[]);
    rig.pass(MS);
    rig.sent(&[r#"d <- s.a 1.2.2+2 "2""#]);
    rig.pass(400 * MS);
    // What was stored after the creation comes at once.
    rig.sent(&[r#"d <- s.a 1.3.3+1 "3""#, r#"d <- s.a 1.4.4+0 "4""#]);
}

#[test]
fn the_rate_limit_spreads_messages() {
    let mut rig = Rig::new();
    let body = "x".repeat(940);
    for _ in 0..10 {
        rig.publish_with("s.a", "", &body);
    }
    push(&mut rig, r#","rate_limit_bps":16000"#);
    rig.listen("d", true);
    let start = rig.now.mono_ns;
    let mut times = Vec::new();
    while times.len() < 10 {
        times.resize(rig.collect().len(), rig.now.mono_ns - start);
        let next = rig.call(|consumer, _| consumer.next_deadline());
        if let Some(next) = next {
            rig.set_clock(next);
            rig.call(|consumer, ctx| consumer.tick(ctx));
            rig.pump();
        }
    }
    // 990 bytes each; nats-server 2.15.1 took 4.2 s.
    assert!((3_500 * MS..4_300 * MS).contains(times.last().unwrap()), "{times:?}");
}

#[test]
fn a_paused_consumer_beats_and_does_not_deliver() {
    let mut rig = Rig::new();
    push(&mut rig, r#","idle_heartbeat":1000000000"#);
    rig.listen("d", true);
    let until = rig.now.unix_ns + 1_500_000_000;
    let paused = rig.call(|consumer, ctx| consumer.pause(ctx, Some(until)));
    assert_eq!(
        serde_json::to_string(&paused).unwrap(),
        r#"{"paused":true,"pause_until":"2023-11-14T22:13:21.5Z","pause_remaining":1500000000}"#
    );
    let info = rig.info();
    assert!(info.paused);
    assert_eq!(info.pause_remaining, Some(1_500_000_000));
    assert_eq!(info.config.metadata["_nats.req.level"], "1");
    rig.publish("s.a");
    let event = "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c";
    rig.sent(&[&format!(r#"{event} {{"paused":true,"pause_until":"2023-11-14T22:13:21.5Z"}}"#)]);
    rig.pass(1_500 * MS);
    rig.sent(&[
        &format!("{BEAT} 0|Nats-Last-Stream: 0||"),
        &format!(r#"{event} {{"paused":false,"pause_until":"2023-11-14T22:13:21.5Z"}}"#),
        r#"d <- s.a 1.1.1+0 "1""#,
    ]);
    // An empty request resumes.
    let later = rig.now.unix_ns + 1_000_000_000;
    rig.call(|consumer, ctx| consumer.pause(ctx, Some(later)));
    rig.publish("s.a");
    let paused = rig.call(|consumer, ctx| consumer.pause(ctx, None));
    assert_eq!(
        serde_json::to_string(&paused).unwrap(),
        r#"{"paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#
    );
    rig.pump();
    assert_eq!(rig.collect().last().unwrap(), r#"d <- s.a 1.2.2+0 "2""#);
    assert!(!rig.info().paused);
}

#[test]
fn requests_of_a_paused_consumer_wait() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable(r#""pause_until":"2030-01-01T00:00:00Z""#);
    rig.sent(&[concat!(
        "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c ",
        r#"{"paused":true,"pause_until":"2030-01-01T00:00:00Z"}"#
    )]);
    rig.pull(r#"{"no_wait":true}"#);
    rig.sent(&["in <- NATS/1.0 404 No Messages||"]);
    rig.pull(r#"{"no_wait":true,"expires":300000000}"#);
    rig.sent(&[]);
    rig.state("0/0 0/0 0 0 1 1");
    rig.pass(300 * MS);
    rig.sent(&[
        "in <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 0|Nats-Pending-Bytes: 0||",
    ]);
}

#[test]
fn headers_only_gives_the_size_instead_of_the_body() {
    let mut rig = Rig::new();
    rig.publish_with("s.a", "", "hello");
    rig.publish_with("s.a", "NATS/1.0\r\nA: b\r\n\r\n", "hello");
    push(&mut rig, r#","headers_only":true"#);
    rig.listen("d", true);
    rig.sent(&[
        r#"d <- s.a 1.1.1+1 [NATS/1.0|Nats-Msg-Size: 5||] """#,
        r#"d <- s.a 1.2.2+0 [NATS/1.0|A: b|Nats-Msg-Size: 5||] """#,
    ]);
}

#[test]
fn a_moved_deliver_subject_must_be_unused() {
    let mut rig = Rig::with(&["s.a"]);
    rig.create(r#"{"durable_name":"c","name":"c","deliver_subject":"d"}"#);
    rig.listen("d", true);
    let elsewhere = r#"{"durable_name":"c","name":"c","deliver_subject":"e"}"#;
    assert_eq!(rig.update(elsewhere), Err(ApiError::ConsumerNameExist));
    rig.listen("d", false);
    rig.listen("e", true);
    rig.host.sent.clear();
    rig.update(elsewhere).unwrap();
    rig.publish("s.a");
    rig.sent(&[r#"e <- s.a 1.2.2+0 "2""#]);
}

/// Takes the subject of the flow control request that was sent last.
fn asked(rig: &mut Rig) -> String {
    let sent = rig.collect();
    rig.host.sent.clear();
    let asked = sent.last().and_then(|line| line.split_once(" reply $JS.FC.S.c."));
    asked.map(|(_, token)| token.to_owned()).unwrap_or_default()
}

fn stored(rig: &mut Rig, token: &str, sequences: Option<(u64, u64)>) {
    let block = sequences.map_or(String::new(), |(consumer, stream)| {
        format!("NATS/1.0\r\nNats-Last-Consumer: {consumer}\r\nNats-Last-Stream: {stream}\r\n\r\n")
    });
    rig.call(|consumer, ctx| consumer.flow_reply(ctx, token.as_bytes(), block.as_bytes()));
    rig.pump();
}

#[test]
fn answers_to_flow_control_acknowledge_what_they_say() {
    let mut rig = Rig::new();
    push(&mut rig, r#","ack_policy":"flow_control","max_ack_pending":3"#);
    rig.listen("d", true);
    (0..5).for_each(|_| rig.publish("s.a"));
    // Nothing is acknowledged otherwise, and nothing comes again by itself.
    assert!(!rig.ack(1, "+ACK"));
    let token = asked(&mut rig);
    assert_eq!(token.len(), 4);
    rig.state("3/3 0/0 3 0 0 2");
    stored(&mut rig, "zzzz", Some((3, 3)));
    rig.state("3/3 0/0 3 0 0 2");
    // What was not delivered, or is no answer about messages, acknowledges nothing.
    stored(&mut rig, &token, Some((9, 9)));
    rig.state("3/3 0/0 3 0 0 2");
    rig.pass(SECOND);
    let token = asked(&mut rig);
    stored(&mut rig, &token, None);
    rig.state("3/3 0/0 3 0 0 2");
    rig.pass(SECOND);
    let token = asked(&mut rig);
    stored(&mut rig, &token, Some((2, 2)));
    rig.state("5/5 2/2 3 0 0 0");
    let token = asked(&mut rig);
    stored(&mut rig, &token, Some((5, 5)));
    rig.state("5/5 5/5 0 0 0 0");
    rig.pass(10 * SECOND);
    let sent = rig.collect();
    assert!(sent.len() >= 9 && sent.iter().all(|line| line.contains("Idle Heartbeat")), "{sent:?}");
}
