//! Consumers through the API: the stream's part of their life.

use natterjack_jetstream::{AccountLimits, Options};

use crate::world::{SECOND, World, error_of};

fn world() -> World {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#);
    world
}

fn create(name: &str, fields: &str) -> String {
    format!(r#"{{"stream_name":"S","config":{{"durable_name":"{name}"{fields}}}}}"#)
}

#[test]
fn a_message_is_pulled_and_acknowledged() {
    let mut world = world();
    world.put("s.a", "", "hello");
    let info = world.must("CONSUMER.CREATE.S.c", &create("c", r#","ack_policy":"explicit""#));
    assert_eq!(info["num_pending"], 1);
    assert_eq!(
        info["config"].to_string(),
        serde_json::json!({
            "durable_name":"c","name":"c","deliver_policy":"all","ack_policy":"explicit",
            "ack_wait":30_000_000_000_u64,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,
            "max_ack_pending":1000,"num_replicas":0,
            "metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}
        })
        .to_string()
    );
    assert!(world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "2"));
    let sent = world.take("_I.pull").unwrap();
    assert_eq!((sent.subject.as_str(), sent.payload.as_str()), ("s.a", "hello"));
    let reply = sent.reply.unwrap();
    assert!(reply.starts_with("$JS.ACK.S.c.1.1.1."), "{reply}");
    assert_eq!(world.ack(&reply, "+ACK").as_deref(), Some(""));
    let info = world.must("CONSUMER.INFO.S.c", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
    assert_eq!(info["num_ack_pending"], 0);
    // The second message finds the request waiting.
    world.put("s.b", "", "more");
    assert_eq!(world.take("_I.pull").unwrap().payload, "more");
}

#[test]
fn acks_for_nobody_find_no_responder() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.none", &create("none", ""));
    world.must("CONSUMER.CREATE.S.c", &create("c", r#","ack_policy":"explicit""#));
    for (subject, expected) in [
        ("$JS.ACK.S.nope.1.1.1.1.0", None),
        ("$JS.ACK.T.c.1.1.1.1.0", None),
        ("$JS.ACK.S.none.1.1.1.1.0", None),
        ("$JS.ACK._.00000000.S.c.1.1.1.1.0", None),
        ("$JS.ACK._.szMpdrwD.S.c.1.1.1.1.0", Some("silence".to_owned())),
        ("$JS.FC.S.nope.abcd", None),
    ] {
        assert_eq!(world.ack(subject, "+ACK"), expected, "{subject}");
    }
}

#[test]
fn consumers_are_listed_counted_and_deleted() {
    let mut world = world();
    for name in ["b", "a", "c"] {
        world.must(&format!("CONSUMER.CREATE.S.{name}"), &create(name, ""));
    }
    assert_eq!(
        world.api("CONSUMER.NAMES.S", r#"{"offset":1}"#),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_names_response","total":3,"offset":1,"limit":1024,"consumers":["b","c"]}"#
    );
    assert_eq!(
        world.api("CONSUMER.NAMES.S", r#"{"offset":9}"#),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_names_response","total":3,"offset":3,"limit":1024,"consumers":[]}"#
    );
    let list = world.must("CONSUMER.LIST.S", "");
    assert_eq!(list["limit"], 256);
    assert_eq!(
        list["consumers"][0]["config"]["metadata"].to_string(),
        r#"{"_nats.req.level":"0"}"#
    );
    assert_eq!(world.state("S")["consumer_count"], 3);
    assert_eq!(world.engine.account_usage("$G").unwrap().consumers, 3);
    world.host.interest.insert("$JS.EVENT.ADVISORY.CONSUMER.>".into());
    world.must("CONSUMER.DELETE.S.a", "");
    assert_eq!(world.refusal("CONSUMER.INFO.S.a", ""), "10014 consumer not found");
    assert_eq!(
        world.refusal("CONSUMER.DELETE.S.b", r#"{"x":1}"#),
        "10038 expected an empty request payload"
    );
    assert!(world.take("$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.a").is_some());
    world.must("STREAM.DELETE.S", "");
    assert!(world.take("$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c").is_some());
    assert_eq!(world.engine.account_usage("$G").unwrap().consumers, 0);
}

#[test]
fn creating_follows_its_action_and_limits() {
    let limits = AccountLimits { max_consumers: Some(2), ..AccountLimits::default() };
    let mut world = World::with(Options::default(), limits);
    let body = r#"{"name":"S","subjects":["s.>"],"storage":"memory","consumer_limits":{"max_ack_pending":100}}"#;
    world.must("STREAM.CREATE.S", body);
    let with = |action: &str, fields: &str| {
        format!(
            r#"{{"stream_name":"S","action":"{action}","config":{{"name":"c","ack_policy":"explicit"{fields}}}}}"#
        )
    };
    assert_eq!(
        world.refusal("CONSUMER.CREATE.S.c", &with("update", "")),
        "10149 consumer does not exist"
    );
    let info = world.must("CONSUMER.CREATE.S.c", &with("create", ""));
    assert_eq!(info["config"]["max_ack_pending"], 100);
    world.must("CONSUMER.CREATE.S.c", &with("create", ""));
    assert_eq!(
        world.refusal("CONSUMER.CREATE.S.c", &with("create", r#","description":"x""#)),
        "10148 consumer already exists"
    );
    assert_eq!(
        world.must("CONSUMER.CREATE.S.c", &with("", r#","description":"x""#))["config"]["description"],
        "x"
    );
    assert_eq!(
        world.refusal("CONSUMER.CREATE.S.c", &with("", r#","replay_policy":"original""#)),
        "10012 replay policy can not be updated"
    );
    assert_eq!(
        world.refusal("CONSUMER.CREATE.S.c", &with("", r#","max_ack_pending":200"#)),
        "10121 consumer max ack pending exceeds system limit of 100"
    );
    assert_eq!(
        world.refusal("STREAM.UPDATE.S", &body.replace("100", "50")),
        "10069 change to limits violates consumers: c"
    );
    world.must("CONSUMER.CREATE.S.d", &create("d", ""));
    assert_eq!(
        world.refusal("CONSUMER.CREATE.S.e", &create("e", "")),
        "10026 maximum consumers limit reached"
    );
    let mut world = world_with_generated_name();
    let names = world.must("CONSUMER.NAMES.S", "");
    assert_eq!(names["consumers"][0].as_str().unwrap().len(), 8);
}

fn world_with_generated_name() -> World {
    let mut world = world();
    let info = world.must("CONSUMER.CREATE.S", r#"{"stream_name":"S","config":{}}"#);
    assert!(info["config"].get("name").is_none());
    world
}

#[test]
fn an_ephemeral_nobody_uses_goes_away() {
    let mut world = world();
    let body =
        r#"{"stream_name":"S","config":{"deliver_subject":"d","inactive_threshold":1000000000}}"#;
    world.host.interest.insert("d".into());
    world.must("CONSUMER.CREATE.S", body);
    world.put("s.a", "", "x");
    assert_eq!(world.take("d").unwrap().payload, "x");
    world.host.interest.remove("d");
    let stream = world.engine.stream("$G", "S").unwrap();
    stream.interest_changed(&mut world.host, world.now, b"d");
    world.pass(2 * SECOND);
    assert_eq!(world.must("CONSUMER.NAMES.S", "")["total"], 0);
    assert_eq!(world.engine.account_usage("$G").unwrap().consumers, 0);
}

#[test]
fn an_unsettled_message_comes_again_by_the_timer() {
    let mut world = world();
    world.must(
        "CONSUMER.CREATE.S.c",
        &create("c", r#","ack_policy":"explicit","ack_wait":500000000"#),
    );
    world.put("s.a", "", "x");
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "2");
    assert!(world.take("_I.pull").unwrap().reply.unwrap().starts_with("$JS.ACK.S.c.1.1.1."));
    world.pass(SECOND / 2);
    assert!(world.take("_I.pull").unwrap().reply.unwrap().starts_with("$JS.ACK.S.c.2.1.2."));
}

#[test]
fn a_congested_target_pauses_its_consumer_until_it_resumes() {
    let mut world = world();
    world.host.interest.insert("d".into());
    world.must("CONSUMER.CREATE.S.p", &create("p", r#","deliver_subject":"d""#));
    world.host.congested = true;
    for _ in 0..3 {
        world.put("s.a", "", "x");
    }
    assert_eq!(world.take_all("d").len(), 1);
    world.host.congested = false;
    let stream = world.engine.stream("$G", "S").unwrap();
    stream.resume(&mut world.host, world.now);
    assert_eq!(world.take_all("d").len(), 2);
}

#[test]
fn removals_reach_pending_messages() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &create("c", r#","ack_policy":"explicit""#));
    for _ in 0..3 {
        world.put("s.a", "", "x");
    }
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "3");
    world.host.interest.insert("$JS.EVENT.ADVISORY.CONSUMER.>".into());
    world.must("STREAM.MSG.DELETE.S", r#"{"seq":2}"#);
    let advisory = world.take("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c").unwrap();
    assert!(advisory.payload.contains("Unacknowledged message was deleted"));
    assert_eq!(world.must("CONSUMER.INFO.S.c", "")["num_ack_pending"], 2);
    world.must("STREAM.PURGE.S", "");
    let info = world.must("CONSUMER.INFO.S.c", "");
    assert_eq!(
        (&info["num_ack_pending"], &info["ack_floor"]["stream_seq"]),
        (&0.into(), &3.into())
    );
}

#[test]
fn pause_reset_and_unpin_answer() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &create("c", r#","ack_policy":"explicit""#));
    for _ in 0..3 {
        world.put("s.a", "", "x");
    }
    assert_eq!(
        world.api("CONSUMER.PAUSE.S.c", r#"{"pause_until":"2023-11-14T22:14:20Z"}"#),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_pause_response","paused":true,"pause_until":"2023-11-14T22:14:20Z","pause_remaining":60000000000}"#
    );
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "1");
    assert!(world.take("_I.pull").is_none());
    assert_eq!(
        world.api("CONSUMER.PAUSE.S.c", ""),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_pause_response","paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#
    );
    // Three hundred years ago is more nanoseconds than 63 bits hold.
    for past in ["1700-01-01T00:00:00Z", "2020-01-01T00:00:00Z"] {
        let answer = world.must("CONSUMER.PAUSE.S.c", &format!(r#"{{"pause_until":"{past}"}}"#));
        assert_eq!((&answer["paused"], &answer["pause_until"]), (&false.into(), &past.into()));
        assert!(answer["pause_remaining"].is_null());
        let info = world.must("CONSUMER.INFO.S.c", "");
        assert!(info["paused"].is_null() && info["pause_remaining"].is_null(), "{info}");
    }
    assert!(world.take("_I.pull").is_some());
    let reset = world.must("CONSUMER.RESET.S.c", r#"{"seq":2}"#);
    assert_eq!((&reset["reset_seq"], &reset["delivered"]["stream_seq"]), (&2.into(), &1.into()));
    assert_eq!(world.api("CONSUMER.RESET.S.nope", ""), "");
    for (body, expected) in [
        ("", "10025 invalid JSON: unexpected end of JSON input"),
        ("{}", "10025 invalid JSON: consumer group not specified"),
        ("x", "10025 invalid JSON: invalid character 'x' looking for beginning of value"),
        (r#"{"group":"g"}"#, "10160 Provided priority group does not exist for this consumer"),
        (
            r#"{"group":"g!"}"#,
            "10162 Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters",
        ),
    ] {
        assert_eq!(world.refusal("CONSUMER.UNPIN.S.c", body), expected);
    }
    let answer = world.request("$JS.API.CONSUMER.MSG.NEXT.S.c", "Nats-Required-Api-Level: 6", "");
    assert_eq!(answer, "NATS/1.0 412 Required Api Level\r\n\r\n");
    assert_eq!(error_of(&world.api("CONSUMER.PAUSE.S.nope", "")), "10014 consumer not found");
}

#[test]
fn each_message_reaches_all_consumers_it_matches_and_no_others() {
    let mut world = world();
    world.host.interest.insert("push".into());
    let filters: Vec<String> = (0..12)
        .map(|n| match n {
            0..8 => format!(r#""filter_subject":"s.{n}""#),
            8 => r#""filter_subject":"s.*""#.into(),
            9 => r#""filter_subjects":["s.1","s.2.>"]"#.into(),
            10 => r#""filter_subject":"s.2.*","deliver_policy":"last_per_subject""#.into(),
            _ => r#""description":"all""#.into(),
        })
        .collect();
    world.put("s.2.x", "", "0");
    for (n, filter) in filters.iter().enumerate() {
        let body = create(&format!("c{n}"), &format!(r#","ack_policy":"none",{filter}"#));
        world.must(&format!("CONSUMER.CREATE.S.c{n}"), &body);
        world.request_to(
            &format!("$JS.API.CONSUMER.MSG.NEXT.S.c{n}"),
            &format!("_I.p{n}"),
            "",
            "99",
        );
    }
    let push = r#","deliver_subject":"push","filter_subject":"s.7","idle_heartbeat":1000000000"#;
    world.must("CONSUMER.CREATE.S.push", &create("push", push));
    for (at, subject) in ["s.1", "s.2", "s.2.x", "s.7", "s.11", "s.2.y"].into_iter().enumerate() {
        world.put(subject, "", &(at + 1).to_string());
    }
    let payloads = |world: &mut World, route: &str| -> String {
        world.take_all(route).iter().map(|sent| sent.payload.as_str()).collect()
    };
    let got: Vec<String> = (0..12).map(|n| payloads(&mut world, &format!("_I.p{n}"))).collect();
    assert_eq!(got, ["", "1", "2", "", "", "", "", "4", "1245", "0136", "036", "0123456"]);
    for n in 0..12 {
        assert_eq!(world.must(&format!("CONSUMER.INFO.S.c{n}"), "")["num_pending"], 0, "c{n}");
    }
    assert_eq!(payloads(&mut world, "push"), "4");
    // A heartbeat names the last message of the stream that it passed when it searched, and searches.
    for last in [5, 7] {
        world.pass(SECOND);
        let beat = world.take("push").unwrap().headers;
        let expected = format!("Nats-Last-Consumer: 1\r\nNats-Last-Stream: {last}\r\n");
        assert!(beat.contains(&expected), "{beat}");
    }
    // Another filter, and nothing since the last search is lost or comes twice.
    let body = create("c3", r#","ack_policy":"none","filter_subject":"s.11""#);
    world.must("CONSUMER.CREATE.S.c3", &body);
    world.put("s.3", "", "7");
    world.put("s.11", "", "8");
    assert_eq!(payloads(&mut world, "_I.p3"), "58");
    assert_eq!(payloads(&mut world, "_I.p11"), "78");
}

#[test]
fn a_consumer_that_goes_takes_the_time_of_its_notes_with_it() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    world.must("CONSUMER.CREATE.S.c", &create("c", r#","ack_policy":"explicit""#));
    for payload in ["1", "2"] {
        world.put("s.a", "", payload);
        assert!(world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "1"));
        let reply = world.take("_I.pull").unwrap().reply.unwrap();
        // The second ack waits for the notes to be written together.
        world.engine.ack(&mut world.host, world.now, "$G", reply.as_bytes(), None, b"+ACK");
    }
    world.must("CONSUMER.DELETE.S.c", "");
    world.now.mono_ns += SECOND;
    let due: Vec<u64> = world.host.wakes.keys().copied().collect();
    world.host.wakes.clear();
    for owner in due {
        world.engine.tick(&mut world.host, world.now, owner);
    }
    // Nothing is left to do, so nothing is due.
    assert_eq!(world.host.wakes.values().filter(|at| **at <= world.now.mono_ns).count(), 0);
}
