//! Rows 107, 108 of jetstream.md 7, and 3.4.

use super::*;

/// Ten messages on `s.a` … `s.d` in turn.
fn ten() -> Rig {
    let subjects: Vec<String> =
        (0..10).map(|i| format!("s.{}", ["a", "b", "c", "d"][i % 4])).collect();
    Rig::with(&subjects.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_consumer_starts_where_its_policy_says() {
    // Policy, floor and pending at creation, first message delivered (nats-server 2.15.1).
    for (config, floor, pending, first) in [
        (r#""deliver_policy":"all""#, 0, 10, Some(1)),
        (r#""deliver_policy":"last""#, 9, 1, Some(10)),
        (r#""deliver_policy":"last","filter_subject":"s.c""#, 6, 1, Some(7)),
        (r#""deliver_policy":"last","filter_subject":"s.zz""#, 0, 0, None),
        (r#""deliver_policy":"last","filter_subjects":["s.c","s.d"]"#, 7, 1, Some(8)),
        (r#""deliver_policy":"new""#, 10, 0, None),
        (r#""deliver_policy":"by_start_sequence","opt_start_seq":7"#, 6, 4, Some(7)),
        (r#""deliver_policy":"by_start_sequence","opt_start_seq":70"#, 69, 0, None),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z""#,
            0,
            10,
            Some(1),
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2040-01-01T00:00:00Z""#,
            10,
            0,
            None,
        ),
        (r#""deliver_policy":"last_per_subject","filter_subject":"s.*""#, 6, 4, Some(7)),
        (r#""deliver_policy":"last_per_subject","filter_subjects":["s.a","s.b"]"#, 8, 2, Some(9)),
        (r#""deliver_policy":"last_per_subject","filter_subject":"s.zz""#, 9, 0, None),
        (r#""deliver_policy":"all","filter_subject":"s.d""#, 0, 2, Some(4)),
        (r#""deliver_policy":"all","filter_subject":"s.zz""#, 0, 0, None),
    ] {
        let mut rig = ten();
        rig.durable(config);
        rig.state(&format!("0/{floor} 0/{floor} 0 0 0 {pending}"));
        rig.pull("1");
        let sent = rig.collect();
        match first {
            Some(seq) => {
                assert!(
                    sent[0].contains(&format!(" 1.{seq}.1+{} ", pending - 1)),
                    "{config}: {sent:?}"
                );
            }
            None => assert!(sent.is_empty(), "{config}: {sent:?}"),
        }
    }
}

#[test]
fn an_empty_stream_starts_at_1() {
    for (config, floor) in [
        (r#""deliver_policy":"all""#, 0),
        (r#""deliver_policy":"last""#, 0),
        (r#""deliver_policy":"new""#, 0),
        (r#""deliver_policy":"by_start_sequence","opt_start_seq":7"#, 6),
        (r#""deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z""#, 0),
        (r#""deliver_policy":"last_per_subject","filter_subject":"s.*""#, 0),
    ] {
        let mut rig = Rig::new();
        rig.durable(config);
        rig.state(&format!("0/{floor} 0/{floor} 0 0 0 0"));
    }
}

#[test]
fn a_start_below_the_first_message_is_raised_to_it() {
    let mut rig = ten();
    rig.log.purge(&Purge { below_seq: Some(4), ..Purge::default() });
    rig.durable(r#""deliver_policy":"by_start_sequence","opt_start_seq":2"#);
    rig.state("0/3 0/3 0 0 0 7");
}

#[test]
fn a_start_beyond_the_end_waits_for_its_sequence() {
    let mut rig = Rig::with(&["s.a"]);
    rig.durable(r#""deliver_policy":"by_start_sequence","opt_start_seq":3"#);
    rig.pull("5");
    rig.publish("s.a");
    rig.sent(&[]);
    rig.publish("s.a");
    rig.sent(&[r#"in <- s.a 1.3.1+0 "3""#]);
}

#[test]
fn the_last_of_each_subject_comes_first_then_what_is_new() {
    let mut rig = ten();
    rig.durable(r#""deliver_policy":"last_per_subject","filter_subject":"s.*""#);
    rig.state("0/6 0/6 0 0 0 4");
    rig.delete(8);
    rig.state("0/6 0/6 0 0 0 3");
    rig.publish("s.a");
    rig.state("0/6 0/6 0 0 0 4");
    rig.pull("9");
    rig.sent(&[
        r#"in <- s.c 1.7.1+3 "7""#,
        r#"in <- s.a 1.9.2+2 "9""#,
        r#"in <- s.b 1.10.3+1 "10""#,
        r#"in <- s.a 1.11.4+0 "11""#,
    ]);
}

#[test]
fn several_filters_merge_by_sequence() {
    let mut rig = ten();
    rig.durable(r#""filter_subjects":["s.a","s.d"]"#);
    rig.state("0/0 0/0 0 0 0 5");
    rig.pull("9");
    rig.sent(&[
        r#"in <- s.a 1.1.1+4 "1""#,
        r#"in <- s.d 1.4.2+3 "4""#,
        r#"in <- s.a 1.5.3+2 "5""#,
        r#"in <- s.d 1.8.4+1 "8""#,
        r#"in <- s.a 1.9.5+0 "9""#,
    ]);
    // What does not match and is skipped is not counted as delivered.
    rig.state("5/9 0/0 5 0 1 0");
}

#[test]
fn a_reset_goes_where_its_policy_allows() {
    let reset = |rig: &mut Rig, seq| {
        let result = rig.call(|consumer, ctx| consumer.reset(ctx, seq));
        result.map_err(|error| error.to_string())
    };
    let mut rig = ten();
    rig.durable("");
    rig.pull("3");
    rig.collect();
    rig.ack(1, "");
    rig.ack(2, "");
    assert_eq!(reset(&mut rig, 0), Ok(3));
    rig.state("0/2 0/2 0 0 0 8");
    assert_eq!(reset(&mut rig, 7), Ok(7));
    rig.host.sent.clear();
    rig.pull("1");
    rig.sent(&[r#"in <- s.c 1.7.1+3 "7""#]);
    assert_eq!(reset(&mut rig, 1000), Ok(1000));
    rig.state("0/999 0/999 0 0 0 0");

    for (config, seq, expected) in [
        (r#""deliver_policy":"new""#, 3, "invalid reset: not allowed"),
        (
            r#""deliver_policy":"by_start_sequence","opt_start_seq":5"#,
            4,
            "invalid reset: below start seq",
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2040-01-01T00:00:00Z""#,
            4,
            "invalid reset: below start time",
        ),
    ] {
        let mut rig = ten();
        rig.durable(config);
        assert_eq!(reset(&mut rig, seq), Err(expected.to_owned()));
    }
}

#[test]
fn the_list_of_last_messages_stays_when_the_filters_change() {
    let config = |filters: &str| {
        format!(
            r#"{{"durable_name":"c","name":"c","ack_policy":"explicit","deliver_policy":"last_per_subject","filter_subjects":[{filters}]}}"#
        )
    };
    let mut rig = Rig::with(&["s.a", "s.b", "s.a", "s.b", "s.c"]);
    rig.create(&config(r#""s.a","s.b""#));
    rig.state("0/2 0/2 0 0 0 2");
    rig.publish("s.b");
    rig.update(&config(r#""s.b","s.c""#)).unwrap();
    rig.pull("5");
    rig.sent(&[r#"in <- s.a 1.3.1+2 "3""#, r#"in <- s.b 1.4.2+1 "4""#, r#"in <- s.b 1.6.3+0 "6""#]);
    // Without a list the last message is still before it.
    let mut rig = Rig::with(&["s.a", "s.b"]);
    rig.create(&config(r#""s.c""#));
    rig.state("0/1 0/1 0 0 0 0");
    rig.update(&config(r#""s.a","s.b""#)).unwrap();
    rig.state("0/1 0/1 0 0 0 1");
    rig.pull("1");
    rig.sent(&[r#"in <- s.b 1.2.1+0 "2""#]);
}
