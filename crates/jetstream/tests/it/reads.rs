//! `STREAM.MSG.GET` and Direct Get.

use base64::Engine as _;

use crate::world::{SECOND, World};

impl World {
    /// The header block of a stored message, by `STREAM.MSG.GET`.
    pub(crate) fn direct_less_get(&mut self, seq: u64) -> String {
        let answer = self.must("STREAM.MSG.GET.S", &format!(r#"{{"seq":{seq}}}"#));
        let block = answer["message"]["hdrs"].as_str().unwrap_or("");
        let block = base64::engine::general_purpose::STANDARD.decode(block).expect("base64");
        String::from_utf8(block).expect("text")
    }
}

fn world() -> World {
    let mut world = World::new();
    let body = r#"{"name":"S","subjects":["s.>"],"storage":"memory","allow_direct":true}"#;
    world.must("STREAM.CREATE.S", body);
    for (subject, headers) in [("s.a", ""), ("s.b", "A: b"), ("s.a", ""), ("s.c", "")] {
        world.put(subject, headers, "x");
        world.pass(SECOND);
    }
    world
}

#[test]
fn one_message_is_read_by_sequence_subject_and_time() {
    let mut world = world();
    for (body, expected) in [
        (r#"{"seq":1}"#, Some((1, "s.a"))),
        (r#"{"seq":99}"#, None),
        (r#"{"last_by_subj":"s.a"}"#, Some((3, "s.a"))),
        (r#"{"last_by_subj":"s.*"}"#, Some((4, "s.c"))),
        (r#"{"last_by_subj":"t"}"#, None),
        (r#"{"next_by_subj":"s.a"}"#, Some((1, "s.a"))),
        (r#"{"next_by_subj":"s.a","seq":2}"#, Some((3, "s.a"))),
        (r#"{"start_time":"2023-11-14T22:13:20.5Z"}"#, Some((2, "s.b"))),
        (r#"{"start_time":"2023-11-14T22:13:20.5Z","next_by_subj":"s.a"}"#, Some((3, "s.a"))),
        (r#"{"start_time":"2030-11-14T22:13:20Z"}"#, None),
    ] {
        let answer = world.api("STREAM.MSG.GET.S", body);
        let direct = world.direct("S", body);
        match expected {
            Some((seq, subject)) => {
                let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
                assert_eq!(value["message"]["seq"], seq, "{body}");
                assert_eq!(value["message"]["subject"], subject, "{body}");
                assert_eq!(value["message"]["data"], "eA==", "{body}");
                assert!(direct[0].contains(&format!("Nats-Sequence: {seq}\r\n")), "{body}");
            }
            None => {
                assert!(answer.contains(r#""err_code":10037,"description":"no message found""#));
                assert_eq!(direct, ["NATS/1.0 404 Message Not Found\r\n\r\n"], "{body}");
            }
        }
    }
    assert_eq!(
        world.api("STREAM.MSG.GET.S", r#"{"seq":2}"#),
        r#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"s.b","seq":2,"hdrs":"TkFUUy8xLjANCkE6IGINCg0K","data":"eA==","time":"2023-11-14T22:13:21Z"}}"#
    );
}

#[test]
fn a_direct_get_is_the_message_with_its_place() {
    let mut world = world();
    let expected = "NATS/1.0\r\nA: b\r\nNats-Stream: S\r\nNats-Subject: s.b\r\nNats-Sequence: 2\r\nNats-Time-Stamp: 2023-11-14T22:13:21Z\r\n\r\nx";
    assert_eq!(world.direct("S", r#"{"seq":2}"#), [expected]);
    assert_eq!(world.direct("S.s.b", ""), [expected]);
    assert_eq!(world.direct("S", r#"{"seq":2,"foo":1}"#), [expected]);
    assert_eq!(world.direct("S.s.b", r#"{"no_hdr":true}"#), ["x"]);
}

#[test]
fn refusals_of_direct_get_are_statuses() {
    let mut world = world();
    for (tail, body, status) in [
        ("S", "", "408 Empty Request"),
        ("S", "{}", "408 Empty Request"),
        ("S", r#"{"seq":0}"#, "408 Empty Request"),
        ("S", r#"{"batch":2}"#, "408 Empty Request"),
        ("S", r#"{"multi_last":[]}"#, "408 Empty Request"),
        ("S", "x", "408 Malformed Request"),
        ("S", "[]", "408 Malformed Request"),
        ("S", r#"{"seq":"x"}"#, "408 Malformed Request"),
        ("S", r#"{"seq":1,"last_by_subj":"s.a"}"#, "408 Bad Request"),
        ("S", r#"{"seq":1,"start_time":"2020-01-01T00:00:00Z"}"#, "408 Bad Request"),
        ("S", r#"{"batch":2,"last_by_subj":"s.a"}"#, "408 Bad Request"),
        ("S", r#"{"multi_last":["s.a"],"last_by_subj":"s.a"}"#, "408 Bad Request"),
        (
            "S",
            r#"{"multi_last":["s.a"],"up_to_seq":1,"up_to_time":"2020-01-01T00:00:00Z"}"#,
            "408 Bad Request",
        ),
        ("S", r#"{"multi_last":["zz"]}"#, "404 No Results"),
        ("S", r#"{"multi_last":["s.a"],"up_to_time":"2020-01-01T00:00:00Z"}"#, "404 No Results"),
        ("S", r#"{"seq":999,"batch":2}"#, "404 Message Not Found"),
        ("S.s.a", r#"{"seq":1}"#, "408 Bad Request"),
        ("S.s.a", "x", "408 Malformed Request"),
        ("S.s.zz", "", "404 Message Not Found"),
    ] {
        assert_eq!(
            world.direct(tail, body),
            [format!("NATS/1.0 {status}\r\n\r\n")],
            "{tail} {body}"
        );
    }
}

/// (sequence, pending, last) of each message, then the end's own header lines.
fn shape(answers: &[String]) -> Vec<String> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")));
        line.map_or("-".to_owned(), |line| line[name.len() + 2..].to_owned())
    };
    answers
        .iter()
        .map(|text| {
            let place = format!(
                "{}/{}",
                field(text, "Nats-Num-Pending"),
                field(text, "Nats-Last-Sequence")
            );
            match text.strip_prefix("NATS/1.0 204 EOB\r\n") {
                Some(_) => format!("EOB {place} {}", field(text, "Nats-UpTo-Sequence")),
                None => format!("{} {place}", field(text, "Nats-Sequence")),
            }
        })
        .collect()
}

#[test]
fn batches_tell_what_remains() {
    let mut world = world();
    for (body, expected) in [
        (r#"{"batch":2,"seq":1}"#, &["1 3/0", "2 2/1", "EOB 2/2 -"][..]),
        (r#"{"batch":9,"next_by_subj":"s.a"}"#, &["1 1/0", "3 0/1", "EOB 0/3 -"]),
        (r#"{"batch":9,"seq":1,"max_bytes":3}"#, &["1 3/0", "EOB 3/1 -"]),
        (r#"{"batch":9,"start_time":"2023-11-14T22:13:22Z"}"#, &["3 1/0", "4 0/3", "EOB 0/4 -"]),
        (r#"{"batch":-2,"seq":1}"#, &["EOB 4/0 -"]),
        (r#"{"multi_last":["s.a","s.b"]}"#, &["2 1/0", "3 0/2", "EOB 0/3 4"]),
        (r#"{"multi_last":["s.>"],"batch":1}"#, &["2 2/0", "EOB 2/2 4"]),
        (r#"{"multi_last":["s.>"],"seq":3,"up_to_seq":4}"#, &["3 1/0", "4 0/3", "EOB 0/4 4"]),
        (r#"{"multi_last":["s.>"],"up_to_seq":2}"#, &["1 1/0", "2 0/1", "EOB 0/2 2"]),
        (
            r#"{"multi_last":["s.>"],"up_to_time":"2023-11-14T22:13:22Z"}"#,
            &["1 1/0", "2 0/1", "EOB 0/2 2"],
        ),
    ] {
        assert_eq!(shape(&world.direct("S", body)), expected, "{body}");
    }
}
