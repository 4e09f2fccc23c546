//! Row 142 of jetstream.md 7, and 3.14: what a restart keeps.

use proptest::prelude::*;

use super::*;

/// The consumer after a restart: a new one that reads what the old one noted.
fn restart(rig: &mut Rig, notes: &[Vec<u8>]) {
    let old = rig.consumer.take().unwrap();
    // Another process has another monotonic clock, and inboxes are gone.
    rig.now.mono_ns = 3 * SECOND;
    let mut ctx = Ctx {
        host: &mut rig.host,
        log: &mut rig.log,
        now: rig.now,
        scope: &rig.scope,
        replies: &mut rig.replies,
        burst: 2_000,
    };
    let mut new = Consumer::restore(&ctx, old.name(), old.config().clone(), old.created());
    for note in notes {
        new.apply_note(note).unwrap();
    }
    new.recovered(&mut ctx);
    rig.consumer = Some(new);
    rig.pump();
}

fn note(rig: &mut Rig) -> Option<Vec<u8>> {
    rig.call(|consumer, _| consumer.take_notes())
}

#[test]
fn floors_pending_messages_and_counts_survive() {
    let mut rig = Rig::with(&["s.a"; 6]);
    rig.durable(r#""ack_wait":10000000000"#);
    let mut notes = vec![note(&mut rig).unwrap()];
    rig.pull("4");
    rig.ack(1, "");
    rig.ack(3, "-NAK");
    rig.pull("1");
    notes.extend(note(&mut rig));
    assert!(note(&mut rig).is_none());
    rig.state("5/4 1/1 3 1 0 2");
    rig.pass(4 * SECOND);
    rig.host.sent.clear();
    restart(&mut rig, &notes);
    rig.state("5/4 1/1 3 1 0 2");
    // The ack wait runs on from the delivery.
    rig.pass(6 * SECOND - MS);
    rig.pull("9");
    rig.sent(&[r#"in <- s.a 1.5.6+1 "5""#, r#"in <- s.a 1.6.7+0 "6""#]);
    rig.pass(MS);
    rig.sent(&[
        r#"in <- s.a 2.2.8+0 "2""#,
        r#"in <- s.a 3.3.9+0 "3""#,
        r#"in <- s.a 2.4.10+0 "4""#,
    ]);
}

#[test]
fn the_last_of_each_subject_are_those_that_the_stream_still_has() {
    let mut rig = Rig::with(&["s.a", "s.b", "s.c", "s.d"]);
    rig.durable(r#""deliver_policy":"last_per_subject","filter_subject":"s.*""#);
    rig.pull("1");
    let notes = [note(&mut rig).unwrap()];
    assert_eq!(rig.info().num_pending, 3);
    rig.log = Rig::with(&["s.a", "s.b", "s.c"]).log;
    rig.log.remove(3, false);
    restart(&mut rig, &notes);
    assert_eq!(rig.info().num_pending, 1);
    rig.host.sent.clear();
    rig.pull("9");
    rig.sent(&[r#"in <- s.b 1.2.2+0 "2""#]);
}

#[test]
fn a_checkpoint_replaces_the_notes_before_it() {
    let mut rig = Rig::with(&["s.a"; 6]);
    rig.durable(r#""max_deliver":1,"ack_wait":1000000000"#);
    rig.pull("4");
    rig.ack(2, "");
    rig.pass(SECOND);
    rig.pull("1");
    note(&mut rig);
    let checkpoint = rig.call(|consumer, _| consumer.checkpoint());
    rig.ack(5, "-NAK");
    let after = note(&mut rig).unwrap();
    let before = rig.info();
    restart(&mut rig, &[checkpoint, after]);
    let info = rig.info();
    assert_eq!(info.delivered, before.delivered);
    assert_eq!(info.ack_floor.stream_seq, before.ack_floor.stream_seq);
    assert_eq!(info.num_ack_pending, before.num_ack_pending);
}

#[test]
fn the_start_is_remembered_not_decided_again() {
    let mut rig = Rig::with(&["s.a", "s.b", "s.a"]);
    rig.durable(r#""deliver_policy":"new""#);
    let notes = [note(&mut rig).unwrap()];
    rig.publish("s.a");
    restart(&mut rig, &notes);
    rig.state("0/3 0/3 0 0 0 1");

    let mut rig = Rig::with(&["s.a", "s.b", "s.a", "s.b"]);
    rig.durable(r#""deliver_policy":"last_per_subject","filter_subject":"s.*""#);
    let notes = [note(&mut rig).unwrap()];
    rig.publish("s.a");
    restart(&mut rig, &notes);
    rig.pull("9");
    rig.sent(&[r#"in <- s.a 1.3.1+2 "3""#, r#"in <- s.b 1.4.2+1 "4""#, r#"in <- s.a 1.5.3+0 "5""#]);
}

#[test]
fn memory_consumers_note_nothing() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable(r#""mem_storage":true"#);
    rig.pull("1");
    rig.ack(1, "");
    assert!(note(&mut rig).is_none());
    let mut rig = Rig::with(&["s.a"]);
    rig.scope.memory = true;
    rig.durable("");
    rig.pull("1");
    assert!(note(&mut rig).is_none());
}

#[test]
fn a_state_ahead_of_its_stream_goes_back_to_the_end() {
    let mut rig = Rig::with(&["s.a"; 9]);
    rig.durable("");
    rig.pull("8");
    rig.ack(1, "");
    let notes = [note(&mut rig).unwrap()];
    // The stream lost all but five of its messages.
    rig.log = Log::memory(1, LogLimits::default());
    let consumer = rig.consumer.take();
    for _ in 0..5 {
        rig.publish("s.a");
    }
    rig.consumer = consumer;
    rig.host.sent.clear();
    restart(&mut rig, &notes);
    rig.state("8/5 1/1 4 0 0 0");
    rig.pull("1");
    rig.publish("s.a");
    rig.sent(&[r#"in <- s.a 1.6.9+0 "6""#]);
}

#[test]
fn a_damaged_note_is_an_error() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable("");
    let mut body = note(&mut rig).unwrap();
    body.push(99);
    assert_eq!(rig.call(|consumer, _| consumer.apply_note(&body)), Err(BadNote));
}

proptest! {
    /// Whatever was delivered and settled, and wherever a crash cuts off the notes: nothing that
    /// was not settled durably is lost, and the floor is at least what was durable.
    #[test]
    fn a_crash_redelivers_and_never_skips(
        steps in prop::collection::vec((0..4_u8, 0..12_usize), 1..60),
        cut in 0..60_usize,
    ) {
        let mut rig = Rig::with(&["s.a"; 40]);
        rig.durable("");
        let mut notes = vec![note(&mut rig).unwrap()];
        let mut acked = BTreeSet::new();
        let mut durable = (acked.clone(), 0);
        for (index, (step, which)) in steps.into_iter().enumerate() {
            match step {
                0 => rig.pull(r#"{"batch":2,"no_wait":true}"#),
                1 | 2 => {
                    rig.collect();
                    if let Some(subject) = rig.acks.get(which).cloned() {
                        rig.ack_on(&subject, if step == 1 { "" } else { "-NAK" });
                        if step == 1 {
                            acked.insert(parse(subject.as_bytes()).unwrap().token.stream_seq);
                        }
                    }
                }
                _ => rig.pass(7 * SECOND),
            }
            if index < cut {
                notes.extend(note(&mut rig));
                durable = (acked.clone(), rig.info().ack_floor.stream_seq);
            }
        }
        restart(&mut rig, &notes);
        prop_assert!(rig.info().ack_floor.stream_seq <= durable.1);
        rig.host.sent.clear();
        rig.acks.clear();
        // Everything that is not settled comes (again) within its ack wait.
        rig.pull(r#"{"batch":1000}"#);
        rig.pass(30 * SECOND);
        rig.collect();
        let seen: BTreeSet<u64> =
            rig.acks.iter().map(|ack| parse(ack.as_bytes()).unwrap().token.stream_seq).collect();
        let wanted: BTreeSet<u64> =
            (1..=40).filter(|seq| !durable.0.contains(seq)).collect();
        prop_assert_eq!(seen, wanted);
    }
}
