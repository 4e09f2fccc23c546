//! Rows 103 to 106, 141 of jetstream.md 7, and 3.1, 3.2, 3.3.

use super::*;

#[test]
fn configurations_are_filled_in_and_refused_as_by_the_reference() {
    let subjects = ["s.>".to_owned()];
    let limits = Limits { stream_subjects: &subjects, ..Limits::default() };
    let mut rows = 0;
    for row in include_str!("configs.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [pedantic, text, expected]: [&str; 3] =
            row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let mut config: Config = decode(text.as_bytes(), true).unwrap();
        // The name in the subject counts.
        config.name = "c".to_owned();
        let result = fill_defaults(&mut config, &limits, pedantic == "pedantic")
            .and_then(|()| check(&config, &limits));
        fill_threshold(&mut config, None);
        let actual = match result {
            Ok(()) => serde_json::to_string(&config).unwrap(),
            Err(error) => format!("{} {} {error}", error.err_code(), error.code()),
        };
        assert_eq!(actual, expected, "{text}");
        rows += 1;
    }
    assert!(rows > 80, "{rows}");
}

#[test]
fn long_texts_are_refused() {
    let long = |config: Config| {
        let mut config = config;
        fill_defaults(&mut config, &Limits::default(), false).unwrap();
        check(&config, &Limits::default()).unwrap_err().to_string()
    };
    assert_eq!(
        long(Config { description: "x".repeat(4097), ..Config::default() }),
        "consumer description is too long, maximum allowed is 4096"
    );
    let metadata = [("a".to_owned(), "x".repeat(131_072))].into();
    assert_eq!(
        long(Config { metadata, ..Config::default() }),
        "consumer metadata exceeds maximum size of 128KB"
    );
}

#[test]
fn limits_are_taken_over_and_kept() {
    let limits = Limits {
        inactive_threshold: 10_000_000_000,
        stream_max_ack_pending: 100,
        max_request_batch: 50,
        ..Limits::default()
    };
    let apply = |text: &str| {
        let mut config: Config = decode(text.as_bytes(), true).unwrap();
        fill_defaults(&mut config, &limits, false)?;
        check(&config, &limits).map(|()| config)
    };
    let config = apply(r#"{"durable_name":"c","ack_policy":"explicit"}"#).unwrap();
    assert_eq!(config.max_ack_pending, 100);
    assert_eq!(config.inactive_threshold, 10_000_000_000);
    assert_eq!(config.max_batch, 50);
    for (text, expected) in [
        (
            r#"{"ack_policy":"explicit","max_ack_pending":200}"#,
            "consumer max ack pending exceeds system limit of 100",
        ),
        (
            r#"{"inactive_threshold":11000000000}"#,
            "consumer inactive threshold exceeds system limit of 10s",
        ),
        (r#"{"max_batch":51}"#, "consumer max request batch exceeds server limit of 50"),
    ] {
        assert_eq!(apply(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn names_come_from_the_subject() {
    use CreateSubject::{Durable, Legacy, Named};
    let named = |consumer| Named { consumer, filter: None };
    let filtered = Named { consumer: "c", filter: Some("s.a") };
    let long = "x".repeat(256);
    for (stream, subject, config, expected) in [
        ("S", named("c"), r#"{"name":"zz"}"#, Ok("c")),
        ("S", named("c"), r#"{"durable_name":"c"}"#, Ok("c")),
        ("S", Legacy, "{}", Ok("")),
        ("S", Legacy, r#"{"name":"own"}"#, Ok("own")),
        ("S", filtered, r#"{"filter_subject":"s.a"}"#, Ok("c")),
        ("T", named("c"), "{}", Err(10056)),
        ("S", Legacy, r#"{"durable_name":"c"}"#, Err(10020)),
        ("S", named("x"), r#"{"durable_name":"c"}"#, Err(10017)),
        ("S", Durable { consumer: "x" }, "{}", Err(10018)),
        ("S", Durable { consumer: "x" }, r#"{"durable_name":"c"}"#, Err(10017)),
        // What the body calls it beside does not matter.
        ("S", Durable { consumer: "c" }, r#"{"durable_name":"c","name":"d"}"#, Ok("c")),
        ("S", filtered, "{}", Err(10131)),
        ("S", filtered, r#"{"filter_subjects":["s.a"]}"#, Err(10137)),
        ("S", named("a/b"), "{}", Err(10127)),
        ("S", named("c"), r#"{"num_replicas":2}"#, Err(10074)),
        ("S", named("a*"), "{}", Err(10052)),
        ("S", Legacy, r#"{"name":"n m"}"#, Err(10052)),
        ("S", named(&long), "{}", Err(10102)),
    ] {
        let body = format!(r#"{{"stream_name":"{stream}","config":{config}}}"#);
        let mut request: CreateRequest = decode(body.as_bytes(), true).unwrap();
        let result = resolve_name(&mut request, "S", subject)
            .and_then(|()| check(&request.config, &Limits::default()))
            .and_then(|()| check_name_length(&request.config.name));
        let actual = match &result {
            Ok(()) => Ok(request.config.name.as_str()),
            Err(error) => Err(error.err_code()),
        };
        assert_eq!(actual, expected, "{subject:?} {config}");
    }
}

#[test]
fn some_changes_need_a_new_consumer() {
    let pull = r#"{"durable_name":"c","ack_policy":"explicit"}"#;
    let push = r#"{"durable_name":"c","ack_policy":"explicit","deliver_subject":"d","idle_heartbeat":1000000000,"flow_control":true}"#;
    for (old, changes, expected) in [
        (pull, r#""deliver_policy":"new""#, "deliver policy can not be updated"),
        (
            r#"{"ack_policy":"explicit","deliver_policy":"by_start_sequence","opt_start_seq":3}"#,
            r#""opt_start_seq":4"#,
            "start sequence can not be updated",
        ),
        (
            r#"{"ack_policy":"explicit","deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z"}"#,
            r#""opt_start_time":"2021-01-01T00:00:00Z""#,
            "start time can not be updated",
        ),
        (pull, r#""ack_policy":"all""#, "ack policy can not be updated"),
        (pull, r#""replay_policy":"original""#, "replay policy can not be updated"),
        (pull, r#""max_waiting":5"#, "max waiting can not be updated"),
        (pull, r#""mem_storage":true"#, "storage type can not be updated"),
        (push, r#""idle_heartbeat":2000000000"#, "heart beats can not be updated"),
        (push, r#""flow_control":false"#, "flow control can not be updated"),
        (pull, r#""deliver_subject":"q""#, "can not update pull consumer to push based"),
        (pull, r#""description":"z","max_deliver":3,"sample_freq":"5","max_ack_pending":5"#, ""),
        (pull, r#""backoff":[1000000000],"inactive_threshold":9000000000,"num_replicas":1"#, ""),
        (push, r#""deliver_group":"g","rate_limit_bps":100,"headers_only":true"#, ""),
    ] {
        let mut rig = Rig::new();
        rig.create(old);
        // The last of two equal keys wins.
        let new = format!("{},{changes}}}", old.strip_suffix('}').unwrap());
        let result = rig.update(&new);
        let text = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert_eq!(text, expected, "{changes}");
        if let Err(error) = result {
            assert_eq!((error.err_code(), error.code()), (10012, 500));
        }
    }
}

#[test]
fn changed_filters_change_what_is_pending() {
    let mut rig = Rig::with(&["s.a", "s.b", "s.a", "s.b"]);
    rig.durable("");
    rig.pull("1");
    rig.state("1/1 0/0 1 0 0 3");
    rig.update(r#"{"durable_name":"c","name":"c","ack_policy":"explicit","filter_subject":"s.b"}"#)
        .unwrap();
    rig.state("1/1 0/0 1 0 0 2");
    rig.host.sent.clear();
    rig.pull("9");
    rig.sent(&[r#"in <- s.b 1.2.2+1 "2""#, r#"in <- s.b 1.4.3+0 "4""#]);
    // Pausing is not part of an update.
    rig.update(
        r#"{"durable_name":"c","name":"c","ack_policy":"explicit","pause_until":"2030-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    assert!(!rig.info().paused);
}

/// Measured with nats-server 2.15.1: a consumer that waits passes over other messages when it searches,
/// not when they are stored. A request, a heartbeat, a message for it and an ack at the limit let it search.
#[test]
fn a_changed_filter_finds_what_was_stored_since_the_last_search() {
    const WAIT: &str = r#"{"batch":2,"expires":20000000000}"#;
    const BEATS: &str = r#"{"batch":2,"expires":20000000000,"idle_heartbeat":400000000}"#;
    fn filter(rig: &mut Rig, filter: &str) {
        rig.update(&format!(
            r#"{{"durable_name":"c","name":"c","ack_policy":"explicit","max_ack_pending":1,{filter}}}"#
        ))
        .unwrap();
    }
    let steps: [(&str, &[&str], u64); 7] = [
        ("stored before the request", &["s.b", "pull"], 0),
        ("stored while it waits", &["pull", "s.b"], 1),
        ("looked at", &["pull", "s.b", "info"], 1),
        ("a message came for it", &["pull", "s.b", "s.a", "ack"], 0),
        ("another request", &["pull", "s.b", "pull"], 0),
        ("a heartbeat", &["beats", "s.b", "beat"], 0),
        ("behind the heartbeat", &["beats", "beat", "s.b"], 1),
    ];
    for (what, steps, left) in steps {
        let mut rig = Rig::new();
        rig.durable(r#""filter_subject":"s.a","max_ack_pending":1"#);
        for step in steps {
            match *step {
                "pull" => rig.pull(WAIT),
                "beats" => rig.pull(BEATS),
                "beat" => rig.pass(500 * MS),
                "info" => assert_eq!(rig.info().num_pending, 0),
                "ack" => assert!(rig.ack(1, "")),
                subject => rig.publish(subject),
            }
        }
        rig.host.sent.clear();
        filter(&mut rig, r#""filter_subject":"s.b""#);
        assert_eq!(rig.info().num_pending, left, "{what}");
        rig.pump();
        assert_eq!(rig.host.sent.len() as u64, left, "{what}");
    }
    // So does a message that is delivered again.
    for (nak, left) in [(true, 0), (false, 1)] {
        let mut rig = Rig::new();
        rig.durable(r#""filter_subject":"s.a""#);
        rig.pull(r#"{"batch":3,"expires":20000000000}"#);
        rig.publish("s.a");
        rig.publish("s.b");
        assert!(!nak || rig.ack(1, "-NAK"));
        rig.update(
            r#"{"durable_name":"c","name":"c","ack_policy":"explicit","filter_subject":"s.b"}"#,
        )
        .unwrap();
        assert_eq!(rig.info().num_pending, left);
    }
    // What several filters passed over is found by those that come after them, and by none.
    let mut rig = Rig::new();
    rig.durable(r#""filter_subjects":["s.a","s.c"],"max_ack_pending":1"#);
    rig.pull(WAIT);
    rig.publish("s.b");
    rig.publish("s.d");
    filter(&mut rig, r#""filter_subject":"s.x""#);
    rig.pump();
    filter(&mut rig, r#""filter_subject":"s.d""#);
    rig.state("0/0 0/0 0 0 1 1");
    filter(&mut rig, r#""filter_subject":"""#);
    rig.state("0/0 0/0 0 0 1 2");
    rig.pump();
    rig.sent(&[r#"in <- s.b 1.1.1+1 "1""#]);
}

#[test]
fn a_heartbeat_says_how_far_it_searched() {
    let mut rig = Rig::new();
    rig.durable(r#""filter_subject":"s.a""#);
    rig.pull(r#"{"batch":2,"expires":20000000000,"idle_heartbeat":400000000}"#);
    rig.publish("s.b");
    let beat = |seq| {
        format!("in <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 0|Nats-Last-Stream: {seq}||")
    };
    rig.pass(500 * MS);
    rig.sent(&[&beat(0)]);
    rig.pass(400 * MS);
    rig.sent(&[&beat(1)]);
}

#[test]
fn info_has_the_keys_of_the_reference_in_its_order() {
    let mut rig = Rig::with(&["s.a", "s.a"]);
    rig.durable("");
    let created = r#""created":"2023-11-14T22:13:20Z","config":{"durable_name":"c","name":"c","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}}"#;
    assert_eq!(
        serde_json::to_string(&rig.info()).unwrap(),
        format!(
            r#"{{"stream_name":"S","name":"c",{created},"delivered":{{"consumer_seq":0,"stream_seq":0}},"ack_floor":{{"consumer_seq":0,"stream_seq":0}},"num_ack_pending":0,"num_redelivered":0,"num_waiting":0,"num_pending":2,"ts":"2023-11-14T22:13:20Z"}}"#
        )
    );
    rig.pull("1");
    rig.pass(SECOND);
    rig.ack(1, "");
    assert_eq!(
        serde_json::to_string(&rig.info()).unwrap(),
        format!(
            r#"{{"stream_name":"S","name":"c",{created},"delivered":{{"consumer_seq":1,"stream_seq":1,"last_active":"2023-11-14T22:13:20Z"}},"ack_floor":{{"consumer_seq":1,"stream_seq":1,"last_active":"2023-11-14T22:13:21Z"}},"num_ack_pending":0,"num_redelivered":0,"num_waiting":0,"num_pending":1,"ts":"2023-11-14T22:13:21Z"}}"#
        )
    );
    // Lists show the stored metadata.
    let listed = rig.call(|consumer, ctx| consumer.info(ctx, None));
    assert_eq!(listed.config.metadata.keys().collect::<Vec<_>>(), ["_nats.req.level"]);
}

#[test]
fn life_is_announced() {
    let mut rig = Rig::new();
    rig.durable("");
    rig.call(|consumer, ctx| consumer.announce(ctx, Life::Created));
    rig.call(|consumer, ctx| consumer.announce(ctx, Life::Deleted));
    rig.sent(&[
        r#"$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.c {"action":"create"}"#,
        r#"$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c {"action":"delete"}"#,
    ]);
}
