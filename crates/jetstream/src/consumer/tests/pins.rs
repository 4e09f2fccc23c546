//! Rows 137 and 138 of jetstream.md 7, and 3.9: pinned clients.

use super::*;

const PINNED: &str =
    r#""priority_policy":"pinned_client","priority_groups":["A"],"priority_timeout":2000000000"#;
const UNPINNED: &str = "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.c";

/// Two clients wait; the first takes a message and is pinned.
fn pinned() -> (Rig, String) {
    let mut rig = Rig::new();
    rig.durable(PINNED);
    for inbox in ["a", "b"] {
        rig.listen(inbox, true);
        rig.pull_to(inbox, r#"{"batch":3,"group":"A"}"#);
    }
    rig.publish("s.a");
    let id = rig.pin();
    rig.sent(&[
        &format!(r#"a <- s.a 1.1.1+0 [NATS/1.0|Nats-Pin-Id: {id}||] "1""#),
        &format!(r#"$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.c {{"group":"A","pinned_id":"{id}"}}"#),
    ]);
    (rig, id)
}

impl Rig {
    fn pin(&mut self) -> String {
        self.info().priority_groups.unwrap()[0].pinned_client_id.clone()
    }
}

#[test]
fn only_the_pinned_client_is_served() {
    let (mut rig, id) = pinned();
    assert_eq!(id.len(), 22);
    rig.publish_with("s.a", "NATS/1.0\r\nK: v\r\n\r\n", "2");
    rig.publish("s.a");
    rig.sent(&[
        &format!(r#"a <- s.a 1.2.2+0 [NATS/1.0|K: v|Nats-Pin-Id: {id}||] "2""#),
        &format!(r#"a <- s.a 1.3.3+0 [NATS/1.0|Nats-Pin-Id: {id}||] "3""#),
    ]);
    rig.publish("s.a");
    rig.sent(&[]);
    rig.pull(r#"{"no_wait":true,"group":"A"}"#);
    rig.sent(&["in <- NATS/1.0 408 Requests Pending||"]);
    rig.pull(&format!(r#"{{"group":"A","id":"{id}"}}"#));
    rig.sent(&[&format!(r#"in <- s.a 1.4.4+0 [NATS/1.0|Nats-Pin-Id: {id}||] "4""#)]);
}

#[test]
fn a_wrong_pin_is_refused_at_once_and_one_that_is_over_at_its_turn() {
    let (mut rig, id) = pinned();
    rig.pull(r#"{"group":"A","id":"other"}"#);
    rig.sent(&["in <- NATS/1.0 423 Nats-Pin-Id mismatch||"]);
    rig.call(|consumer, ctx| consumer.unpin(ctx, "A"));
    rig.sent(&[&format!(r#"{UNPINNED} {{"group":"A","reason":"admin"}}"#)]);
    rig.pull(&format!(r#"{{"batch":2,"group":"A","id":"{id}"}}"#));
    rig.sent(&[]);
    // The old pin ends where it stands in the queue: `b` comes first.
    rig.publish("s.a");
    let new = rig.pin();
    assert_ne!(new, id);
    let lines = rig.collect();
    assert!(lines[0].starts_with("b <- s.a 1.2.2+0"), "{lines:?}");
    rig.host.sent.clear();
    rig.call(|consumer, ctx| consumer.unpin(ctx, "A"));
    rig.host.sent.clear();
    rig.publish("s.a");
    let over = |inbox, left| {
        format!(
            "{inbox} <- NATS/1.0 423 Nats-Wrong-Pin-Id|Nats-Pending-Messages: {left}|Nats-Pending-Bytes: 0||"
        )
    };
    rig.sent(&[&over("a", 2), &over("in", 2), &over("b", 2)]);
    rig.state("2/2 0/0 2 0 0 1");
}

#[test]
fn a_pin_without_requests_runs_out() {
    let (mut rig, id) = pinned();
    rig.pass(SECOND);
    rig.pull(&format!(r#"{{"group":"A","id":"{id}"}}"#));
    rig.pass(2 * SECOND - 1);
    rig.sent(&[]);
    assert_eq!(rig.pin(), id);
    rig.pass(1);
    rig.sent(&[&format!(r#"{UNPINNED} {{"group":"A","reason":"timeout"}}"#)]);
    assert_eq!(rig.pin(), "");
}

#[test]
fn who_is_not_there_is_not_pinned() {
    let mut rig = Rig::new();
    rig.durable(PINNED);
    rig.listen("b", true);
    rig.pull_to("gone", r#"{"group":"A"}"#);
    rig.pull_to("b", r#"{"group":"A"}"#);
    rig.publish("s.a");
    let id = rig.pin();
    assert_eq!(rig.collect()[0], format!(r#"b <- s.a 1.1.1+0 [NATS/1.0|Nats-Pin-Id: {id}||] "1""#));
}

#[test]
fn headers_only_keeps_the_size_before_the_pin() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable(&format!(r#"{PINNED},"headers_only":true"#));
    rig.pull(r#"{"group":"A"}"#);
    let id = rig.pin();
    let line = format!(r#"in <- s.a 1.1.1+0 [NATS/1.0|Nats-Msg-Size: 1|Nats-Pin-Id: {id}||] """#);
    assert_eq!(rig.collect()[0], line);
}
